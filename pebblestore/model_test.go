package pebblestore_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// pair drives a store and its model alike and compares every answer.
type pair struct {
	*rapid.T
	fs     cloneFS
	store  *pebblestore.Store
	model  *runtimetest.MemStore
	epochs []runtime.Epoch // of both
	now    time.Time
	runs   []runtime.Record // that are there
	ids    []runtime.RunID  // that ever were
	keys   []runtime.Timer
	tasks  []runtime.Task
}

// TestStoreAgainstModel: whatever is done to it, a store answers as the model in memory does, after stops and crashes too.
func TestStoreAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &pair{
			T: t, fs: cloneFS{vfs.NewCrashableMem(), new(sync.Mutex)}, model: runtimetest.NewMemStore(crashShards),
			now: time.UnixMilli(1_760_000_000_000).UTC(),
		}
		p.open()
		defer func() { p.must(p.store.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"create":  func(t *rapid.T) { p.T = t; p.create() },
			"change":  func(t *rapid.T) { p.T = t; p.change() },
			"change2": func(t *rapid.T) { p.T = t; p.change() },
			"remove":  func(t *rapid.T) { p.T = t; p.remove() },
			"task":    func(t *rapid.T) { p.T = t; p.task() },
			"plan":    func(t *rapid.T) { p.T = t; p.plan() },
			"beside":  func(t *rapid.T) { p.T = t; p.beside() },
			"forget":  func(t *rapid.T) { p.T = t; p.forget() },
			"cursor":  func(t *rapid.T) { p.T = t; p.cursor() },
			"list":    func(t *rapid.T) { p.T = t; p.list() },
			"work":    func(t *rapid.T) { p.T = t; p.work() },
			"events":  func(t *rapid.T) { p.T = t; p.events() },
			"park":    func(t *rapid.T) { p.T = t; p.park() },
			"reopen":  func(t *rapid.T) { p.T = t; p.reopen() },
			"crash":   func(t *rapid.T) { p.T = t; p.crash() },
			"check":   func(t *rapid.T) { p.T = t; p.check() },
		})
	})
}

func (p *pair) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func wantSame[T any](p *pair, what string, got, want T) {
	p.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		p.Fatalf("%s: the store says\n%s\nand the model\n%s", what, g, w)
	}
}

func draw[T any](p *pair, what string, from ...T) T { return rapid.SampledFrom(from).Draw(p.T, what) }

func (p *pair) index(what string, n int) int { return rapid.IntRange(0, n-1).Draw(p.T, what) }

func (p *pair) open() {
	s, err := pebblestore.Open(crashOptions(p.fs))
	p.must(err)
	p.store = s
	p.epochs = p.epochs[:0]
	for shard := range runtime.Shard(crashShards) {
		epoch, err := s.OpenShard(p.Context(), shard)
		p.must(err)
		other, err := p.model.OpenShard(p.Context(), shard)
		p.must(err)
		wantSame(p, "epoch", epoch, other)
		p.epochs = append(p.epochs, epoch)
		// A restart may give positions again that only batches without an event had. The model does not, so the store catches up.
		for s.Applied(shard) < p.model.Applied(shard) {
			_, err := s.Apply(shard, epoch, &runtime.Batch{})
			p.must(err)
		}
		wantSame(p, "applied", s.Applied(shard), p.model.Applied(shard))
	}
}

func (p *pair) apply(shard runtime.Shard, b runtime.Batch) {
	got, err := p.store.Apply(shard, p.epochs[shard], &b)
	p.must(err)
	want, err := p.model.Apply(shard, p.epochs[shard], &b)
	p.must(err)
	wantSame(p, "position", got, want)
}

