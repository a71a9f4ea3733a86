package host

import (
	"context"
	"maps"
	"slices"

	"github.com/wfrt/wfrt/runtime"
)

// A module that should be loaded may not be there: what is kept of it is damaged, or who signed it is no longer trusted. The
// runs that went by it are there all the same, and the store knows where.

// missing says of an applicant what is known of a module that should serve and could not be loaded, unless it is that very
// module that comes back. REQUIRES: h.mu.
func (h *Host) missing(x *applicant) {
	e := h.ledger.Plugins[nameOf(x.file)]
	if e == nil || e.Active.Digest == (runtime.Digest{}) || x.serving != nil || x.newer != nil && x.newer.digest == e.Active.Digest {
		return
	}
	served := h.Catalog()
	for _, q := range h.activeQueues(slices.Sorted(maps.Keys(e.carries(e.Active.Digest)))) {
		if w := served.Workflow(q.Workflow); w == nil || !takes(w, q.Status) {
			x.waiting = append(x.waiting, q)
		}
	}
}

// activeQueues returns the queues of the workflows that have runs. When they cannot be looked for, every workflow has some.
func (h *Host) activeQueues(workflows []string) []runtime.Queue {
	all, err := h.options.Engine.ActiveQueues()
	if err != nil {
		h.options.Logger.Error("the statuses of runs cannot be read, so there may be some in any", "error", err)
		for _, workflow := range workflows {
			all = append(all, runtime.Queue{Workflow: workflow})
		}
	}
	return slices.DeleteFunc(all, func(q runtime.Queue) bool { return !slices.Contains(workflows, q.Workflow) })
}

// keepMissing keeps the definition of a workflow that could not be made because a module of it is missing, when runs are pinned to it
// and w serves in its place from now on. REQUIRES: h.mu.
func (h *Host) keepMissing(next *ledger, w *runtime.Workflow) {
	def := h.ledger.unmade(w.Name, &h.made)
	if len(def.Parts) > 0 && def.Digest != w.Digest && h.pinned(w.Name, def.Digest) > 0 {
		next.keep(w.Name, def)
	}
}

// standIn is a definition of which a module is missing. The runs that go by it wait: their attempts fail, and say why.
func (h *Host) standIn(workflow string, def definition) *runtime.Workflow {
	w := &runtime.Workflow{Name: workflow, Digest: def.Digest, Statuses: make(map[string]*runtime.Status), Pinned: true, Keeps: def.Keeps}
	reason := "the run goes by the version " + digestOf(def.Digest) + ", which cannot be loaded: bring its module back " +
		"(wfrt plugins inspect), or move the run (wfrt runs move)"
	for _, q := range h.activeQueues([]string{workflow}) {
		w.Statuses[q.Status] = &runtime.Status{Name: q.Status, Step: &runtime.Handler{
			Kind: runtime.HandlerStep, Name: q.Status, Workflow: workflow, Status: q.Status, Digest: def.Digest, Plugin: def.Parts[0].Plugin + extension,
			Retry: h.tuned.Load().DefaultRetry, Invoker: absent{reason},
		}}
	}
	return w
}

// runsIn reports whether a definition takes runs in a status, and is no stand-in.
func runsIn(w *runtime.Workflow, status string) bool {
	if !takes(w, status) {
		return false
	}
	step := w.Statuses[status].Step
	if step == nil {
		return true
	}
	_, missing := step.Invoker.(absent)
	return !missing
}

// absent is the step of a module that is missing.
type absent struct{ reason string }

// Invoke implements runtime.Invoker.
func (a absent) Invoke(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
	out.Kind, out.Reason = runtime.OutcomeError, a.reason
	return nil
}
