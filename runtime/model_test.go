package runtime_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// modelOperations is how many operations one check makes. With rapid's hundred checks they are 100,000.
const modelOperations = 1000

// chance is a number that depends on nothing but what is asked for: the handlers of the model decide by it.
func chance(in *runtime.Invocation, n uint64) uint64 {
	h := fnv.New64a()
	h.Write(in.Record.RunID[8:])
	h.Write(binary.BigEndian.AppendUint64(nil, in.Record.Version<<8|uint64(in.Attempt)))
	h.Write([]byte(in.Handler.Kind.String() + in.Handler.Name))
	return h.Sum64() >> 7 % n
}

// erratic is a handler that does anything, legal or not, and mostly leads on.
func erratic(destinations ...string) runtimetest.Func {
	return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		out.Changed, out.Object = true, fmt.Appendf(out.Object, "%d", in.Record.Version)
		switch c := chance(in, 24); c {
		case 0:
			out.Kind = runtime.OutcomeRepeat
		case 1:
			out.Kind, out.Delay = runtime.OutcomeRepeat, 3*time.Second
		case 2:
			out.Kind = runtime.OutcomeSkip
		case 3:
			out.Kind, out.Reason = runtime.OutcomePause, "asked"
		case 4:
			out.Kind, out.Reason = runtime.OutcomeCancel, "asked"
		case 5, 6:
			return errors.New("no answer")
		case 7:
			out.Kind, out.Reason = runtime.OutcomePermanent, "never"
		case 8:
			out.Kind, out.Status = runtime.OutcomeTo, "nowhere"
		case 9:
			panic("no answer")
		default:
			out.Kind, out.Status = runtime.OutcomeTo, destinations[c%uint64(len(destinations))]
		}
		return nil
	}
}

// modelGraph is the workflow of the model: two statuses with steps, one that waits for a callback or a timeout, one that does
// both, and an end.
func modelGraph() *runtime.Workflow {
	hook := func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		if out.Kind = runtime.OutcomeDone; chance(in, 3) == 0 {
			out.Kind, out.Reason = runtime.OutcomeError, "no answer"
		}
		return nil
	}
	retry := runtime.Retry{Attempts: 3, Initial: time.Second}
	return runtimetest.Workflow("model",
		runtimetest.Step{Status: "a", To: []string{"a", "b", "c"}, Func: erratic("b", "c", "b", "a"), Retry: retry},
		runtimetest.Callback{Status: "b", To: []string{"b", "c", "d"}, Func: erratic("c", "d", "b"), Retry: retry},
		runtimetest.Timeout{Status: "b", Name: "short", To: []string{"c"}, After: 5 * time.Second, Func: erratic("c"), Retry: retry},
		runtimetest.Timeout{Status: "b", Name: "computed", To: []string{"d"}, Func: erratic("d"), Retry: retry, Timer: runtimetest.Due(
			func(in *runtime.Invocation) time.Time { return in.Now.Add(time.Duration(chance(in, 20)) * time.Second) })},
		runtimetest.Step{Status: "c", To: []string{"a", "d", "end"}, Func: erratic("d", "end", "a"), Retry: retry},
		runtimetest.Timeout{Status: "c", Name: "long", To: []string{"end"}, After: time.Hour, Func: erratic("end"), Retry: retry},
		runtimetest.Step{Status: "d", To: []string{"end", "b"}, Func: erratic("end", "b", "end"), Retry: retry},
		runtimetest.Callback{Status: "d", To: []string{"end"}, Func: erratic("end"), Retry: retry},
		runtimetest.Hook{On: runtime.HookComplete, Func: hook},
		runtimetest.Hook{On: runtime.HookPause, Func: hook},
	)
}

// model is an engine under random operations, and what it has acknowledged.
type model struct {
	t        *testing.T
	rt       *rapid.T
	store    *runtimetest.MemStore
	graph    *runtime.Workflow
	engine   *runtime.Engine
	runs     map[runtime.RunID]string                      // acknowledged, with their foreign IDs
	latest   map[string]runtime.RunID                      // by foreign ID
	versions map[runtime.RunID]map[uint64]runtime.RunState // acknowledged changes of state
	calls    map[runtime.CallbackID]bool                   // acknowledged callbacks
	keys     int
}

