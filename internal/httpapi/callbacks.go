package httpapi

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/runtime"
)

func (s *Server) registerCallbacks(api huma.API) {
	const how = " The body is the payload, of whatever type; the workflow's handlers get all of it. It is durable before a handler " +
		"sees it: 200 says that it was handled, 202 that it will be, when the run is busy or paused or its handler is tried " +
		"again. A repetition under the same Idempotency-Key, which is scoped as that of a trigger, answers as the first, "
	byForeignID := operation(http.MethodPost, "/v1/workflows/{workflow}/callbacks/{status}/{foreign_id}", "callback",
		"Call a run back", "Hands outside input to the newest run of a foreign ID, which must be in the status."+how+
			"or 410 when the run was removed since.", 400, 404, 409, 410, 413, 422, 429, 503)
	byRunID := operation(http.MethodPost, "/v1/runs/{run_id}/callbacks/{status}", "callback-run", "Call a run back by its ID",
		"Hands outside input to a run, which must be in the status."+how+"or 404 when the run was removed since.", 400, 404, 409, 413, 422, 429, 503)
	for _, op := range []*huma.Operation{&byForeignID, &byRunID} {
		s.takesBody(op)
		op.Middlewares = huma.Middlewares{s.patient}
		schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[CallbackResult](), true, "")
		op.Responses["202"] = &huma.Response{
			Description: "It is durable and will be handled.",
			Content:     map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}
	}
	huma.Register(api, byForeignID, s.callback)
	huma.Register(api, byRunID, s.callbackRun)
	for _, op := range []*huma.Operation{&byForeignID, &byRunID} {
		body := api.OpenAPI().Paths[op.Path].Post.RequestBody
		body.Required = false
		body.Content = map[string]*huma.MediaType{"*/*": {}}
	}
}

// CallbackResult is the answer to a callback.
type CallbackResult struct {
	CallbackID string `json:"callback_id" doc:"<run_id>/<number>: the callback's name in the run's history."`
	Pending    bool   `json:"pending" doc:"It is not handled yet."`
	Reason     string `json:"reason,omitempty" doc:"What became of it, when it moved nothing: skipped."`
	Run        Run    `json:"run" doc:"The run as it is now."`
}

// CallbackOptions are what is common to both ways to name a run.
type CallbackOptions struct {
	IdempotencyKey string   `header:"Idempotency-Key" doc:"Makes the request safe to repeat. At most 256 bytes."`
	TraceParent    string   `header:"traceparent" doc:"W3C Trace Context: the callback's handling is a part of this trace. A malformed one is ignored."`
	Wait           duration `query:"wait" doc:"How long to wait until it is handled. Defaults to 10s."`
	RawBody        []byte
}

type callbackInput struct {
	Workflow  string `path:"workflow"`
	Status    string `path:"status"`
	ForeignID string `path:"foreign_id"`
	CallbackOptions
}

type callbackRunInput struct {
	RunID  string `path:"run_id" format:"uuid"`
	Status string `path:"status"`
	CallbackOptions
}

type callbackOutput struct {
	Status int
	Body   CallbackResult
}

const defaultCallbackWait = 10 * time.Second

func (s *Server) callback(ctx context.Context, in *callbackInput) (*callbackOutput, error) {
	c := runtime.Callback{Workflow: in.Workflow, Status: in.Status, ForeignID: in.ForeignID}
	return s.callBack(ctx, &c, &in.CallbackOptions)
}

func (s *Server) callbackRun(ctx context.Context, in *callbackRunInput) (*callbackOutput, error) {
	id, err := runID(in.RunID)
	if err != nil {
		return nil, err
	}
	rec, err := s.opt.Engine.Run(ctx, id)
	if err != nil {
		return nil, problemOf(err)
	}
	c := runtime.Callback{Workflow: rec.Workflow, Status: in.Status, ForeignID: rec.ForeignID, RunID: id}
	return s.callBack(ctx, &c, &in.CallbackOptions)
}

func (s *Server) callBack(ctx context.Context, c *runtime.Callback, in *CallbackOptions) (*callbackOutput, error) {
	wait, err := in.Wait.value("wait", defaultCallbackWait, s.opt.AwaitMax)
	if err != nil {
		return nil, err
	}
	c.Payload, c.IdempotencyKey, c.Trace, c.Wait = in.RawBody, in.IdempotencyKey, traceOf(in.TraceParent), wait
	whole, end := s.untilDraining(ctx)
	defer end()
	done, err := s.opt.Engine.Callback(whole, *c)
	if err != nil {
		if errors.Is(err, context.Canceled) && errors.Is(context.Cause(whole), runtime.ErrStopping) {
			err = runtime.ErrStopping
		}
		return nil, callbackProblem(c, err)
	}
	out := &callbackOutput{Status: http.StatusOK, Body: CallbackResult{
		CallbackID: done.ID.String(), Pending: done.Pending, Reason: done.Reason, Run: viewRun(&done.Record),
	}}
	if done.Pending {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

// callbackProblem says how an error is answered where the path, and not the body, names the status and the run.
func callbackProblem(c *runtime.Callback, err error) *Problem {
	var unknown *runtime.UnknownStatusError
	switch {
	case errors.As(err, &unknown):
		p := unknownStatus("status", "statuses that take callbacks", unknown.Status, unknown.Known)
		p.Status = http.StatusNotFound
		return p
	case errors.Is(err, runtime.ErrNotFound) && c.RunID.IsZero():
		p := problem(http.StatusNotFound, "unknown-run", "There is no such run",
			"there is no run of workflow "+c.Workflow+" for the foreign ID "+quoted(c.ForeignID),
			"check the foreign ID; GET /v1/workflows/{workflow}/runs lists the runs")
		p.Field = "foreign_id"
		return p
	default:
		return problemOf(err)
	}
}
