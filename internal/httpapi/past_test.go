package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

func TestLogs(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := paid(t, s, "1")
	page := decode[LogPage](t, ask(t, s, "GET", "/v1/runs/"+run.RunID+"/logs", ""), http.StatusOK)
	if len(page.Logs) != 1 || page.NextCursor != "" {
		t.Fatalf("the logs are %+v", page)
	}
	if l := page.Logs[0]; l.Handler != "step/ordered" || l.Version != 1 || l.Attempt != 1 || l.Time.IsZero() || len(l.Lines) != 1 ||
		l.Lines[0] != (LogLine{Time: time.Unix(1, 0).UTC(), Handler: "step/ordered", Level: "WARN", Text: "charged"}) {
		t.Errorf("the entry is %+v", l)
	}
	quiet := begin(t, s, "held", "1")
	if page := decode[LogPage](t, ask(t, s, "GET", "/v1/runs/"+quiet.RunID+"/logs", ""), http.StatusOK); len(page.Logs) != 0 {
		t.Errorf("a run whose step has not ended logged %+v", page)
	}
}

func TestLogPages(t *testing.T) {
	var logs []runtime.LogEntry
	for _, at := range []struct {
		version uint64
		nanos   int64
	}{{1, 5}, {1, 6}, {2, 3}, {3, 1}} {
		line := runtime.LogLine{Text: fmt.Sprint(at)}
		logs = append(logs, runtime.LogEntry{Version: at.version, Time: time.Unix(0, at.nanos), Lines: []runtime.LogLine{line}})
	}
	s := newServer(t, Options{Engine: &fake{logs: logs}})
	for limit := 1; limit <= 5; limit++ {
		var got []string
		for cursor := ""; ; {
			target := fmt.Sprintf("/v1/runs/%s/logs?limit=%d", unknownID, limit)
			if cursor != "" {
				target += "&cursor=" + cursor
			}
			page := decode[LogPage](t, ask(t, s, "GET", target, ""), http.StatusOK)
			for _, l := range page.Logs {
				got = append(got, l.Lines[0].Text)
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		if want := []string{"{1 5}", "{1 6}", "{2 3}", "{3 1}"}; !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", limit, got, want)
		}
	}
}

func TestLogRefusals(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := begin(t, s, "held", "1")
	refused(t, ask(t, s, "GET", "/v1/runs/nope/logs", ""), http.StatusBadRequest, "invalid-request")
	refused(t, ask(t, s, "GET", "/v1/runs/"+unknownID+"/logs", ""), http.StatusNotFound, "unknown-run")
	refused(t, ask(t, s, "GET", "/v1/runs/"+run.RunID+"/logs?limit=0", ""), http.StatusBadRequest, "invalid-request")
	refused(t, ask(t, s, "GET", "/v1/runs/"+run.RunID+"/logs?cursor=aGEA", ""), http.StatusBadRequest, "invalid-request")
}

func TestARunShowsWhatIsPending(t *testing.T) {
	hour := time.Unix(0, 0).UTC().Add(time.Hour)
	rec := runtime.Record{RunID: runtime.RunID{1}, State: runtime.Running, Object: []byte("1"), Pending: []runtime.Pending{
		{Kind: runtime.PendingTimeout, Name: "remind", Due: hour.Add(time.Hour), Attempt: 1},
		{Kind: runtime.PendingCallback, Callback: 3, Due: hour, Attempt: 2},
		{Kind: runtime.PendingTimeout, Name: "escalate", Due: hour, Attempt: 4, Taken: true},
	}}
	s := newServer(t, Options{Engine: &fake{run: func(context.Context, runtime.RunID) (runtime.Record, error) { return rec, nil }}})
	run := decode[Run](t, ask(t, s, "GET", "/v1/runs/"+unknownID, ""), http.StatusOK)
	timers := []Timer{{Name: "escalate", Due: hour, Attempt: 4}, {Name: "remind", Due: hour.Add(time.Hour), Attempt: 1}}
	if !slices.Equal(run.Timers, timers) {
		t.Errorf("the timers are %+v, want them as they fall due: %+v", run.Timers, timers)
	}
	callbacks := []PendingCallback{{CallbackID: rec.RunID.String() + "/3", Due: hour, Attempt: 2}}
	if !slices.Equal(run.Callbacks, callbacks) {
		t.Errorf("the callbacks are %+v, want %+v", run.Callbacks, callbacks)
	}
}

func TestARunThatHasEndedShowsWhenItIsRemoved(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := paid(t, s, "1")
	ended := decode[Run](t, ask(t, s, "POST", "/v1/runs/"+run.RunID+"/cancel", ""), http.StatusOK)
	if len(ended.Timers) != 0 || ended.ExpireAt.Sub(ended.UpdatedAt) != 48*time.Hour {
		t.Errorf("a run that has ended has the timers %v and is removed at %s", ended.Timers, ended.ExpireAt)
	}
}

func TestAWorkflowShowsAllOfItsDefinition(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	w := decode[Workflow](t, ask(t, s, "GET", "/v1/workflows/shop", ""), http.StatusOK)
	i := slices.IndexFunc(w.Statuses, func(s Status) bool { return s.Name == "paid" })
	if i != 1 || len(w.Statuses) != 5 {
		t.Fatalf("the statuses are %+v", w.Statuses)
	}
	paid := w.Statuses[i]
	if len(paid.Callbacks) != 1 || paid.Callbacks[0].Handler != "onShipped" || !slices.Equal(paid.Callbacks[0].To, []string{"shipped", "returned"}) {
		t.Errorf("the callbacks are %+v", paid.Callbacks)
	}
	if len(paid.Timeouts) != 3 || paid.Timeouts[0].Handler != "remind" || paid.Timeouts[0].After != 7200 || paid.Timeouts[0].Computed ||
		!paid.Timeouts[2].Computed || paid.Timeouts[2].After != 0 {
		t.Errorf("the timeouts are %+v", paid.Timeouts)
	}
	if len(w.Hooks) != 1 || w.Hooks[0] != (Hook{On: "complete", Handler: "notify"}) || w.Retention != 48*3600 || w.Statuses[0].LagAlert != 60 {
		t.Errorf("the workflow is %+v", w)
	}
	if len(w.Schedules) != 1 || w.Schedules[0] != (DeclaredSchedule{Name: "nightly", Cron: "0 3 * * *", Zone: "Europe/Berlin"}) {
		t.Errorf("the schedules are %+v", w.Schedules)
	}
}