// TestModel makes random operations, crashes among them, and then holds the store to what was acknowledged and to what the graph
// and the table of states allow: nothing is lost, doubled or illegal.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &model{
				t: t, rt: rt, store: runtimetest.NewMemStore(rapid.IntRange(1, 3).Draw(rt, "shards")), graph: modelGraph(),
				runs: map[runtime.RunID]string{}, latest: map[string]runtime.RunID{},
				versions: map[runtime.RunID]map[uint64]runtime.RunState{}, calls: map[runtime.CallbackID]bool{},
			}
			m.start()
			operations := modelOperations
			if testing.Short() {
				operations /= 20
			}
			for range operations {
				m.step()
			}
			m.store = crash(t, m.engine, m.store)
			m.start()
			elapse(time.Hour)
			synctest.Wait()
			m.check()
		})
	})
}

func (m *model) start() {
	m.engine = start(m.t, runtime.Options{
		Store: m.store, AutoResume: 20 * time.Second, MaxVersions: 300,
		Window:  rapid.IntRange(1, 5).Draw(m.rt, "window"),
		Workers: rapid.IntRange(1, 4).Draw(m.rt, "workers"),
	}, m.graph)
}

// step makes one operation.
func (m *model) step() {
	ctx, cancel := context.WithTimeout(m.t.Context(), 50*time.Millisecond)
	defer cancel()
	foreignID := rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6"}).Draw(m.rt, "foreign ID")
	id := m.latest[foreignID]
	note := runtime.Note{By: "model", Reason: "drawn"}
	switch op := rapid.IntRange(0, 31).Draw(m.rt, "operation"); {
	case op < 9:
		m.trigger(ctx, foreignID)
	case op < 14:
		m.callback(ctx, foreignID, "b")
	case op < 16:
		m.callback(ctx, foreignID, "d")
	case op < 18:
		m.control(id)(m.engine.Pause(ctx, id, note))
	case op < 21:
		m.control(id)(m.engine.Resume(ctx, id, note))
	case op < 22:
		m.control(id)(m.engine.Cancel(ctx, id, note))
	case op < 23:
		m.control(id)(m.engine.Erase(ctx, id, note))
	case op < 24:
		m.control(id)(m.engine.Move(ctx, id, rapid.SampledFrom([]string{"a", "b", "c", "d", "end"}).Draw(m.rt, "to"), note))
	case op < 25:
		m.control(id)(m.engine.SetObject(ctx, id, []byte(`"edited"`), note))
	case op < 28:
		elapse(time.Duration(rapid.IntRange(1, 7000).Draw(m.rt, "milliseconds")) * time.Millisecond)
	case op < 29:
		m.store.Hold()
	case op < 30:
		m.store.Release()
	case op < 31:
		synctest.Wait()
	default:
		m.store = crash(m.t, m.engine, m.store)
		m.start()
	}
}

func (m *model) trigger(ctx context.Context, foreignID string) {
	done, err := m.engine.Trigger(ctx, runtime.Trigger{Workflow: "model", ForeignID: foreignID})
	var busy *runtime.InProgressError
	switch {
	case err == nil:
		m.runs[done.Record.RunID] = foreignID
		m.latest[foreignID] = done.Record.RunID
	case errors.As(err, &busy):
		m.runs[busy.RunID] = foreignID // a refusal tells of a run: it is as durable as an acknowledged one
		m.latest[foreignID] = busy.RunID
	case !errors.Is(err, context.DeadlineExceeded):
		m.t.Errorf("trigger: %v", err)
	}
}

func (m *model) callback(ctx context.Context, foreignID, status string) {
	c := runtime.Callback{Workflow: "model", Status: status, ForeignID: foreignID, Payload: []byte("{}")}
	if rapid.Bool().Draw(m.rt, "wait") {
		c.Wait = 20 * time.Millisecond
	}
	if rapid.Bool().Draw(m.rt, "key") {
		m.keys++
		c.IdempotencyKey = fmt.Sprint(m.keys)
	}
	done, err := m.engine.Callback(ctx, c)
	var wrong *runtime.WrongStatusError
	var refused *runtime.CallbackRefusedError
	switch {
	case err == nil:
		m.calls[done.ID] = true
	case errors.As(err, &refused):
		m.calls[refused.ID] = true
	case !errors.As(err, &wrong) && !errors.Is(err, runtime.ErrNotFound) && !errors.Is(err, context.DeadlineExceeded):
		m.t.Errorf("callback: %v", err)
	}
}

