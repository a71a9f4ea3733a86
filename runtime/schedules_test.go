package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// reports is a workflow that ends at once, unless it is to hold.
func reports(hold <-chan struct{}, schedules ...runtimetest.Part) *runtime.Workflow {
	return runtimetest.Workflow("report", append(schedules, runtimetest.Step{
		Status: "asked", To: []string{"made"}, Func: func(ctx context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
			if hold != nil {
				select {
				case <-hold:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			out.Kind, out.Status = runtime.OutcomeTo, "made"
			return nil
		},
	})...)
}

func spec(name, cron string) runtime.ScheduleSpec {
	return runtime.ScheduleSpec{Workflow: "report", Name: name, Cron: cron}
}

func create(t *testing.T, e *runtime.Engine, s runtime.ScheduleSpec) {
	t.Helper()
	if _, err := e.CreateSchedule(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// runsOf counts the runs of a foreign ID.
func runsOf(t *testing.T, e *runtime.Engine, foreignID string) int {
	t.Helper()
	synctest.Wait()
	all, err := e.Runs(t.Context(), runtime.Query{ForeignIDs: []string{foreignID}, Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestScheduleTriggersItsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), reports(nil))
		s := spec("hourly", "@every 1h")
		s.Object = []byte(`{"a":1}`)
		create(t, e, s)
		elapse(5*time.Hour + time.Second)
		if n := runsOf(t, e, "hourly"); n != 5 {
			t.Errorf("%d runs in 5 hours", n)
		}
		all, err := e.Runs(t.Context(), runtime.Query{ForeignIDs: []string{"hourly"}, Limit: 1})
		if err != nil || string(all[0].Object) != `{"a":1}` || all[0].State != runtime.Completed {
			t.Errorf("%+v, %v", all, err)
		}
		h, err := e.History(t.Context(), all[0].RunID, 0, 0, 1)
		if err != nil || h[0].Cause != runtime.CauseSchedule || h[0].Handler != "hourly" {
			t.Errorf("the history begins with %+v, %v", h, err)
		}
		known, err := e.Schedules(t.Context())
		if err != nil || len(known) != 1 || known[0].LastResult != "triggered" || known[0].LastRun.IsZero() {
			t.Errorf("%+v, %v", known, err)
		}
	})
}

func TestScheduleIsSkippedWhileItsRunGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		e := start(t, onMemory(), reports(hold))
		create(t, e, spec("hourly", "@every 1h"))
		elapse(3*time.Hour + time.Second)
		if n := runsOf(t, e, "hourly"); n != 1 {
			t.Errorf("%d runs while the first goes on", n)
		}
		known, err := e.Schedules(t.Context())
		if err != nil || !strings.HasPrefix(known[0].LastResult, "skipped: workflow report already has an active run") {
			t.Errorf("%+v, %v", known, err)
		}
		close(hold)
		elapse(time.Hour)
		if n := runsOf(t, e, "hourly"); n != 2 {
			t.Errorf("%d runs after the first ended", n)
		}
	})
}

func TestCatchUp(t *testing.T) {
	for policy, want := range map[runtime.CatchUp]int{"": 2, runtime.CatchUpOne: 2, runtime.CatchUpAll: 6, runtime.CatchUpNone: 1} {
		t.Run("policy "+string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := runtimetest.NewMemStore(4)
				e := start(t, runtime.Options{Store: store}, reports(nil))
				s := spec("hourly", "@every 1h")
				s.CatchUp = policy
				create(t, e, s)
				elapse(time.Hour + time.Minute)
				if n := runsOf(t, e, "hourly"); n != 1 {
					t.Fatalf("%d runs in the first hour", n)
				}
				store = crash(t, e, store)
				elapse(5*time.Hour + 20*time.Minute) // five slots pass
				e = start(t, runtime.Options{Store: store}, reports(nil))
				elapse(10 * time.Minute)
				if n := runsOf(t, e, "hourly"); n != want {
					t.Errorf("%d runs, want %d", n, want)
				}
				elapse(time.Hour)
				if n := runsOf(t, e, "hourly"); n != want+1 {
					t.Errorf("%d runs after the next slot, want %d", n, want+1)
				}
			})
		})
	}
}

