package runtimetest

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// StoreShards is the number of shards of the stores that TestStore asks for.
const StoreShards = 4

// TestStore is the conformance suite of runtime.Store. Its event log is held to the suite of a streamer as well, but for what is about the
// calls of Publish themselves.
//
// open makes a new, empty store with StoreShards shards and returns how to open it: the first call opens it for the first
// time, every later one after the suite has closed the store before. The suite closes what it opens.
func TestStore(t *testing.T, open func(t *testing.T) (reopen func() runtime.Store)) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	cases := []storeCase{
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
		{"names are as long as they may be", testLengths},
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
		{"readers of the event log miss nothing", testLogReaders},
	}
	for _, c := range streamerCases() {
		if !c.calls {
			cases = append(cases, storeCase{"event log: " + c.name, streamsLog(c.run)})
		}
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

type storeCase struct {
	name string
	test func(*storeTest)
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
