package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/internal/hostile"
	"github.com/wfrt/wfrt/runtime"
)

// endless is the code of a loop that has no end.
func endless() []byte { return asm.Code(asm.Loop, asm.Br(0), asm.End, asm.I32(3)) }

// counting is the code of a loop of n turns.
func counting(n int32) []byte {
	return asm.Code(asm.I32(n), asm.Set(1), asm.Loop, asm.Get(1), asm.I32(1), asm.I32Sub, asm.Tee(1), asm.BrIf(0), asm.End)
}

// doing is a guest whose step of the workflow of its name does what the code says.
func doing(name string, invoke []byte) guest {
	g := doorNamed(name)
	g.invoke = invoke
	return g
}

func fuelOf(n uint64) func(*Options) { return func(o *Options) { o.Limits.Fuel = n } }

func TestAnEndlessLoopRunsOutOfFuel(t *testing.T) {
	r := serveGuest(t, doing("door", endless()), fuelOf(20_000_000))
	out := r.invoke("door", "closed", `{}`)
	if out.Kind != runtime.OutcomeError || out.Fuel < 20_000_000 || out.Fuel > 20_000_100 {
		t.Errorf("outcome %+v; want it ended when 20,000,000 of fuel were used", out)
	}
	wantPieces(t, out.Reason, "the plugin was stopped: fuel: used "+thousands(out.Fuel)+" of 20,000,000", "raise plugins.limits.fuel")
	p := r.plugin("door")
	if p.Traps != 1 || p.Instances != 0 || p.Exceeded["fuel"] != 1 || p.Fuel < out.Fuel {
		t.Errorf("%+v; want one trap, no instance, the limit exceeded once, and the fuel counted", p)
	}
}

// TestFuelIsTheSameWhereverSlicesEnd runs a guest through many slices, whose lengths depend on the time that they take.
func TestFuelIsTheSameWhereverSlicesEnd(t *testing.T) {
	r := serveGuest(t, doing("door", asm.Code(counting(3_000_000), asm.I32(3))))
	first := r.invoke("door", "closed", `{}`).Fuel
	if first < 5*3_000_000 || first > 7*3_000_000 {
		t.Errorf("it used %d; want about six for each of 3,000,000 turns", first)
	}
	for range 5 {
		if again := r.invoke("door", "closed", `{}`).Fuel; again != first {
			t.Errorf("it used %d, and %d before", again, first)
		}
	}
}

// TestFuelCountsHostFunctions compares invocations that differ in one call of a host function.
func TestFuelCountsHostFunctions(t *testing.T) {
	used := func(size int32, calls int) uint64 {
		body := asm.I32(3)
		for range calls {
			body = asm.Code(asm.I32(0), asm.I32(0), asm.I32(size), asm.Call(fnLog), body)
		}
		return serveGuest(t, doing("door", body)).invoke("door", "closed", `{}`).Fuel
	}
	one, two := used(800, 1), used(800, 2)
	if want := uint64(4 + fuelOfCall + 800/8); two-one != want {
		t.Errorf("the second call took %d; want %d", two-one, want)
	}
	if empty := used(0, 2); two-empty != 2*800/8 {
		t.Errorf("800 bytes twice took %d; want %d", two-empty, 2*800/8)
	}
}

func TestAnEndlessLoopEndsAtItsDeadline(t *testing.T) {
	r := serveGuest(t, doing("door", endless()), func(o *Options) { o.Limits.Fuel, o.Limits.Invocation = maxFuel, 20*time.Millisecond })
	out := r.invoke("door", "closed", `{}`)
	wantPieces(t, out.Reason, "timeout: it reached the deadline of the invocation, 20ms", "raise plugins.limits.timeout")
	if p := r.plugin("door"); p.Exceeded["timeout"] != 1 || p.Instances != 0 {
		t.Errorf("%+v; want the limit exceeded once and the instance gone", p)
	}
}

func TestTheEnginesDeadlineIsNamed(t *testing.T) {
	r := serveGuest(t, doing("door", endless()), fuelOf(maxFuel))
	in := r.invocation("door", "closed", `{}`)
	in.Deadline = in.Now.Add(10 * time.Millisecond)
	var out runtime.Outcome
	if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil {
		t.Fatal(err)
	}
	wantPieces(t, out.Reason, "timeout: it reached the deadline of the invocation, 10ms", "raise engine.step_timeout")
}

