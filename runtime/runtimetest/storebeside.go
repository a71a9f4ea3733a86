package runtimetest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// The part of the conformance suite about what lies beside the records: logs, payloads, tasks, schedules, and their removal.

// wantSame compares what holds slices and pointers to records: by what it prints.
func wantSame[T any](s *storeTest, what string, got, want []T) {
	s.Helper()
	if g, w := printed(got), printed(want); g != w {
		s.Fatalf("%s: got\n%s\nwant\n%s", what, g, w)
	}
}

func printed[T any](values []T) string {
	var b strings.Builder
	for _, v := range values {
		if t, ok := any(v).(runtime.Task); ok {
			var record, intent any
			if t.Record != nil {
				record = *t.Record
			}
			if t.Intent != nil {
				intent = *t.Intent
			}
			t.Record, t.Intent = nil, nil
			_, _ = fmt.Fprintf(&b, "%+v, record %+v, intent %+v\n", t, record, intent)
			continue
		}
		_, _ = fmt.Fprintf(&b, "%+v\n", v)
	}
	return b.String()
}

func (s *storeTest) tasks(shard runtime.Shard, now time.Time) []runtime.Task {
	s.Helper()
	tasks, _, err := s.DueTasks(shard, now, nil, 1000, nil)
	s.must(err)
	return tasks
}

func (s *storeTest) timers(shard runtime.Shard) []runtime.Timer {
	s.Helper()
	timers, _, err := s.Due(shard, s.now.AddDate(200, 0, 0), 10_000, nil)
	s.must(err)
	return timers
}

func (s *storeTest) wantPayload(id runtime.RunID, callback uint64, want string) {
	s.Helper()
	got, err := s.Payload(id, callback)
	s.must(err)
	if string(got) != want || got == nil {
		s.Fatalf("payload of callback %d is %q, want %q", callback, got, want)
	}
	copy(got, "garbage") // it is the caller's
}

func (s *storeTest) wantNoPayload(id runtime.RunID, callback uint64) {
	s.Helper()
	_, err := s.Payload(id, callback)
	s.wantError(err, runtime.ErrNotFound)
}

