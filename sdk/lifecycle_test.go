package sdk_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

// letter is the object of a workflow that has a handler of every kind.
type letter struct {
	Text   string `json:"text"`
	Secret string `json:"secret,omitempty"`
}

type letterRun = sdk.Run[letter, status]

const (
	lost   status = "lost"
	waits  status = "waits"
	answer status = "answered"
)

var letters = sdk.NewWorkflow[letter, status]("letters")

// seen is what the hooks of letters noted of the runs they were told of.
var seen []string

func init() {
	letters.Step(here, func(ctx context.Context, r *letterRun) (probeOutcome, error) {
		if r.CallbackID() != "" || r.State() != sdk.StateInitiated || r.Reason() != "" {
			return probeOutcome{}, sdk.Permanent(errors.New("the step sees " + r.CallbackID() + string(r.State()) + r.Reason()))
		}
		if err := sdk.Trigger(ctx, "copies", r.ForeignID(), r.Object); err != nil {
			return probeOutcome{}, err
		}
		return r.To(waits), nil
	}, waits)
	letters.Callback(waits, func(ctx context.Context, r *letterRun, payload []byte) (probeOutcome, error) {
		r.Object.Text = "dropped"
		if string(payload) == "fail" {
			_ = sdk.Trigger(ctx, "copies", "fail", nil)
			return probeOutcome{}, sdk.Permanent(errors.New("refused"))
		}
		return r.Skip(), sdk.Trigger(ctx, "copies", "skip", nil)
	}).Name("first")
	letters.Callback(waits, func(_ context.Context, r *letterRun, payload []byte) (probeOutcome, error) {
		r.Object.Text += string(payload) + strings.TrimPrefix(r.CallbackID(), r.ID())
		if len(payload) == 0 {
			return r.Repeat(), nil
		}
		return r.To(answer), nil
	}, answer).Name("second")
	letters.Timeout(waits, sdk.At(func(r *letterRun) (time.Time, bool) {
		at, err := time.Parse(time.RFC3339, r.Object.Text)
		return at, err == nil
	}), func(_ context.Context, r *letterRun) (probeOutcome, error) { return r.To(lost), nil }, lost)
	tell := func(_ context.Context, r *letterRun) error {
		seen = append(seen, string(r.Status())+" "+string(r.State())+" "+r.Reason()+" "+r.Object.Text)
		r.Object.Text = "not kept"
		return nil
	}
	letters.OnPause(tell)
	letters.OnResume(tell)
	letters.OnCancel(tell)
	letters.OnComplete(tell)
	letters.OnErase(tell)
	letters.Erase(func(_ context.Context, r *letterRun) (letter, error) {
		return letter{Text: strings.ToUpper(r.Object.Text)}, nil
	})
	letters.Schedule("mondays", "0 9 * * MON").Object(letter{Text: "of "}).
		Filter(func(_ context.Context, slot time.Time, l *letter) (bool, error) {
			l.Text += slot.Format(time.DateOnly)
			return slot.Day() > 7, nil
		})
}

func TestHandlersOfEveryKind(t *testing.T) {
	seen = nil
	flow := sdktest.New(t, letters)
	c := flow.Trigger("1", letter{Text: "dear "})
	c.RequireStatus(waits)
	if timers := c.Timers(); len(timers) != 0 {
		t.Errorf("an instant that there is not became %v", timers)
	}
	c.Pause("a cat on the desk")
	c.Resume()
	if got := c.Callback(waits, []byte("fail")); !got.Refused || got.Reason != "refused" {
		t.Errorf("the refused callback is answered with %+v", got)
	}
	if got := c.Callback(waits, nil); got != (sdktest.Answer{}) {
		t.Errorf("the empty callback is answered with %+v", got)
	}
	c.RequireObject(letter{Text: "dear /2"})
	c.Callback(waits, []byte("Ada"))
	c.RequireStatus(answer)
	c.RequireObject(letter{Text: "dear /2Ada/3"})
	if got := c.Intents(); len(got) != 1 || got[0].ForeignID != "1" || string(got[0].Object) != `{"text":"dear "}` {
		t.Errorf("the run asked for %+v", got)
	}
	c.Erase()
	c.RequireObject(letter{Text: "DEAR /2ADA/3"})
	want := []string{
		"waits Paused a cat on the desk dear ", "waits Running  dear ", "answered Completed  dear /2Ada/3",
		"answered DataDeleted  DEAR /2ADA/3",
	}
	if strings.Join(seen, "\n") != strings.Join(want, "\n") {
		t.Errorf("the hooks saw\n%q; want\n%q", seen, want)
	}
}

func TestTimerOfAnInstant(t *testing.T) {
	for name, test := range map[string]struct {
		at   string
		want status
	}{
		"to come":     {"2026-01-01T13:00:00Z", waits},
		"passed":      {"2020-01-01T13:00:00Z", lost},
		"before 1970": {"1949-01-01T13:00:00Z", lost},
		"too far":     {"2262-05-01T00:00:00Z", waits},
	} {
		t.Run(name, func(t *testing.T) {
			flow := sdktest.New(t, letters)
			c := flow.Trigger("1", letter{Text: test.at})
			c.RequireStatus(test.want)
			switch timers := c.Timers(); name {
			case "to come":
				if len(timers) != 1 || timers[0].Name != "timeout" || timers[0].Due.Format(time.RFC3339) != test.at {
					t.Fatalf("the timers are %v", timers)
				}
				flow.Advance(time.Hour - 1)
				c.RequireStatus(waits)
				flow.Advance(1)
				c.RequireStatus(lost)
			case "too far":
				c.RequireState(sdk.StatePaused)
				if !strings.Contains(c.Reason(), "the year 2262") {
					t.Errorf("the run is paused for %q", c.Reason())
				}
			}
		})
	}
}

