package host

import (
	"context"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// fnCallback is the function index of callback where it is the import after abiImports.
const fnCallback = 3

// callsBack is a guest whose texts are a workflow, a foreign ID, a status and a payload, and which is granted callbacks.
func callsBack(foreignID, payload string, body ...[]byte) guest {
	return guest{
		imports: append(abiImports[:3:3], "wfrt_v1.callback"), manifest: asking(`{"trigger":["*"]}`),
		texts: []string{"report", foreignID, "open", payload}, invoke: asm.Code(body...),
	}
}

// callbackOf is the code that calls callback with arguments.
func callbackOf(arguments ...int32) []byte {
	var b []byte
	for _, a := range arguments {
		b = append(b, asm.I32(a)...)
	}
	return append(b, asm.Call(fnCallback)...)
}

// callbackTexts is the code that calls callback with the texts of callsBack.
func callbackTexts(g guest) []byte {
	var arguments []int32
	for n, text := range g.texts {
		arguments = append(arguments, textAt+64*int32(n), int32(len(text)))
	}
	return callbackOf(arguments...)
}

// toOpenToo is toOpen in a guest of callsBack.
func toOpenToo() []byte {
	return asm.Code(writeText(abi.FieldNewStatus, 2, "open"), asm.I32(int32(abi.CodeTo)))
}

// TestCallbackCopies has a guest that asks for a callback with a payload that is no JSON, and then clears its memory.
func TestCallbackCopies(t *testing.T) {
	g := callsBack("nightly", "\xff raw")
	clearTexts := asm.Code(asm.I32(textAt), asm.I32('x'), asm.I32(256), asm.MemoryFill)
	g.invoke = asm.Code(callbackTexts(g), writeText(abi.FieldNewStatus, 2, "open"), clearTexts, asm.I32(int32(abi.CodeTo)))
	out := serveGuest(t, g).invoke("door", "closed", `{}`)
	if out.Kind != runtime.OutcomeTo || len(out.Intents) != 1 {
		t.Fatalf("outcome %+v; want one intent", out)
	}
	in := out.Intents[0]
	if in.Kind != runtime.IntentCallback || in.Workflow != "report" || in.ForeignID != "nightly" || in.Status != "open" || string(in.Object) != "\xff raw" {
		t.Errorf("intent %+v with the payload %q", in, in.Object)
	}
}

func TestCallbackIsForgottenAfterAnError(t *testing.T) {
	for name, ending := range map[string][]byte{
		"error": asm.I32(int32(abi.CodeError)), "permanent": asm.I32(int32(abi.CodePermanent)), "trap": asm.Unreachable, "no destination": asm.I32(int32(abi.CodeTo)),
	} {
		g := callsBack("nightly", "1")
		g.invoke = asm.Code(callbackTexts(g), ending)
		if out := serveGuest(t, g).invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeError && out.Kind != runtime.OutcomePermanent || len(out.Intents) != 0 {
			t.Errorf("%s: outcome %+v; want no intent", name, out)
		}
	}
}

func TestBadCallbacks(t *testing.T) {
	const w, f, s, p = textAt, textAt + 64, textAt + 128, textAt + 192
	for name, c := range map[string]struct {
		foreignID string
		body      []byte
		want      string
	}{
		"workflow outside":     {"f", callbackOf(1<<18-3, 4, f, 1, s, 4, p, 1), "callback: 4 bytes at 0x3fffd are outside of its memory"},
		"workflow empty":       {"f", callbackOf(w, 0, f, 1, s, 4, p, 1), "the workflow's name is empty"},
		"foreign ID outside":   {"f", callbackOf(w, 6, -1, 1, s, 4, p, 1), "callback: 1 bytes at 0xffffffff are outside"},
		"foreign ID long":      {"f", callbackOf(w, 6, f, 257, s, 4, p, 1), "the foreign ID has 257 bytes, more than the limit of 256"},
		"foreign ID empty":     {"f", callbackOf(w, 6, f, 0, s, 4, p, 1), "the foreign ID is empty"},
		"foreign ID not UTF-8": {"\xff", callbackOf(w, 6, f, 1, s, 4, p, 1), "the foreign ID is not UTF-8"},
		"status outside":       {"f", callbackOf(w, 6, f, 1, 1<<18, 1, p, 1), "callback: 1 bytes at 0x40000 are outside"},
		"status wraps":         {"f", callbackOf(w, 6, f, 1, -4, 8, p, 1), "callback: 8 bytes at 0xfffffffc are outside"},
		"status long":          {"f", callbackOf(w, 6, f, 1, s, 65, p, 1), "the status has 65 bytes, more than the limit of 64"},
		"status empty":         {"f", callbackOf(w, 6, f, 1, s, 0, p, 1), "callback: the status is empty"},
		"payload outside":      {"f", callbackOf(w, 6, f, 1, s, 4, -8, 9), "callback: 9 bytes at 0xfffffff8 are outside"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, callsBack(c.foreignID, "1", c.body, toOpenToo()))
			wantTrap(t, r, "door", "closed", `{}`, "the plugin was stopped: callback: ", c.want)
		})
	}
}

