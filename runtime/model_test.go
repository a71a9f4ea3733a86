package runtime_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
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

// asking has a handler ask for a run of the workflow echo too, under a foreign ID that says which version of which run asks.
func asking(f runtimetest.Func) runtimetest.Func {
	return func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		out.Intents = append(out.Intents, runtime.Intent{
			Workflow: "echo", ForeignID: fmt.Sprintf("%s/%d", in.Record.RunID, in.Record.Version+1),
		})
		return f(ctx, in, out)
	}
}

// shaky says when a timeout is due, in some seconds, unless it fails.
func shaky(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
	switch chance(in, 8) {
	case 0:
		return errors.New("no answer")
	case 1:
		out.Kind, out.Reason = runtime.OutcomePermanent, "never"
		return nil
	default:
		return runtimetest.Due(func(in *runtime.Invocation) time.Time {
			return in.Now.Add(time.Duration(chance(in, 20)) * time.Second)
		})(ctx, in, out)
	}
}

// modelGraphs returns two definitions of the workflow of the model: two statuses with steps, one that waits for a callback or a
// timeout, one that does both, and an end. They differ in their timeouts: which there are, and how their times come about.
func modelGraphs(retention time.Duration) [2]*runtime.Workflow {
	hook := func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		if out.Kind = runtime.OutcomeDone; chance(in, 3) == 0 {
			out.Kind, out.Reason = runtime.OutcomeError, "no answer"
		}
		return nil
	}
	retry := runtime.Retry{Attempts: 3, Initial: time.Second}
	parts := []runtimetest.Part{
		runtimetest.Step{Status: "a", To: []string{"a", "b", "c"}, Func: erratic("b", "c", "b", "a"), Retry: retry},
		runtimetest.Callback{Status: "b", To: []string{"b", "c", "d"}, Func: erratic("c", "d", "b"), Retry: retry},
		runtimetest.Step{Status: "c", To: []string{"a", "d", "end"}, Func: asking(erratic("d", "end", "a")), Retry: retry},
		runtimetest.Step{Status: "d", To: []string{"end", "b"}, Func: erratic("end", "b", "end"), Retry: retry},
		runtimetest.Callback{Status: "d", To: []string{"end"}, Func: erratic("end"), Retry: retry},
		runtimetest.Hook{On: runtime.HookComplete, Func: hook},
		runtimetest.Hook{On: runtime.HookPause, Func: hook},
		runtimetest.Erase{Func: hook, Retry: retry},
		runtimetest.Retention(retention),
	}
	timeout := func(status, name, to string, after time.Duration, timer runtimetest.Func) runtimetest.Part {
		return runtimetest.Timeout{Status: status, Name: name, To: []string{to}, After: after, Timer: timer, Func: erratic(to), Retry: retry}
	}
	return [2]*runtime.Workflow{
		runtimetest.Workflow("model", append(slices.Clip(parts),
			timeout("b", "short", "c", 5*time.Second, nil), timeout("b", "computed", "d", 0, shaky), timeout("c", "long", "end", time.Hour, nil),
		)...),
		runtimetest.Workflow("model", append(slices.Clip(parts),
			timeout("b", "short", "c", 0, shaky), timeout("b", "computed", "d", 9*time.Second, nil), timeout("d", "extra", "end", 0, shaky),
		)...),
	}
}

// echo is a workflow whose runs are over as soon as they begin.
func echo() *runtime.Workflow {
	return runtimetest.Workflow("echo", runtimetest.Step{Status: "heard", To: []string{"done"}, Func: runtimetest.To("done")})
}

// model is an engine under random operations, and what it has acknowledged.
type model struct {
	t        *testing.T
	rt       *rapid.T
	store    *runtimetest.MemStore
	graphs   [2]*runtime.Workflow
	serving  int // which of them
	engine   *runtime.Engine
	keyed    map[[2]string]runtime.RunID                   // by foreign ID and idempotency key: what a trigger acknowledged
	runs     map[runtime.RunID]string                      // acknowledged, with their foreign IDs
	latest   map[string]runtime.RunID                      // by foreign ID
	versions map[runtime.RunID]map[uint64]runtime.RunState // acknowledged changes of state
	calls    map[runtime.CallbackID]bool                   // acknowledged callbacks
	keys     int
	asked    map[string]bool // while it is checked: the runs that were to be asked for, by foreign ID,
	echoes   map[string]int  // and those that there are
}

// TestModel makes random operations, swaps, restarts and crashes among them, and then holds the store to what was acknowledged and to what the graph
// and the table of states allow: nothing is lost, doubled or illegal.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			m := &model{
				t: t, rt: rt, store: runtimetest.NewMemStore(rapid.IntRange(1, 3).Draw(rt, "shards")),
				graphs: modelGraphs(rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(rt, "retention")), keyed: map[[2]string]runtime.RunID{},
				runs: map[runtime.RunID]string{}, latest: map[string]runtime.RunID{},
				asked: map[string]bool{}, versions: map[runtime.RunID]map[uint64]runtime.RunState{}, calls: map[runtime.CallbackID]bool{},
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
	}, m.graphs[m.serving], echo())
}

// swap has the other definition serve.
func (m *model) swap() {
	m.serving = 1 - m.serving
	m.engine.SetCatalog(runtime.NewCatalog(m.graphs[m.serving], echo()))
}