// writes is a store that counts its batches.
type writes struct {
	*runtimetest.MemStore
	n atomic.Int64
}

func (w *writes) Apply(s runtime.Shard, epoch runtime.Epoch, b *runtime.Batch) (runtime.LSN, error) {
	w.n.Add(1)
	return w.MemStore.Apply(s, epoch, b)
}

// A slot that is caught up with waits for the end of the run before it, writes nothing meanwhile, and goes on at once: also after a
// crash, and with a filter, which is asked again.
func TestCatchUpWaitsForTheRunBefore(t *testing.T) {
	for _, filtered := range []bool{false, true} {
		t.Run(fmt.Sprint("filter ", filtered), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hold := make(chan struct{})
				s := runtimetest.Schedule{Spec: runtime.ScheduleSpec{Name: "hourly", Cron: "@every 1h", CatchUp: runtime.CatchUpAll}}
				if filtered {
					s.Filter = runtimetest.Answer(runtime.OutcomeDone, "")
				}
				store := &writes{MemStore: runtimetest.NewMemStore(1)}
				e := start(t, runtime.Options{Store: store, StepTimeout: 100 * time.Hour}, reports(hold, s))
				elapse(30 * time.Minute)
				for range 2 { // five slots pass the first time
					store = &writes{MemStore: crash(t, e, store.MemStore)}
					elapse(5 * time.Hour)
					e = start(t, runtime.Options{Store: store, StepTimeout: 100 * time.Hour}, reports(hold, s))
					elapse(10 * time.Minute)
				}
				if n := runsOf(t, e, "hourly"); n != 1 {
					t.Fatalf("%d runs while the first goes on", n)
				}
				known, err := e.Schedules(t.Context())
				if err != nil || !strings.HasPrefix(known[0].LastResult, "waits: workflow report already has an active run") {
					t.Errorf("%+v, %v", known, err)
				}
				before := store.n.Load()
				elapse(10 * time.Hour)
				synctest.Wait()
				if n := store.n.Load() - before; n != 0 {
					t.Errorf("%d batches in ten hours of waiting", n)
				}
				for n := 2; n <= 4; n++ {
					hold <- struct{}{}
					if got := runsOf(t, e, "hourly"); got != n {
						t.Fatalf("%d runs, want %d, once the one before has ended", got, n)
					}
				}
				close(hold)
			})
		})
	}
}

// docs/parity.md, C25: a slot whose trigger fails is kept and tried again.
func TestFailedTriggerKeepsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), reports(nil))
		create(t, e, spec("yearly", "0 0 29 2 *"))
		e.SetCatalog(runtime.NewCatalog())
		elapse(60 * 24 * time.Hour)
		known, err := e.Schedules(t.Context())
		if err != nil || !strings.HasPrefix(known[0].LastResult, "failed, and will be tried again: there is no workflow report") {
			t.Fatalf("%+v, %v", known, err)
		}
		e.SetCatalog(runtime.NewCatalog(reports(nil)))
		elapse(time.Hour)
		if n := runsOf(t, e, "yearly"); n != 1 {
			t.Errorf("%d runs after the workflow came", n)
		}
	})
}

func TestPluginSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		filter := func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			asked++
			switch {
			case asked == 1:
				return errors.New("no answer")
			case in.Slot.Hour()%2 == 0:
				out.Kind = runtime.OutcomeSkip
			default:
				out.Kind, out.Changed, out.Object = runtime.OutcomeDone, true, fmt.Appendf(out.Object, "%d", in.Slot.Hour())
			}
			return nil
		}
		e := start(t, onMemory(), reports(nil, runtimetest.Schedule{Spec: runtime.ScheduleSpec{Name: "odd", Cron: "@hourly"}, Filter: filter}))
		synctest.Wait()
		elapse(24*time.Hour + time.Minute)
		if n := runsOf(t, e, "odd"); n != 12 {
			t.Errorf("%d runs in the odd hours of a day", n)
		}
		if err := e.DeleteSchedule(t.Context(), "report", "odd"); !errors.Is(err, runtime.ErrPluginSchedule) {
			t.Errorf("a client removed a plugin's schedule: %v", err)
		}
		if _, err := e.PauseSchedule(t.Context(), "report", "odd"); err != nil {
			t.Fatal(err)
		}
		elapse(24 * time.Hour)
		if n := runsOf(t, e, "odd"); n != 12 {
			t.Errorf("%d runs after a day of pause", n)
		}
		e.SetCatalog(runtime.NewCatalog(reports(nil)))
		synctest.Wait()
		if known, err := e.Schedules(t.Context()); err != nil || len(known) != 0 {
			t.Errorf("a schedule that the plugin no longer declares: %+v, %v", known, err)
		}
	})
}

func TestScheduleControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), reports(nil))
		create(t, e, spec("hourly", "@every 1h"))
		if _, err := e.CreateSchedule(t.Context(), spec("hourly", "@daily")); !errors.Is(err, runtime.ErrScheduleExists) {
			t.Errorf("a second schedule of the name: %v", err)
		}
		var unknown *runtime.UnknownWorkflowError
		if _, err := e.CreateSchedule(t.Context(), runtime.ScheduleSpec{Workflow: "x", Name: "s", Cron: "@daily"}); !errors.As(err, &unknown) {
			t.Errorf("a schedule of an unknown workflow: %v", err)
		}
		var invalid *runtime.InvalidError
		if _, err := e.CreateSchedule(t.Context(), spec("bad", "61 * * * *")); !errors.As(err, &invalid) || invalid.Field != "cron" {
			t.Errorf("a schedule that is none: %v", err)
		}
		if done, err := e.TriggerSchedule(t.Context(), "report", "hourly"); err != nil || done.Record.ForeignID != "hourly" {
			t.Errorf("triggered by hand: %+v, %v", done, err)
		}
		if _, err := e.PauseSchedule(t.Context(), "report", "hourly"); err != nil {
			t.Fatal(err)
		}
		elapse(10 * time.Hour)
		if n := runsOf(t, e, "hourly"); n != 1 {
			t.Errorf("%d runs while paused, want that by hand", n)
		}
		if _, err := e.ResumeSchedule(t.Context(), "report", "hourly"); err != nil {
			t.Fatal(err)
		}
		elapse(time.Hour)
		if n := runsOf(t, e, "hourly"); n != 3 {
			t.Errorf("%d runs, want that by hand, one for the pause and one for the hour", n)
		}
		if err := e.DeleteSchedule(t.Context(), "report", "hourly"); err != nil {
			t.Fatal(err)
		}
		elapse(10 * time.Hour)
		if n := runsOf(t, e, "hourly"); n != 3 {
			t.Errorf("%d runs after it was deleted", n)
		}
		if err := e.DeleteSchedule(t.Context(), "report", "hourly"); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
	})
}

func TestLagDelaysAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"paid"}, Func: runtimetest.To("paid")},
			runtimetest.Step{Status: "paid", To: []string{"shipped"}, Lag: time.Hour, Func: runtimetest.To("shipped")},
		))
		began := time.Now()
		settle(t, e, trigger(t, e, "orders", "1"))
		if took := time.Since(began).Round(time.Second); took != time.Hour {
			t.Errorf("the step ran after %v", took)
		}
	})
}

// A lag is waited for once, and the times of timeouts are computed before it.
func TestLagOfAStatusWithAComputedTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var computed atomic.Int64
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Step{Status: "paid", To: []string{"shipped"}, Lag: time.Hour, Func: runtimetest.To("shipped")},
			runtimetest.Timeout{Status: "paid", Name: "late", To: []string{"shipped"}, Func: runtimetest.To("shipped"), Timer: runtimetest.Due(
				func(in *runtime.Invocation) time.Time {
					computed.Store(int64(in.Now.Sub(began)))
					return in.Now.Add(24 * time.Hour)
				})},
		))
		settle(t, e, trigger(t, e, "orders", "1"))
		if took := time.Since(began).Round(time.Second); took != time.Hour || computed.Load() > int64(time.Second) {
			t.Errorf("the timeout was computed after %v, and the step ran after %v; want it at once, and an hour", time.Duration(computed.Load()), took)
		}
	})
}

func TestMoveAndEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"paid"}, Func: runtimetest.Answer(runtime.OutcomePermanent, "no")},
			runtimetest.Step{Status: "paid", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
		))
		id := trigger(t, e, "orders", "1")
		settle(t, e, id)
		note := runtime.Note{By: "ann", Reason: "mended by hand"}
		if rec, err := e.SetObject(t.Context(), id, []byte(`{"mended":true}`), note); err != nil || rec.Version != 3 || rec.State != runtime.Paused {
			t.Fatalf("%+v, %v", rec, err)
		}
		var invalid *runtime.InvalidError
		if _, err := e.SetObject(t.Context(), id, []byte(`{`), note); !errors.As(err, &invalid) {
			t.Errorf("an object that is not JSON: %v", err)
		}
		var unknown *runtime.UnknownStatusError
		if _, err := e.Move(t.Context(), id, "lost", note); !errors.As(err, &unknown) {
			t.Errorf("a move to nowhere: %v", err)
		}
		if _, err := e.Move(t.Context(), id, "paid", note); err != nil {
			t.Fatal(err)
		}
		last := settle(t, e, id)
		if last.Status != "shipped" || last.State != runtime.Completed || string(last.Object) != `{"mended":true}` {
			t.Errorf("%+v", last)
		}
		entries, err := e.History(t.Context(), id, 0, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		for v, did := range map[int]string{2: "edit", 3: "move"} {
			if h := entries[v]; h.Cause != runtime.CausePerson || h.By != "ann" || h.Reason != "mended by hand" || h.Handler != did {
				t.Errorf("version %d: %+v", v+1, h)
			}
		}
		var illegal *runtime.TransitionError
		if _, err := e.Move(t.Context(), id, "paid", note); !errors.As(err, &illegal) {
			t.Errorf("a move of a run that has ended: %v", err)
		}
		if _, err := e.SetObject(t.Context(), id, []byte(`1`), note); !errors.As(err, &illegal) {
			t.Errorf("an edit of a run that has ended: %v", err)
		}
	})
}

// The idempotency key of a step stays through retries, pauses and resumes, and changes with each entry and repeat.
func TestIdempotencyKeyOfAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []string
		e := start(t, onMemory(), runtimetest.Workflow("orders", runtimetest.Step{
			Status: "received", To: []string{"received", "shipped"}, Retry: runtime.Retry{Attempts: 2},
			Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				key := string(in.AppendIdempotencyKey(nil))
				keys = append(keys, strings.TrimPrefix(key, in.Record.RunID.String()))
				switch len(keys) {
				case 1, 2, 3:
					return errors.New("no answer")
				case 4:
					out.Kind = runtime.OutcomeRepeat
				case 5:
					out.Kind, out.Status = runtime.OutcomeTo, "received"
				default:
					out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				}
				return nil
			},
		}))
		id := trigger(t, e, "orders", "1")
		settle(t, e, id)
		if _, err := e.Resume(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		settle(t, e, id)
		if got := strings.Join(keys, " "); got != "/1/step/received /1/step/received /1/step/received /1/step/received /4/step/received /5/step/received" {
			t.Errorf("keys %s", got)
		}
	})
}

// A filter that fails is told its attempts one by one, and its waits grow with them.
func TestAttemptsOfAFilterAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []uint32
		e := start(t, onMemory(), reports(nil, runtimetest.Schedule{
			Spec: runtime.ScheduleSpec{Name: "daily", Cron: "@daily"},
			Filter: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				if attempts = append(attempts, in.Attempt); len(attempts) < 5 {
					return errors.New("no answer")
				}
				out.Kind = runtime.OutcomeDone
				return nil
			},
		}))
		elapse(24*time.Hour + 31*time.Second) // 1, 2, 4 and 8 seconds at most between the five
		if n := runsOf(t, e, "daily"); n != 1 || !slices.Equal(attempts, []uint32{1, 2, 3, 4, 5}) {
			t.Errorf("%d runs after the attempts %v", n, attempts)
		}
	})
}
