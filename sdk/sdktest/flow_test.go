package sdktest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

// script is an object whose handlers do what it says, one word an invocation.
type script struct {
	Step    []string `json:"step,omitempty"`    // in "a" and "b"
	Timeout []string `json:"timeout,omitempty"` // in "b"
	Count   int      `json:"count"`
}

type scriptRun = sdk.Run[script, string]

type scriptOutcome = sdk.Outcome[string]

var (
	scripts = sdk.NewWorkflow[script, string]("scripts")
	clock   = sdk.NewWorkflow[script, string]("clock")
	keys    []string // the idempotency keys of all invocations

	hookErr, filterErr error // what the cancel hook and the hourly filter return
)

// obey does the first of the words; of an attempt that fails nothing is kept, so it does the one that the attempt counts to.
func obey(r *scriptRun, words *[]string) (scriptOutcome, error) {
	keys = append(keys, r.IdempotencyKey())
	r.Object.Count++
	word := "skip"
	if n := int(r.Attempt()); len(*words) >= n {
		word, *words = (*words)[n-1], (*words)[n:]
	}
	verb, rest, _ := strings.Cut(word, " ")
	switch verb {
	case "to":
		return r.To(rest), nil
	case "circle":
		*words = []string{word}
		return r.To("a"), nil
	case "repeat":
		d, err := time.ParseDuration(rest)
		return r.RepeatAfter(d), err
	case "pause":
		return r.Pause(rest), nil
	case "cancel":
		return r.Cancel(rest), nil
	case "fail":
		return scriptOutcome{}, errors.New(rest)
	case "break":
		return scriptOutcome{}, sdk.Permanent(errors.New(rest))
	default:
		return r.Skip(), nil
	}
}

func init() {
	step := func(_ context.Context, r *scriptRun) (scriptOutcome, error) { return obey(r, &r.Object.Step) }
	scripts.Start("a")
	scripts.Step("a", step, "a", "b", "c", "end").Retry(sdk.Exponential(time.Second, 3*time.Second), 4)
	scripts.Step("b", step, "end").Lag(time.Minute)
	scripts.Timeout("b", sdk.After(time.Hour), func(_ context.Context, r *scriptRun) (scriptOutcome, error) {
		return obey(r, &r.Object.Timeout)
	}, "late", "b")
	scripts.Timeout("c", sdk.After(time.Hour), func(_ context.Context, r *scriptRun) (scriptOutcome, error) {
		return r.To("late"), nil
	}, "late")
	scripts.Callback("c", func(_ context.Context, r *scriptRun, payload []byte) (scriptOutcome, error) {
		r.Object.Step = strings.Split(string(payload), ";")
		return obey(r, &r.Object.Step)
	}, "c", "end").Retry(sdk.Exponential(time.Second, time.Second), 2)
	scripts.OnCancel(func(context.Context, *scriptRun) error { return hookErr })

	clock.Step("a", step, "end")
	clock.Schedule("minutely", "* * * * *").Object(script{Step: []string{"repeat 90s", "to end"}}).ForeignID("clock")
	clock.Schedule("hourly", "@hourly").Filter(func(_ context.Context, slot time.Time, s *script) (bool, error) {
		s.Step = []string{"to end"}
		return true, filterErr
	})
}

