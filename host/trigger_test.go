package host

import (
	"context"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// fnTrigger is the function index of trigger where it is the import after abiImports.
const fnTrigger = 3

// triggers is a guest whose texts are a workflow, a foreign ID and an object, with which the body may call trigger.
func triggers(workflow, foreignID, object string, body ...[]byte) guest {
	return guest{
		imports: append(abiImports[:3:3], "wfrt_v1.trigger"), manifest: asking(`{"trigger":["*"]}`), texts: []string{workflow, foreignID, object, "open"},
		invoke: asm.Code(body...),
	}
}

// triggerTexts is the code that calls trigger with the first three texts.
func triggerTexts(g guest) []byte {
	var b []byte
	for n, text := range g.texts[:3] {
		b = append(b, asm.Code(asm.I32(textAt+64*int32(n)), asm.I32(int32(len(text))))...)
	}
	return append(b, asm.Call(fnTrigger)...)
}

// toOpen is the code that moves the run to open.
func toOpen() []byte {
	return asm.Code(writeText(abi.FieldNewStatus, 3, "open"), asm.I32(int32(abi.CodeTo)))
}

// TestTriggerCopies has a guest that asks for a run and then clears its memory.
func TestTriggerCopies(t *testing.T) {
	g := triggers("refunds", "order-7", `{"n":7}`)
	clearTexts := asm.Code(asm.I32(textAt), asm.I32('x'), asm.I32(192), asm.MemoryFill)
	// The texts are written in memory once, so only the first invocation of the instance finds them.
	g.invoke = asm.Code(triggerTexts(g), clearTexts, toOpen())
	r := serveGuest(t, g)
	out := r.invoke("door", "closed", `{}`)
	if out.Kind != runtime.OutcomeTo || len(out.Intents) != 1 {
		t.Fatalf("outcome %+v; want one intent", out)
	}
	in := out.Intents[0]
	if in.Workflow != "refunds" || in.ForeignID != "order-7" || string(in.Object) != `{"n":7}` || in.StartAt != "" {
		t.Errorf("intent %+v with the object %s", in, in.Object)
	}
}

func TestTriggerKeepsTheOrder(t *testing.T) {
	g := triggers("one", "1", "")
	second := asm.Code(asm.I32(textAt), asm.I32(2), asm.I32(textAt+64), asm.I32(1), asm.I32(0), asm.I32(0), asm.Call(fnTrigger)) // workflow "on", no object
	g.invoke = asm.Code(triggerTexts(g), second, toOpen())
	r := serveGuest(t, g)
	in := r.invocation("door", "closed", `{}`)
	var out runtime.Outcome
	for range 3 { // the same outcome again: what the last invocation wished is gone
		out.Reset()
		if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil {
			t.Fatal(err)
		}
		if len(out.Intents) != 2 || out.Intents[0].Workflow != "one" || out.Intents[1].Workflow != "on" ||
			len(out.Intents[1].Object) != 0 {
			t.Errorf("intents %+v; want one, then on", out.Intents)
		}
	}
}

func TestTriggerIsForgottenAfterAnError(t *testing.T) {
	for name, c := range map[string]struct {
		ending []byte
		want   runtime.OutcomeKind
	}{
		"error":           {asm.I32(int32(abi.CodeError)), runtime.OutcomeError},
		"permanent":       {asm.I32(int32(abi.CodePermanent)), runtime.OutcomePermanent},
		"no code":         {asm.I32(0), runtime.OutcomeError},
		"no destination":  {asm.I32(int32(abi.CodeTo)), runtime.OutcomePermanent},
		"not its code":    {asm.I32(int32(abi.CodeDone)), runtime.OutcomePermanent},
		"trap":            {asm.Unreachable, runtime.OutcomeError},
		"object not JSON": {asm.Code(writeText(abi.FieldNewObject, 3, "open"), toOpen()), runtime.OutcomePermanent},
	} {
		t.Run(name, func(t *testing.T) {
			g := triggers("refunds", "order-7", `{"n":7}`)
			g.invoke = asm.Code(triggerTexts(g), c.ending)
			if out := serveGuest(t, g).invoke("door", "closed", `{}`); out.Kind != c.want || len(out.Intents) != 0 {
				t.Errorf("outcome %+v; want no intent", out)
			}
		})
	}
}

func TestBadTriggers(t *testing.T) {
	trigger := func(arguments ...int32) []byte {
		var b []byte
		for _, a := range arguments {
			b = append(b, asm.I32(a)...)
		}
		return append(b, asm.Code(asm.Call(fnTrigger), toOpen())...)
	}
	const w, f, o = textAt, textAt + 64, textAt + 128
	for name, c := range map[string]struct {
		foreignID, object string
		body              []byte
		want              string
	}{
		"workflow outside":     {"f", `1`, trigger(1<<18-3, 4, f, 1, o, 1), "trigger: 4 bytes at 0x3fffd are outside of its memory"},
		"workflow wraps":       {"f", `1`, trigger(-4, 8, f, 1, o, 1), "trigger: 8 bytes at 0xfffffffc are outside"},
		"workflow negative":    {"f", `1`, trigger(w, -1, f, 1, o, 1), "the workflow has 4294967295 bytes, more than the limit of 64"},
		"workflow long":        {"f", `1`, trigger(w, 65, f, 1, o, 1), "the workflow has 65 bytes, more than the limit of 64"},
		"workflow empty":       {"f", `1`, trigger(w, 0, f, 1, o, 1), "the workflow's name is empty"},
		"workflow not a name":  {"f", `{}`, trigger(o, 2, f, 1, o, 2), `the workflow's name "{}" holds '{'`},
		"foreign ID outside":   {"f", `1`, trigger(w, 4, 1<<18, 1, o, 1), "trigger: 1 bytes at 0x40000 are outside"},
		"foreign ID long":      {"f", `1`, trigger(w, 4, f, 257, o, 1), "the foreign ID has 257 bytes, more than the limit of 256"},
		"foreign ID empty":     {"f", `1`, trigger(w, 4, f, 0, o, 1), "the foreign ID is empty"},
		"foreign ID not UTF-8": {"\xff", `1`, trigger(w, 4, f, 1, o, 1), "the foreign ID is not UTF-8"},
		"object outside":       {"f", `1`, trigger(w, 4, f, 1, -8, 9), "trigger: 9 bytes at 0xfffffff8 are outside"},
		"object not JSON":      {"f", `{"n":`, trigger(w, 4, f, 1, o, 5), "the object is not one JSON value"},
		"two objects":          {"f", `1 2`, trigger(w, 4, f, 1, o, 3), "the object is not one JSON value"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, triggers("work", c.foreignID, c.object, c.body))
			wantTrap(t, r, "door", "closed", `{}`, "the plugin was stopped: trigger: ", c.want)
		})
	}
	t.Run("as many as are allowed", func(t *testing.T) {
		g := triggers("work", "f", `1`)
		g.invoke = asm.Code(asm.I32(64), asm.Set(1), asm.Loop, triggerTexts(g),
			asm.Get(1), asm.I32(1), asm.I32Sub, asm.Tee(1), asm.BrIf(0), asm.End, toOpen())
		if out := serveGuest(t, g).invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeTo || len(out.Intents) != 64 {
			t.Errorf("%d intents, outcome %+v; want 64", len(out.Intents), out)
		}
	})
}

