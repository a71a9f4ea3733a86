package sdktest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

// TestServerTellsTheSameStories runs the stories of TestFlow in the server's engine, with the longest waits that it may
// choose: a Flow is a copy of its rules, and this holds the copy to them.
func TestServerTellsTheSameStories(t *testing.T) {
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hookErr = nil
				e := serve(t, sdktest.Native(t, scripts.Name()))
				object, err := json.Marshal(story.object)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: scripts.Name(), ForeignID: "1", Object: object})
				if err != nil {
					t.Fatal(err)
				}
				id := done.Record.RunID
				for _, step := range append(story.steps, want(story.want)) {
					synctest.Wait()
					switch step := step.(type) {
					case time.Duration:
						<-time.After(step)
					case want:
						rec, err := e.Run(t.Context(), id)
						if err != nil {
							t.Fatal(err)
						}
						step.check(t, describeRecord(t, &rec, began))
					case string:
						actOn(t, e, id, step)
					}
				}
			})
		})
	}
}

func serve(t *testing.T, w *runtime.Workflow) *runtime.Engine {
	t.Helper()
	longest := func() uint64 { return math.MaxUint64 }
	e, err := runtime.New(runtime.Options{Store: runtimetest.NewMemStore(1), Random: longest})
	if err != nil {
		t.Fatal(err)
	}
	e.SetCatalog(runtime.NewCatalog(w))
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// actOn does to a run of the server what act does to one of a Flow.
func actOn(t *testing.T, e *runtime.Engine, id runtime.RunID, step string) {
	t.Helper()
	var err error
	switch step {
	case "pause":
		_, err = e.Pause(t.Context(), id, runtime.Note{Reason: "by hand"})
	case "resume":
		_, err = e.Resume(t.Context(), id, runtime.Note{})
	case "cancel":
		_, err = e.Cancel(t.Context(), id, runtime.Note{Reason: "by hand"})
	default:
		payload, wanted, _ := strings.Cut(step, ": ")
		var done runtime.CallbackDone
		done, err = e.Callback(t.Context(), runtime.Callback{
			Workflow: scripts.Name(), Status: "c", ForeignID: "1", Payload: []byte(payload), Wait: time.Nanosecond,
		})
		answer := sdktest.Answer{Pending: done.Pending, Skipped: done.Reason == "skipped"}
		if refused := (*runtime.CallbackRefusedError)(nil); errors.As(err, &refused) {
			answer, err = sdktest.Answer{Refused: true, Reason: refused.Reason}, nil
		}
		if got := fmt.Sprintf("%+v", answer); got != wanted {
			t.Fatalf("the callback %q is answered with %s; want %s", payload, got, wanted)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// describeRecord says where a run of the server stands, as describe does of one of a Flow.
func describeRecord(t *testing.T, rec *runtime.Record, began time.Time) string {
	t.Helper()
	var object script
	if err := json.Unmarshal(rec.Object, &object); err != nil {
		t.Fatal(err)
	}
	s := fmt.Sprintf("%s in %s, %d counted, version %d", rec.State, rec.Status, object.Count, rec.Version)
	timers := rec.Timers(nil)
	slices.SortStableFunc(timers, func(a, b runtime.Timer) int { return a.Due.Compare(b.Due) })
	kinds := map[runtime.TimerKind]string{
		runtime.TimerRetry: "step", runtime.TimerResume: "resume", runtime.TimerTimeout: "timeout",
		runtime.TimerCallback: "callback",
	}
	for _, timer := range timers {
		s += fmt.Sprintf(", %s at %v", kinds[timer.Kind], timer.Due.Sub(began).Round(time.Millisecond))
	}
	if rec.Reason != "" {
		s += ": " + rec.Reason
	}
	return s
}
