package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/internal/race"
	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
)

func TestMain(m *testing.M) {
	flag.Bool("full", false, "run TestHotSwap with 200 swaps under 1,000 concurrent runs")
	goleak.VerifyTestMain(m)
}

var versioned = sync.OnceValues(func() (map[string][]byte, error) { return built("versioned") })

// built builds a guest of host/testdata as versions a and b.
func built(guest string) (map[string][]byte, error) {
	modules := map[string][]byte{}
	dir, err := os.MkdirTemp("", "wfrt-swap-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, version := range []string{"a", "b"} {
		path := filepath.Join(dir, version+".wasm")
		build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-X main.version="+version, "-o", path,
			"../../../../host/testdata/"+guest)
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if output, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, output)
		}
		if modules[version], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return modules, nil
}

// told is an engine that tells of each catalog.
type told struct {
	*runtime.Engine
	catalogs chan *runtime.Catalog // buffered; the newest that nobody has taken is replaced
}

func (e told) Swap(c *runtime.Catalog, leaving []runtime.Queue, keep func() error) error {
	if err := e.Engine.Swap(c, leaving, keep); err != nil {
		return err
	}
	select {
	case <-e.catalogs:
	default:
	}
	e.catalogs <- c
	return nil
}

// swapRig is a host, an engine and a store on disk, wired as a server wires them, and what its runs were.
type swapRig struct {
	t       testing.TB
	host    *host.Host
	engine  told
	modules map[string][]byte
	version map[string]string // by digest
	one     footprint         // with one module
	begun   atomic.Int64

	mu   sync.Mutex
	more *sync.Cond // a run has ended
	ids  []runtime.RunID
	ran  []time.Duration // how long the run of ids took
}

// newSwapRig returns a rig with version a deployed. stop ends everything.
func newSwapRig(t testing.TB, change func(*host.Options)) (r *swapRig, stop func()) {
	t.Helper()
	r, stop = newRig(t, change)
	for _, version := range []string{"b", "a"} { // both are compiled, and a serves
		r.version[r.deploy(version, 0).Digest] = version
		if version == "b" {
			r.one = footprintOf(t)
		}
	}
	return r, stop
}

// newRig returns a rig with nothing deployed.
func newRig(t testing.TB, change func(*host.Options)) (r *swapRig, stop func()) {
	t.Helper()
	modules, err := versioned()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store, err := pebblestore.Open(pebblestore.Options{Dir: filepath.Join(dir, "store")})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := runtime.New(runtime.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	r = &swapRig{t: t, engine: told{engine, make(chan *runtime.Catalog, 1)}, modules: modules, version: map[string]string{}}
	r.more = sync.NewCond(&r.mu)
	options := host.Options{
		Dir: filepath.Join(dir, "plugins"), ArchiveDir: filepath.Join(dir, "archive"), CacheDir: filepath.Join(dir, "modules"),
		Documents: store, Engine: r.engine, Rescan: 20 * time.Millisecond,
	}
	change(&options)
	if r.host, err = host.New(options); err != nil {
		t.Fatal(err)
	}
	if err := engine.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var tended sync.WaitGroup
	tended.Go(func() { r.host.Tend(ctx) })
	return r, func() {
		cancel()
		tended.Wait()
		if err := errors.Join(engine.Stop(context.Background()), r.host.Close(context.Background()), store.Close()); err != nil {
			t.Error(err)
		}
	}
}

func (r *swapRig) deploy(version string, canary float64) host.Plugin {
	r.t.Helper()
	p, err := r.host.Deploy(context.Background(), &host.Deployment{Plugin: "versioned", Module: r.modules[version], Canary: canary})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// load keeps a number of runs under way until done is closed.
func (r *swapRig) load(concurrent int, done <-chan struct{}) (wait func()) {
	var callers sync.WaitGroup
	for range concurrent {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				began := time.Now()
				id := strconv.FormatInt(r.begun.Add(1), 10)
				ended, err := r.engine.TriggerAndAwait(context.Background(), runtime.Trigger{Workflow: "versioned", ForeignID: id, Object: []byte("{}")},
					runtime.Until{})
				if err != nil {
					r.t.Errorf("run for %s: %v", id, err)
					return
				}
				r.mu.Lock()
				r.ids, r.ran = append(r.ids, ended.Record.RunID), append(r.ran, time.Since(began))
				r.mu.Unlock()
				r.more.Broadcast()
			}
		})
	}
	return callers.Wait
}

