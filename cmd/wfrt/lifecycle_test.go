package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// shell gives commands to a server in this process, with native workflows over a store in memory.
type shell struct {
	*testing.T
	address string
}

// newShell returns a shell of a server with the workflow shop: ordered, and then paid, where it waits. A callback moves it to
// shipped with the payload "ship", has nothing to do with "noise", and refuses anything else.
func newShell(t *testing.T) *shell {
	store := runtimetest.NewMemStore(4)
	engine, err := runtime.New(runtime.Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	engine.SetCatalog(runtime.NewCatalog(runtimetest.Workflow("shop",
		runtimetest.Step{
			Status: "ordered", To: []string{"paid"},
			Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				out.Kind, out.Status = runtime.OutcomeTo, "paid"
				out.Logs = append(out.Logs, runtime.LogLine{Time: time.Unix(1, 0), Level: 4, Text: "charged\x1b[2J"})
				return nil
			},
		},
		runtimetest.Callback{
			Status: "paid", Name: "onShipped", To: []string{"shipped"},
			Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				switch string(in.Payload) {
				case "ship":
					out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				case "noise":
					out.Kind = runtime.OutcomeSkip
				default:
					out.Kind, out.Reason = runtime.OutcomePermanent, "no such parcel"
				}
				return nil
			},
		},
	)))
	return shellOf(t, engine)
}

