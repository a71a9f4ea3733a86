// Hello is the smallest plugin: one workflow, one step.
package main

import (
	"context"

	"github.com/wfrt/wfrt/sdk"
)

// Greeting is the object of a run.
type Greeting struct {
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
}

// Status is where a greeting stands.
type Status string

// Statuses. Nothing handles Greeted, so a run ends there.
const (
	Asked   Status = "asked"
	Greeted Status = "greeted"
)

var hello = sdk.NewWorkflow[Greeting, Status]("hello")

func init() { hello.Step(Asked, greet, Greeted) }

func greet(ctx context.Context, r *sdk.Run[Greeting, Status]) (sdk.Outcome[Status], error) {
	if r.Object.Name == "" {
		return r.Cancel("there is no one to greet: give the object a name"), nil
	}
	r.Object.Text = "Hello, " + r.Object.Name + "!"
	sdk.Log(ctx).Info("greeted", "name", r.Object.Name)
	return r.To(Greeted), nil
}

func main() {}