// check looks at every run: none is lost, failed or doubled, and each line of its history names the module that ran, as the guest
// says itself. With pinned, one module ran all of it. It returns how many runs each version ended.
func (r *swapRig) check(pinned bool) map[string]int {
	r.t.Helper()
	if len(r.ids) != int(r.begun.Load()) {
		r.t.Errorf("%d runs have ended of %d that began", len(r.ids), r.begun.Load())
	}
	distinct := slices.Clone(r.ids)
	slices.SortFunc(distinct, func(x, y runtime.RunID) int { return bytes.Compare(x[:], y[:]) })
	if n := len(slices.Compact(distinct)); n != len(r.ids) {
		r.t.Errorf("%d triggers began %d runs", len(r.ids), n)
	}
	ended := map[string]int{}
	for _, id := range r.ids {
		lines, err := r.engine.History(context.Background(), id, 0, 0, 100)
		if err != nil {
			r.t.Fatal(err)
		}
		const versions = 6 // the trigger and five steps
		if last := lines[len(lines)-1]; len(lines) != versions || last.State != runtime.Completed || last.Status != "done" {
			r.t.Fatalf("run %s has %d lines of history and ends %s in %s: %+v", id, len(lines), last.State, last.Status, lines)
		}
		for i, line := range lines[1:] {
			var object struct{ Ran []string }
			if err := json.Unmarshal(line.Object, &object); err != nil {
				r.t.Fatal(err)
			}
			said := r.version[line.Digest.String()]
			if line.Failed || line.Version != uint64(i+2) || len(object.Ran) != i+1 || object.Ran[i] != said {
				r.t.Fatalf("run %s, version %d: the history names %q, and the steps that ran were %q (failed: %v)",
					id, line.Version, said, object.Ran, line.Failed)
			}
			if pinned && line.Digest != lines[1].Digest {
				r.t.Fatalf("run %s began on %s and went on on %s", id, lines[1].Digest, line.Digest)
			}
		}
		ended[r.version[lines[5].Digest.String()]]++
	}
	return ended
}

// footprint is what this process holds of memory, besides what the next collection frees.
type footprint struct {
	mappings int
	code     int64 // bytes that can be executed and are of no file: the compiled modules
	resident int64 // bytes
}

func footprintOf(t testing.TB) (f footprint) {
	t.Helper()
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		f.mappings++
		columns := strings.Fields(line) // addresses, permissions, offset, device, inode and perhaps a name
		if len(columns) != 5 || columns[1] != "r-xp" {
			continue
		}
		var from, to int64
		if _, err := fmt.Sscanf(columns[0], "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		f.code += to - from
	}
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(status))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	f.resident = pages * int64(os.Getpagesize())
	return f
}

// codeSlack is what a finalizer may still have to free: pages of trampolines, where a module has 20 MiB.
const codeSlack = 1 << 20

func (f footprint) String() string {
	return fmt.Sprintf("%d mappings, %d KiB of code, %d KiB resident", f.mappings, f.code>>10, f.resident>>10)
}

// instanceCount counts the instances that there are.
type instanceCount struct {
	host.NoMeter
	now atomic.Int64
}

func (c *instanceCount) Plugin(string) host.PluginMeter { return c }
func (c *instanceCount) Instances(delta int)            { c.now.Add(int64(delta)) }

