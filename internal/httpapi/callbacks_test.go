package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/runtime"
)

// paid returns a run of shop that waits in paid.
func paid(t *testing.T, h http.Handler, foreignID string) Run {
	t.Helper()
	run := begin(t, h, "shop", foreignID)
	got := decode[Awaited](t, ask(t, h, "GET", "/v1/runs/"+run.RunID+"/await?status=paid", ""), http.StatusOK)
	if !got.Reached {
		t.Fatalf("the run is %+v", got)
	}
	return got.Run
}

func TestACallbackMovesTheRun(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	for foreignID, target := range map[string]func(Run) string{
		"10248": func(Run) string { return "/v1/workflows/shop/callbacks/paid/10248" },
		"a/b c": func(Run) string { return "/v1/workflows/shop/callbacks/paid/a%2Fb%20c" },
		"by ID": func(r Run) string { return "/v1/runs/" + r.RunID + "/callbacks/paid" },
	} {
		run := paid(t, s, foreignID)
		got := decode[CallbackResult](t, ask(t, s, "POST", target(run), "ship", "Content-Type", "text/plain"), http.StatusOK)
		if got.Pending || got.Reason != "" || got.CallbackID != run.RunID+"/1" || got.Run.Status != "shipped" || got.Run.State != "Completed" {
			t.Errorf("%s: the answer is %+v", foreignID, got)
		}
		var line HistoryEntry
		for _, h := range history(t, s, run) {
			if h.Cause == "callback" {
				line = h
			}
		}
		if line.Callback != got.CallbackID || line.Handler != "onShipped" || line.Status != "shipped" || line.Failed {
			t.Errorf("%s: the history has %+v", foreignID, line)
		}
	}
}

func TestACallbackThatMovesNothingSaysSo(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := paid(t, s, "1")
	got := decode[CallbackResult](t, ask(t, s, "POST", "/v1/workflows/shop/callbacks/paid/1", "noise"), http.StatusOK)
	if got.Pending || got.Reason == "" || got.Run.Status != "paid" {
		t.Errorf("the answer is %+v", got)
	}
	p := refused(t, ask(t, s, "POST", "/v1/workflows/shop/callbacks/paid/1", ""), http.StatusUnprocessableEntity, "callback-refused")
	if p.Reason != "no such parcel" || p.CallbackID != run.RunID+"/2" || p.RunID != run.RunID || p.RunState != "Running" || p.RunStatus != "paid" {
		t.Errorf("the refusal of an empty payload is %+v", p)
	}
}

func TestACallbackOfAPausedRunIsPendingUntilItIsResumed(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := paid(t, s, "1")
	decode[Run](t, ask(t, s, "POST", "/v1/runs/"+run.RunID+"/pause", ""), http.StatusOK)
	const target = "/v1/workflows/shop/callbacks/paid/1?wait=0s"
	got := decode[CallbackResult](t, ask(t, s, "POST", target, "ship", "Idempotency-Key", "k"), http.StatusAccepted)
	if !got.Pending || got.CallbackID != run.RunID+"/1" || got.Run.State != "Paused" {
		t.Errorf("the answer is %+v", got)
	}
	if len(got.Run.Callbacks) != 1 || got.Run.Callbacks[0].CallbackID != got.CallbackID || got.Run.Callbacks[0].Attempt != 1 {
		t.Errorf("the run has the pending callbacks %+v", got.Run.Callbacks)
	}
	again := decode[CallbackResult](t, ask(t, s, "POST", target, "ship", "Idempotency-Key", "k"), http.StatusAccepted)
	if again.CallbackID != got.CallbackID {
		t.Errorf("a repetition is callback %s, want %s", again.CallbackID, got.CallbackID)
	}
	decode[Run](t, ask(t, s, "POST", "/v1/runs/"+run.RunID+"/resume", ""), http.StatusOK)
	handled := decode[CallbackResult](t, ask(t, s, "POST", "/v1/workflows/shop/callbacks/paid/1", "ship", "Idempotency-Key", "k"), http.StatusOK)
	if handled.CallbackID != got.CallbackID || handled.Run.Status != "shipped" || len(handled.Run.Callbacks) != 0 {
		t.Errorf("the repetition after the resume answers %+v", handled)
	}
	p := refused(t, ask(t, s, "POST", target, "other", "Idempotency-Key", "k"), http.StatusUnprocessableEntity, "idempotency-key-reused")
	if p.RunID != run.RunID {
		t.Errorf("the problem names run %s, want %s", p.RunID, run.RunID)
	}
}

