package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// generation is a module that says which one it is: by its version in the manifest, and as the new object.
func generation(n int) []byte {
	version := fmt.Sprintf("%04d", n)
	object := fmt.Sprintf(`"%s"`, version)
	return guest{
		manifest: `{"abi":1,"version":"` + version + `","workflows":[{"name":"door","handlers":[` +
			`{"id":1,"kind":"step","name":"closed","status":"closed","to":["open"]}],"terminal":["open"]}]}`,
		texts:  []string{"open", object},
		invoke: asm.Code(writeText(abi.FieldNewObject, 1, object), writeText(abi.FieldNewStatus, 0, "open"), asm.I32(1)),
	}.bytes()
}

// TestSwapUnderLoad replaces a module again and again while many goroutines invoke it. Every invocation must be answered by
// the module that its step names; one that is refused because that module is retired must find a newer catalog.
func TestSwapUnderLoad(t *testing.T) {
	const generations, callers = 60, 8
	var versions sync.Map // digest → version
	r := newRig(t, func(o *Options) { o.Limits.Instances = 3 })
	r.put("door.wasm", generation(0))
	r.load()
	versions.Store(r.plugin("door").Digest, `"0000"`)

	var served, refused atomic.Int64
	var callersDone sync.WaitGroup
	stop := make(chan struct{})
	for range callers {
		callersDone.Go(func() {
			var out runtime.Outcome
			for {
				select {
				case <-stop:
					return
				default:
				}
				catalog := r.Catalog()
				step := catalog.Status("door", "closed").Step
				in := &runtime.Invocation{Handler: step, Now: r.options.Clock.Now(), Record: &runtime.Record{Object: []byte(`0`)}}
				out.Reset()
				switch err := step.Invoker.Invoke(context.Background(), in, &out); {
				case errors.Is(err, runtime.ErrRetired):
					refused.Add(1)
					if r.Catalog() == catalog {
						t.Error("a module is retired while the catalog still names it")
					}
				case err != nil:
					t.Error(err)
				default:
					served.Add(1)
					// The version is known before the module is: whoever sees the digest finds it.
					want, _ := versions.Load(step.Digest.String())
					if out.Kind != runtime.OutcomeTo || string(out.Object) != want {
						t.Errorf("outcome %+v with %s; want the version %v", out, out.Object, want)
					}
				}
			}
		})
	}
	for n := 1; n <= generations; n++ {
		raw := generation(n)
		r.put("next", raw)
		src, err := readSource(filepath.Join(r.dir, "next"), "next", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		versions.Store(src.digest.String(), fmt.Sprintf(`"%04d"`, n))
		r.put("door.wasm", raw)
		r.load()
		r.serves("door")
		// Some invocations happen with every generation.
		for before := served.Load(); served.Load() < before+20; {
			r.invokeUntilServed()
			served.Add(1)
		}
	}
	close(stop)
	callersDone.Wait()
	if v := r.plugin("door").Version; v != fmt.Sprintf("%04d", generations) {
		t.Errorf("version %s serves; want the last", v)
	}
	t.Logf("%d invocations served, %d looked up again", served.Load(), refused.Load())
}

func (r *rig) invokeUntilServed() {
	in := r.invocation("door", "closed", `0`)
	var out runtime.Outcome
	if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil {
		r.t.Error(err)
	}
}

// TestAnOldModuleEndsItsInvocations retires a module while one of its invocations is inside of a host call.
func TestAnOldModuleEndsItsInvocations(t *testing.T) {
	gate := &gateReader{entered: make(chan struct{}), open: make(chan struct{})}
	g := doorGuest()
	g.imports = slices.Concat(abiImports, []string{wasiModule + ".random_get"})
	g.invoke = asm.Code(asm.I32(bufferAt), asm.I32(8), asm.Call(3), asm.Drop, g.invoke)
	r := serveGuest(t, g, func(o *Options) { o.Random = gate })
	in := r.invocation("door", "closed", `{}`)
	old := in.Handler.Invoker.(*invoker).module
	done := make(chan runtime.Outcome)
	go func() {
		var out runtime.Outcome
		if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil {
			t.Error(err)
		}
		done <- out
	}()
	<-gate.entered
	r.put("door.wasm", echoGuest().bytes())
	r.load()
	r.serves("door")
	var refused runtime.Outcome
	if err := in.Handler.Invoker.Invoke(context.Background(), in, &refused); !errors.Is(err, runtime.ErrRetired) {
		t.Errorf("a second invocation of the old module: %v; want ErrRetired", err)
	}
	if out := r.invoke("door", "closed", `{"n":0}`); !out.Changed {
		t.Errorf("outcome %+v; want the new module's", out)
	}
	select {
	case <-old.pool.drained:
		t.Error("the old module is drained with an invocation under way")
	default:
	}
	close(gate.open)
	if out := <-done; out.Kind != runtime.OutcomeTo {
		t.Errorf("outcome %+v; want the old invocation to end as if nothing had happened", out)
	}
	<-old.pool.drained
	if n := old.pool.count(); n != 0 {
		t.Errorf("%d instances of the old module are left", n)
	}
}

// gateReader lets a guest wait in random_get.
type gateReader struct{ entered, open chan struct{} }

func (g *gateReader) Read(b []byte) (int, error) {
	g.entered <- struct{}{}
	<-g.open
	return len(b), nil
}

func TestInvocationsWaitForAnInstance(t *testing.T) {
	gate := &gateReader{entered: make(chan struct{}), open: make(chan struct{})}
	g := doorGuest()
	g.imports = slices.Concat(abiImports, []string{wasiModule + ".random_get"})
	g.invoke = asm.Code(asm.I32(bufferAt), asm.I32(8), asm.Call(3), asm.Drop, g.invoke)
	r := serveGuest(t, g, func(o *Options) { o.Random, o.Limits.Instances = gate, 2 })
	in := r.invocation("door", "closed", `{}`)
	results := make(chan error)
	invoke := func(ctx context.Context) {
		var out runtime.Outcome
		results <- in.Handler.Invoker.Invoke(ctx, in, &out)
	}
	for range 2 {
		go invoke(context.Background())
		<-gate.entered
	}
	if n := r.plugin("door").Instances; n != 2 {
		t.Errorf("%d instances; want 2", n)
	}
	// A third finds no instance; its caller gives up.
	ctx, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("no time")
	cancel(reason)
	go invoke(ctx)
	if err := <-results; !errors.Is(err, reason) {
		t.Errorf("%v; want the cause of the caller", err)
	}
	// A fourth waits until one is free.
	go invoke(context.Background())
	close(gate.open)
	for range 3 {
		select {
		case <-gate.entered:
			if err := <-results; err != nil {
				t.Error(err)
			}
		case err := <-results:
			if err != nil {
				t.Error(err)
			}
		}
	}
	if n := r.plugin("door").Instances; n != 2 {
		t.Errorf("%d instances; want 2", n)
	}
}

// TestWorkBesideTheRunsHasItsOwnInstances keeps every instance for runs busy, then every other one.
func TestWorkBesideTheRunsHasItsOwnInstances(t *testing.T) {
	g := guest{manifest: life, invoke: asm.Code(asm.I32(int32(abi.CodeDone)))}
	r := newRig(t, func(o *Options) { o.Limits.Instances = 1 })
	r.put("life.wasm", g.bytes())
	r.load()
	handlers := handlersOf(r.Catalog().Workflow("life"))
	pool := handlers["step"].Invoker.(*invoker).module.pool
	ended, gaveUp := context.WithCancelCause(context.Background())
	gaveUp(errors.New("no time"))
	for _, busy := range []places{pool.runs, pool.side} {
		held, _, err := pool.take(context.Background(), busy)
		if err != nil {
			t.Fatal(err)
		}
		for kind, h := range handlers {
			beside := kind == "hook" || kind == "erase" || kind == "filter"
			if beside == (busy == pool.side) {
				if _, _, err := pool.take(ended, pool.places(h.Kind)); !errors.Is(err, context.Cause(ended)) {
					t.Errorf("a %s: %v; want it to wait until its caller gives up", kind, err)
				}
				continue
			}
			var out runtime.Outcome
			if err := h.Invoker.Invoke(context.Background(), r.invocationOf(h, "waiting", `{}`), &out); err != nil {
				t.Errorf("a %s: %v; want it served", kind, err)
			}
		}
		pool.put(held, busy)
	}
	if p := r.plugin("life"); p.Instances > 2 {
		t.Errorf("%d instances; want one for runs and one beside at most", p.Instances)
	}
}

func TestHandlersShareTheBoundOfTheirModule(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Limits.Instances = 3 })
	r.put("life.wasm", guest{manifest: life}.bytes())
	r.put("door.wasm", doorGuest().bytes())
	r.load()
	handlers := handlersOf(r.Catalog().Workflow("life"))
	bound := handlers["step"].Module
	if bound == nil || bound.Instances != 3 || len(handlers) != 7 {
		t.Fatalf("bound %+v of %d kinds; want 3 instances and 7 kinds", bound, len(handlers))
	}
	for kind, h := range handlers {
		if h.Module != bound {
			t.Errorf("the %s has another bound than the step", kind)
		}
	}
	if r.Catalog().Status("door", "closed").Step.Module == bound {
		t.Error("two modules have one bound")
	}
	r.put("door.wasm", generation(1))
	r.load()
	r.serves("door")
	if r.Catalog().Status("life", "born").Step.Module != bound {
		t.Error("the bound of a module changes when another is replaced")
	}
}