func TestCancellationEndsAnEndlessLoop(t *testing.T) {
	r := serveGuest(t, doing("door", endless()), fuelOf(maxFuel))
	in := r.invocation("door", "closed", `{}`)
	drain := errors.New("drain")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(10*time.Millisecond, func() { cancel(drain) })
	var out runtime.Outcome
	if err := in.Handler.Invoker.Invoke(ctx, in, &out); !errors.Is(err, drain) {
		t.Errorf("error %v; want the cause of the cancellation", err)
	}
	if p := r.plugin("door"); p.Traps != 0 || p.Instances != 0 {
		t.Errorf("%+v; want no trap, since the host ended it, and the instance gone", p)
	}
}

func TestWhatRunsAtLoadRunsOnFuel(t *testing.T) {
	for name, g := range map[string]guest{
		"start":       {manifest: door, startsWith: asm.Code(asm.Loop, asm.Br(0), asm.End)},
		"_initialize": {manifest: door, initialize: asm.Code(asm.Loop, asm.Br(0), asm.End)},
		"manifest":    {manifest: door, manifestFn: asm.Code(asm.Loop, asm.Br(0), asm.End)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, fuelOf(5_000_000))
			r.put("door.wasm", g.bytes())
			r.load()
			r.refused("door", "the plugin was stopped: fuel: used 5,000,", " of 5,000,000", "raise plugins.limits.fuel")
		})
	}
}

func TestHostCallsAndBytesAreBounded(t *testing.T) {
	flood := func(size int32) []byte {
		return asm.Code(asm.Loop, asm.I32(0), asm.I32(0), asm.I32(size), asm.Call(fnLog), asm.Br(0), asm.End, asm.I32(3))
	}
	for name, c := range map[string]struct{ guest, want string }{
		"host_calls": {string(flood(0)), "host_calls: used 1,001 of 1,000; let it do less at once, or raise plugins.limits.host_calls"},
		"host_bytes": {string(flood(100_000)), "host_bytes: used 1,100,000 bytes of 1,048,576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, doing("door", []byte(c.guest)), func(o *Options) { o.Limits.HostCalls, o.Limits.HostBytes = 1000, 1<<20 })
			wantTrap(t, r, "door", "closed", `{}`, c.want)
			if p := r.plugin("door"); p.Exceeded[name] != 1 {
				t.Errorf("%v; want the limit exceeded once", p.Exceeded)
			}
		})
	}
}

func TestAPluginHasLimitsOfItsOwn(t *testing.T) {
	r := newRig(t, fuelOf(50_000_000), func(o *Options) {
		o.Overrides = map[string]Override{"small": {Limits: Limits{Fuel: 3_000_000, MemoryBytes: 1 << 20}}}
	})
	for _, name := range []string{"small", "large"} {
		r.put(name+".wasm", doing(name, endless()).bytes())
	}
	r.load()
	wantPieces(t, r.invoke("small", "closed", `{}`).Reason, " of 3,000,000;")
	wantPieces(t, r.invoke("large", "closed", `{}`).Reason, " of 50,000,000;")
	limits := r.invocation("small", "closed", `{}`).Handler.Invoker.(*invoker).module.limits.Load()
	if limits.MemoryBytes != 1<<20 || limits.InstanceBytes != 3<<18 || limits.HostCalls != 100_000 {
		t.Errorf("limits %+v; want those of its own, what follows from them, and else the defaults", limits)
	}
}

func TestAStatusHasLimitsOfItsOwn(t *testing.T) {
	closed := func(own StepLimits) map[string]map[string]StepLimits {
		return map[string]map[string]StepLimits{"door": {"closed": own, "open": {Fuel: 1}}, "window": {"closed": {Fuel: 1}}}
	}
	r := serveGuest(t, doing("door", endless()), func(o *Options) { o.Steps = closed(StepLimits{Fuel: 3_000_000}) })
	wantPieces(t, r.invoke("door", "closed", `{}`).Reason, " of 3,000,000; let it do less at once, or raise workflows.door.steps.closed.fuel")
	if err := r.Tune(Options{Steps: closed(StepLimits{Fuel: maxFuel, Timeout: 10 * time.Millisecond})}); err != nil {
		t.Fatal(err)
	}
	r.load()
	wantPieces(t, r.invoke("door", "closed", `{}`).Reason, "the deadline of the invocation, 10ms; let it do less at once, or raise "+
		"workflows.door.steps.closed.timeout")
}

