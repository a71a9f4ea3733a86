package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// StreamerUnderTest is a streamer and the other end of it.
type StreamerUnderTest struct {
	Streamer runtime.Streamer
	// Delivered returns the events of a workflow that have been delivered, each as often as it was, without LSNs: those of a run in
	// the order of delivery. It waits until there are as many as asked for, or ctx ends.
	Delivered func(ctx context.Context, workflow string, atLeast int) ([]runtime.Event, error)
}

// TestStreamer holds a streamer to its contract. open returns a streamer to an empty stream; it is called for each test, and
// cleans up by t.Cleanup. An event that holds 2 MiB must be more than the stream takes.
func TestStreamer(t *testing.T, open func(t *testing.T) StreamerUnderTest) {
	for _, test := range streamerCases() {
		t.Run(test.name, func(t *testing.T) {
			test.run(&streamerTest{T: t, StreamerUnderTest: open(t), random: 1})
		})
	}
}

type streamerCase struct {
	name  string
	run   func(s *streamerTest)
	calls bool // it is about the calls of Publish themselves, which an event log has none of: its events are written with their change
}

func streamerCases() []streamerCase {
	return []streamerCase{
		{"events arrive as they are", testArriveWhole, false},
		{"a run's events arrive in order", testArriveInOrder, false},
		{"what is published again has the same IDs and order", testArriveAgain, true},
		{"a refused event is told, and those before it are delivered", testRefused, false},
		{"one page has events of many workflows", testManyWorkflows, false},
		{"a cancelled call returns, and the next succeeds", testCancelled, true},
		{"events may be changed after the call", testNotKept, true},
		{"an empty page is nothing", testEmptyPage, true},
	}
}

type streamerTest struct {
	*testing.T
	StreamerUnderTest
	random uint64
}

// run returns the ID of a new run.
func (s *streamerTest) run(workflow, foreignID string) runtime.RunID {
	s.random = s.random*6364136223846793005 + 1442695040888963407
	return runtime.NewRunID(time.UnixMilli(1_800_000_000_000), runtime.SlotOf(workflow, foreignID), s.random)
}

// life returns the events of a run of some versions.
func (s *streamerTest) life(workflow, foreignID string, versions int) []runtime.Event {
	id := s.run(workflow, foreignID)
	var events []runtime.Event
	var prev *runtime.Record
	for v := 1; v <= versions; v++ {
		next := &runtime.Record{
			RunID: id, Workflow: workflow, ForeignID: foreignID, Version: uint64(v), State: runtime.Running, Status: fmt.Sprintf("step%d", v%7),
			UpdatedAt: time.Unix(1_800_000_000, int64(v)*1_000_000).UTC(),
		}
		switch v {
		case 1:
			next.State = runtime.Initiated
		case versions:
			next.State = runtime.Completed
		}
		events = append(events, runtime.NewEvent(0, prev, next))
		prev = next
	}
	return events
}

// publish has all events delivered.
func (s *streamerTest) publish(events []runtime.Event) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	if n, err := s.Streamer.Publish(ctx, events); err != nil || n != len(events) {
		s.Fatalf("published %d of %d: %v", n, len(events), err)
	}
}

// delivered returns n or more events.
func (s *streamerTest) delivered(workflow string, n int) []runtime.Event {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	events, err := s.Delivered(ctx, workflow, n)
	if err != nil {
		s.Fatalf("%d events of %d: %v", len(events), n, err)
	}
	return events
}

