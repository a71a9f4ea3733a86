package bench

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// BenchmarkTimerLateness measures how long after its time a timeout is handled, on the machine's clock: while 200,000 runs wait on
// timers of an hour, and while runs of five steps go through the engine or do not, one operation is one timer of 50 milliseconds.
// A run with such a timer begins each millisecond.
func BenchmarkTimerLateness(b *testing.B) {
	for _, clients := range []int{0, 8} {
		b.Run(strconv.Itoa(clients)+"-clients-beside", func(b *testing.B) { benchmarkTimerLateness(b, clients) })
	}
}

func benchmarkTimerLateness(b *testing.B, clients int) {
	const after = 50 * time.Millisecond
	var mu sync.Mutex
	var late []time.Duration
	leave := func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		out.Kind, out.Status = runtime.OutcomeTo, "done"
		if in.Record.Workflow == "soon" {
			mu.Lock()
			defer mu.Unlock()
			late = append(late, time.Since(in.Record.UpdatedAt.Add(after)))
		}
		return nil
	}
	e := newEngine(b, runtime.NewCatalog(
		runtimetest.Workflow("waits", runtimetest.Timeout{Status: "waiting", After: time.Hour, To: []string{"done"}, Func: leave}),
		runtimetest.Workflow("soon", runtimetest.Timeout{Status: "waiting", After: after, To: []string{"done"}, Func: leave}),
		runtimetest.Chain("chain", 5),
	), nil)
	beginWaiting(b, e, 200_000)
	ctx, stop := context.WithCancel(b.Context())
	var beside sync.WaitGroup
	for c := range clients {
		beside.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				foreignID := strconv.Itoa(c) + "/" + strconv.Itoa(i)
				if _, err := e.TriggerAndAwait(ctx, runtime.Trigger{Workflow: "chain", ForeignID: foreignID}, runtime.Until{}); err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
			}
		})
	}
	var next atomic.Int64
	work := make(chan struct{})
	var timers sync.WaitGroup
	for range 500 { // more than wait at a time
		timers.Go(func() {
			for range work {
				foreignID := strconv.FormatInt(next.Add(1), 10)
				if _, err := e.TriggerAndAwait(b.Context(), runtime.Trigger{Workflow: "soon", ForeignID: foreignID}, runtime.Until{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for b.Loop() {
		<-pace.C
		work <- struct{}{}
	}
	close(work)
	timers.Wait()
	stop()
	beside.Wait()
	slices.Sort(late)
	for name, share := range map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1} {
		at := late[min(len(late)-1, int(share*float64(len(late))))]
		b.ReportMetric(float64(at.Microseconds())/1000, name+"-ms-late")
	}
}
