package runtimetest

import (
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