// control notes what a change of state acknowledged.
func (m *model) control(id runtime.RunID) func(runtime.Record, error) {
	return func(rec runtime.Record, err error) {
		var illegal *runtime.TransitionError
		switch {
		case err == nil:
			if m.versions[id] == nil {
				m.versions[id] = map[uint64]runtime.RunState{}
			}
			m.versions[id][rec.Version] = rec.State
		case !errors.As(err, &illegal) && !errors.Is(err, runtime.ErrNotFound) && !errors.Is(err, context.DeadlineExceeded):
			m.t.Errorf("control: %v", err)
		}
	}
}

// check holds every run to its history, and all to what was acknowledged.
func (m *model) check() {
	all, err := m.engine.Runs(m.t.Context(), runtime.Query{Limit: 100_000})
	if err != nil {
		m.t.Fatal(err)
	}
	events := m.events()
	present := map[runtime.RunID]bool{}
	active := map[string]runtime.RunID{}
	for i := range all {
		rec := &all[i]
		present[rec.RunID] = true
		if rec.State.Active() {
			if other, two := active[rec.ForeignID]; two {
				m.t.Errorf("foreign ID %s has two active runs, %s and %s", rec.ForeignID, other, rec.RunID)
			}
			active[rec.ForeignID] = rec.RunID
		}
		m.checkRun(rec, events[rec.RunID])
	}
	for id := range m.runs {
		if !present[id] {
			m.t.Errorf("run %s was acknowledged and is lost", id)
		}
	}
	for id := range m.calls {
		if !present[id.RunID] {
			m.t.Errorf("callback %s was acknowledged and its run is lost", id)
		}
	}
}

func (m *model) events() map[runtime.RunID][]uint64 {
	versions := map[runtime.RunID][]uint64{}
	var c runtime.EventCursor
	if err := m.engine.Events(m.t.Context(), &c, false, func(e *runtime.Event) error {
		versions[e.RunID] = append(versions[e.RunID], e.Version)
		return nil
	}); err != nil {
		m.t.Fatal(err)
	}
	return versions
}

func (m *model) checkRun(rec *runtime.Record, events []uint64) {
	lines, err := m.engine.History(m.t.Context(), rec.RunID, 0, 0, 100_000)
	if err != nil {
		m.t.Fatal(err)
	}
	var last *runtime.HistoryEntry
	handled := map[uint64]int{}
	for i := range lines {
		h := &lines[i]
		if h.Callback > 0 && !slices.ContainsFunc(rec.Pending, func(p runtime.Pending) bool { return p.Callback == h.Callback }) {
			if !h.Failed || !retried(lines[i+1:], h.Callback) {
				handled[h.Callback]++
			}
		}
		if h.Line > 0 {
			if last == nil || h.Version != last.Version {
				m.t.Errorf("run %s: line %d of version %d stands elsewhere", rec.RunID, h.Line, h.Version)
			}
			continue
		}
		m.checkVersion(rec, last, h)
		last = h
	}
	if last == nil || last.Version != rec.Version || last.State != rec.State || last.Status != rec.Status {
		m.t.Errorf("run %s is %s in %s, version %d; its history ends with %+v", rec.RunID, rec.State, rec.Status, rec.Version, last)
	}
	for n := uint64(1); n <= rec.Version; n++ {
		if len(events) < int(n) || events[n-1] != n {
			m.t.Errorf("run %s: events of versions %v, want 1 to %d", rec.RunID, events, rec.Version)
			break
		}
	}
	m.checkAcknowledged(rec, lines, handled)
	m.checkWaits(rec, lines)
}

