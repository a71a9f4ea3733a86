package config

import "strings"

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

// nearest returns the candidate that is fewest edits away from name, or "" when none is near enough to be what was meant.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/2+1
	for _, c := range candidates {
		if d := distance(name, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the number of characters to insert, remove or replace to make a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// didYouMean returns the hint for an unknown name.
func didYouMean(name string, candidates []string) string {
	if near := nearest(name, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	return "docs/configuration.md lists what there is"
}