// settableClock shows the time that it is set to.
type settableClock struct {
	runtime.SystemClock
	now *atomic.Int64 // nanoseconds
}

func (c settableClock) Now() time.Time { return time.Unix(0, c.now.Load()) }

// TestTheTimeOfAnInvocationBeginsWithItsInstance has an invocation wait for a minute, with five seconds to its deadline.
func TestTheTimeOfAnInvocationBeginsWithItsInstance(t *testing.T) {
	clock := settableClock{now: new(atomic.Int64)}
	clock.now.Store(1_769_000_000_000_000_000)
	r := serveGuest(t, readGuest(abi.FieldDeadline, 8), func(o *Options) { o.Clock, o.Limits.Instances = clock, 1 })
	m, held := r.hold("door", 1)
	in := r.invocation("door", "closed", `{}`)
	in.Deadline = in.Now.Add(5 * time.Second)
	var out runtime.Outcome
	done := make(chan error)
	go func() { done <- in.Handler.Invoker.Invoke(context.Background(), in, &out) }()
	clock.now.Add(int64(time.Minute))
	m.pool.put(held[0], m.pool.runs)
	if err := <-done; err != nil || out.Kind != runtime.OutcomeTo {
		t.Fatalf("outcome %+v, %v; want the wait to be free", out, err)
	}
	got := time.Unix(0, int64(binary.LittleEndian.Uint64([]byte(out.Status))))
	if want := clock.Now().Add(5 * time.Second); !got.Equal(want) {
		t.Errorf("the guest is told the deadline %v; want %v", got, want)
	}
}

