package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// waiting is a status that only waits, with two timeouts, and one that a step leads to.
func waiting(parts ...runtimetest.Part) *runtime.Workflow {
	return runtimetest.Workflow("orders", append([]runtimetest.Part{
		runtimetest.Step{Status: "received", To: []string{"paid"}, Func: runtimetest.To("paid")},
	}, parts...)...)
}

func TestTimeoutFiresOnceAndAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fired []string
		mark := func(name, to string) runtimetest.Func {
			return func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				fired = append(fired, name)
				if out.Kind, out.Status = runtime.OutcomeTo, to; to == "" {
					out.Kind = runtime.OutcomeSkip
				}
				return nil
			}
		}
		e := start(t, onMemory(), waiting(
			runtimetest.Timeout{Status: "paid", Name: "remind", After: time.Hour, Func: mark("remind", "")},
			runtimetest.Timeout{Status: "paid", Name: "give up", After: 48 * time.Hour, To: []string{"late"}, Func: mark("give up", "late")},
			runtimetest.Timeout{Status: "paid", Name: "never", Func: mark("never", "late"), To: []string{"late"}, Timer: runtimetest.Due(
				func(*runtime.Invocation) time.Time { return time.Time{} })},
			runtimetest.Timeout{Status: "paid", Name: "computed", Func: mark("computed", ""), Timer: runtimetest.Due(
				func(in *runtime.Invocation) time.Time { return in.Now.Add(2 * time.Hour) })},
		))
		began := time.Now()
		id := trigger(t, e, "orders", "1")
		last := settle(t, e, id)
		if last.Status != "late" || last.State != runtime.Completed {
			t.Fatalf("the end: %+v", last)
		}
		if took := time.Since(began); took < 48*time.Hour || took > 48*time.Hour+10*time.Millisecond {
			t.Errorf("it fired after %v", took)
		}
		if got := fmt.Sprint(fired); got != "[remind computed give up]" {
			t.Errorf("fired: %s", got)
		}
		elapse(1000 * time.Hour)
		synctest.Wait()
		if len(fired) != 3 {
			t.Errorf("timeouts fired after the end: %v", fired)
		}
	})
}

// docs/parity.md, C12: a timer belongs to a run and an entry, not to a foreign ID.
func TestTimerOfOneRunDoesNotFireOnTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), waiting(
			runtimetest.Timeout{Status: "paid", After: time.Hour, To: []string{"late"}, Func: runtimetest.To("late")},
		))
		first := trigger(t, e, "orders", "1")
		elapse(59 * time.Minute)
		if _, err := e.Cancel(t.Context(), first, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		second := trigger(t, e, "orders", "1")
		elapse(30 * time.Minute)
		synctest.Wait()
		if now, err := e.Run(t.Context(), second); err != nil || now.Status != "paid" || now.State != runtime.Running {
			t.Fatalf("the first run's timer fired on the second: %+v, %v", now, err)
		}
		if last := settle(t, e, second); last.UpdatedAt.Sub(last.CreatedAt) < time.Hour {
			t.Errorf("its own timer fired after %v", last.UpdatedAt.Sub(last.CreatedAt))
		}
	})
}

func TestTimersDieWithTheirEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fired atomic.Int32
		e := start(t, onMemory(), waiting(
			runtimetest.Timeout{Status: "paid", After: time.Hour, To: []string{"late"}, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				fired.Add(1)
				out.Kind, out.Status = runtime.OutcomeTo, "late"
				return nil
			}},
			runtimetest.Callback{Status: "paid", To: []string{"paid", "shipped"}, Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Kind, out.Status = runtime.OutcomeTo, string(in.Payload)
				return nil
			}},
		))
		id := trigger(t, e, "orders", "1")
		for range 3 { // each entry begins the hour anew
			elapse(40 * time.Minute)
			call(t, e, "1", "paid")
		}
		elapse(40 * time.Minute)
		call(t, e, "1", "shipped")
		elapse(10 * time.Hour)
		synctest.Wait()
		if last := settle(t, e, id); last.Status != "shipped" || fired.Load() != 0 {
			t.Errorf("after %d timeouts: %+v", fired.Load(), last)
		}
	})
}

