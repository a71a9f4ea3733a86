package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/runtime"
)

func (s *Server) registerRuns(api huma.API) {
	trigger := operation(http.MethodPost, "/v1/workflows/{workflow}/runs", "trigger", "Trigger a run",
		"Begins a run. A success answer means that the run is durable and will be executed. At most one run of a foreign ID is "+
			"active at a time: another trigger answers 409 with the active run's ID. With an Idempotency-Key, which is scoped "+
			"to the workflow and the foreign ID, a repetition begins nothing: it answers 200 with the run as it is now, or 410 when that was "+
			"removed since; 201 says that a run began. The body is read as JSON whatever its Content-Type says.",
		400, 404, 409, 410, 413, 422, 503)
	trigger.DefaultStatus = http.StatusCreated
	trigger.MaxBodyBytes = s.opt.MaxBody + 1 // huma refuses a body of exactly this size
	huma.Register(api, trigger, s.trigger)
	documentTrigger(api)

	huma.Register(api, operation(http.MethodGet, "/v1/runs", "list-runs", "List runs of all workflows",
		listDescription, 400, 503), s.listAll)
	huma.Register(api, operation(http.MethodGet, "/v1/workflows/{workflow}/runs", "list-workflow-runs",
		"List runs of a workflow", listDescription, 400, 404, 503), s.listOfWorkflow)
	huma.Register(api, operation(http.MethodGet, "/v1/runs/{run_id}", "get-run", "Get a run", "", 400, 404, 503), s.get)
	await := operation(http.MethodGet, "/v1/runs/{run_id}/await", "await-run", "Await a run",
		"Waits until the run enters the status or the state (either, when both are given), and answers at once when it already "+
			"did. With neither it waits until the run has settled: it has ended, or it is paused. It answers reached=false "+
			"when the run ended elsewhere, and timed_out=true when the time was up first.", 400, 404, 503)
	await.Middlewares = huma.Middlewares{unhurried}
	huma.Register(api, await, s.await)
}

const listDescription = "Filters of different names must all hold; several values of one name are alternatives. " +
	"A value is taken as it is: a comma in it is a comma. Pages stay stable while runs are added. " + shortPages

// TriggerRequest is the body of a trigger.
type TriggerRequest struct {
	ForeignID string          `json:"foreign_id" minLength:"1" maxLength:"256" doc:"Your own name for what the run is about."`
	Object    json.RawMessage `json:"object,omitempty" doc:"The run's object: any JSON value; null when absent."`
	StartAt   string          `json:"start_at,omitempty" doc:"The status to begin in; the workflow's start when absent."`
}

type triggerInput struct {
	Workflow       string `path:"workflow"`
	IdempotencyKey string `header:"Idempotency-Key" doc:"Makes the request safe to repeat. At most 256 bytes."`
	TraceParent    string `header:"traceparent" doc:"W3C Trace Context: the run continues this trace. A malformed one is ignored."`
	RawBody        []byte `contentType:"application/json"`
}

type triggerOutput struct {
	Status   int
	Location string `header:"Location" doc:"The run."`
	Body     Run
}

func (s *Server) trigger(ctx context.Context, in *triggerInput) (*triggerOutput, error) {
	body, err := decodeBody[TriggerRequest](in.RawBody, "a trigger", `send {"foreign_id": "…", "object": {…}}`)
	if err != nil {
		return nil, err
	}
	done, err := s.opt.Engine.Trigger(ctx, runtime.Trigger{
		Workflow: in.Workflow, ForeignID: body.ForeignID, Object: body.Object, StartAt: body.StartAt,
		IdempotencyKey: in.IdempotencyKey, Trace: traceOf(in.TraceParent),
	})
	if err != nil {
		return nil, problemOf(err)
	}
	return triggered(&done), nil
}

// traceOf reads the header traceparent. W3C Trace Context has a malformed one ignored.
func traceOf(header string) runtime.TraceContext {
	c, _ := runtime.ParseTraceParent(header)
	return c
}

func triggered(done *runtime.Triggered) *triggerOutput {
	out := &triggerOutput{Status: http.StatusCreated, Body: viewRun(&done.Record)}
	out.Location = "/v1/runs/" + out.Body.RunID
	if done.Repeated {
		out.Status = http.StatusOK
	}
	return out
}

// documentTrigger describes the body, which the operation takes raw, and the answer to a repetition.
func documentTrigger(api huma.API) {
	op := api.OpenAPI().Paths["/v1/workflows/{workflow}/runs"].Post
	schemas := api.OpenAPI().Components.Schemas
	op.RequestBody.Content["application/json"].Schema = schemas.Schema(reflect.TypeFor[TriggerRequest](), true, "")
	op.Responses["200"] = &huma.Response{
		Description: "A repetition under a known Idempotency-Key: the run that the first request began, as it is now.",
		Headers:     op.Responses["201"].Headers,
		Content:     op.Responses["201"].Content,
	}
}