func TestCallbackRefusals(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t), MaxBody: 1000})
	waiting := paid(t, s, "1")
	ended := paid(t, s, "2")
	decode[CallbackResult](t, ask(t, s, "POST", "/v1/workflows/shop/callbacks/paid/2", "ship"), http.StatusOK)
	moved := paid(t, s, "3")
	decode[Run](t, ask(t, s, "POST", "/v1/runs/"+moved.RunID+"/pause", ""), http.StatusOK)
	held := begin(t, s, "held", "1")
	for _, c := range []struct {
		target, payload, key string
		status               int
		kind, says           string
		run                  Run
		runStatus            string
	}{
		{"workflows/shop/callbacks/paid/2", "ship", "", 409, "run-ended", "takes no callbacks", ended, "shipped"},
		{"runs/" + ended.RunID + "/callbacks/paid", "ship", "", 409, "run-ended", "is Completed in status shipped", ended, "shipped"},
		{"workflows/shop/callbacks/paid/4", "ship", "", 404, "unknown-run", `foreign ID "4"`, Run{}, ""},
		{"runs/" + unknownID + "/callbacks/paid", "ship", "", 404, "unknown-run", "no such run", Run{}, ""},
		{"runs/nope/callbacks/paid", "ship", "", 400, "invalid-request", "is no run ID", Run{}, ""},
		{"workflows/shpo/callbacks/paid/1", "ship", "", 404, "unknown-workflow", `did you mean "shop"?`, Run{}, ""},
		{"workflows/shop/callbacks/piad/1", "ship", "", 404, "unknown-status", "statuses that take callbacks: paid", Run{}, ""},
		{"workflows/shop/callbacks/ordered/1", "ship", "", 404, "unknown-status", "none of the statuses that take callbacks", Run{}, ""},
		{"runs/" + held.RunID + "/callbacks/waiting", "ship", "", 404, "unknown-status", "there are no statuses that take callbacks", Run{}, ""},
		{"workflows/shop/callbacks/paid/1", strings.Repeat("x", 1001), "", 413, "too-large", "server.max_body", Run{}, ""},
		{"workflows/shop/callbacks/paid/1", "ship", strings.Repeat("x", 257), 400, "invalid-request", "257 bytes", Run{}, ""},
		{"workflows/shop/callbacks/paid/1?wait=soon", "ship", "", 400, "invalid-request", "such as 30s", Run{}, ""},
		{"workflows/shop/callbacks/paid/1?wait=11m", "ship", "", 400, "invalid-request", "at most 10m0s", Run{}, ""},
		{"workflows/shop/callbacks/paid/1", "what?", "", 422, "callback-refused", "no such parcel", waiting, "paid"},
	} {
		t.Run(c.kind+" "+c.target, func(t *testing.T) {
			var headers []string
			if c.key != "" {
				headers = []string{"Idempotency-Key", c.key}
			}
			p := refused(t, ask(t, s, "POST", "/v1/"+c.target, c.payload, headers...), c.status, c.kind)
			if text := p.Detail + "\n" + p.Hint; !strings.Contains(text, c.says) {
				t.Errorf("the problem lacks %q: %s", c.says, text)
			}
			if p.RunID != c.run.RunID || p.RunStatus != c.runStatus {
				t.Errorf("the problem names run %q in %q, want %q in %q", p.RunID, p.RunStatus, c.run.RunID, c.runStatus)
			}
		})
	}
}

func TestACallbackForAnotherStatusNamesBoth(t *testing.T) {
	wrong := &runtime.WrongStatusError{Want: "paid", Record: runtime.Record{State: runtime.Running, Status: "ordered", RunID: runtime.RunID{1}}}
	e := &fake{call: func(context.Context, runtime.Callback) (runtime.CallbackDone, error) {
		return runtime.CallbackDone{}, wrong
	}}
	s := newServer(t, Options{Engine: e})
	p := refused(t, ask(t, s, "POST", "/v1/workflows/shop/callbacks/paid/1", ""), http.StatusConflict, "wrong-status")
	if p.RunState != "Running" || p.RunStatus != "ordered" || !strings.Contains(p.Detail, "status ordered") || !strings.Contains(p.Detail, "status paid") {
		t.Errorf("the problem is %+v", p)
	}
}

func TestWhatACallbackCarries(t *testing.T) {
	var got runtime.Callback
	e := &fake{call: func(_ context.Context, c runtime.Callback) (runtime.CallbackDone, error) {
		got = c
		return runtime.CallbackDone{}, errors.New("enough")
	}}
	s := newServer(t, Options{Engine: e})
	payload := "\x00\xff not UTF-8"
	ask(t, s, "POST", "/v1/workflows/w/callbacks/s/f?wait=3s", payload, "Idempotency-Key", "k", "Content-Type", "image/png")
	if got.Workflow != "w" || got.Status != "s" || got.ForeignID != "f" || got.IdempotencyKey != "k" || string(got.Payload) != payload ||
		got.Wait.String() != "3s" || !got.RunID.IsZero() {
		t.Errorf("the engine gets %+v", got)
	}
	ask(t, s, "POST", "/v1/workflows/w/callbacks/s/f", "")
	if got.Wait != defaultCallbackWait || len(got.Payload) != 0 {
		t.Errorf("without a wait and a payload the engine gets %+v", got)
	}
}

func TestACallbackEndsWhenTheServerStops(t *testing.T) {
	waiting := make(chan struct{})
	e := &fake{call: func(ctx context.Context, _ runtime.Callback) (runtime.CallbackDone, error) {
		close(waiting)
		<-ctx.Done()
		return runtime.CallbackDone{}, ctx.Err()
	}}
	s := newServer(t, Options{Engine: e})
	answers := make(chan answer)
	go func() { answers <- ask(t, s, "POST", "/v1/workflows/w/callbacks/s/f", "") }()
	<-waiting
	s.Drain()
	refused(t, <-answers, http.StatusServiceUnavailable, "stopping")
}