// call sends a callback to the orders workflow's status paid, which must take it.
func call(t *testing.T, e *runtime.Engine, foreignID, payload string) runtime.CallbackDone {
	t.Helper()
	done, err := e.Callback(t.Context(), runtime.Callback{
		Workflow: "orders", Status: "paid", ForeignID: foreignID, Payload: []byte(payload), Wait: time.Minute,
	})
	if err != nil || done.Pending {
		t.Fatalf("callback %q: %+v, %v", payload, done, err)
	}
	return done
}

// docs/parity.md, C14: resume inserts no duplicate, and a paused run's timer waits; if due, it fires on resume.
func TestPausedTimersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fired atomic.Int32
		e := start(t, onMemory(), waiting(runtimetest.Timeout{
			Status: "paid", After: time.Hour, To: []string{"late"}, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				fired.Add(1)
				out.Kind, out.Status = runtime.OutcomeTo, "late"
				return nil
			},
		}))
		id := trigger(t, e, "orders", "1")
		for range 5 {
			elapse(time.Minute)
			if _, err := e.Pause(t.Context(), id, runtime.Note{}); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Resume(t.Context(), id, runtime.Note{}); err != nil {
				t.Fatal(err)
			}
		}
		if now, err := e.Run(t.Context(), id); err != nil || len(now.Pending) != 1 {
			t.Fatalf("timers after five resumes: %+v, %v", now.Pending, err)
		}
		if _, err := e.Pause(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		elapse(10 * time.Hour)
		synctest.Wait()
		if fired.Load() != 0 {
			t.Fatal("a paused run's timeout fired")
		}
		resumed := time.Now()
		if _, err := e.Resume(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		if last := settle(t, e, id); last.Status != "late" || fired.Load() != 1 || time.Since(resumed) > 10*time.Millisecond {
			t.Errorf("after %d timeouts and %v: %+v", fired.Load(), time.Since(resumed), last)
		}
	})
}

// docs/parity.md, D: timeouts back off, and exhaust their attempts, like steps; the step's own attempts are not touched.
func TestTimeoutRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []uint32
		opt := onMemory()
		opt.AutoResume = -1
		opt.Random = func() uint64 { return 1 << 63 }
		e := start(t, opt, waiting(runtimetest.Timeout{
			Status: "paid", Name: "late", After: time.Hour, To: []string{"late"}, Retry: runtime.Retry{Attempts: 3},
			Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				attempts = append(attempts, in.Attempt)
				if len(attempts) == 4 {
					out.Kind, out.Status = runtime.OutcomeTo, "late"
					return nil
				}
				return errors.New("no answer")
			},
		}))
		id := trigger(t, e, "orders", "1")
		if last := settle(t, e, id); last.State != runtime.Paused || last.Reason != "no answer (attempt 3 of 3)" {
			t.Fatalf("after three failures: %+v", last)
		}
		wantHistory(t, e, id, `
1 Initiated received
2 Running paid
2 Running paid attempt 1 failed: no answer
2 Running paid attempt 2 failed: no answer
3 Paused paid
`)
		if _, err := e.Resume(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		if last := settle(t, e, id); last.Status != "late" || fmt.Sprint(attempts) != "[1 2 3 1]" {
			t.Errorf("attempts %v, then %+v", attempts, last)
		}
	})
}

