package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// spans is a tracer that keeps all spans, and samples all traces or none.
type spans struct {
	none bool

	mu  sync.Mutex
	all []runtime.Span
}

func (s *spans) Sample([16]byte) bool { return !s.none }

func (s *spans) Record(span *runtime.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, *span)
}

// named returns the spans by a name each: "trigger orders", "step received 1", "callback paid 1", "intent bills".
func (s *spans) named(t *testing.T) map[string]runtime.Span {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	byName := map[string]runtime.Span{}
	for _, span := range s.all {
		name := "trigger " + span.Workflow
		switch span.Kind {
		case runtime.SpanInvocation:
			name = fmt.Sprint(span.Handler.Kind, " ", span.Handler.Name, " ", span.Attempt)
		case runtime.SpanIntent:
			name = "intent " + span.Target
		case runtime.SpanTrigger:
		}
		if _, twice := byName[name]; twice {
			t.Errorf("there are two spans %q", name)
		}
		byName[name] = span
	}
	return byName
}

// given is a trace that a client began.
func given(t *testing.T, header string) runtime.TraceContext {
	t.Helper()
	c, ok := runtime.ParseTraceParent(header)
	if !ok {
		t.Fatalf("%s is not taken", header)
	}
	return c
}

const (
	clientTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	sameTrace   = "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01"
	otherTrace  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// traced are two workflows: orders waits for a callback, asks for a bill, and fails once on the way; handed notes the place in the
// trace that each handler of theirs is given.
func traced(handed func(name string, c runtime.TraceContext)) []*runtime.Workflow {
	handler := func(kind runtime.OutcomeKind, to string, asks ...runtime.Intent) runtimetest.Func {
		return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			handed(fmt.Sprint(in.Handler.Kind, " ", in.Handler.Name, " ", in.Attempt), in.Trace)
			if in.Handler.Name == "received" && in.Attempt == 1 {
				return errors.New("no answer")
			}
			out.Kind, out.Status, out.Intents = kind, to, append(out.Intents, asks...)
			return nil
		}
	}
	return []*runtime.Workflow{
		runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"waiting"}, Func: handler(runtime.OutcomeTo, "waiting")},
			runtimetest.Callback{Status: "waiting", Name: "paid", To: []string{"late"}, Func: handler(runtime.OutcomeTo, "late")},
			runtimetest.Timeout{Status: "late", Name: "over", After: time.Hour, To: []string{"done"}, Func: handler(runtime.OutcomeTo, "done",
				runtime.Intent{Workflow: "bills", ForeignID: "1"})},
			runtimetest.Hook{On: runtime.HookComplete, Name: "tell", Func: handler(runtime.OutcomeDone, "")},
		),
		runtimetest.Workflow("bills", runtimetest.Step{Status: "open", To: []string{"sent"}, Func: handler(runtime.OutcomeTo, "sent")}),
	}
}

// A run is one trace, over a retry, a restart and a callback to the run that it triggered, and each span has its parent.
func TestRunIsOneTrace(t *testing.T) {
	for name, c := range map[string]struct{ trigger, callback string }{
		"begun by the client": {clientTrace, sameTrace},
		"begun here":          {"", otherTrace},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				handed := map[string]runtime.TraceContext{}
				workflows := traced(func(name string, c runtime.TraceContext) {
					mu.Lock()
					defer mu.Unlock()
					handed[name] = c
				})
				tracer := &spans{}
				store := runtimetest.NewMemStore(4)
				e := start(t, runtime.Options{Store: store, Tracer: tracer}, workflows...)
				client, _ := runtime.ParseTraceParent(c.trigger)
				done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: "1", Trace: client})
				if err != nil {
					t.Fatal(err)
				}
				id := done.Record.RunID
				elapse(time.Minute)
				synctest.Wait()
				stop(t, e)
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
				store = store.Reopen()
				e = start(t, runtime.Options{Store: store, Tracer: tracer}, workflows...)
				came := given(t, c.callback)
				if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "orders", Status: "waiting", ForeignID: "1", Trace: came}); err != nil {
					t.Fatal(err)
				}
				settle(t, e, id)
				synctest.Wait()

				all := tracer.named(t)
				trace := [16]byte(id)
				if !client.IsZero() {
					trace = client.TraceID
				}
				root, bill := all["trigger orders"], all["trigger bills"]
				callbackParent, link := root.Trace.SpanID, came
				if came.TraceID == trace {
					callbackParent, link = came.SpanID, runtime.TraceContext{}
				}
				for name, parent := range map[string][8]byte{
					"trigger orders": client.SpanID, "step received 1": root.Trace.SpanID, "step received 2": root.Trace.SpanID,
					"callback paid 1": callbackParent, "timeout over 1": root.Trace.SpanID, "hook tell 1": root.Trace.SpanID,
					"intent bills": all["timeout over 1"].Trace.SpanID, "trigger bills": all["intent bills"].Trace.SpanID,
					"step open 1": bill.Trace.SpanID,
				} {
					s, there := all[name]
					if !there || s.Trace.TraceID != trace || s.Parent != parent || s.Trace.SpanID == [8]byte{} || s.Ended.Before(s.Began) {
						t.Errorf("%s (%v): %+v; want trace %x and parent %x", name, there, s, trace, parent)
					}
					if at, calls := handed[name]; calls && at != s.Trace {
						t.Errorf("%s was handed %s, and its span is %s", name, at, s.Trace)
					}
				}
				if len(all) != 9 {
					t.Errorf("%d spans: %v", len(all), all)
				}
				if got := all["callback paid 1"].Link; got != link {
					t.Errorf("the callback's link is %s, want %s", got, link)
				}
				if s := all["step received 1"]; !s.Failed || s.Reason != "no answer" || s.Outcome != runtime.OutcomeError {
					t.Errorf("the failed attempt: %+v", s)
				}
				if s := all["step received 2"]; s.Failed || s.Outcome != runtime.OutcomeTo || s.Workflow != "orders" || s.Status != "received" || s.RunID != id {
					t.Errorf("the second attempt: %+v", s)
				}
				wantEventTrace(t, e, root.Trace, bill.Trace)
				if rec, err := e.Run(t.Context(), id); err != nil || rec.Trace.IsZero() != client.IsZero() {
					t.Errorf("the record keeps %s, %v", rec.Trace, err)
				}
			})
		})
	}
}

