package serve

import (
	"context"
	"testing"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

func TestAStatusIsInUseWhileRunsThatHaveNotEndedAreInIt(t *testing.T) {
	store := runtimetest.NewMemStore(4)
	engine, err := runtime.New(runtime.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	waits := runtimetest.Callback{Status: "waiting", To: []string{"done"}, Func: runtimetest.To("done")}
	engine.SetCatalog(runtime.NewCatalog(runtimetest.Workflow("w", waits)))
	if err := engine.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	used := inUse(t.Context(), store)
	check := func(when, workflow, status string, want bool) {
		t.Helper()
		if used(workflow, status) != want {
			t.Errorf("%s, status %s of workflow %s is in use: %v, want %v", when, status, workflow, !want, want)
		}
	}
	check("without a run", "w", "waiting", false)
	run, err := engine.Trigger(t.Context(), runtime.Trigger{Workflow: "w", ForeignID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	check("with a run", "w", "waiting", true)
	check("with a run", "w", "done", false)
	check("with a run", "other", "waiting", false)
	if _, err := engine.Pause(t.Context(), run.Record.RunID, runtime.Note{}); err != nil {
		t.Fatal(err)
	}
	check("with a paused run", "w", "waiting", true)
	if _, err := engine.Cancel(t.Context(), run.Record.RunID, runtime.Note{}); err != nil {
		t.Fatal(err)
	}
	check("after its end", "w", "waiting", false)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if !inUse(gone, store)("w", "waiting") {
		t.Error("what cannot be read does not count as in use")
	}
}