// A timeout that comes due while the step runs does not cost the step its outcome.
func TestTimeoutDuringStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		e := start(t, onMemory(), waiting(
			runtimetest.Step{Status: "paid", To: []string{"shipped"}, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				calls++
				elapse(time.Hour)
				out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				return nil
			}},
			runtimetest.Timeout{Status: "paid", After: time.Minute, To: []string{"late"}, Func: runtimetest.To("late")},
		))
		if last := settle(t, e, trigger(t, e, "orders", "1")); last.Status != "shipped" || calls != 1 {
			t.Errorf("after %d calls: %+v", calls, last)
		}
	})
}

// A timeout fires while its run's step waits for its next attempt.
func TestTimeoutDuringBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), waiting(
			runtimetest.Step{
				Status: "paid", To: []string{"shipped"}, Func: runtimetest.Answer(runtime.OutcomeError, "no answer"),
				Retry: runtime.Retry{Initial: 24 * time.Hour, Max: 24 * time.Hour},
			},
			runtimetest.Timeout{Status: "paid", After: time.Minute, To: []string{"late"}, Func: runtimetest.To("late")},
		))
		began := time.Now()
		if last := settle(t, e, trigger(t, e, "orders", "1")); last.Status != "late" || time.Since(began) > 2*time.Minute {
			t.Errorf("after %v: %+v", time.Since(began), last)
		}
	})
}

func TestTimersSurviveRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(4)
		w := waiting(runtimetest.Timeout{
			Status: "paid", After: time.Hour, To: []string{"late"}, Func: runtimetest.To("late"),
		})
		e := start(t, runtime.Options{Store: store}, w)
		var ids []runtime.RunID
		for i := range 50 {
			ids = append(ids, trigger(t, e, "orders", fmt.Sprint(i)))
		}
		synctest.Wait()
		store = crash(t, e, store)
		elapse(30 * time.Minute)
		e = start(t, runtime.Options{Store: store}, w)
		synctest.Wait()
		store = crash(t, e, store)
		elapse(5 * time.Hour)
		e = start(t, runtime.Options{Store: store}, w)
		for _, id := range ids {
			if last := settle(t, e, id); last.Status != "late" || last.Version != 3 {
				t.Errorf("%+v", last)
			}
		}
	})
}

func TestCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var payloads []string
		take := func(name string) runtimetest.Func {
			return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				payloads = append(payloads, name+":"+string(in.Payload))
				out.Logs = append(out.Logs, runtime.LogLine{Text: "asked " + name})
				var p struct{ To, For string }
				if err := json.Unmarshal(in.Payload, &p); err != nil {
					out.Kind, out.Reason = runtime.OutcomePermanent, "not JSON"
					return nil
				}
				if p.For != name {
					out.Kind = runtime.OutcomeSkip
					return nil
				}
				out.Kind, out.Status, out.Changed, out.Object = runtime.OutcomeTo, p.To, true, append(out.Object, in.Payload...)
				return nil
			}
		}
		e := start(t, onMemory(), waiting(
			runtimetest.Callback{Status: "paid", Name: "a", To: []string{"paid", "shipped"}, Func: take("a")},
			runtimetest.Callback{Status: "paid", Name: "b", To: []string{"paid", "shipped"}, Func: take("b")},
		))
		id := trigger(t, e, "orders", "1")
		synctest.Wait()

		// Every handler gets the whole payload (docs/parity.md, C22), in order, until one moves the run.
		done := call(t, e, "1", `{"For":"b","To":"paid"}`)
		if done.Record.Version != 3 || done.Reason != "" || fmt.Sprint(payloads) != `[a:{"For":"b","To":"paid"} b:{"For":"b","To":"paid"}]` {
			t.Errorf("%+v after %v", done, payloads)
		}
		logs, err := e.Logs(t.Context(), id, 0, time.Time{}, 10)
		if err != nil || len(logs) != 1 || fmt.Sprint(logs[0].Lines[0].Text, logs[0].Lines[1].Text) != "asked aasked b" {
			t.Errorf("logs of both handlers: %+v, %v", logs, err)
		}
		if done := call(t, e, "1", `{}`); done.Reason != "skipped" || done.Record.Version != 3 {
			t.Errorf("a callback that all skip: %+v", done)
		}
		var refused *runtime.CallbackRefusedError
		ask := runtime.Callback{Workflow: "orders", Status: "paid", RunID: id, Payload: []byte("?"), Wait: time.Minute}
		if _, err := e.Callback(t.Context(), ask); !errors.As(err, &refused) || refused.Reason != "not JSON" || refused.Record.State != runtime.Running {
			t.Errorf("a callback that its handler refuses: %v", err)
		}

		// The same key gives the same answer and has no second effect.
		payloads = nil
		ask.Payload, ask.IdempotencyKey = []byte(`{"For":"a","To":"shipped"}`), "k"
		for i := range 3 {
			done, err := e.Callback(t.Context(), ask)
			if err != nil || done.Record.Status != "shipped" || done.Pending || len(payloads) != 1 {
				t.Errorf("repetition %d: %+v, %v, calls %v", i, done, err, payloads)
			}
		}
		var reused *runtime.KeyReusedError
		ask.Payload = []byte(`{}`)
		if _, err := e.Callback(t.Context(), ask); !errors.As(err, &reused) {
			t.Errorf("another payload under the key: %v", err)
		}

		var wrong *runtime.WrongStatusError
		ask.IdempotencyKey = ""
		if _, err := e.Callback(t.Context(), ask); !errors.As(err, &wrong) || wrong.Record.State != runtime.Completed {
			t.Errorf("a callback to a finished run: %v", err)
		}
		wantHistory(t, e, id, `
1 Initiated received
2 Running paid
3 Running paid
3 Running paid callback: skipped
3 Running paid callback 3 failed: not JSON
4 Completed shipped
`)
	})
}

func TestCallbackRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Callback{Status: "received", To: []string{"paid"}, Func: runtimetest.To("paid")},
			runtimetest.Callback{Status: "paid", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
			runtimetest.Step{Status: "stepped", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
		))
		trigger(t, e, "orders", "1")
		ask := func(change func(*runtime.Callback)) error {
			c := runtime.Callback{Workflow: "orders", Status: "paid", ForeignID: "1", Wait: time.Minute}
			change(&c)
			_, err := e.Callback(t.Context(), c)
			return err
		}
		var wrong *runtime.WrongStatusError
		if err := ask(func(*runtime.Callback) {}); !errors.As(err, &wrong) || wrong.Record.Status != "received" || wrong.Want != "paid" {
			t.Errorf("wrong status: %v", err)
		}
		if err := ask(func(c *runtime.Callback) { c.ForeignID = "2" }); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("unknown foreign ID: %v", err)
		}
		if err := ask(func(c *runtime.Callback) { c.RunID = runtime.NewRunID(t0, 1, 1) }); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("unknown run: %v", err)
		}
		var status *runtime.UnknownStatusError
		if err := ask(func(c *runtime.Callback) { c.Status = "stepped" }); !errors.As(err, &status) || fmt.Sprint(status.Known) != "[paid received]" {
			t.Errorf("a status without callbacks: %v", err)
		}
		var workflow *runtime.UnknownWorkflowError
		if err := ask(func(c *runtime.Callback) { c.Workflow = "order" }); !errors.As(err, &workflow) {
			t.Errorf("unknown workflow: %v", err)
		}
		var invalid *runtime.InvalidError
		if err := ask(func(c *runtime.Callback) { c.Payload = make([]byte, 2<<20) }); !errors.As(err, &invalid) {
			t.Errorf("a large payload: %v", err)
		}
	})
}

