package client

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// TestRequests checks the method, path, query and body of every request that is more than a GET of a path.
func TestRequests(t *testing.T) {
	var got string
	var header http.Header
	c := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got, header = r.Method+" "+r.URL.RequestURI()+" "+string(body), r.Header
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		io.WriteString(w, `{}`) //nolint:errcheck // a test's answer
	})
	ctx := t.Context()
	for want, send := range map[string]func() error{
		`POST /v1/runs/r%2F1/pause {"reason":"why","by":"ada"}`: func() error {
			_, err := c.Control(ctx, "r/1", "pause", httpapi.NoteRequest{Reason: "why", By: "ada"})
			return err
		},
		`POST /v1/runs/r/move {"status":"paid"}`: func() error {
			_, err := c.Move(ctx, "r", httpapi.MoveRequest{Status: "paid"})
			return err
		},
		`PUT /v1/runs/r/object {"object":{"n":1},"by":"ada"}`: func() error {
			_, err := c.Edit(ctx, "r", httpapi.EditRequest{Object: json.RawMessage(`{"n":1}`), By: "ada"})
			return err
		},
		`POST /v1/runs/bulk {"action":"cancel","filter":{"state":["Paused"]},"dry_run":true,"limit":5}`: func() error {
			filter := httpapi.BulkFilter{States: []string{"Paused"}}
			_, err := c.Bulk(ctx, httpapi.BulkRequest{Action: "cancel", Filter: filter, DryRun: true, Limit: 5})
			return err
		},
		`GET /v1/runs/r/logs?cursor=c&limit=1000 `: func() error {
			_, err := c.Logs(ctx, "r", "c")
			return err
		},
		`GET /v1/schedules?workflow=a&workflow=b `: func() error {
			_, err := c.Schedules(ctx, []string{"a", "b"})
			return err
		},
		`POST /v1/schedules {"workflow":"w","name":"n","cron":"@daily"}`: func() error {
			_, err := c.CreateSchedule(ctx, httpapi.ScheduleRequest{Workflow: "w", Name: "n", Cron: "@daily"})
			return err
		},
		`POST /v1/schedules/w/%2E%2E/pause `: func() error {
			_, err := c.PauseSchedule(ctx, "w", "..")
			return err
		},
		`POST /v1/schedules/w/a%20b/resume `: func() error {
			_, err := c.ResumeSchedule(ctx, "w", "a b")
			return err
		},
		`DELETE /v1/schedules/w/%2E `: func() error { return c.DeleteSchedule(ctx, "w", ".") },
		`POST /v1/schedules/w/n/trigger `: func() error {
			_, err := c.TriggerSchedule(ctx, "w", "n")
			return err
		},
	} {
		if err := send(); err != nil || got != want {
			t.Errorf("sent %s, %v; want %s", got, err, want)
		}
		if hasBody := want[len(want)-1] == '}'; hasBody != (header.Get("Content-Type") == "application/json") {
			t.Errorf("%s has the type %q", want, header.Get("Content-Type"))
		}
	}
}

func TestACallbackIsSentAsItIs(t *testing.T) {
	const payload = "\x00\xff no text"
	var path string
	c := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		path = r.URL.RequestURI()
		if string(body) != payload || r.Header.Get("Content-Type") != "application/octet-stream" || r.Header.Get("Idempotency-Key") != "k" {
			t.Errorf("sent %q %v", body, r.Header)
		}
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"callback_id":"r/7","pending":true,"run":{"run_id":"r"}}`) //nolint:errcheck // a test's answer
	})
	call := Callback{Workflow: "w", Status: "s", ForeignID: "a/b", Payload: []byte(payload), IdempotencyKey: "k", Wait: 90 * time.Second}
	got, err := c.Callback(t.Context(), call)
	if err != nil || got.CallbackID != "r/7" || !got.Pending || got.Run.RunID != "r" || path != "/v1/workflows/w/callbacks/s/a%2Fb?wait=1m30s" {
		t.Errorf("got %+v, %v from %s", got, err, path)
	}
	call.RunID = "r"
	if _, err := c.Callback(t.Context(), call); err != nil || path != "/v1/runs/r/callbacks/s?wait=1m30s" {
		t.Errorf("%v from %s", err, path)
	}
}
