package runtime_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

var (
	t0 = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	t1 = t0.Add(time.Minute)
)

// orders is the graph of the tests: received → priced → shipped | backordered, received → received.
func orders() *runtime.Workflow {
	return runtimetest.Workflow("orders",
		runtimetest.Step{Status: "received", To: []string{"priced", "received"}, Func: runtimetest.To("priced")},
		runtimetest.Step{
			Status: "priced", To: []string{"shipped", "backordered"}, Func: runtimetest.To("shipped"),
			Retry: runtime.Retry{Attempts: 3},
		},
	)
}

func received() *runtime.Record {
	return &runtime.Record{
		RunID: runtime.NewRunID(t0, runtime.SlotOf("orders", "7"), 1), Workflow: "orders", ForeignID: "7", State: runtime.Initiated,
		Status: "received", Version: 1, Entry: 1, Task: 1, Attempt: 1, Owner: 4, CreatedAt: t0, UpdatedAt: t0, Object: []byte(`{"a":1}`),
	}
}

func decide(rec *runtime.Record, out runtime.Outcome) (runtime.Record, runtime.Batch) {
	w := orders()
	var next runtime.Record
	var b runtime.Batch
	out.Fuel = 70
	runtime.Decide(&runtime.Decision{
		Record: rec, Workflow: w, Handler: w.Statuses[rec.Status].Step, Work: rec.Work(), Outcome: &out, Owner: 5, Now: t1,
		Took: time.Second, Share: 0.5,
		Rules: runtime.Rules{AutoResume: time.Hour, MaxObject: 1000, MaxVersions: 100, HistoryObjects: true},
	}, &next, &b)
	return next, b
}