func (p *pair) create() {
	workflow := draw(p, "workflow", "orders", "order", "o\xff", "o\xfe")
	foreignID := draw(p, "foreign ID", "1", "10", "1\x00", "\xff\xff")
	p.now = p.now.Add(time.Duration(p.index("ms", 3)) * time.Millisecond)
	id := runtime.NewRunID(p.now, runtime.SlotOf(workflow, foreignID), uint64(len(p.ids)))
	r := runtime.Record{
		RunID: id, Workflow: workflow, ForeignID: foreignID, State: runtime.Initiated, Version: 1, Entry: 1, Attempt: 1,
		CreatedAt: p.now, UpdatedAt: p.now,
	}
	b := runtime.Batch{Next: &r}
	b.Payload = p.vary(&r)
	b.History = entry(&r, 0)
	p.runs, p.ids = append(p.runs, r), append(p.ids, id)
	if draw(p, "with a key", true, false) {
		b.Remember = &runtime.Idempotency{
			Workflow: workflow, ForeignID: foreignID, Key: draw(p, "key", "k", "kk", "\x00"), RunID: id,
			ExpiresAt: p.now.Add(time.Duration(p.index("minutes", 5)) * time.Minute),
		}
		p.keys = append(p.keys, runtime.Timer{
			Due: b.Remember.ExpiresAt, Kind: runtime.TimerForget, RunID: id, Name: b.Remember.Key,
		})
	}
	p.apply(runtime.ShardOf(id.Slot(), crashShards), b)
	got, err := p.store.Latest(workflow, foreignID)
	p.must(err)
	want, err := p.model.Latest(workflow, foreignID)
	p.must(err)
	wantSame(p, "latest", got, want)
}

func (p *pair) minutes() time.Time {
	return p.now.Add(time.Duration(p.index("minutes", 5)) * time.Minute)
}

// vary changes a record and returns the payload of the callback that it has taken in, if it has.
func (p *pair) vary(r *runtime.Record) (payload []byte) {
	r.State = draw(p, "state", runtime.Initiated, runtime.Running, runtime.Paused, runtime.Completed)
	r.Status = draw(p, "status", "created", "paid", "p", "\xff")
	r.Parked = draw(p, "parked", false, false, true)
	r.NotBefore, r.ResumeAt = time.Time{}, time.Time{}
	switch p.index("timer", 4) {
	case 0:
		r.NotBefore = p.minutes()
	case 1:
		r.ResumeAt, r.ExpireAt = p.minutes(), p.minutes()
	}
	r.Task, r.Owner, r.Lines = uint64(p.index("task", 3)), runtime.Epoch(p.index("owner", 3)), uint32(p.index("lines", 3))
	r.Arming = draw(p, "arming", nil, nil, []string{"b"}, []string{"a", ""})
	r.Trace = draw(p, "trace", runtime.TraceContext{}, runtime.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1})
	pending := r.Pending
	r.Pending = nil
	for _, name := range []string{"a", "b", "a\x00"} {
		if draw(p, "with a timeout", false, false, true) {
			r.Pending = append(r.Pending, runtime.Pending{
				Kind: runtime.PendingTimeout, Name: name, Due: p.minutes(), Attempt: 1, Taken: draw(p, "taken", true, false),
			})
		}
	}
	for _, c := range pending {
		if c.Kind == runtime.PendingCallback && draw(p, "still pending", true, true, false) {
			c.Taken, c.Due = draw(p, "taken", true, false), p.minutes()
			r.Pending = append(r.Pending, c)
		}
	}
	if draw(p, "a callback", false, false, true) {
		r.Callbacks++
		r.Pending = append(r.Pending, runtime.Pending{
			Kind: runtime.PendingCallback, Callback: r.Callbacks, Due: p.now, Taken: true,
		})
		payload = []byte(strings.Repeat("p", draw(p, "payload", 0, 10, 3000)))
	}
	r.Object = []byte(strings.Repeat("x", draw(p, "object", 0, 10, 3000)))
	r.Reason = draw(p, "reason", "", "because")
	return payload
}

