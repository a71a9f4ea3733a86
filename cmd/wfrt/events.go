package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
)

func (a *app) newEvents() *cobra.Command {
	var q client.EventQuery
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show the events: every change of every run, and what plugins emit, in order within each run",
		Long: `Show the events that are kept: those of one run in order, and those of different runs as they are found, shard by shard;
with --follow also those to come, for ever, through restarts of the server. Each event in --output json holds the cursor
behind it, for --after. Deliveries may repeat after a restart: drop duplicates by the event's id.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if !a.json() {
				a.print(eventLine, "TIME", "WORKFLOW", "FOREIGN ID", "STATE", "STATUS", "VERSION", "RUN")
			}
			// A stream that breaks is taken up again behind the last event; one that never began is a failure at once.
			began := false
			once := func(ctx context.Context) error {
				return c.Events(ctx, &q, func(e *client.Event) error {
					began = true
					return a.printEvent(e)
				})
			}
			err = once(cmd.Context())
			for err != nil && began && q.Follow && cmd.Context().Err() == nil {
				began = false
				err = client.Persist(cmd.Context(), timeout, once)
			}
			if q.Follow && cmd.Context().Err() != nil {
				return nil // following ends when it is interrupted, and that is no failure
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&q.Follow, "follow", false, "wait for more events")
	cmd.Flags().StringVar(&q.After, "after", "", "begin behind this `cursor`; latest: behind the newest event")
	cmd.Flags().StringArrayVar(&q.Workflows, "workflow", nil, "only events of this `workflow`; may be given several times")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "with --follow, how long to try to reach a server that went away")
	return cmd
}

// eventLine lines the columns up without knowing what comes: a stream has no widest row.
const eventLine = "%-23s  %-16s  %-16s  %-10s  %-16s  %7s  %s\n"

func (a *app) printEvent(e *client.Event) error {
	if a.json() {
		return a.printJSONLine(e)
	}
	what := e.State
	if e.Number > 0 { // a plugin emitted it
		what = e.Type
	}
	_, err := fmt.Fprintf(a.out, eventLine, clock(e.Time), oneLine(e.Workflow), oneLine(e.ForeignID), what, oneLine(e.Status),
		strconv.FormatUint(e.Version, 10), e.RunID)
	return err
}
