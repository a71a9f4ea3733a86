package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// ErrUnknownPlugin says that there is no plugin of that name.
var ErrUnknownPlugin = errors.New("host: there is no such plugin")

// RefusedError says why a change was refused. What served before goes on.
type RefusedError struct {
	Plugin string
	Cause  error
	Left   []runtime.Left // the runs that keep it out; empty when something else does
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("plugin %s was refused, and what served before goes on: %v", e.Plugin, e.Cause)
}

func (e *RefusedError) Unwrap() error { return e.Cause }

// refusedFor makes a *RefusedError of a cause, with the runs that are in it.
func refusedFor(plugin string, cause error) *RefusedError {
	e := &RefusedError{Plugin: plugin, Cause: cause}
	var collect func(error)
	collect = func(err error) {
		switch x := err.(type) { //nolint:errorlint // the tree is walked here
		case *leftError:
			e.Left = append(e.Left, x.left...)
		case *runtime.LeftError:
			e.Left = append(e.Left, x.Left...)
		case interface{ Unwrap() []error }:
			for _, inner := range x.Unwrap() {
				collect(inner)
			}
		case interface{ Unwrap() error }:
			collect(x.Unwrap())
		}
	}
	collect(cause)
	return e
}

// Deployment asks for a module to serve.
type Deployment struct {
	Plugin    string  // the plugin's name: that of a file in the plugins directory without ".wasm"
	Module    []byte  // the content of the file, which the caller does not change afterwards
	Signature []byte  // of the content, as a file FILE.wasm.minisig has it; needed when there are trusted keys
	Canary    float64 // the share of the new runs that begin on it, in (0, 1); 0: all of them
	Order
}

// Order is who asks for a change, and how firmly.
type Order struct {
	By    string // who, as they say; may be empty
	Force bool   // neither runs that it leaves behind, which go on with the module that has their status, nor a module's own test keep it out
}

// Deploy takes a module through every stage and has it serve, or a share of the new runs begin on it. The bytes are kept. It
// returns the plugin as it then is, a *runtime.InvalidError for an order that cannot be understood, and a *RefusedError when
// the module is none that can serve now; and the error of ctx, when it ends before it is known whether it can. A module that serves already is no error; one that is on trial is promoted, unless a
// share says that it stays so.
func (h *Host) Deploy(ctx context.Context, d *Deployment) (Plugin, error) {
	if err := checkDeployment(d); err != nil {
		return Plugin{}, err
	}
	h.change.Lock()
	defer h.change.Unlock()
	if err := h.ready(ctx); err != nil {
		return Plugin{}, err
	}
	file := d.Plugin + extension
	h.mu.Lock()
	e := h.ledger.clone().entry(d.Plugin)
	h.mu.Unlock()
	digest := runtime.Digest(sha256.Sum256(d.Module))
	if err := h.trusted(d); err != nil {
		return Plugin{}, h.refuse(file, err)
	}
	switch {
	case d.Canary == 0 && e.Active.Digest == digest && h.loaded(d.Plugin, digest) != nil:
		err := h.archive.sign(digest, d.Signature)
		h.distrust()
		return h.view(file), err
	case d.Canary > 0 && h.loaded(d.Plugin, e.Active.Digest) == nil:
		return Plugin{}, &runtime.InvalidError{Field: "canary", Cause: "needs a version that serves beside it; deploy without it"}
	case d.Canary > 0 && e.Active.Digest == digest:
		return Plugin{}, &runtime.InvalidError{Field: "canary", Cause: "is the version that serves; there is nothing to try"}
	}
	m, err := h.deployed(ctx, d, digest)
	if err != nil && ctx.Err() != nil { // not the module's fault
		h.mu.Lock()
		defer h.mu.Unlock()
		h.forget(file)
		return Plugin{}, fmt.Errorf("host: deploy %s: %w", d.Plugin, ctx.Err())
	}
	if err != nil {
		return Plugin{}, h.refuse(file, err)
	}
	if d.Canary > 0 {
		return h.startCanary(file, m, d)
	}
	p := &proposal{file: file, newer: m, forced: d.Force, how: HowDeploy, by: d.By}
	if e.Canary != nil && e.Canary.Digest == digest {
		p.tried, p.how = true, HowPromote
	}
	return h.propose(p)
}

