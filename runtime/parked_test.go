package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// parkedEvents returns all parked events.
func parkedEvents(t *testing.T, e *runtime.Engine) []runtime.ParkedEvent {
	t.Helper()
	all, more, err := e.ParkedEvents(t.Context(), runtime.EventRef{}, 1_000_000)
	if err != nil || more {
		t.Fatalf("%d parked events, more: %v, error %v", len(all), more, err)
	}
	return all
}

// parkedReads is a store that notes what is read and written of parked events.
type parkedReads struct {
	*runtimetest.MemStore

	mu      sync.Mutex
	read    []runtime.EventRef // one by one
	listed  int                // that were named
	written []runtime.EventRef // parked or dropped
}

func (s *parkedReads) ParkEvent(shard runtime.Shard, p *runtime.ParkedEvent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = append(s.written, p.Event.Ref())
	return s.MemStore.ParkEvent(shard, p)
}

func (s *parkedReads) UnparkEvent(shard runtime.Shard, ref runtime.EventRef) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = append(s.written, ref)
	return s.MemStore.UnparkEvent(shard, ref)
}

func (s *parkedReads) ParkedEvent(shard runtime.Shard, ref runtime.EventRef) (runtime.ParkedEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = append(s.read, ref)
	return s.MemStore.ParkedEvent(shard, ref)
}

func (s *parkedReads) ParkedRefs(shard runtime.Shard, after runtime.EventRef, limit int, dst []runtime.EventRef) ([]runtime.EventRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refs, err := s.MemStore.ParkedRefs(shard, after, limit, dst)
	s.listed += len(refs) - len(dst)
	return refs, err
}

// since returns what was noted since the last call.
func (s *parkedReads) since() (read []runtime.EventRef, listed int, written []runtime.EventRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.read, s.listed, s.written = nil, 0, nil }()
	return s.read, s.listed, s.written
}

// refuser refuses what handlers emit, as long as its value is true.
type refuser struct {
	atomic.Bool
	calls atomic.Int64
}

func (r *refuser) Publish(_ context.Context, events []runtime.Event) (int, error) {
	r.calls.Add(1)
	for i := range events {
		if r.Load() && events[i].Number > 0 {
			return i, &runtime.RefusedError{Cause: errors.New("larger than the topic takes")}
		}
	}
	return len(events), nil
}

// emitsEach is a workflow whose only step emits two events that hold data.
func emitsEach(data []byte) *runtime.Workflow {
	return runtimetest.Workflow("orders", runtimetest.Step{
		Status: "received", To: []string{"done"},
		Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			e := runtime.Emit{Type: "t", ContentType: "text/plain", Data: data}
			out.Emits = append(out.Emits, e, e)
			return runtimetest.To("done")(ctx, in, out)
		},
	})
}

