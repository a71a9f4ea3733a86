package sdk

import (
	"context"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

func onward(_ context.Context, r *Run[Raw, string]) (Outcome[string], error) { return r.To("end"), nil }

func TestRegistrationFaults(t *testing.T) {
	for name, test := range map[string]struct {
		register func(p *guest.Plugin)
		want     []string
	}{
		"no workflow": {
			func(*guest.Plugin) {},
			[]string{"registers no workflow"},
		},
		"two tests": {
			func(p *guest.Plugin) {
				newWorkflow[Raw, string](p, "w").Step("a", onward, "end")
				selfTest(p, func(context.Context) error { return nil })
				selfTest(p, func(context.Context) error { return nil })
			},
			[]string{"a plugin has one test of itself"},
		},
		"no test": {
			func(p *guest.Plugin) {
				newWorkflow[Raw, string](p, "w").Step("a", onward, "end")
				selfTest(p, nil)
			},
			[]string{"with no function"},
		},
		"versions of objects": {
			func(p *guest.Plugin) {
				w := newWorkflow[Raw, string](p, "w")
				w.Step("a", onward, "end")
				w.Objects(2, 1, 2)
				w.Objects(0)
			},
			[]string{`workflow "w": Objects(2, [1 2])`, `workflow "w": Objects(0, [])`},
		},
		"no step": {
			func(p *guest.Plugin) { newWorkflow[Raw, string](p, "w") },
			[]string{`workflow "w": has no step`},
		},
		"empty name": {
			func(p *guest.Plugin) { newWorkflow[Raw, string](p, "").Step("a", onward, "end") },
			[]string{`workflow "": the workflow's name is empty`},
		},
		"long name": {
			func(p *guest.Plugin) { newWorkflow[Raw, string](p, strings.Repeat("n", 65)).Step("a", onward, "end") },
			[]string{"has 65 bytes; a name has at most 64"},
		},
		"workflow twice": {
			func(p *guest.Plugin) {
				newWorkflow[Raw, string](p, "w").Step("a", onward, "end")
				newWorkflow[Raw, string](p, "w").Step("b", onward, "end")
			},
			[]string{`workflow "w": is registered twice`},
		},
		"status twice": {
			func(p *guest.Plugin) {
				w := newWorkflow[Raw, string](p, "w")
				w.Step("a", onward, "end")
				w.Step("a", onward, "end")
			},
			[]string{`handles the status "a" twice`},
		},
		"bad names": {
			func(p *guest.Plugin) { newWorkflow[Raw, string](p, "w").Step("a b", onward, "", "end", "end", "ö") },
			[]string{
				`the status "a b" holds ' '`,
				`step of "a b": the destination is empty`,
				`step of "a b": the destination "end" is named twice`,
				`step of "a b": the destination "ö" holds 'ö'`,
			},
		},
		"nil function": {
			func(p *guest.Plugin) { newWorkflow[Raw, string](p, "w").Step("a", nil, "end") },
			[]string{`step of "a": the function is nil`},
		},
		"starts": {
			func(p *guest.Plugin) {
				w := newWorkflow[Raw, string](p, "w")
				w.Step("a", onward, "end")
				w.Start("a")
				w.Start("nowhere")
			},
			[]string{`has two starts, "a" and "nowhere"`, `starts in "nowhere", which no step handles`},
		},
		"external": {
			func(p *guest.Plugin) {
				w := newWorkflow[Raw, string](p, "w")
				w.Step("a", onward, "end")
				w.External("a", "elsewhere")
			},
			[]string{`handles the status "a", which it also calls external`, `calls the status "elsewhere" external, but`},
		},
		"options": {
			func(p *guest.Plugin) {
				w := newWorkflow[Raw, string](p, "w")
				w.Step("a", onward, "end").Retry(Exponential(time.Second, time.Minute), 0).Parallelism(0)
				w.Step("b", onward, "end").Retry(Exponential(time.Minute, time.Second), 3)
				w.Step("c", onward, "end").Retry(Exponential(time.Microsecond, time.Second), 3)
			},
			[]string{
				`step of "a": Retry: 0 attempts`, `step of "a": Parallelism: 0`, `step of "b": Retry: waits from 1m0s`, `step of "c"`,
			},
		},
		"waits": {
			func(p *guest.Plugin) {
				newWorkflow[Raw, string](p, "w").Step("a", onward, "end").Lag(0).LagAlert(time.Microsecond)
			},
			[]string{`step of "a": Lag: 0s; it is at least 1ms`, `step of "a": LagAlert: 1µs`},
		},
		"nil functions": {
			func(p *guest.Plugin) {
				w := newWorkflow[Raw, string](p, "w")
				w.Callback("a", nil, "end")
				w.Timeout("a", After(time.Hour), nil, "end")
				w.OnPause(nil)
				w.Erase(nil)
				w.Schedule("s", "@daily").Filter(nil)
			},
			[]string{
				`callback "callback" of "a": the function is nil`, `timeout "timeout" of "a": the function is nil`,
				`hook "pause": the function is nil`, `erase "erase": the function is nil`, `schedule "s": Filter: the function is nil`,
			},
		},
		"timers": {
			func(p *guest.Plugin) {
				w := newWorkflow[Raw, string](p, "w")
				w.Timeout("a", After(0), onward, "end")
				w.Timeout("a", Timer[Raw, string]{}, onward, "end")
				w.Timeout("a", At[Raw, string](nil), onward, "end")
			},
			[]string{`timeout "timeout" of "a": the timer`, `timeout "timeout-2" of "a": the timer`, `timeout "timeout-3" of "a"`},
		},
		"names of handlers": {
			func(p *guest.Plugin) {
				w := newWorkflow[Raw, string](p, "w")
				w.Callback("a", take, "end", "end").Name("a b")
				w.Timeout("a", After(time.Hour), onward, "end").Name("callback")
				w.Timeout("a", After(time.Hour), onward, "end").Name("callback")
				w.OnPause(tell).Name("told")
				w.OnCancel(tell).Name("told")
			},
			[]string{
				`callback "callback" of "a": the destination "end" is named twice`, `callback "a b" of "a": the name "a b" holds ' '`,
				`timeout "callback" of "a" is there twice`, `hook "told" is there twice`,
			},
		},
		"two erase functions": {
			func(p *guest.Plugin) {
				w := newWorkflow[Raw, string](p, "w")
				w.Step("a", onward, "end")
				w.Erase(rest)
				w.Erase(rest)
			},
			[]string{`erase "erase-2": is the second; a workflow has one erase function`},
		},
		"schedules": {
			func(p *guest.Plugin) {
				w := newWorkflow[Raw, string](p, "w")
				w.Step("a", onward, "end")
				w.Schedule("s", "").StartAt("end")
				w.Schedule("s", "@daily").CatchUp("both").Object(Raw("{"))
				w.Schedule("a b", "@daily").Filter(always).Filter(always)
			},
			[]string{
				`schedule "s": it has no cron`, `schedule "s": is registered twice`, `schedule "s": CatchUp: "both"`,
				`schedule "s": Object: it is not JSON`, `the schedule's name "a b" holds`, `schedule "a b": Filter: it has one already`,
				`schedule "s": it starts in "end", which no step handles`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var p guest.Plugin
			test.register(&p)
			m, err := p.Manifest("go/test", "")
			if m != nil || err == nil {
				t.Fatalf("the manifest is %v, %v; want faults", m, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("%d faults; want %d:\n%v", len(lines), len(test.want), err)
			}
			for i, want := range test.want {
				if !strings.HasPrefix(lines[i], "sdk: ") || !strings.Contains(lines[i], want) {
					t.Errorf("fault %d is %q; want it to say %q", i, lines[i], want)
				}
			}
		})
	}
}

func TestManifest(t *testing.T) {
	var p guest.Plugin
	a := newWorkflow[Raw, string](&p, "a")
	a.Start("new")
	a.Step("new", onward, "checked", "refused").Retry(Exponential(time.Second, time.Minute), 8).Parallelism(4)
	a.Step("checked", onward, "new", "elsewhere", "refused")
	a.External("elsewhere", "elsewhere")
	newWorkflow[Raw, string](&p, "b").Step("one", onward, "end")

	got, err := p.Manifest("go/test", "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	want := &abi.Manifest{ABI: abi.Version, SDK: "go/test", Version: "v1.2.3", Workflows: []abi.Workflow{
		{
			Name:  "a",
			Start: "new",
			Handlers: []abi.Handler{
				{
					ID: 0, Kind: abi.KindStep, Name: "new", Status: "new", To: []string{"checked", "refused"}, Parallelism: 4,
					Retry: &abi.Retry{InitialMS: 1000, MaxMS: 60_000, Factor: 2, Attempts: 8},
				},
				{ID: 1, Kind: abi.KindStep, Name: "checked", Status: "checked", To: []string{"new", "elsewhere", "refused"}},
			},
			Terminal: []string{"refused"},
			External: []string{"elsewhere"},
		},
		{
			Name:     "b",
			Handlers: []abi.Handler{{ID: 2, Kind: abi.KindStep, Name: "one", Status: "one", To: []string{"end"}}},
			Terminal: []string{"end"},
		},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the manifest is\n%+v; want\n%+v", got, want)
	}
	again, err := p.Manifest("go/test", "v1.2.3")
	if err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("a second manifest differs: %+v, %v", again, err)
	}
}

// TestManifestOfEveryKind registers a handler of each kind with all of its options.
func TestManifestOfEveryKind(t *testing.T) {
	var p guest.Plugin
	w := newWorkflow[Raw, string](&p, "w")
	w.Step("a", onward, "end", "wait").Lag(time.Second).LagAlert(time.Minute)
	w.Callback("wait", take)
	w.Callback("wait", take, "end").Retry(Exponential(time.Second, time.Minute), 3)
	w.Timeout("wait", After(1500*time.Millisecond), onward, "end")
	w.Timeout("wait", At(func(*Run[Raw, string]) (time.Time, bool) { return time.Time{}, false }), onward, "late").
		Name("by-date").Retry(Exponential(time.Second, time.Minute), 2)
	w.OnPause(tell)
	w.OnCancel(tell)
	w.OnComplete(tell)
	w.OnComplete(tell)
	w.OnResume(tell)
	w.OnErase(tell).Name("forget")
	w.Erase(rest)
	w.Schedule("nightly", "5 0 * * *").Zone("Europe/Berlin").ForeignID("night").Object(Raw(`{"n":1}`)).StartAt("wait").
		CatchUp(CatchUpAll).Filter(always)
	w.Schedule("often", "@every 90s")

	got, err := p.Manifest("", "")
	if err != nil {
		t.Fatal(err)
	}
	retry := func(attempts int) *abi.Retry {
		return &abi.Retry{InitialMS: 1000, MaxMS: 60_000, Factor: 2, Attempts: attempts}
	}
	want := abi.Workflow{
		Name: "w",
		Handlers: []abi.Handler{
			{
				ID: 0, Kind: abi.KindStep, Name: "a", Status: "a", To: []string{"end", "wait"},
				LagMS: 1000, LagAlertMS: 60_000,
			},
			{ID: 1, Kind: abi.KindCallback, Name: "callback", Status: "wait"},
			{ID: 2, Kind: abi.KindCallback, Name: "callback-2", Status: "wait", To: []string{"end"}, Retry: retry(3)},
			{ID: 3, Kind: abi.KindTimeout, Name: "timeout", Status: "wait", To: []string{"end"}, AfterMS: 1500},
			{
				ID: 4, Kind: abi.KindTimeout, Name: "by-date", Status: "wait", To: []string{"late"}, Timer: new(int32(5)),
				Retry: retry(2),
			},
			{ID: 5, Kind: abi.KindTimer, Name: "by-date", Status: "wait", Retry: retry(2)},
			{ID: 6, Kind: abi.KindHook, Name: "pause", On: abi.OnPause},
			{ID: 7, Kind: abi.KindHook, Name: "cancel", On: abi.OnCancel},
			{ID: 8, Kind: abi.KindHook, Name: "complete", On: abi.OnComplete},
			{ID: 9, Kind: abi.KindHook, Name: "complete-2", On: abi.OnComplete},
			{ID: 10, Kind: abi.KindHook, Name: "resume", On: abi.OnResume},
			{ID: 11, Kind: abi.KindHook, Name: "forget", On: abi.OnErase},
			{ID: 12, Kind: abi.KindErase, Name: "erase"},
			{ID: 13, Kind: abi.KindFilter, Name: "nightly"},
		},
		Terminal: []string{"end", "late"},
		Schedules: []abi.Schedule{
			{
				Name: "nightly", Cron: "5 0 * * *", Zone: "Europe/Berlin", ForeignID: "night", Object: []byte(`{"n":1}`),
				StartAt: "wait", CatchUp: "all", Filter: new(int32(13)),
			},
			{Name: "often", Cron: "@every 90s"},
		},
	}
	if !reflect.DeepEqual(got.Workflows[0], want) {
		t.Errorf("the workflow is\n%+v; want\n%+v", got.Workflows[0], want)
	}
}

func take(_ context.Context, r *Run[Raw, string], _ []byte) (Outcome[string], error) {
	return r.To("end"), nil
}

func tell(context.Context, *Run[Raw, string]) error { return nil }

func rest(context.Context, *Run[Raw, string]) (Raw, error) { return nil, nil }

func always(context.Context, time.Time, *Raw) (bool, error) { return true, nil }

func TestTooManyHandlers(t *testing.T) {
	var p guest.Plugin
	w := newWorkflow[Raw, string](&p, "w")
	for i := range abi.MaxHandlers + 1 {
		w.Step("s"+strconv.Itoa(i), onward, "end")
	}
	if _, err := p.Manifest("", ""); err == nil || !strings.Contains(err.Error(), "4097 handlers") {
		t.Errorf("the manifest of 4097 handlers: %.200v", err)
	}
}

func TestUnknownHandlerIsPermanent(t *testing.T) {
	var p guest.Plugin
	newWorkflow[Raw, string](&p, "w").Step("a", onward, "end")
	for _, id := range []int32{-1, 1, 1 << 30} {
		host := &recorder{}
		if code := p.Invoke(guest.NewCall(host), id); code != abi.CodePermanent || !strings.Contains(host.reason, "no handler") {
			t.Errorf("handler %d: code %d, %q", id, code, host.reason)
		}
	}
}

// recorder is a host whose one input is a small object.
type recorder struct {
	guest.Host
	reason string
}

func (*recorder) FieldRead(field abi.Field, buf []byte) int32 {
	if field != abi.FieldObject {
		return abi.Absent
	}
	return int32(copy(buf, `{"n":7}`))
}

func (h *recorder) FieldWrite(field abi.Field, value []byte) {
	if field == abi.FieldReason {
		h.reason = string(value)
	}
}

// TestInvokeOverRawDoesNotAllocate holds the lean path to its budget.
func TestInvokeOverRawDoesNotAllocate(t *testing.T) {
	var p guest.Plugin
	newWorkflow[Raw, string](&p, "w").Step("a", onward, "end")
	newWorkflow[Raw, string](&p, "callbacks").Callback("a", take, "end")
	c := guest.NewCall(&recorder{})
	for id := range int32(2) {
		p.Invoke(c, id)
		if n := testing.AllocsPerRun(100, func() { p.Invoke(c, id) }); n != 0 {
			t.Errorf("an invocation of handler %d over Raw makes %v allocations; want 0", id, n)
		}
	}
}

func BenchmarkInvokeRaw(b *testing.B) {
	var p guest.Plugin
	newWorkflow[Raw, string](&p, "w").Step("a", onward, "end")
	c := guest.NewCall(&recorder{})
	b.ReportAllocs()
	for b.Loop() {
		p.Invoke(c, 0)
	}
}

func TestVersionsAndTheTestAreInTheManifest(t *testing.T) {
	var p guest.Plugin
	w := newWorkflow[Raw, string](&p, "w")
	w.Step("a", onward, "end")
	w.Objects(3, 2, 0)
	w.Pinned()
	selfTest(&p, func(ctx context.Context) error { return ctx.Err() })
	m, err := p.Manifest("go/test", "")
	if err != nil {
		t.Fatal(err)
	}
	part := m.Workflows[0]
	if part.ObjectVersion != 3 || !reflect.DeepEqual(part.Reads, []int{2, 0}) || part.Versions != abi.VersionsPinned {
		t.Errorf("the workflow is %+v", part)
	}
	if m.SelfTest == nil || *m.SelfTest != 1 || part.Handlers[0].ID != 0 {
		t.Errorf("the test has the ID %v, want 1, after the step's", m.SelfTest)
	}
}
