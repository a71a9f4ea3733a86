package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/httpapi"
)

func (a *app) newOutbox() *cobra.Command {
	cmd := &cobra.Command{Use: "outbox", Short: "See what waits for Kafka, and publish again what it refused"}
	cmd.AddCommand(a.newOutboxShow(), a.newOutboxParked(), a.newOutboxRedrive())
	return cmd
}

func (a *app) newOutboxShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show how many events wait for Kafka, and what keeps them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			o, err := c.Outbox(cmd.Context())
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(o)
			}
			t := newTable(a.out, "WAITING", "OLDEST", "PARKED", "FAULT")
			t.row(strconv.Itoa(o.Depth), time.Duration(o.AgeSeconds*float64(time.Second)).Round(time.Second).String(), strconv.Itoa(o.Parked), plain(o.Fault))
			return t.flush()
		},
	}
}

func (a *app) newOutboxParked() *cobra.Command {
	return &cobra.Command{
		Use:   "parked",
		Short: "List the events that Kafka refused, and why",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all := []httpapi.ParkedEvent{}
			t := newTable(a.out, "EVENT", "WORKFLOW", "FOREIGN ID", "STATUS", "PARKED", "CAUSE")
			err = eachParkedEvent(cmd.Context(), c, func(p *httpapi.ParkedEvent) {
				if a.json() {
					all = append(all, *p)
					return
				}
				t.row(p.ID, p.Workflow, p.ForeignID, p.Status, clock(p.ParkedAt), plain(p.Cause))
			})
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(httpapi.ParkedEventPage{Parked: all})
			}
			return t.flush()
		},
	}
}

// eachParkedEvent gives do all parked events, which it reads a page at a time.
func eachParkedEvent(ctx context.Context, c *client.Client, do func(p *httpapi.ParkedEvent)) error {
	query := url.Values{"limit": {"1000"}}
	for {
		page, err := c.ParkedEvents(ctx, query)
		if err != nil {
			return err
		}
		for i := range page.Parked {
			do(&page.Parked[i])
		}
		if page.NextCursor == "" {
			return nil
		}
		query.Set("cursor", page.NextCursor)
	}
}

func (a *app) newOutboxRedrive() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "redrive [EVENT]...",
		Short: "Publish parked events again",
		Long: `Publish parked events again, those that are named or with --all every one. An event that is refused again stays parked. A consumer
sees a redriven event after later ones of its run.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, ids []string) error {
			if all == (len(ids) > 0) {
				return &failure{exitUsage, errors.New("which events?"), "name them, or give --all; `wfrt outbox parked` lists them"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if all {
				if err := eachParkedEvent(cmd.Context(), c, func(p *httpapi.ParkedEvent) { ids = append(ids, p.ID) }); err != nil {
					return err
				}
			}
			var faults []error
			published := 0
			for _, id := range ids {
				if _, err := c.RedriveEvent(cmd.Context(), id); err != nil {
					faults = append(faults, fmt.Errorf("event %s: %w", id, err))
					continue
				}
				published++
			}
			if a.json() {
				faults = append(faults, a.printJSON(map[string]int{"published": published, "failed": len(ids) - published}))
			} else {
				a.print("%d of %d events are published\n", published, len(ids))
			}
			return errors.Join(faults...)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every parked event")
	return cmd
}