func TestDecide(t *testing.T) {
	changed := func(out runtime.Outcome) runtime.Outcome {
		out.Changed, out.Object = true, []byte(`{"a":2}`)
		return out
	}
	for _, c := range []struct {
		name string
		rec  func(*runtime.Record) // how the record differs from received()
		out  runtime.Outcome
		want func(*runtime.Record) // how the next record differs from the one before
	}{
		{
			"to the next status",
			nil,
			changed(runtime.Outcome{Kind: runtime.OutcomeTo, Status: "priced"}),
			func(r *runtime.Record) {
				r.State, r.Status, r.Version, r.Entry, r.Task, r.Object = runtime.Running, "priced", 2, 2, 2, []byte(`{"a":2}`)
			},
		},
		{
			"to the same status is a new entry",
			func(r *runtime.Record) { r.State, r.Version, r.Entry, r.Attempt = runtime.Running, 5, 3, 4 },
			runtime.Outcome{Kind: runtime.OutcomeTo, Status: "received"},
			func(r *runtime.Record) { r.Version, r.Entry, r.Task, r.Attempt = 6, 6, 6, 1 },
		},
		{
			"to a terminal status completes",
			func(r *runtime.Record) { r.State, r.Status, r.Version, r.Entry = runtime.Running, "priced", 2, 2 },
			runtime.Outcome{Kind: runtime.OutcomeTo, Status: "shipped"},
			func(r *runtime.Record) {
				r.State, r.Status, r.Version, r.Entry, r.Task = runtime.Completed, "shipped", 3, 3, 3
				r.Parked, r.Attempt = true, 0
			},
		},
		{
			"repeat saves the object and stays entered",
			nil,
			changed(runtime.Outcome{Kind: runtime.OutcomeRepeat}),
			func(r *runtime.Record) {
				r.State, r.Version, r.Task, r.Object = runtime.Running, 2, 2, []byte(`{"a":2}`)
			},
		},
		{
			"repeat after a delay waits",
			nil,
			runtime.Outcome{Kind: runtime.OutcomeRepeat, Delay: time.Hour},
			func(r *runtime.Record) {
				r.State, r.Version, r.Task, r.NotBefore = runtime.Running, 2, 2, t1.Add(time.Hour)
			},
		},
		{
			"skip parks and saves nothing",
			nil,
			changed(runtime.Outcome{Kind: runtime.OutcomeSkip}),
			func(r *runtime.Record) { r.State, r.Version, r.Parked, r.Attempt = runtime.Running, 2, true, 0 },
		},
		{
			"pause keeps the step's changes and does not resume by itself",
			nil,
			changed(runtime.Outcome{Kind: runtime.OutcomePause, Reason: "stock"}),
			func(r *runtime.Record) {
				r.State, r.Version, r.Object = runtime.Paused, 2, []byte(`{"a":2}`)
				r.Pause, r.Reason = runtime.PausedByStep, "stock"
			},
		},
		{
			"cancel ends",
			nil,
			runtime.Outcome{Kind: runtime.OutcomeCancel, Reason: "fraud"},
			func(r *runtime.Record) {
				r.State, r.Version, r.Reason, r.Parked, r.Attempt = runtime.Cancelled, 2, "fraud", true, 0
			},
		},
		{
			"an error waits half of a second and drops the step's changes",
			nil,
			changed(runtime.Outcome{Kind: runtime.OutcomeError, Reason: "no answer"}),
			func(r *runtime.Record) {
				r.Attempt, r.Reason, r.NotBefore, r.Lines = 2, "no answer", t1.Add(500*time.Millisecond), 1
			},
		},
		{
			"the last attempt's error pauses and resumes after an hour",
			func(r *runtime.Record) {
				r.State, r.Status, r.Version, r.Entry, r.Attempt = runtime.Running, "priced", 2, 2, 3
			},
			runtime.Outcome{Kind: runtime.OutcomeError, Reason: "no answer"},
			func(r *runtime.Record) {
				r.State, r.Version, r.Pause, r.ResumeAt = runtime.Paused, 3, runtime.PausedByError, t1.Add(time.Hour)
				r.Reason = "no answer (attempt 3 of 3)"
			},
		},
		{
			"a permanent error pauses at once",
			nil,
			runtime.Outcome{Kind: runtime.OutcomePermanent, Reason: "no such product"},
			func(r *runtime.Record) {
				r.State, r.Version, r.Pause, r.ResumeAt = runtime.Paused, 2, runtime.PausedByError, t1.Add(time.Hour)
				r.Reason = "no such product"
			},
		},
		{
			"an undeclared destination is a permanent error",
			nil,
			runtime.Outcome{Kind: runtime.OutcomeTo, Status: "shipped"},
			func(r *runtime.Record) {
				r.State, r.Version, r.Pause, r.ResumeAt = runtime.Paused, 2, runtime.PausedByError, t1.Add(time.Hour)
				r.Reason = `step received answered status "shipped", which it does not declare; it declares priced, received`
			},
		},
		{
			"no outcome is a permanent error",
			nil,
			runtime.Outcome{},
			func(r *runtime.Record) {
				r.State, r.Version, r.Pause, r.ResumeAt = runtime.Paused, 2, runtime.PausedByError, t1.Add(time.Hour)
				r.Reason = "step received answered the unknown outcome 0"
			},
		},
		{
			"an object over the limit is a permanent error",
			nil,
			runtime.Outcome{Kind: runtime.OutcomeSkip, Changed: true, Object: make([]byte, 1001)},
			func(r *runtime.Record) {
				r.State, r.Version, r.Pause, r.ResumeAt = runtime.Paused, 2, runtime.PausedByError, t1.Add(time.Hour)
				r.Reason = "step received answered an object of 1001 bytes; at most 1000 are allowed (engine.max_object)"
			},
		},
		{
			"a run that circles is paused",
			func(r *runtime.Record) { r.State, r.Version, r.Alone = runtime.Running, 700, 99 },
			runtime.Outcome{Kind: runtime.OutcomeTo, Status: "received"},
			func(r *runtime.Record) {
				r.State, r.Version, r.Entry, r.Task, r.Pause = runtime.Paused, 701, 701, 701, runtime.PausedByLimit
				r.Reason = "the run has made 100 versions by itself (engine.max_versions); if it does not circle, resume it"
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := received()
			if c.rec != nil {
				c.rec(rec)
			}
			before := rec.Clone()
			got, b := decide(rec, c.out)
			want := before.Clone()
			want.Owner, want.UpdatedAt = 5, t1
			c.want(&want)
			if want.Version != before.Version {
				want.Digest = orders().Statuses[rec.Status].Step.Digest
				want.Alone++
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("next record\n got %+v\nwant %+v", got, want)
			}
			if !reflect.DeepEqual(*rec, before) {
				t.Errorf("the record was changed: %+v", rec)
			}
			if len(b.History) != 1 || len(b.AddTasks) != 0 {
				t.Fatalf("%d lines of history and %d tasks", len(b.History), len(b.AddTasks))
			}
			checkHistory(t, &before, &got, &b.History[0], &c.out)
		})
	}
}

// checkHistory compares a line of history with the change it tells of.
func checkHistory(t *testing.T, before, after *runtime.Record, h *runtime.HistoryEntry, out *runtime.Outcome) {
	t.Helper()
	want := runtime.HistoryEntry{
		RunID: before.RunID, Version: after.Version, Time: t1, Cause: runtime.CauseStep, Handler: before.Status,
		Attempt: before.Attempt, Took: time.Second, Fuel: 70, State: after.State, Status: after.Status, Reason: after.Reason,
	}
	if after.Version == before.Version {
		want.Line, want.Failed = 1, true
	}
	want.Failed = want.Failed || after.Pause == runtime.PausedByError
	if out.Changed && string(after.Object) == string(out.Object) {
		want.Object = out.Object
	}
	if !reflect.DeepEqual(*h, want) {
		t.Errorf("history\n got %+v\nwant %+v", *h, want)
	}
}