// TestCallbackNeedsTheGrantOfATrigger asks for a callback to a workflow that the plugin carries no part of.
func TestCallbackNeedsTheGrantOfATrigger(t *testing.T) {
	g := callsBack("nightly", "1")
	g.invoke = asm.Code(callbackTexts(g), toOpenToo())
	out := serveGuest(t, g, grantsOf(Grants{})).invoke("door", "closed", `{}`)
	if out.Kind != runtime.OutcomePermanent || len(out.Intents) != 0 || !strings.Contains(out.Reason, "add it to plugins.overrides.door.grants.trigger") {
		t.Errorf("without a grant: %+v", out)
	}
	g.manifest = door
	out = serveGuest(t, g).invoke("door", "closed", `{}`)
	if out.Kind != runtime.OutcomePermanent || !strings.Contains(out.Reason, `sdk.AskTrigger("report")`) {
		t.Errorf("not asked for: %+v", out)
	}
}

// FuzzCallback checks that whatever a guest passes makes an intent that the engine can take, or ends the call.
func FuzzCallback(f *testing.F) {
	f.Add(int32(textAt), int32(6), int32(textAt+64), int32(1), int32(textAt+128), int32(4), int32(textAt+192), int32(1))
	f.Add(int32(-1), int32(4), int32(1<<18-1), int32(2), int32(0), int32(-1), int32(-1), int32(-1))
	r := serveGuest(f, callsBack("f", "1", asm.I32(3))) // the guest only lends its memory
	in := r.invocation("door", "closed", `{}`)
	pool := in.Handler.Invoker.(*invoker).module.pool
	i, _, err := pool.take(context.Background(), pool.runs)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { pool.put(i, pool.runs) })
	f.Fuzz(func(t *testing.T, workflow, workflowLen, foreignID, foreignIDLen, status, statusLen, payload, payloadLen int32) {
		var out runtime.Outcome
		i.call = call{phase: phaseInvoke, limits: *i.module.limits.Load(), in: in, out: &out}
		defer func() {
			i.call = call{}
			if p := recover(); p != nil {
				if stopped, ok := p.(*fault); !ok || !strings.HasPrefix(stopped.text, "callback: ") || len(out.Intents) != 0 {
					t.Errorf("panic %v with %d intents", p, len(out.Intents))
				}
			}
		}()
		var stack []uint64
		for _, argument := range []int32{workflow, workflowLen, foreignID, foreignIDLen, status, statusLen, payload, payloadLen} {
			stack = append(stack, uint64(uint32(argument)))
		}
		callback(i, i.guest, stack)
		if len(out.Intents) != 1 || abi.CheckName(out.Intents[0].Workflow) != nil || out.Intents[0].ForeignID == "" ||
			abi.CheckName(out.Intents[0].Status) != nil {
			t.Errorf("intents %+v", out.Intents)
		}
	})
}
