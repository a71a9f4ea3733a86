package bench

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/internal/hostile"
	"github.com/wfrt/wfrt/runtime"
)

// hostileFor is how long each part of BenchmarkBesideHostile takes: thousands of runs, so that a hundredth of them says something.
const hostileFor = 8 * time.Second

// BenchmarkBesideHostile is one run of five steps after the other, durable, first alone and then beside every guest of the gallery,
// each of which is triggered four times a second, or when its last run has been paused if that takes longer: two of them compute all
// the time. The ratio is that of the 99th percentiles.
func BenchmarkBesideHostile(b *testing.B) {
	dir, gallery := b.TempDir(), hostile.Gallery()
	for _, g := range gallery {
		if err := os.WriteFile(filepath.Join(dir, g.Name+".wasm"), g.Binary, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	built, err := lean()
	if err != nil {
		b.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(built, "lean.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lean.wasm"), good, 0o600); err != nil {
		b.Fatal(err)
	}
	h, err := host.New(host.Options{Dir: dir, Limits: host.Limits{Fuel: 500_000_000, Invocation: 2 * time.Second}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Close(context.Background()) })
	if err := h.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	e := newEngine(b, h.Catalog(), nil)
	n := 0
	run := func(took []time.Duration) []time.Duration {
		n++
		began := time.Now()
		done, err := e.TriggerAndAwait(b.Context(), runtime.Trigger{Workflow: "lean5", ForeignID: strconv.Itoa(n)}, runtime.Until{})
		if err != nil || done.Record.State != runtime.Completed {
			b.Fatalf("%v, %+v", err, done.Record)
		}
		return append(took, time.Since(began))
	}
	var alone, beside []time.Duration
	for until := time.Now().Add(hostileFor); time.Now().Before(until); {
		alone = run(alone)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var bad sync.WaitGroup
	for _, g := range gallery {
		if g.Refused {
			continue
		}
		bad.Go(func() {
			tick := time.NewTicker(250 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				t := runtime.Trigger{Workflow: g.Name, ForeignID: strconv.Itoa(i)}
				if _, err := e.TriggerAndAwait(ctx, t, runtime.Until{}); err != nil && ctx.Err() == nil {
					b.Error(err)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	for b.Loop() {
		for until := time.Now().Add(hostileFor); time.Now().Before(until); {
			beside = run(beside)
		}
	}
	cancel()
	bad.Wait()
	p99 := func(took []time.Duration) float64 {
		slices.Sort(took)
		return float64(took[len(took)*99/100].Nanoseconds()) / 1e6
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(p99(alone), "alone-p99-ms")
	b.ReportMetric(p99(beside), "p99-ms")
	b.ReportMetric(p99(beside)/p99(alone), "p99-ratio")
}