// TestCountsAreOfThePlugin counts over a replacement: what is counted never falls.
func TestCountsAreOfThePlugin(t *testing.T) {
	trap := doorGuest()
	trap.invoke = asm.Unreachable
	r := serveGuest(t, doorGuest())
	var old *runtime.Invocation
	for n, g := range []guest{doorGuest(), trap, echoGuest(), trap} {
		r.put("door.wasm", g.bytes())
		r.load()
		r.serves("door")
		for range 3 {
			r.invoke("door", "closed", `{"n":0}`)
		}
		if old != nil {
			var out runtime.Outcome
			if err := old.Handler.Invoker.Invoke(context.Background(), old, &out); !errors.Is(err, runtime.ErrRetired) {
				t.Errorf("%v; want the old module retired", err)
			}
		}
		old = r.invocation("door", "closed", `{}`)
		if p := r.plugin("door"); p.Invocations != uint64(3*(n+1)) || p.Traps != uint64(3*((n+1)/2)) {
			t.Errorf("%d invocations, %d traps after %d modules", p.Invocations, p.Traps, n+1)
		}
	}
	if err := os.Remove(filepath.Join(r.dir, "door.wasm")); err != nil {
		t.Fatal(err)
	}
	r.load()
	if p := r.plugin("door"); p.Invocations != 12 || p.Traps != 6 {
		t.Errorf("%d invocations, %d traps after the file was removed; want 12 and 6", p.Invocations, p.Traps)
	}
}

func TestWatch(t *testing.T) {
	catalogs := make(chan *runtime.Catalog, 16)
	r := newRig(t, func(o *Options) { o.Engine = &fakeRuns{catalogs: catalogs} })
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan error)
	go func() { watched <- r.Watch(ctx) }()

	r.put("door.wasm", generation(1)) // mv into place
	first := <-catalogs
	r.put("door.wasm", generation(2))
	second := <-catalogs
	if first.Status("door", "closed").Step.Digest == second.Status("door", "closed").Step.Digest {
		t.Error("both catalogs hold the same module")
	}
	// Written in place, in two pieces.
	raw := generation(3)
	f, err := os.Create(filepath.Join(r.dir, "door.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range [][]byte{raw[:100], raw[100:]} {
		if _, err := f.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	third := r.invocationOf((<-catalogs).Status("door", "closed").Step, "closed", `0`)
	var out runtime.Outcome
	if err := third.Handler.Invoker.Invoke(context.Background(), third, &out); err != nil || string(out.Object) != `"0003"` {
		t.Errorf("object %s; want that of the third: %v", out.Object, err)
	}
	cancel()
	if err := <-watched; err != nil {
		t.Error(err)
	}
}

// TestWatchWithoutNotifications relies on the periodic look at the directory: it does not exist when the watch begins.
func TestWatchWithoutNotifications(t *testing.T) {
	catalogs := make(chan *runtime.Catalog, 16)
	r := newRig(t, func(o *Options) {
		o.Dir, o.Rescan = filepath.Join(o.Dir, "later"), 10_000_000
		o.Engine = &fakeRuns{catalogs: catalogs}
	})
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan error)
	go func() { watched <- r.Watch(ctx) }()
	r.dir = filepath.Join(r.dir, "later")
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r.put("door.wasm", generation(1))
	<-catalogs
	if err := r.Load(t.Context()); err != nil { // the look that found it has ended then
		t.Fatal(err)
	}
	r.serves("door")
	cancel()
	if err := <-watched; err != nil {
		t.Error(err)
	}
}