// A callback to a paused run is taken in and handled on resume; so is one whose handler fails for a while.
func TestCallbackWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := 2
		store := runtimetest.NewMemStore(2)
		w := waiting(runtimetest.Callback{Status: "paid", To: []string{"shipped"}, Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			if fails--; fails >= 0 {
				return errors.New("no answer")
			}
			out.Kind, out.Status, out.Changed, out.Object = runtime.OutcomeTo, "shipped", true, append(out.Object, in.Payload...)
			return nil
		}})
		e := start(t, runtime.Options{Store: store}, w)
		id := trigger(t, e, "orders", "1")
		synctest.Wait()
		if _, err := e.Pause(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		done, err := e.Callback(t.Context(), runtime.Callback{
			Workflow: "orders", Status: "paid", ForeignID: "1", Payload: []byte("7"), Wait: time.Second, IdempotencyKey: "k",
		})
		if err != nil || !done.Pending || done.ID.Number != 1 {
			t.Fatalf("a callback to a paused run: %+v, %v", done, err)
		}
		store = crash(t, e, store)
		e = start(t, runtime.Options{Store: store}, w)
		if _, err := e.Resume(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		done, err = e.Callback(t.Context(), runtime.Callback{
			Workflow: "orders", Status: "paid", ForeignID: "1", Payload: []byte("7"), Wait: time.Minute, IdempotencyKey: "k",
		})
		if err != nil || done.Pending || done.Record.Status != "shipped" || string(done.Record.Object) != "7" {
			t.Errorf("the repetition after the resume: %+v, %v", done, err)
		}
	})
}

// Callbacks that wait behind one that moves the run on are refused, and told so.
func TestCallbacksThatComeTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		e := start(t, onMemory(), waiting(runtimetest.Callback{
			Status: "paid", To: []string{"shipped"}, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				<-gate
				out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				return nil
			},
		}))
		trigger(t, e, "orders", "1")
		synctest.Wait()
		var taken, late atomic.Int32
		for range 10 {
			go func() {
				_, err := e.Callback(t.Context(), runtime.Callback{Workflow: "orders", Status: "paid", ForeignID: "1", Wait: time.Minute})
				var refused *runtime.CallbackRefusedError
				switch {
				case err == nil:
					taken.Add(1)
				case errors.As(err, &refused):
					late.Add(1)
				default:
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if taken.Load() != 1 || late.Load() != 9 {
			t.Errorf("%d taken and %d refused, want 1 and 9", taken.Load(), late.Load())
		}
	})
}

// One callback more than a run may have waiting is refused as such, and changes nothing.
func TestTooManyCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 20
		options := onMemory()
		options.MaxCallbacks = room
		e := start(t, options, runtimetest.Workflow("orders", runtimetest.Callback{Status: "waiting", Name: "paid", Func: runtimetest.To("done"), To: []string{"done"}}))
		id := trigger(t, e, "orders", "1")
		if _, err := e.Pause(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		c := runtime.Callback{Workflow: "orders", Status: "waiting", ForeignID: "1"}
		for range room {
			if done, err := e.Callback(t.Context(), c); err != nil || !done.Pending {
				t.Fatalf("%+v, %v", done, err)
			}
		}
		_, err := e.Callback(t.Context(), c)
		var crowded *runtime.TooManyCallbacksError
		if !errors.As(err, &crowded) || crowded.RunID != id || crowded.Waiting != room {
			t.Errorf("one more: %v", err)
		}
		if rec, err := e.Run(t.Context(), id); err != nil || len(rec.Pending) != room {
			t.Errorf("%d wait, %v", len(rec.Pending), err)
		}
	})
}

