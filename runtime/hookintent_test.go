package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// Hooks ask for runs as steps do: those of two hooks and of the step that made their version are all delivered, also when they
// are for the same foreign ID one after the other, and what a failed attempt asked for is not.
func TestHooksAskForRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := func(bill string, kind runtime.OutcomeKind) runtimetest.Func {
			return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Intents = append(out.Intents, runtime.Intent{Workflow: "bills", ForeignID: bill})
				if in.Handler.Name == "two" && in.Attempt == 1 {
					out.Intents[0].ForeignID = "failed"
					return errors.New("no answer")
				}
				out.Kind = kind
				return nil
			}
		}
		e := start(t, onMemory(),
			runtimetest.Workflow("orders",
				runtimetest.Step{Status: "received", To: []string{"shipped"}, Func: ask("same", runtime.OutcomeCancel)},
				runtimetest.Hook{On: runtime.HookCancel, Name: "one", Func: ask("other", runtime.OutcomeDone)},
				runtimetest.Hook{On: runtime.HookCancel, Name: "two", Func: ask("same", runtime.OutcomeDone)},
			),
			runtimetest.Workflow("bills", runtimetest.Step{Status: "open", To: []string{"paid"}, Func: runtimetest.To("paid")}),
		)
		id := trigger(t, e, "orders", "1")
		elapse(time.Hour)
		synctest.Wait()
		bills, err := e.Runs(t.Context(), runtime.Query{Workflows: []string{"bills"}, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		asked := map[string]int{}
		for _, r := range bills {
			asked[r.ForeignID]++
		}
		if len(bills) != 3 || asked["same"] != 2 || asked["other"] != 1 {
			t.Errorf("the bills are %v; want one each of the step and of both hooks", asked)
		}
		if lines := history(t, e, id); strings.Count(lines, "intent: triggered run") != 3 {
			t.Errorf("the history:\n%s", lines)
		}
	})
}

// A hook, a schedule, a timeout and a status may have names of 64 bytes. What the hook asks for is delivered, however many it asks for.
func TestLongestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const asked = 100
		long := strings.Repeat("n", runtime.MaxName)
		workflow := runtimetest.Workflow(long,
			runtimetest.Step{Status: long, To: []string{"waiting"}, Func: runtimetest.To("waiting")},
			runtimetest.Timeout{Status: "waiting", Name: long, After: time.Minute, To: []string{"late"}, Func: runtimetest.To("late")},
			runtimetest.Hook{On: runtime.HookComplete, Name: long, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				out.Kind = runtime.OutcomeDone
				for i := range asked {
					out.Intents = append(out.Intents, runtime.Intent{
						Workflow: "bills", ForeignID: fmt.Sprintf("%0*d", runtime.MaxForeignID, i),
					})
				}
				return nil
			}},
			runtimetest.Schedule{
				Spec: runtime.ScheduleSpec{Name: long, Cron: "@hourly"}, Filter: runtimetest.Answer(runtime.OutcomeDone, ""),
			},
		)
		e := start(t, onMemory(), workflow,
			runtimetest.Workflow("bills", runtimetest.Step{Status: "open", To: []string{"paid"}, Func: runtimetest.To("paid")}),
		)
		id := trigger(t, e, long, strings.Repeat("f", runtime.MaxForeignID))
		elapse(90 * time.Minute)
		synctest.Wait()
		if err := e.Err(); err != nil {
			t.Fatal(err)
		}
		if lines := history(t, e, id); strings.Count(lines, "intent: triggered run") != asked {
			t.Errorf("the history:\n%s", lines)
		}
		if n := runsOf(t, e, long); n != 1 {
			t.Errorf("the schedule began %d runs; want 1", n)
		}
	})
}

// calls is a workflow whose step asks for a callback to the run "1" of collectors, and for a trigger of it if it is to open it.
func calls(open bool) *runtime.Workflow {
	return runtimetest.Workflow("orders", runtimetest.Step{
		Status: "received", To: []string{"shipped"}, Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			if open {
				out.Intents = append(out.Intents, runtime.Intent{Workflow: "collectors", ForeignID: "1", Object: []byte(`""`)})
			}
			out.Intents = append(out.Intents, runtime.Intent{
				Kind: runtime.IntentCallback, Workflow: "collectors", ForeignID: "1", Status: "collecting", Object: []byte(in.Record.ForeignID),
			})
			if out.Kind, out.Status = runtime.OutcomeTo, "shipped"; in.Attempt == 1 && in.Record.ForeignID == "fails" {
				return errors.New("no answer")
			}
			return nil
		},
	})
}

// collectors is a workflow that counts payloads: its object is a text with a "+" for each, and one "end" ends it.
func collectors() *runtime.Workflow {
	return runtimetest.Workflow("collectors", runtimetest.Callback{
		Status: "collecting", To: []string{"written"}, Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			if string(in.Payload) == "end" {
				out.Kind, out.Status = runtime.OutcomeTo, "written"
				return nil
			}
			out.Kind, out.Changed = runtime.OutcomeRepeat, true
			out.Object = append(append(out.Object, in.Record.Object[:len(in.Record.Object)-1]...), `+"`...)
			return nil
		},
	})
}

