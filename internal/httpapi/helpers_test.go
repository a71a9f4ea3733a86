package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an engine whose calls are functions of the test. A call that the test did not give panics.
type fake struct {
	Engine
	trigger func(context.Context, runtime.Trigger) (runtime.Triggered, error)
	await   func(context.Context, runtime.RunID, runtime.Until) (runtime.Awaited, error)
	run     func(context.Context, runtime.RunID) (runtime.Record, error)
	runs    func(context.Context, runtime.Query) ([]runtime.Record, error)
	events  func(context.Context, *runtime.EventCursor, bool, func(*runtime.Event) error) error
	logs    []runtime.LogEntry
	control func(note runtime.Note) (runtime.Record, error) // answers every control
	call    func(context.Context, runtime.Callback) (runtime.CallbackDone, error)
	sched   func(workflow, name string) error // fails every request about one schedule
	catalog *runtime.Catalog
	failure error
}

func (f *fake) Trigger(ctx context.Context, t runtime.Trigger) (runtime.Triggered, error) {
	return f.trigger(ctx, t)
}

func (f *fake) Await(ctx context.Context, id runtime.RunID, until runtime.Until) (runtime.Awaited, error) {
	return f.await(ctx, id, until)
}

func (f *fake) Run(ctx context.Context, id runtime.RunID) (runtime.Record, error) {
	return f.run(ctx, id)
}

func (f *fake) Runs(ctx context.Context, q runtime.Query) ([]runtime.Record, error) {
	return f.runs(ctx, q)
}

func (f *fake) Logs(
	_ context.Context, _ runtime.RunID, afterVersion uint64, afterTime time.Time, limit int,
) ([]runtime.LogEntry, error) {
	var page []runtime.LogEntry
	for _, l := range f.logs {
		if l.Version > afterVersion || l.Version == afterVersion && l.Time.After(afterTime) {
			page = append(page, l)
		}
	}
	return page[:min(limit, len(page))], nil
}

func (f *fake) Pause(_ context.Context, _ runtime.RunID, note runtime.Note) (runtime.Record, error) {
	return f.control(note)
}

func (f *fake) Resume(_ context.Context, _ runtime.RunID, note runtime.Note) (runtime.Record, error) {
	return f.control(note)
}

func (f *fake) Cancel(_ context.Context, _ runtime.RunID, note runtime.Note) (runtime.Record, error) {
	return f.control(note)
}

func (f *fake) Erase(_ context.Context, _ runtime.RunID, note runtime.Note) (runtime.Record, error) {
	return f.control(note)
}

func (f *fake) Move(_ context.Context, _ runtime.RunID, _ string, note runtime.Note) (runtime.Record, error) {
	return f.control(note)
}

func (f *fake) SetObject(_ context.Context, _ runtime.RunID, _ []byte, note runtime.Note) (runtime.Record, error) {
	return f.control(note)
}

func (f *fake) Callback(ctx context.Context, c runtime.Callback) (runtime.CallbackDone, error) {
	return f.call(ctx, c)
}

func (f *fake) PauseSchedule(_ context.Context, workflow, name string) (runtime.Schedule, error) {
	return runtime.Schedule{}, f.sched(workflow, name)
}

func (f *fake) ResumeSchedule(_ context.Context, workflow, name string) (runtime.Schedule, error) {
	return runtime.Schedule{}, f.sched(workflow, name)
}

func (f *fake) DeleteSchedule(_ context.Context, workflow, name string) error {
	return f.sched(workflow, name)
}

func (f *fake) TriggerSchedule(_ context.Context, workflow, name string) (runtime.Triggered, error) {
	return runtime.Triggered{}, f.sched(workflow, name)
}

func (f *fake) Events(ctx context.Context, c *runtime.EventCursor, follow bool, yield func(*runtime.Event) error) error {
	return f.events(ctx, c, follow, yield)
}

func (f *fake) ParseEventCursor(string) (runtime.EventCursor, error) {
	return runtime.EventCursor{}, nil
}

func (f *fake) Catalog() *runtime.Catalog {
	if f.catalog == nil {
		return runtime.NewCatalog()
	}
	return f.catalog
}

func (f *fake) Err() error { return f.failure }

// gate is a step that waits until the test opens it, or the engine ends it.
type gate chan struct{}

