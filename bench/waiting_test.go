package bench

import (
	"context"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// aheadClock is the machine's clock, some time ahead.
type aheadClock struct {
	runtime.SystemClock
	ahead time.Duration
}

func (c aheadClock) Now() time.Time { return time.Now().Add(c.ahead) }

// BenchmarkWaitingRuns has runs wait on a timer of an hour, restarts until ready, and then restarts with a clock that is an hour
// ahead, so that all timers are due at once: each fires once. One operation is all of it. MB-waiting is the process's anonymous
// memory while they wait, peak-MB the most that was resident while they fire.
func BenchmarkWaitingRuns(b *testing.B) {
	for _, runs := range []int64{200_000, 1_000_000} {
		b.Run(strconv.FormatInt(runs, 10), func(b *testing.B) { benchmarkWaitingRuns(b, runs) })
	}
}

func benchmarkWaitingRuns(b *testing.B, waitingRuns int64) {
	for b.Loop() {
		dir := b.TempDir()
		var fired atomic.Int64
		catalog := runtime.NewCatalog(runtimetest.Workflow("waits", runtimetest.Timeout{
			Status: "waiting", After: time.Hour, To: []string{"done"},
			Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				fired.Add(1)
				out.Kind, out.Status = runtime.OutcomeTo, "done"
				return nil
			},
		}))
		live(b, dir, catalog, 0, func(e *runtime.Engine) { beginWaiting(b, e, waitingRuns) })
		ready := live(b, dir, catalog, 0, func(*runtime.Engine) {
			debug.FreeOSMemory()
			b.ReportMetric(memoryMB(b, "RssAnon"), "MB-waiting")
		})
		b.ReportMetric(ready.Seconds(), "s-to-ready")
		live(b, dir, catalog, time.Hour+time.Minute, func(e *runtime.Engine) {
			resetPeak(b)
			began := time.Now()
			awaitDone(b, e)
			b.ReportMetric(float64(waitingRuns)/time.Since(began).Seconds(), "fired/s")
			b.ReportMetric(memoryMB(b, "VmHWM"), "peak-MB")
			checkDone(b, e, waitingRuns)
		})
		if fired.Load() != waitingRuns {
			b.Fatalf("%d timeouts fired for %d runs", fired.Load(), waitingRuns)
		}
	}
}

// live runs an engine over the store in dir for as long as f takes, and returns how long it took to be ready.
func live(b *testing.B, dir string, catalog *runtime.Catalog, ahead time.Duration, f func(*runtime.Engine)) time.Duration {
	b.Helper()
	began := time.Now()
	store, err := pebblestore.Open(pebblestore.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	e, err := runtime.New(runtime.Options{Store: store, Clock: aheadClock{ahead: ahead}})
	if err != nil {
		b.Fatal(err)
	}
	e.SetCatalog(catalog)
	if err := e.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	ready := time.Since(began)
	f(e)
	if err := e.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	return ready
}

func beginWaiting(b *testing.B, e *runtime.Engine, waitingRuns int64) {
	var next atomic.Int64
	var clients sync.WaitGroup
	for range concurrent {
		clients.Go(func() {
			for i := next.Add(1); i <= waitingRuns; i = next.Add(1) {
				if _, err := e.Trigger(b.Context(), runtime.Trigger{Workflow: "waits", ForeignID: strconv.FormatInt(i, 10)}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
}

// awaitDone waits until no run waits any more: each batch of them is awaited in turn.
func awaitDone(b *testing.B, e *runtime.Engine) {
	for {
		left, err := e.Runs(b.Context(), runtime.Query{States: []runtime.RunState{runtime.Initiated, runtime.Running}, Descending: true, Limit: 1})
		if err != nil {
			b.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if _, err := e.Await(b.Context(), left[0].RunID, runtime.Until{}); err != nil {
			b.Fatal(err)
		}
	}
}

// checkDone holds every run to its end: two versions, the second of them Completed.
func checkDone(b *testing.B, e *runtime.Engine, waitingRuns int64) {
	q := runtime.Query{Limit: 1000}
	var seen int64
	for {
		page, err := e.Runs(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		for i := range page {
			if r := &page[i]; r.State != runtime.Completed || r.Version != 2 {
				b.Fatalf("run %s is %s in version %d", r.ForeignID, r.State, r.Version)
			}
		}
		seen += int64(len(page))
		if len(page) < q.Limit {
			break
		}
		q.After = page[len(page)-1].RunID
	}
	if seen != waitingRuns {
		b.Fatalf("%d runs of %d", seen, waitingRuns)
	}
}