func entry(r *runtime.Record, line uint32) []runtime.HistoryEntry {
	return []runtime.HistoryEntry{{
		RunID: r.RunID, Version: r.Version, Line: line, State: r.State, Status: r.Status, Time: r.UpdatedAt, Reason: r.Reason,
		Object: r.Object,
	}}
}

func (p *pair) change() {
	if len(p.runs) == 0 {
		p.Skip("no run")
	}
	i := p.index("run", len(p.runs))
	prev := p.runs[i]
	next := prev.Clone()
	b := runtime.Batch{Prev: &prev, Next: &next, Erase: p.index("erase", 8) == 0}
	if b.Payload = p.vary(&next); b.Erase {
		next.Pending, b.Payload = nil, nil // a run that has ended has none
	}
	if draw(p, "a version", true, true, false) {
		next.Version++
		b.History = entry(&next, 0)
	} else {
		next.State = prev.State // or nobody would be told
		next.Attempt++
		b.History = entry(&next, next.Attempt)
	}
	if draw(p, "with a log", true, false) {
		b.Log = &runtime.LogEntry{
			RunID: next.RunID, Version: prev.Version, Time: p.minutes(), Handler: "step/s",
			Lines: []runtime.LogLine{{Time: p.now, Level: p.index("level", 9) - 4, Text: draw(p, "text", "", "told")}},
		}
	}
	p.apply(runtime.ShardOf(next.RunID.Slot(), crashShards), b)
	p.runs[i] = next

	var got runtime.Record
	p.must(p.store.Record(next.RunID, &got))
	if !runtimetest.EqualRecords(&got, &next) {
		p.Fatalf("record is\n%+v, want\n%+v", got, next)
	}
	version, limit := uint64(p.index("after", 4)), 1+p.index("limit", 5)
	history, err := p.store.History(next.RunID, version, 0, limit)
	p.must(err)
	want, err := p.model.History(next.RunID, version, 0, limit)
	p.must(err)
	wantSame(p, "history", history, want)
}

func (p *pair) remove() {
	i := slices.IndexFunc(p.runs, func(r runtime.Record) bool { return r.State == runtime.Completed })
	if i < 0 {
		p.Skip("no run has ended")
	}
	prev := p.runs[i]
	p.apply(runtime.ShardOf(prev.RunID.Slot(), crashShards), runtime.Batch{Prev: &prev, Remove: true})
	p.runs = slices.Delete(p.runs, i, i+1)
	if err := p.store.Record(prev.RunID, &runtime.Record{}); !errors.Is(err, runtime.ErrNotFound) {
		p.Fatalf("a removed run: %v", err)
	}
}

// task adds a task of a run that is there or was, and drops one.
func (p *pair) task() {
	if len(p.ids) == 0 {
		p.Skip("no run")
	}
	id := p.ids[p.index("run", len(p.ids))]
	t := runtime.Task{
		Due: p.minutes(), Kind: draw(p, "kind", runtime.TaskHook, runtime.TaskErase, runtime.TaskIntent), RunID: id, Version: 1,
		Name: draw(p, "name", "", "a", "a\x00"), Attempt: uint32(p.index("attempt", 3)),
	}
	switch t.Kind {
	case runtime.TaskHook:
		r := runtime.Record{RunID: id, Workflow: "orders", Version: 1, Reason: "because", Object: []byte("told")}
		t.Record, t.On = &r, runtime.HookPause
	case runtime.TaskIntent:
		t.Intent = &runtime.Intent{Workflow: "refunds", ForeignID: "\x00", Object: []byte("asked")}
		if draw(p, "callback", false, true) {
			t.Intent.Kind, t.Intent.Status = runtime.IntentCallback, "asked"
		}
	default:
	}
	b := runtime.Batch{AddTasks: []runtime.Task{t}}
	shard := runtime.ShardOf(id.Slot(), crashShards)
	if i := p.index("drop", len(p.tasks)+1); i < len(p.tasks) {
		if old := &p.tasks[i]; runtime.ShardOf(old.RunID.Slot(), crashShards) == shard {
			b.DropTask = old
		}
	}
	p.apply(shard, b)
	p.tasks = append(p.tasks, t)
}

