package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// How says in what way a module came to serve.
type How string

// Ways.
const (
	HowFile     How = "file"     // it lay in the plugins directory
	HowDeploy   How = "deploy"   // an operator deployed it
	HowCanary   How = "canary"   // an operator deployed it as a canary
	HowPromote  How = "promote"  // an operator promoted the canary
	HowRollback How = "rollback" // an operator rolled back to it
)

// maxAdmissions is how often a change is thought over because runs came in its way between the admission and the swap.
const maxAdmissions = 5

// ready reads the ledger, once, and loads what it calls for. REQUIRES: h.change.
func (h *Host) ready(ctx context.Context) error {
	if h.isClosed() {
		return errClosed
	}
	if h.restored {
		return nil
	}
	l, err := h.readLedger()
	if err != nil {
		return err
	}
	h.folders.hold(l.digests())
	loaded := make(map[partOf]*module)
	for p := range l.loaded() {
		m, err := h.restore(ctx, p)
		if ctx.Err() != nil {
			h.release(loaded)
			return fmt.Errorf("host: load: %w", context.Cause(ctx))
		}
		if err == nil {
			loaded[p] = m
			continue
		}
		h.options.Logger.Error("a module that served cannot be loaded", "plugin", p.Plugin, "digest", digestOf(p.Digest), "error", err)
		h.mu.Lock()
		h.plugin(p.Plugin + extension).err = err
		h.mu.Unlock()
	}
	for name, e := range l.Plugins {
		if k := e.Canary; k != nil && loaded[partOf{name, k.Digest}] == nil {
			l.endTrial(name, trialEnd{Digest: k.Digest, At: h.now(), Cause: "its module could not be loaded"})
			h.options.Logger.Warn("a canary was rolled back", "plugin", name, "digest", digestOf(k.Digest), "cause", e.Ended.Cause)
		}
	}
	h.mu.Lock()
	h.modules = loaded
	h.mu.Unlock()
	if len(l.Plugins) == 0 {
		h.restored = true
		return nil
	}
	if err := h.install(l, nil); err != nil {
		h.mu.Lock()
		h.modules = make(map[partOf]*module)
		h.mu.Unlock()
		h.release(loaded)
		return err
	}
	h.restored = true
	return nil
}

func (h *Host) release(modules map[partOf]*module) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range modules {
		h.retire(m)
	}
}

