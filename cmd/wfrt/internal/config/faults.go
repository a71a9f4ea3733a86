package config

import (
	"strings"

	"github.com/wfrt/wfrt/internal/spelling"
)

// Fault is one thing that is wrong with the configuration.
type Fault struct {
	Where string // "config.yaml:12", "WFRT_SERVER_LISTEN" or "--listen"; "" when no single place is at fault
	What  string // what is wrong, beginning with the key: `server.listen "nowhere" has no port`
	Hint  string // what to do; may be ""
}

// Faults is every fault of a configuration, in the order of the file and then of the keys. It is never empty as an error.
type Faults []Fault

// Error returns one line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// String returns the fault without its hint.
func (f Fault) String() string {
	if f.Where == "" {
		return f.What
	}
	return f.Where + ": " + f.What
}

// didYouMean returns the hint for an unknown name.
func didYouMean(name string, candidates []string) string {
	if near := spelling.Nearest(name, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	return "docs/configuration.md lists what there is"
}