func testLogs(s *storeTest) {
	r := s.create("orders", "1", "created")
	other := s.create("orders", "1", "created")
	shard := s.shard(r)
	entry := func(id runtime.RunID, version uint64, at time.Time, text string) runtime.LogEntry {
		return runtime.LogEntry{
			RunID: id, Version: version, Time: at, Handler: "step/charge", Attempt: 1 << 31,
			Lines: []runtime.LogLine{{Time: at.Add(-1), Level: -4, Text: text}, {Time: at, Level: 8}, {}},
		}
	}
	want := []runtime.LogEntry{
		entry(r.RunID, 1, s.now.Add(time.Second), "first"),
		entry(r.RunID, 2, s.now, "another version, at an earlier time"),
		entry(r.RunID, 2, s.now.Add(1), "a nanosecond later"),
		entry(r.RunID, 2, s.now.Add(time.Hour), "an hour later"),
		entry(r.RunID, 1<<60, s.now, "last"),
	}
	for _, i := range []int{3, 0, 4, 1, 2} {
		written := want[i]
		written.Lines = slices.Clone(want[i].Lines)
		s.apply(shard, &runtime.Batch{Log: &written})
		written.Lines[0].Text = "garbage"
	}
	alone := entry(other.RunID, 1, s.now, "another run")
	s.apply(shard, &runtime.Batch{Log: &alone})

	// At a time that is taken, an entry goes to the next that is not: none is lost, and none is skipped by who reads on.
	same := entry(r.RunID, 2, s.now, "at the same time")
	s.apply(shard, &runtime.Batch{Log: &same})
	same.Time = s.now.Add(2)
	want = slices.Insert(want, 3, same)

	for _, limit := range []int{1, 2, 100} {
		var got []runtime.LogEntry
		var version uint64
		var at time.Time
		for {
			page, err := s.Logs(r.RunID, version, at, limit)
			s.must(err)
			if len(page) > limit {
				s.Fatalf("a page of %d, limit %d", len(page), limit)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			version, at = page[len(page)-1].Version, page[len(page)-1].Time
		}
		wantSame(s, fmt.Sprintf("pages of %d", limit), got, want)
	}
	logs, err := s.Logs(other.RunID, 0, time.Time{}, 10)
	s.must(err)
	wantSame(s, "of another run", logs, []runtime.LogEntry{alone})
}

// takeIn hands a callback to r and returns what it becomes.
func (s *storeTest) takeIn(r *runtime.Record, payload []byte) *runtime.Record {
	s.Helper()
	next := r.Clone()
	next.Callbacks++
	next.Pending = append(next.Pending, runtime.Pending{
		Kind: runtime.PendingCallback, Callback: next.Callbacks, Due: s.now, Attempt: 1, Taken: true,
	})
	s.apply(s.shard(r), &runtime.Batch{Prev: r, Next: &next, Payload: payload})
	copy(payload, "garbage")
	return &next
}

func testPayloads(s *storeTest) {
	r := s.create("orders", "1", "created")
	other := s.takeIn(s.create("orders", "1", "created"), []byte("of another run"))
	r = s.takeIn(r, []byte("one"))
	r = s.takeIn(r, []byte{})
	r = s.takeIn(r, []byte(strings.Repeat("3", 100_000)))
	for range 2 {
		s.wantPayload(r.RunID, 1, "one")
		s.wantPayload(r.RunID, 2, "")
		s.wantPayload(r.RunID, 3, strings.Repeat("3", 100_000))
	}
	// Tried again later it is still pending; so it is while the run is paused.
	r = s.change(r, func(r *runtime.Record) { r.Pending[1].Taken, r.State = false, runtime.Paused })
	s.wantPayload(r.RunID, 2, "")
	r = s.change(r, func(r *runtime.Record) { r.Pending = slices.Delete(r.Pending, 1, 2) })
	s.wantNoPayload(r.RunID, 2)
	s.wantPayload(r.RunID, 1, "one")
	s.change(r, func(r *runtime.Record) { r.State, r.Pending = runtime.Cancelled, nil })
	for callback := range uint64(4) {
		s.wantNoPayload(r.RunID, callback)
	}
	s.wantPayload(other.RunID, 1, "of another run")
}

func testPendingTimers(s *storeTest) {
	at := func(minutes int) time.Time { return s.now.Add(time.Duration(minutes) * time.Minute) }
	r := s.newRun("orders", "1", "created")
	shard := s.shard(r)
	r.NotBefore = at(3)
	for i := range 50 {
		r.Pending = append(r.Pending,
			runtime.Pending{Kind: runtime.PendingTimeout, Name: fmt.Sprint("t", i), Due: at(5 + i), Attempt: 1},
			runtime.Pending{Kind: runtime.PendingCallback, Callback: uint64(i + 1), Due: at(5 + i), Attempt: 2},
		)
	}
	// Equal in all but the name, or the number.
	r.Pending = append(r.Pending,
		runtime.Pending{Kind: runtime.PendingTimeout, Name: "t", Due: at(5), Attempt: 1},
		runtime.Pending{Kind: runtime.PendingCallback, Callback: 1 << 60, Due: at(5), Attempt: 1},
		runtime.Pending{Kind: runtime.PendingTimeout, Name: "before 1970", Due: time.Unix(-1000, 0).UTC(), Attempt: 1},
	)
	r.Callbacks = 1 << 60
	s.apply(shard, &runtime.Batch{Next: r})
	want := func(what string, r *runtime.Record) {
		s.Helper()
		timers := r.Timers(nil)
		slices.SortStableFunc(timers, func(a, b runtime.Timer) int { return a.Due.Compare(b.Due) })
		got := s.timers(shard)
		if !slices.IsSortedFunc(got, func(a, b runtime.Timer) int { return a.Due.Compare(b.Due) }) {
			s.Fatalf("%s: the timers are not in order: %v", what, got)
		}
		byAll := func(a, b runtime.Timer) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
		slices.SortFunc(got, byAll)
		slices.SortFunc(timers, byAll)
		wantEqual(s, what, got, timers)
	}
	want("at first", r)
	r = s.change(r, func(r *runtime.Record) { r.Pending[0].Taken, r.Pending[1].Taken = true, true })
	want("two are taken", r)
	r = s.change(r, func(r *runtime.Record) { r.Pending[1].Taken, r.Pending[1].Due = false, at(90) })
	want("one is tried again", r)
	r = s.change(r, func(r *runtime.Record) { slices.Reverse(r.Pending) })
	want("in another order", r)
	r = s.change(r, func(r *runtime.Record) { r.Pending = slices.Delete(r.Pending, 20, 60) })
	want("some are gone", r)
	r = s.change(r, func(r *runtime.Record) { r.State = runtime.Paused })
	want("a paused run's wait", r)
	r = s.change(r, func(r *runtime.Record) { r.State = runtime.Running })
	want("resumed", r)
	r = s.change(r, func(r *runtime.Record) { r.State, r.Pending, r.ExpireAt = runtime.Completed, nil, at(600) })
	want("until the run is removed", r)
	if len(r.Timers(nil)) != 1 {
		s.Fatalf("timers of a run that has ended: %v", r.Timers(nil))
	}
}

func testTasks(s *storeTest) {
	r := s.create("orders", "1", "created")
	shard := s.shard(r)
	record := r.Clone()
	record.Reason, record.Pending = "why", []runtime.Pending{{Kind: runtime.PendingTimeout, Name: "t", Due: s.now}}
	at := func(minutes int) time.Time { return s.now.Add(time.Duration(minutes) * time.Minute) }
	want := []runtime.Task{
		{Due: time.Unix(-1, 0).UTC(), Kind: runtime.TaskErase, RunID: r.RunID, Version: 1, Attempt: 1 << 31},
		{
			Due: at(1), Kind: runtime.TaskHook, RunID: r.RunID, Version: 1 << 60, Name: "refund", On: runtime.HookCancel,
			Record: &record,
		},
		{
			Due: at(2), Kind: runtime.TaskIntent, RunID: r.RunID, Version: 2, Name: "1", Trace: someTrace(9),
			Intent: &runtime.Intent{
				Kind: runtime.IntentCallback, Workflow: "refunds", ForeignID: "\x00\xff", Object: []byte("{\xff}"), StartAt: "created",
				Status: "asked",
			},
		},
		{Due: at(3), Kind: runtime.TaskSchedule, Workflow: "orders", Name: "nightly", Slot: at(2), Attempt: 3},
	}
	for i := range want {
		s.apply(shard, &runtime.Batch{AddTasks: []runtime.Task{cloneTask(&want[(i+2)%len(want)])}})
	}
	due := func(now time.Time, limit int) ([]runtime.Task, time.Time) {
		s.Helper()
		tasks, next, err := s.DueTasks(shard, now, nil, limit, nil)
		s.must(err)
		return tasks, next
	}
	tasks, next := due(at(2), 10)
	wantSame(s, "due", tasks, want[:3])
	wantEqual(s, "next", []time.Time{next}, []time.Time{at(3)})
	tasks, next = due(at(2).Add(-1), 10)
	wantSame(s, "just before", tasks, want[:2])
	wantEqual(s, "next", []time.Time{next}, []time.Time{at(2)})
	tasks, next = due(at(9), 1)
	wantSame(s, "limited", tasks, want[:1])
	wantEqual(s, "next beyond the limit", []time.Time{next}, []time.Time{at(1)})

	for i := range want { // a page goes on after the last, and after one that is gone
		tasks, next, err := s.DueTasks(shard, at(9), &want[i], 1, nil)
		s.must(err)
		wantSame(s, "after one", tasks, want[i+1:min(i+2, len(want))])
		if (i+2 < len(want)) != !next.IsZero() {
			s.Fatalf("after task %d next is %v", i, next)
		}
	}
	between := cloneTask(&want[1])
	between.Due = between.Due.Add(1)
	tasks, _, err := s.DueTasks(shard, at(9), &between, 10, nil)
	s.must(err)
	wantSame(s, "after one that is not there", tasks, want[2:])
	tasks, _ = due(at(9), 10)
	wantSame(s, "from the first again", tasks, want)

	// What a caller gets is its own.
	tasks, _ = due(at(9), 10)
	copy(tasks[1].Record.Object, "garbage")
	copy(tasks[2].Intent.Object, "garbage")
	tasks, next = due(at(9), 10)
	wantSame(s, "all", tasks, want)
	if !next.IsZero() {
		s.Fatalf("next is %v after the last", next)
	}

	// Moved on, as before an attempt.
	moved := cloneTask(&want[1])
	moved.Attempt, moved.Due = 1, at(10)
	s.apply(shard, &runtime.Batch{DropTask: &want[1], AddTasks: []runtime.Task{moved}})
	wantSame(s, "moved", s.tasks(shard, at(20)), []runtime.Task{want[0], want[2], want[3], moved})
	// Moved to where it is: there it stays, as it is now.
	again := cloneTask(&moved)
	again.Attempt = 2
	s.apply(shard, &runtime.Batch{DropTask: &moved, AddTasks: []runtime.Task{again}})
	wantSame(s, "moved to its place", s.tasks(shard, at(20)), []runtime.Task{want[0], want[2], want[3], again})
	for i := range 4 {
		s.apply(shard, &runtime.Batch{DropTask: &want[i]}) // the second is no longer there
	}
	wantSame(s, "dropped", s.tasks(shard, at(20)), []runtime.Task{again})
	s.apply(shard, &runtime.Batch{DropTask: &again})
	wantSame(s, "none", s.tasks(shard, at(20)), nil)
	// One that is added behind what was looked at is found.
	s.apply(shard, &runtime.Batch{AddTasks: []runtime.Task{want[0]}})
	wantSame(s, "added before the first", s.tasks(shard, at(20)), want[:1])
}

func testTaskIdentity(s *storeTest) {
	r := s.create("orders", "1", "created")
	other := s.create("orders", "1", "created")
	shard := s.shard(r)
	one := runtime.Task{Due: s.now, Kind: runtime.TaskHook, RunID: r.RunID, Version: 1, Name: "a"}
	slot := runtime.Task{Due: s.now, Kind: runtime.TaskSchedule, Workflow: "orders", Name: "a", Slot: s.now}
	tasks := []runtime.Task{one, slot}
	for from, edits := range map[*runtime.Task][]func(*runtime.Task){
		&one: {
			func(t *runtime.Task) { t.Due = t.Due.Add(1) },
			func(t *runtime.Task) { t.RunID = other.RunID },
			func(t *runtime.Task) { t.Version = 2 },
			func(t *runtime.Task) { t.Kind = runtime.TaskIntent },
			func(t *runtime.Task) { t.Name = "aa" },
			func(t *runtime.Task) { t.Name = "" },
		},
		&slot: {
			func(t *runtime.Task) { t.Slot = t.Slot.Add(-1) },
			func(t *runtime.Task) { t.Workflow, t.Name = "order", "sa" },
		},
	} {
		for _, edit := range edits {
			t := *from
			edit(&t)
			tasks = append(tasks, t)
		}
	}
	for i := range tasks {
		s.apply(shard, &runtime.Batch{AddTasks: tasks[i : i+1]})
	}
	// Added once more, a task replaces the one before.
	for i := range tasks {
		tasks[i].Attempt = uint32(i)
	}
	s.apply(shard, &runtime.Batch{AddTasks: tasks})
	for len(tasks) > 0 {
		byAll := func(a, b runtime.Task) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
		got, want := s.tasks(shard, s.now.Add(time.Hour)), slices.Clone(tasks)
		slices.SortFunc(got, byAll)
		slices.SortFunc(want, byAll)
		wantSame(s, "tasks", got, want)
		s.apply(shard, &runtime.Batch{DropTask: &tasks[0]})
		tasks = tasks[1:]
	}
	wantSame(s, "none", s.tasks(shard, s.now.Add(time.Hour)), nil)
}

func testSchedules(s *storeTest) {
	shardOf := func(sched *runtime.Schedule) runtime.Shard {
		foreignID := sched.ForeignID
		if foreignID == "" {
			foreignID = sched.Name
		}
		return runtime.ShardOf(runtime.SlotOf(sched.Workflow, foreignID), StoreShards)
	}
	full := runtime.Schedule{
		ScheduleSpec: runtime.ScheduleSpec{
			Workflow: "orders", Name: "nightly", Cron: "0 3 * * *", Zone: "Europe/Paris", ForeignID: "report",
			Object: []byte(`{"n":1}`), StartAt: "created", CatchUp: runtime.CatchUpAll,
		},
		Plugin: true, Paused: true, Next: s.now.Add(time.Hour), Since: s.now, LastSlot: s.now.Add(-time.Hour),
		LastRun: runtime.RunID{1, 15: 2}, LastResult: "triggered", LastAt: s.now.Add(-time.Minute),
	}
	want := []runtime.Schedule{full}
	for _, name := range []string{"a", "bc", "c", strings.Repeat("n", 64)} {
		for _, workflow := range []string{"a", "ab", "orders"} {
			want = append(want, runtime.Schedule{ScheduleSpec: runtime.ScheduleSpec{Workflow: workflow, Name: name}})
		}
	}
	for i := range want {
		written := cloneSchedule(&want[i])
		s.apply(shardOf(&written), &runtime.Batch{NextSchedule: &written})
		copy(written.Object, "garbage")
	}
	slices.SortFunc(want, func(a, b runtime.Schedule) int {
		return slices.Compare([]string{a.Workflow, a.Name}, []string{b.Workflow, b.Name})
	})
	check := func() {
		s.Helper()
		all, err := s.Schedules()
		s.must(err)
		if !slices.EqualFunc(all, want, func(a, b runtime.Schedule) bool { return EqualSchedules(&a, &b) }) {
			s.Fatalf("schedules are\n%+v, want\n%+v", all, want)
		}
		for i := range want {
			got, err := s.Schedule(want[i].Workflow, want[i].Name)
			s.must(err)
			if !EqualSchedules(&got, &want[i]) {
				s.Fatalf("schedule is\n%+v, want\n%+v", got, want[i])
			}
			copy(got.Object, "garbage")
		}
	}
	check()
	check()
	for _, none := range [][2]string{{"orders", "nightl"}, {"orders", "nightlyy"}, {"order", "snightly"}, {"", ""}} {
		_, err := s.Schedule(none[0], none[1])
		s.wantError(err, runtime.ErrNotFound)
	}

	at := slices.IndexFunc(want, func(sched runtime.Schedule) bool { return sched.Name == "nightly" })
	next := cloneSchedule(&want[at])
	next.Paused, next.Next, next.LastRun, next.LastResult = false, time.Time{}, runtime.RunID{}, ""
	s.apply(shardOf(&next), &runtime.Batch{PrevSchedule: &want[at], NextSchedule: &next})
	want[at] = next
	check()
	gone := want[at]
	s.apply(shardOf(&gone), &runtime.Batch{PrevSchedule: &gone})
	want = slices.Delete(want, at, at+1)
	check()
	_, err := s.Schedule(gone.Workflow, gone.Name)
	s.wantError(err, runtime.ErrNotFound)
}

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
	next.Version, next.State, next.Object = 3, runtime.DataDeleted, []byte(`{"result":"deleted"}`)
	line := runtime.HistoryEntry{RunID: r.RunID, Version: 3, Time: s.now, Reason: "as asked", Object: next.Object}
	hook := runtime.Task{Due: s.now.Add(9), Kind: runtime.TaskHook, RunID: r.RunID, Version: 3, Name: "h", Record: &next}
	s.apply(shard, &runtime.Batch{
		Prev: r, Next: &next, Erase: true, History: []runtime.HistoryEntry{line}, DropTask: &tasks[5],
		Log: &runtime.LogEntry{RunID: r.RunID, Version: 2, Time: s.now, Handler: "erase"}, AddTasks: []runtime.Task{hook},
	})
	s.wantRecord(&next)

	for i := range before {
		before[i].Object, before[i].Reason = nil, ""
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
	if len(history) != 3 || string(history[0].Object) != "secret" || history[2].Reason != "secret" {
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
		if len(history) != 3 {
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

// testCounts compares the counts, and the queues that they are of, with a plain count over the records, while runs begin, move
// and end.
func testCounts(s *storeTest) {
	digests := []runtime.Digest{{}, {1}, {1, 31: 1}}
	var records []*runtime.Record
	check := func() {
		s.Helper()
		inUse := map[runtime.Queue]bool{}
		for _, r := range records {
			if r.State.Active() {
				inUse[runtime.Queue{Workflow: r.Workflow, Status: r.Status}] = true
			}
		}
		queues, err := s.ActiveQueues()
		s.must(err)
		if want := slices.SortedFunc(maps.Keys(inUse), runtime.Queue.Compare); !slices.Equal(queues, want) {
			s.Fatalf("active runs are in %v, want %v", queues, want)
		}
		for _, workflow := range []string{"orders", "order"} {
			for _, status := range []string{"", "created", "paid", "pai"} {
				want := 0
				for _, r := range records {
					if r.Workflow == workflow && (status == "" || r.Status == status) && r.State.Active() {
						want++
					}
				}
				for _, limit := range []int{1, 3, 1000} {
					got, err := s.ActiveRuns(runtime.Queue{Workflow: workflow, Status: status}, limit)
					s.must(err)
					if got != min(want, limit) {
						s.Fatalf("%d active runs of %s in %q, want %d, at most %d", got, workflow, status, want, limit)
					}
				}
			}
			for _, d := range append(digests[1:], runtime.Digest{2}) {
				want := 0
				for _, r := range records {
					if r.Workflow == workflow && r.Pinned == d && r.State.Active() {
						want++
					}
				}
				for _, limit := range []int{1, 1000} {
					got, err := s.PinnedRuns(workflow, d, limit)
					s.must(err)
					if got != min(want, limit) {
						s.Fatalf("%d runs of %s pinned to %s, want %d, at most %d", got, workflow, d, want, limit)
					}
				}
			}
		}
	}
	check()
	for i := range 40 {
		r := s.newRun([]string{"orders", "order"}[i%2], strconv.Itoa(i), []string{"created", "paid"}[i/2%2])
		r.Pinned = digests[i%3]
		s.apply(s.shard(r), &runtime.Batch{Next: r, History: entryOf(r)})
		records = append(records, r)
	}
	check()
	for i, r := range records {
		records[i] = s.change(r, func(next *runtime.Record) {
			next.State = []runtime.RunState{runtime.Running, runtime.Paused, runtime.Cancelled, runtime.Completed}[i%4]
			next.Status = "paid"
		})
	}
	check()
	for i, r := range records {
		switch {
		case r.State == runtime.Completed && i%3 > 0:
			records[i] = s.change(r, func(next *runtime.Record) { next.State = runtime.RequestedDataDeleted })
		case i%5 == 0:
			s.apply(s.shard(r), &runtime.Batch{Prev: r, Remove: true})
			records[i] = &runtime.Record{}
		}
	}
	check()
}