func checkDeployment(d *Deployment) error {
	if err := abi.CheckName(d.Plugin); err != nil || strings.HasPrefix(d.Plugin, ".") {
		return &runtime.InvalidError{Field: "name", Cause: "is no name for a plugin: 1–64 bytes of a–z, A–Z, 0–9, '-', '_' and '.', not beginning with '.'"}
	}
	if d.Canary < 0 || d.Canary >= 1 {
		return &runtime.InvalidError{Field: "canary", Cause: "is no share of the new runs; give more than 0 and less than 100 percent"}
	}
	return nil
}

// trusted returns why the module of a deployment is not to be trusted, or nil.
func (h *Host) trusted(d *Deployment) error {
	if len(d.Signature) > signature.MaxBytes {
		return fmt.Errorf("%w: it has %d bytes", signature.ErrMalformed, len(d.Signature))
	}
	err := signature.Verify(d.Module, d.Signature, h.tuned.Load().TrustedKeys)
	if err != nil {
		err = fmt.Errorf("%w; sign it with a trusted key, minisign -Sm %s%s, and send the signature with it", err, d.Plugin, extension)
	}
	return err
}

// loaded returns a module of a plugin that is in the catalog, or nil.
func (h *Host) loaded(plugin string, d runtime.Digest) *module {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.modules[partOf{plugin, d}]
}

// deployed makes the module of a deployment ready, unless it is in the catalog already.
func (h *Host) deployed(ctx context.Context, d *Deployment, digest runtime.Digest) (*module, error) {
	if m := h.loaded(d.Plugin, digest); m != nil {
		return m, h.archive.sign(digest, d.Signature)
	}
	src := &source{file: d.Plugin + extension, raw: d.Module, digest: digest, signature: d.Signature}
	if limit := h.tuned.Load().override(d.Plugin).Limits.ModuleBytes; int64(len(d.Module)) > limit {
		return nil, fmt.Errorf("it has %d bytes; the limit is %d: build it smaller, or raise plugins.limits", len(d.Module), limit)
	}
	if err := checkSections(d.Module); err != nil {
		return nil, err
	}
	h.mu.Lock()
	of := h.plugin(src.file).totals
	h.mu.Unlock()
	return h.prepare(ctx, src, of, d.Force)
}

// propose has an operator's proposal admitted. A module that is refused is freed, unless it is in the catalog.
func (h *Host) propose(p *proposal) (Plugin, error) {
	refused, err := h.admit(p)
	if refused != nil || err != nil {
		h.free(p.newer)
	}
	if err != nil {
		return Plugin{}, err
	}
	if refused != nil {
		return Plugin{}, h.refuse(p.file, refused)
	}
	h.folders.sweep()
	return h.view(p.file), nil
}

// free lets a module go that did not come into the catalog.
func (h *Host) free(m *module) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m != nil && h.modules[partOf{m.name, m.digest}] != m {
		h.retire(m)
	}
}

// refuse tells of a proposal that was refused.
func (h *Host) refuse(file string, cause error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.options.Logger.Error("a plugin was refused", "file", file, "error", cause, "old_serves", h.serving(file) != nil)
	h.options.Meter.Plugin(nameOf(file)).Loaded(LoadRefused)
	h.forget(file)
	return refusedFor(nameOf(file), cause)
}

// forget drops a plugin of which nothing is known. REQUIRES: h.mu.
func (h *Host) forget(file string) {
	if p := h.plugins[file]; p != nil && p.gone && p.newer == nil && h.ledger.Plugins[nameOf(file)] == nil {
		delete(h.plugins, file)
	}
}

