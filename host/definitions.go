package host

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/wfrt/wfrt/runtime"
)

// definitions are what a catalog is made of.
type definitions struct {
	newest map[string]definition // by workflow
	canary map[string]definition // by workflow
}

// digestOfParts returns the identity of a definition: the digest of its only module, or, of several, the SHA-256 over theirs in
// ascending order.
func digestOfParts(parts []partOf) runtime.Digest {
	if len(parts) == 1 {
		return parts[0].Digest
	}
	digests := make([][]byte, len(parts))
	for i := range parts {
		digests[i] = parts[i].Digest[:]
	}
	slices.SortFunc(digests, bytes.Compare)
	return sha256.Sum256(bytes.Join(digests, nil))
}

// assemble makes the catalog of a ledger, which it settles, out of the modules that loaded has. What could not be loaded is left out,
// and what a workflow lacks is returned.
func (h *Host) assemble(l *ledger, loaded map[partOf]*module) (*runtime.Catalog, definitions, map[string]error) {
	made := definitions{newest: make(map[string]definition), canary: make(map[string]definition)}
	serving := make(map[string]partOf) // by plugin
	for name := range l.Plugins {
		if d := l.active(name); d != (runtime.Digest{}) {
			serving[name] = partOf{name, d}
		}
	}
	newest := h.merge(serving, loaded, nil)
	l.settle(newest.workflows)
	workflows := make(map[string]*runtime.Workflow)
	for _, w := range newest.workflows {
		workflows[w.Name] = w
		made.newest[w.Name] = definition{Digest: w.Digest, Parts: newest.parts[w.Name]}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Plugins)) {
		k := l.Plugins[name].Canary
		if k == nil {
			continue
		}
		tried := maps.Clone(serving)
		tried[name] = partOf{name, k.Digest}
		trial := h.merge(tried, loaded, h.plugins[name+extension].trial)
		for _, w := range trial.workflows {
			base := workflows[w.Name]
			if base == nil || !slices.Contains(trial.parts[w.Name], tried[name]) || base.Canary != nil {
				continue
			}
			base.Canary = &runtime.Canary{Workflow: w, Share: k.Share}
			made.canary[w.Name] = definition{Digest: w.Digest, Parts: trial.parts[w.Name]}
		}
	}
	h.addOlder(l, workflows, &made, loaded)
	return runtime.NewCatalog(slices.Collect(maps.Values(workflows))...), made, newest.incomplete
}

// addOlder adds to the workflows of a catalog the earlier definitions of a ledger, and stand-ins of what is pinned and could not be
// made.
func (h *Host) addOlder(l *ledger, workflows map[string]*runtime.Workflow, made *definitions, loaded map[partOf]*module) {
	for _, name := range slices.Sorted(maps.Keys(l.Older)) {
		if workflows[name] == nil {
			workflows[name] = &runtime.Workflow{Name: name, Closed: true}
		}
	}
	for name, base := range workflows {
		var lost []definition
		for _, def := range l.Older[name] {
			w := h.definition(name, def, loaded)
			if w == nil {
				lost = append(lost, def)
				continue
			}
			w.Keeps = def.Keeps
			base.Older = append(base.Older, w)
			base.Pinned = base.Pinned || base.Closed && w.Pinned
		}
		switch def := l.unmade(name, made); {
		case len(def.Parts) == 0:
		case base.Pinned:
			lost = append(lost, def)
		case len(base.Older) > 0: // first: its runs are not theirs, and which are is not known
			base.Older = slices.Insert(base.Older, 0, h.standIn(name, def))
		}
		for _, def := range lost { // last: only what is pinned to them goes by them
			if def.Keeps {
				base.Older = append(base.Older, h.standIn(name, def))
			}
		}
		if base.Closed && len(base.Older) == 0 {
			delete(workflows, name)
		}
	}
}

// unmade returns the definition of a workflow that a ledger says serves, when it could not be made because a module of it is missing;
// else one without parts. It keeps its runs.
func (l *ledger) unmade(workflow string, made *definitions) definition {
	serves := l.supposed(workflow, partOf{})
	if serves.Digest == made.newest[workflow].Digest {
		return definition{}
	}
	serves.Keeps = true
	return serves
}

// supposed returns the definition of a workflow that the modules which serve make together, with tried in the place of the one of
// its plugin; without parts when the ledger knows of none.
func (l *ledger) supposed(workflow string, tried partOf) definition {
	var parts []partOf
	for _, name := range slices.Sorted(maps.Keys(l.Plugins)) {
		p := partOf{name, l.active(name)}
		if name == tried.Plugin {
			p = tried
		}
		if _, carries := l.Plugins[name].carries(p.Digest)[workflow]; carries {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return definition{}
	}
	return definition{Digest: digestOfParts(parts), Parts: parts}
}

// definition makes an earlier definition of a workflow, or returns nil when a module of it could not be loaded.
func (h *Host) definition(workflow string, def definition, loaded map[partOf]*module) *runtime.Workflow {
	parts := make(map[string]partOf)
	for _, p := range def.Parts {
		parts[p.Plugin] = p
	}
	result := h.merge(parts, loaded, nil)
	at := slices.IndexFunc(result.workflows, func(w *runtime.Workflow) bool { return w.Name == workflow })
	if at < 0 || result.workflows[at].Digest != def.Digest {
		return nil
	}
	return result.workflows[at]
}

// merge merges modules, by plugin. Those on trial report to t what becomes of their invocations; nil: nothing is on trial.
func (h *Host) merge(modules map[string]partOf, loaded map[partOf]*module, t *trial) merged {
	var parts []part
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		m := loaded[modules[name]]
		if m == nil {
			continue
		}
		p := h.part(name+extension, m)
		if t != nil && t.digest == m.digest {
			p.invoker = t.watch(p.invoker)
		}
		parts = append(parts, *p)
	}
	return merge(parts, h.defaults())
}

func (h *Host) defaults() defaults {
	tuned := h.tuned.Load()
	return defaults{
		retry: tuned.DefaultRetry, lag: tuned.DefaultLag, lagAlert: tuned.DefaultLagAlert, parallel: tuned.DefaultParallelism,
		steps: tuned.Steps, adjust: tuned.Adjust,
	}
}

// part is what a module of a plugin brings to the merge; nil for no module.
func (h *Host) part(file string, m *module) *part {
	if m == nil {
		return nil
	}
	return &part{
		file: file, digest: m.digest, manifest: m.manifest, module: m.bound,
		invoker: func(id int32, own StepLimits) runtime.Invoker { return &invoker{module: m, id: id, own: own} },
	}
}