// TestWhoMayTrigger calls trigger from every kind of handler, and while a module is loaded.
func TestWhoMayTrigger(t *testing.T) {
	const lessThan, choose = 0x48, 0x1b
	g := triggers("work", "f", `1`)
	// The IDs of life's handlers that move a run are 1 to 5: they answer pause, the others done.
	g.invoke = asm.Code(triggerTexts(g), asm.I32(int32(abi.CodePause)), asm.I32(int32(abi.CodeDone)), asm.Get(0), asm.I32(6),
		[]byte{lessThan, choose})
	r, handlers := serveLife(t, g)
	for kind, h := range handlers {
		out := r.call(h, `{}`)
		if h.Kind.Moves() || h.Kind == runtime.HandlerHook {
			if out.Kind == runtime.OutcomeError || len(out.Intents) != 1 {
				t.Errorf("%s: outcome %+v; want one intent", kind, out)
			}
			continue
		}
		if out.Kind != runtime.OutcomeError || len(out.Intents) != 0 {
			t.Errorf("%s: outcome %+v; want the call stopped", kind, out)
		}
		wantPieces(t, out.Reason, "trigger: a "+kind+" cannot ask for a run")
	}
	g.initialize = triggerTexts(g)
	early := newRig(t)
	early.put("door.wasm", g.bytes())
	early.load()
	early.refused("door", "_initialize", "trigger: only a handler may ask for a run")
}

// FuzzTrigger checks that whatever a guest passes makes an intent that the engine can take, or ends the call.
func FuzzTrigger(f *testing.F) {
	f.Add(int32(textAt), int32(4), int32(textAt+64), int32(1), int32(textAt+128), int32(1))
	f.Add(int32(-1), int32(4), int32(1<<18-1), int32(2), int32(0), int32(-1))
	g := triggers("work", "f", `1`)
	g.invoke = asm.Code(asm.I32(3)) // the guest only lends its memory
	r := serveGuest(f, g)
	in := r.invocation("door", "closed", `{}`)
	pool := in.Handler.Invoker.(*invoker).module.pool
	i, _, err := pool.take(context.Background(), pool.runs)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { pool.put(i, pool.runs) })
	f.Fuzz(func(t *testing.T, workflow, workflowLen, foreignID, foreignIDLen, object, objectLen int32) {
		var out runtime.Outcome
		i.call = call{phase: phaseInvoke, limits: *i.module.limits.Load(), in: in, out: &out}
		defer func() {
			i.call = call{}
			if p := recover(); p != nil {
				if stopped, ok := p.(*fault); !ok || !strings.HasPrefix(stopped.text, "trigger: ") || len(out.Intents) != 0 {
					t.Errorf("panic %v with %d intents", p, len(out.Intents))
				}
			}
		}()
		stack := []uint64{
			uint64(uint32(workflow)), uint64(uint32(workflowLen)), uint64(uint32(foreignID)), uint64(uint32(foreignIDLen)),
			uint64(uint32(object)), uint64(uint32(objectLen)),
		}
		trigger(i, i.guest, stack)
		if len(out.Intents) != 1 || abi.CheckName(out.Intents[0].Workflow) != nil || out.Intents[0].ForeignID == "" {
			t.Errorf("intents %+v", out.Intents)
		}
	})
}