// However many events are parked: to park one more reads that one and no other, to redrive all of them one after the other reads few more
// names than there are events, and to erase the data of a run reads none that is not its own.
func TestParkedEventsAreReadOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const runs, parked = 60, 120
		store := &parkedReads{MemStore: runtimetest.NewMemStore(1)}
		streamer := &refuser{}
		streamer.Store(true)
		e := start(t, runtime.Options{Store: store, Streamer: streamer}, emitsEach([]byte("data")))
		elapse(time.Second)
		store.since()
		var last runtime.RunID
		for i := range runs {
			last = trigger(t, e, "orders", fmt.Sprint(i))
		}
		elapse(time.Minute)
		read, listed, written := store.since()
		if len(written) != parked || !slices.Equal(read, written) || listed != 0 {
			t.Errorf("to park %d events %d were read and %d named, want each itself alone", len(written), len(read), listed)
		}

		all := parkedEvents(t, e)
		if len(all) != parked {
			t.Fatalf("%d events are parked", len(all))
		}
		redrive := func(what string, want error) {
			t.Helper()
			store.since()
			for i := range all {
				_, err := e.RedriveEvent(t.Context(), all[i].Event.ID())
				var refused *runtime.RefusedError
				if (err == nil) != (want == nil) || err != nil && !errors.As(err, &refused) {
					t.Fatalf("%s: event %s: %v", what, all[i].Event.ID(), err)
				}
			}
			read, listed, written := store.since()
			if len(written) != parked || len(read) != 2*parked || listed > 3*parked {
				t.Errorf("%s: %d events were read, %d named and %d written for %d", what, len(read), listed, len(written), parked)
			}
		}
		redrive("refused again", &runtime.RefusedError{})

		erase(t, e, last)
		elapse(time.Minute)
		read, listed, written = store.since()
		if len(written) != 2 || len(read) != 0 || listed > parked {
			t.Errorf("to erase a run %d events were read, %d named, %d dropped", len(read), listed, len(written))
		}
		all = parkedEvents(t, e)
		if len(all) != parked-2 {
			t.Errorf("%d events are parked after a run was erased", len(all))
		}
		for i := range all {
			if all[i].Event.RunID == last {
				t.Errorf("%s is still parked", all[i].Event.ID())
			}
		}

		streamer.Store(false)
		for _, i := range []int{len(all) - 1, 17, 18, 0} { // in any order
			if _, err := e.RedriveEvent(t.Context(), all[i].Event.ID()); err != nil {
				t.Error(err)
			}
			if _, err := e.RedriveEvent(t.Context(), all[i].Event.ID()); !errors.Is(err, runtime.ErrNotFound) {
				t.Errorf("an event that is parked no more: %v", err)
			}
		}
		if n := len(parkedEvents(t, e)); n != parked-6 || e.Stats().Shards[0].Parked != n {
			t.Errorf("%d events are parked, %d counted, want %d", n, e.Stats().Shards[0].Parked, parked-6)
		}
	})
}

// An ID that no parked event has is told so. Nothing is published or written.
func TestRedriveOfWhatIsNotParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &parkedReads{MemStore: runtimetest.NewMemStore(2)}
		streamer := &refuser{}
		streamer.Store(true)
		e := start(t, runtime.Options{Store: store, Streamer: streamer}, emitsEach([]byte("data")))
		id := trigger(t, e, "orders", "1").String()
		elapse(time.Minute)
		store.since()
		calls := streamer.calls.Load()
		for _, bad := range []string{
			"", "/", "x", id, id + "/", id + "/2", id + "/2/", id + "/2/0", id + "/2/3", id + "/2/-1", id + "/02/1", id + "/2/01", id + "/+2/1",
			id + "/2/1/", id + "/2/1/1", id + "/9/1", id[1:] + "/2/1", id + "/99999999999999999999/1",
		} {
			if _, err := e.RedriveEvent(t.Context(), bad); !errors.Is(err, runtime.ErrNotFound) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if _, _, written := store.since(); len(written) > 0 || streamer.calls.Load() != calls || len(parkedEvents(t, e)) != 2 {
			t.Errorf("%d publishes, written %v", streamer.calls.Load()-calls, written)
		}
	})
}

// A list of parked events comes in pages, which are shorter when the events are large. Pages go on where they ended, also after an event
// that is parked no more.
func TestParkedEventsPage(t *testing.T) {
	const runs, parked = 20, 40
	for _, c := range []struct{ size, limit, longest int }{{1, 7, 7}, {1, 1, 1}, {1, parked, parked}, {1 << 20, 1000, 4}} {
		t.Run(fmt.Sprint(c.size, " bytes, ", c.limit, " a page"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				streamer := &refuser{}
				streamer.Store(true)
				opt := runtime.Options{Store: runtimetest.NewMemStore(3), Streamer: streamer}
				e := start(t, opt, emitsEach(bytes.Repeat([]byte("x"), c.size)))
				for i := range runs {
					trigger(t, e, "orders", fmt.Sprint(i))
				}
				elapse(time.Minute)
				streamer.Store(false)
				seen := map[string]bool{}
				var after runtime.EventRef
				for more := true; more; {
					var page []runtime.ParkedEvent
					var err error
					if page, more, err = e.ParkedEvents(t.Context(), after, c.limit); err != nil {
						t.Fatal(err)
					}
					if len(page) > c.longest || more && len(page) < c.longest {
						t.Fatalf("%d events on a page", len(page))
					}
					for i := range page {
						seen[page[i].Event.ID()] = true
					}
					after = page[len(page)-1].Event.Ref()
					if _, err := e.RedriveEvent(t.Context(), after.ID()); err != nil {
						t.Fatal(err)
					}
				}
				if len(seen) != parked {
					t.Errorf("%d events of %d", len(seen), parked)
				}
			})
		})
	}
}

