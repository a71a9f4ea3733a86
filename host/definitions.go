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

// assemble makes the catalog of a ledger out of the modules that loaded has. What could not be loaded is left out, and what a
// workflow lacks is returned.
func (h *Host) assemble(l *ledger, loaded map[partOf]*module) (*runtime.Catalog, definitions, map[string]error) {
	made := definitions{newest: make(map[string]definition), canary: make(map[string]definition)}
	serving := make(map[string]partOf) // by plugin
	for name := range l.Plugins {
		if d := l.active(name); d != (runtime.Digest{}) {
			serving[name] = partOf{name, d}
		}
	}
	newest := h.merge(serving, loaded, nil)
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
	for _, name := range slices.Sorted(maps.Keys(l.Older)) {
		base := workflows[name]
		if base == nil {
			base = &runtime.Workflow{Name: name, Closed: true}
		}
		var lost []*runtime.Workflow
		for _, def := range l.Older[name] {
			if w := h.definition(name, def, loaded); w != nil {
				base.Older = append(base.Older, w)
				base.Pinned = base.Pinned || base.Closed && w.Pinned
			} else if base.Pinned {
				lost = append(lost, h.standIn(name, def))
			}
		}
		base.Older = append(base.Older, lost...) // last: only what is pinned to them goes by them
		if len(base.Older) > 0 {
			workflows[name] = base
		}
	}
	return runtime.NewCatalog(slices.Collect(maps.Values(workflows))...), made, newest.incomplete
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
		retry: tuned.DefaultRetry, lagAlert: tuned.DefaultLagAlert, parallel: tuned.DefaultParallelism, steps: tuned.Steps,
		adjust: h.options.Adjust,
	}
}

// part is what a module of a plugin brings to the merge; nil for no module.
func (h *Host) part(file string, m *module) *part {
	if m == nil {
		return nil
	}
	return &part{
		file: file, digest: m.digest, manifest: m.manifest, module: m.bound,
		invoker: func(id int32) runtime.Invoker { return &invoker{module: m, id: id} },
	}
}
