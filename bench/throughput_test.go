package bench

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wfrt/wfrt/runtime"
)

// concurrent is how many runs are in flight at a time.
const concurrent = 1000

// BenchmarkThroughput is 5-step runs, a thousand at a time, from the trigger until the end is durable. One operation is one
// run.
func BenchmarkThroughput(b *testing.B) {
	b.Run("wasm", func(b *testing.B) { throughput(b, newHost(b).Catalog(), nil) })
	b.Run("native", func(b *testing.B) { throughput(b, native(), nil) })
	b.Run("wasm-relay", func(b *testing.B) { throughput(b, newHost(b).Catalog(), nullSink{}) })
}

// nullSink takes every event at once.
type nullSink struct{}

func (nullSink) Publish(_ context.Context, events []runtime.Event) (int, error) {
	return len(events), nil
}

func throughput(b *testing.B, catalog *runtime.Catalog, streamer runtime.Streamer) {
	e := newEngine(b, catalog, streamer)
	object := []byte(`{"order_id":"10248","customer_id":"VINET"}`)
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var clients sync.WaitGroup
	for range min(concurrent, b.N) {
		clients.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				done, err := e.TriggerAndAwait(b.Context(), runtime.Trigger{
					Workflow: "lean5", ForeignID: strconv.FormatInt(i, 10), Object: object,
				}, runtime.Until{})
				if err != nil || done.Record.State != runtime.Completed {
					b.Errorf("run %d: %+v, %v", i, done.Record, err)
					return
				}
			}
		})
	}
	clients.Wait()
	b.ReportMetric(5*float64(b.N)/b.Elapsed().Seconds(), "steps/s")
}
