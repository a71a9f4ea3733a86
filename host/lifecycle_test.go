package host

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// life is a manifest with a handler of every kind.
const life = `{"abi":1,"workflows":[{"name":"life","handlers":[` +
	`{"id":1,"kind":"step","name":"born","status":"born","to":["waiting"],"lag_ms":1500,"lag_alert_ms":2500},` +
	`{"id":2,"kind":"callback","name":"called","status":"waiting","to":["done"]},` +
	`{"id":3,"kind":"callback","name":"else","status":"waiting","retry":{"attempts":3}},` +
	`{"id":4,"kind":"timeout","name":"late","status":"waiting","to":["done"],"after_ms":60000},` +
	`{"id":5,"kind":"timeout","name":"later","status":"waiting","to":["done","waiting"],"timer":6},` +
	`{"id":6,"kind":"timer","name":"later","status":"waiting"},` +
	`{"id":7,"kind":"hook","name":"tell","on":"complete"},` +
	`{"id":8,"kind":"erase","name":"forget"},` +
	`{"id":9,"kind":"filter","name":"workdays"}],"terminal":["done"],"schedules":[` +
	`{"name":"nightly","cron":"0 3 * * *","zone":"Europe/Berlin","foreign_id":"report","object":{"n":1},"start_at":"waiting",` +
	`"catch_up":"all","filter":9},{"name":"plain","cron":"@every 90s"}]}]}`

// handlersOf returns the first handler of each kind, by the kind's name.
func handlersOf(w *runtime.Workflow) map[string]*runtime.Handler {
	waiting := w.Statuses["waiting"]
	return map[string]*runtime.Handler{
		abi.KindStep: w.Statuses["born"].Step, abi.KindCallback: waiting.Callbacks[0], abi.KindTimeout: waiting.Timeouts[0],
		abi.KindTimer: waiting.Timeouts[1].Timer, abi.KindHook: w.Hooks[0], abi.KindErase: w.Erase,
		abi.KindFilter: w.Schedules[0].Filter,
	}
}

// serveLife returns a rig whose handlers all have the given body, and those handlers.
func serveLife(t testing.TB, g guest, change ...func(*Options)) (*rig, map[string]*runtime.Handler) {
	t.Helper()
	g.manifest = askingOf(life, `{"trigger":["*"]}`)
	r := newRig(t, change...)
	r.put("life.wasm", g.bytes())
	r.load()
	r.serves("life")
	return r, handlersOf(r.Catalog().Workflow("life"))
}

