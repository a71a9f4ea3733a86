package runtimetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// The part of the conformance suite about what lies beside the records: logs, payloads, and the timers of what is pending.

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