// restart stops the engine in peace, and starts it again.
func (m *model) restart() {
	m.store.Release()
	stop(m.t, m.engine)
	if err := m.store.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.store = m.store.Reopen()
	m.start()
}

// step makes one operation.
func (m *model) step() {
	ctx, cancel := context.WithTimeout(m.t.Context(), 50*time.Millisecond)
	defer cancel()
	foreignID := rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6"}).Draw(m.rt, "foreign ID")
	id := m.latest[foreignID]
	note := runtime.Note{By: "model", Reason: "drawn"}
	switch op := rapid.IntRange(0, 34).Draw(m.rt, "operation"); {
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
	case op < 33:
		m.swap()
	case op < 34:
		m.restart()
	default:
		m.store = crash(m.t, m.engine, m.store)
		m.start()
	}
}

func (m *model) trigger(ctx context.Context, foreignID string) {
	key := rapid.SampledFrom([]string{"", "", "k", "l"}).Draw(m.rt, "trigger key")
	done, err := m.engine.Trigger(ctx, runtime.Trigger{Workflow: "model", ForeignID: foreignID, IdempotencyKey: key})
	first, known := m.keyed[[2]string{foreignID, key}]
	known = known && key != ""
	var busy *runtime.InProgressError
	var removed *runtime.RemovedError
	switch {
	case errors.As(err, &removed):
		if known && removed.RunID != first {
			m.t.Errorf("key %s of foreign ID %s began run %s, and is said to have begun %s", key, foreignID, first, removed.RunID)
		}
	case err == nil && known && (done.Record.RunID != first || !done.Repeated):
		m.t.Errorf("key %s of foreign ID %s began run %s, and now %s (repeated: %v)", key, foreignID, first, done.Record.RunID, done.Repeated)
	case err == nil && done.Repeated:
		m.runs[done.Record.RunID], m.keyed[[2]string{foreignID, key}] = foreignID, done.Record.RunID
	case err == nil:
		m.keyed[[2]string{foreignID, key}] = done.Record.RunID
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
	m.echoes = map[string]int{}
	for i := range all {
		if all[i].Workflow == "echo" {
			m.echoes[all[i].ForeignID]++
		}
	}
	for i := range all {
		rec := &all[i]
		if rec.Workflow == "echo" {
			continue
		}
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
		if !present[id] && !m.over(events[id]) {
			m.t.Errorf("run %s was acknowledged and is lost", id)
		}
	}
	for id := range m.calls {
		if !present[id.RunID] && !m.over(events[id.RunID]) {
			m.t.Errorf("callback %s was acknowledged and its run is lost", id)
		}
	}
	for foreignID, n := range m.echoes {
		var version uint64
		text, after, _ := strings.Cut(foreignID, "/")
		id, err := runtime.ParseRunID(text)
		if _, serr := fmt.Sscan(after, &version); errors.Join(err, serr) != nil || n != 1 || present[id] && !m.asked[foreignID] {
			m.t.Errorf("%d runs were asked for by version %d of run %s, which did not ask (%v)", n, version, id, err)
		}
	}
}

// over reports whether events tell of all of a run's life, up to the erasing that was asked for: it may be removed then.
func (m *model) over(events []runtime.Event) bool {
	for i := range events {
		if events[i].Version != uint64(i+1) {
			return false
		}
	}
	if m.graphs[0].Retention == 0 || len(events) == 0 {
		return false
	}
	last := events[len(events)-1].State
	return !last.Active() && last != runtime.RequestedDataDeleted
}

func (m *model) events() map[runtime.RunID][]runtime.Event {
	versions := map[runtime.RunID][]runtime.Event{}
	var c runtime.EventCursor
	if err := m.engine.Events(m.t.Context(), &c, false, func(e *runtime.Event) error {
		versions[e.RunID] = append(versions[e.RunID], *e)
		return nil
	}); err != nil {
		m.t.Fatal(err)
	}
	return versions
}

func (m *model) checkRun(rec *runtime.Record, events []runtime.Event) {
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
		if last != nil && last.Status == "c" && h.Cause == runtime.CauseStep && !h.Failed {
			by := fmt.Sprintf("%s/%d", rec.RunID, h.Version)
			if m.asked[by] = true; m.echoes[by] != 1 {
				m.t.Errorf("run %s, version %d, asked for one run; there are %d", rec.RunID, h.Version, m.echoes[by])
			}
		}
		last = h
	}
	if last == nil || last.Version != rec.Version || last.State != rec.State || last.Status != rec.Status {
		m.t.Errorf("run %s is %s in %s, version %d; its history ends with %+v", rec.RunID, rec.State, rec.Status, rec.Version, last)
	}
	for n := uint64(1); n <= rec.Version; n++ {
		if len(events) < int(n) || events[n-1].Version != n {
			m.t.Errorf("run %s: %d events, of which the one at %d is %+v; want versions 1 to %d", rec.RunID, len(events), n, events[min(n, uint64(len(events)))-1], rec.Version)
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
	handlers := map[runtime.CauseKind][]*runtime.Handler{}
	for _, w := range m.graphs {
		status := w.Statuses[from]
		handlers[runtime.CauseCallback] = append(handlers[runtime.CauseCallback], status.Callbacks...)
		handlers[runtime.CauseTimeout] = append(handlers[runtime.CauseTimeout], status.Timeouts...)
		if status.Step != nil {
			handlers[runtime.CauseStep] = append(handlers[runtime.CauseStep], status.Step)
		}
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