// Whoever asked for an event to be published again may give up: the streamer may have it all the same. So the erasing of its run waits
// for the streamer's answer, and a cause is kept that says more than that somebody gave up.
func TestEraseWaitsForARedriveThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var holds atomic.Bool
		streamer := &refuser{}
		streamer.Store(true)
		e := start(t, runtime.Options{Store: runtimetest.NewMemStore(1), Streamer: publishing(func(ctx context.Context, events []runtime.Event) (int, error) {
			if holds.Load() && events[0].Number > 0 {
				select {
				case <-gate:
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			}
			return streamer.Publish(ctx, events)
		})}, emitsEach([]byte("data")))
		id := trigger(t, e, "orders", "1")
		elapse(time.Minute)
		all := parkedEvents(t, e)
		if len(all) != 2 {
			t.Fatalf("%d events are parked", len(all))
		}
		holds.Store(true)
		for _, p := range []runtime.ParkedEvent{all[0], all[1], all[0]} { // one is under way, and the others do not begin
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := e.RedriveEvent(ctx, p.Event.ID()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a redrive that is given up: %v", err)
			}
			cancel()
		}
		for i, p := range parkedEvents(t, e) {
			if p.Cause != all[i].Cause {
				t.Errorf("the cause is %q", p.Cause)
			}
		}
		erase(t, e, id)
		elapse(time.Hour)
		wantState(t, e, id, runtime.RequestedDataDeleted)
		close(gate)
		elapse(time.Minute)
		wantState(t, e, id, runtime.DataDeleted)
		if all := parkedEvents(t, e); len(all) != 0 || e.Stats().Shards[0].Parked != 0 {
			t.Errorf("parked are %+v, counted %d", all, e.Stats().Shards[0].Parked)
		}
	})
}

// publishing is a streamer in one function.
type publishing func(ctx context.Context, events []runtime.Event) (int, error)

func (f publishing) Publish(ctx context.Context, events []runtime.Event) (int, error) {
	return f(ctx, events)
}

// countsLate is a store that counts the events that were left only when a gate is open.
type countsLate struct {
	*runtimetest.MemStore
	gate chan struct{}
}

func (s *countsLate) CountEvents(shard runtime.Shard, after, upTo runtime.LSN) (int, error) {
	<-s.gate
	return s.MemStore.CountEvents(shard, after, upTo)
}

// What is redriven or erased before a start has counted the parked events counts as parked no more, once.
func TestParkedEventsThatGoDuringTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streamer := &refuser{}
		streamer.Store(true)
		store := runtimetest.NewMemStore(1)
		e := start(t, runtime.Options{Store: store, Streamer: streamer}, emitsEach([]byte("data")))
		trigger(t, e, "orders", "1")
		erased := trigger(t, e, "orders", "2")
		elapse(time.Minute)
		all := parkedEvents(t, e)
		stop(t, e)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		streamer.Store(false)
		late := &countsLate{MemStore: store.Reopen(), gate: make(chan struct{})}
		e = start(t, runtime.Options{Store: late, Streamer: streamer}, emitsEach([]byte("data")))
		other := slices.IndexFunc(all, func(p runtime.ParkedEvent) bool { return p.Event.RunID != erased })
		if _, err := e.RedriveEvent(t.Context(), all[other].Event.ID()); err != nil {
			t.Fatal(err)
		}
		erase(t, e, erased)
		elapse(time.Minute)
		close(late.gate)
		elapse(time.Minute)
		if n := len(parkedEvents(t, e)); n != 1 || e.Stats().Shards[0].Parked != n {
			t.Errorf("%d events are parked, %d counted; want 1", n, e.Stats().Shards[0].Parked)
		}
	})
}
