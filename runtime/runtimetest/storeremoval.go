package runtimetest

import (
	"fmt"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// The part of the conformance suite about runs whose data is erased, and runs that are removed.

// withEverything makes a run that has ended and has a row of each kind, with data in each.
func (s *storeTest) withEverything() *runtime.Record {
	s.Helper()
	r := s.newRun("orders", "1", "created")
	lines := entryOf(r)
	lines[0].Object = []byte("secret")
	s.apply(s.shard(r), &runtime.Batch{
		Next: r, History: lines, Log: &runtime.LogEntry{RunID: r.RunID, Version: 1, Time: s.now},
		Remember: &runtime.Idempotency{
			Workflow: "orders", ForeignID: "1", Key: "k", RunID: r.RunID, ExpiresAt: s.now.Add(time.Hour),
		},
	})
	r = s.takeIn(r, []byte("secret"))
	told, end := r.Clone(), r.Clone()
	told.Object, told.Reason = []byte("secret"), "secret"
	end.Version, end.State, end.Pending, end.ExpireAt = 2, runtime.Completed, nil, s.now.Add(time.Hour)
	s.apply(s.shard(r), &runtime.Batch{
		Prev: r, Next: &end,
		History: []runtime.HistoryEntry{
			{RunID: r.RunID, Version: 2, Time: s.now, By: "ada", Reason: "secret", Object: []byte("secret")},
			{RunID: r.RunID, Version: 2, Line: 1, Time: s.now, Handler: "h", Reason: "secret", Failed: true, Callback: 1},
			{RunID: r.RunID, Version: 3, Time: s.now, By: "ada", Reason: "asked by the customer", State: runtime.RequestedDataDeleted},
			{RunID: r.RunID, Version: 3, Line: 1, Time: s.now, Reason: "secret", State: runtime.RequestedDataDeleted, Failed: true},
		},
		AddTasks: []runtime.Task{
			{Due: s.now, Kind: runtime.TaskHook, RunID: r.RunID, Version: 1, Name: "h", Attempt: 7, Record: &told},
			{Due: s.now.Add(1), Kind: runtime.TaskHook, RunID: r.RunID, Version: 2, Name: "i", On: runtime.HookErase, Record: &told},
			{Due: s.now.Add(2), Kind: runtime.TaskErase, RunID: r.RunID, Version: 2},
		},
	})
	return &end
}

func testErase(s *storeTest) {
	other := s.withEverything()
	r := s.withEverything()
	shard := s.shard(r)
	before, err := s.History(r.RunID, 0, 0, 100)
	s.must(err)
	tasks := s.tasks(shard, s.now.Add(time.Hour))

	next := r.Clone()
	next.Version, next.State, next.Object = 4, runtime.DataDeleted, []byte(`{"result":"deleted"}`)
	line := runtime.HistoryEntry{RunID: r.RunID, Version: 4, Time: s.now, Reason: "as asked", Object: next.Object}
	hook := runtime.Task{Due: s.now.Add(9), Kind: runtime.TaskHook, RunID: r.RunID, Version: 4, Name: "h", Record: &next}
	s.apply(shard, &runtime.Batch{
		Prev: r, Next: &next, Erase: true, History: []runtime.HistoryEntry{line}, DropTask: &tasks[5],
		Log: &runtime.LogEntry{RunID: r.RunID, Version: 2, Time: s.now, Handler: "erase"}, AddTasks: []runtime.Task{hook},
	})
	s.wantRecord(&next)

	for i := range before {
		if before[i].Object = nil; !before[i].AsksToErase() {
			before[i].Reason = ""
		}
	}
	history, err := s.History(r.RunID, 0, 0, 100)
	s.must(err)
	wantSame(s, "history", history, append(before, line))
	logs, err := s.Logs(r.RunID, 0, time.Time{}, 10)
	s.must(err)
	wantSame(s, "logs", logs, []runtime.LogEntry{{RunID: r.RunID, Version: 2, Time: s.now, Handler: "erase"}})
	s.wantNoPayload(r.RunID, 1)
	want := tasks[:5:5]
	for _, t := range want[3:] {
		t.Record.Object, t.Record.Reason = next.Object, ""
	}
	wantSame(s, "tasks", s.tasks(shard, s.now.Add(time.Hour)), append(want, hook))

	// Another run of the same foreign ID keeps all.
	history, err = s.History(other.RunID, 0, 0, 100)
	s.must(err)
	if len(history) != 5 || string(history[0].Object) != "secret" || history[2].Reason != "secret" {
		s.Fatalf("history of another run: %+v", history)
	}
	logs, err = s.Logs(other.RunID, 0, time.Time{}, 10)
	s.must(err)
	if len(logs) != 1 {
		s.Fatalf("logs of another run: %+v", logs)
	}
	// Nothing is left that was there once, after a restart either.
	s.close()
	s.open()
	s.wantRecord(&next)
	wantSame(s, "tasks", s.tasks(shard, s.now.Add(time.Hour)), append(want, hook))
}

func testRemove(s *storeTest) {
	other := s.withEverything()
	r := s.withEverything()
	shard := s.shard(r)
	tasks := s.tasks(shard, s.now.Add(time.Hour))
	events, err := s.Events(shard, 0, 100, nil)
	s.must(err)
	s.apply(shard, &runtime.Batch{Prev: r, Remove: true})

	check := func() {
		s.Helper()
		s.wantError(s.Record(r.RunID, &runtime.Record{}), runtime.ErrNotFound)
		latest, err := s.Latest("orders", "1")
		s.must(err)
		wantEqual(s, "latest", []runtime.RunID{latest}, []runtime.RunID{other.RunID})
		for _, q := range []runtime.Query{{}, {ForeignIDs: []string{"1"}}, {Workflows: []string{"orders"}}} {
			wantEqual(s, fmt.Sprintf("%+v", q), s.pages(q, 10, nil), []runtime.RunID{other.RunID})
		}
		history, err := s.History(r.RunID, 0, 0, 100)
		s.must(err)
		logs, err := s.Logs(r.RunID, 0, time.Time{}, 100)
		s.must(err)
		if len(history)+len(logs) > 0 {
			s.Fatalf("history %v, logs %v", history, logs)
		}
		s.wantNoPayload(r.RunID, 1)
		for _, t := range s.timers(shard) {
			if t.RunID == r.RunID && t.Kind != runtime.TimerForget {
				s.Fatalf("a timer is left: %v", t)
			}
		}
		wantSame(s, "tasks", s.tasks(shard, s.now.Add(time.Hour)), tasks)
		left, err := s.Events(shard, 0, 100, nil)
		s.must(err)
		wantEqual(s, "events", left, events)
		kept, err := s.Remembered("orders", "1", "k")
		s.must(err)
		if kept.RunID != r.RunID {
			s.Fatalf("the key is of run %s", kept.RunID)
		}
		history, err = s.History(other.RunID, 0, 0, 100)
		s.must(err)
		if len(history) != 5 {
			s.Fatalf("history of another run: %v", history)
		}
	}
	check()
	s.close()
	s.open()
	check()

	// One with a long history goes as a whole.
	long := s.create("orders", "1", "created")
	for version := uint64(2); version <= 3000; {
		var lines []runtime.HistoryEntry
		for range 500 {
			lines = append(lines, runtime.HistoryEntry{RunID: long.RunID, Version: version, Time: s.now})
			version++
		}
		s.apply(shard, &runtime.Batch{History: lines})
	}
	s.apply(shard, &runtime.Batch{Prev: long, Remove: true})
	history, err := s.History(long.RunID, 0, 0, 10_000)
	s.must(err)
	if len(history) > 0 {
		s.Fatalf("%d lines of history are left", len(history))
	}
	s.wantRecord(other)
}
