package httpapi

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/runtime"
)

// history returns the whole history of a run.
func history(t *testing.T, h http.Handler, run Run) []HistoryEntry {
	t.Helper()
	return decode[HistoryPage](t, ask(t, h, "GET", "/v1/runs/"+run.RunID+"/history?limit=1000", ""), http.StatusOK).History
}

// last returns the last line of a run's history.
func last(t *testing.T, h http.Handler, run Run) HistoryEntry {
	t.Helper()
	all := history(t, h, run)
	return all[len(all)-1]
}

func TestARunIsPausedResumedCancelledAndErased(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := begin(t, s, "held", "1")
	for _, c := range []struct{ action, body, state, reason, by string }{
		{"pause", `{"reason":"a fault at the bank","by":"ada"}`, "Paused", "a fault at the bank", "ada"},
		{"resume", "", "Running", "", ""},
		{"pause", `{}`, "Paused", "", ""},
		{"cancel", `{"reason":"withdrawn","by":"bob"}`, "Cancelled", "withdrawn", "bob"},
		{"erase", `{"by":"cy"}`, "RequestedDataDeleted", "", "cy"},
	} {
		got := decode[Run](t, ask(t, s, "POST", "/v1/runs/"+run.RunID+"/"+c.action, c.body), http.StatusOK)
		if got.State != c.state || got.RunID != run.RunID || got.Version <= run.Version || c.action != "erase" && got.Reason != c.reason {
			t.Errorf("after %s the run is %+v", c.action, got)
		}
		if c.action == "pause" && got.PauseCause != "person" {
			t.Errorf("the pause is of %q", got.PauseCause)
		}
		if h := last(t, s, run); c.action != "erase" && (h.Cause != "person" || h.By != c.by || h.Reason != c.reason || h.State != c.state) {
			t.Errorf("after %s the history ends with %+v", c.action, h)
		}
		run = got
	}
	end := decode[Awaited](t, ask(t, s, "GET", "/v1/runs/"+run.RunID+"/await?state=DataDeleted", ""), http.StatusOK)
	if !end.Reached || end.Run.State != "DataDeleted" || strings.Contains(string(end.Run.Object), `"n"`) {
		t.Errorf("the erased run is %+v", end)
	}
}

func TestAStateThatDoesNotAllowItIsNamed(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	done := settle(t, s, begin(t, s, "quick", "1"))
	held := begin(t, s, "held", "1")
	for _, c := range []struct {
		run            Run
		method, action string
		body, says     string
	}{
		{done, "POST", "pause", "", "Completed cannot become Paused"},
		{done, "POST", "resume", "", "Completed cannot become Running"},
		{done, "POST", "cancel", "", "Completed cannot become Cancelled"},
		{done, "POST", "move", `{"status":"s1"}`, "Completed cannot become Running"},
		{done, "PUT", "object", `{"object":1}`, "its object cannot be changed"},
		{held, "POST", "resume", "", "Initiated cannot become Running"},
		{held, "POST", "erase", "", "Initiated cannot become RequestedDataDeleted"},
	} {
		if hint := "await its end, or cancel it"; c.action == "erase" {
			p := refused(t, ask(t, s, c.method, "/v1/runs/"+c.run.RunID+"/"+c.action, c.body), http.StatusConflict, "wrong-state")
			if !strings.Contains(p.Hint, hint) {
				t.Errorf("the hint lacks %q: %s", hint, p.Hint)
			}
		}
		p := refused(t, ask(t, s, c.method, "/v1/runs/"+c.run.RunID+"/"+c.action, c.body), http.StatusConflict, "wrong-state")
		if !strings.Contains(p.Detail, c.says) || p.RunID != c.run.RunID || p.RunState != c.run.State || p.RunStatus != c.run.Status {
			t.Errorf("%s of a run that is %s: %+v", c.action, c.run.State, p)
		}
	}
	if h := history(t, s, done); len(h) != 4 {
		t.Errorf("a refused control is in the history: %+v", h)
	}
}

func TestARunIsMovedAndEdited(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := begin(t, s, "held", "1")
	path := "/v1/runs/" + run.RunID
	edited := decode[Run](t, ask(t, s, "PUT", path+"/object", `{"object":{"n":7},"by":"ada","reason":"typo"}`), http.StatusOK)
	if string(edited.Object) != `{"n":7}` || edited.Status != "waiting" || edited.Version != run.Version+1 {
		t.Errorf("the edited run is %+v", edited)
	}
	if h := last(t, s, run); h.By != "ada" || h.Reason != "typo" || string(h.Object) != `{"n":7}` || h.Cause != "person" {
		t.Errorf("the history of the edit is %+v", h)
	}
	if got := decode[Run](t, ask(t, s, "PUT", path+"/object", `{"object":null}`), http.StatusOK); string(got.Object) != "null" {
		t.Errorf("the object is %s, want null", got.Object)
	}
	moved := decode[Run](t, ask(t, s, "POST", path+"/move", `{"status":"done","by":"bob","reason":"by hand"}`), http.StatusOK)
	if moved.State != "Completed" || moved.Status != "done" {
		t.Errorf("the moved run is %+v", moved)
	}
	if h := last(t, s, run); h.By != "bob" || h.Reason != "by hand" || h.Status != "done" {
		t.Errorf("the history of the move is %+v", h)
	}
}

