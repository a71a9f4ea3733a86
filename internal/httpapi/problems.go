package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/internal/spelling"
	"github.com/wfrt/wfrt/runtime"
)

// Problem is the body of every answer that is an error: problem details as of RFC 9457, with extension members from hint on.
type Problem struct {
	Type   string   `json:"type" format:"uri" doc:"Which problem it is, such as urn:wfrt:problem:in-progress."`
	Title  string   `json:"title" doc:"The kind of problem, in words."`
	Status int      `json:"status" doc:"The HTTP status."`
	Detail string   `json:"detail" doc:"What was wrong this time."`
	Hint   string   `json:"hint,omitempty" doc:"What to do about it."`
	Field  string   `json:"field,omitempty" doc:"The parameter, header or member that was wrong."`
	Known  []string `json:"known,omitempty" nullable:"false" doc:"The values that would have been right."`
	RunID  string   `json:"run_id,omitempty" doc:"The run that is in the way, or that cannot do what was asked of it."`

	RunState   string `json:"run_state,omitempty" doc:"The run state of that run, when it matters."`
	RunStatus  string `json:"run_status,omitempty" doc:"The status of that run, when it matters."`
	CallbackID string `json:"callback_id,omitempty" doc:"The callback that was taken in."`
	Reason     string `json:"reason,omitempty" doc:"Why a handler refused, in its own words."`

	Left []RunsLeft `json:"left,omitempty" nullable:"false" doc:"The runs that a change of plugins would leave behind."`

	header http.Header
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// problem returns a Problem of a kind, which is the last part of its URN.
func problem(status int, kind, title, detail, hint string) *Problem {
	return &Problem{Type: "urn:wfrt:problem:" + kind, Title: title, Status: status, Detail: detail, Hint: hint}
}

func (p *Problem) withHeader(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// invalid is the problem of a parameter or member that cannot be understood.
func invalid(field, cause, hint string, known ...string) *Problem {
	p := problem(http.StatusBadRequest, "invalid-request", "The request is invalid", field+" "+cause, hint)
	p.Field, p.Known = field, known
	return p
}

// unknown is the problem of a value that is none of the known ones, which are what.
func unknown(field, what, wrong string, known []string) *Problem {
	return invalid(field, fmt.Sprintf("is %.80q, none of the %s", wrong, what), knownHint(what, wrong, known), known...)
}

// unknownStatus is the problem of a status that is none of those it could be, which are what: "statuses".
func unknownStatus(field, what, wrong string, known []string) *Problem {
	p := unknown(field, what, wrong, known)
	p.Type, p.Title = "urn:wfrt:problem:unknown-status", "There is no such status"
	return p
}

// unknownWorkflow is the problem of a workflow that the catalog lacks.
func unknownWorkflow(name string, known []string) *Problem {
	p := problem(http.StatusNotFound, "unknown-workflow", "There is no such workflow",
		fmt.Sprintf("there is no workflow %.80q", name), knownHint("workflows", name, known))
	p.Known = known
	return p
}

// of names the run that a problem is of, and where that run is.
func (p *Problem) of(r *runtime.Record) *Problem {
	p.RunID, p.RunState, p.RunStatus = r.RunID.String(), r.State.String(), r.Status
	return p
}

// wrongStatus is the problem of a callback whose run is elsewhere.
func wrongStatus(err *runtime.WrongStatusError) *Problem {
	p := problem(http.StatusConflict, "wrong-status", "The run is in another status", err.Error(),
		"await the status first: GET /v1/runs/{run_id}/await?status=…")
	if !err.Record.State.Active() {
		p = problem(http.StatusConflict, "run-ended", "The run has ended", err.Error(), "trigger a new run")
	}
	return p.of(&err.Record)
}

// problemOf says how an error of the engine is answered.
func problemOf(err error) *Problem {
	var (
		ready      *Problem
		invalidErr *runtime.InvalidError
		workflow   *runtime.UnknownWorkflowError
		status     *runtime.UnknownStatusError
		progress   *runtime.InProgressError
		reused     *runtime.KeyReusedError
		removed    *runtime.RemovedError
		transition *runtime.TransitionError
		wrong      *runtime.WrongStatusError
		declined   *runtime.CallbackRefusedError
		crowded    *runtime.TooManyCallbacksError
		low        *runtime.DiskError
	)
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &invalidErr):
		return invalid(invalidErr.Field, invalidErr.Cause, invalidHint(invalidErr.Field))
	case errors.As(err, &workflow):
		return unknownWorkflow(workflow.Name, workflow.Known)
	case errors.As(err, &status):
		return unknownStatus("start_at", "statuses that a run can begin in", status.Status, status.Known)
	case errors.As(err, &progress):
		p := problem(http.StatusConflict, "in-progress", "A run is in progress", progress.Error(),
			"wait until that run has ended, or trigger under another foreign ID; to repeat a request safely, send an Idempotency-Key")
		p.RunID = progress.RunID.String()
		return p
	case errors.As(err, &reused):
		p := problem(http.StatusUnprocessableEntity, "idempotency-key-reused", "The idempotency key is taken", reused.Error(),
			"send the same body as the first time, or choose a new key for a new request")
		p.Field, p.RunID = "Idempotency-Key", reused.RunID.String()
		return p
	case errors.As(err, &removed):
		p := problem(http.StatusGone, "run-removed", "The run was removed", removed.Error(),
			"the request has taken effect, and is not done again; choose a new key for a new request")
		p.Field, p.RunID = "Idempotency-Key", removed.RunID.String()
		return p
	case errors.As(err, &transition):
		p := problem(http.StatusConflict, "wrong-state", "The run's state does not allow it", transition.Error(), transitionHint(transition))
		p.RunState = transition.From.String()
		return p
	case errors.As(err, &wrong):
		return wrongStatus(wrong)
	case errors.As(err, &crowded):
		p := problem(http.StatusTooManyRequests, "too-many-callbacks", "The run has too many callbacks to handle", crowded.Error(),
			"send it again when some are handled; GET the run to see whether it is paused").withHeader("Retry-After", "5")
		p.RunID = crowded.RunID.String()
		return p
	case errors.As(err, &declined):
		p := problem(http.StatusUnprocessableEntity, "callback-refused", "The callback was refused", declined.Error(),
			"the reason is the workflow's own; the run's history has the callback")
		p.CallbackID, p.Reason = declined.ID.String(), declined.Reason
		return p.of(&declined.Record)
	case errors.As(err, &low):
		return problem(http.StatusServiceUnavailable, "disk-low", "The disk is short of space", low.Error(),
			"free space on the server's disk; what was taken in is safe. The marks are store.disk.high and store.disk.hard").
			withHeader("Retry-After", "30")
	case errors.Is(err, runtime.ErrScheduleExists):
		return problem(http.StatusConflict, "schedule-exists", "The name is taken", runtime.ErrScheduleExists.Error(),
			"delete the other first, or choose another name")
	case errors.Is(err, runtime.ErrPluginSchedule):
		return problem(http.StatusConflict, "plugin-schedule", "The schedule is a plugin's", runtime.ErrPluginSchedule.Error(),
			"POST …/pause holds it up")
	case errors.Is(err, runtime.ErrNotFound):
		return problem(http.StatusNotFound, "unknown-run", "There is no such run", "there is no such run",
			"check the run ID; GET /v1/runs lists the runs")
	case errors.Is(err, runtime.ErrStopping):
		return problem(http.StatusServiceUnavailable, "stopping", "The server is stopping", runtime.ErrStopping.Error(),
			"send the request again; with an Idempotency-Key a trigger is repeated safely").withHeader("Retry-After", "5")
	case errors.Is(err, runtime.ErrStoreFailed):
		return problem(http.StatusServiceUnavailable, "store-failed", "The store failed", err.Error(),
			"the server must be started again once its disk is well; repeat a trigger under the same Idempotency-Key").
			withHeader("Retry-After", "30")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, "interrupted", "The request was interrupted",
			"the request ended before its answer was durable: whether it took effect is not known",
			"repeat it; with an Idempotency-Key a trigger is repeated safely").withHeader("Retry-After", "1")
	default:
		return problem(http.StatusInternalServerError, "internal", "The server failed", err.Error(),
			"see the server's log; please report it when it comes again")
	}
}