func (h *Host) readLedger() (*ledger, error) {
	raw, err := h.options.Documents.Document(ledgerName)
	if errors.Is(err, runtime.ErrNotFound) {
		return newLedger(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("host: read which modules serve: %w", err)
	}
	return decodeLedger(raw)
}

// restore loads a module from the archive. It has passed every test before, and its own test is not asked again; whether who
// signed it is still trusted is.
func (h *Host) restore(ctx context.Context, p partOf) (*module, error) {
	raw, err := h.archive.get(p.Digest)
	if err != nil {
		return nil, err
	}
	if err := h.archive.verify(p.Digest, raw, h.tuned.Load().TrustedKeys); err != nil {
		return nil, err
	}
	m, err := h.build(ctx, &source{file: p.Plugin + extension, raw: raw, digest: sha256.Sum256(raw)})
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	m.totals = h.plugin(p.Plugin + extension).totals
	return m, nil
}

// proposal is a change that an operator asks for, of one plugin.
type proposal struct {
	file   string
	newer  *module // nil: the plugin is to serve no longer
	forced bool
	tried  bool // newer is the plugin's canary
	how    How
	by     string
}

// admitFiles admits what was loaded from the directory, as far as it can be. REQUIRES: h.change.
func (h *Host) admitFiles() error {
	_, err := h.admit(nil)
	return err
}

// admit admits what was loaded from the directory and, if it is not nil, what an operator proposes, and has it serve. It returns
// why the proposal was refused, or nil; the error is of the whole. REQUIRES: h.change.
func (h *Host) admit(p *proposal) (refused, err error) {
	for range maxAdmissions {
		result := admit(h.applicants(p), h.Catalog(), h.runs, h.defaults())
		next, admitted := h.nextLedger(result, p)
		err = h.install(next, result.leaving, admitted...)
		if left := (*runtime.LeftError)(nil); errors.As(err, &left) {
			continue // runs have come since: the next admission counts them
		}
		if err != nil {
			break
		}
		h.conclude(result, admitted, p)
		if p == nil {
			return nil, nil
		}
		return result.refused[p.file], nil
	}
	h.mu.Lock()
	h.held = true // it is tried again
	h.mu.Unlock()
	if left := (*runtime.LeftError)(nil); errors.As(err, &left) {
		return err, nil
	}
	return nil, err
}

// runs counts the active runs of a queue. What cannot be counted is there: the module that serves goes on then.
func (h *Host) runs(q runtime.Queue) int {
	n, err := h.options.Engine.ActiveRuns(q, runtime.MaxLeft)
	if err != nil {
		h.options.Logger.Error("runs cannot be counted, so a module is refused", "workflow", q.Workflow, "error", err)
		return 1
	}
	return n
}

func (h *Host) applicants(p *proposal) []applicant {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []applicant
	for file, known := range h.plugins {
		x := applicant{file: file, serving: h.part(file, h.serving(file)), newer: h.part(file, known.newer)}
		if p != nil && p.file == file {
			x.newer, x.leaves, x.forced, x.tried = h.part(file, p.newer), p.newer == nil, p.forced, p.tried
		}
		if e := h.ledger.Plugins[nameOf(file)]; e != nil {
			x.objects = e.Objects
		}
		h.missing(&x)
		all = append(all, x)
	}
	return all
}

// nextLedger returns the ledger after an admission, and the modules that it adds.
func (h *Host) nextLedger(result admission, p *proposal) (*ledger, []*module) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next, now := h.ledger.clone(), h.now()
	var added []*module
	for file, known := range h.plugins {
		name := nameOf(file)
		m, a := known.newer, activation{At: now, How: HowFile}
		asked := p != nil && p.file == file
		if asked {
			m, a.How, a.By = p.newer, p.how, p.by
		}
		switch {
		case !result.admitted[file]:
			if d := known.tried; d != (runtime.Digest{}) && d == next.active(name) {
				next.entry(name).Seen = d
			}
			continue
		case m == nil:
			e := next.entry(name)
			e.Active, e.Versions, e.Objects = activation{}, nil, nil
		default:
			a.Digest = m.digest
			next.entry(name).activate(m.version(a), a)
			added = append(added, m)
		}
		if asked && known.gone {
			next.entry(name).Seen = runtime.Digest{}
		} else if known.tried != (runtime.Digest{}) { // what lies in the directory is dealt with, whatever it is
			next.entry(name).Seen = known.tried
		}
	}
	for file, known := range h.plugins { // of a plugin that an operator removed, once its file is gone too
		if e := next.Plugins[nameOf(file)]; e != nil && known.gone && e.Active == (activation{}) {
			delete(next.Plugins, nameOf(file))
		}
	}
	h.keepOlder(next, &result)
	for _, q := range result.leaving {
		if q.Status == "" {
			next.empty(q.Workflow)
		}
	}
	return next, added
}

func (h *Host) now() time.Time { return h.options.Clock.Now().UTC().Round(0) }

// version is what the ledger keeps of a module.
func (m *module) version(a activation) *version {
	v := &version{
		Digest: m.digest, Size: m.size, Version: m.manifest.Version, SDK: m.manifest.SDK, DeployedAt: a.At, How: a.How, By: a.By,
		Workflows: make(map[string]int), Reads: make(map[string][]int),
	}
	for i := range m.manifest.Workflows {
		w := &m.manifest.Workflows[i]
		v.Workflows[w.Name] = w.ObjectVersion
		if len(w.Reads) > 0 {
			v.Reads[w.Name] = w.Reads
		}
	}
	return v
}

// keepOlder keeps the definitions that serve now and are replaced, when runs may need them: those of pinned workflows, and those
// with statuses that the new ones lack, unless there must be no runs in them. It drops what serves again. REQUIRES: h.mu.
func (h *Host) keepOlder(next *ledger, result *admission) {
	after := make(map[string]*runtime.Workflow, len(result.merged.workflows))
	for _, w := range result.merged.workflows {
		after[w.Name] = w
		next.drop(w.Name, w.Digest)
		h.keepMissing(next, w)
	}
	served := h.Catalog()
	for workflow, def := range h.made.newest {
		if w := after[workflow]; w == nil || w.Digest != def.Digest {
			h.keepIfNeeded(next, def, served.Workflow(workflow), w, result.leaving)
		}
	}
}

// keepIfNeeded keeps a definition when runs may need it after next has taken over. In empty there are none.
func (h *Host) keepIfNeeded(l *ledger, def definition, before, next *runtime.Workflow, empty []runtime.Queue) {
	needed := before.Pinned
	for name, status := range before.Statuses {
		q := runtime.Queue{Workflow: before.Name, Status: name}
		needed = needed || lost(status, next) && !slices.Contains(empty, q)
	}
	if needed {
		def.Keeps = before.Pinned
		l.keep(before.Name, def)
	}
}

