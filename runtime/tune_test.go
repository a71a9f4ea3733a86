package runtime_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

func TestTuneHoldsForWhatBeginsAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deadlines []time.Duration
		opt := onMemory()
		opt.MaxObject = 10
		e := start(t, opt, runtimetest.Workflow("w", runtimetest.Step{
			Status: "a", To: []string{"b"},
			Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				deadlines = append(deadlines, in.Deadline.Sub(in.Now))
				out.Kind, out.Status = runtime.OutcomeTo, "b"
				return nil
			},
		}))
		object := []byte(`"eleven byt"`)
		if _, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "w", ForeignID: "1", Object: object}); err == nil {
			t.Error("an object beyond the limit is taken")
		}
		trigger(t, e, "w", "2")
		synctest.Wait()

		if err := e.Tune(runtime.Options{MaxObject: 100, StepTimeout: -1}); err == nil {
			t.Error("a negative timeout is taken over")
		}
		if _, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "w", ForeignID: "1", Object: object}); err == nil {
			t.Error("a Tune that failed changed the limit")
		}
		if err := e.Tune(runtime.Options{MaxObject: 100, StepTimeout: time.Minute, NoHistoryObjects: true}); err != nil {
			t.Fatal(err)
		}
		done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "w", ForeignID: "1", Object: object})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(deadlines) != 2 || deadlines[0] != 30*time.Second || deadlines[1] != time.Minute {
			t.Errorf("deadlines %v, want the default and then a minute", deadlines)
		}
		lines, err := e.History(t.Context(), done.Record.RunID, 0, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if line.Object != nil {
				t.Errorf("version %d keeps its object", line.Version)
			}
		}
	})
}

func TestTuneChangesTheRetentionOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := onMemory()
		opt.Relay.Retention = -1
		e := start(t, opt, runtimetest.Chain("chain", 3))
		trigger(t, e, "chain", "1")
		count := func() (n int) {
			var c runtime.EventCursor
			if err := e.Events(t.Context(), &c, false, func(*runtime.Event) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		elapse(48 * time.Hour)
		synctest.Wait()
		if n := count(); n != 4 {
			t.Errorf("%d events are kept, want all 4", n)
		}
		if err := e.Tune(runtime.Options{Relay: runtime.RelayOptions{Retention: 24 * time.Hour}}); err != nil {
			t.Fatal(err)
		}
		elapse(time.Hour)
		synctest.Wait()
		if n := count(); n != 0 {
			t.Errorf("%d events are kept beyond their retention", n)
		}
	})
}
