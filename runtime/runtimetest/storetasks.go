package runtimetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// The part of the conformance suite about tasks and schedules.

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
	shardOf := func(sched *runtime.Schedule) runtime.Shard { return scheduleShard(sched, StoreShards) }
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

	for _, foreignID := range []string{"1", "2", "3", "4", ""} { // some of them in other shards
		moved := cloneSchedule(&want[at])
		moved.ForeignID, moved.Paused = foreignID, true
		s.apply(shardOf(&moved), &runtime.Batch{PrevSchedule: &want[at], NextSchedule: &moved})
		want[at] = moved
		check()
	}
	s.close()
	s.open()
	check()

	gone := want[at]
	s.apply(shardOf(&gone), &runtime.Batch{PrevSchedule: &gone})
	want = slices.Delete(want, at, at+1)
	check()
	_, err := s.Schedule(gone.Workflow, gone.Name)
	s.wantError(err, runtime.ErrNotFound)
}
