// Lean is the guest of the benchmarks: chains of steps that do nothing, over objects that are not decoded. What an
// invocation of it costs is the cost of the way there and back.
package main

import (
	"context"
	"strconv"

	"github.com/wfrt/wfrt/sdk"
)

func init() {
	for _, n := range []int{5, 10, 100} {
		chain(n)
	}
}

// chain registers the workflow leanN: s1 → s2 → … → sN → done.
func chain(n int) {
	w := sdk.NewWorkflow[sdk.Raw, string]("lean" + strconv.Itoa(n))
	for i := 1; i <= n; i++ {
		next := "done"
		if i < n {
			next = "s" + strconv.Itoa(i+1)
		}
		w.Step("s"+strconv.Itoa(i), func(_ context.Context, r *sdk.Run[sdk.Raw, string]) (sdk.Outcome[string], error) {
			return r.To(next), nil
		}, next)
	}
}

func main() {}