// call invokes a handler for a run in the status waiting.
func (r *rig) call(h *runtime.Handler, object string) runtime.Outcome {
	r.t.Helper()
	var out runtime.Outcome
	if err := h.Invoker.Invoke(context.Background(), r.invocationOf(h, "waiting", object), &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

func TestEveryKindIsInTheCatalog(t *testing.T) {
	r, handlers := serveLife(t, guest{}, func(o *Options) { o.DefaultLagAlert = time.Minute })
	w := r.Catalog().Workflow("life")
	for kind, h := range handlers {
		id := h.Invoker.(*invoker).id
		if h.Kind.String() != kind || h.Workflow != "life" || h.Plugin != "life.wasm" || h.Retry.Attempts == 0 || id == 0 {
			t.Errorf("%s: %+v with the ID %d", kind, h, id)
		}
	}
	born, waiting := w.Statuses["born"], w.Statuses["waiting"]
	if w.Start != "born" || len(w.Statuses) != 3 || waiting.Step != nil || waiting.Terminal || !w.Statuses["done"].Terminal {
		t.Errorf("the graph: %+v", w)
	}
	if born.Step.Lag != 1500*time.Millisecond || born.Step.LagAlert != 2500*time.Millisecond || waiting.Callbacks[0].LagAlert != 0 {
		t.Errorf("the lag of %+v", born.Step)
	}
	if c := waiting.Callbacks; len(c) != 2 || c[0].Name != "called" || c[1].Name != "else" || c[1].Retry.Attempts != 3 {
		t.Errorf("callbacks %+v; want called, then else", c)
	}
	if ts := waiting.Timeouts; len(ts) != 2 || ts[0].After != time.Minute || ts[0].Timer != nil || ts[1].After != 0 ||
		ts[1].Timer == nil || ts[1].Timer.Kind != runtime.HandlerTimer || !slices.Equal(ts[1].To, []string{"done", "waiting"}) {
		t.Errorf("timeouts %+v", ts)
	}
	if len(w.Hooks) != 1 || w.Hooks[0].On != runtime.HookComplete || w.Erase.Name != "forget" {
		t.Errorf("hooks %+v, erase %+v", w.Hooks, w.Erase)
	}
	want := []runtime.ScheduleSpec{
		{
			Workflow: "life", Name: "nightly", Cron: "0 3 * * *", Zone: "Europe/Berlin", ForeignID: "report",
			Object: []byte(`{"n":1}`), StartAt: "waiting", CatchUp: runtime.CatchUpAll, Filter: handlers[abi.KindFilter],
		},
		{Workflow: "life", Name: "plain", Cron: "@every 90s"},
	}
	if !reflect.DeepEqual(w.Schedules, want) {
		t.Errorf("schedules %+v; want %+v", w.Schedules, want)
	}
}

// The default lag holds for steps that declare none, and for nothing else.
func TestTheDefaultLag(t *testing.T) {
	r := serveGuest(t, doorGuest(), func(o *Options) { o.DefaultLag = time.Minute })
	if h := r.Catalog().Status("door", "closed").Step; h.Lag != time.Minute {
		t.Errorf("the lag is %v; want the default of a minute", h.Lag)
	}
	_, handlers := serveLife(t, guest{}, func(o *Options) { o.DefaultLag = time.Minute })
	for kind, h := range handlers {
		want := time.Duration(0)
		if kind == abi.KindStep {
			want = 1500 * time.Millisecond // its own
		}
		if h.Lag != want {
			t.Errorf("the lag of a %s is %v; want %v", kind, h.Lag, want)
		}
	}
}

func TestTheDefaultLagAlert(t *testing.T) {
	r := serveGuest(t, doorGuest(), func(o *Options) { o.DefaultLagAlert = time.Minute })
	if h := r.Catalog().Status("door", "closed").Step; h.LagAlert != time.Minute {
		t.Errorf("the lag alert is %v; want the default of a minute", h.LagAlert)
	}
}

// The default parallelism holds for steps that declare none, and for nothing else.
func TestTheDefaultParallelism(t *testing.T) {
	_, handlers := serveLife(t, guest{}, func(o *Options) { o.DefaultParallelism = 2 })
	for kind, h := range handlers {
		want := 0
		if kind == abi.KindStep {
			want = 2
		}
		if h.Parallelism != want {
			t.Errorf("the parallelism of a %s is %d, want %d", kind, h.Parallelism, want)
		}
	}
}

// TestCodesByKind answers every code from every kind of handler.
func TestCodesByKind(t *testing.T) {
	allowed := map[string]string{
		abi.KindStep: "1234567", abi.KindCallback: "1234567", abi.KindTimeout: "1234567",
		abi.KindTimer: "3678", abi.KindHook: "678", abi.KindErase: "678", abi.KindFilter: "3678",
	}
	for code_ := abi.CodeTo; code_ <= abi.CodeDone; code_++ {
		due := "\x08\x07\x06\x05\x04\x03\x02\x01"
		r, handlers := serveLife(t, guest{texts: []string{"done", due, "why"}, invoke: asm.Code(
			writeText(abi.FieldNewStatus, 0, "done"), writeText(abi.FieldDue, 1, due), writeText(abi.FieldReason, 2, "why"),
			asm.I32(int32(code_)))})
		for kind, h := range handlers {
			out := r.call(h, `{}`)
			if strings.Contains(allowed[kind], fmt.Sprint(int(code_))) {
				if int(out.Kind) != int(code_) {
					t.Errorf("%s answers %d: outcome %+v; want it taken", kind, code_, out)
				}
				continue
			}
			if out.Kind != runtime.OutcomePermanent || out.Status != "" || !out.Due.IsZero() {
				t.Errorf("%s answers %d: outcome %+v; want a permanent error", kind, code_, out)
			}
			wantPieces(t, out.Reason, fmt.Sprintf("the %s answered the code %d, which docs/abi.md does not have for its kind",
				kind, code_))
		}
	}
}

// TestInputsByKind reads inputs that not every kind of handler has. A filter decides whether there will be a run.
func TestInputsByKind(t *testing.T) {
	const absent = "4294967295 bytes are more than the limit"
	slot := time.Unix(0, 0x0102030405060708)
	everyRun := map[string]string{
		abi.KindStep: "", abi.KindCallback: "", abi.KindTimeout: "", abi.KindTimer: "", abi.KindHook: "", abi.KindErase: "",
		abi.KindFilter: absent,
	}
	with := func(kind, value string) map[string]string {
		m := maps.Clone(everyRun)
		for k := range m {
			m[k] = absent
		}
		m[kind] = value
		return m
	}
	runs := func(value string) map[string]string {
		m := maps.Clone(everyRun)
		for k := range m {
			if k != abi.KindFilter {
				m[k] = value
			}
		}
		return m
	}
	id := runtime.NewRunID(time.Unix(1_769_000_000, 0), 7, 9).String()
	keys := map[string]string{
		abi.KindStep: id + "/3/step/born", abi.KindCallback: id + "/2/callback/called/5", abi.KindTimeout: id + "/2/timeout/late",
		abi.KindTimer: id + "/2/timer/later", abi.KindHook: id + "/4/hook/tell", abi.KindErase: id + "/4/erase/forget",
		abi.KindFilter: absent,
	}
	for field, want := range map[abi.Field]map[string]string{
		abi.FieldPayload:        with(abi.KindCallback, "raw \x01 bytes"),
		abi.FieldCallbackID:     with(abi.KindCallback, id+"/5"),
		abi.FieldSlot:           with(abi.KindFilter, "\x08\x07\x06\x05\x04\x03\x02\x01"),
		abi.FieldRunID:          runs(id),
		abi.FieldState:          runs("Paused"),
		abi.FieldStatus:         runs("waiting"),
		abi.FieldRunReason:      runs("rusty"),
		abi.FieldVersion:        runs("\x04\x00\x00\x00\x00\x00\x00\x00"),
		abi.FieldIdempotencyKey: keys,
	} {
		t.Run(field.String(), func(t *testing.T) {
			r, handlers := serveLife(t, guest{invoke: asm.Code(
				asm.I32(int32(abi.FieldReason)), asm.I32(bufferAt), asm.I32(int32(field)), asm.I32(bufferAt), asm.I32(100), asm.Call(fnRead), asm.Call(fnWrite),
				asm.I32(int32(abi.CodeError)))}, func(o *Options) { o.Clock = stillClock{now: time.Unix(1_769_000_000, 0)} })
			for kind, h := range handlers {
				in := r.invocationOf(h, "waiting", `{}`)
				in.Record.State, in.Record.Reason, in.Slot = runtime.Paused, "rusty", slot
				if kind == abi.KindCallback {
					in.Payload, in.Callback = []byte("raw \x01 bytes"), 5
				}
				var out runtime.Outcome
				if err := h.Invoker.Invoke(context.Background(), in, &out); err != nil {
					t.Fatal(err)
				}
				if want[kind] == absent {
					wantPieces(t, out.Reason, absent)
				} else if out.Reason != want[kind] {
					t.Errorf("%s of a %s: %q; want %q", field, kind, out.Reason, want[kind])
				}
			}
		})
	}
}

func TestAnEmptyPayloadIsPresent(t *testing.T) {
	// It answers code 1 + the length that it reads: 0 is CodeTo, −1 no code.
	r, handlers := serveLife(t, guest{texts: []string{"done"}, invoke: asm.Code(writeText(abi.FieldNewStatus, 0, "done"),
		asm.I32(int32(abi.FieldPayload)), asm.I32(bufferAt), asm.I32(100), asm.Call(fnRead), asm.I32(1), asm.I32Add)})
	if out := r.call(handlers[abi.KindCallback], `{}`); out.Kind != runtime.OutcomeTo {
		t.Errorf("outcome %+v; want a payload of no bytes to be there", out)
	}
}

func TestDue(t *testing.T) {
	at := "\x00\x36\x06\xa7\x20\xc0\x8c\x18" // docs/abi.md, section 8
	for name, c := range map[string]struct {
		due  string
		code abi.Code
		want runtime.Outcome
	}{
		"done":       {at, abi.CodeDone, runtime.Outcome{Kind: runtime.OutcomeDone, Due: time.Unix(0, 1_769_000_000_123_450_880)}},
		"never":      {at, abi.CodeSkip, runtime.Outcome{Kind: runtime.OutcomeSkip}},
		"too short":  {at[:4], abi.CodeDone, runtime.Outcome{Kind: runtime.OutcomeError, Reason: "the due that it wrote has not 8 bytes"}},
		"too late":   {strings.Repeat("\xff", 8), abi.CodeDone, runtime.Outcome{Kind: runtime.OutcomeError, Reason: "above 2^63-1"}},
		"not there":  {"", 0, runtime.Outcome{Kind: runtime.OutcomePermanent, Reason: "the timer did not write due"}},
		"error wins": {at, abi.CodeError, runtime.Outcome{Kind: runtime.OutcomeError}},
	} {
		t.Run(name, func(t *testing.T) {
			body := asm.Code(writeText(abi.FieldDue, 0, c.due), asm.I32(int32(c.code)))
			if c.code == 0 {
				body = asm.I32(int32(abi.CodeDone))
			}
			r, handlers := serveLife(t, guest{texts: []string{c.due}, invoke: body})
			out := r.call(handlers[abi.KindTimer], `{}`)
			wantPieces(t, out.Reason, c.want.Reason)
			if out.Kind != c.want.Kind || !out.Due.Equal(c.want.Due) || (out.Reason == "") != (c.want.Reason == "") {
				t.Errorf("outcome %+v; want %+v", out, c.want)
			}
		})
	}
}

// TestObjectsOfHandlersThatMoveNothing: what an erase function and a filter write counts, what others do does not; an erase
// function keeps an object by writing it back.
func TestObjectsOfHandlersThatMoveNothing(t *testing.T) {
	due := "\x08\x07\x06\x05\x04\x03\x02\x01"
	r, handlers := serveLife(t, guest{texts: []string{`{"n":0}`, due}, invoke: asm.Code(
		writeText(abi.FieldNewObject, 0, `{"n":0}`), writeText(abi.FieldDue, 1, due), asm.I32(int32(abi.CodeDone)))})
	for kind, want := range map[string][2]bool{ // of another object, of the same
		abi.KindErase: {true, true}, abi.KindFilter: {true, false}, abi.KindHook: {false, false}, abi.KindTimer: {false, false},
	} {
		for n, object := range []string{`{"n":1}`, `{"n":0}`} {
			out := r.call(handlers[kind], object)
			if out.Kind != runtime.OutcomeDone || out.Changed != want[n] || (string(out.Object) == `{"n":0}`) != want[n] {
				t.Errorf("%s over %s: outcome %+v with %q; want changed %v", kind, object, out, out.Object, want[n])
			}
		}
	}
}

func TestCheckListsHandlersByKind(t *testing.T) {
	r := newRig(t)
	r.put("life.wasm", guest{manifest: life}.bytes())
	report, err := r.Check(context.Background(), r.dir+"/life.wasm")
	if err != nil {
		t.Fatal(err)
	}
	want := []Handlers{
		{"life", "step", []string{"born"}},
		{"life", "callback", []string{"waiting/called", "waiting/else"}},
		{"life", "timeout", []string{"waiting/late", "waiting/later"}},
		{"life", "timer", []string{"waiting/later"}},
		{"life", "hook", []string{"complete/tell"}},
		{"life", "erase", []string{"forget"}},
		{"life", "filter", []string{"workdays"}},
	}
	if !reflect.DeepEqual(report.Handlers, want) {
		t.Errorf("%+v; want %+v", report.Handlers, want)
	}
	if len(report.Warnings) != 0 {
		t.Errorf("warnings %q; want none", report.Warnings)
	}
}

// TestWarnings follows callbacks, timeouts and schedules as well as steps.
func TestWarnings(t *testing.T) {
	const unreached, stuck, endless = "reaches the status %q", "handles %q has a destination", "leads from %q to a terminal"
	says := func(format, status string) string { return fmt.Sprintf(format, status) }
	for name, c := range map[string]struct {
		handlers, schedules string // "kind status>to,to", each with its own name; statuses where schedules begin
		want                []string
	}{
		"all is well":            {"step a>b; callback b>end; timeout b>b", "", nil},
		"no way in":              {"step a>end; callback b>end", "", []string{says(unreached, "b")}},
		"a schedule is a way in": {"step a>end; callback b>end", "b", nil},
		"a callback is a way":    {"callback a>b; step b>end", "", nil},
		"a timeout is a way":     {"step a>a; timeout a>b; step b>end", "", nil},
		"no way out":             {"step a>b,end; callback b>", "", []string{says(stuck, "b")}},
		"only to itself":         {"step a>b,end; callback b>; timeout b>b", "", []string{says(endless, "b")}},
		"a circle": {
			"step a>b,end; step b>c; timeout c>b", "", []string{says(endless, "b"), says(endless, "c")},
		},
		"into a dead end": {"step a>b,end; step b>c; step c>", "", []string{says(stuck, "c"), says(endless, "b")}},
	} {
		t.Run(name, func(t *testing.T) {
			var handlers, schedules []string
			for n, text := range strings.Split(c.handlers, "; ") {
				kind, rest, _ := strings.Cut(text, " ")
				status, to, _ := strings.Cut(rest, ">")
				more := ""
				if to != "" {
					more = `,"to":` + quoted(strings.Split(to, ","))
				}
				if kind == abi.KindTimeout {
					more += `,"after_ms":1`
				}
				handlers = append(handlers, fmt.Sprintf(`{"id":%d,"kind":%q,"name":"n%d","status":%q%s}`, n, kind, n, status, more))
			}
			for _, status := range strings.Fields(c.schedules) {
				schedules = append(schedules, fmt.Sprintf(`{"name":"at-%s","cron":"@daily","start_at":%q}`, status, status))
			}
			m, err := parseManifest([]byte(fmt.Sprintf(
				`{"abi":1,"workflows":[{"name":"w","start":"a","handlers":[%s],"terminal":["end"],"schedules":[%s]}]}`,
				strings.Join(handlers, ","), strings.Join(schedules, ","))))
			if err != nil {
				t.Fatal(err)
			}
			made := merge([]part{{manifest: m, invoker: func(int32, StepLimits) runtime.Invoker { return nil }}}, defaults{})
			got := warnings(made.workflows[0])
			wantPieces(t, strings.Join(got, "\n"), c.want...)
			if len(got) != len(c.want) {
				t.Errorf("warnings %q; want %d", got, len(c.want))
			}
		})
	}
}
