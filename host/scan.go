package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/runtime"
)

// A change within this time of the last reading may leave a file's size and time as they were, on file systems with coarse
// times; such a file is read once more.
const racyFor = 2 * time.Second

// list returns the state of every plugin file. A directory that does not exist is empty.
func (h *Host) list() (map[string]stamp, error) {
	entries, err := os.ReadDir(h.options.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files := make(map[string]stamp)
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, extension) || strings.HasPrefix(name, ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(h.options.Dir, name)) // follows links, which entry.Info does not
		if err != nil || info.IsDir() {
			continue // gone since, or a link to nowhere
		}
		state := stamp{info: info}
		if len(h.tuned.Load().TrustedKeys) > 0 {
			if state.signature, err = os.Stat(filepath.Join(h.options.Dir, name+signature.Extension)); err != nil {
				state.signature = nil
			}
		}
		files[name] = state
	}
	return files, nil
}

// notice compares the files with what is known of them, and returns the names of those to read, in alphabetical order. What
// serves goes on when its file is gone; what was refused of the file is dropped, which may let another in.
func (h *Host) notice(files map[string]stamp) (changed []string, dropped bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, p := range h.plugins {
		if _, there := files[name]; there || p.gone {
			p.gone = p.gone && !there
			continue
		}
		dropped = dropped || p.newer != nil || h.serving(name) == nil
		h.retire(p.newer)
		*p = plugin{file: name, gone: true, totals: p.totals, trial: p.trial}
		if h.serving(name) != nil {
			h.options.Logger.Info("a plugin's file was removed; its module serves on", "file", name)
		}
	}
	for name, now := range files {
		p := h.plugins[name]
		if p == nil || !p.seen.same(now) || !p.settled && h.options.Clock.Now().Sub(p.readAt) > racyFor {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return changed, dropped
}

// loadAll loads the named files, as many at a time as there are processors.
func (h *Host) loadAll(ctx context.Context, names []string, files map[string]stamp) {
	var loaders sync.WaitGroup
	places := make(chan struct{}, goruntime.GOMAXPROCS(0))
	for _, name := range names {
		places <- struct{}{}
		loaders.Go(func() {
			defer func() { <-places }()
			h.loadOne(ctx, name, files[name])
		})
	}
	loaders.Wait()
}

// loadOne reads a file and, when its content is another than what serves or was dealt with, makes a module of it, which waits
// for its admission.
func (h *Host) loadOne(ctx context.Context, name string, seen stamp) {
	h.mu.Lock()
	p := h.plugin(name)
	p.gone = false
	serving, newer, old := h.serving(name), p.newer, *p
	dealtWith := runtime.Digest{}
	if e := h.ledger.Plugins[nameOf(name)]; e != nil && (serving != nil || e.Active == (activation{})) {
		dealtWith = e.Seen
	}
	h.mu.Unlock()

	readAt := h.options.Clock.Now()
	again := old.seen.same(seen) // the same state of the file is read a second time: see racyFor
	var m *module
	var tried runtime.Digest
	path := filepath.Join(h.options.Dir, name)
	src, err := readSource(path, name, h.tuned.Load().override(nameOf(name)).Limits.ModuleBytes)
	if err == nil {
		err = src.verify(path, h.tuned.Load().TrustedKeys)
	}
	if err == nil && serving != nil && serving.digest == src.digest { // it may have been signed anew
		err = h.archive.sign(src.digest, src.signature)
	}
	if err == nil {
		tried = src.digest
		switch {
		case newer != nil && newer.digest == tried:
			m, err = newer, old.err
		case serving != nil && serving.digest == tried: // what serves already
		case dealtWith == tried: // an operator has had another serve since
		case again && old.tried == tried: // as bad as before
			err = old.err
		default:
			m, err = h.prepare(ctx, src, old.totals, false)
		}
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	if newer != m {
		h.retire(newer)
	}
	p.newer, p.err, p.seen, p.readAt, p.tried = m, err, seen, readAt, tried
	p.settled = again || !seen.changedSince(readAt.Add(-racyFor))
	if ctx.Err() != nil {
		p.seen = stamp{} // not the file's fault: it is read again
		return
	}
	if err != nil && m == nil && (old.err == nil || old.err.Error() != err.Error()) {
		h.options.Logger.Error("a plugin's file cannot be served", "file", name, "error", err, "old_serves", serving != nil)
		h.options.Meter.Plugin(nameOf(name)).Loaded(LoadRefused)
	}
}

// prepare takes a source through every stage before the admission: what build does, and the module's own test of itself, which does not
// keep it out when it is forced.
func (h *Host) prepare(ctx context.Context, src *source, of *totals, forced bool) (*module, error) {
	m, err := h.build(ctx, src)
	if err != nil {
		return nil, err
	}
	err = m.testSelf(ctx)
	if forced && errors.Is(err, errOwnTest) {
		h.options.Logger.Warn("a plugin that fails its own test was forced", "file", src.file, "digest", digestOf(src.digest), "error", err)
		err = nil
	}
	if err != nil {
		m.retire()
		m.freeWhenDrained()
		return nil, err
	}
	m.totals, m.raw, m.signature = of, src.raw, src.signature
	return m, nil
}

var errOwnTest = errors.New("its own test fails")

// testSelf has the module test itself, within the limits of an invocation. A module without such a test passes.
func (m *module) testSelf(ctx context.Context) error {
	if m.manifest.SelfTest == nil {
		return nil
	}
	now := m.host.options.Clock.Now()
	in := runtime.Invocation{
		Handler: &runtime.Handler{Kind: runtime.HandlerSelfTest, Name: "self-test", Digest: m.digest, Plugin: m.file},
		Record:  &runtime.Record{Object: []byte("null")}, Attempt: 1, Now: now,
	}
	var out runtime.Outcome
	if err := (&invoker{module: m, id: *m.manifest.SelfTest}).Invoke(ctx, &in, &out); err != nil {
		return err
	}
	if out.Kind != runtime.OutcomeDone {
		return fmt.Errorf("%w: %s", errOwnTest, out.Reason)
	}
	return nil
}
