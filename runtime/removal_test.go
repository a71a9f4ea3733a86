package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// A run that is cancelled while a worker has it, or while it waits in a queue, may be removed before the worker looks again: the
// worker finds nothing, and the engine goes on.
func TestRetentionWhileARunIsInMemory(t *testing.T) {
	for _, where := range []string{"executing", "queued", "to be computed", "called back"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				held := func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
					<-gate
					out.Kind, out.Status = runtime.OutcomeTo, "shipped"
					return nil
				}
				parts := []runtimetest.Part{
					runtimetest.Step{Status: "received", To: []string{"shipped"}, Func: held}, runtimetest.Retention(time.Second),
				}
				switch where {
				case "to be computed":
					parts = append(parts, runtimetest.Timeout{
						Status: "received", Name: "late", To: []string{"shipped"}, Func: runtimetest.To("shipped"),
						Timer: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
							<-gate
							out.Kind, out.Due = runtime.OutcomeDone, in.Now.Add(time.Hour)
							return nil
						},
					})
				case "called back":
					parts[0] = runtimetest.Callback{Status: "received", To: []string{"shipped"}, Func: held}
				}
				opt := onMemory()
				opt.Workers = 1
				e := start(t, opt, runtimetest.Workflow("orders", parts...))
				id := trigger(t, e, "orders", "1")
				if where == "called back" {
					if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "orders", Status: "received", ForeignID: "1"}); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if where == "queued" {
					id = trigger(t, e, "orders", "2")
				}
				if _, err := e.Cancel(t.Context(), id, runtime.Note{}); err != nil {
					t.Fatal(err)
				}
				elapse(2 * time.Second)
				synctest.Wait()
				if _, err := e.Run(t.Context(), id); !errors.Is(err, runtime.ErrNotFound) {
					t.Fatalf("the run is to be removed: %v", err)
				}
				close(gate)
				synctest.Wait()
				if err := e.Err(); err != nil {
					t.Fatalf("the engine has stopped: %v", err)
				}
				if n := e.Stats().InMemory; n != 0 {
					t.Errorf("%d runs in memory", n)
				}
				trigger(t, e, "orders", "3")
			})
		})
	}
}

// A run that ends while no module carries its workflow is removed all the same, when a module says for how long it is kept: by the
// time of its end.
func TestRetentionOfARunThatEndsWithoutAModule(t *testing.T) {
	for _, what := range []string{"ended", "erased"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := 0
				w := runtimetest.Workflow("orders", runtimetest.Retention(24*time.Hour),
					runtimetest.Callback{Status: "received", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
					runtimetest.Hook{On: runtime.HookCancel, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
						told++
						out.Kind = runtime.OutcomeDone
						return nil
					}},
				)
				e := start(t, onMemory(), w)
				id := trigger(t, e, "orders", "1")
				e.SetCatalog(runtime.NewCatalog())
				if _, err := e.Cancel(t.Context(), id, runtime.Note{}); err != nil {
					t.Fatal(err)
				}
				ended := time.Now()
				if what == "erased" {
					if _, err := e.Erase(t.Context(), id, runtime.Note{}); err != nil {
						t.Fatal(err)
					}
				}
				elapse(10 * time.Hour)
				e.SetCatalog(runtime.NewCatalog(w))
				elapse(time.Hour)
				synctest.Wait()
				rec, err := e.Run(t.Context(), id)
				if err != nil || told != 1 || !rec.ExpireAt.Equal(ended.Add(24*time.Hour)) {
					t.Fatalf("told %d times, removed at %v, want %v: %v", told, rec.ExpireAt, ended.Add(24*time.Hour), err)
				}
				elapse(13 * time.Hour)
				synctest.Wait()
				if _, err := e.Run(t.Context(), id); !errors.Is(err, runtime.ErrNotFound) {
					t.Errorf("the run is to be removed: %v", err)
				}
			})
		})
	}
}