// startCanary has a share of the new runs begin on a module.
func (h *Host) startCanary(file string, m *module, d *Deployment) (Plugin, error) {
	h.mu.Lock()
	next := h.ledger.clone()
	e := next.entry(d.Plugin)
	again := e.Canary != nil && e.Canary.Digest == m.digest
	h.mu.Unlock()
	if !again {
		alone := h.applicants(&proposal{file: file, newer: m})
		for i := range alone {
			if alone[i].file != file {
				alone[i].newer = nil
			}
		}
		if cause := admit(alone, h.Catalog(), nil, h.defaults()).refused[file]; cause != nil {
			h.free(m)
			return Plugin{}, h.refuse(file, cause)
		}
	}
	a := activation{Digest: m.digest, At: h.now(), How: HowCanary, By: d.By}
	e.add(m.version(a))
	if cause := h.comeBack(next, m); cause != nil && !again && !d.Force {
		h.free(m)
		return Plugin{}, h.refuse(file, cause)
	}
	e.Canary = &trialEntry{Digest: m.digest, Share: d.Canary, At: a.At, By: d.By}
	if err := h.install(next, nil, m); err != nil {
		h.free(m)
		return Plugin{}, err
	}
	m.meter.Loaded(LoadCanary)
	h.options.Logger.Info("a canary is on trial", "file", file, "digest", digestOf(m.digest), "share", d.Canary)
	return h.view(file), nil
}

// comeBack says which runs of an earlier trial of a module would come back to it from what serves, with objects that it does not read.
func (h *Host) comeBack(l *ledger, m *module) error {
	var faults []error
	for i := range m.manifest.Workflows {
		w := &m.manifest.Workflows[i]
		def := l.supposed(w.Name, partOf{m.name, m.digest})
		unread := unreadBy(w, l.entry(m.name).Objects[w.Name])
		if len(unread) == 0 || l.kept(w.Name, def.Digest) {
			continue
		}
		if n := h.pinned(w.Name, def.Digest); n > 0 {
			faults = append(faults, &leftError{
				left: []runtime.Left{{Workflow: w.Name, Runs: n}},
				why: "runs of its last trial have gone over to what serves and would come back, and may have objects of version " + numbers(unread) +
					", which it does not say that it reads",
				hint: "say that it reads them (w.Objects), let those runs end, or force it (--force)",
			})
		}
	}
	return errors.Join(faults...)
}

// Promote has the canary of a plugin serve all runs, those under way too. It returns the plugin as it then is, ErrUnknownPlugin,
// a *runtime.InvalidError when there is no canary, or a *RefusedError.
func (h *Host) Promote(ctx context.Context, plugin string, o Order) (Plugin, error) {
	h.change.Lock()
	defer h.change.Unlock()
	e, err := h.known(ctx, plugin)
	if err != nil {
		return Plugin{}, err
	}
	if e.Canary == nil {
		return Plugin{}, &runtime.InvalidError{Field: "plugin", Cause: plugin + " has no canary to promote"}
	}
	m, err := h.again(ctx, plugin, e.Canary.Digest)
	if err != nil {
		return Plugin{}, h.refuse(plugin+extension, err)
	}
	return h.propose(&proposal{file: plugin + extension, newer: m, forced: o.Force, tried: true, how: HowPromote, by: o.By})
}

// Rollback has an earlier version of a plugin serve again: the one whose digest begins with to, or, when to is empty, ends the
// trial of the canary if there is one, and else has the version before serve. What it loads is what was kept. It returns the
// plugin as it then is, ErrUnknownPlugin, a *runtime.InvalidError when there is no such version, or a *RefusedError. Ending a
// trial is never refused.
func (h *Host) Rollback(ctx context.Context, plugin, to string, o Order) (Plugin, error) {
	h.change.Lock()
	defer h.change.Unlock()
	e, err := h.known(ctx, plugin)
	if err != nil {
		return Plugin{}, err
	}
	if to == "" && e.Canary != nil {
		return h.endCanary(plugin, "an operator rolled it back")
	}
	v, err := e.choose(to)
	if err != nil {
		return Plugin{}, err
	}
	if v.Digest == e.Active.Digest {
		return h.view(plugin + extension), nil
	}
	m, err := h.again(ctx, plugin, v.Digest)
	if err != nil {
		return Plugin{}, h.refuse(plugin+extension, err)
	}
	return h.propose(&proposal{file: plugin + extension, newer: m, forced: o.Force, how: HowRollback, by: o.By})
}