func (s *streamerTest) wantEqual(what string, got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// once drops repetitions of an event, which must be equal to it.
func (s *streamerTest) once(events []runtime.Event) map[runtime.RunID][]runtime.Event {
	s.Helper()
	seen := map[string]runtime.Event{}
	runs := map[runtime.RunID][]runtime.Event{}
	for _, e := range events {
		if first, again := seen[e.ID()]; again {
			s.wantEqual("the repetition of "+e.ID(), e, first)
			continue
		}
		seen[e.ID()] = e
		runs[e.RunID] = append(runs[e.RunID], e)
	}
	return runs
}

func testArriveWhole(s *streamerTest) {
	events := s.life("orders", "10\"24\\8\n – ü", 5)
	s.publish(events)
	s.wantEqual("delivered", s.delivered("orders", len(events)), events)
}

func testArriveInOrder(s *streamerTest) {
	const shards, runs, versions, page = 8, 10, 12, 17
	want := map[runtime.RunID][]runtime.Event{}
	var calls sync.WaitGroup
	for shard := range shards {
		// The lives of some runs, shuffled together as they are in a shard.
		var lives [][]runtime.Event
		for r := range runs {
			life := s.life("orders", fmt.Sprint(shard, "/", r), versions)
			want[life[0].RunID] = life
			lives = append(lives, life)
		}
		var all []runtime.Event
		for v := range versions {
			for _, life := range lives {
				all = append(all, life[v])
			}
		}
		calls.Go(func() {
			for events := range slices.Chunk(all, page) {
				if n, err := s.Streamer.Publish(s.Context(), events); err != nil || n != len(events) {
					s.Errorf("published %d of %d: %v", n, len(events), err)
					return
				}
			}
		})
	}
	calls.Wait()
	s.wantEqual("delivered", s.once(s.delivered("orders", shards*runs*versions)), want)
}

func testArriveAgain(s *streamerTest) {
	events := s.life("orders", "1", 6)
	s.publish(events[:4])
	s.publish(events[2:])
	s.publish(events[5:])
	got := s.delivered("orders", 9)
	s.wantEqual("delivered", s.once(got)[events[0].RunID], events)
	if len(got) != 9 {
		s.Errorf("%d deliveries of 9", len(got))
	}
}

func testRefused(s *streamerTest) {
	before, after := s.life("orders", "1", 3), s.life("orders", "2", 3)
	large := s.life("orders", strings.Repeat("x", 2<<20), 1)
	events := slices.Concat(before, large, after)
	n, err := s.Streamer.Publish(s.Context(), events)
	var refused *runtime.RefusedError
	if n != len(before) || !errors.As(err, &refused) || refused.Cause == nil {
		s.Fatalf("published %d, error %.300v, want %d and a RefusedError", n, err, len(before))
	}
	s.publish(events[n+1:])
	runs := s.once(s.delivered("orders", len(before)+len(after)))
	s.wantEqual("the run before", runs[before[0].RunID], before)
	s.wantEqual("the run after", runs[after[0].RunID], after)
	if len(runs) != 2 {
		s.Errorf("events of %d runs", len(runs))
	}
}

func testManyWorkflows(s *streamerTest) {
	var page []runtime.Event
	want := map[string][]runtime.Event{}
	for i := range 5 {
		name := fmt.Sprint("w", i)
		want[name] = s.life(name, "1", 4)
	}
	for v := range 4 {
		for i := range 5 {
			page = append(page, want[fmt.Sprint("w", i)][v])
		}
	}
	s.publish(page)
	for name, events := range want {
		s.wantEqual(name, s.once(s.delivered(name, len(events)))[events[0].RunID], events)
	}
}

func testCancelled(s *streamerTest) {
	events := s.life("orders", "1", 4)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	began := time.Now()
	n, err := s.Streamer.Publish(ctx, events)
	if n < len(events) && !errors.Is(err, context.Canceled) {
		s.Errorf("published %d, error %v", n, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		s.Errorf("it took %v to return", took)
	}
	s.publish(events[n:])
	s.wantEqual("delivered", s.once(s.delivered("orders", len(events)))[events[0].RunID], events)
}

func testNotKept(s *streamerTest) {
	events := s.life("orders", "1", 3)
	want := slices.Clone(events)
	s.publish(events)
	for i := range events {
		events[i] = runtime.Event{Workflow: "other"}
	}
	s.publish(s.life("orders", "2", 1))
	s.wantEqual("delivered", s.once(s.delivered("orders", 4))[want[0].RunID], want)
}

func testEmptyPage(s *streamerTest) {
	if n, err := s.Streamer.Publish(s.Context(), nil); n != 0 || err != nil {
		s.Errorf("published %d, error %v", n, err)
	}
}
