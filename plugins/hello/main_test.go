package main

import (
	"testing"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

func TestGreet(t *testing.T) {
	got := sdktest.Run(t, hello, Asked, Greeting{Name: "Ada"})
	if got.To != Greeted || got.Object.Text != "Hello, Ada!" {
		t.Fatalf("greet: %v", got)
	}
	if len(got.Logs) != 1 || got.Logs[0].Attrs["name"] != "Ada" {
		t.Fatalf("greet logged %v", got.Logs)
	}
}

// TestHello takes a greeting through the whole workflow.
func TestHello(t *testing.T) {
	ada := sdktest.New(t, hello).Trigger("ada", Greeting{Name: "Ada"})
	ada.RequireState(sdk.StateCompleted)
	ada.RequireStatus(Greeted)
	ada.RequireObject(Greeting{Name: "Ada", Text: "Hello, Ada!"})
}

func TestGreetNoOne(t *testing.T) {
	if got := sdktest.Run(t, hello, Asked, Greeting{}); got.Kind != sdktest.Cancel || got.Changed {
		t.Fatalf("greet without a name: %v", got)
	}
}