// TestHotSwap replaces a module again and again under load. In full (go test ./cmd/wfrt/internal/serve -run TestHotSwap -full) these
// are four rounds of 50 swaps under 1,000 concurrent runs, for each way to replace it: what the store keeps in memory has its size
// after three of them, and the fourth must not need more.
func TestHotSwap(t *testing.T) {
	rounds, swaps, concurrent, full := 2, 2, 50, flag.Lookup("full").Value.String() == "true"
	if full {
		rounds, swaps, concurrent = 4, 50, 1000
	}
	for name, c := range map[string]struct {
		pinned bool
		change func(r *swapRig, n int)
	}{
		"latest": {false, func(r *swapRig, n int) { r.deploy([]string{"b", "a"}[n%2], 0) }},
		"pinned": {true, func(r *swapRig, n int) { r.deploy([]string{"b", "a"}[n%2], 0) }},
		"rollback": {false, func(r *swapRig, _ int) {
			if _, err := r.host.Rollback(context.Background(), "versioned", "", host.Order{}); err != nil {
				r.t.Fatal(err)
			}
		}},
		"canary": {false, func(r *swapRig, n int) {
			r.deploy([]string{"b", "a"}[n%2], 0.5)
			if _, err := r.host.Promote(context.Background(), "versioned", host.Order{}); err != nil {
				r.t.Fatal(err)
			}
		}},
	} {
		if !full && (name == "latest" || name == "rollback") { // each begins with two compilations; "canary" swaps as they do
			continue
		}
		t.Run(name, func(t *testing.T) {
			before, instances := footprintOf(t), &instanceCount{}
			r, stop := newSwapRig(t, func(o *host.Options) {
				o.Adjust = func(w *runtime.Workflow) { w.Pinned = c.pinned }
				o.Meter = instances
			})
			began := time.Now()
			held := make([]footprint, rounds)
			for i := range held {
				done := make(chan struct{})
				wait := r.load(concurrent, done)
				for n := range swaps {
					c.change(r, n)
					r.await(concurrent / 10) // some runs end between any two swaps
				}
				close(done)
				wait()
				if held[i] = r.alone(); held[i].code > r.one.code+codeSlack {
					t.Errorf("after %d swaps: %v; want the code of one module, %v", swaps*(i+1), held[i], r.one)
				}
			}
			took := time.Since(began)
			ended := r.check(c.pinned)
			if ended["a"] == 0 || ended["b"] == 0 {
				t.Errorf("runs ended on %v; want some on each version", ended)
			}
			// One instance that stays of each swap would be 3 MiB or more of each; what the store has in memory varies by a few MiB.
			if last := held[rounds-1]; full && last.resident-held[rounds-2].resident > int64(swaps)<<19 {
				t.Errorf("after %d swaps: %v; want no more memory than before the last %d: %v", swaps*rounds, last, swaps, held[rounds-2])
			}
			stop()
			if n := instances.now.Load(); n != 0 {
				t.Errorf("%d instances are left when the host is closed", n)
			}
			after := footprintOf(t)
			if after.code > before.code+codeSlack || after.mappings-before.mappings > swaps+20 && !race.Detector {
				t.Errorf("before %d swaps: %v; after: %v", swaps*rounds, before, after)
			}
			t.Logf("%d runs, %d swaps in %v; ended on %v; before %v; one module %v; after each round %v; closed %v",
				len(r.ids), swaps*rounds, took.Round(time.Millisecond), ended, before, r.one, held, after)
		})
	}
}

// alone waits until no module is left but the one that serves: what pinned runs needed is let go, and what was replaced is freed.
// It returns what this process then holds; with more code than that of one, something is left.
func (r *swapRig) alone() (f footprint) {
	r.t.Helper()
	for c := r.engine.Catalog(); len(c.Workflow("versioned").Older) > 0; {
		c = <-r.engine.catalogs
	}
	again := time.NewTicker(10 * time.Millisecond) // the host frees beside us, and tells nobody
	defer again.Stop()
	for range 500 {
		if f = footprintOf(r.t); f.code <= r.one.code+codeSlack {
			break
		}
		<-again.C
	}
	return f
}

// await waits until as many more runs have ended.
func (r *swapRig) await(more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for want := len(r.ids) + more; len(r.ids) < want; {
		r.more.Wait()
	}
}

// BenchmarkHotSwap measures how long runs of five steps take at a moderate load, without swaps and with one after the other.
func BenchmarkHotSwap(b *testing.B) {
	for _, every := range []time.Duration{0, 600 * time.Millisecond} {
		b.Run(fmt.Sprintf("every=%v", every), func(b *testing.B) {
			r, stop := newSwapRig(b, func(*host.Options) {})
			defer stop()
			done := make(chan struct{})
			wait := r.load(32, done)
			swapped := 0
			for b.Loop() {
				window := time.NewTimer(10 * time.Second)
				for over := false; !over; {
					var next <-chan time.Time
					if every > 0 {
						next = time.After(every)
					}
					select {
					case <-window.C:
						over = true
					case <-next:
						r.deploy([]string{"b", "a"}[swapped%2], 0)
						swapped++
					}
				}
			}
			close(done)
			wait()
			r.check(false)
			slices.Sort(r.ran)
			b.ReportMetric(float64(swapped), "swaps")
			b.ReportMetric(float64(len(r.ran))/b.Elapsed().Seconds(), "runs/s")
			b.ReportMetric(float64(r.ran[len(r.ran)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(r.ran[len(r.ran)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
