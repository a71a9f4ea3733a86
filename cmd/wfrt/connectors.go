package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/httpapi"
)

func (a *app) newConnectors() *cobra.Command {
	cmd := &cobra.Command{Use: "connectors", Short: "Show what is read from Kafka, and deal with what could not be"}
	cmd.AddCommand(a.newConnectorsList(), a.newConnectorsParked(),
		a.newOnParked("redrive", "Try parked messages again", "redriven", (*client.Client).Redrive),
		a.newOnParked("drop", "Drop parked messages that nobody wants any more", "dropped", (*client.Client).DropParked))
	return cmd
}

func (a *app) newConnectorsList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List connectors, how far they have come and what they have done",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Connectors(cmd.Context())
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(list)
			}
			t := newTable(a.out, "CONNECTOR", "TOPICS", "PARTITIONS", "LAG", "RECEIVED", "TRIGGERED", "CALLED", "SKIPPED", "PARKED", "FAULT")
			for i := range list.Connectors {
				c := &list.Connectors[i]
				t.row(c.Name, strings.Join(c.Topics, ","), strconv.Itoa(len(c.Partitions)), lagOf(c), count(c.Received), count(c.Triggered),
					count(c.Called), count(c.Skipped), count(c.Parked), c.Fault)
			}
			return t.flush()
		},
	}
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

// lagOf is how far a connector is behind over all its partitions, or "" while it has none, or that is not known of each.
func lagOf(c *httpapi.Connector) string {
	if len(c.Partitions) == 0 {
		return ""
	}
	total := int64(0)
	for _, p := range c.Partitions {
		if p.Lag < 0 {
			return ""
		}
		total += p.Lag
	}
	return strconv.FormatInt(total, 10)
}

func (a *app) newConnectorsParked() *cobra.Command {
	return &cobra.Command{
		Use:   "parked CONNECTOR",
		Short: "List messages of which nothing could be made, and why",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all, err := parked(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(httpapi.ParkedPage{Parked: all})
			}
			t := newTable(a.out, "TOPIC", "PARTITION", "OFFSET", "KEY", "PARKED AT", "ATTEMPTS", "CAUSE")
			for i := range all {
				m := &all[i]
				t.row(m.Topic, strconv.Itoa(int(m.Partition)), strconv.FormatInt(m.Offset, 10), shortened(m.Key), clock(m.ParkedAt),
					strconv.Itoa(int(m.Attempts)), m.Cause)
			}
			return t.flush()
		},
	}
}

// parked returns all parked messages of a connector.
func parked(ctx context.Context, c *client.Client, connector string) ([]httpapi.ParkedMessage, error) {
	all := []httpapi.ParkedMessage{}
	query := url.Values{"limit": {"1000"}}
	for {
		page, err := c.Parked(ctx, connector, query)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Parked...)
		if page.NextCursor == "" {
			return all, nil
		}
		query.Set("cursor", page.NextCursor)
	}
}

// newOnParked returns a command that does something with parked messages: one, or all.
func (a *app) newOnParked(
	name, short, done string, do func(c *client.Client, ctx context.Context, m *httpapi.ParkedMessage) error,
) *cobra.Command {
	every := false
	cmd := &cobra.Command{
		Use:   name + " CONNECTOR [TOPIC PARTITION OFFSET]",
		Short: short,
		Example: fmt.Sprintf(`  wfrt connectors %s orders northwind.orders 0 17
  wfrt connectors %s orders --all`, name, name),
		Args: func(_ *cobra.Command, args []string) error {
			if every && len(args) == 1 || !every && len(args) == 4 {
				return nil
			}
			return usage("`wfrt connectors parked CONNECTOR` lists them",
				"name one message, CONNECTOR TOPIC PARTITION OFFSET, or all: CONNECTOR --all")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all, err := parked(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if !every {
				if all, err = onlyParked(all, args); err != nil {
					return err
				}
			}
			refused := 0
			for i := range all {
				err := do(c, cmd.Context(), &all[i])
				if err == nil {
					continue
				}
				err = at(fmt.Sprintf("%s, partition %d, offset %d", all[i].Topic, all[i].Partition, all[i].Offset), err)
				var problem *httpapi.Problem
				if !every || !errors.As(err, &problem) {
					return err
				}
				a.note("%v", err)
				refused++
			}
			if !a.json() {
				a.print("%s %d\n", done, len(all)-refused)
			} else if err := a.printJSON(map[string]any{"connector": args[0], done: len(all) - refused}); err != nil {
				return err
			}
			if refused == 0 {
				return nil
			}
			return &failure{
				exitFailure, fmt.Errorf("%d of %s stay parked", refused, plural(len(all), "message")),
				"mend what the causes above name and try again; what nobody wants any more goes with `wfrt connectors drop " + args[0] + " TOPIC PARTITION OFFSET`, or all of it with --all",
			}
		},
	}
	cmd.Flags().BoolVar(&every, "all", false, "every parked message of the connector; those that are refused stay, and are named")
	return cmd
}

// at names the place of an error that does not do it itself.
func at(place string, err error) error {
	if strings.Contains(err.Error(), place) {
		return err
	}
	return fmt.Errorf("%s: %w", place, err)
}

// onlyParked returns the message that the arguments name.
func onlyParked(all []httpapi.ParkedMessage, args []string) ([]httpapi.ParkedMessage, error) {
	for i := range all {
		m := &all[i]
		if m.Topic == args[1] && strconv.Itoa(int(m.Partition)) == args[2] && strconv.FormatInt(m.Offset, 10) == args[3] {
			return all[i : i+1], nil
		}
	}
	return nil, &failure{
		exitNotFound, fmt.Errorf("connector %s has no parked message at %s, partition %s, offset %s", args[0], args[1], args[2], args[3]),
		"`wfrt connectors parked " + args[0] + "` lists them",
	}
}