func TestControlRefusals(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t), MaxBody: 10_000})
	run := begin(t, s, "held", "1")
	for _, c := range []struct {
		method, target, body string
		status               int
		kind, says           string
	}{
		{"POST", run.RunID + "/pause", `{"reson":"x"}`, 400, "invalid-request", `did you mean "reason"?`},
		{"POST", run.RunID + "/pause", `{"reason":1}`, 400, "invalid-request", "is a JSON number, not a string"},
		{"POST", run.RunID + "/pause", `[]`, 400, "invalid-request", "is a JSON array, not an object"},
		{"POST", run.RunID + "/pause", `{"by":"` + strings.Repeat("x", 5000) + `"}`, 400, "invalid-request", "by has 5000 bytes"},
		{"POST", run.RunID + "/pause", strings.Repeat(" ", 10_001), 413, "too-large", "server.max_body"},
		{"POST", run.RunID + "/pause?reason=x", "", 400, "invalid-request", "is not a query parameter"},
		{"POST", "nope/pause", "", 400, "invalid-request", "is no run ID"},
		{"POST", unknownID + "/pause", "", 404, "unknown-run", "there is no such run"},
		{"POST", unknownID + "/resume", "", 404, "unknown-run", "there is no such run"},
		{"POST", unknownID + "/cancel", "", 404, "unknown-run", "there is no such run"},
		{"POST", unknownID + "/erase", "", 404, "unknown-run", "there is no such run"},
		{"POST", unknownID + "/move", `{"status":"done"}`, 404, "unknown-run", "there is no such run"},
		{"PUT", unknownID + "/object", `{"object":1}`, 404, "unknown-run", "there is no such run"},
		{"POST", "nope/move", `{"status":"done"}`, 400, "invalid-request", "is no run ID"},
		{"PUT", "nope/object", `{"object":1}`, 400, "invalid-request", "is no run ID"},
		{"POST", run.RunID + "/move", "", 400, "invalid-request", "the body is empty"},
		{"POST", run.RunID + "/move", `{}`, 400, "invalid-request", "status is empty"},
		{"POST", run.RunID + "/move", `{"status":"dnoe"}`, 400, "unknown-status", `did you mean "done"?`},
		{"PUT", run.RunID + "/object", `{}`, 400, "invalid-request", "object is missing"},
		{"PUT", run.RunID + "/object", `{"object":}`, 400, "invalid-request", "is not JSON"},
		{"POST", run.RunID + "/object", `{"object":1}`, 405, "method-not-allowed", "PUT"},
	} {
		t.Run(c.method+" "+c.target[min(30, len(c.target)):]+" "+c.body[:min(20, len(c.body))], func(t *testing.T) {
			p := refused(t, ask(t, s, c.method, "/v1/runs/"+c.target, c.body), c.status, c.kind)
			if text := p.Detail + "\n" + p.Hint; !strings.Contains(text, c.says) {
				t.Errorf("the problem lacks %q: %s", c.says, text)
			}
		})
	}
	if h := history(t, s, run); len(h) != 1 {
		t.Errorf("a refused control is in the history: %+v", h)
	}
}

func TestEveryControlAnswersAFailedStore(t *testing.T) {
	e := &fake{control: func(runtime.Note) (runtime.Record, error) { return runtime.Record{}, runtime.ErrStoreFailed }}
	s := newServer(t, Options{Engine: e})
	for _, c := range []struct{ method, action, body string }{
		{"POST", "pause", ""},
		{"POST", "resume", ""},
		{"POST", "cancel", ""},
		{"POST", "erase", ""},
		{"POST", "move", `{"status":"x"}`},
		{"PUT", "object", `{"object":1}`},
	} {
		refused(t, ask(t, s, c.method, "/v1/runs/"+unknownID+"/"+c.action, c.body), http.StatusServiceUnavailable, "store-failed")
	}
}

// TestActionsAllowWhatTheEngineAllows compares what a dry run says with what the engine does, in every state.
func TestActionsAllowWhatTheEngineAllows(t *testing.T) {
	e := newEngine(t)
	ctx := t.Context()
	bring := map[runtime.RunState]func(id runtime.RunID) error{
		runtime.Initiated: func(runtime.RunID) error { return nil },
		runtime.Paused: func(id runtime.RunID) error {
			_, err := e.Pause(ctx, id, runtime.Note{})
			return err
		},
		runtime.Running: func(id runtime.RunID) error {
			_, err := e.Pause(ctx, id, runtime.Note{})
			_, err2 := e.Resume(ctx, id, runtime.Note{})
			return errors.Join(err, err2)
		},
		runtime.Cancelled: func(id runtime.RunID) error {
			_, err := e.Cancel(ctx, id, runtime.Note{})
			return err
		},
		runtime.Completed: func(id runtime.RunID) error {
			_, err := e.Move(ctx, id, "done", runtime.Note{})
			return err
		},
	}
	for state, there := range bring {
		for _, a := range actions() {
			done, err := e.Trigger(ctx, runtime.Trigger{Workflow: "held", ForeignID: state.String() + a.name})
			if err != nil {
				t.Fatal(err)
			}
			id := done.Record.RunID
			if err := there(id); err != nil {
				t.Fatal(err)
			}
			_, err = a.do(e, ctx, id, runtime.Note{})
			if allowed := a.allows(state); (err == nil) != (allowed == nil) {
				t.Errorf("%s of a run that is %s: the engine says %v, a dry run %v", a.name, state, err, allowed)
			}
		}
	}
}
