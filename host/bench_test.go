package host

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wfrt/wfrt/host/internal/rewrite"
	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
)

// pairs is how often each benchmark that compares measures both sides, one after the other.
const pairs = 11

// BenchmarkFuel compares metered guests with the same that are not metered, and with those that wazero can end by itself
// (WithCloseOnContextDone): a step that decodes and encodes an object with encoding/json, and a loop of 20,000,000 turns. The ratios
// are medians of interleaved pairs.
func BenchmarkFuel(b *testing.B) {
	raw, err := goGuest()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("json", func(b *testing.B) { compareMetering(b, "guest", raw, "mood", "asked", `{"do":"nothing"}`, 1000) })
	tight := doing("door", asm.Code(counting(20_000_000), asm.I32(3))).bytes()
	b.Run("loop", func(b *testing.B) { compareMetering(b, "door", tight, "door", "closed", `{}`, 1) })
}

func compareMetering(b *testing.B, name string, raw []byte, workflow, status, object string, calls int) {
	serve := func(change func(*Host)) func() {
		r := newRig(b)
		change(r.Host)
		r.put(name+".wasm", raw)
		r.load()
		r.serves(name)
		in := r.invocation(workflow, status, object)
		return func() {
			var out runtime.Outcome
			for range calls {
				out.Reset()
				if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil || out.Kind == runtime.OutcomeError {
					b.Fatal(err, out.Reason)
				}
			}
		}
	}
	plain := serve(func(h *Host) { h.rewrite = unmetered })
	metered := serve(func(*Host) {})
	closing := serve(func(h *Host) {
		h.rewrite = unmetered
		h.engine = func(c wazero.RuntimeConfig) wazero.RuntimeConfig { return c.WithCloseOnContextDone(true) }
	})
	var base, fuel, done []float64
	for b.Loop() {
		base, fuel, done = base[:0], fuel[:0], done[:0]
		for range pairs {
			p, m, c := timed(plain), timed(metered), timed(closing)
			base, fuel, done = append(base, p), append(fuel, m/p), append(done, c/p)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(base)/float64(calls)/1e3, "plain-µs")
	b.ReportMetric(median(fuel), "metered-ratio")
	b.ReportMetric(median(done), "close-on-done-ratio")
}

// unmetered leaves a module as it is.
func unmetered(raw []byte, _ rewrite.Limits) (*rewrite.Module, error) {
	return &rewrite.Module{Binary: raw}, nil
}

func timed(do func()) float64 {
	began := time.Now()
	do()
	return float64(time.Since(began).Nanoseconds())
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// leanGuest builds testdata/lean.
var leanGuest = sync.OnceValues(func() ([]byte, error) {
	path := filepath.Join(scratch, "lean.wasm")
	build := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, "./testdata/lean")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// BenchmarkIsolation is one invocation of the lean Go guest: in a pooled instance, with the isolation fresh, with fresh where memory
// is copied, and in an instance of its own.
func BenchmarkIsolation(b *testing.B) {
	raw, err := leanGuest()
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]struct {
		isolation Isolation
		keep      func([]byte) (image, error)
		calls     int
	}{
		"pooled": {IsolationPooled, freeze, 0}, "fresh": {IsolationFresh, freeze, 0}, "fresh-copied": {IsolationFresh, copyImage, 0},
		"new-instance": {IsolationPooled, freeze, 1},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, func(o *Options) {
				o.Overrides = map[string]Override{"lean": {Isolation: c.isolation, Limits: Limits{InstanceCalls: c.calls}}}
			})
			r.freeze = c.keep
			r.put("lean.wasm", raw)
			r.load()
			r.serves("lean")
			in := r.invocation("lean5", "s1", `{"order_id":"10248","customer_id":"VINET"}`)
			var out runtime.Outcome
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil || out.Kind != runtime.OutcomeTo {
					b.Fatal(err, out.Reason)
				}
			}
		})
	}
}

// BenchmarkCollection is one garbage collection, alone and beside two guests that compute without end: the pauses in which it stops
// everything, and how long runtime.GC takes, most of which stops nothing.
func BenchmarkCollection(b *testing.B) {
	b.Run("alone", func(b *testing.B) { collect(b, 0) })
	b.Run("beside-endless", func(b *testing.B) { collect(b, 2) })
}

func collect(b *testing.B, guests int) {
	r := serveGuest(b, doing("door", endless()), func(o *Options) { o.Limits.Fuel, o.Limits.Invocation = maxFuel, time.Hour })
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	for range guests {
		in := r.invocation("door", "closed", `{}`)
		in.Deadline = time.Time{}
		loops.Go(func() {
			var out runtime.Outcome
			_ = in.Handler.Invoker.Invoke(ctx, in, &out)
		})
	}
	var took, pauses []float64
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	before := stats.NumGC
	for b.Loop() {
		took = append(took, timed(goruntime.GC))
		debug.ReadGCStats(&stats)
		for n := range stats.NumGC - before {
			pauses = append(pauses, float64(stats.Pause[n]))
		}
		before = stats.NumGC
	}
	cancel()
	loops.Wait()
	for name, values := range map[string][]float64{"gc": took, "pause": pauses} {
		slices.Sort(values)
		b.ReportMetric(median(values)/1e6, name+"-p50-ms")
		b.ReportMetric(values[len(values)*99/100]/1e6, name+"-p99-ms")
		b.ReportMetric(values[len(values)-1]/1e6, name+"-max-ms")
	}
}