// checkWaits wants whatever can be done of a run to be done, and what is left to have a time: work that was lost would wait for ever.
func (m *model) checkWaits(rec *runtime.Record, lines []runtime.HistoryEntry) {
	now := time.Now()
	switch {
	case rec.Ready():
		m.t.Errorf("run %s is ready and nothing does it: %+v", rec.RunID, rec)
	case rec.State == runtime.Paused && rec.Pause == runtime.PausedByError && !rec.ResumeAt.After(now):
		m.t.Errorf("run %s was to be resumed at %s: %+v", rec.RunID, rec.ResumeAt, rec)
	case rec.State == runtime.RequestedDataDeleted:
		m.t.Errorf("run %s is not erased", rec.RunID)
	}
	if rec.State == runtime.Initiated || rec.State == runtime.Running {
		if !rec.NotBefore.IsZero() && !rec.NotBefore.After(now) {
			m.t.Errorf("run %s was to go on at %s: %+v", rec.RunID, rec.NotBefore, rec)
		}
		for i := range rec.Pending {
			if p := &rec.Pending[i]; !p.Due.After(now) {
				m.t.Errorf("run %s: %s, due at %s, waits", rec.RunID, p.Name, p.Due)
			}
		}
	}
	old, events, told, state := 0, 0, 0, runtime.Initiated
	for i := range lines {
		h := &lines[i]
		if h.Line == 0 && h.State != state {
			if state = h.State; state == runtime.Paused || state == runtime.Completed {
				if events++; now.Sub(h.Time) > 30*time.Minute { // long enough for a hook that fails
					old++
				}
			}
		}
		if h.Cause == runtime.CauseHook && !h.Failed {
			told++
		}
	}
	if told < old || told > events {
		m.t.Errorf("run %s was paused and completed %d times, %d of them long ago, and its hooks told of %d:\n%s",
			rec.RunID, events, old, told, history(m.t, m.engine, rec.RunID))
	}
}

// retried reports whether a later line tells of the callback too: the earlier one was an attempt.
func retried(lines []runtime.HistoryEntry, callback uint64) bool {
	return slices.ContainsFunc(lines, func(h runtime.HistoryEntry) bool { return h.Callback == callback })
}

// checkVersion holds one version to the one before it.
func (m *model) checkVersion(rec *runtime.Record, before, h *runtime.HistoryEntry) {
	if before == nil {
		if h.Version != 1 || h.State != runtime.Initiated || h.Status != "a" {
			m.t.Errorf("run %s begins with %+v", rec.RunID, h)
		}
		return
	}
	if h.Version != before.Version+1 {
		m.t.Errorf("run %s: version %d follows %d", rec.RunID, h.Version, before.Version)
	}
	if h.State != before.State {
		if err := before.State.CheckTransition(h.State); err != nil {
			m.t.Errorf("run %s, version %d: %v", rec.RunID, h.Version, err)
		}
	} else if !h.State.Active() {
		m.t.Errorf("run %s, version %d: it went on after its end: %+v", rec.RunID, h.Version, h)
	}
	if h.Status != before.Status && h.Cause != runtime.CausePerson && !m.leads(before.Status, h.Status, h) {
		m.t.Errorf("run %s: version %d: %s %s does not lead from %s to %s", rec.RunID, h.Version, h.Cause, h.Handler, before.Status, h.Status)
	}
}

// leads reports whether the handler that a line names may move a run so.
func (m *model) leads(from, to string, h *runtime.HistoryEntry) bool {
	status := m.graph.Statuses[from]
	handlers := map[runtime.CauseKind][]*runtime.Handler{
		runtime.CauseCallback: status.Callbacks, runtime.CauseTimeout: status.Timeouts,
	}
	if status.Step != nil {
		handlers[runtime.CauseStep] = []*runtime.Handler{status.Step}
	}
	return slices.ContainsFunc(handlers[h.Cause], func(k *runtime.Handler) bool {
		return k.Name == h.Handler && slices.Contains(k.To, to)
	})
}

// checkAcknowledged holds a run to what was said of it.
func (m *model) checkAcknowledged(rec *runtime.Record, lines []runtime.HistoryEntry, handled map[uint64]int) {
	for version, state := range m.versions[rec.RunID] {
		i := slices.IndexFunc(lines, func(h runtime.HistoryEntry) bool { return h.Version == version && h.Line == 0 })
		if i < 0 || lines[i].State != state || lines[i].Cause != runtime.CausePerson {
			m.t.Errorf("run %s: version %d was acknowledged as %s by a person, and is not in the history", rec.RunID, version, state)
		}
	}
	for n := uint64(1); n <= rec.Callbacks; n++ {
		pending := slices.ContainsFunc(rec.Pending, func(p runtime.Pending) bool { return p.Callback == n })
		if want := 1; handled[n] != want && !pending {
			m.t.Errorf("run %s: callback %d of %d was handled %d times", rec.RunID, n, rec.Callbacks, handled[n])
		}
	}
	for id := range m.calls {
		if id.RunID == rec.RunID && id.Number > rec.Callbacks {
			m.t.Errorf("callback %s was acknowledged and is lost", id)
		}
	}
}