// TestAStatusHasEachLimitOfItsOwn serves guests of the gallery, each with one limit that is of its status and smaller than that of plugins.
func TestAStatusHasEachLimitOfItsOwn(t *testing.T) {
	for _, c := range []struct {
		guest, key string
		own        StepLimits
		want       string
	}{
		{"loop", "fuel", StepLimits{Fuel: 2_000_000}, " of 2,000,000;"},
		{"copies", "host_bytes", StepLimits{HostBytes: 1 << 20}, " of 1,048,576 bytes;"},
		{"flood", "host_calls", StepLimits{HostCalls: 200}, "used 201 of 200;"},
		{"memory", "memory_bytes", StepLimits{MemoryBytes: 2 << 20}, "it asked for 2,162,688 bytes of 2,097,152 bytes;"},
		{"output", "output_bytes", StepLimits{ObjectBytes: 1 << 10}, " bytes are more than the limit of 1,024 bytes;"},
		{"sleep", "timeout", StepLimits{Timeout: 10 * time.Millisecond}, ", 10ms;"},
	} {
		t.Run(c.key, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.Steps = map[string]map[string]StepLimits{c.guest: {"bad": c.own}} })
			r.put(c.guest+".wasm", gallery(t, c.guest))
			r.load()
			wantPieces(t, r.invoke(c.guest, "bad", `{}`).Reason, c.key+": ", c.want, "or raise workflows."+c.guest+".steps.bad."+c.key)
			if n := r.plugin(c.guest).Exceeded[c.key]; n != 1 {
				t.Errorf("it counts %d times as exceeded; want once", n)
			}
		})
	}
	t.Run("log_bytes", func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.Steps = map[string]map[string]StepLimits{"logs": {"bad": {LogBytes: 1 << 10}}} })
		r.put("logs.wasm", gallery(t, "logs"))
		r.load()
		r.invoke("logs", "bad", `{}`)
		if lines := r.logs.find("the plugin logged more than the limit", "limit_bytes=1024"); len(lines) != 1 {
			t.Errorf("%d lines say that the log was cut at 1,024 bytes; want one", len(lines))
		}
	})
}

func TestAStatusTakesNoMoreMemoryThanItsPlugin(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Limits.MemoryBytes = 4 << 20
		o.Steps = map[string]map[string]StepLimits{"memory": {"bad": {MemoryBytes: 8 << 20}}}
	})
	r.put("memory.wasm", gallery(t, "memory"))
	r.load()
	wantPieces(t, r.invoke("memory", "bad", `{}`).Reason, " of 4,194,304 bytes;")
}

// TestAMemoryLimitOfAStatusEndsWithTheInvocation, so that a pooled instance has that of its plugin again.
func TestAMemoryLimitOfAStatusEndsWithTheInvocation(t *testing.T) {
	r := serveGuest(t, doorNamed("door"))
	m, held := r.hold("door", 1)
	i, in := held[0], r.invocation("door", "closed", `{}`)
	for n, own := range []StepLimits{{MemoryBytes: 2 << 20}, {}} {
		i.beginInvocation(in, new(runtime.Outcome), &own, nil)
		if grew := i.memory.Reallocate(3<<20) != nil; grew != (n == 1) {
			t.Errorf("with %+v the memory grows to 3 MiB: %v", own, grew)
		}
		i.end()
	}
	m.pool.put(i, m.pool.runs)
}

// gallery returns a guest of the gallery.
func gallery(t *testing.T, name string) []byte {
	t.Helper()
	all := hostile.Gallery()
	at := slices.IndexFunc(all, func(g hostile.Guest) bool { return g.Name == name })
	if at < 0 {
		t.Fatalf("the gallery has no %s", name)
	}
	return all[at].Binary
}

func TestAnInstanceIsRetiredAfterItsCalls(t *testing.T) {
	r := serveGuest(t, echoGuest(), func(o *Options) { o.Limits.InstanceCalls = 3 })
	m := r.invocation("door", "closed", `{"n":0}`).Handler.Invoker.(*invoker).module
	for n := range 7 {
		if out := r.invoke("door", "closed", `{"n":0}`); out.Kind != runtime.OutcomeTo {
			t.Fatalf("outcome %+v", out)
		}
		if want := min(1, (n+1)%3); len(m.pool.idle) != want {
			t.Errorf("%d instances wait after %d invocations; want %d", len(m.pool.idle), n+1, want)
		}
	}
}