// RunFilter is the query of a list of runs.
type RunFilter struct {
	States        []stateName `query:"state,explode" nullable:"false" doc:"Only runs in one of these run states."`
	Statuses      []string    `query:"status,explode" nullable:"false" doc:"Only runs in one of these statuses."`
	ForeignIDs    []string    `query:"foreign_id,explode" nullable:"false" doc:"Only runs of one of these foreign IDs."`
	CreatedAfter  Timestamp   `query:"created_after" doc:"Only runs created at this time or later, to the millisecond."`
	CreatedBefore Timestamp   `query:"created_before" doc:"Only runs created before this time, to the millisecond."`
	Order         order       `query:"order" doc:"By time of creation: desc is newest first."`
	Limit         limit       `query:"limit" doc:"Runs on a page at most."`
	Cursor        string      `query:"cursor" doc:"Where to go on: next_cursor of the page before."`
}

// query reads the filter.
func (f *RunFilter) query(workflows []string) (runtime.Query, error) {
	q := runtime.Query{Workflows: workflows, Statuses: f.Statuses, ForeignIDs: f.ForeignIDs}
	var errs [5]error
	q.CreatedAfter, errs[0] = f.CreatedAfter.value("created_after")
	q.CreatedBefore, errs[1] = f.CreatedBefore.value("created_before")
	q.Descending, errs[2] = f.Order.descending()
	q.Limit, errs[3] = f.Limit.value()
	q.After, errs[4] = parseRunCursor(f.Cursor, q.Descending)
	for _, err := range errs {
		if err != nil {
			return q, err
		}
	}
	for _, name := range f.States {
		state, err := name.value()
		if err != nil {
			return q, err
		}
		q.States = append(q.States, state)
	}
	return q, nil
}

type listAllInput struct {
	Workflows []string `query:"workflow,explode" nullable:"false" doc:"Only runs of one of these workflows."`
	RunFilter
}

type listOfWorkflowInput struct {
	Workflow string `path:"workflow"`
	RunFilter
}

type listOutput struct{ Body RunPage }

func (s *Server) listAll(ctx context.Context, in *listAllInput) (*listOutput, error) {
	for _, name := range in.Workflows {
		if err := s.checkWorkflow(ctx, name); err != nil {
			return nil, err
		}
	}
	return s.list(ctx, in.Workflows, &in.RunFilter)
}

func (s *Server) listOfWorkflow(ctx context.Context, in *listOfWorkflowInput) (*listOutput, error) {
	known, err := s.knowsWorkflow(ctx, in.Workflow)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, unknownWorkflow(in.Workflow, s.opt.Engine.Catalog().Names())
	}
	return s.list(ctx, []string{in.Workflow}, &in.RunFilter)
}

func (s *Server) list(ctx context.Context, workflows []string, filter *RunFilter) (*listOutput, error) {
	q, err := filter.query(workflows)
	if err != nil {
		return nil, err
	}
	for _, status := range q.Statuses {
		if err := s.checkStatus(ctx, workflows, status); err != nil {
			return nil, err
		}
	}
	records, more, err := s.records(ctx, q)
	if err != nil {
		return nil, problemOf(err)
	}
	out := &listOutput{}
	if more {
		out.Body.NextCursor = runCursor(records[len(records)-1].RunID, q.Descending)
	}
	out.Body.Runs = make([]Run, len(records))
	for i := range records {
		out.Body.Runs[i] = viewRun(&records[i])
	}
	return out, nil
}

// records reads a page of records and reports whether more follow.
func (s *Server) records(ctx context.Context, q runtime.Query) ([]runtime.Record, bool, error) {
	return page(q.Limit, func(n int, after *runtime.Record) ([]runtime.Record, error) {
		q.Limit = n
		if after != nil {
			q.After = after.RunID
		}
		return s.opt.Engine.Runs(ctx, q)
	}, func(r *runtime.Record) int { return len(r.Object) })
}

// checkWorkflow returns the problem of a filter's workflow that is not known.
func (s *Server) checkWorkflow(ctx context.Context, name string) error {
	known, err := s.knowsWorkflow(ctx, name)
	if err != nil || known {
		return err
	}
	return unknown("workflow", "workflows", name, s.opt.Engine.Catalog().Names())
}