// stories are runs of scripts: what is done to them, and how they stand then.
var stories = map[string]struct {
	object script
	steps  []any // time.Duration to advance, string for a callback in "c" or for a control; then what is to be
	want   string
}{
	"through": {script{Step: []string{"to a", "to end"}}, nil, "Completed in end, 2 counted, version 3"},
	"retries take 1+2+3 s": {
		script{Step: []string{"fail 1", "fail 2", "fail 3", "to end"}},
		[]any{5999 * time.Millisecond, want("Initiated in a, 0 counted, version 1, step at 6s: 3"), time.Millisecond},
		"Completed in end, 1 counted, version 2",
	},
	"exhausted, then resumed by itself": {
		script{Step: []string{"fail 1", "fail 2", "fail 3", "fail 4"}},
		[]any{6 * time.Second, want("Paused in a, 0 counted, version 2, resume at 1h0m6s: 4 (attempt 4 of 4)"), time.Hour},
		"Running in a, 0 counted, version 3, step at 1h0m7s: 1",
	},
	"permanent": {
		script{Step: []string{"break it"}},
		[]any{want("Paused in a, 0 counted, version 2, resume at 1h0m0s: it"), "resume"},
		"Paused in a, 0 counted, version 4, resume at 1h0m0s: it",
	},
	"repeat": {
		script{Step: []string{"repeat 0s", "repeat 5s", "to end"}},
		[]any{5*time.Second - 1, want("Running in a, 2 counted, version 3, step at 5s"), time.Nanosecond},
		"Completed in end, 3 counted, version 4",
	},
	"skip parks, and a resume arms": {
		script{},
		[]any{240 * time.Hour, want("Running in a, 0 counted, version 2"), "pause", "resume"},
		"Running in a, 0 counted, version 5",
	},
	"a pause by a step stays": {
		script{Step: []string{"pause no stock", "to end"}},
		[]any{240 * time.Hour, want("Paused in a, 1 counted, version 2: no stock"), "resume"},
		"Completed in end, 2 counted, version 4",
	},
	"cancelled by a step": {script{Step: []string{"cancel no"}}, nil, "Cancelled in a, 1 counted, version 2: no"},
	"lag": {
		script{Step: []string{"to b", "to end"}},
		[]any{time.Minute - 1, want("Running in b, 1 counted, version 2, step at 1m0s, timeout at 1h0m0s"), time.Nanosecond},
		"Completed in end, 2 counted, version 3",
	},
	"a timeout fires although the step is parked": {
		script{Step: []string{"to b"}, Timeout: []string{"repeat 10m", "skip"}},
		[]any{time.Hour, want("Running in b, 2 counted, version 4, timeout at 1h10m0s"), 10 * time.Minute},
		"Running in b, 2 counted, version 4",
	},
	"a timeout fails, and is tried again": {
		script{Step: []string{"to b"}, Timeout: []string{"fail 1", "to late"}},
		[]any{time.Hour, want("Running in b, 1 counted, version 3, timeout at 1h0m1s: 1"), time.Second},
		"Completed in late, 2 counted, version 4",
	},
	"entering the status anew begins its timeout again": {
		script{Step: []string{"to b"}, Timeout: []string{"to b"}},
		[]any{time.Hour},
		"Running in b, 2 counted, version 4, step at 1h1m0s, timeout at 2h0m0s",
	},
	"a pause holds the timeout, a resume lets it fire": {
		script{Step: []string{"to c"}},
		[]any{"pause", 3 * time.Hour, want("Paused in c, 1 counted, version 3"), "resume"},
		"Completed in late, 1 counted, version 5",
	},
	"callbacks": {
		script{Step: []string{"to c"}},
		[]any{
			"skip: {Pending:false Skipped:true Refused:false Reason:}",
			"break x: {Pending:false Skipped:false Refused:true Reason:x}",
			"repeat 0s: {Pending:false Skipped:false Refused:false Reason:}",
			want("Running in c, 2 counted, version 3, timeout at 1h0m0s"),
			"to c: {Pending:false Skipped:false Refused:false Reason:}",
			"fail x: {Pending:true Skipped:false Refused:false Reason:}",
			want("Running in c, 3 counted, version 4, callback at 1s, timeout at 1h0m0s: x"),
			"to end: {Pending:false Skipped:false Refused:false Reason:}",
		},
		"Completed in end, 4 counted, version 5",
	},
	"a callback waits for the resume": {
		script{Step: []string{"to c"}},
		[]any{"pause", "to end: {Pending:true Skipped:false Refused:false Reason:}", "resume"},
		"Completed in end, 2 counted, version 5",
	},
	"a callback that fails for good pauses, and is tried anew": {
		script{Step: []string{"to c"}},
		[]any{
			"fail x;fail y: {Pending:true Skipped:false Refused:false Reason:}", time.Second,
			want("Paused in c, 1 counted, version 3, resume at 1h0m1s: y (attempt 2 of 2)"), "cancel",
		},
		"Cancelled in c, 1 counted, version 4: by hand",
	},
	"in circles": {
		script{Step: []string{"circle"}},
		nil,
		"Paused in a, 10000 counted, version 10001: the run has made 10000 versions by itself",
	},
}

