package host

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// Tend looks after what serves until ctx ends, and then returns: it rolls back canaries that fail, at once, and lets earlier
// definitions go, with their modules, when no run needs them any more. At most one Tend of a host runs.
func (h *Host) Tend(ctx context.Context) {
	again := time.NewTicker(h.options.Rescan)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.failing:
			h.judge()
		case <-again.C:
			h.judge()
			h.letGo()
		}
	}
}

// judge ends the trials of the canaries that have failed.
func (h *Host) judge() {
	h.change.Lock()
	defer h.change.Unlock()
	if h.isClosed() {
		return
	}
	h.mu.Lock()
	causes := make(map[string]string)
	for file, p := range h.plugins {
		if p.trial != nil && p.trial.over() {
			causes[nameOf(file)] = p.trial.cause()
		}
	}
	h.mu.Unlock()
	for plugin, cause := range causes {
		if _, err := h.endCanary(plugin, cause); err != nil {
			h.options.Logger.Error("a canary that fails cannot be rolled back; it is tried again", "plugin", plugin, "error", err)
		}
	}
}

// endCanary takes a canary back. Its runs go on with it when what serves does not read their objects, and those that are in a status
// which only it has. REQUIRES: h.change.
func (h *Host) endCanary(plugin, cause string) (Plugin, error) {
	h.mu.Lock()
	next := h.ledger.clone()
	h.mu.Unlock()
	k := next.entry(plugin).Canary
	if k == nil {
		return h.view(plugin + extension), nil
	}
	next.endTrial(plugin, trialEnd{Digest: k.Digest, At: h.now(), Cause: cause})
	if err := h.install(next, nil); err != nil {
		return Plugin{}, err
	}
	h.mu.Lock()
	h.held = true // what waited for the end of the trial is tried again
	h.mu.Unlock()
	h.options.Logger.Warn("a canary was rolled back", "plugin", plugin, "digest", digestOf(k.Digest), "cause", cause)
	if keeping := next.unreadOf(partOf{plugin, k.Digest}); len(keeping) > 0 {
		h.options.Logger.Warn("runs of the canary stay on it, since what serves does not read their objects: they go on with the next version "+
			"that does", "plugin", plugin, "digest", digestOf(k.Digest), "workflows", keeping)
	}
	h.options.Meter.Plugin(plugin).Loaded(LoadRolledBack)
	return h.view(plugin + extension), nil
}

// letGo drops the earlier definitions that no run needs, at the second look that finds it so: a hook of a run's end may still be
// under way at the first. It forgets which objects runs may have where there are none.
func (h *Host) letGo() {
	h.change.Lock()
	defer h.change.Unlock()
	if h.isClosed() || !h.restored {
		return
	}
	h.mu.Lock()
	next := h.ledger.clone()
	h.mu.Unlock()
	idle := make(map[string]bool)
	var leaving []runtime.Queue
	dropped := false
	for workflow, definitions := range next.Older {
		for _, def := range slices.Clone(definitions) {
			if len(h.need(workflow, def)) > 0 {
				continue
			}
			key := workflow + "/" + def.Digest.String()
			if !h.idle[key] {
				idle[key] = true
				continue
			}
			leaving = append(leaving, h.onlyIn(workflow, def)...)
			next.drop(workflow, def.Digest)
			dropped = true
		}
	}
	h.idle = idle
	for _, workflow := range next.mixed(h.Catalog()) {
		if h.runs(runtime.Queue{Workflow: workflow}) == 0 {
			next.empty(workflow)
			dropped = true
		}
	}
	if !dropped {
		return
	}
	var left *runtime.LeftError
	if err := h.install(next, leaving); err != nil && !errors.As(err, &left) {
		h.options.Logger.Error("earlier versions cannot be let go; it is tried again", "error", err)
	}
}

// need returns the runs for which an earlier definition is kept: those pinned to it, while that holds, and those in statuses that
// only it has.
func (h *Host) need(workflow string, def definition) []runtime.Left {
	var left []runtime.Left
	newest := h.Catalog().Workflow(workflow)
	if def.Keeps || newest == nil {
		if n := h.pinned(workflow, def.Digest); n > 0 {
			left = append(left, runtime.Left{Workflow: workflow, Runs: n})
		}
	}
	for _, q := range h.onlyIn(workflow, def) {
		if n := h.runs(q); n > 0 {
			left = append(left, runtime.Left{Workflow: workflow, Status: q.Status, Runs: n})
		}
	}
	return left
}

// pinned counts the runs that are pinned to a definition. What cannot be counted is there.
func (h *Host) pinned(workflow string, d runtime.Digest) int {
	n, err := h.options.Engine.PinnedRuns(workflow, d, runtime.MaxLeft)
	if err != nil {
		h.options.Logger.Error("pinned runs cannot be counted, so an earlier version is kept", "workflow", workflow, "error", err)
		return 1
	}
	return n
}

// onlyIn returns the statuses whose runs go by an earlier definition because no newer one has them. Of a definition whose modules
// could not be loaded it returns its whole workflow.
func (h *Host) onlyIn(workflow string, def definition) []runtime.Queue {
	w := h.Catalog().Workflow(workflow)
	if w == nil {
		return []runtime.Queue{{Workflow: workflow}}
	}
	at := slices.IndexFunc(w.Older, func(o *runtime.Workflow) bool { return o.Digest == def.Digest })
	if at < 0 {
		return []runtime.Queue{{Workflow: workflow}}
	}
	newer := append([]*runtime.Workflow{w}, w.Older[:at]...)
	var only []runtime.Queue
	for name, status := range w.Older[at].Statuses {
		if !status.Terminal && !slices.ContainsFunc(newer, func(n *runtime.Workflow) bool { return runsIn(n, name) }) {
			only = append(only, runtime.Queue{Workflow: workflow, Status: name})
		}
	}
	return only
}

// takes reports whether a run can be in a status of a definition and not have ended.
func takes(w *runtime.Workflow, status string) bool {
	s := w.Statuses[status]
	return s != nil && !s.Terminal
}