// A definition that takes over while a run's timers are still to be computed: the timeouts are those of the entry, each once.
func TestTimersOfAnEntryOutliveTheirFunctions(t *testing.T) {
	fails := func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
		out.Kind, out.Reason = runtime.OutcomePermanent, "no service"
		return nil
	}
	in2h := runtimetest.Due(func(in *runtime.Invocation) time.Time { return in.Now.Add(2 * time.Hour) })
	timeout := func(name string, after time.Duration, timer runtimetest.Func) runtimetest.Timeout {
		return runtimetest.Timeout{Status: "paid", Name: name, After: after, Timer: timer, To: []string{"late"}, Func: runtimetest.To("late")}
	}
	for name, c := range map[string]struct {
		after []runtimetest.Part // the timeouts of the definition that takes over; at the entry a was fixed, b and c were computed
		want  string             // what is pending then
	}{
		"now fixed":           {[]runtimetest.Part{timeout("a", time.Hour, nil), timeout("b", 3*time.Hour, nil), timeout("c", 0, in2h)}, "a 1h0m0s, b 3h0m0s, c 2h0m0s"},
		"none computed":       {[]runtimetest.Part{timeout("a", time.Hour, nil), timeout("b", 3*time.Hour, nil), timeout("c", 4*time.Hour, nil)}, "a 1h0m0s, b 3h0m0s, c 4h0m0s"},
		"gone":                {[]runtimetest.Part{timeout("a", time.Hour, nil), timeout("c", 0, in2h)}, "a 1h0m0s, c 2h0m0s"},
		"fixed, now computed": {[]runtimetest.Part{timeout("a", 0, in2h), timeout("b", 0, in2h), timeout("c", 0, in2h)}, "a 1h0m0s, b 2h0m0s, c 2h0m0s"},
		"new ones":            {[]runtimetest.Part{timeout("b", 0, in2h), timeout("c", 0, in2h), timeout("d", 0, in2h), timeout("e", time.Minute, nil)}, "a 1h0m0s, b 2h0m0s, c 2h0m0s"},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", name, restart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := runtimetest.NewMemStore(1)
					opt := runtime.Options{Store: store}
					e := start(t, opt, waiting(timeout("a", time.Hour, nil), timeout("b", 0, fails), timeout("c", 0, fails)))
					began := time.Now()
					id := trigger(t, e, "orders", "1")
					if rec := settle(t, e, id); rec.State != runtime.Paused || rec.Status != "paid" {
						t.Fatalf("%+v", rec)
					}
					if restart {
						stop(t, e)
						if err := store.Close(); err != nil {
							t.Fatal(err)
						}
						opt.Store = store.Reopen()
						e = start(t, opt, waiting(c.after...))
					} else {
						e.SetCatalog(runtime.NewCatalog(waiting(c.after...)))
					}
					if _, err := e.Resume(t.Context(), id, runtime.Note{}); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					rec, err := e.Run(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					var pending []string
					for _, p := range rec.Pending {
						pending = append(pending, fmt.Sprintf("%s %v", p.Name, p.Due.Sub(began).Round(time.Minute)))
					}
					if got := strings.Join(pending, ", "); got != c.want || len(rec.Arming) != 0 {
						t.Errorf("pending: %s; want %s; to be computed: %v", got, c.want, rec.Arming)
					}
					if last := settle(t, e, id); last.Status != "late" {
						t.Errorf("the end: %+v", last)
					}
				})
			})
		}
	}
}

