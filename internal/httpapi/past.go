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

type historyOutput struct{ Body HistoryPage }

func (s *Server) history(ctx context.Context, in *historyInput) (*historyOutput, error) {
	id, err := runID(in.RunID)
	if err != nil {
		return nil, err
	}
	limit, err := in.Limit.value()
	if err != nil {
		return nil, err
	}
	version, line, err := parseHistoryCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	entries, more, err := page(limit, func(n int, after *runtime.HistoryEntry) ([]runtime.HistoryEntry, error) {
		if after != nil {
			version, line = after.Version, after.Line
		}
		return s.opt.Engine.History(ctx, id, version, line, n)
	}, func(h *runtime.HistoryEntry) int { return len(h.Object) })
	if err != nil {
		return nil, problemOf(err)
	}
	out := &historyOutput{}
	if more {
		out.Body.NextCursor = historyCursor(&entries[len(entries)-1])
	}
	out.Body.History = make([]HistoryEntry, len(entries))
	for i := range entries {
		out.Body.History[i] = viewHistory(&entries[i])
	}
	return out, nil
}

type logsOutput struct{ Body LogPage }

func (s *Server) logs(ctx context.Context, in *historyInput) (*logsOutput, error) {
	id, err := runID(in.RunID)
	if err != nil {
		return nil, err
	}
	limit, err := in.Limit.value()
	if err != nil {
		return nil, err
	}
	version, at, err := parseLogsCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	entries, more, err := page(limit, func(n int, after *runtime.LogEntry) ([]runtime.LogEntry, error) {
		if after != nil {
			version, at = after.Version, after.Time
		}
		return s.opt.Engine.Logs(ctx, id, version, at, n)
	}, logBytes)
	if err != nil {
		return nil, problemOf(err)
	}
	out := &logsOutput{}
	if more {
		out.Body.NextCursor = logsCursor(&entries[len(entries)-1])
	}
	out.Body.Logs = make([]LogEntry, len(entries))
	for i := range entries {
		out.Body.Logs[i] = viewLog(&entries[i])
	}
	return out, nil
}

func logBytes(l *runtime.LogEntry) int {
	size := 0
	for i := range l.Lines {
		size += len(l.Lines[i].Text)
	}
	return size
}