// plan makes, changes or removes a schedule.
func (p *pair) plan() {
	next := runtime.Schedule{
		ScheduleSpec: runtime.ScheduleSpec{
			Workflow: draw(p, "workflow", "orders", "order"), Name: draw(p, "name", "s", "ss"), Cron: "@daily",
			ForeignID: draw(p, "foreign ID", "", "1", "2"),
		},
		Next: p.minutes(), Paused: draw(p, "paused", true, false),
	}
	b := runtime.Batch{NextSchedule: &next}
	prev, err := p.model.Schedule(next.Workflow, next.Name)
	if err == nil {
		b.PrevSchedule = &prev
		if draw(p, "remove", true, false) {
			next, b.NextSchedule = prev, nil
		}
	}
	foreignID := cmp.Or(next.ForeignID, next.Name)
	p.apply(runtime.ShardOf(runtime.SlotOf(next.Workflow, foreignID), crashShards), b)
}

// beside compares what lies beside the records.
func (p *pair) beside() {
	for _, id := range p.ids {
		version, limit := uint64(p.index("after", 4)), 1+p.index("limit", 5)
		got, err := p.store.Logs(id, version, p.now, limit)
		p.must(err)
		want, err := p.model.Logs(id, version, p.now, limit)
		p.must(err)
		wantSame(p, "logs", got, want)
		lines, err := p.store.History(id, version, 1, limit)
		p.must(err)
		wantLines, err := p.model.History(id, version, 1, limit)
		p.must(err)
		wantSame(p, "history", lines, wantLines)
		for callback := range uint64(5) {
			got, err := p.store.Payload(id, callback)
			want, wantErr := p.model.Payload(id, callback)
			if errors.Is(err, runtime.ErrNotFound) != errors.Is(wantErr, runtime.ErrNotFound) || string(got) != string(want) {
				p.Fatalf("payload of callback %d: the store says %q, %v, the model %q, %v", callback, got, err, want, wantErr)
			}
		}
	}
	got, err := p.store.Schedules()
	p.must(err)
	want, err := p.model.Schedules()
	p.must(err)
	if !slices.EqualFunc(got, want, func(a, b runtime.Schedule) bool { return runtimetest.EqualSchedules(&a, &b) }) {
		p.Fatalf("schedules: the store says\n%+v\nand the model\n%+v", got, want)
	}
	shard, now := runtime.Shard(p.index("shard", crashShards)), p.minutes()
	tasks, next, err := p.store.DueTasks(shard, now, nil, 1000, nil)
	p.must(err)
	wantTasks, wantNext, err := p.model.DueTasks(shard, now, nil, 1000, nil)
	p.must(err)
	wantSame(p, "tasks", shown(tasks), shown(wantTasks))
	wantSame(p, "next task", next, wantNext)
}

// shown returns tasks as text, with what their pointers point to.
func shown(tasks []runtime.Task) []string {
	var all []string
	for _, t := range tasks {
		var record runtime.Record
		var intent runtime.Intent
		if t.Record != nil {
			record = *t.Record
		}
		if t.Intent != nil {
			intent = *t.Intent
		}
		t.Record, t.Intent = nil, nil
		all = append(all, fmt.Sprintf("%+v %+v %+v", t, record, intent))
	}
	return all
}

// base is where the positions of a shard's present owner begin.
func (p *pair) base(shard runtime.Shard) runtime.LSN { return p.store.Applied(shard) >> 40 << 40 }

