package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// wantTrap invokes a guest that does not survive, and then checks that the host has: the attempt failed with a reason that
// has all pieces, the instance is gone, and the next invocation gets another.
func wantTrap(t *testing.T, r *rig, workflow, status, object string, pieces ...string) {
	t.Helper()
	out := r.invoke(workflow, status, object)
	if out.Kind != runtime.OutcomeError {
		t.Fatalf("outcome %+v; want a failed attempt", out)
	}
	wantPieces(t, out.Reason, pieces...)
	if len(out.Reason) > maxReason {
		t.Errorf("the reason has %d bytes; want at most %d", len(out.Reason), maxReason)
	}
	p := r.Plugins()[0]
	if p.Traps != 1 || p.Instances != 0 {
		t.Errorf("%d traps, %d instances; want 1 trap and the instance thrown away", p.Traps, p.Instances)
	}
}

func TestGoGuest(t *testing.T) {
	for do, pieces := range map[string][]string{
		"panic":   {"panic: the cat is out (the plugin trapped: unreachable); last on stderr:\n", "main.invoke"},
		"nil":     {"panic: runtime error: invalid memory address or nil pointer dereference (the plugin trapped: unreachable"},
		"exit0":   {"it exited with code 0", "a plugin returns instead"},
		"exit3":   {"it exited with code 3"},
		"recurse": {"plugin"},
		"bomb":    {"fatal error: out of memory (the plugin trapped: unreachable", "memory_bytes: it asked for 68,157,440 bytes of 67,108,864 bytes; let it do less at once, or raise plugins.limits.memory_bytes"},
	} {
		t.Run(do, func(t *testing.T) {
			r := serveGoGuest(t)
			wantTrap(t, r, "mood", "asked", `{"do":"`+do+`"}`, pieces...)
			if out := r.invoke("mood", "asked", `{"do":"nothing"}`); out.Kind != runtime.OutcomeTo {
				t.Errorf("the invocation after it: %+v; want it to work", out)
			}
		})
	}
}

func TestGoGuestSeesNothingOfTheWorld(t *testing.T) {
	r := serveGoGuest(t)
	out := r.invoke("mood", "asked", `{"do":"world"}`)
	if string(out.Object) != `{"do":"0 0 true"}` {
		t.Errorf("arguments, environment, file error: %s; want none, none, an error", out.Object)
	}
}

func TestGoGuestLogs(t *testing.T) {
	r := serveGoGuest(t)
	r.invoke("mood", "asked", `{"do":"print"}`)
	who := []string{"plugin=guest", "workflow=mood", "status=asked", "foreign_id=f-1", "version=4", "attempt=2"}
	for _, pieces := range [][]string{{"INFO to stdout"}, {"ERROR to stderr"}, {"WARN to the host", "n=1", "guest.run_id=forged"}} {
		if found := r.logs.find(append(pieces, who...)...); len(found) != 1 {
			t.Errorf("%d lines have %q; want 1 of %q", len(found), pieces, r.logs.find("plugin=guest"))
		}
	}
}

func TestGoGuestRandomnessIsInjected(t *testing.T) {
	r := serveGoGuest(t, func(o *Options) { o.Random = zeroes{} })
	a := r.invoke("mood", "asked", `{"do":"random"}`)
	b := serveGoGuest(t, func(o *Options) { o.Random = zeroes{} }).invoke("mood", "asked", `{"do":"random"}`)
	if !a.Changed || string(a.Object) != string(b.Object) {
		t.Errorf("%s and %s; want the same of equal randomness", a.Object, b.Object)
	}
}

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// leapClock stands still until someone waits, and then leaps to the end of the wait.
type leapClock struct{ now chan time.Time }

func newLeapClock() leapClock {
	c := leapClock{now: make(chan time.Time, 1)}
	c.now <- time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	return c
}

func (c leapClock) Now() time.Time {
	now := <-c.now
	c.now <- now
	return now
}