// problemOfHuma says how an error that huma found is answered.
func problemOfHuma(e *huma.ErrorModel) *Problem {
	parts := []string{e.Detail}
	for _, d := range e.Errors {
		parts = append(parts, d.Error())
	}
	detail := strings.Join(parts, ": ")
	var refused int64 // huma's own words for a body name the size that it refuses, and no remedy
	switch _, err := fmt.Sscanf(detail, "request body is too large limit=%d bytes", &refused); {
	case err == nil:
		detail = fmt.Sprintf("the body has more than %d bytes", refused-1)
	case detail == "request body is required":
		return invalid("the body", "is empty", "GET /openapi.json describes what to send")
	}
	switch e.Status {
	case http.StatusRequestEntityTooLarge:
		return problem(e.Status, "too-large", "The body is too large", detail,
			"send less, or raise server.max_body in the server's config; a module has a limit of its own")
	case http.StatusRequestTimeout:
		return problem(e.Status, "slow", "The body came too slowly", detail, "send the request again")
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return problem(e.Status, "invalid-request", "The request is invalid", detail, "GET /openapi.json describes every request")
	default:
		return problem(e.Status, "internal", "The server failed", detail, "see the server's log")
	}
}

// write answers with the problem, outside huma's operations.
func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range p.header {
		h[name] = values
	}
	h.Set("Content-Type", problemType)
	body, err := json.Marshal(p)
	if err != nil { // a struct of strings and numbers always encodes
		panic(err)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}

// transitionHint says what to do about a run that cannot become what was asked.
func transitionHint(t *runtime.TransitionError) string {
	if t.To == runtime.RequestedDataDeleted && t.From.Active() {
		return "the data of a run can be erased when it has ended: await its end, or cancel it"
	}
	return "GET the run to see where it is"
}

// invalidHint says what a field wants that the engine refused.
func invalidHint(field string) string {
	switch field {
	case "foreign_id":
		return "foreign_id is your own name for what the run is about: 1 to 256 bytes of UTF-8"
	case "object":
		return "send one JSON value within the limit; the operator sets it with engine.max_object"
	case "payload":
		return "send less, or have the operator raise engine.max_object"
	case "Idempotency-Key":
		return "any text of up to 256 bytes that is new for each request, such as a UUID"
	case "to":
		return "`wfrt plugins inspect` lists the versions that are kept"
	case "plugin":
		return "`wfrt plugins inspect` shows whether there is a canary; one begins with `wfrt plugins deploy --canary`"
	case "canary":
		return "deploy another module as the canary"
	default:
		return "mend " + field + "; nothing has changed"
	}
}

// knownHint tells a person what there is, and names the nearest when it is near.
func knownHint(what, wrong string, known []string) string {
	if len(known) == 0 {
		return "there are no " + what + " yet"
	}
	const most = 20
	hint := "known " + what + ": " + strings.Join(known[:min(most, len(known))], ", ")
	if len(known) > most {
		hint += fmt.Sprintf(" and %d more", len(known)-most)
	}
	if near := spelling.Nearest(wrong, known); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return hint
}
