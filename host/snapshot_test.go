package host

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// rememberers are guests that answer skip (3) when they find no trace of an invocation before, and permanent (7) when they do.
func rememberers() map[string]guest {
	const at = 5000
	answer := asm.Code(asm.Get(1), asm.I32(4), asm.I32Mul, asm.I32(3), asm.I32Add)
	guests := map[string]guest{
		"in memory":       {invoke: asm.Code(asm.I32(at), asm.I32Load, asm.Set(1), asm.I32(at), asm.I32(1), asm.I32Store, answer)},
		"by growing":      {invoke: asm.Code(asm.MemorySize, asm.I32(4), asm.I32Ne, asm.Set(1), asm.I32(1), asm.MemoryGrow, asm.Drop, answer)},
		"in grown memory": {invoke: asm.Code(asm.I32(1), asm.MemoryGrow, asm.I32(1<<16), asm.I32Mul, asm.I32Load, asm.Set(1), asm.I32(4<<16), asm.I32(1), asm.I32Store, answer)},
		"in a global":     {invoke: asm.Code(asm.GetGlobal(0), asm.Set(1), asm.I32(1), asm.SetGlobal(0), answer), globals: []byte{1, 0x7f, 1, 0x41, 0, 0x0b}},
		"in a table":      {invoke: asm.Code(asm.TableSize, asm.I32(1), asm.I32Ne, asm.Set(1), asm.RefNullFunc, asm.I32(1), asm.TableGrow, asm.Drop, answer), table: []byte{1, 0x70, 0, 1}},
	}
	for name, g := range guests {
		g.manifest = door
		guests[name] = g
	}
	return guests
}

func fresh(o *Options) { o.Overrides = map[string]Override{"door": {Isolation: IsolationFresh}} }

// images are the ways to keep a snapshot, by name.
func images() map[string]func([]byte) (image, error) {
	return map[string]func([]byte) (image, error){"of this system": freeze, "copied": copyImage}
}

// serveFrozen serves the guest as door.wasm, with snapshots that are kept in a way of images.
func serveFrozen(t testing.TB, g guest, keep func([]byte) (image, error), change ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, append(change, fresh)...)
	r.freeze = keep
	r.put("door.wasm", g.bytes())
	r.load()
	r.serves("door")
	return r
}

func TestAFreshGuestRemembersNothing(t *testing.T) {
	for way, keep := range images() {
		for name, g := range rememberers() {
			t.Run(name+", "+way, func(t *testing.T) {
				r := serveFrozen(t, g, keep)
				for n := range 5 {
					if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeSkip {
						t.Errorf("invocation %d: outcome %+v; want no trace of another", n, out)
					}
				}
			})
		}
	}
}

// TestAPooledGuestRemembers shows that the guests of TestAFreshGuestRemembersNothing would remember.
func TestAPooledGuestRemembers(t *testing.T) {
	for name, g := range rememberers() {
		if name == "in grown memory" {
			continue // it needs two pages, of which the second is new each time
		}
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, g)
			if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeSkip {
				t.Fatalf("outcome %+v", out)
			}
			if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomePermanent {
				t.Errorf("outcome %+v; want a trace of the first invocation", out)
			}
		})
	}
}

// TestFreshKeepsAnInstance checks which guests have an instance left after an invocation: those whose state could be restored.
func TestFreshKeepsAnInstance(t *testing.T) {
	kept := map[string]int{"in memory": 1, "in a global": 1, "by growing": 0, "in grown memory": 0, "in a table": 0}
	for name, g := range rememberers() {
		r := serveFrozen(t, g, freeze)
		r.invoke("door", "closed", `{}`)
		if p := r.plugin("door"); p.Instances != kept[name] || p.Traps != 0 {
			t.Errorf("%s: %d instances, %d traps; want %d, none", name, p.Instances, p.Traps, kept[name])
		}
		if p := r.plugin("door"); (p.Unrestorable == "it writes elements of tables") != (name == "in a table") {
			t.Errorf("%s: unrestorable: %q", name, p.Unrestorable)
		}
		said := len(r.logs.find("WARN", "each invocation of a plugin makes a new instance", "plugin=door"))
		if want := map[bool]int{true: 1}[name == "in a table"]; said != want {
			t.Errorf("%s: %d lines say that every invocation makes an instance; want %d", name, said, want)
		}
	}
}

func TestFreshBeginsAfterTheWarmUp(t *testing.T) {
	const at = 5000
	for way, keep := range images() {
		t.Run(way, func(t *testing.T) {
			// The initialisation writes 2, the warm-up adds 1 and grows the memory; an invocation answers what it finds, and spoils it.
			g := guest{
				manifest: door, initialize: asm.Code(asm.I32(at), asm.I32(2), asm.I32Store),
				warm:   asm.Code(asm.I32(at), asm.I32(at), asm.I32Load, asm.I32(1), asm.I32Add, asm.I32Store, asm.I32(1), asm.MemoryGrow, asm.Drop),
				invoke: asm.Code(asm.I32(at), asm.I32Load, asm.Set(1), asm.I32(at), asm.I32(0), asm.I32Store, asm.MemorySize, asm.I32(5), asm.I32Ne, asm.Get(1), asm.I32Add),
			}
			r := serveFrozen(t, g, keep)
			for range 3 {
				if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeSkip { // 3
					t.Errorf("outcome %+v; want the state after the warm-up", out)
				}
			}
			// The same in instances that are made while others are in use.
			m, held := r.hold("door", 3)
			for _, i := range held {
				if v, _ := i.guest.Memory().ReadUint32Le(at); v != 3 || i.guest.Memory().Size() != 5*pageBytes {
					t.Errorf("an instance begins with %d in %d bytes; want 3 in 5 pages", v, i.guest.Memory().Size())
				}
			}
			for _, i := range held {
				m.pool.put(i, m.pool.runs)
			}
		})
	}
}

