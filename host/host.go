package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/runtime"
)

// extension is how the name of a plugin's file ends.
const extension = ".wasm"

// nameOf returns the name of the plugin in a file.
func nameOf(file string) string { return strings.TrimSuffix(file, extension) }

// A change within this time of the last reading may leave a file's size and time as they were, on file systems with coarse
// times; such a file is read once more.
const racyFor = 2 * time.Second

var errClosed = errors.New("host: it is closed")

// Host runs the plugins of one directory. All its methods may be called from many goroutines.
type Host struct {
	options Options // but for what is tunable
	began   time.Time
	catalog atomic.Pointer[runtime.Catalog]
	memory  *budget                 // of the instances of all modules
	turns   *turns                  // of guests that compute for long
	folders *folders                // of the compiled forms of modules on disk
	tuned   atomic.Pointer[Options] // what is tunable, as it is now; replaced as a whole

	scan sync.Mutex // held for the whole of a scan: there is one at a time

	mu       sync.Mutex         // guards the fields below; never held while a file is read or compiled
	plugins  map[string]*plugin // by file name
	waiting  map[string]error   // workflow → what it lacks
	retuned  bool               // the next Load makes a new catalog in any case
	held     bool               // the last admission met runs that stood in its way: they may be gone by the next Load
	draining sync.WaitGroup     // modules that are retired and not yet freed
	closed   bool
}

// plugin is what the host knows of one file. Its fields are written under Host.scan and Host.mu.
type plugin struct {
	file     string
	seen     stamp          // the state of the file that was last read
	readAt   time.Time      // when
	settled  bool           // no need to read that state again
	tried    runtime.Digest // of what was read then; zero when it could not be read or is not trusted
	serving  *module        // nil: nothing serves
	newer    *module        // loaded from the file as it lies, but refused: tried again when other files change
	err      error          // why the file as it lies does not serve; nil when it does
	gone     bool           // the file is no longer in the directory
	loadedAt time.Time      // when serving began to
	totals   *totals        // of all its modules; the pointer never changes
}

// New returns a host of the given options. It reads nothing yet: Load does. The caller closes it.
func New(options Options) (*Host, error) {
	options.EnsureDefaults()
	if err := options.Validate(); err != nil {
		return nil, err
	}
	h := &Host{
		options: options, began: options.Clock.Now(), memory: newBudget(options.TotalMemoryBytes), turns: newTurns(),
		folders: &folders{dir: options.CacheDir, logger: options.Logger}, plugins: make(map[string]*plugin),
	}
	h.catalog.Store(runtime.NewCatalog())
	tuned := options.Tunable()
	h.tuned.Store(&tuned)
	return h, nil
}

// Catalog returns what is served. A later swap does not change it.
func (h *Host) Catalog() *runtime.Catalog { return h.catalog.Load() }

// Load brings the catalog up to date with the directory: files that are new or have changed since the last Load are read,
// checked, compiled and, if everything fits, served; modules that Options.InUse kept out are tried again. It returns an
// error only when the directory cannot be read, ctx ends or the host is closed; what is wrong with single files is in
// Plugins, in the log, and does not keep the others from serving.
//
// Modules that the new catalog no longer holds end their invocations and are freed by themselves.
func (h *Host) Load(ctx context.Context) error {
	h.scan.Lock()
	defer h.scan.Unlock()
	if h.isClosed() {
		return errClosed
	}
	files, err := h.list()
	if err != nil {
		return fmt.Errorf("host: read the plugins directory: %w", err)
	}
	changed, dropped := h.notice(files)
	if len(changed) == 0 && !dropped && !h.isHeld() {
		return nil
	}
	h.loadAll(ctx, changed, files)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("host: load: %w", context.Cause(ctx))
	}
	h.swap()
	h.folders.sweep()
	return nil
}

// Close refuses new invocations, waits until those under way have ended, and frees everything. When ctx ends first, it
// returns the cause, and what is left is freed as its invocations end.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	free := make(chan struct{})
	go func() {
		defer close(free)
		h.scan.Lock() // a scan under way ends first; no other begins
		h.folders.keep()
		h.retireAll()
		h.scan.Unlock()
		h.draining.Wait()
	}()
	select {
	case <-free:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("host: close: invocations are still under way: %w", context.Cause(ctx))
	}
}

func (h *Host) retireAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.plugins {
		h.retire(p.serving)
		h.retire(p.newer)
		p.serving, p.newer = nil, nil
	}
}

func (h *Host) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// isHeld reports whether a new catalog may be due although no file has changed.
func (h *Host) isHeld() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held || h.retuned
}

// retire lets a module go. REQUIRES: h.mu.
func (h *Host) retire(m *module) {
	if m == nil {
		return
	}
	m.retire()
	h.draining.Go(func() {
		m.freeWhenDrained()
		h.folders.sweep()
	})
}

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

