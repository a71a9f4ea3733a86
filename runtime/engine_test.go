package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts an engine on a store; its cleanup stops it.
func start(t *testing.T, opt runtime.Options, workflows ...*runtime.Workflow) *runtime.Engine {
	t.Helper()
	e, err := runtime.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	e.SetCatalog(runtime.NewCatalog(workflows...))
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := e.Stop(ctx); err != nil && e.Err() == nil {
			t.Error(err)
		}
	})
	return e
}

func onMemory() runtime.Options { return runtime.Options{Store: runtimetest.NewMemStore(4)} }

func trigger(t *testing.T, e *runtime.Engine, workflow, foreignID string) runtime.RunID {
	t.Helper()
	done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: workflow, ForeignID: foreignID})
	if err != nil {
		t.Fatal(err)
	}
	return done.Record.RunID
}

// elapse lets d pass on the clock of the synctest bubble.
func elapse(d time.Duration) { <-time.After(d) }

// settle waits until the run has ended or paused.
func settle(t *testing.T, e *runtime.Engine, id runtime.RunID) runtime.Record {
	t.Helper()
	done, err := e.Await(t.Context(), id, runtime.Until{})
	if err != nil {
		t.Fatal(err)
	}
	return done.Record
}

// history renders the history of a run, a line an entry: version, state, status, and what happened if it made no version.
func history(t *testing.T, e *runtime.Engine, id runtime.RunID) string {
	t.Helper()
	entries, err := e.History(t.Context(), id, 0, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, h := range entries {
		fmt.Fprintf(&b, "%d %s %s", h.Version, h.State, h.Status)
		switch {
		case h.Line > 0 && h.Failed && h.Callback > 0:
			fmt.Fprintf(&b, " callback %d failed: %s", h.Callback, h.Reason)
		case h.Line > 0 && h.Failed:
			fmt.Fprintf(&b, " attempt %d failed: %s", h.Attempt, h.Reason)
		case h.Line > 0:
			fmt.Fprintf(&b, " %s: %s", h.Cause, h.Reason)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func wantHistory(t *testing.T, e *runtime.Engine, id runtime.RunID, want string) {
	t.Helper()
	if got := history(t, e, id); got != strings.TrimPrefix(want, "\n") {
		t.Errorf("history of the run:\n%swant:%s", got, want)
	}
}

func TestRunFromTriggerToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := func(to string) runtimetest.Func {
			return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				var n int
				if err := json.Unmarshal(in.Record.Object, &n); err != nil {
					return err
				}
				out.Kind, out.Status, out.Changed = runtime.OutcomeTo, to, true
				out.Object = fmt.Append(out.Object, n+1)
				return nil
			}
		}
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"priced"}, Func: count("priced")},
			runtimetest.Step{Status: "priced", To: []string{"shipped", "backordered"}, Func: count("shipped")},
		))
		done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: "10248", Object: []byte("40")})
		if err != nil {
			t.Fatal(err)
		}
		first := done.Record
		if first.State != runtime.Initiated || first.Status != "received" || first.Version != 1 || string(first.Object) != "40" {
			t.Errorf("the answer to the trigger: %+v", first)
		}
		last := settle(t, e, first.RunID)
		if last.State != runtime.Completed || last.Status != "shipped" || last.Version != 3 || string(last.Object) != "42" {
			t.Errorf("the end: %+v", last)
		}
		wantHistory(t, e, first.RunID, `
1 Initiated received
2 Running priced
3 Completed shipped
`)
	})
}

func TestTriggerRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := onMemory()
		opt.MaxObject = 100
		e := start(t, opt, orders())
		for _, c := range []struct {
			name    string
			trigger runtime.Trigger
			want    string
		}{
			{"unknown workflow", runtime.Trigger{Workflow: "order", ForeignID: "1"}, `there is no workflow "order"`},
			{"no foreign ID", runtime.Trigger{Workflow: "orders"}, "foreign_id is empty; give your own name for what the run is about"},
			{"long foreign ID", runtime.Trigger{Workflow: "orders", ForeignID: strings.Repeat("x", 257)}, "foreign_id has 257 bytes; at most 256 are allowed"},
			{"foreign ID that is not UTF-8", runtime.Trigger{Workflow: "orders", ForeignID: "\xff"}, "foreign_id is not UTF-8"},
			{"object that is not JSON", runtime.Trigger{Workflow: "orders", ForeignID: "1", Object: []byte("{")}, "object is not one JSON value"},
			{"large object", runtime.Trigger{Workflow: "orders", ForeignID: "1", Object: make([]byte, 101)}, "object has 101 bytes; at most 100 are allowed (engine.max_object)"},
			{"unknown status", runtime.Trigger{Workflow: "orders", ForeignID: "1", StartAt: "lost"}, `workflow orders has no status "lost" that a run can begin in`},
			{"terminal status", runtime.Trigger{Workflow: "orders", ForeignID: "1", StartAt: "shipped"}, `workflow orders has no status "shipped" that a run can begin in`},
		} {
			if _, err := e.Trigger(t.Context(), c.trigger); err == nil || err.Error() != c.want {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
		}
		if all, err := e.Runs(t.Context(), runtime.Query{Limit: 10}); err != nil || len(all) != 0 {
			t.Errorf("refused triggers left %d runs, %v", len(all), err)
		}
	})
}

