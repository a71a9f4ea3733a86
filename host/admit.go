package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wfrt/wfrt/runtime"
)

// applicant is one file at the admission: the module that serves for it, the one that wants to, or both.
type applicant struct {
	file    string
	serving *part // nil: none
	newer   *part // nil: none
}

// admission is its result.
type admission struct {
	admitted map[string]bool  // file → its newer module serves from now on
	refused  map[string]error // file → why its newer module does not
	merged   merged           // what all that serve make together
	held     bool             // runs stood in the way of a module: later the result may be another
}

// admit decides which newer modules serve when not all of them can, by five rules:
//
//   - what serves goes on: a newer module that contradicts a serving one, or that would leave a workflow in served
//     incomplete, is refused;
//   - no run is left behind: a newer module that does not handle a status in which there are runs, as inUse says, is refused
//     unless another one takes the status over;
//   - of two newer modules that contradict each other the one whose file comes first in the alphabet serves;
//   - a module is admitted with all its workflows or with none;
//   - as many as possible serve: modules that depend on each other come in together, and one that is refused in their
//     company is tried again without.
//
// A workflow that is incomplete and was not served refuses nobody: it waits for its missing part. admit is a pure function
// of its arguments and of what inUse answers, which it asks about each status at most once. A nil inUse finds no runs.
func admit(applicants []applicant, served *runtime.Catalog, inUse func(workflow, status string) bool, d defaults) admission {
	a := admitter{
		applicants: slices.Clone(applicants), served: served, inUse: inUse, defaults: d,
		chosen: make(map[string]bool), asked: make(map[[2]string]bool),
	}
	slices.SortFunc(a.applicants, func(x, y applicant) int { return strings.Compare(x.file, y.file) })
	for _, x := range a.applicants {
		a.chosen[x.file] = x.newer != nil
	}
	refused := make(map[string]error)
	for {
		blame := a.faults()
		if len(blame) == 0 {
			break
		}
		for file, cause := range blame {
			refused[file], a.chosen[file] = cause, false
		}
	}
	for again := true; again; {
		again = false
		for _, x := range a.applicants {
			if refused[x.file] == nil {
				continue
			}
			a.chosen[x.file] = true
			if blame := a.faults(); len(blame) > 0 {
				a.chosen[x.file] = false
				// Its own fault, as things are now, tells more than the one it had among others that are out as well.
				if cause := blame[x.file]; cause != nil {
					refused[x.file] = cause
				}
				continue
			}
			delete(refused, x.file)
			again = true
		}
	}
	result, _ := a.merge()
	return admission{admitted: a.chosen, refused: refused, merged: result, held: a.held}
}

// admitter holds one state of the deliberation.
type admitter struct {
	applicants []applicant
	served     *runtime.Catalog
	inUse      func(workflow, status string) bool
	defaults   defaults
	chosen     map[string]bool    // file → its newer module, not the serving one, is in
	asked      map[[2]string]bool // workflow and status → what inUse answered
	held       bool               // it answered yes
}

// merge merges what is in: first the modules that serve already, then the newer ones, each in the alphabetical order of
// files, so that the later part of a conflict is the one to refuse. It also returns the parts in that order.
func (a *admitter) merge() (merged, []part) {
	var parts []part
	for _, x := range a.applicants {
		if x.serving != nil && !a.chosen[x.file] {
			parts = append(parts, *x.serving)
		}
	}
	for _, x := range a.applicants {
		if a.chosen[x.file] {
			parts = append(parts, *x.newer)
		}
	}
	return merge(parts, a.defaults), parts
}

// faults returns which of the chosen newer modules cannot stay, and why.
func (a *admitter) faults() map[string]error {
	blame := make(map[string]error)
	result, parts := a.merge()
	for _, c := range result.conflicts {
		if file := parts[c.part].file; a.chosen[file] {
			blame[file] = errors.Join(blame[file], c.cause)
		}
	}
	if len(blame) > 0 {
		return blame
	}
	for workflow, cause := range result.incomplete {
		if a.served.Workflow(workflow) == nil {
			continue
		}
		for _, x := range a.applicants {
			if a.chosen[x.file] && (carries(x.newer, workflow) || carries(x.serving, workflow)) {
				blame[x.file] = errors.Join(blame[x.file], fmt.Errorf("it would stop a workflow that is served: %w", cause))
			}
		}
	}
	a.leftBehind(&result, blame)
	return blame
}

// leftBehind blames the chosen newer modules of files that serve a status with runs in it which nothing would handle any
// more.
func (a *admitter) leftBehind(result *merged, blame map[string]error) {
	after := make(map[string]*runtime.Workflow, len(result.workflows))
	for _, w := range result.workflows {
		after[w.Name] = w
	}
	for _, workflow := range a.served.Names() {
		if result.incomplete[workflow] != nil {
			continue // that has its own blame
		}
		before, left := a.served.Workflow(workflow), make(map[string][]string) // by file
		for _, name := range slices.Sorted(maps.Keys(before.Statuses)) {
			status := before.Statuses[name]
			what := lost(status, after[workflow])
			if what == "" {
				continue
			}
			if file := movers(status)[0].Plugin; a.chosen[file] && a.occupied(workflow, name) {
				left[file] = append(left[file], what)
			}
		}
		for file, statuses := range left {
			blame[file] = errors.Join(blame[file], fmt.Errorf("workflow %s: there are runs in what it no longer handles, %s: "+
				"keep the handlers, let those runs end, or move them (wfrt runs move)", workflow, strings.Join(statuses, ", ")))
		}
	}
}

// lost names what a served status loses in the next definition of its workflow, which is nil when there is none: all of it,
// or its step. It returns "" when it loses neither.
func lost(status *runtime.Status, after *runtime.Workflow) string {
	if status.Terminal {
		return ""
	}
	var next *runtime.Status
	if after != nil {
		next = after.Statuses[status.Name]
	}
	switch {
	case next == nil || next.Terminal:
		return fmt.Sprintf("the status %q", status.Name)
	case status.Step != nil && next.Step == nil:
		return fmt.Sprintf("the step of %q", status.Name)
	default:
		return ""
	}
}

// occupied reports whether there are runs in a status.
func (a *admitter) occupied(workflow, status string) bool {
	if a.inUse == nil {
		return false
	}
	key := [2]string{workflow, status}
	answer, known := a.asked[key]
	if !known {
		answer = a.inUse(workflow, status)
		a.asked[key], a.held = answer, a.held || answer
	}
	return answer
}

func carries(p *part, workflow string) bool {
	if p == nil {
		return false
	}
	for i := range p.manifest.Workflows {
		if p.manifest.Workflows[i].Name == workflow {
			return true
		}
	}
	return false
}
