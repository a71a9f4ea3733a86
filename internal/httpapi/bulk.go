package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/runtime"
)

func (s *Server) registerBulk(api huma.API) {
	op := operation(http.MethodPost, "/v1/runs/bulk", "bulk", "Pause, resume, cancel or erase many runs",
		"Does one action to every run that a filter selects, newest first, a page of runs at a time: repeat the request with "+
			"cursor set to the answer's next_cursor until there is none. Runs that are triggered meanwhile are left alone. With "+
			"dry_run it changes nothing and counts what it would do. Each run is changed by itself: a request that breaks off "+
			"has changed some, and may be sent again.", 400, 413, 503)
	s.takesBody(&op)
	huma.Register(api, op, s.bulk)
	bodyOf[BulkRequest](api, api.OpenAPI().Paths[op.Path].Post, false)
}

// BulkRequest is the body of a bulk action.
type BulkRequest struct {
	Action string     `json:"action" enum:"pause,resume,cancel,erase" doc:"What to do to each run."`
	Filter BulkFilter `json:"filter" doc:"Which runs: members must all hold, values of one are alternatives. It must not be empty."`
	DryRun bool       `json:"dry_run,omitempty" doc:"Change nothing, only count."`
	Reason string     `json:"reason,omitempty" doc:"Why. It is kept in each run's history."`
	By     string     `json:"by,omitempty" doc:"Who. It is kept in each run's history."`
	Limit  int        `json:"limit,omitempty" minimum:"1" maximum:"1000" default:"50" doc:"Runs to look at in this request at most."`
	Cursor string     `json:"cursor,omitempty" doc:"Where to go on: next_cursor of the answer before."`
}

// BulkFilter selects runs as the parameters of a list do.
type BulkFilter struct {
	Workflows     []string  `json:"workflow,omitempty" nullable:"false" doc:"Only runs of one of these workflows."`
	States        []string  `json:"state,omitempty" nullable:"false" doc:"Only runs in one of these run states."`
	Statuses      []string  `json:"status,omitempty" nullable:"false" doc:"Only runs in one of these statuses."`
	ForeignIDs    []string  `json:"foreign_id,omitempty" nullable:"false" doc:"Only runs of one of these foreign IDs."`
	CreatedAfter  Timestamp `json:"created_after,omitempty" doc:"Only runs created at this time or later."`
	CreatedBefore Timestamp `json:"created_before,omitempty" doc:"Only runs created before this time."`
}

func (f *BulkFilter) empty() bool {
	return len(f.Workflows)+len(f.States)+len(f.Statuses)+len(f.ForeignIDs) == 0 && f.CreatedAfter == "" && f.CreatedBefore == ""
}

// BulkResult counts what one request of a bulk action did, or would do.
type BulkResult struct {
	Matched    int    `json:"matched" doc:"Runs that the filter selected."`
	Done       int    `json:"done" doc:"Of those the runs that were changed; in a dry run, that would be."`
	Skipped    int    `json:"skipped" doc:"Of those the runs whose state does not allow it."`
	NextCursor string `json:"next_cursor,omitempty" doc:"Where to go on; absent when all are done."`
}

type bulkInput struct {
	RawBody []byte `contentType:"application/json"`
}

type bulkOutput struct{ Body BulkResult }

func (s *Server) bulk(ctx context.Context, in *bulkInput) (*bulkOutput, error) {
	body, err := decodeBody[BulkRequest](in.RawBody, "a bulk action", `send {"action": "cancel", "filter": {"workflow": ["…"]}}`)
	if err != nil {
		return nil, err
	}
	a, err := actionOf(body.Action)
	if err != nil {
		return nil, err
	}
	note, err := noteOf(body.Reason, body.By)
	if err != nil {
		return nil, err
	}
	q, err := s.bulkQuery(ctx, &body)
	if err != nil {
		return nil, err
	}
	records, more, err := s.records(ctx, q)
	if err != nil {
		return nil, problemOf(err)
	}
	out := &bulkOutput{Body: BulkResult{Matched: len(records)}}
	if more {
		out.Body.NextCursor = runCursor(records[len(records)-1].RunID, q.Descending)
	}
	do := func(r *runtime.Record) error { return a.allows(r.State) }
	if !body.DryRun {
		do = func(r *runtime.Record) error {
			_, err := a.do(s.opt.Engine, ctx, r.RunID, note)
			return err
		}
	}
	out.Body.Done, out.Body.Skipped, err = each(records, do)
	if err != nil {
		return nil, problemOf(err)
	}
	return out, nil
}

