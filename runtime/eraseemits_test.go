package runtime_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// published returns the IDs of what the streamer has taken of a run, in order.
func (f *fakeStreamer) published(id runtime.RunID) (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.taken {
		if f.taken[i].RunID == id {
			ids = append(ids, strings.TrimPrefix(f.taken[i].ID(), id.String()+"/"))
		}
	}
	return ids
}

// away is a streamer that takes nothing until well is set.
func away(well *atomic.Bool) *fakeStreamer {
	f := &fakeStreamer{}
	for range 10_000 {
		f.script = append(f.script, func(events []runtime.Event) (int, error) {
			if well.Load() {
				return len(events), nil
			}
			return 0, errAway
		})
	}
	return f
}

// emitting is a workflow whose only step emits two events; its runs are removed an hour after they have ended.
func emitting() *runtime.Workflow {
	return runtimetest.Workflow("orders", runtimetest.Retention(time.Hour),
		runtimetest.Step{Status: "received", To: []string{"done"}, Func: emits(runtimetest.To("done"), "a", "b")})
}

func erase(t *testing.T, e *runtime.Engine, id runtime.RunID) {
	t.Helper()
	if _, err := e.Erase(t.Context(), id, runtime.Note{}); err != nil {
		t.Fatal(err)
	}
}

func wantState(t *testing.T, e *runtime.Engine, id runtime.RunID, want runtime.RunState) {
	t.Helper()
	rec, err := e.Run(t.Context(), id)
	if err != nil || rec.State != want {
		t.Errorf("the run is %v, want %v: %v", rec.State, want, err)
	}
}

// What handlers emitted does not leave once the data of their run are to be erased, however long it has waited, also over a restart
// and past the time when the run would be removed. The notices leave, in order, and so does what other runs emitted.
func TestErasedEmitsDoNotLeave(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var well atomic.Bool
				f := away(&well)
				store := runtimetest.NewMemStore(2)
				options := func() runtime.Options {
					return runtime.Options{Store: store, Streamer: f, Relay: runtime.RelayOptions{Batch: 3}}
				}
				e := start(t, options(), emitting())
				before := trigger(t, e, "orders", "before")
				var erased []runtime.RunID
				for i := range 10 {
					erased = append(erased, trigger(t, e, "orders", fmt.Sprint(i)))
				}
				other := trigger(t, e, "orders", "other")
				elapse(time.Second)
				for _, id := range erased {
					erase(t, e, id)
				}
				elapse(time.Minute)
				for _, id := range erased {
					wantState(t, e, id, runtime.DataDeleted)
				}
				if restart {
					stop(t, e)
					if err := store.Close(); err != nil {
						t.Fatal(err)
					}
					store = store.Reopen()
					e = start(t, options(), emitting())
				}
				elapse(2 * time.Hour)
				for _, id := range erased {
					wantState(t, e, id, runtime.DataDeleted)
				}
				well.Store(true)
				elapse(time.Minute)
				for _, id := range erased {
					if ids := f.published(id); !slices.Equal(ids, []string{"1", "2", "3", "4"}) {
						t.Errorf("of a run whose data are erased %q left", ids)
					}
				}
				for _, id := range []runtime.RunID{before, other} {
					if ids := f.published(id); !slices.Equal(ids, []string{"1", "2", "2/1", "2/2"}) {
						t.Errorf("of another run %q left", ids)
					}
				}
				if n := unpublished(e); n != 0 {
					t.Errorf("%d events wait", n)
				}
				elapse(time.Hour)
				if _, err := e.Run(t.Context(), erased[0]); err == nil {
					t.Error("the run was not removed once its events had left")
				}
			})
		})
	}
}

// An erasing waits for what the streamer already has of its run: it may be on its way. When the run's data are erased, nothing that
// its handlers emitted leaves any more.
func TestEraseWaitsForEmitsThatLeave(t *testing.T) {
	for _, taken := range []bool{false, true} {
		t.Run(fmt.Sprint("taken ", taken), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				var f *fakeStreamer
				f = &fakeStreamer{script: []func([]runtime.Event) (int, error){func(events []runtime.Event) (int, error) {
					f.mu.Unlock() // it blocks this shard's relay, and nobody who looks at what is taken
					defer f.mu.Lock()
					<-gate
					if taken {
						return len(events), nil
					}
					return 0, errAway
				}}}
				e := start(t, runtime.Options{
					Store: runtimetest.NewMemStore(1), Streamer: f, Relay: runtime.RelayOptions{Linger: time.Minute},
				}, emitting())
				elapse(time.Minute) // the relay waits for the first event, and then for more
				id := trigger(t, e, "orders", "1")
				elapse(2 * time.Minute)
				erase(t, e, id)
				elapse(10 * time.Minute)
				wantState(t, e, id, runtime.RequestedDataDeleted)
				close(gate)
				elapse(10 * time.Minute)
				wantState(t, e, id, runtime.DataDeleted)
				want := []string{"1", "2", "3", "4"}
				if taken {
					want = []string{"1", "2", "2/1", "2/2", "3", "4"}
				}
				if ids := f.published(id); !slices.Equal(ids, want) {
					t.Errorf("%q left, want %q", ids, want)
				}
			})
		})
	}
}
