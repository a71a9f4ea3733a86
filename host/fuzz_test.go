package host

import (
	"encoding/json"
	"log/slog"
	"testing"
	"unicode/utf8"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// FuzzManifest checks that a manifest that is accepted keeps every rule that the merge relies on.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(door))
	f.Add([]byte(workflowPart("w", "a", []string{"a>b,c"}, []string{"b"}, []string{"c"})))
	f.Add([]byte(life))
	f.Add([]byte(`{"abi":1,"workflows":[{"name":"w","handlers":[{"id":1,"kind":"hook","name":"h","on":"erase"}],` +
		`"schedules":[{"name":"s","cron":"0 0 29 2 MON#5","zone":"Asia/Kathmandu","object":null}]}]}`))
	f.Add([]byte(`{"abi":1,"workflows":[{"name":"w","handlers":[{"id":-1,"kind":"hook","name":"","status":"a","to":["b","b"]}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseManifest(raw)
		if err != nil {
			return
		}
		ids := make(map[int32]bool)
		for _, w := range m.Workflows {
			for _, h := range w.Handlers {
				if ids[h.ID] || h.ID < 0 || abi.CheckName(w.Name) != nil {
					t.Errorf("handler %+v of %q was accepted", h, w.Name)
				}
				ids[h.ID] = true
			}
		}
		got := merge([]part{{file: "f", manifest: m, invoker: func(int32, StepLimits) runtime.Invoker { return nil }}}, defaults{retry: runtime.DefaultRetry()})
		if len(got.conflicts) > 0 || len(got.workflows)+len(got.incomplete) != len(m.Workflows) {
			t.Errorf("one module alone: %d conflicts, %d workflows, %d incomplete of %d", len(got.conflicts), len(got.workflows),
				len(got.incomplete), len(m.Workflows))
		}
		for _, w := range got.workflows {
			if s := w.Statuses[w.Start]; s == nil || s.Terminal {
				t.Errorf("workflow %q starts in %q, which nothing handles", w.Name, w.Start)
			}
			for _, s := range w.Statuses {
				for _, h := range movers(s) {
					for _, to := range h.To {
						if w.Statuses[to] == nil {
							t.Errorf("workflow %q leads to %q, which it does not have", w.Name, to)
						}
					}
					due := h.After > 0 || h.Timer != nil && h.Timer.Kind == runtime.HandlerTimer && h.Timer.Status == s.Name
					if !h.Kind.Moves() || h.Status != s.Name || h.After < 0 || due != (h.Kind == runtime.HandlerTimeout) {
						t.Errorf("handler %+v of %q", h, s.Name)
					}
				}
				if s.Terminal == (len(movers(s)) > 0) {
					t.Errorf("status %+v is both handled and terminal, or neither", s)
				}
			}
			for _, h := range w.Hooks {
				if h.On == 0 || h.Status != "" || len(h.To) > 0 {
					t.Errorf("hook %+v", h)
				}
			}
			for n := range w.Schedules {
				s := &w.Schedules[n]
				if s.Check() != nil || len(s.Object) > 0 && !json.Valid(s.Object) ||
					s.Filter != nil && s.Filter.Kind != runtime.HandlerFilter {
					t.Errorf("schedule %+v", s)
				}
			}
			_ = warnings(w)
		}
	})
}

// FuzzSections checks that the walk over sections ends, and accepts exactly what adds up.
func FuzzSections(f *testing.F) {
	f.Add(doorGuest().bytes())
	f.Add(guest{manifest: door, table: []byte{0x02, 0x70, 0x00, 0x01, 0x6f, 0x01, 0x01, 0x02}}.bytes())
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x01\x80\x80\x80\x80\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if checkSections(raw) != nil {
			return
		}
		if len(raw) > 8 && checkSections(raw[:len(raw)-1]) == nil {
			t.Errorf("% x is whole with and without its last byte", raw)
		}
	})
}

// FuzzOutcome checks that whatever a guest of any kind writes and answers makes an outcome that the engine can take.
func FuzzOutcome(f *testing.F) {
	ns := []byte("\x00\x00\x00\x00\x00\x00\x00\x80")
	f.Add(uint8(0), int32(1), []byte(`{"n":1}`), []byte("open"), []byte("why"), ns, ns)
	f.Add(uint8(3), int32(8), []byte(`{`), []byte(""), []byte("\xff"), []byte("1"), []byte("12345678"))
	f.Add(uint8(6), int32(3), []byte("0"), []byte(""), []byte("0"), []byte("0"), []byte("0"))
	f.Add(uint8(5), int32(8), []byte(`{"n":1}`), []byte(""), []byte(""), []byte(""), []byte(""))
	f.Fuzz(func(t *testing.T, kind uint8, answer int32, object, status, reason, delay, due []byte) {
		handler := &runtime.Handler{Kind: runtime.HandlerKind(kind % uint8(runtime.HandlerFilter+1)), To: []string{"open"}}
		out := runtime.Outcome{
			Object: append([]byte(nil), object...), Intents: make([]runtime.Intent, 1), Logs: make([]runtime.LogLine, 1),
		}
		in := &runtime.Invocation{Handler: handler, Record: &runtime.Record{Object: []byte(`{"n":1}`)}}
		c := call{phase: phaseInvoke, in: in, out: &out, newObject: len(object) > 0, reason: cutText(string(reason), maxReason)}
		c.newStatus = c.destination(status)
		c.delay, c.delayErr = parseDelay(delay)
		c.due, c.dueErr = parseDue(due)
		c.outcome(abi.Code(answer))
		failed := out.Kind == runtime.OutcomeError || out.Kind == runtime.OutcomePermanent
		switch {
		case out.Kind < runtime.OutcomeTo || out.Kind > runtime.OutcomeDone:
			t.Errorf("kind %d", out.Kind)
		case !failed && out.Kind != runtime.OutcomeSkip && (out.Kind == runtime.OutcomeDone) == handler.Kind.Moves():
			t.Errorf("a %s ended with the outcome %d", handler.Kind, out.Kind)
		case (out.Kind == runtime.OutcomeDone && handler.Kind == runtime.HandlerTimer) == out.Due.IsZero():
			t.Errorf("a %s is due at %v", handler.Kind, out.Due)
		case out.Kind == runtime.OutcomeTo && out.Status == "":
			t.Error("no destination")
		case out.Delay < 0:
			t.Errorf("delay %v", out.Delay)
		case out.Changed && !json.Valid(out.Object):
			t.Errorf("object %q is not JSON", out.Object)
		case !out.Changed && len(out.Object) > 0:
			t.Errorf("object %q without a change", out.Object)
		case failed && (len(out.Intents) > 0 || out.Changed):
			t.Errorf("a failed attempt wishes something: %+v", out)
		case len(out.Logs) != 1:
			t.Error("the log is gone")
		case !utf8.ValidString(out.Reason) || len(out.Reason) > maxReason:
			t.Errorf("reason %q", out.Reason)
		}
	})
}

// FuzzLogObject checks that no log line of a guest can speak for the host.
func FuzzLogObject(f *testing.F) {
	f.Add([]byte(`{"msg":"m","a":1,"run_id":"x","a":[{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 || body[0] != '{' {
			return
		}
		_, attrs, err := parseLogObject(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Errorf("%q is taken for JSON", body)
		}
		for _, a := range attrs {
			if hostKey(a.Key) || a.Value.Kind() == slog.KindGroup {
				t.Errorf("attribute %v", a)
			}
		}
	})
}