// shellOf returns a shell of a server of the engine, which it starts, and stops when the test has ended.
func shellOf(t *testing.T, engine *runtime.Engine) *shell {
	t.Helper()
	if err := engine.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	handler, err := httpapi.New(httpapi.Options{Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		if err := engine.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("WFRT_SERVER", server.URL)
	t.Setenv("USER", "ada")
	return &shell{T: t, address: server.URL}
}

// result is what a command left.
type result struct {
	code     int
	out, err string
}

// give gives a command.
func (s *shell) give(args ...string) result {
	s.Helper()
	return s.pipe("", args...)
}

// pipe gives a command with something on its standard input.
func (s *shell) pipe(in string, args ...string) result {
	s.Helper()
	var out, errs bytes.Buffer
	code := run(s.Context(), args, streams{in: strings.NewReader(in), out: &out, err: &errs})
	return result{code: code, out: out.String(), err: errs.String()}
}

// must gives a command that has to succeed and to print all of the words.
func (s *shell) must(args []string, words ...string) result {
	s.Helper()
	return s.exits(exitOK, args, words...)
}

// exits gives a command that has to end with the code, and to print all of the words, here or there.
func (s *shell) exits(code int, args []string, words ...string) result {
	s.Helper()
	got := s.give(args...)
	for _, word := range words {
		if !strings.Contains(got.out+got.err, word) {
			s.Errorf("wfrt %s does not print %q: %s%s", strings.Join(args, " "), word, got.out, got.err)
		}
	}
	if got.code != code {
		s.Errorf("wfrt %s exits with %d, want %d: %s%s", strings.Join(args, " "), got.code, code, got.out, got.err)
	}
	return got
}

// document gives a command with --output json and reads its document.
func document[T any](s *shell, args ...string) T {
	s.Helper()
	got := s.must(append(args, "--output", "json"))
	var v T
	if err := json.Unmarshal([]byte(got.out), &v); err != nil {
		s.Fatalf("%v in %s", err, got.out)
	}
	return v
}

// paid begins a run and returns it once it waits in paid.
func (s *shell) paid(foreignID string) httpapi.Run {
	s.Helper()
	return document[httpapi.Run](s, "trigger", "shop", foreignID, "--object", `{"n":1}`, "--await=paid")
}

const noRun = "01890a5d-ac96-774b-bcce-b302099a8057"

func TestRunsAreControlledByID(t *testing.T) {
	s := newShell(t)
	a, b := s.paid("a"), s.paid("b")
	s.must([]string{"runs", "pause", a.RunID, "--reason", "audit"}, "Paused", "audit", "paused by")
	s.exits(exitConflict, []string{"runs", "pause", a.RunID}, "cannot become Paused", "wfrt runs get "+a.RunID)
	s.exits(exitNotFound, []string{"runs", "pause", noRun}, "there is no such run")
	s.exits(exitUsage, []string{"runs", "pause", "nope"}, "is no run ID")
	s.must([]string{"runs", "resume", a.RunID, "--by", "bob"}, "Running")
	// Of several, each is done whether or not another fails.
	got := s.exits(exitConflict, []string{"runs", "resume", a.RunID, b.RunID}, "2 runs of 2 could not be resumed")
	if strings.Count(got.err, "cannot become Running") != 2 {
		t.Errorf("both failures are not named: %s", got.err)
	}
	if got.out != "" {
		t.Errorf("a table of no runs is printed: %s", got.out)
	}
	s.exits(exitConflict, []string{"runs", "erase", a.RunID}, "cannot become RequestedDataDeleted", "hint:  the data of a run can be erased when it has ended")
	s.must([]string{"runs", "pause", b.RunID})
	s.exits(exitConflict, []string{"runs", "resume", a.RunID, b.RunID}, "1 run of 2 could not be resumed", "Running")
	s.must([]string{"runs", "cancel", a.RunID, b.RunID, "--reason", "withdrawn"}, a.RunID, b.RunID, "Cancelled", "withdrawn")
	s.must([]string{"runs", "erase", a.RunID}, "RequestedDataDeleted")
	s.must([]string{"runs", "await", a.RunID, "--state", "DataDeleted"}, "DataDeleted")

	history := document[httpapi.HistoryPage](s, "runs", "history", b.RunID)
	var causes []string
	for _, e := range history.History {
		causes = append(causes, strings.TrimSpace(e.State+" "+e.By+" "+e.Reason))
	}
	want := []string{"Initiated", "Running", "Paused ada", "Running ada", "Cancelled ada withdrawn"}
	if !slices.Equal(causes, want) {
		t.Errorf("the history is %q, want %q", causes, want)
	}
}

func TestSelectedRunsAreControlled(t *testing.T) {
	s := newShell(t)
	const runs = 7
	for i := range runs {
		s.paid(fmt.Sprint(i))
	}
	s.must([]string{"runs", "pause", document[httpapi.RunPage](s, "runs", "list", "--foreign-id", "3").Runs[0].RunID})
	selected := []string{"--workflow", "shop", "--status", "paid", "--created-after", "2000-01-01T00:00:00Z"}
	pause := append([]string{"runs", "pause"}, selected...)

	s.exits(exitUsage, pause, "6 runs would be paused", "--yes does it")
	s.must(append(pause, "--dry-run"), "WOULD BE DONE")
	dry := document[bulkSummary](s, append(pause, "--dry-run")...)
	if want := (bulkSummary{Action: "pause", DryRun: true, Matched: runs, Done: runs - 1, Skipped: 1}); dry != want {
		t.Errorf("the dry run says %+v, want %+v", dry, want)
	}
	if got := document[httpapi.RunPage](s, "runs", "list", "--state", "Paused"); len(got.Runs) != 1 {
		t.Errorf("after the dry runs %d runs are paused, want the one that was", len(got.Runs))
	}
	done := document[bulkSummary](s, append(pause, "--yes", "--reason", "audit")...)
	if want := (bulkSummary{Action: "pause", Matched: runs, Done: runs - 1, Skipped: 1}); done != want {
		t.Errorf("the command says %+v, want %+v", done, want)
	}
	paused := document[httpapi.RunPage](s, "runs", "list", "--state", "Paused").Runs
	reasons := 0
	for _, r := range paused {
		if r.Reason == "audit" {
			reasons++
		}
	}
	if len(paused) != runs || reasons != runs-1 {
		t.Errorf("%d runs are paused, %d of them for the audit; want %d and %d", len(paused), reasons, runs, runs-1)
	}
	s.must([]string{"runs", "cancel", "--state", "Paused", "--foreign-id", "1", "--foreign-id", "2", "--yes"}, "cancel", "2")
	s.exits(exitUsage, []string{"runs", "cancel", "--state", "paused", "--yes"}, `did you mean "Paused"?`)
	s.exits(exitUsage, []string{"runs", "cancel", "--workflow", "shpo", "--yes"}, `did you mean "shop"?`)
	s.exits(exitUsage, []string{"runs", "cancel", "--created-before", "yesterday", "--yes"}, "RFC 3339")
}

func TestARunIsMovedAndEdited(t *testing.T) {
	s := newShell(t)
	run := s.paid("a")
	s.must([]string{"runs", "edit", run.RunID, "--object", `{"n":2}`, "--reason", "typo"}, `"n": 2`)
	if got := s.pipe(`{"n":3}`, "runs", "edit", run.RunID, "--object", "-"); got.code != exitOK || !strings.Contains(got.out, `"n": 3`) {
		t.Errorf("editing from standard input: %+v", got)
	}
	file := filepath.Join(t.TempDir(), "object.json")
	if err := os.WriteFile(file, []byte(`{"n":4}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must([]string{"runs", "edit", run.RunID, "--object", "@" + file}, `"n": 4`)
	s.exits(exitUsage, []string{"runs", "move", run.RunID, "shiped"}, `did you mean "shipped"?`)
	s.exits(exitNotFound, []string{"runs", "move", noRun, "shipped"}, "no such run")
	s.must([]string{"runs", "move", run.RunID, "shipped", "--by", "bob", "--reason", "by hand"}, "Completed", "shipped")
	s.exits(exitConflict, []string{"runs", "edit", run.RunID, "--object", "1"}, "its object cannot be changed")
	s.exits(exitConflict, []string{"runs", "move", run.RunID, "paid"}, "cannot become Running")
	s.must([]string{"runs", "history", run.RunID}, "trigger", "step ordered", "person ada", "typo", "person bob", "by hand")
}

func TestLogsAreShown(t *testing.T) {
	s := newShell(t)
	run := s.paid("a")
	got := s.must([]string{"runs", "logs", run.RunID}, "HANDLER", "step/ordered", "WARN", "charged")
	if strings.Contains(got.out, "\x1b") {
		t.Error("a plugin's log steers the terminal")
	}
	logs := document[httpapi.LogPage](s, "runs", "logs", run.RunID).Logs
	if len(logs) != 1 || logs[0].Version != 1 || logs[0].Lines[0].Text != "charged\x1b[2J" {
		t.Errorf("the logs are %+v", logs)
	}
	s.exits(exitNotFound, []string{"runs", "logs", noRun}, "no such run")
}

func TestCallbacks(t *testing.T) {
	s := newShell(t)
	a, b := s.paid("a"), s.paid("b")
	s.must([]string{"callback", "shop", "paid", "a", "--payload", "noise"}, "moved nothing", "paid")
	s.exits(exitRefused, []string{"callback", "shop", "paid", "a", "--payload", "what?"}, "no such parcel", "wfrt runs history "+a.RunID)
	s.must([]string{"callback", "shop", "paid", "a", "--payload", "ship"}, "Completed", "shipped")
	s.exits(exitConflict, []string{"callback", "shop", "paid", "a", "--payload", "ship"}, "takes no callbacks")
	s.exits(exitNotFound, []string{"callback", "shop", "paid", "c"}, "no run of workflow shop")
	s.exits(exitNotFound, []string{"callback", "shop", "piad", "a"}, "statuses that take callbacks: paid")
	s.must([]string{"runs", "history", a.RunID}, "callback 1 onShipped", "callback 2 onShipped, attempt 1 failed", "callback 3 onShipped")

	s.must([]string{"runs", "pause", b.RunID})
	args := []string{"callback", "paid", "--run-id", b.RunID, "--payload", "ship", "--idempotency-key", "k", "--wait", "0s"}
	s.must(args, "callback "+b.RunID+"/1 is durable and pending", "Paused")
	s.must([]string{"runs", "get", b.RunID}, b.RunID+"/1 is pending")
	s.must([]string{"runs", "resume", b.RunID})
	args[len(args)-1] = "1m"
	done := document[httpapi.CallbackResult](s, args...)
	if done.CallbackID != b.RunID+"/1" || done.Pending || done.Run.Status != "shipped" {
		t.Errorf("the repetition answers %+v", done)
	}
}

func TestSchedules(t *testing.T) {
	s := newShell(t)
	create := []string{
		"schedules", "create", "shop", "nightly", "0 3 * * *", "--zone", "Europe/Berlin", "--object", `{"n":7}`,
		"--foreign-id", "n", "--start-at", "paid", "--catch-up", "none",
	}
	s.must(create, "nightly", "0 3 * * *", "Europe/Berlin", "client")
	s.exits(exitConflict, create, "delete it first")
	s.exits(exitUsage, []string{"schedules", "create", "shop", "x", "never"}, "is not a cron expression")
	s.exits(exitNotFound, []string{"schedules", "create", "shpo", "x", "@daily"}, `did you mean "shop"?`)
	s.must([]string{"schedules", "pause", "shop", "nightly"}, "paused")
	s.must([]string{"schedules", "list"}, "nightly", "paused")
	if got := document[httpapi.Schedule](s, "schedules", "resume", "shop", "nightly"); got.Paused || got.CatchUp != "none" || got.StartAt != "paid" {
		t.Errorf("the resumed schedule is %+v", got)
	}
	run := document[httpapi.Run](s, "schedules", "trigger", "shop", "nightly")
	if run.ForeignID != "n" || string(run.Object) != `{"n":7}` && !strings.Contains(string(run.Object), `"n": 7`) {
		t.Errorf("its run is %+v", run)
	}
	s.must([]string{"runs", "history", run.RunID}, "schedule nightly")
	s.exits(exitConflict, []string{"schedules", "trigger", "shop", "nightly"}, run.RunID)
	s.must([]string{"schedules", "delete", "shop", "nightly"}, "deleted schedule nightly")
	if got := document[httpapi.ScheduleList](s, "schedules", "list", "--workflow", "shop"); len(got.Schedules) != 0 {
		t.Errorf("after its end the list is %+v", got.Schedules)
	}
	for _, name := range []string{"pause", "resume", "delete", "trigger"} {
		s.exits(exitNotFound, []string{"schedules", name, "shop", "nightly"}, `has no schedule "nightly"`)
	}
}

func TestWhatATimelineSays(t *testing.T) {
	for want, e := range map[string]httpapi.HistoryEntry{
		"trigger":                          {Cause: "trigger"},
		"step charge":                      {Cause: "step", Handler: "charge", Attempt: 1},
		"step charge, attempt 3":           {Cause: "step", Handler: "charge", Attempt: 3},
		"step charge, attempt 1 failed":    {Cause: "step", Handler: "charge", Attempt: 1, Failed: true, Line: 1},
		"timeout escalate":                 {Cause: "timeout", Handler: "escalate", Attempt: 1},
		"timer":                            {Cause: "timer"},
		"callback 12 onShipped, attempt 2": {Cause: "callback", Handler: "onShipped", Callback: noRun + "/12", Attempt: 2},
		"person ada":                       {Cause: "person", By: "ada"},
		"person":                           {Cause: "person"},
		"person ada: edit":                 {Cause: "person", Handler: "edit", By: "ada"},
		"person: move":                     {Cause: "person", Handler: "move"},
		"schedule nightly":                 {Cause: "schedule", Handler: "nightly"},
		"intent of run " + noRun:           {Cause: "intent", By: noRun},
		"intent refund, failed":            {Cause: "intent", Handler: "refund", Failed: true},
		"hook notify, attempt 4 failed":    {Cause: "hook", Handler: "notify", Attempt: 4, Failed: true},
		"erase":                            {Cause: "erase"},
		"connector shipments":              {Cause: "connector", Handler: "shipments"},
	} {
		if got := happened(&e); got != want {
			t.Errorf("%+v is %q, want %q", e, got, want)
		}
	}
}
