package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wfrt/wfrt/host/internal/rewrite"
	"github.com/wfrt/wfrt/runtime"
)

// extension is how the name of a plugin's file ends.
const extension = ".wasm"

// nameOf returns the name of the plugin in a file.
func nameOf(file string) string { return strings.TrimSuffix(file, extension) }

var errClosed = errors.New("host: it is closed")

// Host runs plugins: those that its ledger says serve, and those of one directory. All its methods may be called from many
// goroutines.
type Host struct {
	options Options // but for what is tunable
	began   time.Time
	catalog atomic.Pointer[runtime.Catalog]
	memory  *budget                 // of the instances of all modules
	turns   *turns                  // of guests that compute for long
	folders *folders                // of the compiled forms of modules on disk
	archive *archive                // of the bytes of modules
	tuned   atomic.Pointer[Options] // options with what is tunable as it is now; replaced as a whole
	failing chan string             // plugins whose canary fails too often; read by Tend

	// Ways of doing that tests and benchmarks compare with others.
	rewrite func([]byte, rewrite.Limits) (*rewrite.Module, error)
	engine  func(wazero.RuntimeConfig) wazero.RuntimeConfig
	freeze  func([]byte) (image, error)

	change   sync.Mutex      // held for the whole of a change of what serves: there is one at a time
	restored bool            // the ledger was read; guarded by change
	idle     map[string]bool // earlier definitions that nothing needed at the last look; guarded by change

	mu         sync.Mutex         // guards the fields below; never held while a file is read or compiled
	plugins    map[string]*plugin // by file name
	modules    map[partOf]*module // that the ledger calls for and that could be made ready
	ledger     *ledger            // replaced, never changed
	made       definitions        // what the catalog was made of
	building   map[string]int     // files that modules are being made of, each as often
	waiting    map[string]error   // workflow → what it lacks
	distrusted map[partOf]error   // modules in use that would not be trusted now, and why
	retuned    bool               // the next Load makes a new catalog in any case
	held       bool               // what stood in the way of a module at the last admission may be gone by the next Load
	draining   sync.WaitGroup     // modules that are retired and not yet freed
	closed     bool
}

// plugin is what the host knows of one plugin besides its ledger. Its fields are written under Host.change and Host.mu.
type plugin struct {
	file    string
	totals  *totals        // of all its modules; the pointer never changes
	trial   *trial         // of its canary; nil: none
	err     error          // why its file as it lies, or what the ledger says serves, does not serve; nil when it does
	seen    stamp          // the state of the file that was last read
	readAt  time.Time      // when
	settled bool           // no need to read that state again
	tried   runtime.Digest // of what was read then; zero when it could not be read or is not trusted
	newer   *module        // loaded from the file as it lies, but refused: tried again when other files change
	gone    bool           // the file is not in the directory
}

// New returns a host of the given options. It reads nothing yet: Load does. The caller closes it.
func New(options Options) (*Host, error) {
	options.EnsureDefaults()
	if err := options.Validate(); err != nil {
		return nil, err
	}
	versionKnown()
	h := &Host{
		options: options, began: options.Clock.Now(), memory: newBudget(options.TotalMemoryBytes, options.Clock), turns: newTurns(),
		rewrite: rewrite.Rewrite, engine: func(c wazero.RuntimeConfig) wazero.RuntimeConfig { return c }, freeze: freeze,
		folders: &folders{dir: options.CacheDir, logger: options.Logger}, archive: &archive{dir: options.ArchiveDir},
		failing: make(chan string, 1), plugins: make(map[string]*plugin), building: make(map[string]int), modules: make(map[partOf]*module), ledger: newLedger(),
	}
	h.catalog.Store(runtime.NewCatalog())
	h.tuned.Store(&h.options)
	return h, nil
}

// Catalog returns what is served. A later swap does not change it.
func (h *Host) Catalog() *runtime.Catalog { return h.catalog.Load() }

// Load brings the catalog up to date with the directory. The first one begins with what served before: the modules that the
// ledger names, from where they are kept. Then files that are new or have changed since they were last dealt with, by this
// process or another, are read, checked, compiled and, if everything fits, served; modules that runs or a canary kept out are
// tried again. It returns an error only when the ledger or the directory cannot be read, ctx ends or the host is closed; what is
// wrong with single files is in Plugins, in the log, and does not keep the others from serving.
//
// Modules that the new catalog no longer holds end their invocations and are freed by themselves.
func (h *Host) Load(ctx context.Context) error {
	h.change.Lock()
	defer h.change.Unlock()
	if err := h.ready(ctx); err != nil {
		return err
	}
	files, err := h.list()
	if err != nil {
		return fmt.Errorf("host: read the plugins directory: %w", err)
	}
	changed, dropped := h.notice(files)
	h.loadAll(ctx, changed, files)
	if h.isDistrusted() { // it may have been signed anew, beside its file or where it is kept
		h.distrust()
	}
	if len(changed) == 0 && !dropped && !h.isHeld() {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("host: load: %w", context.Cause(ctx))
	}
	if err := h.admitFiles(); err != nil {
		return err
	}
	h.folders.sweep()
	return nil
}

// Close refuses new invocations, waits until those under way have ended, and frees everything. When ctx ends first, it
// returns the cause and what is left: that is freed as its invocations end, or as the module is made that a change under way waits
// for.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	free := make(chan struct{})
	go func() {
		defer close(free)
		h.change.Lock() // a change under way ends first; no other begins
		h.folders.keep()
		h.retireAll()
		h.change.Unlock()
		h.draining.Wait()
	}()
	select {
	case <-free:
		return nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.building) > 0 {
		return fmt.Errorf("host: close: the server still compiles %s: %w", strings.Join(slices.Sorted(maps.Keys(h.building)), ", "), context.Cause(ctx))
	}
	return fmt.Errorf("host: close: invocations are still under way: %w", context.Cause(ctx))
}

func (h *Host) retireAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.plugins {
		h.retire(p.newer)
		p.newer = nil
	}
	for key, m := range h.modules {
		h.retire(m)
		delete(h.modules, key)
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

// plugin returns what is known of a plugin, made if need be. REQUIRES: h.mu.
func (h *Host) plugin(file string) *plugin {
	p := h.plugins[file]
	if p == nil {
		p = &plugin{file: file, totals: new(totals), gone: true}
		h.plugins[file] = p
	}
	return p
}

// serving returns the module that serves for a plugin, or nil. REQUIRES: h.mu.
func (h *Host) serving(file string) *module {
	name := nameOf(file)
	return h.modules[partOf{name, h.ledger.active(name)}]
}
