package runtimetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/wfrt/wfrt/runtime"
)

// streamsLog runs a test of the streamer suite on the event log of a store, which is the stream of a server without Kafka.
func streamsLog(run func(*streamerTest)) func(*storeTest) {
	return func(s *storeTest) {
		log := &logStream{storeTest: s, newest: map[runtime.RunID]*runtime.Record{}}
		run(&streamerTest{T: s.T, StreamerUnderTest: StreamerUnderTest{Streamer: log, Delivered: log.delivered}, random: 1})
	}
}

// logStream publishes an event by writing the change that it tells of, and delivers to a reader that goes through each shard in small
// pages, from where its cursor is.
type logStream struct {
	*storeTest

	writing [StoreShards]sync.Mutex // one batch at a time in a shard
	mu      sync.Mutex              // guards what follows
	newest  map[runtime.RunID]*runtime.Record
	read    []runtime.Event
}

// Publish implements runtime.Streamer.
func (l *logStream) Publish(_ context.Context, events []runtime.Event) (int, error) {
	for i := range events {
		if err := l.write(&events[i]); err != nil {
			return i, &runtime.RefusedError{Cause: err}
		}
	}
	return len(events), nil
}

func (l *logStream) write(e *runtime.Event) error {
	l.mu.Lock()
	prev := l.newest[e.RunID]
	l.mu.Unlock()
	next := &runtime.Record{
		RunID: e.RunID, Workflow: e.Workflow, ForeignID: e.ForeignID, Version: e.Version, State: e.State, Status: e.Status,
		CreatedAt: e.RunID.Time(), UpdatedAt: e.Time,
	}
	shard := l.shard(next)
	l.writing[shard].Lock()
	defer l.writing[shard].Unlock()
	if _, err := l.Apply(shard, l.epochs[shard], &runtime.Batch{Prev: prev, Next: next}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest[e.RunID] = next
	return nil
}

func (l *logStream) delivered(_ context.Context, workflow string, atLeast int) ([]runtime.Event, error) {
	for shard := range runtime.Shard(StoreShards) {
		for more := true; more; {
			page := l.next(shard, "reader", 5)
			l.read = append(l.read, page...)
			more = len(page) > 0
		}
	}
	var found []runtime.Event
	for _, e := range l.read {
		if e.Workflow == workflow {
			e.LSN = 0
			found = append(found, e)
		}
	}
	if len(found) < atLeast {
		return found, fmt.Errorf("the log has %d events of workflow %s", len(found), workflow)
	}
	return found, nil
}

// next returns the next page of a named reader and moves its cursor behind it.
func (s *storeTest) next(shard runtime.Shard, reader string, limit int) []runtime.Event {
	s.Helper()
	at, err := s.Cursor(shard, reader)
	s.must(err)
	page, err := s.Events(shard, at, limit, nil)
	s.must(err)
	if len(page) > 0 {
		s.must(s.SetCursor(shard, reader, page[len(page)-1].LSN))
	}
	return page
}

// testLogReaders has readers follow a shard while it is written, each at its own pace and with its own pages. Each reads every event once
// and in order, also over restarts and while what all of them have read is trimmed. One that comes late begins with what is kept.
func testLogReaders(s *storeTest) {
	const rounds, perRound = 12, 10
	r := s.create("orders", "1", "created")
	shard := s.shard(r)
	pages := map[string]int{"small": 1, "middling": 7, "large": 100}
	got := map[string][]string{}
	var written, kept []string
	written = append(written, r.RunID.String()+"/1")
	for round := range rounds {
		for range perRound {
			r = s.change(r, func(*runtime.Record) {})
			written = append(written, fmt.Sprint(r.RunID, "/", r.Version))
		}
		slowest := s.Applied(shard)
		for reader, limit := range pages {
			for range 1 + round/4 { // all fall behind at first, but for the one with large pages
				for _, e := range s.next(shard, reader, limit) {
					got[reader] = append(got[reader], e.ID())
				}
			}
			at, err := s.Cursor(shard, reader)
			s.must(err)
			slowest = min(slowest, at)
		}
		switch round % 4 {
		case 1:
			s.must(s.TrimEvents(shard, slowest))
		case 3:
			s.close()
			s.open()
		}
	}
	at, err := s.Cursor(shard, "small")
	s.must(err)
	s.must(s.TrimEvents(shard, at))
	kept = written[len(got["small"]):]
	pages["late"] = 3
	for reader, limit := range pages {
		for more := true; more; {
			page := s.next(shard, reader, limit)
			for _, e := range page {
				got[reader] = append(got[reader], e.ID())
			}
			more = len(page) > 0
		}
		want := written
		if reader == "late" {
			want = kept
		}
		wantEqual(s, "what the "+reader+" reader has read", got[reader], want)
	}
	if len(kept) == 0 || len(kept) == len(written) {
		s.Fatalf("%d of %d events are kept", len(kept), len(written))
	}
}
