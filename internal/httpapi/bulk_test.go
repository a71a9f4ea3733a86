package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wfrt/wfrt/runtime"
)

// sweep repeats a bulk action until there is no next page, and adds the answers up.
func sweep(t *testing.T, h http.Handler, body BulkRequest) (total BulkResult, pages int) {
	t.Helper()
	for {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		got := decode[BulkResult](t, ask(t, h, "POST", "/v1/runs/bulk", string(raw)), http.StatusOK)
		total.Matched += got.Matched
		total.Done += got.Done
		total.Skipped += got.Skipped
		if pages++; got.NextCursor == "" {
			return total, pages
		}
		body.Cursor = got.NextCursor
	}
}

func TestBulk(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	const runs = 25
	var all []Run
	for i := range runs {
		all = append(all, begin(t, s, "held", strconv.Itoa(i)))
	}
	other := paid(t, s, "other")
	decode[Run](t, ask(t, s, "POST", "/v1/runs/"+all[3].RunID+"/pause", ""), http.StatusOK)
	held := BulkFilter{Workflows: []string{"held"}}

	got, pages := sweep(t, s, BulkRequest{Action: "pause", Filter: held, DryRun: true, Limit: 10})
	if got != (BulkResult{Matched: runs, Done: runs - 1, Skipped: 1}) || pages != 3 {
		t.Errorf("the dry run counts %+v on %d pages", got, pages)
	}
	if h := history(t, s, all[0]); len(h) != 1 {
		t.Errorf("a dry run changed a run: %+v", h)
	}
	got, _ = sweep(t, s, BulkRequest{Action: "pause", Filter: held, Limit: 7, Reason: "audit", By: "ada"})
	if got != (BulkResult{Matched: runs, Done: runs - 1, Skipped: 1}) {
		t.Errorf("pausing counts %+v", got)
	}
	for _, run := range all {
		line := last(t, s, run)
		if want := run.RunID != all[3].RunID; line.State != "Paused" || (line.By == "ada" && line.Reason == "audit") != want {
			t.Errorf("run %s ends with %+v", run.ForeignID, line)
		}
	}
	if h := last(t, s, other); h.State != "Running" {
		t.Errorf("a run that the filter leaves out became %+v", h)
	}
	got, _ = sweep(t, s, BulkRequest{Action: "cancel", Filter: BulkFilter{States: []string{"Paused"}, ForeignIDs: []string{"1", "2", "other"}}})
	if got != (BulkResult{Matched: 2, Done: 2}) {
		t.Errorf("cancelling counts %+v", got)
	}
	// Resuming takes runs out of the filter as it goes; every one is met nevertheless.
	got, _ = sweep(t, s, BulkRequest{Action: "resume", Filter: BulkFilter{Workflows: []string{"held"}, States: []string{"Paused"}}, Limit: 2})
	if got != (BulkResult{Matched: runs - 2, Done: runs - 2}) {
		t.Errorf("resuming counts %+v", got)
	}
	got, _ = sweep(t, s, BulkRequest{Action: "erase", Filter: held})
	if got != (BulkResult{Matched: runs, Done: 2, Skipped: runs - 2}) {
		t.Errorf("erasing counts %+v", got)
	}
}

func TestBulkRefusals(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := begin(t, s, "held", "1")
	for _, c := range []struct{ body, kind, says string }{
		{"", "invalid-request", "the body is empty"},
		{`{"action":"pause"}`, "invalid-request", "selects every run"},
		{`{"action":"pause","filter":{}}`, "invalid-request", "selects every run"},
		{`{"action":"pause","filter":{"workflow":[]}}`, "invalid-request", "selects every run"},
		{`{"action":"puase","filter":{"workflow":["held"]}}`, "invalid-request", `did you mean "pause"?`},
		{`{"action":"move","filter":{"workflow":["held"]}}`, "invalid-request", "known actions: pause, resume, cancel, erase"},
		{`{"action":"pause","filter":{"workflows":["held"]}}`, "invalid-request", `did you mean "workflow"?`},
		{`{"action":"pause","filter":{"workflow":"held"}}`, "invalid-request", "is a JSON string"},
		{`{"action":"pause","filter":{"workflow":["hold"]}}`, "invalid-request", `did you mean "held"?`},
		{`{"action":"pause","filter":{"workflow":["held"],"status":["s1"]}}`, "unknown-status", "known statuses: done, waiting"},
		{`{"action":"pause","filter":{"state":["paused"]}}`, "unknown-state", `did you mean "Paused"?`},
		{`{"action":"pause","filter":{"foreign_id":[""]}}`, "invalid-request", "foreign_id has an empty value"},
		{`{"action":"pause","filter":{"state":[""]}}`, "invalid-request", "state has an empty value"},
		{`{"action":"pause","filter":{"created_after":"yesterday"}}`, "invalid-request", "RFC 3339"},
		{`{"action":"pause","filter":{"workflow":["held"]},"dryrun":true}`, "invalid-request", `did you mean "dry_run"?`},
		{`{"action":"pause","filter":{"workflow":["held"]},"limit":1001}`, "invalid-request", "from 1 to 1000"},
		{`{"action":"pause","filter":{"workflow":["held"]},"limit":-1}`, "invalid-request", "from 1 to 1000"},
		{`{"action":"pause","filter":{"workflow":["held"]},"cursor":"x"}`, "invalid-request", "is not a cursor"},
	} {
		p := refused(t, ask(t, s, "POST", "/v1/runs/bulk", c.body), http.StatusBadRequest, c.kind)
		if text := p.Detail + "\n" + p.Hint; !strings.Contains(text, c.says) {
			t.Errorf("%s: the problem lacks %q: %s", c.body, c.says, text)
		}
	}
	if h := history(t, s, run); len(h) != 1 {
		t.Errorf("a refused action changed a run: %+v", h)
	}
}

func TestABulkActionEndsWithTheStore(t *testing.T) {
	var asked atomic.Int64
	e := &fake{
		runs: func(_ context.Context, q runtime.Query) ([]runtime.Record, error) {
			return make([]runtime.Record, q.Limit), nil
		},
		control: func(runtime.Note) (runtime.Record, error) {
			asked.Add(1)
			return runtime.Record{}, runtime.ErrStoreFailed
		},
	}
	s := newServer(t, Options{Engine: e})
	const body = `{"action":"pause","filter":{"foreign_id":["1"]},"limit":1000}`
	refused(t, ask(t, s, "POST", "/v1/runs/bulk", body), http.StatusServiceUnavailable, "store-failed")
	if n := asked.Load(); n > 2*atOnce {
		t.Errorf("%d runs were tried after the store had failed", n)
	}
}