// knowsWorkflow reports whether the catalog has the workflow, or the store a run of it: a plugin that does not load must not
// hide its runs.
func (s *Server) knowsWorkflow(ctx context.Context, name string) (bool, error) {
	if s.opt.Engine.Catalog().Workflow(name) != nil {
		return true, nil
	}
	return s.anyRun(ctx, runtime.Query{Workflows: []string{name}, Limit: 1})
}

// checkStatus returns the problem of a status that neither the definitions of the workflows (none: of all) nor a run of
// theirs has: a mistyped filter is no empty list.
func (s *Server) checkStatus(ctx context.Context, workflows []string, status string) error {
	known := s.statuses(workflows)
	if slices.Contains(known, status) {
		return nil
	}
	found, err := s.anyRun(ctx, runtime.Query{Workflows: workflows, Statuses: []string{status}, Limit: 1})
	if found || err != nil {
		return err
	}
	return unknownStatus("status", "statuses", status, known)
}

// checkAwaited does for a status that a run is awaited in what checkStatus does for its workflow, and knows those that the run was in.
func (s *Server) checkAwaited(ctx context.Context, id runtime.RunID, status string) error {
	rec, err := s.opt.Engine.Run(ctx, id)
	if err != nil {
		return problemOf(err)
	}
	fault := s.checkStatus(ctx, []string{rec.Workflow}, status)
	if fault == nil {
		return nil
	}
	const page = 256
	var version uint64
	var line uint32
	for {
		entries, err := s.opt.Engine.History(ctx, id, version, line, page)
		if err != nil {
			return problemOf(err)
		}
		if slices.ContainsFunc(entries, func(h runtime.HistoryEntry) bool { return h.Status == status }) {
			return nil
		}
		if len(entries) < page {
			return fault
		}
		version, line = entries[page-1].Version, entries[page-1].Line
	}
}

func (s *Server) anyRun(ctx context.Context, q runtime.Query) (bool, error) {
	records, err := s.opt.Engine.Runs(ctx, q)
	if err != nil {
		return false, problemOf(err)
	}
	return len(records) > 0, nil
}

// statuses returns the statuses that any definition in the catalog has for the workflows (none: for all), in alphabetical order.
func (s *Server) statuses(workflows []string) []string {
	catalog := s.opt.Engine.Catalog()
	if len(workflows) == 0 {
		workflows = catalog.Names()
	}
	var all []string
	for _, name := range workflows {
		for _, w := range catalog.Workflow(name).Definitions() {
			all = slices.AppendSeq(all, maps.Keys(w.Statuses))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

type runInput struct {
	RunID string `path:"run_id" format:"uuid"`
}

type runOutput struct{ Body Run }

func (s *Server) get(ctx context.Context, in *runInput) (*runOutput, error) {
	id, err := runID(in.RunID)
	if err != nil {
		return nil, err
	}
	rec, err := s.opt.Engine.Run(ctx, id)
	if err != nil {
		return nil, problemOf(err)
	}
	return &runOutput{Body: viewRun(&rec)}, nil
}

type awaitInput struct {
	RunID   string    `path:"run_id" format:"uuid"`
	Status  string    `query:"status" doc:"Wait until the run enters this status."`
	State   stateName `query:"state" doc:"Wait until the run enters this run state."`
	Timeout duration  `query:"timeout" doc:"How long to wait at most. Defaults to 30s."`
}

type awaitOutput struct{ Body Awaited }

const defaultAwait = 30 * time.Second

func (s *Server) await(ctx context.Context, in *awaitInput) (*awaitOutput, error) {
	id, err := runID(in.RunID)
	if err != nil {
		return nil, err
	}
	until := runtime.Until{Status: in.Status}
	if until.State, err = in.State.value(); err != nil {
		return nil, err
	}
	if in.Status != "" {
		if err := s.checkAwaited(ctx, id, in.Status); err != nil {
			return nil, err
		}
	}
	timeout, err := in.Timeout.value("timeout", defaultAwait, s.opt.AwaitMax)
	if err != nil {
		return nil, err
	}
	whole, end := s.untilDraining(ctx)
	defer end()
	waiting, cancel := context.WithTimeout(whole, timeout)
	defer cancel()
	done, err := s.opt.Engine.Await(waiting, id, until)
	switch {
	case err == nil:
		return &awaitOutput{Body: Awaited{Run: viewRun(&done.Record), Reached: done.Reached}}, nil
	case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
		return nil, problemOf(err)
	case whole.Err() != nil:
		return nil, problemOf(context.Cause(whole))
	}
	rec, err := s.opt.Engine.Run(ctx, id)
	if err != nil {
		return nil, problemOf(err)
	}
	return &awaitOutput{Body: Awaited{Run: viewRun(&rec), TimedOut: true}}, nil
}