// A lag, and a delay that a step asks for, go on while a run is paused, and are not cut short by its resume.
func TestResumeKeepsADelay(t *testing.T) {
	for name, c := range map[string]struct {
		lag   time.Duration
		calls int // within the first minute
	}{"lag": {24 * time.Hour, 0}, "repeat": {0, 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				e := start(t, onMemory(), runtimetest.Workflow("orders", runtimetest.Step{
					Status: "received", To: []string{"done"}, Lag: c.lag, Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
						if calls.Add(1) == 1 && c.lag == 0 {
							out.Kind, out.Delay = runtime.OutcomeRepeat, 24*time.Hour
							return nil
						}
						return runtimetest.To("done")(ctx, in, out)
					},
				}))
				began := time.Now()
				id := trigger(t, e, "orders", "1")
				elapse(time.Minute)
				for range 2 {
					if _, err := e.Pause(t.Context(), id, runtime.Note{}); err != nil {
						t.Fatal(err)
					}
					elapse(time.Minute)
					if _, err := e.Resume(t.Context(), id, runtime.Note{}); err != nil {
						t.Fatal(err)
					}
					elapse(time.Minute)
				}
				if n := int(calls.Load()); n != c.calls {
					t.Errorf("the step was called %d times within minutes; want %d", n, c.calls)
				}
				last := settle(t, e, id)
				if took := last.UpdatedAt.Sub(began); took < 24*time.Hour || took > 24*time.Hour+time.Second {
					t.Errorf("it was done after %v; want a day", took)
				}
				paused := trigger(t, e, "orders", "2")
				calls.Store(0)
				elapse(time.Minute)
				if _, err := e.Pause(t.Context(), paused, runtime.Note{}); err != nil {
					t.Fatal(err)
				}
				elapse(48 * time.Hour)
				if _, err := e.Resume(t.Context(), paused, runtime.Note{}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if rec, err := e.Run(t.Context(), paused); err != nil || rec.State != runtime.Completed {
					t.Errorf("resumed after the delay: %+v, %v; want it done at once", rec, err)
				}
			})
		})
	}
}

// Nor does a pause that a callback or a timeout brought about, or the limit of versions, cut a lag or a delay of the step short.
func TestResumeKeepsADelayWhoeverPaused(t *testing.T) {
	repeats := func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		if in.Record.Version == 1 {
			out.Kind, out.Delay = runtime.OutcomeRepeat, 24*time.Hour
			return nil
		}
		return runtimetest.To("done")(ctx, in, out)
	}
	fails := func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		if out.Kind = runtime.OutcomeSkip; in.Record.Version == 1 {
			out.Kind, out.Reason = runtime.OutcomePermanent, "no"
		}
		return nil
	}
	for name, c := range map[string]struct {
		step     runtimetest.Step
		versions uint64
		part     runtimetest.Part
	}{
		"a callback pauses": {
			runtimetest.Step{Lag: 24 * time.Hour, Func: runtimetest.To("done")},
			100,
			runtimetest.Callback{Status: "received", Func: runtimetest.Answer(runtime.OutcomePause, "wait")},
		},
		"a callback pauses a repeat": {
			runtimetest.Step{Func: repeats},
			100,
			runtimetest.Callback{Status: "received", Func: runtimetest.Answer(runtime.OutcomePause, "wait")},
		},
		"a timeout fails": {
			runtimetest.Step{Lag: 24 * time.Hour, Func: runtimetest.To("done")},
			100,
			runtimetest.Timeout{Status: "received", Name: "t", After: time.Minute, Func: fails},
		},
		"the limit": {runtimetest.Step{Func: repeats}, 1, runtimetest.Retention(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.step.Status, c.step.To = "received", []string{"done"}
				opt := onMemory()
				opt.MaxVersions, opt.AutoResume = c.versions, -1
				e := start(t, opt, runtimetest.Workflow("orders", c.step, c.part))
				began := time.Now()
				id := trigger(t, e, "orders", "1")
				synctest.Wait()
				if _, called := c.part.(runtimetest.Callback); called {
					if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "orders", Status: "received", ForeignID: "1"}); err != nil {
						t.Fatal(err)
					}
				}
				elapse(2 * time.Minute)
				wantState(t, e, id, runtime.Paused)
				if _, err := e.Resume(t.Context(), id, runtime.Note{}); err != nil {
					t.Fatal(err)
				}
				for passed := time.Duration(0); passed < 23*time.Hour; passed += time.Hour {
					elapse(time.Hour)
					if rec, err := e.Run(t.Context(), id); err != nil || !rec.State.Active() {
						t.Fatalf("after %v: %+v, %v", time.Since(began), rec, err)
					}
				}
				if took := settle(t, e, id).UpdatedAt.Sub(began); took.Round(time.Second) != 24*time.Hour {
					t.Errorf("it was done after %v; want a day", took)
				}
			})
		})
	}
}