// TestFlow runs the stories in a Flow.
func TestFlow(t *testing.T) {
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			hookErr = nil
			flow := sdktest.New(t, scripts)
			c := flow.Trigger("1", story.object)
			began := flow.Now()
			for _, step := range append(story.steps, want(story.want)) {
				switch step := step.(type) {
				case time.Duration:
					flow.Advance(step)
				case want:
					step.check(t, describe(c, began))
				case string:
					act(t, c, step)
				}
			}
		})
	}
}

// TestScheduledRuns lets slots pass, one of them while the run before it goes on, and one whose filter fails at first.
func TestScheduledRuns(t *testing.T) {
	filterErr = errors.New("no answer")
	flow := sdktest.NewAt(t, clock, time.Date(2026, time.January, 1, 11, 57, 30, 0, time.UTC))
	flow.Advance(3 * time.Minute)
	filterErr = nil
	flow.Advance(29 * time.Second)

	var got []string
	for _, s := range flow.Slots() {
		got = append(got, fmt.Sprintf("%s %s %s", s.Time.Format("15:04"), s.Schedule, s.Result))
	}
	failed := "12:00 hourly failed: no answer"
	wanted := []string{
		"11:58 minutely triggered", "11:59 minutely skipped: the run before it goes on", "12:00 minutely triggered",
		failed, failed, failed, failed, failed, "12:00 hourly triggered", // after 1, 2, 4, 8 and 16 s
	}
	if strings.Join(got, "\n") != strings.Join(wanted, "\n") {
		t.Errorf("the slots are\n%s; want\n%s", strings.Join(got, "\n"), strings.Join(wanted, "\n"))
	}
	flow.Run("hourly").RequireStatus("end")
	flow.Run("clock").RequireStatus("a")
	if first := flow.Runs()[0]; first.ForeignID() != "clock" || first.Status() != "end" {
		t.Errorf("the first run is of %q, in status %q", first.ForeignID(), first.Status())
	}
}

// TestHookIsTriedUntilItSucceeds also holds that it sees the run as it was, whatever has become of it.
func TestHookIsTriedUntilItSucceeds(t *testing.T) {
	hookErr = errors.New("no answer")
	flow := sdktest.New(t, scripts)
	c := flow.Trigger("1", script{Step: []string{"cancel it"}})
	flow.Advance(3 * time.Second)
	c.Erase()
	c.RequireState(sdk.StateDataDeleted)
	if string(c.JSON()) != `{"result":"deleted"}` {
		t.Errorf("of the object remains %s", c.JSON())
	}
	hookErr = nil
	flow.Advance(time.Hour)
	hooks := c.Hooks()
	if len(hooks) != 4 {
		t.Fatalf("the hook was called %d times: %+v", len(hooks), hooks)
	}
	for i, h := range hooks {
		want := sdktest.Hook{On: "cancel", Name: "cancel", Attempt: uint32(i + 1), State: sdk.StateCancelled, Version: 2}
		if i < 3 {
			want.Failed, want.Reason = true, "no answer"
		}
		if h != want {
			t.Errorf("call %d of the hook is %+v; want %+v", i+1, h, want)
		}
	}
}

// TestIdempotencyKeys holds that the attempts of one task share a key, also beyond a pause, and that no two tasks do.
func TestIdempotencyKeys(t *testing.T) {
	keys = nil
	flow := sdktest.New(t, scripts)
	c := flow.Trigger("1", script{Step: []string{"fail 1", "break 2"}})
	flow.Advance(time.Second)
	c.Resume()
	c = flow.TriggerAt("a", "2", script{Step: []string{"to a", "to c"}})
	c.Callback("c", []byte("repeat 0s"))
	c.Callback("c", []byte("to end"))
	var got []string
	for _, key := range keys {
		got = append(got, strings.TrimPrefix(key, "01937a3c-0000-7000-8000-00000000000"))
	}
	wanted := "1/1/step/a 1/1/step/a 1/1/step/a 2/1/step/a 2/2/step/a 2/3/callback/callback/1 2/3/callback/callback/2"
	if strings.Join(got, " ") != wanted {
		t.Errorf("the keys are %s; want %s", strings.Join(got, " "), wanted)
	}
}

