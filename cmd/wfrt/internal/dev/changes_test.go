package dev

import (
	"slices"
	"testing"

	"github.com/wfrt/wfrt/sdk/abi"
)

func TestChangesNamesStatusesThatAreNewGoneOrOther(t *testing.T) {
	step := func(status string, to ...string) abi.Handler {
		return abi.Handler{Kind: abi.KindStep, Name: status, Status: status, To: to}
	}
	late := abi.Handler{Kind: abi.KindTimeout, Name: "late", Status: "paid", To: []string{"lost"}}
	before := &abi.Manifest{Workflows: []abi.Workflow{{
		Name: "w", Handlers: []abi.Handler{step("new", "paid"), step("paid", "sent"), step("old", "sent")}, Terminal: []string{"sent"},
	}}}
	after := &abi.Manifest{Workflows: []abi.Workflow{{
		Name: "w", Handlers: []abi.Handler{step("new", "paid"), step("paid", "sent", "kept"), late}, Terminal: []string{"sent", "lost"},
		External: []string{"kept"},
	}}}
	want := []string{
		"+ w kept  (another plugin)", "+ w lost  (end)", "- w old  step to sent",
		"~ w paid  step to sent | kept, timeout late to lost, before step to sent",
	}
	if got := Changes(before, after); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := Changes(after, after); len(got) > 0 {
		t.Errorf("nothing has changed, and it says %q", got)
	}
	if got := Changes(nil, before); len(got) != 4 {
		t.Errorf("everything is new, and it says %q", got)
	}
}
