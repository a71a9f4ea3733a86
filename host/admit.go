package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// applicant is one file at the admission: the module that serves for it, the one that wants to, or both.
type applicant struct {
	file    string
	serving *part            // nil: none
	newer   *part            // nil: none
	leaves  bool             // serving is to serve no longer, without a newer one
	forced  bool             // runs that it leaves behind do not keep it out: they go on with earlier definitions
	tried   bool             // newer is a canary that is to serve
	objects map[string][]int // by workflow: the versions of the objects of runs that go by what serves
	waiting []runtime.Queue  // with runs of a module that should serve and could not be loaded, which nothing takes meanwhile
}

// wants says that something of the applicant is to change.
func (x *applicant) wants() bool { return x.newer != nil || x.leaves }

// admission is its result.
type admission struct {
	admitted map[string]bool  // file → its newer module serves from now on, or it leaves
	refused  map[string]error // file → why its newer module does not serve, or it does not leave
	merged   merged           // what all that serve make together
	leaving  []runtime.Queue  // in which there must be no runs at the swap, though there were none at the admission
	held     bool             // what stood in the way of a module may be gone later: the result may be another
}

// counter counts the active runs of a queue, or without a status of a workflow.
type counter func(q runtime.Queue) int

// admit decides which newer modules serve when not all of them can, by six rules:
//
//   - what serves goes on: a newer module that contradicts a serving one, or that would leave a workflow in served
//     incomplete, is refused;
//   - no run is left behind: a newer module that does not handle a status in which there are runs, or that cannot read the
//     objects that they have, is refused unless another one takes the status over, or the workflow pins its runs, or it is forced;
//   - a workflow with a canary is not changed but by the canary;
//   - of two newer modules that contradict each other the one whose file comes first in the alphabet serves;
//   - a module is admitted with all its workflows or with none;
//   - as many as possible serve: modules that depend on each other come in together, and one that is refused in their
//     company is tried again without.
//
// A workflow that is incomplete and was not served refuses nobody: it waits for its missing part. admit is a pure function
// of its arguments and of what runs answers, which it asks about each queue at most once. A nil runs finds none.
func admit(applicants []applicant, served *runtime.Catalog, runs counter, d defaults) admission {
	a := admitter{
		applicants: slices.Clone(applicants), served: served, runs: runs, defaults: d,
		chosen: make(map[string]bool), counted: make(map[runtime.Queue]int),
	}
	slices.SortFunc(a.applicants, func(x, y applicant) int { return strings.Compare(x.file, y.file) })
	for _, x := range a.applicants {
		a.chosen[x.file] = x.wants()
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
	blame := make(map[string]error)
	a.leaving = nil
	a.leftBehind(&result, blame)
	return admission{admitted: a.chosen, refused: refused, merged: result, leaving: a.leaving, held: a.held}
}

// admitter holds one state of the deliberation.
type admitter struct {
	applicants []applicant
	served     *runtime.Catalog
	runs       counter
	defaults   defaults
	chosen     map[string]bool // file → its newer module, not the serving one, is in
	counted    map[runtime.Queue]int
	leaving    []runtime.Queue // that leftBehind found to be empty
	held       bool            // something that passes stood in the way
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
		if a.chosen[x.file] && x.newer != nil {
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
			if a.chosen[x.file] && !x.leaves && (carries(x.newer, workflow) || carries(x.serving, workflow)) {
				blame[x.file] = errors.Join(blame[x.file], fmt.Errorf("it would stop a workflow that is served: %w", cause))
			}
		}
	}
	a.onTrial(blame)
	a.leftBehind(&result, blame)
	return blame
}

// onTrial blames the chosen modules that touch a workflow with a canary, but for the canary itself.
func (a *admitter) onTrial(blame map[string]error) {
	for _, workflow := range a.served.Names() {
		if a.served.Workflow(workflow).Canary == nil {
			continue
		}
		for _, x := range a.applicants {
			if a.chosen[x.file] && !x.tried && (carries(x.newer, workflow) || carries(x.serving, workflow)) {
				a.held = true
				blame[x.file] = errors.Join(blame[x.file], fmt.Errorf("workflow %s has a canary on trial: promote it or roll it back "+
					"first (wfrt plugins promote, wfrt plugins rollback)", workflow))
			}
		}
	}
}

// leftBehind blames the chosen applicants that serve a status with runs in it which nothing would handle any more, or whose
// newer module cannot read the objects that the runs of a workflow have. Where there are no runs it notes what must stay empty.
func (a *admitter) leftBehind(result *merged, blame map[string]error) {
	after := make(map[string]*runtime.Workflow, len(result.workflows))
	for _, w := range result.workflows {
		after[w.Name] = w
	}
	a.stranded(result, after, blame)
	for _, workflow := range a.served.Names() {
		before, next := a.served.Workflow(workflow), after[workflow]
		if before.Closed || next != nil && next.Pinned { // earlier definitions go on
			continue
		}
		if result.incomplete[workflow] != nil && !a.anyLeaves() { // that has its own blame
			continue
		}
		lostBy := make(map[string][]runtime.Left) // by file
		for _, name := range slices.Sorted(maps.Keys(before.Statuses)) {
			status := before.Statuses[name]
			if !lost(status, next) {
				continue
			}
			if x := a.responsible(workflow, movers(status)[0].Plugin); x != nil {
				a.look(x, runtime.Queue{Workflow: workflow, Status: name}, lostBy)
			}
		}
		for file, left := range lostBy {
			hint := "keep the handlers, let those runs end, or move them (wfrt runs move); forced (--force), they go on with the module before"
			if a.removes(file) {
				hint = "let those runs end, cancel them, or move them (wfrt runs move)"
			}
			blame[file] = errors.Join(blame[file], &leftError{left: left, why: "there are runs in what it no longer handles", hint: hint})
		}
	}
	a.unread(after, blame)
}

