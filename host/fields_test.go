package host

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// readGuest reads one input into a buffer of the given length and answers it as its destination, which may be any bytes.
func readGuest(field abi.Field, limit int32) guest {
	return guest{manifest: door, invoke: asm.Code(
		asm.I32(int32(abi.FieldNewStatus)), asm.I32(bufferAt),
		asm.I32(int32(field)), asm.I32(bufferAt), asm.I32(limit), asm.Call(fnRead),
		asm.Call(fnWrite), asm.I32(int32(abi.CodeTo)))}
}

func TestInputs(t *testing.T) {
	integer := func(v uint64) string { return string(binary.LittleEndian.AppendUint64(nil, v)) }
	now := time.Date(2026, 1, 21, 12, 53, 20, 123_450_880, time.UTC) // docs/abi.md, section 8
	if integer(uint64(now.UnixNano())) != "\x00\x36\x06\xa7\x20\xc0\x8c\x18" {
		t.Error("the time of docs/abi.md has other bytes")
	}
	id := runtime.NewRunID(now, 7, 9)
	for field, want := range map[abi.Field]string{
		abi.FieldObject:         `{"n":7}`,
		abi.FieldWorkflow:       "door",
		abi.FieldForeignID:      "f-1",
		abi.FieldRunID:          id.String(),
		abi.FieldStatus:         "closed",
		abi.FieldVersion:        integer(4),
		abi.FieldAttempt:        integer(2),
		abi.FieldNow:            integer(uint64(now.UnixNano())),
		abi.FieldDeadline:       integer(uint64(now.Add(5 * time.Second).UnixNano())),
		abi.FieldCreatedAt:      integer(uint64(now.Add(-time.Hour).UnixNano())),
		abi.FieldState:          "Running",
		abi.FieldRunReason:      "",
		abi.FieldIdempotencyKey: id.String() + "/3/step/closed",
		abi.FieldTraceParent:    "00-01000000000000000000000000000002-0300000000000004-01",
	} {
		t.Run(field.String(), func(t *testing.T) {
			r := serveGuest(t, readGuest(field, 64), func(o *Options) { o.Clock = stillClock{now: now} })
			in := r.invocation("door", "closed", `{"n":7}`)
			in.Deadline = now.Add(5 * time.Second)
			in.Trace = runtime.TraceContext{TraceID: [16]byte{1, 15: 2}, SpanID: [8]byte{3, 7: 4}, Flags: 1}
			var out runtime.Outcome
			if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil || out.Status != want {
				t.Errorf("%q, %v, %s; want %q", out.Status, err, out.Reason, want)
			}
		})
	}
}

// stillClock stands still.
type stillClock struct {
	runtime.SystemClock
	now time.Time
}

func (c stillClock) Now() time.Time { return c.now }

func TestADeadlineBeyondTheLimitIsCut(t *testing.T) {
	now := time.Unix(1_769_000_000, 0)
	r := serveGuest(t, readGuest(abi.FieldDeadline, 8), func(o *Options) { o.Clock = stillClock{now: now} })
	for _, deadline := range []time.Time{{}, now.Add(time.Hour)} {
		in := r.invocation("door", "closed", `{}`)
		in.Deadline = deadline
		var out runtime.Outcome
		err := in.Handler.Invoker.Invoke(context.Background(), in, &out)
		got := time.Unix(0, int64(binary.LittleEndian.Uint64([]byte(out.Status+"\x00\x00\x00\x00\x00\x00\x00\x00"))))
		if err != nil || !got.Equal(now.Add(30*time.Second)) {
			t.Errorf("deadline %v, %v; want 30 s from now", got, err)
		}
	}
}