func (c leapClock) AfterFunc(d time.Duration, f func()) runtime.ClockTimer {
	c.now <- (<-c.now).Add(d)
	go f()
	return c
}

func (leapClock) Stop() bool { return false }

func TestGuestSleepsOnTheHostsClock(t *testing.T) {
	r := serveGoGuest(t, func(o *Options) { o.Clock = newLeapClock() })
	out := r.invoke("mood", "asked", `{"do":"nap"}`)
	var slept time.Duration
	text := strings.TrimSuffix(strings.TrimPrefix(string(out.Object), `{"do":"`), `"}`)
	slept, err := time.ParseDuration(text)
	if err != nil || slept < 3*time.Second || slept > 4*time.Second {
		t.Errorf("the guest slept %s, %v; want 3 s of the injected clock", out.Object, err)
	}
}

func TestGuestSleepEndsAtTheDeadline(t *testing.T) {
	r := serveGoGuest(t, func(o *Options) { o.Clock = newLeapClock() })
	began := r.options.Clock.Now()
	wantTrap(t, r, "mood", "asked", `{"do":"sleep"}`, "it reached the deadline")
	if took := r.options.Clock.Now().Sub(began); took != 30*time.Second {
		t.Errorf("the sleep took %v; want it cut at the limit of 30 s", took)
	}
}

func TestCancellationEndsASleepAndIsNotTheGuestsFault(t *testing.T) {
	clock := sleeplessClock{asleep: make(chan struct{})}
	r := serveGoGuest(t, func(o *Options) { o.Clock = clock })
	in := r.invocation("mood", "asked", `{"do":"sleep"}`)
	ctx, cancel := context.WithCancelCause(context.Background())
	drain := errors.New("drain")
	result := make(chan error)
	go func() {
		var out runtime.Outcome
		result <- in.Handler.Invoker.Invoke(ctx, in, &out)
	}()
	<-clock.asleep
	cancel(drain)
	if err := <-result; !errors.Is(err, drain) {
		t.Errorf("error %v; want the cause of the cancellation", err)
	}
	if p := r.plugin("guest"); p.Traps != 0 || p.Instances != 0 {
		t.Errorf("%d traps, %d instances; want no trap, since the host ended it, and the instance gone", p.Traps, p.Instances)
	}
	var out runtime.Outcome
	if err := in.Handler.Invoker.Invoke(ctx, in, &out); !errors.Is(err, drain) {
		t.Errorf("a call that has ended before it begins: %v; want the cause", err)
	}
}

// sleeplessClock says when someone waits, and never wakes them.
type sleeplessClock struct {
	runtime.SystemClock
	asleep chan struct{}
}

func (c sleeplessClock) AfterFunc(time.Duration, func()) runtime.ClockTimer {
	close(c.asleep)
	return leapClock{}
}

