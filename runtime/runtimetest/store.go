package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// StoreShards is the number of shards of the stores that TestStore asks for.
const StoreShards = 4

// TestStore is the conformance suite of runtime.Store.
//
// open makes a new, empty store with StoreShards shards and returns how to open it: the first call opens it for the first
// time, every later one after the suite has closed the store before. The suite closes what it opens.
func TestStore(t *testing.T, open func(t *testing.T) (reopen func() runtime.Store)) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	cases := []struct {
		name string
		test func(*storeTest)
	}{
		{"a new store holds nothing", testEmpty},
		{"a record comes back as it was written", testRecord},
		{"what a caller gets is its own", testOwnership},
		{"batches are numbered by shard and become durable", testPositions},
		{"waiting ends with its context", testWaitEnds},
		{"an old epoch is refused", testEpochs},
		{"a batch of another shard is refused", testWrongShard},
		{"a batch is all or nothing", testAtomic},
		{"the latest run is the newest created", testLatest},
		{"history is ordered and paged", testHistory},
		{"logs are ordered and paged", testLogs},
		{"a payload is there while its callback is pending", testPayloads},
		{"an idempotency key is kept until it is forgotten", testIdempotency},
		{"a changed version makes one event", testEvents},
		{"events are read by cursors and trimmed", testCursors},
		{"events are counted", testCountEvents},
		{"refused events are parked until they are dropped", testParkedEvents},
		{"queues hold the ready runs", testQueues},
		{"ready runs are paged in order", testReadyPages},
		{"names that begin alike are told apart", testNames},
		{"timers are due in order", testTimers},
		{"ended runs have no timers", testEndedTimers},
		{"what is pending has timers of its own", testPendingTimers},
		{"tasks are due in order", testTasks},
		{"tasks are told apart", testTaskIdentity},
		{"a schedule is found by its name", testSchedules},
		{"receipts are found and trimmed", testReceipts},
		{"parked messages are paged in order", testParked},
		{"erasing leaves what holds no data", testErase},
		{"a removed run leaves its events, tasks and keys", testRemove},
		{"pages do not overlap, in both orders", testPages},
		{"lists filter by each field and by all", testFilters},
		{"pages are stable under writes", testStablePages},
		{"lists refuse what they cannot answer", testListRefusals},
		{"active and pinned runs are counted", testCounts},
		{"everything is there after a restart", testReopen},
		{"shards are written side by side", testConcurrent},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a failure must come again
			s := &storeTest{T: t, reopen: open(t), random: random, now: start}
			s.open()
			defer s.close()
			c.test(s)
		})
	}
}

// storeTest drives one store as an engine would: it knows each shard's epoch, and checks every error.
type storeTest struct {
	*testing.T
	runtime.Store
	reopen func() runtime.Store
	epochs []runtime.Epoch
	random *rand.Rand
	now    time.Time
}

func (s *storeTest) open() {
	s.Helper()
	s.Store = s.reopen()
	s.epochs = s.epochs[:0]
	for i := range s.Shards() {
		epoch, err := s.OpenShard(s.Context(), runtime.Shard(i))
		s.must(err)
		s.epochs = append(s.epochs, epoch)
	}
}

func (s *storeTest) close() {
	s.Helper()
	s.must(s.Close())
}

func (s *storeTest) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *storeTest) wantError(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("error is %v, want %v", err, want)
	}
}

// newRun returns the first version of a run, created one millisecond after the one before.
func (s *storeTest) newRun(workflow, foreignID, status string) *runtime.Record {
	s.now = s.now.Add(time.Millisecond)
	return &runtime.Record{
		RunID:    runtime.NewRunID(s.now, runtime.SlotOf(workflow, foreignID), s.random.Uint64()),
		Workflow: workflow, ForeignID: foreignID, State: runtime.Initiated, Status: status,
		Version: 1, Entry: 1, Attempt: 1, CreatedAt: s.now, UpdatedAt: s.now, Object: []byte(`{"n":1}`),
	}
}

func (s *storeTest) shard(r *runtime.Record) runtime.Shard {
	return runtime.ShardOf(r.RunID.Slot(), s.Shards())
}

func (s *storeTest) apply(shard runtime.Shard, b *runtime.Batch) runtime.LSN {
	s.Helper()
	lsn, err := s.Apply(shard, s.epochs[shard], b)
	s.must(err)
	return lsn
}

// create writes a new run and its history.
func (s *storeTest) create(workflow, foreignID, status string) *runtime.Record {
	s.Helper()
	r := s.newRun(workflow, foreignID, status)
	s.apply(s.shard(r), &runtime.Batch{Next: r, History: entryOf(r)})
	return r
}

// change writes the next version of r as edit makes it, and returns it.
func (s *storeTest) change(r *runtime.Record, edit func(*runtime.Record)) *runtime.Record {
	s.Helper()
	next := r.Clone()
	next.Version++
	next.UpdatedAt = next.UpdatedAt.Add(time.Second)
	edit(&next)
	s.apply(s.shard(r), &runtime.Batch{Prev: r, Next: &next, History: entryOf(&next)})
	return &next
}

func entryOf(r *runtime.Record) []runtime.HistoryEntry {
	return []runtime.HistoryEntry{{
		RunID: r.RunID, Version: r.Version, Time: r.UpdatedAt, Cause: runtime.CauseStep, Handler: "step", Attempt: 1,
		State: r.State, Status: r.Status,
	}}
}

func (s *storeTest) wantRecord(want *runtime.Record) {
	s.Helper()
	var got runtime.Record
	s.must(s.Record(want.RunID, &got))
	if !EqualRecords(&got, want) {
		s.Fatalf("record is\n%+v, want\n%+v", got, *want)
	}
}

func (s *storeTest) queues(shard runtime.Shard) []runtime.Queue {
	s.Helper()
	queues, err := s.Queues(shard)
	s.must(err)
	slices.SortFunc(queues, func(a, b runtime.Queue) int {
		return strings.Compare(a.Workflow+"\x00"+a.Status, b.Workflow+"\x00"+b.Status)
	})
	return queues
}