func (g gate) step(to string) runtimetest.Func {
	return func(ctx context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
		select {
		case <-g:
			out.Kind, out.Status = runtime.OutcomeTo, to
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// engine is a running engine over a store in memory with the workflows quick (s1, s2, s3, done), held (waits at the gate,
// then done), refused (cancels in its first step), and shop.
type engine struct {
	*runtime.Engine
	store *runtimetest.MemStore
	gate  gate
}

func newEngine(tb testing.TB) *engine {
	tb.Helper()
	e := &engine{store: runtimetest.NewMemStore(4), gate: make(gate)}
	var err error
	if e.Engine, err = runtime.New(runtime.Options{Store: e.store}); err != nil {
		tb.Fatal(err)
	}
	e.SetCatalog(runtime.NewCatalog(
		runtimetest.Chain("quick", 3),
		runtimetest.Workflow("held", runtimetest.Step{Status: "waiting", To: []string{"done"}, Func: e.gate.step("done")}),
		runtimetest.Workflow("refused", runtimetest.Step{
			Status: "asked", To: []string{"granted"},
			Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				out.Kind, out.Reason = runtime.OutcomeCancel, "not today"
				return nil
			},
		}),
		shop(),
	))
	if err := e.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		close(e.gate)
		_ = e.Stop(context.Background()) // a test that fails the store sees its error here again
		_ = e.store.Close()              // likewise
	})
	return e
}

// shop is a workflow that waits in paid. Its callback ships with the payload "ship", has nothing to do with "noise", and refuses
// anything else; two timeouts are hours away.
func shop() *runtime.Workflow {
	never := runtimetest.Due(func(*runtime.Invocation) time.Time { return time.Time{} })
	return runtimetest.Workflow("shop",
		runtimetest.Step{
			Status: "ordered", To: []string{"paid"}, LagAlert: time.Minute,
			Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				out.Kind, out.Status = runtime.OutcomeTo, "paid"
				out.Logs = append(out.Logs, runtime.LogLine{Time: time.Unix(1, 0), Level: 4, Text: "charged"})
				return nil
			},
		},
		runtimetest.Callback{
			Status: "paid", Name: "onShipped", To: []string{"shipped", "returned"},
			Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				switch string(in.Payload) {
				case "ship":
					out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				case "noise":
					out.Kind = runtime.OutcomeSkip
				default:
					out.Kind, out.Reason = runtime.OutcomePermanent, "no such parcel"
				}
				return nil
			},
		},
		runtimetest.Timeout{Status: "paid", Name: "remind", After: 2 * time.Hour, Func: runtimetest.To("late"), To: []string{"late"}},
		runtimetest.Timeout{Status: "paid", Name: "escalate", After: time.Hour, Func: runtimetest.To("late"), To: []string{"late"}},
		runtimetest.Timeout{Status: "paid", Name: "never", Timer: never, Func: runtimetest.To("late"), To: []string{"late"}},
		runtimetest.Hook{On: runtime.HookComplete, Name: "notify", Func: runtimetest.Answer(runtime.OutcomeDone, "")},
		runtimetest.Schedule{Spec: runtime.ScheduleSpec{Name: "nightly", Cron: "0 3 * * *", Zone: "Europe/Berlin"}},
		runtimetest.Retention(48*time.Hour),
	)
}

func newServer(tb testing.TB, opt Options) *Server {
	tb.Helper()
	s, err := New(opt)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// answer is a whole answer.
type answer struct {
	*http.Response
	body string
}

// ask sends a request without a network. headers are names and values in turn.
func ask(tb testing.TB, h http.Handler, method, target, body string, headers ...string) answer {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Result(), w.Body.String()}
}

// decode reads the body of an answer that must have the status.
func decode[T any](tb testing.TB, a answer, status int) T {
	tb.Helper()
	if a.StatusCode != status {
		tb.Fatalf("the status is %d, want %d: %s", a.StatusCode, status, a.body)
	}
	var v T
	dec := json.NewDecoder(strings.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		tb.Fatalf("%v in %s", err, a.body)
	}
	return v
}

// refused checks that the answer is a whole problem of the kind, and returns it.
func refused(tb testing.TB, a answer, status int, kind string) Problem {
	tb.Helper()
	p := decode[Problem](tb, a, status)
	if got := a.Header.Get("Content-Type"); got != problemType {
		tb.Errorf("the content type is %q", got)
	}
	if p.Type != "urn:wfrt:problem:"+kind || p.Status != status || p.Title == "" || p.Detail == "" {
		tb.Errorf("want a problem %s with title and detail, got %s", kind, a.body)
	}
	return p
}

// begin triggers a run.
func begin(tb testing.TB, h http.Handler, workflow, foreignID string) Run {
	tb.Helper()
	body, err := json.Marshal(TriggerRequest{ForeignID: foreignID, Object: json.RawMessage(`{"n":1}`)})
	if err != nil {
		tb.Fatal(err)
	}
	return decode[Run](tb, ask(tb, h, "POST", "/v1/workflows/"+workflow+"/runs", string(body)), http.StatusCreated)
}

// settle awaits a run's end.
func settle(tb testing.TB, h http.Handler, run Run) Run {
	tb.Helper()
	done := decode[Awaited](tb, ask(tb, h, "GET", "/v1/runs/"+run.RunID+"/await", ""), http.StatusOK)
	if !done.Reached || done.TimedOut {
		tb.Fatalf("the run did not settle: %+v", done)
	}
	return done.Run
}
