package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// failing is a workflow of one step that fails until it has been called often enough.
func failing(attempts uint32, fails int, how func(out *runtime.Outcome) error) *runtime.Workflow {
	calls := map[string]int{}
	return runtimetest.Workflow("orders", runtimetest.Step{
		Status: "received", To: []string{"shipped"}, Parallelism: 1, Retry: runtime.Retry{Attempts: attempts},
		Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			calls[in.Record.ForeignID]++
			if n := calls[in.Record.ForeignID]; n <= fails && in.Record.ForeignID != "good" {
				return how(out)
			}
			out.Kind, out.Status = runtime.OutcomeTo, "shipped"
			return nil
		},
	})
}

func refuse(out *runtime.Outcome) error {
	out.Kind, out.Reason = runtime.OutcomeError, "no answer"
	return nil
}

func TestRetryUntilSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := onMemory()
		opt.Random = func() uint64 { return 1 << 63 } // half of each wait
		e := start(t, opt, failing(10, 3, refuse))
		began := time.Now()
		id := trigger(t, e, "orders", "1")
		last := settle(t, e, id)
		if last.State != runtime.Completed || last.Version != 2 {
			t.Errorf("the end: %+v", last)
		}
		if took, want := time.Since(began), 3500*time.Millisecond; took < want || took > want+10*time.Millisecond {
			t.Errorf("took %v; half of 1 s, 2 s and 4 s is %v", took, want)
		}
		wantHistory(t, e, id, `
1 Initiated received
1 Initiated received attempt 1 failed: no answer
1 Initiated received attempt 2 failed: no answer
1 Initiated received attempt 3 failed: no answer
2 Completed shipped
`)
	})
}

// docs/parity.md, C3, C4, C15: whatever way a step fails, its run alone suffers, and other runs of the step go on.
func TestFailingRunBlocksNobody(t *testing.T) {
	for name, how := range map[string]func(*runtime.Outcome) error{
		"error":          refuse,
		"error returned": func(*runtime.Outcome) error { return errors.New("no answer") },
		"deadline":       func(*runtime.Outcome) error { return context.DeadlineExceeded },
		"panic":          func(*runtime.Outcome) error { panic("no answer") },
		"no outcome":     func(*runtime.Outcome) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opt := onMemory()
				opt.AutoResume = -1
				opt.Workers = 1
				e := start(t, opt, failing(3, 1000, how))
				bad := trigger(t, e, "orders", "bad")
				began := time.Now()
				for range 5 {
					if last := settle(t, e, trigger(t, e, "orders", "good")); last.State != runtime.Completed {
						t.Fatalf("the good run: %+v", last)
					}
				}
				if waited := time.Since(began); waited > 100*time.Millisecond {
					t.Errorf("the good runs waited %v", waited)
				}
				if last := settle(t, e, bad); last.State != runtime.Paused || last.Pause != runtime.PausedByError || last.Reason == "" {
					t.Errorf("the bad run: %+v", last)
				}
			})
		})
	}
}

// docs/parity.md, D: a run is paused after N consecutive failures; success counts anew.
func TestAttemptsAreCountedAnewAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		e := start(t, onMemory(), runtimetest.Workflow("orders", runtimetest.Step{
			Status: "received", To: []string{"shipped"}, Retry: runtime.Retry{Attempts: 2},
			Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				calls++
				switch {
				case calls%2 == 1:
					return refuse(out)
				case in.Record.Version == 6:
					out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				default:
					out.Kind = runtime.OutcomeRepeat
				}
				return nil
			},
		}))
		last := settle(t, e, trigger(t, e, "orders", "1"))
		if last.State != runtime.Completed || calls != 12 {
			t.Errorf("after %d calls: %+v", calls, last)
		}
	})
}

func TestErrorPauseResumesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), failing(2, 2, refuse))
		id := trigger(t, e, "orders", "1")
		paused := settle(t, e, id)
		if paused.State != runtime.Paused || paused.Reason != "no answer (attempt 2 of 2)" {
			t.Fatalf("after two failures: %+v", paused)
		}
		done, err := e.Await(t.Context(), id, runtime.Until{State: runtime.Completed})
		if err != nil || !done.Reached {
			t.Fatal(done, err)
		}
		if rested := done.Record.UpdatedAt.Sub(paused.UpdatedAt); rested != time.Hour {
			t.Errorf("it rested %v", rested)
		}
		wantHistory(t, e, id, `
1 Initiated received
1 Initiated received attempt 1 failed: no answer
2 Paused received
3 Running received
4 Completed shipped
`)
	})
}

func TestPauseByStepDoesNotResumeByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), failing(2, 1, func(out *runtime.Outcome) error {
			out.Kind, out.Reason, out.Changed, out.Object = runtime.OutcomePause, "stock", true, append(out.Object, `"kept"`...)
			return nil
		}))
		id := trigger(t, e, "orders", "1")
		settle(t, e, id)
		elapse(1000 * time.Hour)
		synctest.Wait()
		now, err := e.Run(t.Context(), id)
		if err != nil || now.State != runtime.Paused || now.Reason != "stock" || string(now.Object) != `"kept"` {
			t.Fatalf("%+v, %v", now, err)
		}
		if _, err := e.Resume(t.Context(), id, runtime.Note{Reason: "stock has come"}); err != nil {
			t.Fatal(err)
		}
		if last := settle(t, e, id); last.State != runtime.Completed {
			t.Errorf("after the resume: %+v", last)
		}
	})
}

func TestRepeatAfterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), runtimetest.Workflow("poll", runtimetest.Step{
			Status: "asking", To: []string{"answered"},
			Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Kind, out.Delay = runtime.OutcomeRepeat, time.Minute
				if in.Record.Version == 4 {
					out.Kind, out.Status = runtime.OutcomeTo, "answered"
				}
				return nil
			},
		}))
		began := time.Now()
		last := settle(t, e, trigger(t, e, "poll", "1"))
		if took := time.Since(began); last.State != runtime.Completed || took.Round(time.Second) != 3*time.Minute {
			t.Errorf("after %v: %+v", took, last)
		}
	})
}

func TestCirclingRunIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := onMemory()
		opt.MaxVersions = 500
		e := start(t, opt, runtimetest.Workflow("circle", runtimetest.Step{
			Status: "round", To: []string{"round"}, Func: runtimetest.To("round"),
		}))
		id := trigger(t, e, "circle", "1")
		for i := range uint64(3) {
			if last := settle(t, e, id); last.Version != 501*(i+1) || last.Pause != runtime.PausedByLimit {
				t.Fatalf("round %d: %+v", i, last)
			}
			if _, err := e.Resume(t.Context(), id, runtime.Note{Reason: "once more"}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A run that only takes what comes from outside does not circle, however much that is; and a person who resumes it has looked.
func TestCallbacksAreNoCircle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := onMemory()
		opt.MaxVersions = 10
		e := start(t, opt, runtimetest.Workflow("sum",
			runtimetest.Callback{Status: "collecting", To: []string{"done"}, Func: runtimetest.Answer(runtime.OutcomeRepeat, "")},
			runtimetest.Callback{Status: "collecting", Name: "unused", To: []string{"done"}, Func: runtimetest.To("done")},
		))
		id := trigger(t, e, "sum", "1")
		for i := range uint64(100) {
			done, err := e.Callback(t.Context(), runtime.Callback{
				Workflow: "sum", Status: "collecting", ForeignID: "1", Payload: []byte("1"), Wait: time.Minute,
			})
			if err != nil || done.Pending || done.Record.Version != i+2 || done.Record.State != runtime.Running {
				t.Fatalf("callback %d: %+v, %v", i, done, err)
			}
		}
		if rec, err := e.Run(t.Context(), id); err != nil || rec.Alone != 0 {
			t.Errorf("%+v, %v", rec, err)
		}
	})
}

// docs/parity.md, C9: control during an invocation wins, and the outcome that comes too late changes nothing.
func TestControlDuringInvocation(t *testing.T) {
	for _, then := range []string{"stay", "resume"} {
		t.Run(then, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls []string
				gate := make(chan struct{})
				e := start(t, onMemory(), runtimetest.Workflow("orders", runtimetest.Step{
					Status: "received", To: []string{"shipped"},
					Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
						calls = append(calls, strconv.FormatUint(in.Record.Version, 10))
						<-gate
						out.Kind, out.Status, out.Changed = runtime.OutcomeTo, "shipped", true
						out.Object = fmt.Append(out.Object, in.Record.Version)
						return nil
					},
				}))
				id := trigger(t, e, "orders", "1")
				synctest.Wait()
				if rec, err := e.Pause(t.Context(), id, runtime.Note{Reason: "asked"}); err != nil || rec.State != runtime.Paused || rec.Version != 2 {
					t.Fatal(rec, err)
				}
				if then == "resume" {
					if _, err := e.Resume(t.Context(), id, runtime.Note{Reason: "asked"}); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if len(calls) != 1 {
						t.Fatalf("two invocations of one run at a time: %v", calls)
					}
				}
				close(gate)
				synctest.Wait()
				now, err := e.Run(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if then == "stay" && (now.State != runtime.Paused || now.Version != 2 || string(now.Object) != "null") {
					t.Errorf("a late outcome changed the run: %+v", now)
				}
				if then == "resume" && (now.State != runtime.Completed || string(now.Object) != "3" || len(calls) != 2) {
					t.Errorf("after the resume: %+v, calls with versions %v", now, calls)
				}
				if n := e.Stats().InMemory; n != 0 {
					t.Errorf("%d runs in memory", n)
				}
			})
		})
	}
}

