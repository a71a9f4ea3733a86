package sdktest

import (
	"context"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
	"github.com/wfrt/wfrt/sdk/abi"
)

// Native returns a workflow of this test's plugin as the server's engine runs it, natively: steps, callbacks, timeouts that
// are not computed, and hooks.
func Native(t testing.TB, name string) *runtime.Workflow {
	t.Helper()
	w := newEngine(t, name, time.Now()).workflow
	var parts []runtimetest.Part
	for i := range w.Handlers {
		h := &w.Handlers[i]
		f := native(t, &w, h)
		var retry runtime.Retry
		if r := h.Retry; r != nil {
			retry = runtime.Retry{
				Initial: time.Duration(r.InitialMS) * time.Millisecond, Max: time.Duration(r.MaxMS) * time.Millisecond,
				Factor: r.Factor, Attempts: uint32(r.Attempts),
			}
		}
		switch h.Kind {
		case abi.KindStep:
			lag := time.Duration(h.LagMS) * time.Millisecond
			parts = append(parts, runtimetest.Step{Status: h.Status, To: h.To, Lag: lag, Func: f, Retry: retry})
		case abi.KindCallback:
			parts = append(parts, runtimetest.Callback{Status: h.Status, Name: h.Name, To: h.To, Func: f, Retry: retry})
		case abi.KindTimeout:
			after := time.Duration(h.AfterMS) * time.Millisecond
			parts = append(parts, runtimetest.Timeout{
				Status: h.Status, Name: h.Name, To: h.To, After: after, Func: f, Retry: retry,
			})
		case abi.KindHook:
			parts = append(parts, runtimetest.Hook{On: runtime.HookCancel, Name: h.Name, Func: f, Retry: retry})
		default:
			t.Fatalf("no native %s", describe(h))
		}
	}
	return runtimetest.Workflow(name, parts...)
}

func native(t testing.TB, w *abi.Workflow, h *abi.Handler) runtimetest.Func {
	return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		on := newHost(append([]byte{}, in.Record.Object...), w.Name, in.Record.Status)
		for _, opt := range []Option{
			Attempt(in.Attempt), Now(in.Now), Version(in.Record.Version), raw(abi.FieldPayload, in.Payload),
			IdempotencyKey(string(in.AppendIdempotencyKey(nil))),
		} {
			opt(on)
		}
		a := invoke(t, h, on)
		out.Kind, out.Status, out.Reason, out.Delay = runtime.OutcomeKind(a.code), a.status, a.reason, a.delay
		out.Changed, out.Object = a.changed, append(out.Object, a.object...)
		return nil
	}
}