func TestTraps(t *testing.T) {
	overflow := doorGuest()
	overflow.recursive = asm.Unreachable
	overflow.recursive = asm.Call(overflow.recursiveIndex())
	overflow.invoke = asm.Code(asm.Call(overflow.recursiveIndex()), asm.I32(1))
	write := func(field abi.Field, ptr, size int32) []byte {
		return asm.Code(asm.I32(int32(field)), asm.I32(ptr), asm.I32(size), asm.Call(fnWrite), asm.I32(int32(abi.CodeSkip)))
	}
	for name, c := range map[string]struct {
		invoke []byte
		want   string
	}{
		"unreachable": {asm.Unreachable, "the plugin trapped: unreachable"},
		"recursion":   {overflow.invoke, "call_depth: more than 10,000 calls within each other; let it do less at once, or raise plugins.limits.call_depth"},
		"giant output": {
			asm.Code(asm.I32(17), asm.MemoryGrow, asm.Drop, write(abi.FieldNewObject, 0, 1<<20+1)),
			"output_bytes: new_object: 1,048,577 bytes are more than the limit of 1,048,576 bytes",
		},
		"long status":         {write(abi.FieldNewStatus, 0, 65), "new_status: 65 bytes are more than the limit of 64"},
		"output outside":      {write(abi.FieldNewObject, 1<<18-4, 5), "field_write: 5 bytes at 0x3fffc are outside"},
		"output wraps around": {write(abi.FieldReason, -4, 8), "field_write: 8 bytes at 0xfffffffc are outside"},
		"length negative":     {write(abi.FieldNewObject, 0, -1), "4,294,967,295 bytes are more than the limit of 1,048,576 bytes"},
		"manifest in a step":  {write(abi.FieldManifest, 0, 1), "manifest: it is not an output of this call"},
		"write of an input":   {write(abi.FieldObject, 0, 1), "object: it is not an output"},
		"write of no field":   {write(99, 0, 1), "field(99): it is not an output"},
		"write of minus one":  {write(-1, 0, 1), "field(-1): it is not an output"},
		"input outside":       {asm.Code(asm.I32(1), asm.I32(-2), asm.I32(1000), asm.Call(fnRead)), "field_read of object: 7 bytes at 0xfffffffe"},
		"log outside":         {asm.Code(asm.I32(0), asm.I32(1<<18), asm.I32(1), asm.Call(fnLog), asm.I32(3)), "log: 1 bytes at 0x40000 are outside"},
		"division by zero":    {asm.Code(asm.I32(1), asm.I32(0), asm.I32DivS), "integer divide by zero"},
		"load outside":        {asm.Code(asm.I32(-1), asm.I32Load), "out of bounds memory access"},
	} {
		t.Run(name, func(t *testing.T) {
			g := overflow
			g.invoke = c.invoke
			wantTrap(t, serveGuest(t, g), "door", "closed", `{"n":0}`, c.want)
		})
	}
}

