package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/httpapi"
)

func (a *app) newRuns() *cobra.Command {
	cmd := &cobra.Command{Use: "runs", Short: "List runs, look at one, wait for one, change some"}
	cmd.AddCommand(a.newRunsList(), a.newRunsGet(), a.newRunsHistory(), a.newRunsLogs(), a.newRunsAwait())
	for _, c := range controls() {
		cmd.AddCommand(a.newRunsControl(c))
	}
	cmd.AddCommand(a.newRunsMove(), a.newRunsEdit())
	return cmd
}

// maxPage is the largest page that a server gives.
const maxPage = 1000

func (a *app) newRunsList() *cobra.Command {
	var (
		filter runFilter
		oldest bool
		limit  int
		cursor string
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List runs, newest first",
		Example: `  wfrt runs list --workflow orders --state Paused
  wfrt runs list --created-after 2026-01-31T00:00:00Z --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usage("use 1 or more", "--limit is %d", limit)
			}
			query := filter.query()
			if cursor != "" {
				query.Set("cursor", cursor)
			}
			query.Set("order", "desc")
			if oldest {
				query.Set("order", "asc")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			page, err := listRuns(cmd.Context(), c, query, limit)
			if err != nil {
				return err
			}
			return a.printRuns(&page)
		},
	}
	flags := cmd.Flags()
	filter.flags(flags)
	flags.BoolVar(&oldest, "oldest-first", false, "oldest first")
	flags.IntVar(&limit, "limit", 50, "runs at most")
	flags.StringVar(&cursor, "cursor", "", "go on where the list before ended: its `next_cursor`")
	return cmd
}

// listRuns collects pages until there are limit runs.
func listRuns(ctx context.Context, c *client.Client, query url.Values, limit int) (httpapi.RunPage, error) {
	all := httpapi.RunPage{Runs: []httpapi.Run{}}
	for {
		query.Set("limit", strconv.Itoa(min(limit-len(all.Runs), maxPage)))
		page, err := c.Runs(ctx, query)
		if err != nil {
			return all, err
		}
		all.Runs = append(all.Runs, page.Runs...)
		all.NextCursor = page.NextCursor
		if page.NextCursor == "" || len(all.Runs) >= limit {
			return all, nil
		}
		query.Set("cursor", page.NextCursor)
	}
}

// printRuns prints a list of runs.
func (a *app) printRuns(page *httpapi.RunPage) error {
	if a.json() {
		return a.printJSON(page)
	}
	t := newTable(a.out, "RUN", "WORKFLOW", "FOREIGN ID", "STATE", "STATUS", "VERSION", "UPDATED", "REASON")
	for i := range page.Runs {
		r := &page.Runs[i]
		t.row(r.RunID, r.Workflow, r.ForeignID, r.State, r.Status, strconv.FormatUint(r.Version, 10), clock(r.UpdatedAt), shortened(r.Reason))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if page.NextCursor != "" {
		a.note("there are more: --limit shows more at a time, --cursor %s goes on here", page.NextCursor)
	}
	return nil
}

// shortened cuts a text that would break a table.
func shortened(text string) string {
	const most = 80
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

func (a *app) newRunsGet() *cobra.Command {
	return &cobra.Command{
		Use:   "get RUN",
		Short: "Show a run and its object",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			run, err := c.Run(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.printRun(&run)
		},
	}
}

// printRun prints one run.
func (a *app) printRun(r *httpapi.Run) error {
	if a.json() {
		return a.printJSON(r)
	}
	t := newTable(a.out, "run", r.RunID)
	t.row("workflow", r.Workflow)
	t.row("foreign ID", r.ForeignID)
	t.row("state", r.State)
	t.row("status", r.Status)
	t.row("version", strconv.FormatUint(r.Version, 10))
	for _, line := range [][2]string{
		{"reason", r.Reason},
		{"paused by", r.PauseCause},
		{"resumes", clock(r.ResumeAt)},
		{"step runs", clock(r.NotBefore)},
		{"created", clock(r.CreatedAt)},
		{"updated", clock(r.UpdatedAt)},
		{"removed", clock(r.ExpireAt)},
		{"module", shortDigest(r.Digest)},
	} {
		if line[1] != "" {
			t.row(line[0], line[1])
		}
	}
	if r.Attempt > 1 {
		t.row("attempt", strconv.FormatUint(uint64(r.Attempt), 10))
	}
	for i := range r.Timers {
		t.row("timeout", oneLine(r.Timers[i].Name)+" "+clock(r.Timers[i].Due)+nthAttempt(r.Timers[i].Attempt))
	}
	for i := range r.Callbacks {
		t.row("callback", r.Callbacks[i].CallbackID+" is pending"+nthAttempt(r.Callbacks[i].Attempt))
	}
	if err := t.flush(); err != nil {
		return err
	}
	a.print("object\n%s\n", indented(r.Object))
	return nil
}

// nthAttempt tells which attempt is next, when it is not the first.
func nthAttempt(n uint32) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(", attempt %d", n)
}

// shortDigest is enough of a digest to tell modules apart.
func shortDigest(digest string) string {
	const enough = 12
	return digest[:min(len(digest), enough)]
}

func (a *app) newRunsAwait() *cobra.Command {
	var until client.Until
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "await RUN",
		Short: "Wait until a run has ended or is paused, or is in a status or state",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.await(cmd.Context(), c, args[0], until, timeout)
		},
	}
	cmd.Flags().StringVar(&until.Status, "status", "", "wait until it is, or was, in this `status`")
	cmd.Flags().StringVar(&until.State, "state", "", "wait until it is, or was, in this run `state`")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	return cmd
}
