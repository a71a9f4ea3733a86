package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// emits is a handler that emits events of the given types and then decides something.
func emits(then runtimetest.Func, types ...string) runtimetest.Func {
	return func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		for _, kind := range types {
			out.Emits = append(out.Emits, runtime.Emit{Type: kind, ContentType: "text/plain", Data: []byte(in.Record.ForeignID)})
		}
		return then(ctx, in, out)
	}
}

// TestEmittedEvents follows what handlers emit to the log and to the streamer: with the version that their outcome made, and
// nothing of an attempt that failed or of an outcome that makes no version.
func TestEmittedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStreamer{}
		opt := onMemory()
		opt.Streamer, opt.Relay = f, runtime.RelayOptions{Batch: 2}
		failed := false
		e := start(t, opt, runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"priced"}, Func: emits(func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				if !failed {
					failed = true
					return errors.New("not yet")
				}
				return runtimetest.To("priced")(ctx, in, out)
			}, "a", "b", "c")},
			runtimetest.Callback{Status: "priced", Name: "skips", Func: emits(runtimetest.Answer(runtime.OutcomeSkip, ""), "skipped")},
			runtimetest.Callback{Status: "priced", Name: "takes", To: []string{"done"}, Func: emits(runtimetest.To("done"), "d")},
		))
		id := trigger(t, e, "orders", "1")
		elapse(time.Minute)
		if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "orders", ForeignID: "1", Status: "priced", Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		elapse(time.Minute)
		run := id.String()
		want := []string{run + "/1", run + "/2", run + "/2/1 a", run + "/2/2 b", run + "/2/3 c", run + "/3", run + "/3/1 d"}
		var cursor runtime.EventCursor
		var got []string
		read := func(limit int) {
			_ = e.Events(t.Context(), &cursor, false, func(ev *runtime.Event) error {
				if ev.Number > 0 && (string(ev.Data) != "1" || ev.ContentType != "text/plain" || ev.Emits != nil) {
					t.Errorf("event %+v", ev)
				}
				got = append(got, strings.TrimSpace(fmt.Sprint(ev.ID(), " ", ev.Type)))
				if len(got) == limit {
					return errors.New("enough")
				}
				return nil
			})
		}
		read(100)
		if !slices.Equal(got, want) {
			t.Errorf("the log has\n%q; want\n%q", got, want)
		}
		var published []string
		for _, ev := range f.taken {
			published = append(published, strings.TrimSpace(fmt.Sprint(ev.ID(), " ", ev.Type)))
		}
		if !slices.Equal(published, want) {
			t.Errorf("published\n%q; want\n%q", published, want)
		}

		// Whoever leaves off anywhere and goes on from the cursor misses nothing.
		for stop := 1; stop <= len(want); stop++ {
			got, cursor = nil, runtime.EventCursor{}
			read(stop)
			again := len(got)
			read(100)
			seen := map[string]bool{}
			for _, s := range got {
				seen[s] = true
			}
			if len(seen) != len(want) || len(got) > len(want)+4 {
				t.Errorf("after %d of %d events and on from the cursor: %d in all, %d different", again, len(want), len(got), len(seen))
			}
		}
	})
}

// A page with emitted events that comes after one without loses none of its own.
func TestEmitsAfterAPageWithout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStreamer{}
		e := start(t, runtime.Options{Store: runtimetest.NewMemStore(1), Streamer: f, Relay: runtime.RelayOptions{Linger: time.Second}},
			runtimetest.Chain("chain", 5), runtimetest.Workflow("orders",
				runtimetest.Step{Status: "received", To: []string{"done"}, Func: emits(runtimetest.To("done"), "a", "b", "c")}))
		for range 3 {
			trigger(t, e, "chain", "1")
			elapse(time.Minute)
			var want, got []string
			for i := range 3 {
				run := trigger(t, e, "orders", fmt.Sprint(i)).String()
				want = append(want, run+"/1", run+"/2", run+"/2/1", run+"/2/2", run+"/2/3")
			}
			f.mu.Lock()
			before := len(f.taken)
			f.mu.Unlock()
			elapse(time.Minute)
			for _, ev := range f.taken[before:] {
				got = append(got, ev.ID())
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("published\n%q; want\n%q", got, want)
			}
		}
	})
}