func (s *storeTest) ready(shard runtime.Shard, workflow, status string) []runtime.RunID {
	s.Helper()
	ids, err := s.Ready(shard, runtime.Queue{Workflow: workflow, Status: status}, runtime.RunID{}, 1000, nil)
	s.must(err)
	return ids
}

func wantEqual[T any](s *storeTest, what string, got, want []T) {
	s.Helper()
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		s.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func testEmpty(s *storeTest) {
	if s.Shards() != StoreShards || s.Unclean() {
		s.Fatalf("%d shards, unclean %v; want %d, false", s.Shards(), s.Unclean(), StoreShards)
	}
	r := s.newRun("orders", "1", "created")
	s.wantError(s.Record(r.RunID, &runtime.Record{}), runtime.ErrNotFound)
	_, err := s.Latest("orders", "1")
	s.wantError(err, runtime.ErrNotFound)
	_, err = s.Remembered("orders", "1", "key")
	s.wantError(err, runtime.ErrNotFound)
	_, err = s.Payload(r.RunID, 1)
	s.wantError(err, runtime.ErrNotFound)
	_, err = s.Schedule("orders", "nightly")
	s.wantError(err, runtime.ErrNotFound)
	for i := range runtime.Shard(StoreShards) {
		if base := s.epochs[i].Base(); s.Applied(i) != base || s.Durable(i) != base {
			s.Fatalf("shard %d: applied %d, durable %d, want the epoch's %d", i, s.Applied(i), s.Durable(i), base)
		}
		s.must(s.WaitDurable(s.Context(), i, 0))
		events, err := s.Events(i, 0, 10, nil)
		s.must(err)
		timers, next, err := s.Due(i, s.now.Add(time.Hour), 10, nil)
		s.must(err)
		tasks, nextTask, err := s.DueTasks(i, s.now.Add(time.Hour), nil, 10, nil)
		s.must(err)
		if len(events)+len(timers)+len(tasks)+len(s.queues(i)) > 0 || !next.IsZero() || !nextTask.IsZero() {
			s.Fatalf("shard %d: events %v, timers %v, next %v, tasks %v, next %v", i, events, timers, next, tasks, nextTask)
		}
	}
	logs, err := s.Logs(r.RunID, 0, time.Time{}, 10)
	s.must(err)
	schedules, err := s.Schedules()
	s.must(err)
	if len(logs)+len(schedules) > 0 {
		s.Fatalf("logs %v, schedules %v", logs, schedules)
	}
	records, err := s.List(s.Context(), &runtime.Query{Limit: 10})
	s.must(err)
	history, err := s.History(r.RunID, 0, 0, 10)
	s.must(err)
	if len(records)+len(history) > 0 {
		s.Fatalf("records %v, history %v", records, history)
	}
}

func testRecord(s *storeTest) {
	full := s.newRun("orders", "\x00\xff/10248", "charged")
	full.State, full.Version, full.Entry, full.Attempt = runtime.Paused, 1<<60, 1<<59, 1<<31
	full.NotBefore, full.Parked = s.now.Add(1), true
	full.Pause, full.ResumeAt = runtime.PausedByError, s.now.Add(time.Hour+7)
	full.Reason, full.Digest = "the card was refused", runtime.Digest{1, 31: 9}
	full.UpdatedAt, full.Object = s.now.Add(time.Nanosecond), bytes.Repeat([]byte("x"), 100_000)
	full.Task, full.Owner, full.Arming, full.Callbacks, full.Lines = 1<<58, 1<<57, true, 1<<56, 1<<31
	full.ExpireAt, full.Pinned, full.Trace = s.now.Add(2*time.Hour), runtime.Digest{7, 31: 8}, someTrace(3)
	full.Pending = []runtime.Pending{
		{Kind: runtime.PendingTimeout, Name: strings.Repeat("t", 64), Due: s.now.Add(time.Hour), Attempt: 1 << 31},
		{Kind: runtime.PendingCallback, Callback: 1 << 55, Due: time.Unix(-1, 1).UTC(), Taken: true, Trace: someTrace(7)},
		{},
	}
	s.apply(s.shard(full), &runtime.Batch{Next: full})
	s.wantRecord(full)

	bare := s.newRun("orders", strings.Repeat("f", 256), strings.Repeat("s", 64))
	bare.Object = []byte{}
	s.apply(s.shard(bare), &runtime.Batch{Next: bare})
	s.wantRecord(bare)

	// A record that is read over another has nothing left of it.
	var r runtime.Record
	s.must(s.Record(full.RunID, &r))
	s.must(s.Record(bare.RunID, &r))
	if !EqualRecords(&r, bare) || r.Object == nil {
		s.Fatalf("record is %+v, want %+v", r, *bare)
	}
}

func testOwnership(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	entry := entryOf(r)
	entry[0].Object = []byte(`{"n":1}`)
	s.apply(s.shard(r), &runtime.Batch{Next: r, History: entry})
	want := r.Clone()
	copy(r.Object, "garbage")
	copy(entry[0].Object, "garbage")
	s.wantRecord(&want)

	for range 2 {
		var got runtime.Record
		s.must(s.Record(want.RunID, &got))
		list, err := s.List(s.Context(), &runtime.Query{Limit: 1})
		s.must(err)
		history, err := s.History(want.RunID, 0, 0, 1)
		s.must(err)
		for _, object := range [][]byte{got.Object, list[0].Object, history[0].Object} {
			if string(object) != `{"n":1}` {
				s.Fatalf("object is %s", object)
			}
			copy(object, "garbage")
		}
	}
}

func testPositions(s *storeTest) {
	r := s.create("orders", "1", "created")
	shard := s.shard(r)
	base := s.epochs[shard].Base()
	for want := base + 2; want < base+10; want++ {
		next := r.Clone()
		next.Attempt++ // an attempt makes no version and no event, and still has a position
		if lsn := s.apply(shard, &runtime.Batch{Prev: r, Next: &next}); lsn != want || s.Applied(shard) != want {
			s.Fatalf("position %d, applied %d, want %d", lsn, s.Applied(shard), want)
		}
		s.must(s.WaitDurable(s.Context(), shard, want))
		if s.Durable(shard) != want {
			s.Fatalf("durable is %d after waiting for %d", s.Durable(shard), want)
		}
		r = &next
	}
	for i := range runtime.Shard(StoreShards) {
		if i != shard && s.Applied(i) != s.epochs[i].Base() {
			s.Fatalf("shard %d moved to %d", i, s.Applied(i))
		}
	}
	// An empty batch has a position too.
	lsn := s.apply(shard, &runtime.Batch{})
	s.must(s.WaitDurable(s.Context(), shard, lsn))
}

func testWaitEnds(s *storeTest) {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	s.wantError(s.WaitDurable(ctx, 0, s.Applied(0)+1), context.Canceled) // nothing was applied: it can only wait

	// Who waits for a position to come is woken when it came.
	done := make(chan error, 1)
	r := s.newRun("orders", "1", "created")
	come := s.Applied(s.shard(r)) + 1
	go func() { done <- s.WaitDurable(s.Context(), s.shard(r), come) }()
	s.apply(s.shard(r), &runtime.Batch{Next: r})
	s.must(<-done)
}

func testEpochs(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	shard := s.shard(r)
	old := s.epochs[shard]
	epoch, err := s.OpenShard(s.Context(), shard)
	s.must(err)
	if epoch <= old {
		s.Fatalf("epoch %d after %d", epoch, old)
	}
	for _, e := range []runtime.Epoch{0, old, epoch + 1} {
		_, err := s.Apply(shard, e, &runtime.Batch{Next: r})
		s.wantError(err, runtime.ErrFenced)
	}
	s.wantError(s.Record(r.RunID, &runtime.Record{}), runtime.ErrNotFound)
	lsn, err := s.Apply(shard, epoch, &runtime.Batch{Next: r})
	s.must(err)
	if lsn != epoch.Base()+1 {
		s.Fatalf("position %d after refused batches, want the first of the epoch, %d", lsn, epoch.Base()+1)
	}
}

func testWrongShard(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	other := (s.shard(r) + 1) % StoreShards
	if _, err := s.Apply(other, s.epochs[other], &runtime.Batch{Next: r}); err == nil {
		s.Fatal("a run was written to a shard where it is not looked for")
	}
	moved := s.newRun("orders", "1", "created")
	moved.ForeignID = "2"
	if _, err := s.Apply(s.shard(moved), s.epochs[s.shard(moved)], &runtime.Batch{Next: moved}); err == nil {
		s.Fatal("a run was written whose ID does not carry the slot of its foreign ID")
	}
	if _, err := s.Queues(StoreShards); err == nil {
		s.Fatal("a shard was read that does not exist")
	}
	for what, b := range map[string]*runtime.Batch{
		"a line of history": {History: entryOf(r)},
		"a log entry":       {Log: &runtime.LogEntry{RunID: r.RunID, Version: 1, Time: s.now}},
		"a task":            {AddTasks: []runtime.Task{{Due: s.now, Kind: runtime.TaskErase, RunID: r.RunID, Version: 1}}},
		"an idempotency key": {Remember: &runtime.Idempotency{
			Workflow: "orders", ForeignID: "1", Key: "k", RunID: r.RunID, ExpiresAt: s.now,
		}},
		"a schedule": {NextSchedule: &runtime.Schedule{
			ScheduleSpec: runtime.ScheduleSpec{Workflow: "orders", Name: "nightly", ForeignID: "1"},
		}},
	} {
		if _, err := s.Apply(other, s.epochs[other], b); err == nil {
			s.Fatalf("%s was written to a shard where it is not looked for", what)
		}
	}
}

func testAtomic(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	key := &runtime.Idempotency{Workflow: "orders", ForeignID: "1", Key: "k", RunID: r.RunID, ExpiresAt: s.now.Add(time.Hour)}
	long := r.Clone()
	long.Status = strings.Repeat("s", 65)
	refused := &runtime.Batch{Next: &long, History: entryOf(r), Remember: key}
	if _, err := s.Apply(s.shard(r), s.epochs[s.shard(r)], refused); err == nil {
		s.Fatal("a status of 65 bytes was written")
	}
	history, err := s.History(r.RunID, 0, 0, 10)
	s.must(err)
	if _, err := s.Remembered("orders", "1", "k"); len(history) > 0 || !errors.Is(err, runtime.ErrNotFound) {
		s.Fatalf("a refused batch left history %v, key error %v", history, err)
	}
	s.apply(s.shard(r), &runtime.Batch{Next: r, History: entryOf(r), Remember: key})
	s.wantRecord(r)
}

func testLatest(s *storeTest) {
	older := s.create("orders", "1", "created")
	newer := s.create("orders", "1", "created")
	s.create("orders", "10", "created")
	s.create("order", "s1", "created")
	s.change(older, func(r *runtime.Record) { r.State = runtime.Cancelled }) // the last written
	latest, err := s.Latest("orders", "1")
	s.must(err)
	if latest != newer.RunID {
		s.Fatalf("latest is %s, want %s", latest, newer.RunID)
	}
	_, err = s.Latest("orders", "")
	s.wantError(err, runtime.ErrNotFound)
}

func testHistory(s *storeTest) {
	r := s.create("orders", "1", "created")
	other := s.create("orders", "1", "created")
	want := entryOf(r)
	for version := uint64(2); version <= 4; version++ {
		var lines []runtime.HistoryEntry
		for line := range uint32(3) {
			e := entryOf(r)[0]
			e.Version, e.Line, e.Failed = version, line, line == 2
			e.Attempt, e.Took, e.Fuel, e.Digest = line+1, time.Millisecond, 1<<40+uint64(line), runtime.Digest{7}
			e.Reason, e.Cause, e.Callback, e.By = "timeout", runtime.CauseTimer, uint64(line)<<40, "ada"
			if line == 0 {
				e.Object = []byte("{}")
			}
			lines = append(lines, e)
		}
		before := slices.Clone(lines[1:])
		before[0].Reason, before[1].Object = "to be written over", []byte("[]")
		s.apply(s.shard(r), &runtime.Batch{History: before})
		s.apply(s.shard(r), &runtime.Batch{History: lines})
		want = append(want, lines...)
	}
	var version uint64
	var line uint32
	for i := 0; i < len(want); i += 3 {
		page, err := s.History(r.RunID, version, line, 3)
		s.must(err)
		if len(page) != min(3, len(want)-i) {
			s.Fatalf("page of %d at %d", len(page), i)
		}
		for j, e := range page {
			if got, want := fmt.Sprintf("%#v", e), fmt.Sprintf("%#v", want[i+j]); got != want {
				s.Fatalf("entry is\n%s, want\n%s", got, want)
			}
			version, line = e.Version, e.Line
		}
	}
	page, err := s.History(other.RunID, 0, 0, 100)
	s.must(err)
	if len(page) != 1 {
		s.Fatalf("%d entries of a run with one", len(page))
	}
}

func testIdempotency(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	shard := s.shard(r)
	key := runtime.Idempotency{
		Workflow: "orders", ForeignID: "1", Key: "a key", Request: [32]byte{1, 31: 2}, RunID: r.RunID, Callback: 1 << 40,
		ExpiresAt: s.now.Add(time.Hour),
	}
	s.apply(shard, &runtime.Batch{Next: r, Remember: &key})
	got, err := s.Remembered("orders", "1", "a key")
	s.must(err)
	if got != key {
		s.Fatalf("kept %+v, want %+v", got, key)
	}
	for _, other := range [][3]string{
		{"orders", "1", "a ke"}, {"orders", "2", "a key"}, {"order", "1", "a key"}, {"orders", "1a", " key"},
	} {
		_, err := s.Remembered(other[0], other[1], other[2])
		s.wantError(err, runtime.ErrNotFound)
	}

	// Kept again with another end, it has one timer: the new one.
	key.ExpiresAt = s.now.Add(2 * time.Hour)
	s.apply(shard, &runtime.Batch{Remember: &key})
	want := []runtime.Timer{{Due: key.ExpiresAt, Kind: runtime.TimerForget, RunID: r.RunID, Name: "a key"}}
	timers, _, err := s.Due(shard, key.ExpiresAt, 10, nil)
	s.must(err)
	wantEqual(s, "timers", timers, want)

	// A timer that is not the key's own forgets nothing.
	stale := want[0]
	stale.Due = s.now.Add(time.Hour)
	s.apply(shard, &runtime.Batch{Forget: &stale})
	_, err = s.Remembered("orders", "1", "a key")
	s.must(err)

	s.apply(shard, &runtime.Batch{Forget: &want[0]})
	_, err = s.Remembered("orders", "1", "a key")
	s.wantError(err, runtime.ErrNotFound)
	timers, next, err := s.Due(shard, key.ExpiresAt.Add(time.Hour), 10, nil)
	s.must(err)
	if len(timers) > 0 || !next.IsZero() {
		s.Fatalf("timers %v, next %v", timers, next)
	}
}

// someTrace returns a trace context that differs for each seed.
func someTrace(seed byte) runtime.TraceContext {
	return runtime.TraceContext{TraceID: [16]byte{seed, 15: 0xff}, SpanID: [8]byte{0xfe, 7: seed}, Flags: 1}
}

func testEvents(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	r.Trace = someTrace(5)
	shard := s.shard(r)
	s.apply(shard, &runtime.Batch{Next: r})
	base := s.epochs[shard].Base()
	retry := r.Clone()
	retry.Attempt++
	s.apply(shard, &runtime.Batch{Prev: r, Next: &retry}) // no event
	paid := retry.Clone()
	paid.Version, paid.State, paid.Status, paid.UpdatedAt = 2, runtime.Running, "paid", retry.UpdatedAt.Add(time.Second)
	emits := []runtime.Emit{
		{Type: "order.paid", ContentType: "application/json", Data: []byte(`{"n":1}`)}, {Type: "ping"},
	}
	s.apply(shard, &runtime.Batch{Prev: &retry, Next: &paid, Emits: emits})
	clear(emits[0].Data) // the store keeps nothing of a batch
	emits[0].Data = []byte(`{"n":1}`)
	want := []runtime.Event{
		{
			LSN: base + 1, RunID: r.RunID, Version: 1, Workflow: "orders", ForeignID: "1", State: runtime.Initiated, Status: "created",
			Time: r.UpdatedAt, Trace: r.Trace,
		},
		{
			LSN: base + 3, RunID: r.RunID, Version: 2, Workflow: "orders", ForeignID: "1", State: runtime.Running, Status: "paid",
			Previous: "created", Was: runtime.Initiated, Time: paid.UpdatedAt, Trace: r.Trace, Emits: emits,
		},
	}
	events, err := s.Events(shard, 0, 10, nil)
	s.must(err)
	wantEqual(s, "events", events, want)
}

func testCountEvents(s *storeTest) {
	r := s.create("orders", "1", "created")
	shard := s.shard(r)
	base := s.epochs[shard].Base()
	for range 9 {
		r = s.change(r, func(*runtime.Record) {})
	}
	s.must(s.TrimEvents(shard, base+2))
	for _, c := range []struct {
		after, upTo runtime.LSN
		want        int
	}{{0, base + 10, 8}, {base + 2, base + 10, 8}, {base + 4, base + 7, 3}, {base + 7, base + 7, 0}, {base + 9, base + 4, 0}, {0, base + 2, 0}} {
		n, err := s.CountEvents(shard, c.after, c.upTo)
		s.must(err)
		if n != c.want {
			s.Errorf("%d events after %d up to %d, want %d", n, c.after-base, c.upTo-base, c.want)
		}
	}
}

func testParkedEvents(s *storeTest) {
	r := s.create("orders", "1", "created")
	shard := s.shard(r)
	next := s.change(r, func(*runtime.Record) {})
	events, err := s.Events(shard, 0, 10, nil)
	s.must(err)
	at := next.UpdatedAt
	want := []runtime.ParkedEvent{{Event: events[0], Cause: "too large", At: at}, {Event: events[1], Cause: "not allowed", At: at}}
	s.must(s.ParkEvent(shard, &want[1]))
	s.must(s.ParkEvent(shard, &runtime.ParkedEvent{Event: events[0], Cause: "of an earlier time", At: at}))
	s.must(s.ParkEvent(shard, &want[0]))
	parked := func() []runtime.ParkedEvent {
		s.Helper()
		all, err := s.ParkedEvents(shard, nil)
		s.must(err)
		return all
	}
	wantEqual(s, "parked", parked(), want)
	s.must(s.TrimEvents(shard, events[1].LSN))
	wantEqual(s, "parked, after the log was trimmed", parked(), want)
	s.must(s.UnparkEvent(shard, &events[0]))
	s.must(s.UnparkEvent(shard, &events[0]))
	wantEqual(s, "parked, after one was dropped", parked(), want[1:])
}

func testCursors(s *storeTest) {
	r := s.create("orders", "1", "created")
	shard := s.shard(r)
	base := s.epochs[shard].Base()
	for range 9 {
		r = s.change(r, func(*runtime.Record) {})
	}
	read := func(after runtime.LSN, limit int) []runtime.LSN {
		s.Helper()
		events, err := s.Events(shard, base+after, limit, nil)
		s.must(err)
		var lsns []runtime.LSN
		for _, e := range events {
			lsns = append(lsns, e.LSN-base)
		}
		return lsns
	}
	cursor := func(name string) runtime.LSN {
		s.Helper()
		lsn, err := s.Cursor(shard, name)
		s.must(err)
		return max(lsn, base) - base
	}
	wantEqual(s, "first page", read(0, 3), []runtime.LSN{1, 2, 3})
	s.must(s.SetCursor(shard, "relay", base+3))
	s.must(s.SetCursor(shard, "tail", base+7))
	wantEqual(s, "next page", read(cursor("relay"), 3), []runtime.LSN{4, 5, 6})
	wantEqual(s, "of another cursor", read(cursor("tail"), 30), []runtime.LSN{8, 9, 10})
	if s.SetCursor(shard, "relay", base+11) == nil || s.TrimEvents(shard, base+11) == nil {
		s.Fatal("a position was accepted that the shard has not reached")
	}

	s.must(s.TrimEvents(shard, base+3))
	wantEqual(s, "after a trim", read(0, 2), []runtime.LSN{4, 5})
	s.must(s.TrimEvents(shard, base+2)) // nothing is left there
	s.must(s.TrimEvents(shard, base+5))
	wantEqual(s, "after another", read(1, 2), []runtime.LSN{6, 7})

	s.must(s.DropCursor("relay"))
	if cursor("relay") != 0 || cursor("tail") != 7 {
		s.Fatalf("cursors are %d and %d, want 0 and 7", cursor("relay"), cursor("tail"))
	}
	s.must(s.TrimEvents(shard, base+10))
	wantEqual(s, "after the last", read(0, 10), nil)
	s.change(r, func(*runtime.Record) {})
	wantEqual(s, "after all", read(0, 10), []runtime.LSN{11})
}

func testQueues(s *storeTest) {
	r := s.create("orders", "1", "created")
	shard := s.shard(r)
	created, paid := runtime.Queue{Workflow: "orders", Status: "created"}, runtime.Queue{Workflow: "orders", Status: "paid"}
	want := func(what string, queues ...runtime.Queue) {
		s.Helper()
		wantEqual(s, what, s.queues(shard), queues)
		for _, q := range []runtime.Queue{created, paid} {
			if got := len(s.ready(shard, q.Workflow, q.Status)); got > 0 != slices.Contains(queues, q) {
				s.Fatalf("%s: %d ready runs in %v", what, got, q)
			}
		}
	}
	want("created", created)
	r = s.change(r, func(r *runtime.Record) { r.State, r.Status = runtime.Running, "paid" })
	want("moved on", paid)
	r = s.change(r, func(r *runtime.Record) { r.NotBefore = s.now.Add(time.Minute) })
	want("waiting for a retry")
	r = s.change(r, func(r *runtime.Record) { r.NotBefore = time.Time{} })
	want("ready again", paid)
	r = s.change(r, func(r *runtime.Record) { r.Parked = true })
	want("parked")
	r = s.change(r, func(r *runtime.Record) { r.Parked, r.State = false, runtime.Paused })
	want("paused")
	r = s.change(r, func(r *runtime.Record) { r.State = runtime.Running })
	want("resumed", paid)
	callback := runtime.Pending{Kind: runtime.PendingCallback, Callback: 1, Due: s.now, Attempt: 1}
	r = s.change(r, func(r *runtime.Record) { r.Parked, r.Pending = true, []runtime.Pending{callback} })
	want("a callback to be tried again later")
	r = s.change(r, func(r *runtime.Record) { r.Pending[0].Taken = true })
	want("its time has come", paid)
	r = s.change(r, func(r *runtime.Record) { r.Pending = nil })
	want("it is settled")
	s.change(r, func(r *runtime.Record) { r.State = runtime.Completed })
	want("completed")
}

func testReadyPages(s *storeTest) {
	var want []runtime.RunID
	for i := range 300 {
		r := s.create("orders", "1", "created") // one foreign ID: one shard
		if i%3 == 0 {
			r = s.change(r, func(r *runtime.Record) { r.State = runtime.Running })
		}
		if i%7 == 0 {
			s.change(r, func(r *runtime.Record) { r.State = runtime.Paused })
			continue
		}
		want = append(want, r.RunID)
	}
	shard := runtime.ShardOf(want[0].Slot(), StoreShards)
	for _, limit := range []int{1, 7, 64, 1000} {
		var got []runtime.RunID
		for after := (runtime.RunID{}); ; after = got[len(got)-1] {
			n := len(got)
			var err error
			got, err = s.Ready(shard, runtime.Queue{Workflow: "orders", Status: "created"}, after, limit, got)
			s.must(err)
			if len(got)-n > limit {
				s.Fatalf("%d runs, limit %d", len(got)-n, limit)
			}
			if len(got) == n {
				break
			}
		}
		wantEqual(s, fmt.Sprintf("pages of %d", limit), got, want)
	}
}

func testNames(s *storeTest) {
	// Each pair would be one string if it were joined plainly, and some sort around each other's lengths.
	pairs := [][2]string{
		{"a", "bc"}, {"ab", "c"}, {"a", "b"}, {"a", "b\x00"}, {"a\x00", "b"}, {"\xff", "\xff"}, {"\xff\xff", "\xff"},
	}
	runs := map[[2]string]runtime.RunID{}
	for _, p := range pairs {
		runs[p] = s.create(p[0], "f", p[1]).RunID
	}
	for _, p := range pairs {
		for shard := range runtime.Shard(StoreShards) {
			var want []runtime.RunID
			if runtime.ShardOf(runs[p].Slot(), StoreShards) == shard {
				want = []runtime.RunID{runs[p]}
			}
			wantEqual(s, fmt.Sprintf("ready in %q", p), s.ready(shard, p[0], p[1]), want)
		}
		list, err := s.List(s.Context(), &runtime.Query{Workflows: []string{p[0]}, Statuses: []string{p[1]}, Limit: 10})
		s.must(err)
		wantEqual(s, fmt.Sprintf("list of %q", p), runIDs(list), []runtime.RunID{runs[p]})
	}
	// Foreign IDs hold any bytes.
	first := s.create("f", "1", "s")
	second := s.create("f", "1\x00", "s")
	list, err := s.List(s.Context(), &runtime.Query{ForeignIDs: []string{"1\x00"}, Limit: 10})
	s.must(err)
	wantEqual(s, "foreign IDs", runIDs(list), []runtime.RunID{second.RunID})
	latest, err := s.Latest("f", "1")
	s.must(err)
	wantEqual(s, "latest", []runtime.RunID{latest}, []runtime.RunID{first.RunID})
}

func runIDs(records []runtime.Record) []runtime.RunID {
	var ids []runtime.RunID
	for i := range records {
		ids = append(ids, records[i].RunID)
	}
	return ids
}

func testTimers(s *storeTest) {
	base := s.now.Add(time.Hour)
	var want []runtime.Timer
	var shard runtime.Shard
	for _, minutes := range []int{5, 1, 4, 2, 3} {
		r := s.newRun("orders", "1", "created")
		shard = s.shard(r)
		r.NotBefore = base.Add(time.Duration(minutes) * time.Minute)
		if minutes%2 == 0 {
			r.State, r.Pause, r.ResumeAt, r.NotBefore = runtime.Paused, runtime.PausedByError, r.NotBefore, time.Time{}
		}
		s.apply(shard, &runtime.Batch{Next: r})
		want = append(want, r.Timers(nil)...)
	}
	slices.SortFunc(want, func(a, b runtime.Timer) int { return a.Due.Compare(b.Due) })
	due := func(now time.Time, limit int) ([]runtime.Timer, time.Time) {
		s.Helper()
		timers, next, err := s.Due(shard, now, limit, nil)
		s.must(err)
		return timers, next
	}
	// The moment itself counts; the nanosecond before does not.
	timers, next := due(want[2].Due, 10)
	wantEqual(s, "due", timers, want[:3])
	wantEqual(s, "next", []time.Time{next}, []time.Time{want[3].Due})
	timers, _ = due(want[2].Due.Add(-1), 10)
	wantEqual(s, "just before", timers, want[:2])
	timers, next = due(base.Add(time.Hour), 2)
	wantEqual(s, "limited", timers, want[:2])
	wantEqual(s, "next beyond the limit", []time.Time{next}, []time.Time{want[2].Due})
	timers, next = due(base.Add(time.Hour), 10)
	wantEqual(s, "all", timers, want)
	if !next.IsZero() {
		s.Fatalf("next is %v after the last", next)
	}

	// A timer that moves is one timer.
	var r runtime.Record
	s.must(s.Record(want[0].RunID, &r))
	later := s.change(&r, func(r *runtime.Record) { r.NotBefore = base.Add(time.Hour) })
	timers, _ = due(base.Add(time.Hour), 10)
	wantEqual(s, "moved", timers, append(slices.Clone(want[1:]), later.Timers(nil)...))
	same := s.change(later, func(r *runtime.Record) { r.Reason = "again" })
	s.change(same, func(r *runtime.Record) { r.NotBefore = time.Time{} })
	timers, _ = due(base.Add(time.Hour), 10)
	wantEqual(s, "gone", timers, want[1:])

	// One that is set behind what was looked at is found.
	late := s.newRun("orders", "1", "created")
	late.NotBefore = base.Add(-time.Hour)
	s.apply(shard, &runtime.Batch{Next: late})
	timers, next = due(base, 10)
	wantEqual(s, "set before the first", timers, late.Timers(nil))
	wantEqual(s, "next", []time.Time{next}, []time.Time{want[1].Due})
}

func testEndedTimers(s *storeTest) {
	for _, end := range []runtime.RunState{runtime.Cancelled, runtime.Completed} {
		r := s.newRun("orders", "1", "created")
		r.NotBefore = s.now
		r.Pending = []runtime.Pending{{Kind: runtime.PendingTimeout, Name: "late", Due: s.now, Attempt: 1}}
		s.apply(s.shard(r), &runtime.Batch{Next: r})
		s.change(r, func(r *runtime.Record) { r.State = end })
		timers, next, err := s.Due(s.shard(r), s.now.Add(time.Hour), 10, nil)
		s.must(err)
		if len(timers) > 0 || !next.IsZero() {
			s.Fatalf("a run that is %s has timers %v, next %v", end, timers, next)
		}
	}
}

// fill makes n runs over several workflows, statuses and states, and returns them in creation order.
func (s *storeTest) fill(n int) []*runtime.Record {
	s.Helper()
	states := []runtime.RunState{runtime.Initiated, runtime.Running, runtime.Paused, runtime.Cancelled, runtime.Completed}
	var runs []*runtime.Record
	for i := range n {
		r := s.newRun([]string{"orders", "order", "refunds"}[i%3], strconv.Itoa(i%97), []string{"created", "paid"}[i/3%2])
		r.State = states[i/7%len(states)]
		s.apply(s.shard(r), &runtime.Batch{Next: r})
		runs = append(runs, r)
	}
	return runs
}

// pages lists everything that q asks for, page by page.
func (s *storeTest) pages(q runtime.Query, limit int, between func()) []runtime.RunID {
	s.Helper()
	q.Limit = limit
	var ids []runtime.RunID
	for {
		page, err := s.List(s.Context(), &q)
		s.must(err)
		if len(page) > limit {
			s.Fatalf("a page of %d, limit %d", len(page), limit)
		}
		for i := range page {
			if !Matches(&q, &page[i]) {
				s.Fatalf("%+v does not match %+v", page[i], q)
			}
		}
		ids = append(ids, runIDs(page)...)
		if len(page) < limit {
			return ids
		}
		q.After = ids[len(ids)-1]
		if between != nil {
			between()
		}
	}
}

// expect returns the IDs of the runs that match, in the order of the query.
func expect(runs []*runtime.Record, q runtime.Query) []runtime.RunID {
	var ids []runtime.RunID
	for _, r := range runs {
		if Matches(&q, r) {
			ids = append(ids, r.RunID)
		}
	}
	if q.Descending {
		slices.Reverse(ids)
	}
	return ids
}

func testPages(s *storeTest) {
	runs := s.fill(1000)
	for _, limit := range []int{53, 100, 847, 50} {
		for _, descending := range []bool{false, true} {
			for _, q := range []runtime.Query{{}, {Workflows: []string{"orders", "order", "refunds"}}} {
				q.Descending = descending
				wantEqual(s, fmt.Sprintf("%+v in pages of %d", q, limit), s.pages(q, limit, nil), expect(runs, q))
			}
		}
	}
}

func testFilters(s *storeTest) {
	runs := s.fill(500)
	at := func(i int) time.Time { return runs[i].RunID.Time() }
	queries := []runtime.Query{
		{Workflows: []string{"orders"}},
		{Workflows: []string{"refunds", "order", "refunds"}},
		{Workflows: []string{"none", strings.Repeat("n", 300)}},
		{States: []runtime.RunState{runtime.Paused}},
		{States: []runtime.RunState{runtime.Completed, runtime.Initiated}},
		{States: []runtime.RunState{runtime.DataDeleted}},
		{Statuses: []string{"paid"}},
		{Statuses: []string{"paid", "created"}},
		{Statuses: []string{"pai"}},
		{ForeignIDs: []string{"7"}},
		{ForeignIDs: []string{"7", "11", "7", ""}},
		{ForeignIDs: []string{"7"}, Workflows: []string{"orders"}},
		{ForeignIDs: []string{"7", "8", "9", "10"}, States: []runtime.RunState{runtime.Running}, Statuses: []string{"paid"}},
		{CreatedAfter: at(100)},
		{CreatedBefore: at(100)},
		{CreatedAfter: at(100), CreatedBefore: at(101)},
		{CreatedAfter: at(200), CreatedBefore: at(100)},
		{CreatedAfter: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), CreatedBefore: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		{CreatedBefore: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)},
		{
			Workflows: []string{"orders", "order"}, States: []runtime.RunState{runtime.Running, runtime.Paused},
			Statuses: []string{"created"}, CreatedAfter: at(50), CreatedBefore: at(400),
		},
	}
	for _, q := range queries {
		for _, q.Descending = range []bool{false, true} {
			for _, limit := range []int{3, 1000} {
				wantEqual(s, fmt.Sprintf("%+v in pages of %d", q, limit), s.pages(q, limit, nil), expect(runs, q))
			}
		}
	}
}

