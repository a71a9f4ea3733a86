package runtime_test

import (
	"context"
	"errors"
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
