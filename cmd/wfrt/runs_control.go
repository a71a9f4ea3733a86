package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/httpapi"
)

// control is one of the changes that may be asked for of many runs.
type control struct {
	action string // as the server calls it
	short  string
	past   string // "paused"
}

func controls() []control {
	return []control{
		{"pause", "Pause runs: nothing of them runs until they are resumed", "paused"},
		{"resume", "Resume paused runs, with attempts counted anew", "resumed"},
		{"cancel", "Cancel runs: they end where they are", "cancelled"},
		{"erase", "Erase the data of runs that have ended, for good", "erased"},
	}
}

// noteFlags are who changes runs, and why.
type noteFlags struct{ reason, by string }

func (n *noteFlags) flags(flags *pflag.FlagSet) {
	flags.StringVar(&n.reason, "reason", "", "why, for the runs' `history`")
	flags.StringVar(&n.by, "by", os.Getenv("USER"), "`who`, for the runs' history")
	flags.Lookup("by").DefValue = "" // the help of one person is that of all
	flags.Lookup("by").Usage += " (default: $USER)"
}

// bulkFlags are the flags of a change of many runs.
type bulkFlags struct {
	noteFlags
	runFilter
	dryRun, yes bool
}

// filterNames are the flags that say that runs are selected rather than named.
func filterNames() []string {
	return []string{"workflow", "state", "status", "foreign-id", "created-after", "created-before"}
}

func (a *app) newRunsControl(c control) *cobra.Command {
	var f bulkFlags
	cmd := &cobra.Command{
		Use:   c.action + " [RUN]...",
		Short: c.short,
		Long: c.short + `.

Name the runs, or select them as "wfrt runs list" does: --dry-run counts those that would be ` + c.past + `, --yes does it. A run
whose state does not allow it is skipped. Runs that begin meanwhile are left alone. What was interrupted may be given again.`,
		Example: "  wfrt runs " + c.action + " 01890a5d-ac96-774b-bcce-b302099a8057 --reason 'asked by the customer'\n" +
			"  wfrt runs " + c.action + " --workflow orders --created-before 2026-01-31T00:00:00Z --dry-run",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, ids []string) error {
			selected := ""
			for _, name := range append(filterNames(), "dry-run", "yes") {
				if cmd.Flags().Changed(name) {
					selected = name
				}
			}
			server, err := a.client()
			switch {
			case err != nil:
				return err
			case len(ids) > 0 && selected != "":
				return usage("name the runs, or select them", "--%s does not go with named runs", selected)
			case len(ids) > 0:
				return a.controlRuns(cmd.Context(), server, c, ids, httpapi.NoteRequest{Reason: f.reason, By: f.by})
			}
			return a.controlBulk(cmd.Context(), server, c, f)
		},
	}
	f.noteFlags.flags(cmd.Flags())
	f.runFilter.flags(cmd.Flags())
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "count the selected runs and change nothing")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "change the selected runs")
	return cmd
}

// controlRuns changes runs that were named, each whether or not another fails, and prints them as they then are.
func (a *app) controlRuns(ctx context.Context, server *client.Client, c control, ids []string, note httpapi.NoteRequest) error {
	page := httpapi.RunPage{Runs: []httpapi.Run{}}
	var first error
	for _, id := range ids {
		run, err := server.Control(ctx, id, c.action, note)
		switch {
		case err == nil:
			page.Runs = append(page.Runs, run)
			continue
		case ctx.Err() != nil || len(ids) == 1:
			return err
		case first == nil:
			first = err
		}
		a.note("%s: %v", id, err)
	}
	if len(ids) == 1 {
		return a.printRun(&page.Runs[0])
	}
	if len(page.Runs) > 0 || a.json() {
		if err := a.printRuns(&page); err != nil {
			return err
		}
	}
	if first == nil {
		return nil
	}
	f := explain(first)
	return &failure{f.code, fmt.Errorf("%s of %d could not be %s", plural(len(ids)-len(page.Runs), "run"), len(ids), c.past), ""}
}

// bulkSummary counts what was done to the selected runs.
type bulkSummary struct {
	Action  string `json:"action"`
	DryRun  bool   `json:"dry_run"`
	Matched int    `json:"matched"`
	Done    int    `json:"done"`
	Skipped int    `json:"skipped"`
}

// controlBulk changes the runs that a filter selects. It counts them first, so that the bar knows where it ends.
func (a *app) controlBulk(ctx context.Context, server *client.Client, c control, f bulkFlags) error {
	request := httpapi.BulkRequest{Action: c.action, DryRun: true, Reason: f.reason, By: f.by, Limit: maxPage, Filter: f.bulk()}
	if len(f.query()) == 0 {
		return usage("name runs, or select some with --workflow, --state, --status, --foreign-id, --created-after or --created-before",
			"there are no runs to be %s", c.past)
	}
	if f.dryRun && f.yes {
		return usage("give one of them", "--dry-run and --yes contradict each other")
	}
	would, err := bulkPages(ctx, server, request, func(int) {})
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.printBulk(would)
	}
	if !f.yes {
		return usage("--yes does it, --dry-run only counts", "%s would be %s", plural(would.Done, "run"), c.past)
	}
	bar := a.progress(would.Matched)
	request.DryRun, request.Limit = false, bulkPage
	done, err := bulkPages(ctx, server, request, func(n int) { _ = bar.Add(n) }) // the bar is for the eye
	_ = bar.Finish()
	if perr := a.printBulk(done); perr != nil {
		return errors.Join(err, perr)
	}
	if errors.Is(err, context.Canceled) {
		return &failure{
			exitFailure, fmt.Errorf("interrupted: %s of %d are %s", plural(done.Done, "run"), would.Done, c.past),
			"give the command again for the others",
		}
	}
	return err
}

// bulkPage is how many runs are changed between two steps of the bar.
const bulkPage = 200

// bulkPages repeats a bulk action until all selected runs are done, and tells of how many after each page.
func bulkPages(ctx context.Context, server *client.Client, request httpapi.BulkRequest, looked func(n int)) (bulkSummary, error) {
	sum := bulkSummary{Action: request.Action, DryRun: request.DryRun}
	for {
		page, err := server.Bulk(ctx, request)
		if err != nil {
			return sum, err
		}
		sum.Matched += page.Matched
		sum.Done += page.Done
		sum.Skipped += page.Skipped
		looked(page.Matched)
		if request.Cursor = page.NextCursor; request.Cursor == "" {
			return sum, nil
		}
	}
}

func (a *app) printBulk(s bulkSummary) error {
	if a.json() {
		return a.printJSON(s)
	}
	done := "DONE"
	if s.DryRun {
		done = "WOULD BE DONE"
	}
	t := newTable(a.out, "ACTION", "MATCHED", done, "SKIPPED")
	t.row(s.Action, strconv.Itoa(s.Matched), strconv.Itoa(s.Done), strconv.Itoa(s.Skipped))
	return t.flush()
}