func actionOf(name string) (*action, error) {
	all := actions()
	names := make([]string, len(all))
	for i := range all {
		if names[i] = all[i].name; names[i] == name {
			return &all[i], nil
		}
	}
	return nil, unknown("action", "actions", name, names)
}

// bulkQuery reads what to look at. Newest first, so that it does not run after those that are triggered meanwhile.
func (s *Server) bulkQuery(ctx context.Context, body *BulkRequest) (runtime.Query, error) {
	f := &body.Filter
	if f.empty() {
		return runtime.Query{}, invalid("filter", "selects every run of the server", `narrow it, as by {"workflow": ["…"]}`)
	}
	q := runtime.Query{
		Workflows: f.Workflows, Statuses: f.Statuses, ForeignIDs: f.ForeignIDs, Descending: true, Limit: defaultLimit,
	}
	if body.Limit != 0 {
		q.Limit = body.Limit
	}
	if q.Limit < 1 || q.Limit > maxLimit {
		return q, invalidLimit(q.Limit)
	}
	var errs [3]error
	q.CreatedAfter, errs[0] = f.CreatedAfter.value("created_after")
	q.CreatedBefore, errs[1] = f.CreatedBefore.value("created_before")
	q.After, errs[2] = parseRunCursor(body.Cursor, true)
	for _, err := range errs {
		if err != nil {
			return q, err
		}
	}
	for _, name := range f.States {
		state, err := stateName(name).value()
		if err != nil {
			return q, err
		}
		q.States = append(q.States, state)
	}
	return q, s.checkFilter(ctx, f)
}

// checkFilter refuses names that are unknown and values that are empty: a mistyped filter must not pass as another.
func (s *Server) checkFilter(ctx context.Context, f *BulkFilter) error {
	for field, values := range map[string][]string{
		"workflow": f.Workflows, "state": f.States, "status": f.Statuses, "foreign_id": f.ForeignIDs,
	} {
		if slices.Contains(values, "") {
			return invalid(field, "has an empty value", "give it a value, or leave it out")
		}
	}
	for _, name := range f.Workflows {
		if err := s.checkWorkflow(ctx, name); err != nil {
			return err
		}
	}
	for _, status := range f.Statuses {
		if err := s.checkStatus(ctx, f.Workflows, status); err != nil {
			return err
		}
	}
	return nil
}

// atOnce is how many runs of a bulk action are changed at a time: they share their waits for the disk.
const atOnce = 32

// each does something to all records, and counts those that were done and those that were not there or in a state that does not
// allow it. Any other error ends it, once what is under way has ended.
func each(records []runtime.Record, do func(*runtime.Record) error) (done, skipped int, err error) {
	var (
		mu   sync.Mutex // guards the results
		wg   sync.WaitGroup
		next = make(chan *runtime.Record)
	)
	one := func(r *runtime.Record) {
		oneErr := do(r)
		mu.Lock()
		defer mu.Unlock()
		var transition *runtime.TransitionError
		switch {
		case oneErr == nil:
			done++
		case errors.As(oneErr, &transition), errors.Is(oneErr, runtime.ErrNotFound):
			skipped++
		case err == nil:
			err = oneErr
		}
	}
	failed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return err != nil
	}
	for range min(atOnce, len(records)) {
		wg.Go(func() {
			for r := range next {
				one(r)
			}
		})
	}
	for i := range records {
		if failed() {
			break
		}
		next <- &records[i]
	}
	close(next)
	wg.Wait()
	return done, skipped, err
}