func TestOutcomes(t *testing.T) {
	answer := func(c abi.Code, before ...[]byte) []byte { return asm.Code(append(before, asm.I32(int32(c)))...) }
	delay := "\x00\x2f\x68\x59\x00\x00\x00\x00"
	texts := []string{"open", "", "nowhere", "not JSON", "why", delay, "\xff\xff\xff\xff\xff\xff\xff\xff", `{"m":1}`, "\xff"}
	put := func(f abi.Field, n int) []byte { return writeText(f, n, texts[n]) }
	changed := []byte(`{"m":1}`)
	for name, c := range map[string]struct {
		invoke []byte
		want   runtime.Outcome
	}{
		"to": {
			answer(abi.CodeTo, put(abi.FieldNewStatus, 0)),
			runtime.Outcome{Kind: runtime.OutcomeTo, Status: "open"},
		},
		"to, with object": {
			answer(abi.CodeTo, put(abi.FieldNewObject, 7), put(abi.FieldNewStatus, 0)),
			runtime.Outcome{Kind: runtime.OutcomeTo, Status: "open", Changed: true, Object: changed},
		},
		"to, undeclared": {
			answer(abi.CodeTo, put(abi.FieldNewStatus, 2)),
			runtime.Outcome{Kind: runtime.OutcomeTo, Status: "nowhere"},
		},
		"to, no status": {
			answer(abi.CodeTo),
			runtime.Outcome{Kind: runtime.OutcomePermanent, Reason: "did not write new_status"},
		},
		"to, bad object": {
			answer(abi.CodeTo, put(abi.FieldNewObject, 3), put(abi.FieldNewStatus, 0)),
			runtime.Outcome{Kind: runtime.OutcomePermanent, Reason: `not one JSON value; it begins "not JSON"`},
		},
		"to, empty object": {
			answer(abi.CodeTo, put(abi.FieldNewObject, 1), put(abi.FieldNewStatus, 0)),
			runtime.Outcome{Kind: runtime.OutcomePermanent, Reason: "not one JSON value"},
		},
		"later one wins": {
			answer(abi.CodeTo, put(abi.FieldNewObject, 3), put(abi.FieldNewObject, 7),
				put(abi.FieldNewStatus, 2), put(abi.FieldNewStatus, 0)),
			runtime.Outcome{Kind: runtime.OutcomeTo, Status: "open", Changed: true, Object: changed},
		},
		"repeat": {
			answer(abi.CodeRepeat, put(abi.FieldDelay, 5)),
			runtime.Outcome{Kind: runtime.OutcomeRepeat, Delay: 1500 * time.Millisecond},
		},
		"repeat at once": {
			answer(abi.CodeRepeat),
			runtime.Outcome{Kind: runtime.OutcomeRepeat},
		},
		"delay too short": {
			answer(abi.CodeRepeat, put(abi.FieldDelay, 4)),
			runtime.Outcome{Kind: runtime.OutcomeError, Reason: "has not 8 bytes"},
		},
		"delay too long": {
			answer(abi.CodeRepeat, put(abi.FieldDelay, 6)),
			runtime.Outcome{Kind: runtime.OutcomeError, Reason: "above 2^63-1"},
		},
		"skip": {
			answer(abi.CodeSkip, put(abi.FieldNewObject, 7)),
			runtime.Outcome{Kind: runtime.OutcomeSkip},
		},
		"pause": {
			answer(abi.CodePause, put(abi.FieldReason, 4), put(abi.FieldNewObject, 7)),
			runtime.Outcome{Kind: runtime.OutcomePause, Reason: "why", Changed: true, Object: changed},
		},
		"cancel": {
			answer(abi.CodeCancel, put(abi.FieldReason, 4)),
			runtime.Outcome{Kind: runtime.OutcomeCancel, Reason: "why"},
		},
		"error": {
			answer(abi.CodeError, put(abi.FieldReason, 4), put(abi.FieldNewObject, 3)),
			runtime.Outcome{Kind: runtime.OutcomeError, Reason: "why"},
		},
		"permanent": {
			answer(abi.CodePermanent, put(abi.FieldReason, 4)),
			runtime.Outcome{Kind: runtime.OutcomePermanent, Reason: "why"},
		},
		"reason not UTF-8": {
			answer(abi.CodePause, put(abi.FieldReason, 8)),
			runtime.Outcome{Kind: runtime.OutcomeError, Reason: "not UTF-8"},
		},
		"code 0": {
			answer(0),
			runtime.Outcome{Kind: runtime.OutcomeError, Reason: "the code 0"},
		},
		"code 9": {
			answer(9),
			runtime.Outcome{Kind: runtime.OutcomeError, Reason: "the code 9"},
		},
		"code -1": {
			answer(-1),
			runtime.Outcome{Kind: runtime.OutcomeError, Reason: "the code -1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, guest{manifest: door, texts: texts, invoke: c.invoke})
			out := r.invoke("door", "closed", `{"n":0}`)
			wantPieces(t, out.Reason, c.want.Reason)
			if (c.want.Reason == "") != (out.Reason == "") || out.Kind != c.want.Kind || out.Status != c.want.Status ||
				out.Delay != c.want.Delay || out.Changed != c.want.Changed || string(out.Object) != string(c.want.Object) {
				t.Errorf("outcome %+v with object %q; want %+v", out, out.Object, c.want)
			}
			if p := r.plugin("door"); p.Instances != 1 || p.Traps != 0 {
				t.Errorf("%d instances, %d traps; want the instance kept", p.Instances, p.Traps)
			}
		})
	}
	t.Run("long reason", func(t *testing.T) {
		g := guest{}
		g.manifestFn = asm.Code(asm.I32(int32(abi.FieldManifest)), asm.I32(bufferAt), asm.I32(int32(len(door))), asm.Call(fnWrite))
		g.manifest = strings.Repeat(" ", bufferAt-manifestAt) + door
		g.invoke = answer(abi.CodePause, asm.I32(int32(abi.FieldReason)), asm.I32(manifestAt), asm.I32(maxReason*2), asm.Call(fnWrite))
		if out := serveGuest(t, g).invoke("door", "closed", `{}`); len(out.Reason) != maxReason {
			t.Errorf("the reason has %d bytes; want %d", len(out.Reason), maxReason)
		}
	})
}

