package serve

import (
	"context"

	"github.com/wfrt/wfrt/runtime"
)

// inUse returns a function that reports whether runs that have not ended are in a status, for host.Options. What cannot be
// read counts as in use: the module that serves goes on then.
func inUse(ctx context.Context, store runtime.Reader) func(workflow, status string) bool {
	return func(workflow, status string) bool {
		found, err := store.List(ctx, &runtime.Query{
			Workflows: []string{workflow}, Statuses: []string{status}, Limit: 1,
			States: []runtime.RunState{runtime.Initiated, runtime.Running, runtime.Paused},
		})
		return err != nil || len(found) > 0
	}
}
