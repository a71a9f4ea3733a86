package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/bulk"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/httpapi"
)

// triggerFile begins a run for each line of a file.
func (a *app) triggerFile(ctx context.Context, c *client.Client, workflow string, f triggerFlags) error {
	switch {
	case f.foreignIDField == "":
		return usage("name the member that is the foreign ID, as --foreign-id-field order_id", "--from-file needs --foreign-id-field")
	case f.foreignID != "":
		return usage("leave "+f.foreignID+" out; to await that status write --await="+f.foreignID, "the foreign IDs come from the file")
	case f.concurrency < 1 || f.concurrency > 10_000:
		return usage("use a number from 1 to 10000", "--concurrency is %d", f.concurrency)
	}
	source, err := bulk.Open(f.fromFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &failure{exitNotFound, err, "check --from-file"}
	} else if err != nil {
		return err
	}
	if err := source.Probe(f.foreignIDField); err != nil {
		return usage("--foreign-id-field names the member that is the foreign ID, as order_id or order.id; no run was begun", "%s: %v", f.fromFile, err)
	}
	if err := awaitable(ctx, c, workflow, &f); err != nil {
		return err
	}
	bar := a.progress(source.Objects())
	away := sync.OnceFunc(func() { a.note("no answer from the server yet: trying for %s", f.timeout) })
	sent := &sender{client: c, workflow: workflow, timeout: f.timeout, until: client.Until{Status: f.status()}, away: away}
	summary, err := bulk.Run(ctx, source, bulk.Options{
		Server: sent, ForeignIDField: f.foreignIDField, Concurrency: f.concurrency, Await: f.await != "",
		Done: func() { _ = bar.Add(1) }, // the bar is for the eye
		Failed: func(line int, cause error) {
			_ = bar.Clear()
			a.note("%s:%d: %v", f.fromFile, line, cause)
		},
		Hopeless: hopeless,
	})
	_ = bar.Finish()
	if perr := a.printSummary(&summary); perr != nil {
		return perr
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{
			exitFailure, fmt.Errorf("interrupted after %d of %d lines", summary.Lines, source.Objects()),
			"run the same command again: no line begins a second run",
		}
	case err != nil:
		f := explain(err)
		f.err = fmt.Errorf("ended after %d of %d lines: %w", summary.Lines, source.Objects(), f.err)
		return f
	case summary.Failed > 0:
		return &failure{
			exitFailure, fmt.Errorf("%s of %d failed", plural(summary.Failed, "line"), summary.Lines),
			"mend the lines that are named above and send them in a file of their own",
		}
	case summary.Elsewhere > 0:
		return &failure{
			exitElsewhere, fmt.Errorf("%s ended elsewhere", plural(summary.Elsewhere, "run")),
			"`wfrt runs list --workflow " + workflow + " --state Paused` and `--state Cancelled` show them",
		}
	}
	return nil
}

// hopeless reports whether every other line would fail alike: there is no server, no such workflow, or no right to it.
func hopeless(err error) bool {
	switch explain(err).code {
	case exitUnreachable, exitNotFound, exitForbidden:
		return true
	}
	return false
}

// progress returns a bar on a terminal, and nothing to see elsewhere.
func (a *app) progress(total int) *progressbar.ProgressBar {
	if file, ok := a.err.(*os.File); !ok || !term.IsTerminal(int(file.Fd())) {
		return progressbar.DefaultSilent(int64(total))
	}
	return progressbar.NewOptions(total,
		progressbar.OptionSetWriter(a.err), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("runs"), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
}

// printSummary prints what became of the lines.
func (a *app) printSummary(s *bulk.Summary) error {
	if a.json() {
		return a.printJSON(s)
	}
	t := newTable(a.out, "LINES", "TRIGGERED", "REPEATED", "ALREADY RUNNING", "FAILED", "SECONDS", "RUNS/S")
	t.row(strconv.Itoa(s.Lines), strconv.Itoa(s.Triggered), strconv.Itoa(s.Repeated), strconv.Itoa(s.AlreadyRunning),
		strconv.Itoa(s.Failed), fmt.Sprintf("%.2f", s.Seconds), fmt.Sprintf("%.0f", s.PerSecond))
	if err := t.flush(); err != nil || len(s.Awaited) == 0 {
		return err
	}
	a.print("\n")
	t = newTable(a.out, "STATE", "STATUS", "RUNS")
	for _, at := range s.Awaited {
		t.row(at.State, at.Status, strconv.Itoa(at.Runs))
	}
	return t.flush()
}

// sender is a client as bulk.Run needs it.
type sender struct {
	client   *client.Client
	workflow string
	timeout  time.Duration
	until    client.Until
	away     func() // told when the server does not answer
}

// Trigger implements bulk.Server.
func (s *sender) Trigger(ctx context.Context, line bulk.Line) (string, bulk.Result, error) {
	var done client.Triggered
	err := client.Persist(ctx, s.timeout, func(ctx context.Context) (err error) {
		done, err = s.client.Trigger(ctx, s.workflow, httpapi.TriggerRequest{ForeignID: line.ForeignID, Object: line.Object}, line.IdempotencyKey)
		var unreachable *client.UnreachableError
		if errors.As(err, &unreachable) {
			s.away()
		}
		return err
	})
	var problem *httpapi.Problem
	switch {
	case errors.As(err, &problem) && problem.Status == http.StatusConflict && problem.RunID != "":
		return problem.RunID, bulk.AlreadyRunning, nil
	case err != nil:
		return "", 0, err
	case done.Repeated:
		return done.Run.RunID, bulk.Repeated, nil
	}
	return done.Run.RunID, bulk.Triggered, nil
}

// Await implements bulk.Server.
func (s *sender) Await(ctx context.Context, runID string) (bulk.Ended, error) {
	answer, err := awaitRun(ctx, s.client, runID, s.until, s.timeout)
	return bulk.Ended{
		Place: bulk.Place{State: answer.Run.State, Status: answer.Run.Status}, Reached: err == nil && good(&answer, s.until),
	}, err
}