func TestAnInstanceIsRetiredWhenItsMemoryHasGrown(t *testing.T) {
	g := doing("door", asm.Code(asm.I32(21), asm.MemoryGrow, asm.Drop, asm.I32(3)))
	r := serveGuest(t, g, func(o *Options) { o.Limits.MemoryBytes = 2 << 20 })
	m := r.invocation("door", "closed", `{}`).Handler.Invoker.(*invoker).module
	if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeSkip || len(m.pool.idle) != 0 {
		t.Errorf("outcome %+v, %d instances wait; want it to work, and none with 25 of 32 pages", out, len(m.pool.idle))
	}
	if r.plugin("door").Traps != 0 || r.used() != 0 {
		t.Errorf("%d traps, %d bytes; want none", r.plugin("door").Traps, r.used())
	}
}

// TestGuestsThatComputeTakeTurns runs many endless loops beside a guest that does little. There is a processor for that one at
// any time, and each of the loops gets on.
func TestGuestsThatComputeTakeTurns(t *testing.T) {
	r := newRig(t, fuelOf(60_000_000), func(o *Options) { o.Limits.Instances = 8 })
	r.put("busy.wasm", doing("busy", endless()).bytes())
	r.put("door.wasm", doorGuest().bytes())
	r.load()
	var loops sync.WaitGroup
	reasons := make([]string, 6)
	for n := range reasons {
		in := r.invocation("busy", "closed", `{}`)
		loops.Go(func() {
			var out runtime.Outcome
			if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil {
				t.Error(err)
			}
			reasons[n] = out.Reason
		})
	}
	for range 200 {
		if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeTo {
			t.Fatalf("outcome %+v", out)
		}
		if n := len(r.turns.places); n > cap(r.turns.places) {
			t.Errorf("%d guests have a turn; want at most %d", n, cap(r.turns.places))
		}
	}
	loops.Wait()
	for n, reason := range reasons {
		if !strings.Contains(reason, "fuel: used 60,000,0") {
			t.Errorf("loop %d: %q; want it to end without fuel", n, reason)
		}
	}
	if n := len(r.turns.places); n != 0 || r.turns.waiting.Load() != 0 {
		t.Errorf("%d turns are held, %d guests wait; want none at the end", n, r.turns.waiting.Load())
	}
}

func TestAGuestThatSleepsHasNoTurn(t *testing.T) {
	// It computes for some slices, sleeps, and computes again.
	g := guest{imports: append(abiImports[:3:3], "wasi_snapshot_preview1.poll_oneoff"), manifest: door}
	g.invoke = asm.Code(counting(2_000_000), asm.I32(textAt), asm.I32(4096), asm.I32(1), asm.I32(8192), asm.Call(3), asm.Drop, counting(2_000_000), asm.I32(3))
	g.texts = []string{strings.Repeat("\x00", 24) + "\x00\x00\x00\x00\x01" + strings.Repeat("\x00", 19)} // a clock, four seconds
	clock := &turnClock{}
	r := serveGuest(t, g, func(o *Options) { o.Clock = clock })
	clock.asleep = func() {
		if n := len(r.turns.places); n != 0 {
			t.Errorf("%d turns are held while it sleeps; want none", n)
		}
	}
	if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeSkip {
		t.Errorf("outcome %+v", out)
	}
	if !clock.slept {
		t.Error("it did not sleep")
	}
}

// turnClock tells when someone sleeps, and wakes them at once.
type turnClock struct {
	runtime.SystemClock
	asleep func()
	slept  bool
}

func (c *turnClock) AfterFunc(d time.Duration, f func()) runtime.ClockTimer {
	if c.asleep != nil {
		c.asleep()
		c.slept = true
	}
	return c.SystemClock.AfterFunc(0, f)
}

func ExampleLimitError() {
	fmt.Println(&LimitError{Limit: LimitFuel, Used: 2_000_000_012, Max: 2_000_000_000})
	// Output: fuel: used 2,000,000,012 of 2,000,000,000; let it do less at once, or raise plugins.limits.fuel
}
