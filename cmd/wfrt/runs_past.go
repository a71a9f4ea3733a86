package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/internal/httpapi"
)

func (a *app) newRunsHistory() *cobra.Command {
	return &cobra.Command{
		Use:   "history RUN",
		Short: "Show what happened to a run, as a timeline",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var all []httpapi.HistoryEntry
			for cursor := ""; ; {
				page, err := c.History(cmd.Context(), args[0], cursor)
				if err != nil {
					return err
				}
				all = append(all, page.History...)
				if cursor = page.NextCursor; cursor == "" {
					return a.printHistory(all)
				}
			}
		},
	}
}

// printHistory prints a timeline: each line says what happened, how long after the line before, and where it led.
func (a *app) printHistory(entries []httpapi.HistoryEntry) error {
	if a.json() {
		return a.printJSON(map[string]any{"history": entries})
	}
	t := newTable(a.out, "TIME", "AFTER", "VERSION", "WHAT", "STATE", "STATUS", "TOOK", "FUEL", "MODULE", "REASON")
	var before time.Time
	for i := range entries {
		e := &entries[i]
		after := ""
		if i > 0 {
			after = "+" + took(e.Time.Sub(before))
		}
		before = e.Time
		duration := ""
		if e.Took > 0 {
			duration = took(time.Duration(e.Took * float64(time.Second)))
		}
		fuel := ""
		if e.Fuel > 0 {
			fuel = thousands(e.Fuel)
		}
		t.row(clock(e.Time), after, strconv.FormatUint(e.Version, 10), happened(e), e.State, e.Status, duration, fuel, shortDigest(e.Digest),
			shortened(e.Reason))
	}
	return t.flush()
}

// happened says in a few words who or what made a line of a history: "callback 2 onShipped, attempt 3 failed", "person ada: move".
func happened(e *httpapi.HistoryEntry) string {
	words := []string{e.Cause}
	if _, number, ok := strings.Cut(e.Callback, "/"); ok {
		words = append(words, number)
	}
	if e.Handler != "" && e.Cause != "person" {
		words = append(words, e.Handler)
	}
	switch {
	case e.By != "" && e.Cause == "intent":
		words = append(words, "of run", e.By)
	case e.By != "":
		words = append(words, e.By)
	}
	text := strings.Join(words, " ")
	switch {
	case e.Cause == "person" && e.Handler != "":
		text += ": " + e.Handler
	case e.Failed && e.Attempt > 0:
		text += fmt.Sprintf(", attempt %d failed", e.Attempt)
	case e.Failed:
		text += ", failed"
	case e.Attempt > 1:
		text += fmt.Sprintf(", attempt %d", e.Attempt)
	}
	return text
}

func (a *app) newRunsLogs() *cobra.Command {
	return &cobra.Command{
		Use:   "logs RUN",
		Short: "Show what the plugin logged for a run",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all := []httpapi.LogEntry{}
			for cursor := ""; ; {
				page, err := c.Logs(cmd.Context(), args[0], cursor)
				if err != nil {
					return err
				}
				all = append(all, page.Logs...)
				if cursor = page.NextCursor; cursor == "" {
					return a.printLogs(all)
				}
			}
		},
	}
}

// printLogs prints each line with the version and the handler that logged it.
func (a *app) printLogs(entries []httpapi.LogEntry) error {
	if a.json() {
		return a.printJSON(map[string]any{"logs": entries})
	}
	t := newTable(a.out, "TIME", "VERSION", "HANDLER", "ATTEMPT", "LEVEL", "TEXT")
	for i := range entries {
		e := &entries[i]
		for _, line := range e.Lines {
			t.row(clock(line.Time), strconv.FormatUint(e.Version, 10), oneLine(line.Handler), strconv.FormatUint(uint64(e.Attempt), 10), line.Level, oneLine(line.Text))
		}
	}
	return t.flush()
}