func TestAnUnchangedObjectIsNoChange(t *testing.T) {
	r := serveGuest(t, guest{manifest: door, texts: []string{"open", `{"n":0}`}, invoke: asm.Code(
		writeText(abi.FieldNewObject, 1, `{"n":0}`), writeText(abi.FieldNewStatus, 0, "open"), asm.I32(1))})
	if out := r.invoke("door", "closed", `{"n":0}`); out.Changed || len(out.Object) != 0 {
		t.Errorf("outcome %+v; want no change", out)
	}
	if out := r.invoke("door", "closed", `{"n":1}`); !out.Changed || string(out.Object) != `{"n":0}` {
		t.Errorf("outcome %+v; want the change", out)
	}
}

func TestMemoryEndsAtItsLimit(t *testing.T) {
	// It grows page by page until it cannot, and then traps.
	g := guest{manifest: door, invoke: asm.Code(asm.Loop, asm.I32(1), asm.MemoryGrow, asm.I32(-1), asm.I32Ne, asm.BrIf(0), asm.End, asm.Unreachable)}
	r := serveGuest(t, g, func(o *Options) { o.Limits.MemoryBytes = 2 << 20 })
	wantTrap(t, r, "door", "closed", `{}`, "unreachable", "memory_bytes: it asked for 2,162,688 bytes of 2,097,152 bytes")
}

func TestLogFloodIsCut(t *testing.T) {
	// 1,000,000 lines of 64 bytes, and one of all memory.
	g := guest{manifest: door, invoke: asm.Code(
		asm.I32(1_000_000), asm.Set(1),
		asm.Loop, asm.I32(0), asm.I32(2048), asm.I32(64), asm.Call(fnLog), asm.Get(1), asm.I32(1), asm.I32Sub, asm.Tee(1), asm.BrIf(0), asm.End,
		asm.I32(0), asm.I32(0), asm.I32(1<<18), asm.Call(fnLog), asm.I32(3))}
	r := serveGuest(t, g, func(o *Options) { o.Limits.LogBytes, o.Limits.HostCalls = 1000, 1_000_010 })
	if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeSkip {
		t.Errorf("outcome %+v; want a flood to be no error", out)
	}
	if lines := r.logs.find("INFO", "plugin=door", "run_id="); len(lines) != 13 {
		t.Errorf("%d lines are kept; want 12 whole and one cut of 1000 bytes", len(lines))
	}
	if cut := r.logs.find("WARN", "logged more than the limit", "dropped_bytes=64261352"); len(cut) != 1 {
		t.Errorf("%q; want one line that tells what was dropped", r.logs.find("WARN"))
	}
}

func TestHostCallsEndAtTheDeadline(t *testing.T) {
	g := guest{manifest: door, invoke: asm.Code(asm.Loop, asm.I32(0), asm.I32(0), asm.I32(0), asm.Call(fnLog), asm.Br(0), asm.End, asm.I32(3))}
	r := serveGuest(t, g, func(o *Options) { o.Clock = &stepClock{step: time.Second} })
	wantTrap(t, r, "door", "closed", `{}`, "it reached the deadline")
}

// stepClock goes on by a step whenever someone looks at it.
type stepClock struct {
	runtime.SystemClock
	step time.Duration
	now  time.Time
}

func (c *stepClock) Now() time.Time {
	c.now = c.now.Add(c.step)
	return c.now
}