// A run that waits in a queue and is changed there is run as it then is, once.
func TestControlWhileQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		calls := map[string]int{}
		opt := onMemory()
		opt.Workers = 1
		e := start(t, opt, runtimetest.Workflow("orders", runtimetest.Step{
			Status: "received", To: []string{"shipped"},
			Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				calls[in.Record.ForeignID]++
				<-gate
				out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				return nil
			},
		}))
		trigger(t, e, "orders", "first")
		synctest.Wait()
		cancelled, resumed := trigger(t, e, "orders", "cancelled"), trigger(t, e, "orders", "resumed")
		if _, err := e.Cancel(t.Context(), cancelled, runtime.Note{Reason: "asked"}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Pause(t.Context(), resumed, runtime.Note{Reason: "asked"}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Resume(t.Context(), resumed, runtime.Note{Reason: "asked"}); err != nil {
			t.Fatal(err)
		}
		close(gate)
		synctest.Wait()
		if last := settle(t, e, resumed); last.State != runtime.Completed || calls["resumed"] != 1 {
			t.Errorf("after %d calls: %+v", calls["resumed"], last)
		}
		if last := settle(t, e, cancelled); last.State != runtime.Cancelled || calls["cancelled"] != 0 {
			t.Errorf("after %d calls: %+v", calls["cancelled"], last)
		}
		var illegal *runtime.TransitionError
		if _, err := e.Resume(t.Context(), cancelled, runtime.Note{Reason: "asked"}); !errors.As(err, &illegal) || illegal.From != runtime.Cancelled {
			t.Errorf("resume of a cancelled run: %v", err)
		}
	})
}

// refusing is a host that refuses invocations for reasons of its own, until it has refused often enough.
type refusing struct{ left *int }

func (r refusing) Invoke(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
	if *r.left--; *r.left >= 0 {
		return errors.New("no instance was free")
	}
	out.Kind, out.Status = runtime.OutcomeTo, "shipped"
	return nil
}

// What the host refuses does not count as an attempt.
func TestRefusedInvocationsCostNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 20
		w := runtimetest.Workflow("orders", runtimetest.Step{Status: "received", To: []string{"shipped"}, Retry: runtime.Retry{Attempts: 2}})
		w.Statuses["received"].Step.Invoker = refusing{&left}
		e := start(t, onMemory(), w)
		id := trigger(t, e, "orders", "1")
		if last := settle(t, e, id); last.State != runtime.Completed {
			t.Errorf("%+v", last)
		}
		wantHistory(t, e, id, "1 Initiated received\n2 Completed shipped\n")
	})
}

// busyHost is a host that refuses invocations once it is told to.
type busyHost struct{ refuse <-chan struct{} }

func (h busyHost) Invoke(ctx context.Context, _ *runtime.Invocation, _ *runtime.Outcome) error {
	select {
	case <-h.refuse:
		return errors.New("no memory was free")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A callback that comes while the host makes up its mind about the step is handled at once when the step is refused: it does not wait with it.
func TestCallbackDoesNotWaitForARefusedStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := make(chan struct{})
		w := runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"shipped"}},
			runtimetest.Callback{Status: "received", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
		)
		w.Statuses["received"].Step.Invoker = busyHost{refuse}
		e := start(t, onMemory(), w)
		id := trigger(t, e, "orders", "1")
		synctest.Wait()
		done, err := e.Callback(t.Context(), runtime.Callback{Workflow: "orders", Status: "received", ForeignID: "1"})
		if err != nil || !done.Pending {
			t.Fatalf("%+v, %v", done, err)
		}
		began := time.Now()
		close(refuse)
		if last := settle(t, e, id); last.State != runtime.Completed || time.Since(began) != 0 {
			t.Errorf("after %v: %+v", time.Since(began), last)
		}
	})
}

// A module whose instances are all busy keeps no worker waiting, so others have theirs.
func TestBusyModuleStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &runtime.Module{Instances: 2}
		var now, most atomic.Int32
		step := func(status, to string) runtimetest.Step {
			return runtimetest.Step{Status: status, To: []string{to}, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				most.Store(max(most.Load(), now.Add(1)))
				elapse(10 * time.Second)
				now.Add(-1)
				out.Kind, out.Status = runtime.OutcomeTo, to
				return nil
			}}
		}
		w := runtimetest.Workflow("slow", step("a", "b"), step("b", "done"))
		for _, s := range w.Statuses {
			if s.Step != nil {
				s.Step.Module = slow
			}
		}
		opt := onMemory()
		opt.Workers = 4
		e := start(t, opt, w, runtimetest.Chain("quick", 3))
		for i := range 20 {
			trigger(t, e, "slow", strconv.Itoa(i))
		}
		synctest.Wait()
		began := time.Now()
		for i := range 20 {
			settle(t, e, trigger(t, e, "quick", strconv.Itoa(i)))
		}
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("the quick runs waited %v", waited)
		}
		elapse(time.Hour)
		synctest.Wait()
		if most.Load() != 2 {
			t.Errorf("%d invocations of the module at a time, want 2", most.Load())
		}
		done, err := e.Runs(t.Context(), runtime.Query{Workflows: []string{"slow"}, States: []runtime.RunState{runtime.Completed}, Limit: 100})
		if err != nil || len(done) != 20 {
			t.Fatalf("%d of 20 completed, %v", len(done), err)
		}
		for _, r := range done {
			if took := r.UpdatedAt.Sub(r.CreatedAt); took > 200*time.Second {
				t.Errorf("run %s ended after %v; 40 steps of 10 s, 2 at a time, take 200 s", r.ForeignID, took)
			}
		}
	})
}