func (p *pair) forget() {
	if len(p.keys) == 0 {
		p.Skip("no key")
	}
	t := p.keys[p.index("key", len(p.keys))]
	p.apply(runtime.ShardOf(t.RunID.Slot(), crashShards), runtime.Batch{Forget: &t})
	for _, r := range p.runs {
		got, err := p.store.Remembered(r.Workflow, r.ForeignID, t.Name)
		want, wantErr := p.model.Remembered(r.Workflow, r.ForeignID, t.Name)
		if errors.Is(err, runtime.ErrNotFound) != errors.Is(wantErr, runtime.ErrNotFound) {
			p.Fatalf("key %q: the store says %v, the model %v", t.Name, err, wantErr)
		}
		if err == nil {
			wantSame(p, "kept key", got, want)
		}
	}
}

func (p *pair) cursor() {
	shard := runtime.Shard(p.index("shard", crashShards))
	name := draw(p, "cursor", "relay", "tail")
	base := p.base(shard)
	at := runtime.LSN(p.index("position", int(p.store.Applied(shard)-base)+2))
	lsn := base + at
	for _, do := range []func(runtime.Store) error{
		func(s runtime.Store) error { return s.SetCursor(shard, name, lsn) },
		func(s runtime.Store) error {
			if lsn%5 > 0 {
				return nil
			}
			return s.TrimEvents(shard, base+at/2)
		},
		func(s runtime.Store) error {
			if lsn%7 > 0 {
				return nil
			}
			return s.DropCursor(name)
		},
	} {
		if err, want := do(p.store), do(p.model); (err == nil) != (want == nil) {
			p.Fatalf("the store says %v, the model %v", err, want)
		}
	}
	got, err := p.store.Cursor(shard, name)
	p.must(err)
	want, err := p.model.Cursor(shard, name)
	p.must(err)
	wantSame(p, "cursor", got, want)
}

func (p *pair) list() {
	some := func(what string, from ...string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(from), 0, 2).Draw(p.T, what)
	}
	q := runtime.Query{
		Workflows:  some("workflows", "orders", "order", "o\xff", "o\xfe", "none"),
		Statuses:   some("statuses", "created", "paid", "p", "\xff"),
		ForeignIDs: some("foreign IDs", "1", "10", "\xff\xff", "none"), Descending: draw(p, "descending", true, false),
		Limit: 1 + p.index("limit", 20),
	}
	q.States = rapid.SliceOfN(rapid.SampledFrom(runtime.RunStates()), 0, 3).Draw(p.T, "states")
	if len(p.runs) > 0 {
		at := func(what string) runtime.RunID { return p.runs[p.index(what, len(p.runs))].RunID }
		switch p.index("bound", 4) {
		case 0:
			q.After = at("after")
		case 1:
			q.CreatedAfter = at("created after").Time()
		case 2:
			q.CreatedBefore = at("created before").Time().Add(time.Microsecond)
		}
	}
	got, err := p.store.List(p.Context(), &q)
	p.must(err)
	want, err := p.model.List(p.Context(), &q)
	p.must(err)
	if !slices.EqualFunc(got, want, func(a, b runtime.Record) bool { return runtimetest.EqualRecords(&a, &b) }) {
		p.Fatalf("list %+v: the store says\n%+v\nand the model\n%+v", q, got, want)
	}
}

func (p *pair) work() {
	shard := runtime.Shard(p.index("shard", crashShards))
	queues := func(s runtime.Store) []string {
		found, err := s.Queues(shard)
		p.must(err)
		var names []string
		for _, q := range found {
			names = append(names, fmt.Sprintf("%+v", q))
		}
		slices.Sort(names)
		return names
	}
	wantSame(p, "queues", queues(p.store), queues(p.model))
	for _, workflow := range []string{"orders", "order", "o\xff", "o\xfe"} {
		for _, status := range []string{"created", "paid", "p", "\xff"} {
			q := runtime.Queue{Workflow: workflow, Status: status}
			var after runtime.RunID
			if len(p.runs) > 0 {
				after = p.runs[p.index("after", len(p.runs))].RunID
			}
			got, err := p.store.Ready(shard, q, after, 3, nil)
			p.must(err)
			want, err := p.model.Ready(shard, q, after, 3, nil)
			p.must(err)
			wantSame(p, "ready", got, want)
		}
	}
	now, limit := p.now.Add(time.Duration(p.index("minutes", 6))*time.Minute), p.index("limit", 10)
	got, next, err := p.store.Due(shard, now, limit, nil)
	p.must(err)
	want, wantNext, err := p.model.Due(shard, now, limit, nil)
	p.must(err)
	wantSame(p, "due", got, want)
	wantSame(p, "next due", next, wantNext)
}