func TestFreshMemoryIsPaidAndGivenBack(t *testing.T) {
	for way, keep := range images() {
		t.Run(way, func(t *testing.T) {
			r := serveFrozen(t, doorGuest(), keep)
			if r.used() != 4*pageBytes+eachInstance {
				t.Errorf("%d bytes are used; want the snapshot's and those of one instance", r.used())
			}
			m, held := r.hold("door", 3)
			if r.used() != 4*pageBytes+3*eachInstance {
				t.Errorf("%d bytes are used; want the snapshot's and those of three instances", r.used())
			}
			for _, i := range held {
				m.pool.put(i, m.pool.runs)
			}
			r.put("door.wasm", generation(2))
			r.load()
			if err := r.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			if r.used() != 0 {
				t.Errorf("%d bytes are used after the end; want none", r.used())
			}
		})
	}
}

func TestFreshWithoutMemoryForASnapshotIsRefused(t *testing.T) {
	r := newRig(t, fresh, func(o *Options) { o.Limits.MemoryBytes, o.TotalMemoryBytes = 1<<20, 1<<20 })
	g := doorGuest()
	g.memory = 12
	r.put("door.wasm", g.bytes())
	r.load()
	r.refused("door", "no memory is left for the snapshot of 786432 bytes")
	if r.used() != 0 {
		t.Errorf("%d bytes are used; want none", r.used())
	}
}

func TestATrapEndsAFreshInstance(t *testing.T) {
	g := doorGuest()
	g.invoke = asm.Unreachable
	wantTrap(t, serveFrozen(t, g, freeze), "door", "closed", `{}`, "unreachable")
}

func TestWhatTheWarmUpMayDo(t *testing.T) {
	g := doorGuest()
	g.warm = asm.Code(asm.I32(int32(abi.FieldNewObject)), asm.I32(0), asm.I32(1), asm.Call(fnWrite))
	r := newRig(t, fresh)
	r.put("door.wasm", g.bytes())
	r.load()
	r.refused("door", "wfrt_warm: the plugin was stopped: field_write of new_object: it is not an output of this call")
}

func TestWhoDecidesOnTheIsolation(t *testing.T) {
	wish := func(isolation string) []byte {
		g := doorGuest()
		g.manifest = `{"abi":1,"isolation":"` + isolation + `",` + door[len(`{"abi":1,`):]
		return g.bytes()
	}
	for _, c := range []struct {
		wish     string
		operator Isolation
		want     Isolation
	}{
		{"", "", IsolationPooled},
		{"fresh", "", IsolationFresh},
		{"pooled", "", IsolationPooled},
		{"fresh", IsolationPooled, IsolationPooled},
		{"pooled", IsolationFresh, IsolationFresh},
	} {
		r := newRig(t, func(o *Options) { o.Overrides = map[string]Override{"door": {Isolation: c.operator}} })
		r.put("door.wasm", wish(c.wish))
		r.load()
		if p := r.plugin("door"); p.Isolation != c.want {
			t.Errorf("the author wishes %q and the operator says %q: %q; want %q", c.wish, c.operator, p.Isolation, c.want)
		}
	}
	r := newRig(t)
	r.put("door.wasm", wish("clean"))
	r.load()
	r.refused("door", `it wishes the isolation "clean"; say fresh or pooled`)
}

func TestAFreshGoGuest(t *testing.T) {
	for way, keep := range images() {
		t.Run(way, func(t *testing.T) {
			raw, err := goGuest()
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, func(o *Options) {
				o.CacheDir = filepath.Join(scratch, "cache")
				o.Overrides = map[string]Override{"guest": {Isolation: IsolationFresh}}
			})
			r.freeze = keep
			r.put("guest.wasm", raw)
			r.load()
			r.serves("guest")
			said := make(map[string]string)
			for range 20 {
				if out := r.invoke("mood", "asked", `{"do":"remember"}`); string(out.Object) != `{"do":"1"}` {
					t.Fatalf("outcome %+v %s; want it to remember nothing", out, out.Object)
				}
				shuffle, random := r.invoke("mood", "asked", `{"do":"shuffle"}`), r.invoke("mood", "asked", `{"do":"random"}`)
				if before := said["shuffle"]; before != "" && before != string(shuffle.Object) {
					t.Errorf("its own randomness says %s after %s; want its seed to be restored", shuffle.Object, before)
				}
				if before := said["random"]; before == string(random.Object) {
					t.Errorf("the host's randomness says %s twice", before)
				}
				said["shuffle"], said["random"] = string(shuffle.Object), string(random.Object)
			}
		})
	}
}
