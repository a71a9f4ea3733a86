package host

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/hostile"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// TestHostileGuestsHarmNobody serves the whole gallery beside a plugin that does as it should, in one server: every run of a hostile
// guest ends Paused for its reason, the memory of all stays bounded, and the runs of the good plugin go on and complete.
func TestHostileGuestsHarmNobody(t *testing.T) {
	const memory = 256 << 20
	r := newRig(t, func(o *Options) {
		o.Limits = Limits{Fuel: 30_000_000, MemoryBytes: 16 << 20, Invocation: time.Minute, Instances: 4}
		o.Overrides = map[string]Override{"sleep": {Limits: Limits{Invocation: 200 * time.Millisecond}}}
		o.TotalMemoryBytes = memory
	})
	gallery := hostile.Gallery()
	for _, g := range gallery {
		r.put(g.Name+".wasm", g.Binary)
	}
	r.put("good.wasm", doorNamed("good").bytes())
	r.load()
	e := startEngine(t, r.Catalog())

	var bad sync.WaitGroup
	for _, g := range gallery {
		if g.Refused {
			r.refused(g.Name, g.Reason)
			continue
		}
		r.serves(g.Name)
		for n := range 3 {
			bad.Go(func() {
				done, err := e.TriggerAndAwait(context.Background(), runtime.Trigger{Workflow: g.Name, ForeignID: fmt.Sprint(n)}, runtime.Until{})
				if err != nil || done.Record.State != runtime.Paused || !strings.Contains(done.Record.Reason, g.Reason) {
					t.Errorf("%s, which %s: %v, %s: %q; want it paused for %q", g.Name, g.Does, err, done.Record.State, done.Record.Reason, g.Reason)
				}
			})
		}
	}
	ended := make(chan struct{})
	go func() {
		bad.Wait()
		close(ended)
	}()
	completed := 0
	for running := true; running; completed++ {
		select {
		case <-ended:
			running = false
		default:
		}
		good := runtime.Trigger{Workflow: "good", ForeignID: fmt.Sprint(completed)}
		if done, err := e.TriggerAndAwait(context.Background(), good, runtime.Until{}); err != nil || done.Record.State != runtime.Completed {
			t.Fatalf("a good run: %v, %+v; want it to complete", err, done.Record)
		}
		if used := r.used(); used > memory {
			t.Fatalf("the instances have %d bytes; the limit is %d", used, memory)
		}
	}
	if completed < 100 {
		t.Errorf("%d good runs completed beside the hostile ones; want them to go on", completed)
	}
	if p := r.plugin("loop"); p.Exceeded["fuel"] != 3 || p.Traps != 3 || p.Fuel < 90_000_000 {
		t.Errorf("%+v; want the three runs counted", p)
	}
}

// startEngine returns an engine over a store in memory that runs the catalog until the test ends.
func startEngine(t testing.TB, catalog *runtime.Catalog) *runtime.Engine {
	t.Helper()
	e, err := runtime.New(runtime.Options{Store: runtimetest.NewMemStore(4)})
	if err != nil {
		t.Fatal(err)
	}
	e.SetCatalog(catalog)
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}