// minDigest is how many digits of a digest name a version.
const minDigest = 6

// choose returns the version whose digest begins with to, or the one before the active one when to is empty.
func (e *entry) choose(to string) (*version, error) {
	if to == "" {
		if v := e.previous(); v != nil {
			return v, nil
		}
		return nil, &runtime.InvalidError{Field: "to", Cause: "is empty, and there is no version before the one that serves"}
	}
	var found *version
	for i := range e.Versions {
		if v := &e.Versions[i]; strings.HasPrefix(v.Digest.String(), strings.ToLower(to)) {
			if found != nil {
				return nil, &runtime.InvalidError{Field: "to", Cause: fmt.Sprintf("%.64q begins the digests of several versions; give more of it", to)}
			}
			found = v
		}
	}
	switch {
	case len(to) < minDigest:
		return nil, &runtime.InvalidError{Field: "to", Cause: fmt.Sprintf("has fewer than %d digits of a digest", minDigest)}
	case found == nil:
		known := make([]string, len(e.Versions))
		for i := range e.Versions {
			known[i] = digestOf(e.Versions[i].Digest)
		}
		return nil, &runtime.InvalidError{Field: "to", Cause: fmt.Sprintf("%.64q begins the digest of no version that is kept; there are %s",
			to, strings.Join(known, ", "))}
	}
	return found, nil
}

// Remove has a plugin serve no longer, and forgets its versions. A file of it that lies in the plugins directory is not loaded
// again until it changes. It returns ErrUnknownPlugin, or a *RefusedError with counts while runs need the plugin.
func (h *Host) Remove(ctx context.Context, plugin string, o Order) error {
	h.change.Lock()
	defer h.change.Unlock()
	e, err := h.known(ctx, plugin)
	if err != nil {
		return err
	}
	file := plugin + extension
	if err := h.stillNeeded(plugin); err != nil {
		return h.refuse(file, err)
	}
	if e.Active == (activation{}) {
		return nil // it was removed already, and its file lies there still
	}
	if _, err := h.propose(&proposal{file: file, by: o.By}); err != nil {
		return err
	}
	h.options.Logger.Info("a plugin was removed", "file", file, "by", o.By)
	h.options.Meter.Plugin(plugin).Loaded(LoadRemoved)
	return nil
}

// stillNeeded says which earlier definitions, that runs need, are made of a plugin.
func (h *Host) stillNeeded(plugin string) error {
	h.mu.Lock()
	older := h.ledger.clone().Older
	h.mu.Unlock()
	var faults []error
	for workflow, definitions := range older {
		for _, def := range definitions {
			if !slices.ContainsFunc(def.Parts, func(p partOf) bool { return p.Plugin == plugin }) {
				continue
			}
			if left := h.need(workflow, def); len(left) > 0 {
				faults = append(faults, &leftError{
					left: left, why: "runs go by its earlier version " + digestOf(def.Digest), hint: "let them end, or cancel them",
				})
			}
		}
	}
	return errors.Join(faults...)
}

// known returns a copy of what the ledger has of a plugin. REQUIRES: h.change.
func (h *Host) known(ctx context.Context, plugin string) (*entry, error) {
	if err := h.ready(ctx); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.ledger.clone().Plugins[plugin]
	if e == nil {
		return nil, fmt.Errorf("%w: %.80q", ErrUnknownPlugin, plugin)
	}
	return e, nil
}

// again returns the module of a version, from the catalog or the archive, when it is kept with a signature that is trusted now.
func (h *Host) again(ctx context.Context, plugin string, d runtime.Digest) (*module, error) {
	if m := h.loaded(plugin, d); m != nil {
		raw, err := h.archive.get(d)
		if err == nil {
			err = h.archive.verify(d, raw, h.tuned.Load().TrustedKeys)
		}
		return m, err
	}
	return h.restore(ctx, partOf{plugin, d})
}