func TestCallbackIntents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), calls(false), collectors())
		early := trigger(t, e, "orders", "early")
		elapse(3 * time.Second)
		done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "collectors", ForeignID: "1", Object: []byte(`""`)})
		if err != nil {
			t.Fatal(err)
		}
		trigger(t, e, "orders", "fails")
		elapse(time.Hour)
		synctest.Wait()
		if got := record(t, e, done.Record.RunID); string(got.Object) != `"++"` {
			t.Errorf("the collector has %s; want one of each order", got.Object)
		}
		if lines := history(t, e, early); strings.Count(lines, "took in") != 1 || !strings.Contains(lines, "took in as callback "+done.Record.RunID.String()) {
			t.Errorf("the history of the one that came early:\n%s", lines)
		}
		if lines := history(t, e, done.Record.RunID); strings.Count(lines, "took in a callback") != 2 {
			t.Errorf("the history of the collector:\n%s", lines)
		}
	})
}

// Intents whose target never comes to take them are tried for a while, and the history says why they were not delivered.
func TestUndeliverableCallbackIntents(t *testing.T) {
	for name, test := range map[string]struct {
		target []*runtime.Workflow
		begin  func(t *testing.T, e *runtime.Engine)
		want   string
	}{
		"no workflow": {want: `there is no workflow "collectors"`},
		"no run":      {target: []*runtime.Workflow{collectors()}, want: `there is no run of workflow collectors for foreign ID "1"`},
		"no such status": {
			target: []*runtime.Workflow{runtimetest.Workflow("collectors", runtimetest.Callback{Status: "open", To: []string{"shut"}})},
			want:   `workflow collectors has no status "collecting"`,
		},
		"another status": {
			target: []*runtime.Workflow{runtimetest.Workflow("collectors",
				runtimetest.Callback{Status: "open", To: []string{"collecting"}},
				runtimetest.Callback{Status: "collecting", To: []string{"shut"}},
			)},
			begin: func(t *testing.T, e *runtime.Engine) { trigger(t, e, "collectors", "1") },
			want:  "is in status open, and the callback is for status collecting",
		},
		"ended": {
			target: []*runtime.Workflow{collectors()},
			begin: func(t *testing.T, e *runtime.Engine) {
				if _, err := e.Cancel(t.Context(), trigger(t, e, "collectors", "1"), runtime.Note{}); err != nil {
					t.Fatal(err)
				}
			},
			want: "is Cancelled in status collecting: it takes no callbacks",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := start(t, onMemory(), append(test.target, calls(false))...)
				if test.begin != nil {
					test.begin(t, e)
				}
				id := trigger(t, e, "orders", "7")
				synctest.Wait()
				if lines := history(t, e, id); strings.Contains(lines, "failed") {
					t.Errorf("given up at once:\n%s", lines)
				}
				elapse(time.Hour)
				synctest.Wait()
				if lines := history(t, e, id); strings.Count(lines, "failed") != 1 || !strings.Contains(lines, "attempt 10 failed: ") || !strings.Contains(lines, test.want) {
					t.Errorf("the history:\n%s\nwant it to say %q", lines, test.want)
				}
			})
		})
	}
}

// More callbacks than may wait for a run that cannot take them wait as intents, for as long as it takes, and none is lost.
func TestCallbackIntentsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room, many = 20, 30
		options := onMemory()
		options.MaxCallbacks = room
		e := start(t, options, calls(true), collectors())
		done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "collectors", ForeignID: "1", Object: []byte(`""`)})
		if err != nil {
			t.Fatal(err)
		}
		target := done.Record.RunID
		if _, err := e.Pause(t.Context(), target, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		for i := range many {
			trigger(t, e, "orders", fmt.Sprint(i))
		}
		elapse(time.Hour)
		synctest.Wait()
		if got := record(t, e, target); len(got.Pending) != room {
			t.Fatalf("%d callbacks wait for the paused run; want %d", len(got.Pending), room)
		}
		if _, err := e.Resume(t.Context(), target, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		elapse(time.Minute)
		synctest.Wait()
		if got := record(t, e, target); len(got.Object) != many+2 {
			t.Errorf("%d callbacks were taken; want %d", len(got.Object)-2, many)
		}
	})
}

// A callback that was delivered and whose delivery a crash has forgotten is delivered again, and taken once; what was not
// committed was not delivered either.
func TestCallbackIntentIsDeliveredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(8)
		for life := range 6 {
			e := start(t, runtime.Options{Store: store}, calls(true), collectors())
			for i := range 10 {
				trigger(t, e, "orders", fmt.Sprint(life, "-", i))
			}
			if life%2 == 0 {
				synctest.Wait()
			}
			store.Hold()
			synctest.Wait()
			store = crash(t, e, store)
		}
		e := start(t, runtime.Options{Store: store}, calls(true), collectors())
		elapse(time.Hour)
		synctest.Wait()
		made, err := e.Runs(t.Context(), runtime.Query{Workflows: []string{"collectors"}, Limit: 10})
		if err != nil || len(made) != 1 {
			t.Fatalf("%d collectors, %v; want 1", len(made), err)
		}
		if got := record(t, e, made[0].RunID); string(got.Object) != `"`+strings.Repeat("+", 60)+`"` {
			t.Errorf("the collector of 60 orders has %d: %s", len(got.Object)-2, got.Object)
		}
	})
}

func record(t *testing.T, e *runtime.Engine, id runtime.RunID) runtime.Record {
	t.Helper()
	rec, err := e.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}
