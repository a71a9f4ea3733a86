package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

func TestAScheduleFromItsMakingToItsEnd(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	const body = `{"workflow":"quick","name":"hourly report","cron":"0 * * * *","zone":"Europe/Berlin","foreign_id":"r","object":{"a":1},` +
		`"start_at":"s2","catch_up":"none"}`
	a := ask(t, s, "POST", "/v1/schedules", body)
	made := decode[Schedule](t, a, http.StatusCreated)
	if made.Workflow != "quick" || made.Name != "hourly report" || made.Cron != "0 * * * *" || made.Zone != "Europe/Berlin" ||
		made.ForeignID != "r" || string(made.Object) != `{"a":1}` || made.StartAt != "s2" || made.CatchUp != "none" || made.Plugin ||
		made.Paused || made.Since.IsZero() || !made.Next.After(made.Since) || made.Next.Sub(made.Since) > time.Hour {
		t.Errorf("the new schedule is %+v", made)
	}
	path := a.Header.Get("Location")
	if path != "/v1/schedules/quick/hourly%20report" {
		t.Errorf("Location is %q", path)
	}
	if got := decode[Schedule](t, ask(t, s, "GET", path, ""), http.StatusOK); got.Name != made.Name || !got.Next.Equal(made.Next) {
		t.Errorf("GET gives %+v", got)
	}
	if got := decode[Schedule](t, ask(t, s, "POST", path+"/pause", ""), http.StatusOK); !got.Paused {
		t.Errorf("the paused schedule is %+v", got)
	}
	if got := decode[Schedule](t, ask(t, s, "POST", path+"/resume", ""), http.StatusOK); got.Paused {
		t.Errorf("the resumed schedule is %+v", got)
	}
	run := decode[Run](t, ask(t, s, "POST", path+"/trigger", ""), http.StatusCreated)
	if run.ForeignID != "r" || run.Status != "s2" || string(run.Object) != `{"a":1}` {
		t.Errorf("the schedule's run is %+v", run)
	}
	if h := history(t, s, settle(t, s, run))[0]; h.Cause != "schedule" || h.Handler != "hourly report" {
		t.Errorf("the history of its run begins with %+v", h)
	}
	if a := ask(t, s, "DELETE", path, ""); a.StatusCode != http.StatusNoContent || a.body != "" {
		t.Errorf("DELETE answers %d %s", a.StatusCode, a.body)
	}
	refused(t, ask(t, s, "GET", path, ""), http.StatusNotFound, "unknown-schedule")
}

func TestSchedulesShowTheirDefaults(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	made := decode[Schedule](t, ask(t, s, "POST", "/v1/schedules", `{"workflow":"held","name":"x","cron":"@daily"}`), http.StatusCreated)
	if made.Zone != "UTC" || made.ForeignID != "x" || string(made.Object) != "null" || made.CatchUp != "one" {
		t.Errorf("the schedule is %+v", made)
	}
	run := decode[Run](t, ask(t, s, "POST", "/v1/schedules/held/x/trigger", ""), http.StatusCreated)
	p := refused(t, ask(t, s, "POST", "/v1/schedules/held/x/trigger", ""), http.StatusConflict, "in-progress")
	if p.RunID != run.RunID {
		t.Errorf("the problem names run %s, want %s", p.RunID, run.RunID)
	}
	decode[Schedule](t, ask(t, s, "POST", "/v1/schedules", `{"workflow":"quick","name":"y","cron":"@every 90s"}`), http.StatusCreated)
	list := decode[ScheduleList](t, ask(t, s, "GET", "/v1/schedules?workflow=held&workflow=quick", ""), http.StatusOK)
	if len(list.Schedules) != 2 || list.Schedules[0].Name != "x" || list.Schedules[1].Name != "y" {
		t.Errorf("the list is %+v", list)
	}
	list = decode[ScheduleList](t, ask(t, s, "GET", "/v1/schedules?workflow=refused", ""), http.StatusOK)
	if len(list.Schedules) != 0 {
		t.Errorf("the list of a workflow without schedules is %+v", list)
	}
}

func TestScheduleRefusals(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	decode[Schedule](t, ask(t, s, "POST", "/v1/schedules", `{"workflow":"quick","name":"taken","cron":"@daily"}`), http.StatusCreated)
	if p := refused(t, ask(t, s, "GET", "/v1/schedules?workflow=quik", ""), http.StatusBadRequest, "invalid-request"); !strings.Contains(p.Hint, `did you mean "quick"?`) {
		t.Errorf("of a workflow that is not there: %+v", p)
	}
	for _, c := range []struct {
		name, body string
		status     int
		kind, says string
	}{
		{"no body", "", 400, "invalid-request", "the body is empty"},
		{"unknown member", `{"crom":""}`, 400, "invalid-request", `did you mean "cron"?`},
		{"no cron", `{"workflow":"quick","name":"x"}`, 400, "invalid-request", "is not a cron expression"},
		{"bad cron", `{"workflow":"quick","name":"x","cron":"61 * * * *"}`, 400, "invalid-request", `is not a cron expression: its minute is "61"`},
		{"never", `{"workflow":"quick","name":"x","cron":"0 0 30 2 *"}`, 400, "invalid-request", "never comes"},
		{"bad zone", `{"workflow":"quick","name":"x","cron":"@daily","zone":"Mars/Base"}`, 400, "invalid-request", "Europe/Berlin"},
		{"no name", `{"workflow":"quick","cron":"@daily"}`, 400, "invalid-request", "name has 0 bytes"},
		{"bad policy", `{"workflow":"quick","name":"x","cron":"@daily","catch_up":"some"}`, 400, "invalid-request", "one, all, none"},
		{"unknown workflow", `{"workflow":"quik","name":"x","cron":"@daily"}`, 404, "unknown-workflow", `did you mean "quick"?`},
		{"unknown start", `{"workflow":"quick","name":"x","cron":"@daily","start_at":"s4"}`, 400, "unknown-status", "start_at"},
		{"taken", `{"workflow":"quick","name":"taken","cron":"@daily"}`, 409, "schedule-exists", "delete it first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := refused(t, ask(t, s, "POST", "/v1/schedules", c.body), c.status, c.kind)
			if text := p.Detail + "\n" + p.Hint; !strings.Contains(text, c.says) {
				t.Errorf("the problem lacks %q: %s", c.says, text)
			}
		})
	}
}

func TestEveryRequestAboutAScheduleAnswersItsErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		kind   string
	}{
		{runtime.ErrNotFound, http.StatusNotFound, "unknown-schedule"},
		{runtime.ErrPluginSchedule, http.StatusConflict, "plugin-schedule"},
		{runtime.ErrStopping, http.StatusServiceUnavailable, "stopping"},
		{errors.New("a surprise"), http.StatusInternalServerError, "internal"},
	} {
		s := newServer(t, Options{Engine: &fake{sched: func(string, string) error { return fmt.Errorf("runtime: schedule: %w", c.err) }}})
		for _, r := range [][2]string{{"DELETE", ""}, {"POST", "/pause"}, {"POST", "/resume"}, {"POST", "/trigger"}} {
			p := refused(t, ask(t, s, r[0], "/v1/schedules/w/nightly"+r[1], ""), c.status, c.kind)
			if c.kind == "unknown-schedule" && !strings.Contains(p.Detail, `"nightly"`) {
				t.Errorf("the problem is %+v", p)
			}
		}
	}
}