func testStablePages(s *storeTest) {
	orders := []string{"orders"}
	for _, q := range []runtime.Query{{}, {Descending: true}, {Workflows: orders}, {Workflows: orders, Descending: true}} {
		runs := s.fill(200)
		q.CreatedAfter = runs[0].RunID.Time()
		q.CreatedBefore = runs[len(runs)-1].RunID.Time().Add(time.Millisecond)
		// Between pages every run moves to another status and state, and new runs come.
		got := s.pages(q, 13, func() {
			for i, r := range runs {
				runs[i] = s.change(r, func(r *runtime.Record) {
					r.State, r.Status = runtime.Running, fmt.Sprint("s", s.random.IntN(5))
				})
			}
			s.create("orders", "new", "created")
		})
		wantEqual(s, fmt.Sprintf("%+v", q), got, expect(runs, q))
	}
}

func testListRefusals(s *storeTest) {
	s.fill(10)
	if _, err := s.List(s.Context(), &runtime.Query{}); err == nil {
		s.Fatal("a list without a limit was answered")
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, err := s.List(ctx, &runtime.Query{Limit: 10})
	s.wantError(err, context.Canceled)
}

func testReopen(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	shard := s.shard(r)
	key := runtime.Idempotency{Workflow: "orders", ForeignID: "1", Key: "k", RunID: r.RunID, ExpiresAt: s.now.Add(time.Hour)}
	s.apply(shard, &runtime.Batch{Next: r, History: entryOf(r), Remember: &key})
	r = s.change(r, func(r *runtime.Record) { r.State, r.Status = runtime.Running, "paid" })
	waiting := s.newRun("orders", "1", "created")
	waiting.NotBefore = s.now.Add(time.Minute)
	waiting.Callbacks, waiting.Pending = 1, []runtime.Pending{
		{Kind: runtime.PendingCallback, Callback: 1, Due: s.now, Attempt: 1, Taken: true},
	}
	log := runtime.LogEntry{RunID: r.RunID, Version: 2, Time: s.now, Handler: "step/pay", Attempt: 1}
	task := runtime.Task{Due: s.now, Kind: runtime.TaskErase, RunID: r.RunID, Version: 2}
	schedule := runtime.Schedule{
		ScheduleSpec: runtime.ScheduleSpec{Workflow: "orders", Name: "nightly", ForeignID: "1", Cron: "@daily"},
	}
	last := s.apply(shard, &runtime.Batch{
		Next: waiting, Payload: []byte("paid"), Log: &log, AddTasks: []runtime.Task{task}, NextSchedule: &schedule,
	})
	s.must(s.SetCursor(shard, "relay", last))
	s.must(s.TrimEvents(shard, s.epochs[shard].Base()+1))
	epoch := s.epochs[shard]

	s.close()
	s.open()

	if s.Unclean() {
		s.Fatal("unclean after Close")
	}
	if s.epochs[shard] <= epoch {
		s.Fatalf("epoch %d after %d", s.epochs[shard], epoch)
	}
	s.wantRecord(r)
	s.wantRecord(waiting)
	wantEqual(s, "ready", s.ready(shard, "orders", "paid"), []runtime.RunID{r.RunID})
	timers, _, err := s.Due(shard, s.now.Add(time.Hour), 10, nil)
	s.must(err)
	if len(timers) != 2 || timers[0].RunID != waiting.RunID || timers[1].Name != "k" {
		s.Fatalf("timers are %v", timers)
	}
	kept, err := s.Remembered("orders", "1", "k")
	s.must(err)
	cursor, err := s.Cursor(shard, "relay")
	s.must(err)
	events, err := s.Events(shard, 0, 10, nil)
	s.must(err)
	history, err := s.History(r.RunID, 0, 0, 10)
	s.must(err)
	if kept != key || cursor != last || len(events) != 2 || len(history) != 2 {
		s.Fatalf("key %v, cursor %d, events %v, history %v", kept, cursor, events, history)
	}
	logs, err := s.Logs(r.RunID, 0, time.Time{}, 10)
	s.must(err)
	wantSame(s, "logs", logs, []runtime.LogEntry{log})
	wantSame(s, "tasks", s.tasks(shard, s.now), []runtime.Task{task})
	s.wantPayload(waiting.RunID, 1, "paid")
	schedules, err := s.Schedules()
	s.must(err)
	if len(schedules) != 1 || !EqualSchedules(&schedules[0], &schedule) {
		s.Fatalf("schedules are %+v, want %+v", schedules, schedule)
	}

	// Positions go on: what comes now is beyond every cursor, also one that was taken behind batches without an event.
	s.must(s.TrimEvents(shard, last))
	for range 3 {
		for range 3 {
			last = s.apply(shard, &runtime.Batch{})
		}
		s.close()
		s.open()
		if lsn := s.apply(shard, &runtime.Batch{}); lsn <= last {
			s.Fatalf("position %d after %d", lsn, last)
		}
	}
}

func testConcurrent(s *storeTest) {
	const runs, versions = 20, 10
	var records [StoreShards][]*runtime.Record
	for full := 0; full < StoreShards; {
		r := s.newRun("orders", strconv.FormatUint(s.random.Uint64(), 10), "s0")
		shard := s.shard(r)
		if len(records[shard]) == runs {
			continue
		}
		if records[shard] = append(records[shard], r); len(records[shard]) == runs {
			full++
		}
	}
	var all sync.WaitGroup
	errs := make([]error, StoreShards)
	for shard := range runtime.Shard(StoreShards) {
		all.Go(func() {
			for version := range uint64(versions) {
				for i, r := range records[shard] {
					b := runtime.Batch{Next: r, History: entryOf(r)}
					if version > 0 {
						next := r.Clone()
						next.Version, next.State, next.Status = version+1, runtime.Running, fmt.Sprint("s", version)
						b = runtime.Batch{Prev: r, Next: &next, History: entryOf(&next)}
						records[shard][i] = &next
					}
					lsn, err := s.Apply(shard, s.epochs[shard], &b)
					if err == nil && i == 0 {
						err = s.WaitDurable(s.Context(), shard, lsn)
					}
					if errs[shard] = err; err != nil {
						return
					}
				}
			}
		})
	}
	all.Wait()
	s.must(errors.Join(errs...))
	for shard := range runtime.Shard(StoreShards) {
		for _, r := range records[shard] {
			s.wantRecord(r)
		}
		if got := len(s.ready(shard, "orders", fmt.Sprint("s", versions-1))); got != runs {
			s.Fatalf("shard %d: %d ready runs, want %d", shard, got, runs)
		}
		events, err := s.Events(shard, 0, 10_000, nil)
		s.must(err)
		next := map[runtime.RunID]uint64{}
		for _, e := range events {
			if next[e.RunID]++; e.Version != next[e.RunID] {
				s.Fatalf("version %d of run %s comes as number %d", e.Version, e.RunID, next[e.RunID])
			}
		}
		if len(events) != runs*versions {
			s.Fatalf("shard %d: %d events, want %d", shard, len(events), runs*versions)
		}
	}
}
