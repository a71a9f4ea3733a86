package bench

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// BenchmarkWorkflow is one run of n steps after the other, from the trigger until its end is durable: in WebAssembly.
func BenchmarkWorkflow(b *testing.B) {
	for _, n := range []int{5, 10, 100} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { oneAfterTheOther(b, newHost(b).Catalog(), n) })
	}
}

// BenchmarkWorkflowNative is BenchmarkWorkflow with steps in Go: what the engine and the store cost alone.
func BenchmarkWorkflowNative(b *testing.B) {
	for _, n := range []int{5, 10, 100} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { oneAfterTheOther(b, native(), n) })
	}
}

func oneAfterTheOther(b *testing.B, catalog *runtime.Catalog, n int) {
	e := newEngine(b, catalog, nil)
	workflow := "lean" + strconv.Itoa(n)
	object := []byte(`{"order_id":"10248","customer_id":"VINET"}`)
	var took []time.Duration
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		began := time.Now()
		done, err := e.TriggerAndAwait(b.Context(), runtime.Trigger{
			Workflow: workflow, ForeignID: strconv.Itoa(i), Object: object,
		}, runtime.Until{})
		if err != nil {
			b.Fatal(err)
		}
		if done.Record.State != runtime.Completed || done.Record.Version != uint64(n)+1 {
			b.Fatalf("the run ended as %+v", done.Record)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e6, "p99-ms")
}
