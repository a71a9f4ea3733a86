// Versioned is a guest whose every step adds the version that it was built as to the object, so that a history tells which module
// really ran. Build two of it: -ldflags "-X main.version=a".
package main

import (
	"context"

	"github.com/wfrt/wfrt/sdk"
)

var version = "none"

// Object holds the version of each step that ran, in order.
type Object struct {
	Ran []string `json:"ran"`
}

// Status is where a run stands.
type Status string

func init() {
	w := sdk.NewWorkflow[Object, Status]("versioned")
	statuses := []Status{"one", "two", "three", "four", "five", "done"}
	for i, status := range statuses[:len(statuses)-1] {
		w.Step(status, step(statuses[i+1]), statuses[i+1])
	}
}

func step(to Status) sdk.StepFunc[Object, Status] {
	return func(_ context.Context, r *sdk.Run[Object, Status]) (sdk.Outcome[Status], error) {
		r.Object.Ran = append(r.Object.Ran, version)
		return r.To(to), nil
	}
}

func main() {}
