package runtime_test

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// TestSwapLeavesNoRunBehind refuses a catalog while runs are in what it lacks, and counts them.
func TestSwapLeavesNoRunBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := runtimetest.Callback{Status: "waiting", To: []string{"done"}, Func: runtimetest.To("done")}
		old := runtimetest.Workflow("w", wait)
		e := start(t, onMemory(), old)
		var ids []runtime.RunID
		for i := range 3 {
			ids = append(ids, trigger(t, e, "w", fmt.Sprint(i)))
		}
		if _, err := e.Pause(t.Context(), ids[1], runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		before, next := e.Catalog(), runtime.NewCatalog(chainOf(2, "s"))
		leaving := []runtime.Queue{{Workflow: "w", Status: "nobody"}, {Workflow: "w", Status: "waiting"}, {Workflow: "w"}}
		for left := 3; left > 0; left-- {
			err := e.Swap(next, leaving, func() error { t.Error("it is written down though runs are left"); return nil })
			var refused *runtime.LeftError
			if !errors.As(err, &refused) || len(refused.Left) != 2 || refused.Left[0] != (runtime.Left{Workflow: "w", Status: "waiting", Runs: left}) ||
				refused.Left[1] != (runtime.Left{Workflow: "w", Runs: left}) || e.Catalog() != before {
				t.Fatalf("%v, want %d runs counted and nothing changed", err, left)
			}
			if _, err := e.Cancel(t.Context(), ids[left-1], runtime.Note{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Swap(next, leaving, nil); err != nil || e.Catalog() != next {
			t.Fatalf("%v; want the catalog to be swapped once the runs are gone", err)
		}
		if rec := settle(t, e, trigger(t, e, "w", "4")); rec.State != runtime.Completed {
			t.Errorf("the run is %s in %s", rec.State, rec.Status)
		}
	})
}

// TestASwapIsWrittenDownBeforeAnyRunGoesOn calls keep once when no run is left behind, holds what would begin meanwhile, and changes
// nothing when it fails.
func TestASwapIsWrittenDownBeforeAnyRunGoesOn(t *testing.T) {
	for name, leaving := range map[string][]runtime.Queue{"with something to leave": {{Workflow: "w", Status: "waiting"}}, "with nothing": nil} {
		t.Run(name, func(t *testing.T) {
			old := runtimetest.Workflow("w", runtimetest.Callback{Status: "waiting", To: []string{"done"}, Func: runtimetest.To("done")})
			e := start(t, onMemory(), old)
			before, next := e.Catalog(), runtime.NewCatalog(chainOf(2, "s"))
			full := errors.New("the disk is full")
			if err := e.Swap(next, leaving, func() error { return full }); !errors.Is(err, full) || e.Catalog() != before {
				t.Fatalf("%v; want the error of keep, and nothing changed", err)
			}
			kept, began := 0, make(chan error, 1)
			keep := func() error {
				if kept++; e.Catalog() != before {
					t.Error("the catalog has taken over before it is written down")
				}
				if len(leaving) == 0 {
					return nil
				}
				called := make(chan struct{})
				go func() {
					close(called)
					_, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "w", ForeignID: "late"})
					began <- err
				}()
				<-called
				for range 1000 { // it has every chance to begin
					goruntime.Gosched()
				}
				if len(began) > 0 {
					t.Error("a run begins before the swap is written down")
				}
				return nil
			}
			if err := e.Swap(next, leaving, keep); err != nil || kept != 1 || e.Catalog() != next {
				t.Fatalf("%v, and keep was called %d times; want it swapped after one call", err, kept)
			}
			if len(leaving) == 0 {
				return
			}
			if err := <-began; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestAnOvertakenOutcomeIsAskedForAgain swaps while a step is running that leads to where the new definition has nothing.
func TestAnOvertakenOutcomeIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered, leave := make(chan struct{}), make(chan struct{})
		slow := func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
			close(entered)
			<-leave
			out.Kind, out.Status = runtime.OutcomeTo, "extra"
			return nil
		}
		old := runtimetest.Workflow("w",
			runtimetest.Step{Status: "s", To: []string{"extra"}, Func: slow, Digest: runtime.Digest{1}},
			runtimetest.Step{Status: "extra", To: []string{"done"}, Func: runtimetest.To("done"), Digest: runtime.Digest{1}})
		e := start(t, onMemory(), old)
		id := trigger(t, e, "w", "1")
		<-entered
		if err := e.Swap(runtime.NewCatalog(chainOf(2, "s")), []runtime.Queue{{Workflow: "w", Status: "extra"}}, nil); err != nil {
			t.Fatal(err)
		}
		close(leave)
		if rec := settle(t, e, id); rec.State != runtime.Completed || rec.Digest != (runtime.Digest{2}) {
			t.Errorf("the run is %s in %s by %s, want it completed by the new module", rec.State, rec.Status, rec.Digest)
		}
		wantHistory(t, e, id, `
1 Initiated s
2 Completed done
`)
	})
}