func TestScheduleWithFilter(t *testing.T) {
	flow := sdktest.New(t, letters) // a Thursday
	flow.Advance(14 * 24 * time.Hour)
	all := flow.Runs()
	if len(all) != 1 {
		t.Fatalf("the slots %v began %d runs; want 1", flow.Slots(), len(all))
	}
	all[0].RequireObject(letter{Text: "of 2026-01-12"})
	slots := flow.Slots()
	if len(slots) != 2 || slots[0].Result != "skipped: the filter said so" || slots[1].Result != "triggered" {
		t.Errorf("the slots are %v", slots)
	}
}

func TestTriggerRefusals(t *testing.T) {
	probeDos["trigger"] = func(ctx context.Context, r *probeRun) (probeOutcome, error) {
		for want, err := range map[string]error{
			"the workflow's name is empty":  sdk.Trigger(ctx, "", "1", nil),
			`the foreign ID "" has 0 bytes`: sdk.Trigger(ctx, "w", "", nil),
			"has 257 bytes":                 sdk.Trigger(ctx, "w", strings.Repeat("x", 257), nil),
			"1–256 bytes of UTF-8":          sdk.Trigger(ctx, "w", "caf\xe9", nil),
			"unsupported type: chan int":    sdk.Trigger(ctx, "w", "1", make(chan int)),
			"object of sdk.Raw: it is not":  sdk.Trigger(ctx, "w", "1", sdk.Raw("{")),
		} {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "sdk: Trigger: ") {
				t.Errorf("%v; want it to say %q", err, want)
			}
		}
		for _, object := range []any{nil, sdk.Raw(nil), sdk.Raw("[1]"), 7} {
			if err := sdk.Trigger(ctx, "w", "1", object); err != nil {
				t.Errorf("%v: %v", object, err)
			}
		}
		return r.Skip(), nil
	}
	var objects []string
	for _, intent := range sdktest.Run(t, probes, here, probe{Do: "trigger"}).Intents {
		objects = append(objects, string(intent.Object))
	}
	if got := strings.Join(objects, " "); got != "null null [1] 7" {
		t.Errorf("the intents' objects are %s", got)
	}
	err := sdk.Trigger(t.Context(), "w", "1", nil)
	if err == nil || !strings.Contains(err.Error(), "not one of a running step") {
		t.Errorf("outside of a step: %v", err)
	}
	probeDos["trigger and fail"] = func(ctx context.Context, _ *probeRun) (probeOutcome, error) {
		return probeOutcome{}, errors.Join(errors.New("no"), sdk.Trigger(ctx, "w", "1", nil))
	}
	if got := sdktest.Run(t, probes, here, probe{Do: "trigger and fail"}).Intents; len(got) != 0 {
		t.Errorf("a failed attempt asks for %v", got)
	}
}

func TestCallbacksOfOtherRuns(t *testing.T) {
	probeDos["callback"] = func(ctx context.Context, r *probeRun) (probeOutcome, error) {
		for want, err := range map[string]error{
			"the workflow's name is empty":  sdk.Callback(ctx, "", "1", "s", nil),
			`the foreign ID "" has 0 bytes`: sdk.Callback(ctx, "w", "", "s", nil),
			"the status is empty":           sdk.Callback(ctx, "w", "1", "", nil),
			"unsupported type: chan int":    sdk.Callback(ctx, "w", "1", "s", make(chan int)),
		} {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "sdk: Callback: ") {
				t.Errorf("%v; want it to say %q", err, want)
			}
		}
		for _, payload := range []any{nil, sdk.Raw(nil), sdk.Raw("{"), 7} {
			if err := sdk.Callback(ctx, "w", "1", waits, payload); err != nil {
				t.Errorf("%v: %v", payload, err)
			}
		}
		return r.Skip(), nil
	}
	var payloads []string
	for _, intent := range sdktest.Run(t, probes, here, probe{Do: "callback"}).Intents {
		if intent.Workflow != "w" || intent.ForeignID != "1" || intent.Status != string(waits) {
			t.Errorf("%+v", intent)
		}
		payloads = append(payloads, string(intent.Object))
	}
	if got := strings.Join(payloads, " "); got != "null  { 7" {
		t.Errorf("the payloads are %q", got)
	}
	if err := sdk.Callback(t.Context(), "w", "1", "s", nil); err == nil || !strings.Contains(err.Error(), "not one of a running step") {
		t.Errorf("outside of a step: %v", err)
	}
	probeDos["callback and fail"] = func(ctx context.Context, _ *probeRun) (probeOutcome, error) {
		return probeOutcome{}, errors.Join(errors.New("no"), sdk.Callback(ctx, "w", "1", "s", nil))
	}
	if got := sdktest.Run(t, probes, here, probe{Do: "callback and fail"}).Intents; len(got) != 0 {
		t.Errorf("a failed attempt asks for %v", got)
	}
}
