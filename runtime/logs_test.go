package runtime_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// Several handlers of a status are called in turn, for a callback and for the times of its timeouts: each line of the log names the
// one that wrote it.
func TestLogsNameTheirHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		says := func(text string, kind runtime.OutcomeKind) runtimetest.Func {
			return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Logs = append(out.Logs, runtime.LogLine{Time: in.Now, Text: text})
				out.Kind, out.Due = kind, in.Now.Add(time.Hour)
				return nil
			}
		}
		never := runtimetest.To("shipped")
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Timeout{
				Status: "received", Name: "soon", To: []string{"shipped"}, Func: never, Timer: says("of soon", runtime.OutcomeDone),
			},
			runtimetest.Timeout{
				Status: "received", Name: "late", To: []string{"shipped"}, Func: never, Timer: says("of late", runtime.OutcomeDone),
			},
			runtimetest.Callback{Status: "received", Name: "a", To: []string{"shipped"}, Func: says("not mine", runtime.OutcomeSkip)},
			runtimetest.Callback{Status: "received", Name: "b", To: []string{"shipped"}, Func: says("mine", runtime.OutcomeRepeat)},
			runtimetest.Callback{Status: "received", Name: "c", To: []string{"shipped"}, Func: says("never asked", runtime.OutcomeSkip)},
		))
		id := trigger(t, e, "orders", "1")
		synctest.Wait()
		if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "orders", Status: "received", ForeignID: "1", Wait: time.Minute}); err != nil {
			t.Fatal(err)
		}
		entries, err := e.Logs(t.Context(), id, 0, time.Time{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, entry := range entries {
			for _, line := range entry.Lines {
				got = append(got, fmt.Sprintf("%s %q: %s", entry.Handler, line.Handler, line.Text))
			}
		}
		if want := []string{
			`timer/late "timer/soon": of soon`, `timer/late "": of late`, `callback/b "callback/a": not mine`, `callback/b "": mine`,
		}; !slices.Equal(got, want) {
			t.Errorf("the log is\n%q, want\n%q", got, want)
		}
	})
}