func TestFlowFailsTheTest(t *testing.T) {
	for name, test := range map[string]struct {
		run  func(t testing.TB)
		want string
	}{
		"a second run": {
			func(t testing.TB) {
				flow := sdktest.New(t, scripts)
				flow.Trigger("1", script{})
				flow.Trigger("1", script{})
			},
			`the foreign ID "1" has an active run; it is Running in status "a"`,
		},
		"not JSON": {
			func(t testing.TB) { sdktest.New(t, scripts).TriggerJSON("1", []byte("{")) },
			"the object is not JSON: {",
		},
		"a start where nothing begins": {
			func(t testing.TB) { sdktest.New(t, scripts).TriggerAt("end", "1", script{}) },
			`no run of workflow "scripts" can begin in the status "end"`,
		},
		"a status without callbacks": {
			func(t testing.TB) { sdktest.New(t, scripts).Trigger("1", script{}).Callback("a", nil) },
			`takes no callbacks in the status "a"`,
		},
		"the wrong status": {
			func(t testing.TB) { sdktest.New(t, scripts).Trigger("1", script{}).Callback("c", nil) },
			`a callback for the status "c", but run "1" is Running in status "a"`,
		},
		"a finished run": {
			func(t testing.TB) { sdktest.New(t, scripts).Trigger("1", script{Step: []string{"to end"}}).Pause("") },
			`run "1" is Completed: it cannot become Paused`,
		},
		"another status": {
			func(t testing.TB) { sdktest.New(t, scripts).Trigger("1", script{}).RequireStatus("b") },
			`run "1" is in status "a"; want "b"` + "\n  2026-01-01 12:00:00 version 1: trigger",
		},
		"another state": {
			func(t testing.TB) { sdktest.New(t, scripts).Trigger("1", script{}).RequireState(sdk.StatePaused) },
			`run "1" is Running; want Paused`,
		},
		"another object": {
			func(t testing.TB) { sdktest.New(t, scripts).Trigger("1", script{}).RequireObject(script{Count: 7}) },
			"{\"count\":0}; want\n{\"count\":7}",
		},
		"no run": {
			func(t testing.TB) { sdktest.New(t, scripts).Run("1") },
			`there is no run for the foreign ID "1"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := failure(test.run); !strings.Contains(got, test.want) {
				t.Errorf("the test fails with %q; want %q", got, test.want)
			}
		})
	}
}

type want string

func (w want) check(t *testing.T, got string) {
	t.Helper()
	if !strings.HasPrefix(got, string(w)) {
		t.Fatalf("the run is %s; want %s", got, w)
	}
}

// act controls a run, or calls it back with what is before the colon and wants the answer behind it.
func act(t *testing.T, c *sdktest.Case[script, string], step string) {
	t.Helper()
	switch step {
	case "pause":
		c.Pause("by hand")
	case "resume":
		c.Resume()
	case "cancel":
		c.Cancel("by hand")
	default:
		payload, wanted, _ := strings.Cut(step, ": ")
		if got := fmt.Sprintf("%+v", c.Callback("c", []byte(payload))); got != wanted {
			t.Fatalf("the callback %q is answered with %s; want %s", payload, got, wanted)
		}
	}
}

// describe says where a run stands, with the times of what is due since it began.
func describe(c *sdktest.Case[script, string], began time.Time) string {
	history := c.History()
	version := history[len(history)-1].Version
	s := fmt.Sprintf("%s in %s, %d counted, version %d", c.State(), c.Status(), c.Object().Count, version)
	for _, timer := range c.Timers() {
		s += fmt.Sprintf(", %s at %v", timer.Kind, timer.Due.Sub(began))
	}
	if c.Reason() != "" {
		s += ": " + c.Reason()
	}
	return s
}