// TestDamagedModulesDoNotHurtTheHost loads modules with some bytes changed, and random ones of the right beginning. Some of the
// former are still valid; the latter are not.
func TestDamagedModulesDoNotHurtTheHost(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	whole := echoGuest().bytes()
	r := newRig(t)
	for n := range 300 {
		raw := slices.Clone(whole)
		if n%3 == 0 {
			for at := range raw[8:] {
				raw[8+at] = byte(random.Uint32())
			}
		} else {
			for range 1 + random.IntN(4) {
				raw[8+random.IntN(len(raw)-8)] = byte(random.Uint32())
			}
		}
		r.put("damaged.wasm", raw)
		r.load()
		if p := r.plugin("damaged"); n%3 == 0 && (p.Error == "" || p.Digest == fmt.Sprintf("%x", sha256.Sum256(raw))) {
			t.Fatalf("random bytes %x: %+v; want them refused", raw, p)
		}
	}
	r.put("other.wasm", guest{manifest: workflowPart("other", "", []string{"x>y"}, []string{"y"}, nil)}.bytes())
	r.load()
	r.serves("other")
}

// TestTablesEndAtTheirLimit grows a table that declares no maximum, or a high one: it ends where a step of 2^16 does not fit.
func TestTablesEndAtTheirLimit(t *testing.T) {
	for name, limits := range map[string][]byte{
		"no maximum":   {0x00, 0x01},
		"high maximum": append([]byte{0x01, 0x01}, asm.Uleb(1<<32-1)...),
	} {
		t.Run(name, func(t *testing.T) {
			// Growing goes on until it fails; the answer is the code 100 + size/2^16.
			g := guest{manifest: door, table: append([]byte{0x01, 0x70}, limits...), invoke: asm.Code(
				asm.Loop, asm.RefNullFunc, asm.I32(1<<16), asm.TableGrow, asm.I32(-1), asm.I32Ne, asm.BrIf(0), asm.End,
				asm.TableSize, asm.I32(16), asm.I32ShrU, asm.I32(100), asm.I32Add)}
			r := serveGuest(t, g)
			wantPieces(t, r.invoke("door", "closed", `{}`).Reason, "the code 115")
		})
	}
	r := newRig(t)
	r.put("big.wasm", guest{manifest: door, table: append([]byte{0x01, 0x70, 0x00}, asm.Uleb(1<<20+1)...)}.bytes())
	r.load()
	r.refused("big", "it has a table of 1048577 elements; the limit is 1048576")
	r.put("many.wasm", guest{manifest: door, table: append([]byte{9}, bytes.Repeat([]byte{0x70, 0x00, 0x01}, 9)...)}.bytes())
	r.load()
	r.refused("many", "it has 9 tables; the limit is 8")
}

// TestCountsAreChecked has files of a few bytes that claim to hold a lot.
func TestCountsAreChecked(t *testing.T) {
	huge := asm.Uleb(1<<32 - 1)
	header := []byte(asm.Header)
	memory := asm.Section(5, []byte{1, 0, 1})
	function := slices.Concat(asm.Section(1, asm.Vector(asm.FuncType("", ""))), asm.Section(3, []byte{1, 0}), memory)
	for label, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"types":     {asm.Section(1, huge), "its type section claims 4294967295 entries"},
		"imports":   {asm.Section(2, huge), "its import section claims 4294967295 entries"},
		"functions": {asm.Section(3, huge), "its function section claims 4294967295 entries"},
		"data":      {slices.Concat(memory, asm.Section(11, huge)), "its data section claims 4294967295 entries"},
		"code":      {slices.Concat(function, asm.Section(10, []byte{1, 100, 0})), "its code section is malformed"},
		"locals": {
			slices.Concat(function, asm.Section(10, asm.Vector(asm.Text("\x01"+string(huge)+"\x7f")))), "4294967295 locals; the limit is 50000",
		},
		"groups": {slices.Concat(function, asm.Section(10, asm.Vector(asm.Text(string(huge))))), "its function 0 claims 4294967295 entries"},
	} {
		t.Run(label, func(t *testing.T) {
			r := newRig(t)
			r.put("x.wasm", slices.Concat(header, c.raw))
			r.load()
			r.refused("x", c.want)
		})
	}
}