// stranded blames the chosen applicants of which the module that should serve could not be loaded, for runs of its that they do
// not take over either.
func (a *admitter) stranded(result *merged, after map[string]*runtime.Workflow, blame map[string]error) {
	for i := range a.applicants {
		x := &a.applicants[i]
		if !a.chosen[x.file] {
			continue
		}
		lostBy := make(map[string][]runtime.Left)
		for _, q := range x.waiting {
			next := after[q.Workflow]
			if result.incomplete[q.Workflow] != nil || next != nil && (next.Pinned || takes(next, q.Status)) {
				continue
			}
			a.look(x, q, lostBy)
		}
		left := byWorkflow(lostBy[x.file])
		for _, workflow := range slices.Sorted(maps.Keys(left)) {
			blame[x.file] = errors.Join(blame[x.file], &leftError{
				left: left[workflow], why: "the module before it cannot be loaded, and there are runs in what it does not handle either",
				hint: "handle those statuses, cancel the runs, or bring the module before it back (wfrt plugins inspect); " +
					"forced (--force), they wait",
			})
		}
	}
}

// byWorkflow groups what is left by workflow.
func byWorkflow(all []runtime.Left) map[string][]runtime.Left {
	groups := make(map[string][]runtime.Left)
	for _, l := range all {
		groups[l.Workflow] = append(groups[l.Workflow], l)
	}
	return groups
}

// unread blames the chosen applicants whose newer modules cannot read the objects of runs that go by what serves, of whichever version
// before.
func (a *admitter) unread(after map[string]*runtime.Workflow, blame map[string]error) {
	for i := range a.applicants {
		x := &a.applicants[i]
		if !a.chosen[x.file] || x.newer == nil {
			continue
		}
		for w := range x.newer.manifest.Workflows {
			next := &x.newer.manifest.Workflows[w]
			unread := unreadBy(next, x.objects[next.Name])
			if after[next.Name] == nil || len(unread) == 0 {
				continue
			}
			left := make(map[string][]runtime.Left)
			if a.look(x, runtime.Queue{Workflow: next.Name}, left); len(left) == 0 {
				continue
			}
			blame[x.file] = errors.Join(blame[x.file], &leftError{
				left: left[x.file],
				why: fmt.Sprintf("its objects are of version %d, and runs may have objects of version %s, which it does not say that it reads",
					next.ObjectVersion, numbers(unread)),
				hint: "say that it reads them (w.Objects), let those runs end, or force it (--force)",
			})
		}
	}
}

// unreadBy returns those versions of objects that a module does not say that it reads.
func unreadBy(w *abi.Workflow, had []int) []int {
	return slices.DeleteFunc(slices.Clone(had), func(v int) bool { return v == w.ObjectVersion || slices.Contains(w.Reads, v) })
}

// numbers writes a list as people do: 1, 2, 3.
func numbers(list []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ", "), "[]")
}

// removes reports whether an applicant is a plugin that is to serve no longer.
func (a *admitter) removes(file string) bool {
	return slices.ContainsFunc(a.applicants, func(x applicant) bool { return x.file == file && x.leaves })
}

func (a *admitter) anyLeaves() bool {
	return slices.ContainsFunc(a.applicants, func(x applicant) bool { return x.leaves && a.chosen[x.file] })
}

// responsible returns the chosen applicant to blame for a lost status: the one whose file handled it, else one that carried a
// part of the workflow and leaves; nil for none.
func (a *admitter) responsible(workflow, owner string) *applicant {
	var leaves *applicant
	for i := range a.applicants {
		switch x := &a.applicants[i]; {
		case !a.chosen[x.file]:
		case x.file == owner:
			return x
		case x.leaves && carries(x.serving, workflow):
			leaves = x
		}
	}
	return leaves
}

// look adds the runs of a queue to those that an applicant leaves, unless it may leave them.
func (a *admitter) look(x *applicant, q runtime.Queue, left map[string][]runtime.Left) {
	if x.forced {
		return
	}
	n, known := a.counted[q]
	if !known && a.runs != nil {
		n = a.runs(q)
	}
	if a.counted[q] = n; n == 0 {
		a.leaving = append(a.leaving, q)
		return
	}
	a.held = true
	left[x.file] = append(left[x.file], runtime.Left{Workflow: q.Workflow, Status: q.Status, Runs: n})
}

// leftError says which runs keep an applicant out.
type leftError struct {
	left      []runtime.Left // of one workflow
	why, hint string
}

func (e *leftError) Error() string {
	texts := make([]string, len(e.left))
	for i, l := range e.left {
		texts[i] = l.String()
	}
	return fmt.Sprintf("workflow %s: %s: %s: %s", e.left[0].Workflow, e.why, strings.Join(texts, ", "), e.hint)
}

// lost reports whether a served status, or its step, is gone in the next definition of its workflow, which is nil when there is
// none.
func lost(status *runtime.Status, after *runtime.Workflow) bool {
	if status.Terminal {
		return false
	}
	var next *runtime.Status
	if after != nil {
		next = after.Statuses[status.Name]
	}
	return next == nil || next.Terminal || status.Step != nil && next.Step == nil
}

func carries(p *part, workflow string) bool { return p.workflow(workflow) != nil }

// workflow returns what the part carries of a workflow, or nil. p may be nil.
func (p *part) workflow(name string) *abi.Workflow {
	if p == nil {
		return nil
	}
	for i := range p.manifest.Workflows {
		if w := &p.manifest.Workflows[i]; w.Name == name {
			return w
		}
	}
	return nil
}
