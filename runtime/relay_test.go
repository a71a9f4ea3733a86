package runtime_test

import (
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

// fakeStreamer keeps what it is given. Its script says what the next calls do.
type fakeStreamer struct {
	mu     sync.Mutex
	script []func(events []runtime.Event) (int, error) // of the next calls; none: take all
	taken  []runtime.Event
	calls  int
}

func (f *fakeStreamer) Publish(ctx context.Context, events []runtime.Event) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	n, err := len(events), error(nil)
	if len(f.script) > 0 {
		n, err = f.script[0](events)
		f.script = f.script[1:]
	}
	f.taken = append(f.taken, slices.Clone(events[:n])...)
	return n, err
}

// byRun returns the versions taken of each foreign ID, without repetitions.
func (f *fakeStreamer) byRun() map[string][]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, runs := map[string]bool{}, map[string][]uint64{}
	for _, e := range f.taken {
		if !seen[e.ID()] {
			seen[e.ID()] = true
			runs[e.ForeignID] = append(runs[e.ForeignID], e.Version)
		}
	}
	return runs
}

func checkPublished(t *testing.T, f *fakeStreamer, runs int, versions ...uint64) {
	t.Helper()
	got := f.byRun()
	if len(got) != runs {
		t.Errorf("events of %d runs, want %d", len(got), runs)
	}
	for run, v := range got {
		if !slices.Equal(v, versions) {
			t.Errorf("run %s: events of versions %v, want %v", run, v, versions)
		}
	}
}

var errAway = errors.New("no broker")

func TestRelayPublishesInOrder(t *testing.T) {
	fail := func([]runtime.Event) (int, error) { return 0, errAway }
	half := func(events []runtime.Event) (int, error) { return len(events) / 2, errAway }
	liar := func([]runtime.Event) (int, error) { return 0, nil }
	for name, script := range map[string][]func([]runtime.Event) (int, error){
		"well":                  nil,
		"failing":               {fail, fail, fail, fail},
		"taking half":           {half, half, fail, half, half},
		"taking none, no error": {liar, liar},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeStreamer{script: script}
				opt := onMemory()
				opt.Streamer, opt.Relay = f, runtime.RelayOptions{Batch: 7}
				e := start(t, opt, runtimetest.Chain("chain", 4))
				for i := range 50 {
					trigger(t, e, "chain", fmt.Sprint(i))
				}
				elapse(time.Minute)
				synctest.Wait()
				checkPublished(t, f, 50, 1, 2, 3, 4, 5)
				for _, s := range e.Stats().Shards {
					if s.Published != s.Durable {
						t.Errorf("published up to %d of %d", s.Published, s.Durable)
					}
				}
			})
		})
	}
}

// A streamer that is away or stalls stops no step.
func TestRelayStopsNoStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := &fakeStreamer{}
		for range 1000 {
			f.script = append(f.script, func([]runtime.Event) (int, error) { return 0, errAway })
		}
		f.script[2] = func(events []runtime.Event) (int, error) { <-gate; return 0, errAway }
		opt := onMemory()
		opt.Streamer = f
		e := start(t, opt, runtimetest.Chain("chain", 4))
		for i := range 50 {
			if last := settle(t, e, trigger(t, e, "chain", fmt.Sprint(i))); last.State != runtime.Completed {
				t.Errorf("%+v", last)
			}
		}
		close(gate)
		f.mu.Lock()
		calls := f.calls
		f.mu.Unlock()
		elapse(time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := f.calls - calls; n > 4*40 {
			t.Errorf("%d attempts in a minute by 4 relays: they do not back off", n)
		}
	})
}

// After a crash nothing is missing; what comes twice has the same ID.
func TestRelayAfterCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStreamer{}
		store := runtimetest.NewMemStore(2)
		options := func() runtime.Options {
			return runtime.Options{Store: store, Streamer: f, Relay: runtime.RelayOptions{Batch: 3}}
		}
		for life := range 5 {
			e := start(t, options(), runtimetest.Chain("chain", 3))
			for i := range 10 {
				trigger(t, e, "chain", fmt.Sprint(life, "/", i))
			}
			if life%2 == 0 {
				store.Hold()
				synctest.Wait()
			}
			store = crash(t, e, store)
		}
		start(t, options(), runtimetest.Chain("chain", 3))
		elapse(time.Second)
		synctest.Wait()
		checkPublished(t, f, 50, 1, 2, 3, 4)
	})
}

func TestEventsAreTrimmed(t *testing.T) {
	for _, published := range []bool{true, false} {
		t.Run(fmt.Sprint("published ", published), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeStreamer{}
				if !published {
					for range 100_000 {
						f.script = append(f.script, func([]runtime.Event) (int, error) { return 0, errAway })
					}
				}
				opt := onMemory()
				opt.Streamer, opt.Relay = f, runtime.RelayOptions{Retention: 24 * time.Hour}
				e := start(t, opt, runtimetest.Chain("chain", 3))
				count := func() (n int) {
					var c runtime.EventCursor
					if err := e.Events(t.Context(), &c, false, func(*runtime.Event) error { n++; return nil }); err != nil {
						t.Fatal(err)
					}
					return n
				}
				for i := range 200 {
					trigger(t, e, "chain", fmt.Sprint("old", i))
				}
				elapse(20 * time.Hour)
				trigger(t, e, "chain", "new")
				synctest.Wait()
				if n := count(); n != 201*4 {
					t.Errorf("%d events before their time", n)
				}
				elapse(6 * time.Hour)
				synctest.Wait()
				want := 4
				if !published {
					want = 201 * 4
				}
				if n := count(); n != want {
					t.Errorf("%d events are left, want %d", n, want)
				}
			})
		})
	}
}

