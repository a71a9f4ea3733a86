package runtime_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/runtime"
)

// The diagram in docs/concepts.md is what the table of transitions says.
func TestDocumentedStates(t *testing.T) {
	var want strings.Builder
	want.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> Initiated\n")
	for _, from := range runtime.RunStates() {
		for _, to := range from.Next() {
			want.WriteString("    " + from.String() + " --> " + to.String() + "\n")
		}
	}
	want.WriteString("    DataDeleted --> [*]\n```\n")
	page, err := os.ReadFile("../docs/concepts.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), want.String()) {
		t.Errorf("docs/concepts.md lacks this diagram:\n%s", want.String())
	}
}

func TestTransitions(t *testing.T) {
	const table = `
Initiated → Running Paused Cancelled Completed
Running → Paused Cancelled Completed
Paused → Running Cancelled
Cancelled → RequestedDataDeleted
Completed → RequestedDataDeleted
RequestedDataDeleted → DataDeleted
DataDeleted →
`
	allowed := map[string]bool{}
	for line := range strings.Lines(strings.TrimSpace(table)) {
		from, tos, _ := strings.Cut(line, " →")
		for _, to := range strings.Fields(tos) {
			allowed[from+to] = true
		}
	}
	for _, from := range runtime.RunStates() {
		for _, to := range runtime.RunStates() {
			err := from.CheckTransition(to)
			if want := allowed[from.String()+to.String()]; (err == nil) != want {
				t.Errorf("%s to %s: %v, want allowed: %v", from, to, err, want)
			}
			var illegal *runtime.TransitionError
			if err != nil && (!errors.As(err, &illegal) || illegal.From != from || illegal.To != to) {
				t.Errorf("%s to %s: %v names other states", from, to, err)
			}
		}
	}
}

func TestParseRunState(t *testing.T) {
	for _, s := range runtime.RunStates() {
		if got, err := runtime.ParseRunState(s.String()); err != nil || got != s {
			t.Errorf("ParseRunState(%q) = %v, %v", s.String(), got, err)
		}
	}
	if _, err := runtime.ParseRunState("running"); err == nil || !strings.Contains(err.Error(), "Initiated Running Paused") {
		t.Errorf("an unknown state: %v", err)
	}
}
