package runtimetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

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
	for n := 1; n <= 11; n++ {
		p := want[1]
		p.Event.Number, p.Event.Emit = n, runtime.Emit{Type: "ping", ContentType: "text/plain", Data: []byte{byte(n)}}
		want = append(want, p)
	}
	for i := range want {
		s.must(s.ParkEvent(shard, &want[len(want)-1-i]))
	}
	s.must(s.ParkEvent(shard, &runtime.ParkedEvent{Event: events[0], Cause: "of a later time", At: at}))
	s.must(s.ParkEvent(shard, &want[0]))
	slices.SortFunc(want, func(a, b runtime.ParkedEvent) int { return a.Event.Ref().Compare(b.Event.Ref()) })
	s.wantParked("parked", shard, want)
	s.must(s.TrimEvents(shard, events[1].LSN))
	s.wantParked("parked, after the log was trimmed", shard, want)

	for _, other := range []runtime.EventRef{ // as one that is parked, but for one thing
		{LSN: events[0].LSN + 1, RunID: r.RunID, Version: 1},
		{LSN: events[0].LSN, RunID: r.RunID, Version: 3},
		{LSN: events[0].LSN, RunID: r.RunID, Version: 1, Number: 1},
		{},
	} {
		_, err := s.ParkedEvent(shard, other)
		s.wantError(err, runtime.ErrNotFound)
		s.must(s.UnparkEvent(shard, other))
	}
	_, err = s.ParkedEvent((shard+1)%StoreShards, events[0].Ref())
	s.wantError(err, runtime.ErrNotFound)
	s.wantParked("parked in another shard", (shard+1)%StoreShards, nil)

	gone := want[4].Event.Ref()
	s.must(s.UnparkEvent(shard, gone))
	s.must(s.UnparkEvent(shard, gone))
	_, err = s.ParkedEvent(shard, gone)
	s.wantError(err, runtime.ErrNotFound)
	s.wantParked("parked, after one was dropped", shard, slices.Delete(slices.Clone(want), 4, 5))
	refs, err := s.ParkedRefs(shard, gone, 1, nil)
	s.must(err)
	wantEqual(s, "the next after it", refs, []runtime.EventRef{want[5].Event.Ref()})

	s.close()
	s.open()
	s.wantParked("parked, after a restart", shard, slices.Delete(want, 4, 5))
}

// wantParked compares the parked events of a shard: each by itself, and what names them in pages of several sizes.
func (s *storeTest) wantParked(what string, shard runtime.Shard, want []runtime.ParkedEvent) {
	s.Helper()
	var refs []runtime.EventRef
	for i := range want {
		refs = append(refs, want[i].Event.Ref())
		got, err := s.ParkedEvent(shard, refs[i])
		s.must(err)
		wantEqual(s, what, []runtime.ParkedEvent{got}, want[i:i+1])
	}
	for _, limit := range []int{1, 3, len(want) + 1} {
		var got []runtime.EventRef
		for after := (runtime.EventRef{}); ; after = got[len(got)-1] {
			n := len(got)
			var err error
			got, err = s.ParkedRefs(shard, after, limit, got)
			s.must(err)
			if len(got)-n > limit {
				s.Fatalf("%d parked events, limit %d", len(got)-n, limit)
			}
			if len(got)-n < limit {
				break
			}
		}
		wantEqual(s, fmt.Sprintf("%s, in pages of %d", what, limit), got, refs)
	}
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