// A hook that is under way while its run is erased has seen the data: what it logs and why it fails are not kept.
func TestHookUnderWayDuringErase(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("fails ", fails), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				var told []string
				e := start(t, onMemory(), runtimetest.Workflow("orders",
					runtimetest.Step{Status: "received", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
					runtimetest.Hook{On: runtime.HookComplete, Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
						told = append(told, string(in.Record.Object))
						out.Logs = append(out.Logs, runtime.LogLine{Text: string(in.Record.Object)})
						out.Kind = runtime.OutcomeDone
						if len(told) > 1 {
							return nil
						}
						<-gate
						if fails {
							return errors.New("no answer to " + string(in.Record.Object))
						}
						return nil
					}},
				))
				done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: "1", Object: []byte(`"secret"`)})
				if err != nil {
					t.Fatal(err)
				}
				id := done.Record.RunID
				synctest.Wait()
				if _, err := e.Erase(t.Context(), id, runtime.Note{}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if rec, err := e.Run(t.Context(), id); err != nil || rec.State != runtime.DataDeleted {
					t.Fatal(rec.State, err)
				}
				close(gate)
				elapse(time.Hour)
				synctest.Wait()
				entries, err := e.History(t.Context(), id, 0, 0, 100)
				if err != nil {
					t.Fatal(err)
				}
				hooks := 0
				for _, h := range entries {
					if h.Cause == runtime.CauseHook {
						hooks++
					}
					if h.Reason != "" {
						t.Errorf("the history tells of %q", h.Reason)
					}
				}
				logs, err := e.Logs(t.Context(), id, 0, time.Time{}, 10)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range logs {
					if l.Lines[0].Text != `{"result":"deleted"}` {
						t.Errorf("the logs tell of %q", l.Lines[0].Text)
					}
				}
				if want := map[bool]int{false: 1, true: 2}[fails]; len(told) != want || hooks != want {
					t.Errorf("hooks were told %v, and the history has %d lines of them", told, hooks)
				}
			})
		})
	}
}

// Messages for a run that were parked hold its data too: they go with it, and those for others, and for the next run of its
// foreign ID, stay.
func TestEraseDropsParkedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 3)
		opt := onMemory()
		c := triggers(t, stream)
		c.Busy = runtime.BusyPark
		opt.Connectors = []runtime.Connector{c}
		e := start(t, opt, runtimetest.Workflow("orders", runtimetest.Callback{
			Status: "received", To: []string{"shipped"}, Func: runtimetest.To("shipped"),
		}))
		id, other := trigger(t, e, "orders", "1"), trigger(t, e, "orders", "2")
		for partition := range int32(3) {
			stream.Produce(order(partition, "1", `"secret"`))
			stream.Produce(order(partition, "2", `"of another"`))
		}
		stream.Produce(order(0, "1", "nonsense"))
		elapse(time.Minute)
		if parked, err := e.Parked(t.Context(), "", runtime.Origin{}, 10); err != nil || len(parked) != 7 {
			t.Fatalf("parked: %+v, %v", parked, err)
		}
		if _, err := e.Cancel(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		elapse(time.Minute)
		next := trigger(t, e, "orders", "1")
		elapse(time.Minute)
		stream.Produce(order(1, "1", `"of the next"`))
		elapse(time.Minute)
		if _, err := e.Cancel(t.Context(), next, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		elapse(time.Minute)
		newest := trigger(t, e, "orders", "1")
		if _, err := e.Erase(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if rec, err := e.Run(t.Context(), id); err != nil || rec.State != runtime.DataDeleted {
			t.Fatal(rec.State, err)
		}
		wantParked(t, e, `"of another"`, `"of another"`, `"of another"`, `"of the next"`)
		for _, id := range []runtime.RunID{newest, other} {
			if _, err := e.Cancel(t.Context(), id, runtime.Note{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []runtime.RunID{next, other} {
			if _, err := e.Erase(t.Context(), id, runtime.Note{}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		wantParked(t, e)
	})
}

// wantParked wants the parked messages to have these values, in any order.
func wantParked(t *testing.T, e *runtime.Engine, want ...string) {
	t.Helper()
	parked, err := e.Parked(t.Context(), "", runtime.Origin{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range parked {
		got = append(got, string(parked[i].Value))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("parked are %s, want %s", got, want)
	}
}

// A repetition of a request whose run has been removed is told so: it took effect, and is not done again.
func TestARepetitionOutlivesItsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int32
		e := start(t, onMemory(), runtimetest.Workflow("orders", runtimetest.Retention(time.Hour),
			runtimetest.Callback{Status: "received", To: []string{"shipped"}, Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				begun.Add(1)
				return runtimetest.To("shipped")(ctx, in, out)
			}}))
		first := runtime.Trigger{Workflow: "orders", ForeignID: "1", IdempotencyKey: "first"}
		done, err := e.Trigger(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		second := runtime.Callback{Workflow: "orders", ForeignID: "1", Status: "received", IdempotencyKey: "second", Wait: time.Minute}
		if _, err := e.Callback(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		elapse(2 * time.Hour)
		if _, err := e.Run(t.Context(), done.Record.RunID); !errors.Is(err, runtime.ErrNotFound) {
			t.Fatalf("the run is to be removed: %v", err)
		}
		var removed *runtime.RemovedError
		if _, err := e.Trigger(t.Context(), first); !errors.As(err, &removed) || removed.RunID != done.Record.RunID || removed.Key != "first" {
			t.Errorf("the trigger again: %v", err)
		}
		removed = nil
		if _, err := e.Callback(t.Context(), second); !errors.As(err, &removed) || removed.RunID != done.Record.RunID || removed.Key != "second" {
			t.Errorf("the callback again: %v", err)
		}
		second.IdempotencyKey = "third"
		if _, err := e.Callback(t.Context(), second); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("a new callback: %v", err)
		}
		all, err := e.Runs(t.Context(), runtime.Query{Limit: 10})
		if err != nil || len(all) != 0 || begun.Load() != 1 {
			t.Errorf("%d callbacks were handled, and there are the runs %+v, %v", begun.Load(), all, err)
		}
	})
}

// slowReady is a store that takes its time to say which runs are ready.
type slowReady struct {
	*runtimetest.MemStore
	wait time.Duration
}

func (s *slowReady) Ready(shard runtime.Shard, q runtime.Queue, after runtime.RunID, limit int, dst []runtime.RunID) ([]runtime.RunID, error) {
	ids, err := s.MemStore.Ready(shard, q, after, limit, dst)
	<-time.After(s.wait)
	return ids, err
}

// Runs that the store has just named as ready are cancelled and removed before they are fetched: the engine goes on with the others.
func TestRetentionWhileRunsAreFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		w := runtimetest.Workflow("orders", runtimetest.Retention(time.Second), runtimetest.Step{
			Status: "received", To: []string{"done"}, Parallelism: 1, Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				<-gate
				return runtimetest.To("done")(ctx, in, out)
			},
		})
		store := &slowReady{MemStore: runtimetest.NewMemStore(1)}
		e := start(t, runtime.Options{Store: store, Window: 2}, w)
		var ids []runtime.RunID
		for i := range 10 {
			ids = append(ids, trigger(t, e, "orders", fmt.Sprint(i)))
		}
		synctest.Wait()
		store.wait = 3 * time.Second
		close(gate)
		synctest.Wait()
		var completed *runtime.TransitionError
		for _, id := range ids {
			if _, err := e.Cancel(t.Context(), id, runtime.Note{}); err != nil && !errors.As(err, &completed) {
				t.Fatal(err)
			}
		}
		elapse(time.Minute)
		if err := e.Err(); err != nil {
			t.Errorf("the engine has stopped: %v", err)
		}
		trigger(t, e, "orders", "another")
	})
}

