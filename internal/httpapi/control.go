package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/runtime"
)

// action is a change of a run's state that a person may ask for.
type action struct {
	name, summary, description string
	to                         runtime.RunState
	do                         func(e Engine, ctx context.Context, id runtime.RunID, note runtime.Note) (runtime.Record, error)
}

// actions returns what a person may ask for, of one run or of all that a filter selects.
func actions() []action {
	return []action{
		{
			"pause", "Pause a run",
			"Nothing of it runs until it is resumed. An invocation under way goes on, and its outcome is discarded. Its timeouts " +
				"and callbacks wait.",
			runtime.Paused, Engine.Pause,
		},
		{
			"resume", "Resume a paused run",
			"It goes on where it was, with attempts counted anew.",
			runtime.Running, Engine.Resume,
		},
		{
			"cancel", "Cancel a run",
			"It ends where it is.",
			runtime.Cancelled, Engine.Cancel,
		},
		{
			"erase", "Erase the data of a run that has ended",
			"Removes its object, those in its history, the reasons there, its logs and its payloads, or leaves of the object what " +
				"its plugin says. It answers the state RequestedDataDeleted; DataDeleted follows.",
			runtime.RequestedDataDeleted, Engine.Erase,
		},
	}
}

// allows returns a *runtime.TransitionError unless a run in this state can have it done.
func (a *action) allows(from runtime.RunState) error {
	if a.to == runtime.Running && from != runtime.Paused {
		return &runtime.TransitionError{From: from, To: a.to}
	}
	return from.CheckTransition(a.to)
}

func (s *Server) registerControl(api huma.API) {
	for _, a := range actions() {
		op := operation(http.MethodPost, "/v1/runs/{run_id}/"+a.name, a.name+"-run", a.summary,
			a.description+" Answers with the run as it then is.", 400, 404, 409, 413, 503)
		s.takesBody(&op)
		huma.Register(api, op, func(ctx context.Context, in *controlInput) (*runOutput, error) { return s.control(ctx, &a, in) })
		bodyOf[NoteRequest](api, api.OpenAPI().Paths[op.Path].Post, true)
	}
	move := operation(http.MethodPost, "/v1/runs/{run_id}/move", "move-run", "Move a run to a status",
		"The run enters the status anew, whatever the workflow's graph says; a paused run is resumed by it. The history keeps "+
			"who did it and why.", 400, 404, 409, 413, 503)
	s.takesBody(&move)
	huma.Register(api, move, s.move)
	bodyOf[MoveRequest](api, api.OpenAPI().Paths[move.Path].Post, false)
	edit := operation(http.MethodPut, "/v1/runs/{run_id}/object", "edit-run", "Replace a run's object",
		"Of a run that has not ended. The history keeps who did it and why. An invocation under way has read the old object; its "+
			"outcome is discarded, and its step runs again.", 400, 404, 409, 413, 503)
	s.takesBody(&edit)
	huma.Register(api, edit, s.edit)
	bodyOf[EditRequest](api, api.OpenAPI().Paths[edit.Path].Put, false)
}

// takesBody bounds the body of an operation that takes it raw.
func (s *Server) takesBody(op *huma.Operation) {
	op.RequestBody = &huma.RequestBody{}
	op.MaxBodyBytes = s.opt.MaxBody + 1 // huma refuses a body of exactly this size
}

// NoteRequest is the body of a control: who asks, and why.
type NoteRequest struct {
	Reason string `json:"reason,omitempty" doc:"Why. It is kept in the run's history."`
	By     string `json:"by,omitempty" doc:"Who. It is kept in the run's history."`
}

func (n *NoteRequest) note() (runtime.Note, error) { return noteOf(n.Reason, n.By) }

// maxNote bounds each part of a note, in bytes: it goes into the record, which every transition writes.
const maxNote = 4 << 10

func noteOf(reason, by string) (runtime.Note, error) {
	for field, text := range map[string]string{"reason": reason, "by": by} {
		if len(text) > maxNote {
			return runtime.Note{}, invalid(field, fmt.Sprintf("has %d bytes", len(text)), fmt.Sprintf("say it in %d", maxNote))
		}
	}
	return runtime.Note{Reason: reason, By: by}, nil
}

type controlInput struct {
	RunID   string `path:"run_id" format:"uuid"`
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) control(ctx context.Context, a *action, in *controlInput) (*runOutput, error) {
	id, err := runID(in.RunID)
	if err != nil {
		return nil, err
	}
	var body NoteRequest
	if len(in.RawBody) > 0 {
		if body, err = decodeBody[NoteRequest](in.RawBody, "a control", `send {"reason": "…", "by": "…"}, or no body`); err != nil {
			return nil, err
		}
	}
	note, err := body.note()
	if err != nil {
		return nil, err
	}
	rec, err := a.do(s.opt.Engine, ctx, id, note)
	return controlled(&rec, err)
}

// controlled answers a control. rec is the run also when its state did not allow it.
func controlled(rec *runtime.Record, err error) (*runOutput, error) {
	if err == nil {
		return &runOutput{Body: viewRun(rec)}, nil
	}
	p := problemOf(err)
	var transition *runtime.TransitionError
	if errors.As(err, &transition) && !rec.RunID.IsZero() {
		p = p.of(rec)
	}
	return nil, p
}

// MoveRequest is the body of a move.
type MoveRequest struct {
	Status string `json:"status" doc:"The status to enter."`
	Reason string `json:"reason,omitempty" doc:"Why. It is kept in the run's history."`
	By     string `json:"by,omitempty" doc:"Who. It is kept in the run's history."`
}

func (s *Server) move(ctx context.Context, in *controlInput) (*runOutput, error) {
	id, err := runID(in.RunID)
	if err != nil {
		return nil, err
	}
	body, err := decodeBody[MoveRequest](in.RawBody, "a move", `send {"status": "…", "reason": "…", "by": "…"}`)
	if err != nil {
		return nil, err
	}
	if body.Status == "" {
		return nil, invalid("status", "is empty", "name the status that the run shall enter")
	}
	note, err := noteOf(body.Reason, body.By)
	if err != nil {
		return nil, err
	}
	rec, err := s.opt.Engine.Move(ctx, id, body.Status, note)
	var unknown *runtime.UnknownStatusError
	if errors.As(err, &unknown) {
		return nil, unknownStatus("status", "statuses", unknown.Status, unknown.Known)
	}
	return controlled(&rec, err)
}

// EditRequest is the body of an edit.
type EditRequest struct {
	Object json.RawMessage `json:"object" doc:"The new object: any JSON value."`
	Reason string          `json:"reason,omitempty" doc:"Why. It is kept in the run's history."`
	By     string          `json:"by,omitempty" doc:"Who. It is kept in the run's history."`
}

func (s *Server) edit(ctx context.Context, in *controlInput) (*runOutput, error) {
	id, err := runID(in.RunID)
	if err != nil {
		return nil, err
	}
	body, err := decodeBody[EditRequest](in.RawBody, "an edit", `send {"object": {…}, "reason": "…", "by": "…"}`)
	if err != nil {
		return nil, err
	}
	if body.Object == nil {
		return nil, invalid("object", "is missing", "send the whole new object; null is one too")
	}
	note, err := noteOf(body.Reason, body.By)
	if err != nil {
		return nil, err
	}
	rec, err := s.opt.Engine.SetObject(ctx, id, body.Object, note)
	out, err := controlled(&rec, err)
	var p *Problem
	if errors.As(err, &p) && p.Type == "urn:wfrt:problem:wrong-state" {
		p.Detail = "a run that is " + p.RunState + " has ended: its object cannot be changed"
	}
	return out, err
}