func (p *pair) events() {
	shard := runtime.Shard(p.index("shard", crashShards))
	after, limit := p.base(shard)+runtime.LSN(p.index("after", 30)), p.index("limit", 10)
	got, err := p.store.Events(shard, after, limit, nil)
	p.must(err)
	want, err := p.model.Events(shard, after, limit, nil)
	p.must(err)
	wantSame(p, "events", got, want)
}

// park parks an event of the log, or drops one that is parked, and compares what is parked.
func (p *pair) park() {
	shard := runtime.Shard(p.index("shard", crashShards))
	logged, err := p.model.Events(shard, p.base(shard), 10, nil)
	p.must(err)
	refs, err := p.model.ParkedRefs(shard, runtime.EventRef{}, 10, nil)
	p.must(err)
	stores := []runtime.Store{p.store, p.model}
	switch {
	case len(refs) > 0 && draw(p, "drop", true, false):
		gone := refs[p.index("dropped", len(refs))]
		for _, s := range stores {
			p.must(s.UnparkEvent(shard, gone))
		}
	case len(logged) > 0:
		parked := runtime.ParkedEvent{Event: logged[p.index("event", len(logged))], Cause: draw(p, "cause", "too large", "not allowed"), At: p.now}
		parked.Event.Number, parked.Event.Emits = p.index("number", 12), nil
		for _, s := range stores {
			p.must(s.ParkEvent(shard, &parked))
		}
	}
	var after runtime.EventRef
	if len(refs) > 0 {
		after = refs[p.index("after", len(refs))]
	}
	limit := p.index("limit", 5)
	got, err := p.store.ParkedRefs(shard, after, limit, nil)
	p.must(err)
	want, err := p.model.ParkedRefs(shard, after, limit, nil)
	p.must(err)
	wantSame(p, "parked events", got, want)
	for _, ref := range append(refs, want...) {
		got, err := p.store.ParkedEvent(shard, ref)
		want, wantErr := p.model.ParkedEvent(shard, ref)
		if errors.Is(err, runtime.ErrNotFound) != errors.Is(wantErr, runtime.ErrNotFound) {
			p.Fatalf("parked event %s: the store says %v, the model %v", ref.ID(), err, wantErr)
		}
		wantSame(p, "parked event", got, want)
	}
}

func (p *pair) reopen() {
	p.must(p.store.Close())
	p.must(p.model.Close())
	p.model = p.model.Reopen()
	p.open()
	if p.store.Unclean() {
		p.Fatal("unclean after Close")
	}
}

// crash loses everything that was not acknowledged: nothing, as all is waited for first.
func (p *pair) crash() {
	for shard := range runtime.Shard(crashShards) {
		p.apply(shard, runtime.Batch{}) // behind the cursors that were set
		p.must(p.store.WaitDurable(p.Context(), shard, p.store.Applied(shard)))
	}
	p.fs.mu.Lock()
	clone := p.fs.CrashClone(vfs.CrashCloneCfg{})
	p.fs.mu.Unlock()
	p.must(p.store.Close())
	p.fs = cloneFS{clone, new(sync.Mutex)}
	p.model = p.model.Crash()
	p.open()
	if !p.store.Unclean() {
		p.Fatal("clean after a crash")
	}
}

func (p *pair) check() {
	report, err := p.store.Check(p.Context())
	p.must(err)
	if report.Count > 0 || report.Records != len(p.runs) {
		p.Fatalf("%d records, want %d; %v", report.Records, len(p.runs), report.Problems)
	}
}
