package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// stop stops an engine gracefully.
func stop(t *testing.T, e *runtime.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// crash ends an engine and its store as a loss of power would, and returns what a restart finds.
func crash(t *testing.T, e *runtime.Engine, store *runtimetest.MemStore) *runtimetest.MemStore {
	t.Helper()
	after := store.Crash()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = e.Stop(ctx) // what it says is of no interest: its store is gone
	return after
}

func TestRestartGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(4)
		opt := runtime.Options{Store: store, Window: 10}
		e := start(t, opt) // no module: the runs wait
		e.SetCatalog(runtime.NewCatalog(runtimetest.Workflow("chain", runtimetest.Step{
			Status: "s1", To: []string{"done"}, Func: func(ctx context.Context, _ *runtime.Invocation, _ *runtime.Outcome) error {
				<-ctx.Done()
				return ctx.Err()
			},
		})))
		var ids []runtime.RunID
		for i := range 100 {
			ids = append(ids, trigger(t, e, "chain", fmt.Sprint(i)))
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop with invocations that do not end: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		e = start(t, runtime.Options{Store: store.Reopen(), Window: 10}, runtimetest.Chain("chain", 1))
		for _, id := range ids {
			if last := settle(t, e, id); last.State != runtime.Completed || last.Version != 2 {
				t.Errorf("after the restart: %+v", last)
			}
			wantHistory(t, e, id, "1 Initiated s1\n2 Completed done\n") // an attempt that a stop ended does not count
		}
	})
}

// Runs whose module is missing wait, and go on when it comes.
func TestModuleThatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(4)
		e := start(t, runtime.Options{Store: store}, runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"priced"}, Func: runtimetest.To("priced")},
			runtimetest.Step{Status: "priced", To: []string{"shipped"}, Func: runtimetest.Func(
				func(context.Context, *runtime.Invocation, *runtime.Outcome) error { return runtime.ErrRetired })},
		))
		var ids []runtime.RunID
		for i := range 10 {
			ids = append(ids, trigger(t, e, "orders", fmt.Sprint(i)))
		}
		synctest.Wait()
		if n := e.Stats().InMemory; n != 0 {
			t.Errorf("%d runs of a retired module are in memory", n)
		}
		stop(t, e)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		e = start(t, runtime.Options{Store: store.Reopen()})
		synctest.Wait()
		if n := e.Stats().InMemory; n != 0 {
			t.Errorf("%d runs without a module are in memory", n)
		}
		e.SetCatalog(runtime.NewCatalog(orders()))
		for _, id := range ids {
			if last := settle(t, e, id); last.Status != "shipped" {
				t.Errorf("after the module came: %+v", last)
			}
		}
	})
}

// A step that kills the process runs out of attempts, and the runs beside it do not.
func TestStepThatKillsTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(2)
		var killed chan struct{}
		w := runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"priced"}, Func: runtimetest.To("priced")},
			runtimetest.Step{
				Status: "priced", To: []string{"shipped"}, Retry: runtime.Retry{Attempts: 4},
				Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
					out.Kind, out.Status = runtime.OutcomeTo, "shipped"
					if in.Record.ForeignID == "kills" {
						close(killed)
						<-ctx.Done() // the process is gone before the step ends
						return ctx.Err()
					}
					return nil
				},
			})
		var kills runtime.RunID
		for life := 1; ; life++ {
			killed = make(chan struct{})
			e := start(t, runtime.Options{Store: store, AutoResume: -1}, w)
			if life == 1 {
				kills = trigger(t, e, "orders", "kills")
			}
			synctest.Wait()
			select {
			case <-killed:
			default:
				last := settle(t, e, kills)
				if life != 5 || last.State != runtime.Paused || !strings.Contains(last.Reason, "stopped without warning during attempt 4") {
					t.Errorf("life %d: %+v", life, last)
				}
				return
			}
			if last := settle(t, e, trigger(t, e, "orders", fmt.Sprint(life))); last.State != runtime.Completed {
				t.Errorf("life %d: the good run: %+v", life, last)
			}
			store = crash(t, e, store)
		}
	})
}