// A server that never runs for long removes what is due when it starts.
func TestEventsAreTrimmedAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := runtime.Options{
			Store: runtimetest.NewMemStore(4), Streamer: &fakeStreamer{}, Relay: runtime.RelayOptions{Retention: 24 * time.Hour},
		}
		e := start(t, opt, runtimetest.Chain("chain", 3))
		for i := range 40 {
			settle(t, e, trigger(t, e, "chain", fmt.Sprint(i)))
		}
		elapse(time.Minute)
		stop(t, e)
		elapse(25 * time.Hour)
		e = start(t, opt, runtimetest.Chain("chain", 3))
		synctest.Wait()
		left := 0
		var c runtime.EventCursor
		if err := e.Events(t.Context(), &c, false, func(*runtime.Event) error { left++; return nil }); err != nil {
			t.Fatal(err)
		}
		if left != 0 {
			t.Errorf("%d events are left a day after they were published", left)
		}
	})
}

// Each workflow says how long its events are kept. None goes before its time; one whose time has passed stays only while an older one
// of the shard is kept.
func TestEventsAreKeptByWorkflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := func(name string, d time.Duration) *runtime.Workflow {
			w := runtimetest.Chain(name, 1)
			w.EventRetention = d
			return w
		}
		e := start(t, runtime.Options{Store: runtimetest.NewMemStore(1), Relay: runtime.RelayOptions{Retention: 24 * time.Hour}},
			kept("short", 2*time.Hour), kept("plain", 0), kept("long", 72*time.Hour))
		for _, name := range []string{"short", "plain", "long", "short"} {
			settle(t, e, trigger(t, e, name, "1"))
		}
		count := func() (n int) {
			var c runtime.EventCursor
			if err := e.Events(t.Context(), &c, false, func(*runtime.Event) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		for _, step := range []struct {
			wait time.Duration
			left int
		}{{time.Hour, 8}, {3 * time.Hour, 6}, {22 * time.Hour, 4}, {40 * time.Hour, 4}, {10 * time.Hour, 0}} {
			elapse(step.wait)
			synctest.Wait()
			if n := count(); n != step.left {
				t.Errorf("%v later %d events are left, want %d", step.wait, n, step.left)
			}
		}
	})
}

func TestEventsFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), runtimetest.Chain("chain", 3))
		trigger(t, e, "chain", "before")
		synctest.Wait()
		cursor := e.LatestEvents()
		ctx, cancel := context.WithCancel(t.Context())
		f := &fakeStreamer{}
		ended := make(chan error, 1)
		go func() {
			ended <- e.Events(ctx, &cursor, true, func(ev *runtime.Event) error {
				_, err := f.Publish(ctx, []runtime.Event{*ev})
				return err
			})
		}()
		synctest.Wait()
		for i := range 20 {
			trigger(t, e, "chain", fmt.Sprint(i))
		}
		synctest.Wait()
		checkPublished(t, f, 20, 1, 2, 3, 4)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the end: %v", err)
		}
		again, err := e.ParseEventCursor(cursor.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Events(t.Context(), &again, false, func(ev *runtime.Event) error {
			return fmt.Errorf("event %s is not new", ev.ID())
		}); err != nil {
			t.Error(err)
		}
		for _, bad := range []string{"?", "AA", "gICAgICAgICAgICAgICAgICAgA", "AAAAAAAA"} {
			if _, err := e.ParseEventCursor(bad); err == nil {
				t.Errorf("cursor %q was accepted", bad)
			}
		}
	})
}

// lateStore lets a batch be seen only after its position has moved, as a store may; gate holds a batch in between.
type lateStore struct {
	*runtimetest.MemStore
	held   atomic.Bool
	raised atomic.Uint64
	gate   chan struct{}
}

func (s *lateStore) Applied(shard runtime.Shard) runtime.LSN {
	return max(s.MemStore.Applied(shard), runtime.LSN(s.raised.Load()))
}

func (s *lateStore) Apply(shard runtime.Shard, epoch runtime.Epoch, b *runtime.Batch) (runtime.LSN, error) {
	if s.held.CompareAndSwap(true, false) {
		s.raised.Store(uint64(s.MemStore.Applied(shard) + 1))
		<-s.gate
	}
	return s.MemStore.Apply(shard, epoch, b)
}

// An event whose position has moved and which cannot be read yet is not passed over.
func TestRelayWaitsForWhatIsNotVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &lateStore{MemStore: runtimetest.NewMemStore(1), gate: make(chan struct{})}
		f := &fakeStreamer{}
		e := start(t, runtime.Options{Store: store, Streamer: f, Relay: runtime.RelayOptions{Linger: time.Second}},
			runtimetest.Workflow("orders", runtimetest.Callback{
				Status: "received", To: []string{"shipped"}, Func: runtimetest.Answer(runtime.OutcomeSkip, ""),
			}))
		trigger(t, e, "orders", "1")
		elapse(time.Minute)
		// A batch without an event wakes the relay, and while it lingers the next position moves.
		if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "orders", Status: "received", ForeignID: "1"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		store.held.Store(true)
		go func() { _, _ = e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: "2"}) }()
		elapse(time.Minute)
		close(store.gate)
		elapse(time.Minute)
		checkPublished(t, f, 2, 1)
	})
}