// TestAForcedSwapKeepsRunsOnTheirDefinition has a run in a status of an older definition go on there, and then by the newest.
func TestAForcedSwapKeepsRunsOnTheirDefinition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := runtimetest.Workflow("w",
			runtimetest.Callback{Status: "gone", To: []string{"s"}, Func: runtimetest.To("s"), Digest: runtime.Digest{1}},
			runtimetest.Step{Status: "s", To: []string{"done"}, Func: runtimetest.To("done"), Digest: runtime.Digest{1}})
		e := start(t, onMemory(), old)
		id := trigger(t, e, "w", "1")
		newest := chainOf(2, "s")
		newest.Older = []*runtime.Workflow{old}
		e.SetCatalog(runtime.NewCatalog(newest))
		if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "w", Status: "gone", ForeignID: "1"}); err != nil {
			t.Fatal(err)
		}
		rec := settle(t, e, id)
		entries, err := e.History(t.Context(), id, 0, 0, 10)
		if err != nil || len(entries) != 3 {
			t.Fatalf("%v, %v", entries, err)
		}
		if rec.State != runtime.Completed || entries[1].Digest != (runtime.Digest{1}) || entries[2].Digest != (runtime.Digest{2}) {
			t.Errorf("the run is %s; the callback ran on %s and the step on %s, want 01… and 02…",
				rec.State, entries[1].Digest, entries[2].Digest)
		}
	})
}

// TestAClosedWorkflowTakesNoNewRuns and ends those that it has.
func TestAClosedWorkflowTakesNoNewRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := runtimetest.Workflow("w", runtimetest.Callback{Status: "s", To: []string{"done"}, Func: runtimetest.To("done")})
		e := start(t, onMemory(), old)
		id := trigger(t, e, "w", "1")
		e.SetCatalog(runtime.NewCatalog(&runtime.Workflow{Name: "w", Closed: true, Older: []*runtime.Workflow{old}}))
		var unknown *runtime.UnknownWorkflowError
		if _, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "w", ForeignID: "2"}); !errors.As(err, &unknown) {
			t.Errorf("a trigger: %v, want an unknown workflow", err)
		}
		if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "w", Status: "s", ForeignID: "1"}); err != nil {
			t.Fatal(err)
		}
		if rec := settle(t, e, id); rec.State != runtime.Completed {
			t.Errorf("the run is %s", rec.State)
		}
	})
}

// TestPinnedRunsFinishWhereTheyBegan swaps between three definitions while runs are under way.
func TestPinnedRunsFinishWhereTheyBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var step atomic.Int64
		pinned := func(digest byte, older ...*runtime.Workflow) *runtime.Workflow {
			w := chainOf(digest, "s1", "s2")
			w.Statuses["hold"] = &runtime.Status{Name: "hold", Callbacks: []*runtime.Handler{{
				Kind: runtime.HandlerCallback, Workflow: "w", Status: "hold", Name: "go", To: []string{"s1"}, Digest: w.Digest,
				Retry: runtime.DefaultRetry(), Invoker: runtimetest.Func(func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
					step.Add(1)
					return runtimetest.To("s1")(ctx, in, out)
				}),
			}}}
			w.Start, w.Pinned, w.Keeps, w.Older = "hold", true, true, older
			return w
		}
		one := pinned(1)
		e := start(t, onMemory(), one)
		first := trigger(t, e, "w", "1")
		two := pinned(2, one)
		e.SetCatalog(runtime.NewCatalog(two))
		second := trigger(t, e, "w", "2")
		e.SetCatalog(runtime.NewCatalog(pinned(3, two, one)))
		third := trigger(t, e, "w", "3")
		for i, id := range []runtime.RunID{first, second, third} {
			if n, err := e.PinnedRuns("w", runtime.Digest{byte(i + 1)}, 10); n != 1 || err != nil {
				t.Errorf("%d runs are pinned to %d, %v; want 1", n, i+1, err)
			}
			if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "w", Status: "hold", RunID: id}); err != nil {
				t.Fatal(err)
			}
			settle(t, e, id)
			entries, err := e.History(t.Context(), id, 0, 0, 10)
			if err != nil || len(entries) != 4 {
				t.Fatalf("history %+v, %v", entries, err)
			}
			for _, h := range entries[1:] {
				if h.Digest != (runtime.Digest{byte(i + 1)}) {
					t.Errorf("version %d of run %d was made by %s", h.Version, i+1, h.Digest)
				}
			}
			if n, err := e.PinnedRuns("w", runtime.Digest{byte(i + 1)}, 10); n != 0 || err != nil {
				t.Errorf("%d runs are pinned to %d after its end, %v", n, i+1, err)
			}
		}
		if step.Load() != 3 {
			t.Errorf("%d callbacks ran, want 3", step.Load())
		}
	})
}