// Whatever a handler answers, the next record is a legal one.
func TestDecideAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := received()
		rec.Status = rapid.SampledFrom([]string{"received", "priced"}).Draw(t, "status")
		rec.State = rapid.SampledFrom([]runtime.RunState{runtime.Initiated, runtime.Running}).Draw(t, "state")
		rec.Version = rapid.Uint64Range(1, 250).Draw(t, "version")
		rec.Entry = rapid.Uint64Range(1, rec.Version).Draw(t, "entry")
		rec.Attempt = rapid.Uint32Range(1, 12).Draw(t, "attempt")
		out := runtime.Outcome{
			Kind:    runtime.OutcomeKind(rapid.IntRange(0, 9).Draw(t, "kind")),
			Status:  rapid.SampledFrom([]string{"", "received", "priced", "shipped", "nowhere"}).Draw(t, "to"),
			Reason:  rapid.String().Draw(t, "reason"),
			Delay:   time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "delay")),
			Changed: rapid.Bool().Draw(t, "changed"),
			Object:  []byte(`[]`),
		}
		next, b := decide(rec, out)
		h := b.History[0]
		if next.State != rec.State {
			if err := rec.State.CheckTransition(next.State); err != nil {
				t.Fatal(err)
			}
		}
		if step := next.Version - rec.Version; step > 1 {
			t.Fatalf("version %d became %d", rec.Version, next.Version)
		}
		if next.Version == rec.Version && (next.Attempt != rec.Attempt+1 || !h.Failed || h.Attempt != rec.Attempt) {
			t.Fatalf("attempt %d became %d in version %d; history %+v", rec.Attempt, next.Attempt, next.Version, h)
		}
		if next.Ready() && next.Attempt == 0 {
			t.Fatal("a task without an attempt")
		}
		if orders().Statuses[next.Status] == nil {
			t.Fatalf("the run is in %q", next.Status)
		}
		if next.Entry > next.Version || (next.Status != rec.Status) != (next.Entry == next.Version && next.Status != rec.Status) {
			t.Fatalf("entry %d of version %d", next.Entry, next.Version)
		}
		if (next.State == runtime.Paused) == (next.Pause == runtime.NotPaused) {
			t.Fatalf("%s with cause %v", next.State, next.Pause)
		}
		if n := len(next.Timers(nil)); n > 1 || n == 1 && next.Ready() {
			t.Fatalf("%d timers of a record that is ready: %v", n, next.Ready())
		}
	})
}

func TestLostAttemptsRunOut(t *testing.T) {
	rec := received()
	rec.Status = "priced"
	w := orders()
	step := w.Statuses["priced"].Step
	rules := runtime.Rules{AutoResume: -1, MaxVersions: 100}
	for attempt := uint32(2); attempt <= step.Retry.Attempts; attempt++ {
		var next runtime.Record
		var b runtime.Batch
		runtime.Lost(rec, w, step, runtime.Epoch(attempt), t1, rules, &next, &b)
		if !next.Ready() || next.Attempt != attempt || next.Owner != runtime.Epoch(attempt) {
			t.Fatalf("attempt %d: %+v", attempt, next)
		}
		if h := b.History[0]; !h.Failed || h.Attempt != attempt-1 || !strings.Contains(h.Reason, "stopped without warning") {
			t.Fatalf("history %+v", h)
		}
		rec = &next
	}
	var next runtime.Record
	var b runtime.Batch
	runtime.Lost(rec, w, step, 9, t1, rules, &next, &b)
	if next.State != runtime.Paused || next.Pause != runtime.PausedByError || !next.ResumeAt.IsZero() {
		t.Fatalf("after the last attempt: %+v", next)
	}
}

func TestRetryWaits(t *testing.T) {
	r := runtime.Retry{Initial: time.Second, Max: 10 * time.Second, Factor: 2, Attempts: 10}
	for attempt, want := range []time.Duration{1: 1, 2: 2, 3: 4, 4: 8, 5: 10, 6: 10, 60: 10} {
		if attempt == 0 || want == 0 {
			continue
		}
		if got := r.Wait(uint32(attempt), 0.5); got != want*time.Second/2 {
			t.Errorf("attempt %d: %v, want %v", attempt, got, want*time.Second/2)
		}
		if got := r.Wait(uint32(attempt), 0); got != 0 {
			t.Errorf("attempt %d with share 0: %v", attempt, got)
		}
	}
}