// notice compares the files with what is known of them, and returns the names of those to read, in alphabetical order. A
// file that is gone goes on serving; what was refused of it is dropped, which may let another in.
func (h *Host) notice(files map[string]stamp) (changed []string, dropped bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, p := range h.plugins {
		_, there := files[name]
		if there || p.gone {
			p.gone = p.gone && !there
			continue
		}
		dropped = dropped || p.newer != nil
		h.retire(p.newer)
		*p = plugin{file: name, gone: true, serving: p.serving, loadedAt: p.loadedAt, totals: p.totals}
		if p.serving == nil {
			delete(h.plugins, name)
			continue
		}
		h.options.Logger.Warn("a plugin's file was removed; it serves until the server restarts", "file", name)
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

// loadOne reads a file and, when its content is another than what serves, makes a module of it, which waits for its
// admission.
func (h *Host) loadOne(ctx context.Context, name string, seen stamp) {
	h.mu.Lock()
	p := h.plugins[name]
	if p == nil {
		p = &plugin{file: name, totals: new(totals)}
		h.plugins[name] = p
	}
	serving, newer, old := p.serving, p.newer, *p
	h.mu.Unlock()

	readAt := h.options.Clock.Now()
	again := old.seen.same(seen) // the same state of the file is read a second time: see racyFor
	var m *module
	var tried runtime.Digest
	path := filepath.Join(h.options.Dir, name)
	src, err := readSource(path, name, h.options.override(nameOf(name)).Limits.ModuleBytes)
	if err == nil {
		err = src.verify(path, h.tuned.Load().TrustedKeys)
	}
	if err == nil {
		tried = src.digest
		switch {
		case newer != nil && newer.digest == tried:
			m, err = newer, old.err
		case serving != nil && serving.digest == tried: // what serves already
		case again && old.tried == tried: // as bad as before
			err = old.err
		default:
			if m, err = h.build(ctx, src); err == nil {
				m.totals = old.totals
			}
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
		h.options.Meter.Plugin(nameOf(name)).Loaded(false)
	}
}

// swap admits what can be admitted and puts the new catalog in the place of the old one.
func (h *Host) swap() {
	h.mu.Lock()
	names := slices.Sorted(maps.Keys(h.plugins))
	applicants := make([]applicant, 0, len(names))
	for _, name := range names {
		p := h.plugins[name]
		applicants = append(applicants, applicant{file: name, serving: p.part(p.serving), newer: p.part(p.newer)})
	}
	h.mu.Unlock()

	result := admit(applicants, h.Catalog(), h.options.InUse, h.defaults())
	retired, news := h.apply(names, result)
	if !news {
		return
	}
	catalog := runtime.NewCatalog(result.merged.workflows...)
	h.catalog.Store(catalog)
	if h.options.OnCatalog != nil {
		h.options.OnCatalog(catalog)
	}
	// Only now: whoever looks a step up from here on finds the new module.
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range retired {
		h.retire(m)
	}
}

// apply writes the result of an admission to the plugins. It returns the modules that serve no longer, and whether there is
// anything new to serve, or to serve otherwise.
func (h *Host) apply(names []string, result admission) (retired []*module, news bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for workflow, lack := range result.merged.incomplete {
		if old := h.waiting[workflow]; old == nil || old.Error() != lack.Error() {
			h.options.Logger.Warn("a workflow is not served yet", "workflow", workflow, "error", lack)
		}
	}
	h.waiting, h.held = result.merged.incomplete, result.held
	for _, name := range names {
		p := h.plugins[name]
		logger := h.options.Logger.With("file", name)
		switch cause := result.refused[name]; {
		case cause != nil:
			if p.err == nil || p.err.Error() != cause.Error() {
				logger.Error("a plugin was refused", "error", cause, "old_serves", p.serving != nil)
				p.newer.meter.Loaded(false)
			}
			p.err = cause
		case result.admitted[name]:
			news = true
			logger.Info("a plugin serves", "digest", digestOf(p.newer.digest), "replaces_another", p.serving != nil)
			if p.serving != nil {
				retired = append(retired, p.serving)
			}
			p.serving, p.newer, p.err = p.newer, nil, nil
			p.loadedAt = h.options.Clock.Now().UTC()
			p.serving.meter.Loaded(true)
		}
	}
	news = news || h.retuned
	h.retuned = false
	return retired, news
}

func (h *Host) defaults() defaults {
	tuned := h.tuned.Load()
	return defaults{retry: tuned.DefaultRetry, lagAlert: tuned.DefaultLagAlert, parallel: tuned.DefaultParallelism, steps: tuned.Steps}
}

// part is what a module of the plugin brings to the merge.
func (p *plugin) part(m *module) *part {
	if m == nil {
		return nil
	}
	return &part{
		file: p.file, digest: m.digest, manifest: m.manifest, gone: p.gone,
		module:  m.bound,
		invoker: func(id int32) runtime.Invoker { return &invoker{module: m, id: id} },
	}
}
