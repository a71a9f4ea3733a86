package main

import (
	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/scaffold"
)

func (a *app) newNew() *cobra.Command {
	return &cobra.Command{
		Use:   "new NAME",
		Short: "Write the folder of a new plugin, which builds at once",
		Long: `Write the folder NAME with a plugin: a workflow of that name with one step, its test, and the SDK's source,
so that it builds and tests anywhere with Go alone.`,
		Example: "  wfrt new greet && wfrt build greet",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := args[0]
			if err := scaffold.New(dir); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]string{"dir": dir})
			}
			a.note("wrote %s", dir)
			a.note("next: wfrt build %s", dir)
			return nil
		},
	}
}
