package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/internal/httpapi"
)

func (a *app) newWorkflows() *cobra.Command {
	cmd := &cobra.Command{Use: "workflows", Short: "List the workflows that are served, draw one"}
	cmd.AddCommand(a.newWorkflowsList(), a.newWorkflowsGraph())
	return cmd
}

func (a *app) newWorkflowsList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the workflows that are served",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Workflows(cmd.Context())
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(list)
			}
			t := newTable(a.out, "WORKFLOW", "START", "STATUSES", "ENDS", "PLUGINS")
			for i := range list.Workflows {
				w := &list.Workflows[i]
				ends, plugins := endsAndPlugins(w)
				t.row(w.Name, w.Start, strconv.Itoa(len(w.Statuses)), ends, plugins)
			}
			return t.flush()
		},
	}
}

// endsAndPlugins names the terminal statuses of a workflow and the files that carry its steps.
func endsAndPlugins(w *httpapi.Workflow) (ends, plugins string) {
	var terminal, files []string
	for i := range w.Statuses {
		s := &w.Statuses[i]
		if s.Terminal {
			terminal = append(terminal, s.Name)
		}
		if s.Plugin != "" && !slices.Contains(files, s.Plugin) {
			files = append(files, s.Plugin)
		}
	}
	return strings.Join(terminal, ", "), strings.Join(files, ", ")
}

func (a *app) newWorkflowsGraph() *cobra.Command {
	var direction string
	cmd := &cobra.Command{
		Use:   "graph WORKFLOW",
		Short: "Draw a workflow as a Mermaid diagram",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			diagram, err := c.Graph(cmd.Context(), args[0], direction)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]string{"workflow": args[0], "mermaid": diagram})
			}
			a.print("%s", diagram)
			return nil
		},
	}
	cmd.Flags().StringVar(&direction, "direction", "TB", "of the diagram: `TB`, LR, RL or BT")
	return cmd
}