// No answer leaves before what it tells is durable; no refusal either.
func TestNothingLeavesBeforeItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(1)
		e := start(t, runtime.Options{Store: store}, runtimetest.Workflow("orders", runtimetest.Step{
			Status: "received", To: []string{"received", "shipped"},
			Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				if strings.HasPrefix(in.Record.ForeignID, "waits") {
					out.Kind = runtime.OutcomeSkip
				}
				return nil
			},
		}))
		known := trigger(t, e, "orders", "waits")
		trigger(t, e, "orders", "waits too")
		synctest.Wait()
		store.Hold()
		if _, err := e.Cancel(canceledSoon(t), known, runtime.Note{Reason: "asked"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a change while nothing becomes durable: %v", err)
		}
		held := true
		ask := func(ctx context.Context) map[string]error {
			answers := map[string]error{}
			_, answers["trigger"] = e.Trigger(ctx, runtime.Trigger{Workflow: "orders", ForeignID: fmt.Sprint("held ", held)})
			_, answers["refusal"] = e.Trigger(ctx, runtime.Trigger{Workflow: "orders", ForeignID: "waits too"})
			_, answers["get"] = e.Run(ctx, known)
			_, answers["get of nothing"] = e.Run(ctx, runtime.NewRunID(t0, 0, 9))
			_, answers["list"] = e.Runs(ctx, runtime.Query{Limit: 10})
			_, answers["history"] = e.History(ctx, known, 0, 0, 10)
			_, answers["await"] = e.Await(ctx, known, runtime.Until{State: runtime.Cancelled})
			var c runtime.EventCursor
			answers["events"] = e.Events(ctx, &c, false, func(ev *runtime.Event) error {
				if held && ev.Version > 2 {
					t.Errorf("event %s left before it was durable", ev.ID())
				}
				return nil
			})
			return answers
		}
		for what, err := range ask(canceledSoon(t)) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s did not wait: %v", what, err)
			}
		}
		store.Release()
		held = false
		for what, err := range ask(t.Context()) {
			var busy *runtime.InProgressError
			if what == "get of nothing" && errors.Is(err, runtime.ErrNotFound) || what == "refusal" && errors.As(err, &busy) {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// canceledSoon returns a context that ends after a second of the bubble's clock.
func canceledSoon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestFailedStoreReleasesNothing(t *testing.T) {
	cause := errors.New("disk gone")
	for name, fail := range map[string]func(*runtimetest.MemStore){
		"sync":  func(s *runtimetest.MemStore) { s.Fail(cause) },
		"apply": func(s *runtimetest.MemStore) { s.FailNextApply(cause) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := runtimetest.NewMemStore(2)
				e := start(t, runtime.Options{Store: store}, orders())
				id := trigger(t, e, "orders", "1")
				settle(t, e, id)
				store.Hold()
				var answered atomic.Int32
				var all sync.WaitGroup
				for i := range 5 {
					all.Go(func() {
						if _, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: fmt.Sprint("late", i)}); err == nil {
							answered.Add(1)
						}
					})
				}
				synctest.Wait()
				fail(store)
				if name == "apply" {
					_, _ = e.Trigger(canceledSoon(t), runtime.Trigger{Workflow: "orders", ForeignID: "last"})
				}
				all.Wait()
				if answered.Load() != 0 {
					t.Errorf("%d triggers were acknowledged", answered.Load())
				}
				<-e.Failed()
				if err := e.Err(); !errors.Is(err, runtime.ErrStoreFailed) || !errors.Is(err, cause) {
					t.Errorf("the engine failed with %v", err)
				}
				if _, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: "after"}); !errors.Is(err, cause) {
					t.Errorf("a trigger after the failure: %v", err)
				}
			})
		})
	}
}

func TestStopRefusesAndDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(2)
		began := make(chan struct{})
		e := start(t, runtime.Options{Store: store}, runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"priced"}, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				close(began)
				elapse(time.Second)
				out.Kind, out.Status = runtime.OutcomeTo, "priced"
				return nil
			}},
			runtimetest.Step{Status: "priced", To: []string{"shipped"}, Func: func(context.Context, *runtime.Invocation, *runtime.Outcome) error {
				t.Error("a step began after Stop")
				return nil
			}},
		))
		id := trigger(t, e, "orders", "1")
		<-began
		stop(t, e)
		if _, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: "2"}); !errors.Is(err, runtime.ErrStopping) {
			t.Errorf("a trigger after Stop: %v", err)
		}
		var rec runtime.Record
		if err := store.Record(id, &rec); err != nil || rec.Status != "priced" || rec.Version != 2 {
			t.Errorf("the invocation under way was not committed: %+v, %v", rec, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever the moments of crashes and restarts, each run takes each transition once and all end.
func TestCrashesLoseAndDoubleNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			const runs, steps = 20, 5
			store := runtimetest.NewMemStore(rapid.IntRange(1, 4).Draw(rt, "shards"))
			w := runtimetest.Chain("chain", steps)
			known := map[string]runtime.RunID{}
			options := func() runtime.Options {
				return runtime.Options{Store: store, Window: rapid.IntRange(1, 8).Draw(rt, "window"), Workers: rapid.IntRange(1, 4).Draw(rt, "workers")}
			}
			for life := range rapid.IntRange(0, 4).Draw(rt, "lives") {
				e := start(t, options(), w)
				for range rapid.IntRange(0, runs).Draw(rt, "triggers") {
					name := fmt.Sprint(life, len(known))
					known[name] = trigger(t, e, "chain", name)
				}
				if rapid.Bool().Draw(rt, "hold") {
					store.Hold()
					for i := range rapid.IntRange(0, runs).Draw(rt, "held triggers") {
						go func() {
							_, _ = e.Trigger(t.Context(), runtime.Trigger{Workflow: "chain", ForeignID: fmt.Sprint("held", life, i)})
						}()
					}
				}
				if rapid.Bool().Draw(rt, "wait") {
					synctest.Wait()
				}
				store = crash(t, e, store)
			}
			e := start(t, options(), w)
			synctest.Wait()
			all, err := e.Runs(t.Context(), runtime.Query{Limit: 10_000})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range all {
				if r.State != runtime.Completed || r.Version != steps+1 {
					t.Errorf("run %s: %s in version %d", r.ForeignID, r.State, r.Version)
				}
				delete(known, r.ForeignID)
				entries, err := e.History(t.Context(), r.RunID, 0, 0, 1000)
				if err != nil {
					t.Fatal(err)
				}
				version := uint64(0)
				for _, h := range entries {
					if h.Line == 0 {
						if version++; h.Version != version {
							t.Errorf("run %s: version %d follows %d", r.ForeignID, h.Version, version-1)
						}
					}
				}
				if version != r.Version {
					t.Errorf("run %s: %d versions in the history, %d in the record", r.ForeignID, version, r.Version)
				}
			}
			for name := range known {
				t.Errorf("run %s was acknowledged and is lost", name)
			}
		})
	})
}