// wantEventTrace holds the events of each workflow to the place of its run's trigger.
func wantEventTrace(t *testing.T, e *runtime.Engine, orders, bills runtime.TraceContext) {
	t.Helper()
	want := map[string]runtime.TraceContext{"orders": orders, "bills": bills}
	var cursor runtime.EventCursor
	n := 0
	if err := e.Events(t.Context(), &cursor, false, func(ev *runtime.Event) error {
		if n++; ev.Trace != want[ev.Workflow] {
			t.Errorf("event %s of %s has the trace %s, want %s", ev.ID(), ev.Workflow, ev.Trace, want[ev.Workflow])
		}
		return nil
	}); err != nil || n != 6 {
		t.Errorf("%d events, %v", n, err)
	}
}

// Without a tracer, and when the client does not want its trace recorded, there are no spans, and what a client has given is handed
// on as it came, to the run's handlers and to the run that it asks for.
func TestTraceIsHandedOnUnrecorded(t *testing.T) {
	for name, c := range map[string]struct {
		tracer *spans
		trace  string
	}{
		"no tracer":         {nil, clientTrace},
		"unsampled":         {&spans{}, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
		"none was given":    {nil, ""},
		"sampled by nobody": {&spans{none: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				handed := map[string]runtime.TraceContext{}
				opt := onMemory()
				if c.tracer != nil {
					opt.Tracer = c.tracer
				}
				e := start(t, opt, traced(func(name string, c runtime.TraceContext) {
					mu.Lock()
					defer mu.Unlock()
					handed[name] = c
				})...)
				client, _ := runtime.ParseTraceParent(c.trace)
				done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: "1", Trace: client})
				if err != nil {
					t.Fatal(err)
				}
				elapse(time.Minute)
				call := runtime.Callback{Workflow: "orders", Status: "waiting", ForeignID: "1"}
				if _, err := e.Callback(t.Context(), call); err != nil {
					t.Fatal(err)
				}
				settle(t, e, done.Record.RunID)
				synctest.Wait()
				want := client.String()
				if c.tracer != nil && client.IsZero() { // the decision against recording is handed on too
					want = runtime.TraceContext{TraceID: done.Record.RunID, SpanID: [8]byte(done.Record.RunID[8:])}.String()
				}
				for _, name := range []string{"step received 2", "callback paid 1", "timeout over 1", "hook tell 1", "step open 1"} {
					if got, called := handed[name]; got.String() != want || !called {
						t.Errorf("%s (%v) was handed %q, want %q", name, called, got, want)
					}
				}
				if c.tracer != nil && len(c.tracer.all) > 0 {
					t.Errorf("spans: %+v", c.tracer.all)
				}
			})
		})
	}
}

func TestParseTraceParent(t *testing.T) {
	for header, want := range map[string]string{
		clientTrace: clientTrace,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff":        clientTrace, // flags that are not known are dropped
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":        clientTrace,
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-future": clientTrace,
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01future":  "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more":   "",
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":        "",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01":        "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01":        "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01":        "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0":         "",
		"00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01":        "",
		"": "",
	} {
		if got, ok := runtime.ParseTraceParent(header); got.String() != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", header, got, ok, want)
		}
	}
}

// FuzzTraceParent: no header makes the parser panic, and what it takes is written so that it is taken again, as the same.
func FuzzTraceParent(f *testing.F) {
	f.Add(clientTrace)
	f.Add("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-future")
	f.Fuzz(func(t *testing.T, header string) {
		c, ok := runtime.ParseTraceParent(header)
		again, okAgain := runtime.ParseTraceParent(c.String())
		if ok != okAgain || c != again {
			t.Errorf("%q: %s, %v; then %s, %v", header, c, ok, again, okAgain)
		}
	})
}