func TestFieldRead(t *testing.T) {
	// Each body traps unless field_read answers as said.
	answers := func(field abi.Field, buf, limit, want int32) []byte {
		return asm.Code(asm.I32(int32(field)), asm.I32(buf), asm.I32(limit), asm.Call(fnRead),
			asm.I32(want), asm.I32Eq, asm.I32Eqz, asm.If, asm.Unreachable, asm.End)
	}
	for name, body := range map[string][]byte{
		"whole":                   answers(abi.FieldObject, bufferAt, 7, 7),
		"too long for the buffer": answers(abi.FieldObject, bufferAt, 6, 7),
		"only the length":         answers(abi.FieldObject, -1, 0, 7),
		"too long for a wild one": answers(abi.FieldObject, -1, 6, 7),
		"unknown":                 answers(63, bufferAt, 64, abi.Absent),
		"no trace":                answers(abi.FieldTraceParent, bufferAt, 64, abi.Absent),
		"zero":                    answers(0, bufferAt, 64, abi.Absent),
		"an output":               answers(abi.FieldNewObject, bufferAt, 64, abi.Absent),
		"negative":                answers(-7, bufferAt, 64, abi.Absent),
		"nothing is written": asm.Code(answers(abi.FieldObject, bufferAt, 6, 7),
			asm.I32(bufferAt), asm.I32Load8U, asm.If, asm.Unreachable, asm.End),
		"reading does not consume": asm.Code(answers(abi.FieldObject, bufferAt, 7, 7), answers(abi.FieldObject, bufferAt, 7, 7)),
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, guest{manifest: door, invoke: asm.Code(body, asm.I32(int32(abi.CodeSkip)))})
			if out := r.invoke("door", "closed", `{"n":7}`); out.Kind != runtime.OutcomeSkip {
				t.Errorf("outcome %+v; want the guest content", out)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	for level, want := range map[int32]string{
		-9: "DEBUG", -4: "DEBUG", -1: "DEBUG", 0: "INFO", 3: "INFO", 4: "WARN", 7: "WARN", 8: "ERROR", 99: "ERROR",
	} {
		if got := levelOf(level).String(); got != want {
			t.Errorf("level %d is %s; want %s", level, got, want)
		}
	}
}

func TestLogBodies(t *testing.T) {
	for body, want := range map[string]string{
		`plain`:                          "INFO plain plugin=door",
		`{"msg":"m","b":[1],"a":"x"}`:    "attempt=2 b=[1] a=x",
		`{"msg":"m","plugin":"another"}`: "guest.plugin=another",
		`{"msg":1}`:                      "INFO  plugin=door",
		`{"msg":"m"} and more`:           `INFO {"msg":"m"} and more`,
		`{not JSON`:                      "INFO {not JSON",
		"\xff!":                          "INFO \uFFFD!",
	} {
		t.Run(body, func(t *testing.T) {
			r := serveGuest(t, guest{
				manifest: door, texts: []string{body},
				invoke: asm.Code(asm.I32(0), asm.I32(textAt), asm.I32(int32(len(body))), asm.Call(fnLog), asm.I32(3)),
			})
			r.invoke("door", "closed", `{}`)
			if len(r.logs.find(want)) != 1 {
				t.Errorf("%q; want a line with %q", r.logs.find("workflow=door"), want)
			}
		})
	}
}

// meterOf counts what happens to one plugin.
type meterOf struct {
	NoMeter
	trapped, instances, cut, served, refused, waited atomic.Int64
}

func (m *meterOf) Plugin(string) PluginMeter { return m }
func (m *meterOf) Trapped()                  { m.trapped.Add(1) }
func (m *meterOf) Instances(delta int)       { m.instances.Add(int64(delta)) }
func (m *meterOf) Waited(time.Duration)      { m.waited.Add(1) }
func (m *meterOf) LogsCut()                  { m.cut.Add(1) }
func (m *meterOf) Loaded(result LoadResult) {
	if result == LoadServed {
		m.served.Add(1)
	} else {
		m.refused.Add(1)
	}
}

func TestMeter(t *testing.T) {
	m := &meterOf{}
	g := guest{manifest: door, texts: []string{"noise"}, invoke: asm.Code(asm.I32(0), asm.I32(textAt), asm.I32(5), asm.Call(fnLog), asm.Unreachable)}
	r := serveGuest(t, g, func(o *Options) { o.Meter, o.Limits.LogBytes = m, 3 })
	r.invoke("door", "closed", `{}`)
	r.invoke("door", "closed", `{}`)
	r.put("door.wasm", nil)
	r.load()
	if m.trapped.Load() != 2 || m.instances.Load() != 0 || m.cut.Load() != 2 || m.served.Load() != 1 || m.refused.Load() != 1 {
		t.Errorf("trapped %d, instances %d, cut %d, served %d, refused %d; want 2, 0, 2, 1, 1",
			m.trapped.Load(), m.instances.Load(), m.cut.Load(), m.served.Load(), m.refused.Load())
	}
}

// TestAnInstanceThatCannotBeMade has a guest whose initialisation fails the second time.
func TestAnInstanceThatCannotBeMade(t *testing.T) {
	g := doorGuest()
	g.imports = []string{abiImports[0], abiImports[1], abiImports[2], wasiModule + ".random_get"}
	g.initialize = asm.Code(asm.I32(bufferAt), asm.I32(8), asm.Call(3), asm.Drop)
	g.invoke = asm.Unreachable
	r := serveGuest(t, g, func(o *Options) { o.Random = io.LimitReader(zeroes{}, 8) })
	r.invoke("door", "closed", `{}`) // the first instance is gone
	out := r.invoke("door", "closed", `{}`)
	if out.Kind != runtime.OutcomeError || !strings.Contains(out.Reason, "random_get: the host has no randomness") {
		t.Errorf("outcome %+v; want a failed attempt that says why", out)
	}
	if p := r.plugin("door"); p.Instances != 0 || p.Traps != 2 {
		t.Errorf("%d instances, %d traps; want 0 and 2", p.Instances, p.Traps)
	}
}

func TestCloseGivesUpWaiting(t *testing.T) {
	gate := &gateReader{entered: make(chan struct{}), open: make(chan struct{})}
	g := doorGuest()
	g.imports = []string{abiImports[0], abiImports[1], abiImports[2], wasiModule + ".random_get"}
	g.invoke = asm.Code(asm.I32(bufferAt), asm.I32(8), asm.Call(3), asm.Drop, g.invoke)
	r := serveGuest(t, g, func(o *Options) { o.Random = gate })
	in := r.invocation("door", "closed", `{}`)
	done := make(chan error)
	go func() {
		var out runtime.Outcome
		done <- in.Handler.Invoker.Invoke(context.Background(), in, &out)
	}()
	<-gate.entered
	ctx, cancel := context.WithCancelCause(context.Background())
	hurry := errors.New("hurry")
	cancel(hurry)
	if err := r.Close(ctx); !errors.Is(err, hurry) {
		t.Errorf("%v; want the cause", err)
	}
	close(gate.open)
	if err := <-done; err != nil {
		t.Errorf("the invocation under way: %v; want it to end well", err)
	}
}

// TestWaitsAreMeasured: an invocation waits for a new instance; one that finds an idle one does not.
func TestWaitsAreMeasured(t *testing.T) {
	m := &meterOf{}
	r := serveGuest(t, guest{manifest: door, invoke: asm.Code(asm.I32(3))}, func(o *Options) { o.Meter, o.Limits.Instances = m, 1 })
	wants := func(what string, want int64) {
		t.Helper()
		if got := m.waited.Load(); got != want {
			t.Errorf("%s: %d waits were measured, want %d", what, got, want)
		}
	}
	before := m.waited.Load()
	r.invoke("door", "closed", `{}`)
	first := m.waited.Load()
	if first > before+1 {
		t.Errorf("the first invocation waited %d times", first-before)
	}
	r.invoke("door", "closed", `{}`)
	wants("an idle instance", first)

	pool := r.invocation("door", "closed", `{}`).Handler.Invoker.(*invoker).module.pool
	held, since, err := pool.take(t.Context(), pool.runs)
	if err != nil || !since.IsZero() {
		t.Fatal(since, err)
	}
	held.close()
	pool.put(nil, pool.runs)
	r.invoke("door", "closed", `{}`)
	wants("a new instance", first+1)
}
