package main

import (
	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/internal/httpapi"
)

func (a *app) newRunsMove() *cobra.Command {
	var note noteFlags
	cmd := &cobra.Command{
		Use:   "move RUN STATUS",
		Short: "Move a run to a status, whatever its workflow's graph says",
		Long: `Have a run that has not ended enter a status anew, whatever its workflow's graph says. A paused run is resumed by it. The
history keeps who did it and why.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			run, err := c.Move(cmd.Context(), args[0], httpapi.MoveRequest{Status: args[1], Reason: note.reason, By: note.by})
			if err != nil {
				return err
			}
			return a.printRun(&run)
		},
	}
	note.flags(cmd.Flags())
	return cmd
}

func (a *app) newRunsEdit() *cobra.Command {
	var note noteFlags
	var object string
	cmd := &cobra.Command{
		Use:   "edit RUN",
		Short: "Replace a run's object",
		Long: `Replace the object of a run that has not ended. The history keeps who did it and why. A step that is running has read the
old object: its outcome is discarded, and it runs again.`,
		Example: `  wfrt runs get $RUN --output json | jq '.object.price = 7 | .object' | wfrt runs edit $RUN --object -`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if object == "" {
				return usage(`give the whole new object, as --object '{"name":"Ada"}'`, "there is no --object")
			}
			content, err := a.readObject(object)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			run, err := c.Edit(cmd.Context(), args[0], httpapi.EditRequest{Object: content, Reason: note.reason, By: note.by})
			if err != nil {
				return err
			}
			return a.printRun(&run)
		},
	}
	cmd.Flags().StringVar(&object, "object", "", "the new object: `JSON`, @FILE, or - for standard input")
	note.flags(cmd.Flags())
	return cmd
}
