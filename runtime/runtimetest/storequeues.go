package runtimetest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

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
