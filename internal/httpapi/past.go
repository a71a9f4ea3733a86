package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/runtime"
)

// registerPast registers what tells how a run came to where it is.
func (s *Server) registerPast(api huma.API) {
	huma.Register(api, operation(http.MethodGet, "/v1/runs/{run_id}/history", "get-history", "Get a run's history",
		"Every version and what made it, and whatever happened to a version without making another, such as an attempt that "+
			"failed; oldest first. "+shortPages, 400, 404, 503), s.history)
	huma.Register(api, operation(http.MethodGet, "/v1/runs/{run_id}/logs", "get-logs", "Get what a run's handlers logged",
		"One entry for each invocation that logged, with the version that it ran on; oldest first. "+shortPages,
		400, 404, 503), s.logs)
}

type historyInput struct {
	RunID  string `path:"run_id" format:"uuid"`
	Limit  limit  `query:"limit" doc:"Entries on a page at most."`
	Cursor string `query:"cursor" doc:"Where to go on: next_cursor of the page before."`
}

// pastPage reads a page of a run's past, and returns what is shown of it and the cursor of the next.
func pastPage[T, V any](
	in *historyInput, read func(id runtime.RunID, n int, after *T) ([]T, error), size func(*T) int, cursor func(*T) string, view func(*T) V,
) ([]V, string, error) {
	id, err := runID(in.RunID)
	if err != nil {
		return nil, "", err
	}
	limit, err := in.Limit.value()
	if err != nil {
		return nil, "", err
	}
	entries, more, err := page(limit, func(n int, after *T) ([]T, error) { return read(id, n, after) }, size)
	if err != nil {
		return nil, "", problemOf(err)
	}
	next := ""
	if more {
		next = cursor(&entries[len(entries)-1])
	}
	views := make([]V, len(entries))
	for i := range entries {
		views[i] = view(&entries[i])
	}
	return views, next, nil
}

type historyOutput struct{ Body HistoryPage }

func (s *Server) history(ctx context.Context, in *historyInput) (*historyOutput, error) {
	version, line, err := parseHistoryCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	out := &historyOutput{}
	out.Body.History, out.Body.NextCursor, err = pastPage(in,
		func(id runtime.RunID, n int, after *runtime.HistoryEntry) ([]runtime.HistoryEntry, error) {
			if after != nil {
				version, line = after.Version, after.Line
			}
			return s.opt.Engine.History(ctx, id, version, line, n)
		}, func(h *runtime.HistoryEntry) int { return len(h.Object) }, historyCursor, viewHistory)
	return out, err
}

type logsOutput struct{ Body LogPage }

func (s *Server) logs(ctx context.Context, in *historyInput) (*logsOutput, error) {
	version, at, err := parseLogsCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	out := &logsOutput{}
	out.Body.Logs, out.Body.NextCursor, err = pastPage(in,
		func(id runtime.RunID, n int, after *runtime.LogEntry) ([]runtime.LogEntry, error) {
			if after != nil {
				version, at = after.Version, after.Time
			}
			return s.opt.Engine.Logs(ctx, id, version, at, n)
		}, logBytes, logsCursor, viewLog)
	return out, err
}

func logBytes(l *runtime.LogEntry) int {
	size := 0
	for i := range l.Lines {
		size += len(l.Lines[i].Text)
	}
	return size
}