// docs/parity.md, C8: concurrent triggers for one foreign ID make exactly one run.
func TestConcurrentTriggersMakeOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		e := start(t, onMemory(), runtimetest.Workflow("orders", runtimetest.Step{
			Status: "received", To: []string{"shipped"},
			Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				<-gate
				out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				return nil
			},
		}))
		var began atomic.Int32
		var winner, refused sync.Map
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: "10248"})
				var busy *runtime.InProgressError
				switch {
				case err == nil:
					began.Add(1)
					winner.Store(done.Record.RunID, true)
				case errors.As(err, &busy):
					refused.Store(busy.RunID, true)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if began.Load() != 1 {
			t.Errorf("%d triggers began a run", began.Load())
		}
		refused.Range(func(id, _ any) bool {
			if _, ok := winner.Load(id); !ok {
				t.Errorf("a refusal names %v, which is not the run", id)
			}
			return true
		})
		close(gate)
		synctest.Wait()
		trigger(t, e, "orders", "10248") // the first has ended: the next may begin
	})
}

func TestIdempotencyKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), orders())
		ask := runtime.Trigger{Workflow: "orders", ForeignID: "1", Object: []byte(`{"a":1}`), IdempotencyKey: "k"}
		first, err := e.Trigger(t.Context(), ask)
		if err != nil || first.Repeated {
			t.Fatal(first.Repeated, err)
		}
		settle(t, e, first.Record.RunID)
		again, err := e.Trigger(t.Context(), ask)
		if err != nil || !again.Repeated || again.Record.RunID != first.Record.RunID || again.Record.State != runtime.Completed {
			t.Errorf("the repetition: %+v, %v", again, err)
		}
		other := ask
		other.Object = []byte(`{"a":2}`)
		var reused *runtime.KeyReusedError
		if _, err := e.Trigger(t.Context(), other); !errors.As(err, &reused) || reused.RunID != first.Record.RunID {
			t.Errorf("another body under the key: %v", err)
		}
		elsewhere := ask
		elsewhere.ForeignID = "2"
		if done, err := e.Trigger(t.Context(), elsewhere); err != nil || done.Repeated {
			t.Errorf("the key of another foreign ID: %+v, %v", done, err)
		}
		elapse(24*time.Hour + time.Second)
		synctest.Wait()
		if done, err := e.Trigger(t.Context(), ask); err != nil || done.Repeated {
			t.Errorf("the key after 24 hours: %+v, %v", done, err)
		}
	})
}

// The newest run is the one created last, also when several begin within a millisecond or the clock goes back.
func TestLatestIsNewestCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := onMemory()
		clock := &shiftedClock{}
		opt.Clock = clock
		e := start(t, opt, orders())
		var last runtime.RunID
		for i := range 50 {
			if i == 25 {
				clock.shift.Store(int64(-time.Hour))
			}
			id := trigger(t, e, "orders", "1")
			if id.String() <= last.String() {
				t.Fatalf("run %d, %s, does not order after %s", i, id, last)
			}
			settle(t, e, id)
			last = id
		}
		page, err := e.Runs(t.Context(), runtime.Query{ForeignIDs: []string{"1"}, Descending: true, Limit: 1})
		if err != nil || len(page) != 1 || page[0].RunID != last {
			t.Errorf("the newest is %v, %v; want %s", page, err, last)
		}
	})
}

// shiftedClock is the bubble's clock, moved.
type shiftedClock struct {
	runtime.SystemClock
	shift atomic.Int64
}

func (c *shiftedClock) Now() time.Time { return time.Now().Add(time.Duration(c.shift.Load())) }

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		hold := func(to string) runtimetest.Func {
			return func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				<-gate
				out.Kind, out.Status = runtime.OutcomeTo, to
				return nil
			}
		}
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"priced", "lost"}, Func: hold("priced")},
			runtimetest.Step{Status: "priced", To: []string{"shipped"}, Func: hold("shipped")},
		))
		id := trigger(t, e, "orders", "1")
		type answer struct {
			until   runtime.Until
			reached bool
		}
		var all sync.WaitGroup
		for _, want := range []answer{
			{runtime.Until{Status: "received"}, true},
			{runtime.Until{Status: "priced"}, true},
			{runtime.Until{State: runtime.Running}, true},
			{runtime.Until{State: runtime.Completed}, true},
			{runtime.Until{}, true},
			{runtime.Until{Status: "lost"}, false},
			{runtime.Until{State: runtime.Cancelled}, false},
			{runtime.Until{Status: "lost", State: runtime.Completed}, true},
		} {
			check := func(when string) {
				done, err := e.Await(t.Context(), id, want.until)
				if err != nil || done.Reached != want.reached {
					t.Errorf("%s, await %+v: %+v, %v", when, want.until, done, err)
				}
				if !want.reached && done.Record.Status != "shipped" {
					t.Errorf("%s, await %+v: the run ended in %q", when, want.until, done.Record.Status)
				}
			}
			for range 10 {
				all.Go(func() { check("during the run"); check("after the run") })
			}
		}
		synctest.Wait()
		if n := e.Stats().Waiting; n != 70 {
			t.Errorf("%d wait; want 70 of 80, as received has been entered already", n)
		}
		gate <- struct{}{}
		gate <- struct{}{}
		all.Wait()
		if n := e.Stats().Waiting; n != 0 {
			t.Errorf("%d still wait", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		stuck := trigger(t, e, "orders", "2")
		if _, err := e.Await(ctx, stuck, runtime.Until{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an await that ends first: %v", err)
		}
		if n := e.Stats().Waiting; n != 0 {
			t.Errorf("%d wait after a cancelled await", n)
		}
		if _, err := e.Await(t.Context(), runtime.RunID{}, runtime.Until{}); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("await of an unknown run: %v", err)
		}
		close(gate)
	})
}

func TestParallelismIsALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		w := runtimetest.Workflow("orders",
			runtimetest.Step{Status: "s1", To: []string{"s2"}, Func: runtimetest.To("s2")},
			runtimetest.Step{
				Status: "s2", To: []string{"done"}, Parallelism: 3,
				Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
					most.Store(max(most.Load(), now.Add(1)))
					elapse(time.Second)
					now.Add(-1)
					out.Kind, out.Status = runtime.OutcomeTo, "done"
					return nil
				},
			})
		opt := onMemory()
		opt.Workers = 20
		e := start(t, opt, w)
		began := time.Now()
		for i := range 30 {
			trigger(t, e, "orders", strconv.Itoa(i))
		}
		synctest.Wait()
		elapse(time.Minute)
		if most.Load() != 3 {
			t.Errorf("%d invocations at a time, want 3", most.Load())
		}
		done, err := e.Runs(t.Context(), runtime.Query{States: []runtime.RunState{runtime.Completed}, Limit: 100})
		if err != nil || len(done) != 30 {
			t.Fatalf("%d of 30 completed, %v", len(done), err)
		}
		for _, r := range done {
			if r.UpdatedAt.Sub(began) > 10*time.Second {
				t.Errorf("run %s ended after %v; 30 runs, 3 at a time, take 10 s", r.ForeignID, r.UpdatedAt.Sub(began))
			}
		}
	})
}

// Runs beyond the window wait in the store and none is forgotten, also with several steps and shards.
func TestWindowOverflows(t *testing.T) {
	for _, window := range []int{1, 2, 7, 64} {
		t.Run(strconv.Itoa(window), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opt := onMemory()
				opt.Window, opt.Workers = window, 3
				e := start(t, opt, runtimetest.Chain("chain", 3))
				var all sync.WaitGroup
				for i := range 300 {
					all.Go(func() {
						done, err := e.TriggerAndAwait(t.Context(), runtime.Trigger{Workflow: "chain", ForeignID: strconv.Itoa(i)}, runtime.Until{})
						if err != nil || done.Record.State != runtime.Completed || done.Record.Version != 4 {
							t.Errorf("run %d: %+v, %v", i, done.Record, err)
						}
					})
				}
				all.Wait()
				synctest.Wait()
				if n := e.Stats().InMemory; n != 0 {
					t.Errorf("%d runs are still in memory", n)
				}
			})
		})
	}
}

// A run that circles goes to the tail of the queue now and then, so others get their turn on the only worker.
func TestCirclingRunStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stop atomic.Bool
		opt := onMemory()
		opt.Workers, opt.MaxVersions = 1, 1<<40
		e := start(t, opt, runtimetest.Workflow("circle", runtimetest.Step{
			Status: "round", To: []string{"round", "out"},
			Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Kind, out.Status = runtime.OutcomeTo, "round"
				if in.Record.ForeignID != "circles" || stop.Load() {
					out.Status = "out"
				}
				return nil
			},
		}))
		circles := trigger(t, e, "circle", "circles")
		for i := range 20 {
			settle(t, e, trigger(t, e, "circle", fmt.Sprint(i)))
		}
		stop.Store(true)
		if last := settle(t, e, circles); last.Version < 64 {
			t.Errorf("the run circled %d times only: the test shows nothing", last.Version)
		}
	})
}

func TestStartAtAnyStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), runtimetest.Chain("chain", 5))
		done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "chain", ForeignID: "1", StartAt: "s4", Object: []byte(`{"a":1}`)})
		if err != nil {
			t.Fatal(err)
		}
		if last := settle(t, e, done.Record.RunID); last.Version != 3 || string(last.Object) != `{"a":1}` {
			t.Errorf("two steps from the end: %+v", last)
		}
		wantHistory(t, e, done.Record.RunID, "1 Initiated s4\n2 Running s5\n3 Completed done\n")
	})
}