// The removal of a run whose data are being erased waits for the erasing, however long its handler takes or fails.
func TestRetentionWaitsForTheErase(t *testing.T) {
	for what, c := range map[string]struct {
		takes time.Duration
		fails int
	}{"slow": {takes: 2 * time.Second}, "failing": {fails: 8}} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told, calls atomic.Int32
				e := start(t, onMemory(), runtimetest.Workflow("orders", runtimetest.Retention(time.Hour),
					runtimetest.Step{Status: "received", To: []string{"done"}, Func: runtimetest.To("done")},
					runtimetest.Erase{Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
						if int(calls.Add(1)) <= c.fails {
							return errors.New("the service is down")
						}
						<-time.After(c.takes)
						out.Kind = runtime.OutcomeDone
						return nil
					}},
					runtimetest.Hook{On: runtime.HookErase, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
						told.Add(1)
						out.Kind = runtime.OutcomeDone
						return nil
					}},
				))
				id := trigger(t, e, "orders", "1")
				settle(t, e, id)
				elapse(time.Hour - time.Second)
				erase(t, e, id)
				elapse(time.Hour)
				if _, err := e.Run(t.Context(), id); !errors.Is(err, runtime.ErrNotFound) || told.Load() != 1 || int(calls.Load()) != c.fails+1 || e.Err() != nil {
					t.Errorf("erased by %d calls, hook told %d times, then: %v; the engine: %v", calls.Load(), told.Load(), err, e.Err())
				}
			})
		})
	}
}
