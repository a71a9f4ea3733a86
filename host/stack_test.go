package host

import (
	"bytes"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
)

// deepGuest calls itself to a depth with so many operands kept over each call, and at the end, within all of them, calls the host.
func deepGuest(depth, operands int) guest {
	g := doorGuest()
	var kept []byte
	for n := range operands {
		kept = asm.Code(kept, asm.I32(int32(1024+8*n)), asm.I32Load)
	}
	left := asm.Code(asm.I32(64), asm.I32Load)
	g.recursive = asm.Unreachable // for the index
	g.recursive = asm.Code(
		asm.I32(72), kept,
		asm.I32(64), left, asm.I32(1), asm.I32Sub, asm.I32Store,
		left, asm.If, asm.Call(g.recursiveIndex()), asm.Else, writeText(65, 0, "open"), asm.End,
		bytes.Repeat(asm.I32Add, operands-1), asm.I32Store,
	)
	g.invoke = asm.Code(asm.I32(64), asm.I32(int32(depth)), asm.I32Store, asm.Call(g.recursiveIndex()), asm.I32(1))
	return g
}

// idleOf returns the idle instances of the module that serves for a status.
func idleOf(r *rig, workflow, status string) []*instance {
	return r.invocation(workflow, status, `{}`).Handler.Invoker.(*invoker).module.pool.idle
}

// TestTheSizeOfTheStackIsKnown fails when the engine keeps its stack elsewhere than this package looks for it.
func TestTheSizeOfTheStackIsKnown(t *testing.T) {
	r := serveGuest(t, deepGuest(100, 50))
	before := idleOf(r, "door", "closed")[0].stack.size()
	if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeTo {
		t.Fatal(out.Reason)
	}
	after := idleOf(r, "door", "closed")[0].stack.size()
	if before == 0 || after < 100*50*8 || after > 1<<20 {
		t.Errorf("the stack has %d bytes, and %d after calls that need %d", before, after, 100*50*8)
	}
}

// TestStacksCountAsMemory has a guest whose calls need more than its memory may have, and one that needs more than all may.
func TestStacksCountAsMemory(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
		limit  string
	}{
		"of the plugin": {func(o *Options) { o.Limits.MemoryBytes, o.TotalMemoryBytes = 1<<20, 16<<20 }, "memory_bytes: with the stack of its calls: it asked for ", "memory_bytes"},
		"of all": {
			func(o *Options) { o.Limits.MemoryBytes, o.TotalMemoryBytes = 16<<20, 16<<20 },
			"total_memory_bytes: all plugins together, with the stacks of their calls: it asked for ", "total_memory_bytes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, deepGuest(5000, 100), c.change)
			if !r.memory.reserve(nil, 14<<20, 0) { // for others
				t.Fatal("there is no memory for others")
			}
			before := r.used()
			out := r.invoke("door", "closed", `{}`)
			if out.Kind != runtime.OutcomeError || !strings.Contains(out.Reason, c.want) {
				t.Errorf("%v: %s; want %q", out.Kind, out.Reason, c.want)
			}
			if p := r.plugin("door"); p.Exceeded[c.limit] != 1 || p.Instances != 0 {
				t.Errorf("%+v; want the limit counted, and the instance gone", p)
			}
			if used := r.used(); used > before {
				t.Errorf("the instances have %d bytes of the budget, and had %d", used, before)
			}
		})
	}
}

// TestAnInstanceWithALargeStackIsNotUsedAgain: its stack would stay with it.
func TestAnInstanceWithALargeStackIsNotUsedAgain(t *testing.T) {
	r := serveGuest(t, deepGuest(5000, 100))
	if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeTo {
		t.Fatal(out.Reason)
	}
	if idle := idleOf(r, "door", "closed"); len(idle) != 0 || r.plugin("door").Instances != 0 || r.used() != 0 {
		t.Errorf("%d idle instances, %d bytes of the budget; want none", len(idle), r.used())
	}
}

// TestLargeFunctionsCountMoreForTheDepth calls within the depth, were every call counted once.
func TestLargeFunctionsCountMoreForTheDepth(t *testing.T) {
	r := serveGuest(t, deepGuest(3000, 600)) // each counts 1 + 603/128
	if out := r.invoke("door", "closed", `{}`); !strings.Contains(out.Reason, "call_depth: more than 10,000 calls within each other") {
		t.Errorf("%v: %s; want it too deep", out.Kind, out.Reason)
	}
	r = serveGuest(t, deepGuest(1900, 600))
	if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeTo {
		t.Error(out.Reason)
	}
}