// install makes next, and the catalog that follows from it, what holds: durably first, then for the engine, with no run between. Added
// modules are among those that may be loaded. An error, which is a *runtime.LeftError when runs are in leaving, means that nothing
// has changed. REQUIRES: h.change.
func (h *Host) install(next *ledger, leaving []runtime.Queue, added ...*module) error {
	if h.isClosed() { // since the change began: nobody waits for it any more
		return errClosed
	}
	next.prune()
	h.mu.Lock()
	before := h.ledger
	available := maps.Clone(h.modules)
	for _, m := range added {
		available[partOf{m.name, m.digest}] = m
	}
	h.setTrials(next)
	catalog, made, waiting := h.assemble(next, available)
	swaps := !h.restored || h.retuned || len(added) > 0 || !next.servesAs(before)
	h.mu.Unlock()

	for _, m := range added {
		if m.raw == nil {
			continue
		}
		if err := errors.Join(h.archive.put(m.digest, m.raw), h.archive.sign(m.digest, m.signature)); err != nil {
			return err
		}
	}
	changed := string(next.encode()) != string(before.encode())
	keep := func() error {
		if !changed {
			return nil
		}
		if err := h.options.Documents.SetDocument(ledgerName, next.encode()); err != nil {
			return fmt.Errorf("host: keep which modules serve: %w", err)
		}
		return nil
	}
	if swaps {
		if err := h.options.Engine.Swap(catalog, leaving, keep); err != nil {
			return err
		}
		h.catalog.Store(catalog)
	} else if err := keep(); err != nil {
		return err
	}
	h.adopt(next, available, made, waiting)
	h.folders.hold(next.digests())
	if changed {
		if err := h.archive.sweep(next.digests()); err != nil {
			h.options.Logger.Warn("old modules cannot be removed", "archive_dir", h.options.ArchiveDir, "error", err)
		}
	}
	return nil
}

// setTrials gives each plugin with a canary in a ledger its trial. REQUIRES: h.mu.
func (h *Host) setTrials(l *ledger) {
	for name, e := range l.Plugins {
		p := h.plugin(name + extension)
		if e.Canary == nil || p.trial != nil && p.trial.digest == e.Canary.Digest {
			continue
		}
		p.trial = &trial{digest: e.Canary.Digest, rules: h.tuned.Load().Canary, clock: h.options.Clock, failed: func() {
			select {
			case h.failing <- name:
			default: // another is seen to first; Tend looks at all
			}
		}}
	}
}

// adopt takes over what was installed, and retires the modules that it does not call for: only now, when whoever looks a step up
// finds the new ones.
func (h *Host) adopt(next *ledger, available map[partOf]*module, made definitions, waiting map[string]error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for workflow, lack := range waiting {
		if old := h.waiting[workflow]; old == nil || old.Error() != lack.Error() {
			h.options.Logger.Warn("a workflow is not served yet", "workflow", workflow, "error", lack)
		}
	}
	wanted := next.loaded()
	for key, m := range available {
		m.raw, m.signature = nil, nil
		if !wanted[key] {
			h.retire(m)
			delete(available, key)
		}
	}
	h.ledger, h.modules, h.made, h.waiting, h.retuned = next, available, made, waiting, false
	for file, p := range h.plugins {
		e := next.Plugins[nameOf(file)]
		if e == nil || e.Canary == nil {
			p.trial = nil
		}
		if e == nil && p.gone && p.newer == nil {
			delete(h.plugins, file)
		}
	}
}

// conclude tells what became of the files at an admission. What became of a proposal that was refused its caller tells.
func (h *Host) conclude(result admission, admitted []*module, asked *proposal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = result.held
	for _, file := range slices.Sorted(maps.Keys(h.plugins)) {
		p := h.plugins[file]
		logger := h.options.Logger.With("file", file)
		cause := result.refused[file]
		switch at := slices.IndexFunc(admitted, func(m *module) bool { return m.file == file }); {
		case at >= 0:
			m := admitted[at]
			m.caps.Load().warn(logger)
			logger.Info("a plugin serves", "digest", digestOf(m.digest), "how", string(h.ledger.entry(m.name).Active.How))
			if p.newer != m {
				h.retire(p.newer)
			}
			p.newer, p.err = nil, nil
			m.meter.Loaded(LoadServed)
		case cause != nil && p.newer != nil && (asked == nil || asked.file != file):
			if p.err == nil || p.err.Error() != cause.Error() {
				logger.Error("a plugin was refused", "error", cause, "old_serves", h.serving(file) != nil)
				p.newer.meter.Loaded(LoadRefused)
			}
			p.err = cause
		}
	}
}
