package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wfrt/wfrt/host/internal/rewrite"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// module is the compiled form of one module file, with its instances. It has a wazero runtime and engine of its own:
// closing it touches no other module, even one of the same bytes, and its memory limit is its own.
type module struct {
	host         *Host
	name         string // the file's name without ".wasm"
	file         string // the file's name
	digest       runtime.Digest
	size         int64
	manifest     *abi.Manifest
	raw          []byte // of the file, until it is in the archive
	signature    []byte // of raw, until it is in the archive
	meter        PluginMeter
	initialized  int64                  // bytes of memory of the first instance, when it had told its manifest
	limits       atomic.Pointer[Limits] // replaced by Tune as a whole; its fixed part never changes
	isolation    Isolation
	globals      []rewrite.Global // of the guest, that a snapshot has
	unrestorable string           // why there can be no snapshot; "": there can be one
	snapshot     *snapshot        // nil but with IsolationFresh
	pool         *pool

	wazero   wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule
	config   wazero.ModuleConfig // of instances

	bound *runtime.Module // what the engine keeps to; one for all handlers
	caps  atomic.Pointer[capabilities]

	unmeasured atomic.Bool // it was logged that its measurements are not taken
	totals     *totals     // of the plugin
}

// totals are what a plugin has done since the process began, by whichever module.
type totals struct {
	invocations atomic.Uint64
	traps       atomic.Uint64            // invocations that the guest did not survive
	fuel        atomic.Uint64            // used, also to initialise instances
	exceeded    [numLimits]atomic.Uint64 // invocations that exceeded a limit
}

// build takes a module through its stages. A module that comes out of it can be invoked; of one that does not, nothing is
// left.
func (h *Host) build(ctx context.Context, src *source) (_ *module, err error) {
	name := nameOf(src.file)
	tuned := h.tuned.Load()
	own := tuned.override(name)
	m := &module{
		host: h, file: src.file, name: name, digest: src.digest, size: int64(len(src.raw)), meter: h.options.Meter.Plugin(name),
		pool:  newPool(own.Limits.Instances, h.options.Clock),
		bound: &runtime.Module{Instances: own.Limits.Instances}, totals: new(totals),
		config: wazero.NewModuleConfig().WithName("").WithStartFunctions(), // none: newInstance calls _initialize, with everything in place
	}
	m.limits.Store(&own.Limits)
	h.folders.enter(m.digest)
	h.beingBuilt(src.file, 1)
	defer h.beingBuilt(src.file, -1)
	defer func() {
		if err != nil {
			m.free(ctx)
			err = shortened(err)
		}
	}()
	// The file that meets a fault of any stage must not stop the server.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it could not be made ready: %v", r)
		}
	}()
	// The memory's maximum is not written into the module: its growth is refused by the host, which then knows of it.
	rewritten, err := h.rewrite(src.raw, rewrite.Limits{MemoryPages: maxMemory / pageBytes, Depth: uint32(own.Limits.CallDepth)})
	if err != nil {
		return nil, err
	}
	m.globals, m.unrestorable = rewritten.Globals, rewritten.Unrestorable
	h.options.Logger.Debug("a plugin is compiled", "file", m.file, "digest", digestOf(m.digest), "bytes", m.size)
	if err := m.compile(ctx, rewritten.Binary); err != nil {
		return nil, err
	}
	if err := m.checkImports(); err != nil {
		return nil, err
	}
	if err := m.checkExports(); err != nil {
		return nil, err
	}
	if err := m.provideImports(ctx); err != nil {
		return nil, err
	}
	if initial := m.initialMemory(); initial > own.Limits.MemoryBytes {
		return nil, &LimitError{Limit: LimitMemory, Used: uint64(initial), Max: uint64(own.Limits.MemoryBytes)}
	}
	first, err := m.newInstance(ctx)
	if err != nil {
		return nil, err
	}
	m.manifest, err = first.askManifest(ctx)
	if err != nil {
		first.close()
		return nil, err
	}
	m.initialized = int64(first.guest.Memory().Size())
	m.caps.Store(newCapabilities(m.name, m.manifest, tuned.Grants[m.name], tuned.Secrets))
	if m.isolation = isolationOf(own.Isolation, m.manifest); m.isolation == IsolationFresh {
		if first, err = m.renewed(ctx, first); err != nil {
			return nil, err
		}
	}
	if first != nil {
		m.pool.idle = append(m.pool.idle, first) // warm: the first invocation finds it
	}
	h.memory.enter(m.pool)
	return m, nil
}

// shortened returns an error as it is, or only the beginning of its text when a module has made it long, by names or by their number.
func shortened(err error) error {
	text := err.Error()
	if len(text) <= maxReason {
		return err
	}
	return errors.New(cutText(text, maxReason) + " …")
}

// beingBuilt notes that a module is being made of a file, by 1, or no longer, by −1.
func (h *Host) beingBuilt(file string, by int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.building[file] += by; h.building[file] == 0 {
		delete(h.building, file)
	}
}

// retire refuses further invocations and lets those under way end. Who retires a module calls freeWhenDrained afterwards.
func (m *module) retire() {
	m.host.memory.leave(m.pool)
	m.pool.retire()
}

// initialMemory returns the size of the memory that an instance begins with, in bytes.
func (m *module) initialMemory() int64 {
	return int64(m.compiled.ExportedMemories()[abi.ExportMemory].Min()) * pageBytes
}

// freeWhenDrained waits until the last invocation of a retired module has ended, and leaves nothing of it.
func (m *module) freeWhenDrained() {
	<-m.pool.drained
	m.free(context.Background())
}

// free gives back what is no instance. No call may be under way. It is called once.
func (m *module) free(ctx context.Context) {
	if c := m.caps.Load(); c != nil {
		c.close()
	}
	m.discard(ctx)
	m.forget()
	m.host.folders.leave(m.digest)
}

// discard frees what compileWith made.
func (m *module) discard(ctx context.Context) {
	if m.wazero != nil {
		_ = m.wazero.Close(ctx)
	}
	if m.cache != nil {
		_ = m.cache.Close(ctx)
	}
}

// compile makes machine code of the module, or takes it from its folder on disk.
func (m *module) compile(ctx context.Context, raw []byte) error {
	folder := m.host.folders.path(m.digest)
	if folder == "" {
		return m.compileWith(ctx, raw, "")
	}
	_, statErr := os.Stat(folder)
	err := m.compileWith(ctx, raw, folder)
	if err == nil || ctx.Err() != nil {
		return err
	}
	// What lies in the folder may be damaged, or the folder not writable; neither is the module's fault.
	logger := m.host.options.Logger.With("file", m.file, "cache_dir", folder)
	if statErr == nil && os.RemoveAll(folder) == nil {
		m.discard(ctx)
		if m.compileWith(ctx, raw, folder) == nil {
			logger.Warn("the compiled form of a module on disk was damaged; it was made anew", "error", err)
			return nil
		}
	}
	m.discard(ctx)
	if err := m.compileWith(ctx, raw, ""); err != nil {
		return err
	}
	logger.Warn("the compiled form of a module cannot be kept on disk, so every start compiles it: make the cache directory "+
		"writable", "error", err)
	return nil
}

// versionKnown has wazero find out its own version, which it keeps where nothing guards it: modules are compiled side by side.
var versionKnown = sync.OnceFunc(func() { _ = wazero.NewRuntime(context.Background()).Close(context.Background()) }) //nolint:gochecknoglobals // as wazero's is

func (m *module) compileWith(ctx context.Context, raw []byte, cacheDir string) (err error) {
	// Neither a fault in the compiler nor what a damaged file makes its reader do may stop the server.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the compiler failed on it: %v", r)
		}
	}()
	config := wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithDebugInfoEnabled(false)
	m.cache = nil
	if cacheDir != "" {
		if m.cache, err = wazero.NewCompilationCacheWithDir(cacheDir); err != nil {
			return fmt.Errorf("cache: %w", err)
		}
		config = config.WithCompilationCache(m.cache)
	}
	m.wazero = wazero.NewRuntimeWithConfig(ctx, m.host.engine(config))
	m.compiled, err = m.wazero.CompileModule(experimental.WithCompilationWorkers(ctx, goruntime.GOMAXPROCS(0)), raw)
	if err != nil {
		return fmt.Errorf("it is not a module of WebAssembly 2.0 within the limits: %w", err)
	}
	return nil
}

// checkImports refuses what the host does not have, and names all of it.
func (m *module) checkImports() error {
	known := hostFunctions()
	var faults []error
	for _, f := range m.compiled.ImportedFunctions() {
		from, name, _ := f.Import()
		functions, ok := known[from]
		if !ok {
			faults = append(faults, fmt.Errorf("it imports %s.%s; a plugin imports from %s and %s only", from, name,
				abi.ImportModule, wasiModule))
			continue
		}
		at := slices.IndexFunc(functions, func(h hostFunction) bool { return h.name == name })
		if at < 0 {
			faults = append(faults, fmt.Errorf("it imports %s.%s, which this server does not have: was it built for a newer one?",
				from, name))
			continue
		}
		want := &functions[at]
		if !slices.Equal(f.ParamTypes(), want.parameterTypes()) || !slices.Equal(f.ResultTypes(), want.resultTypes()) {
			faults = append(faults, fmt.Errorf("it imports %s.%s as another type of function than docs/abi.md says", from, name))
		}
	}
	if len(m.compiled.ImportedMemories()) > 0 {
		faults = append(faults, errors.New("it imports its memory; a plugin has its own and exports it"))
	}
	return errors.Join(faults...)
}

// checkExports wants what docs/abi.md, section 1, says.
func (m *module) checkExports() error {
	exports := m.compiled.ExportedFunctions()
	var faults []error
	want := func(name string, required bool, parameters, results []api.ValueType) {
		f, ok := exports[name]
		switch {
		case !ok && required:
			faults = append(faults, fmt.Errorf("it does not export the function %s", name))
		case ok && (!slices.Equal(f.ParamTypes(), parameters) || !slices.Equal(f.ResultTypes(), results)):
			faults = append(faults, fmt.Errorf("its export %s has another type than docs/abi.md says", name))
		}
	}
	i32 := []api.ValueType{api.ValueTypeI32}
	want(abi.ExportInitialize, false, nil, nil)
	want(abi.ExportManifest, true, nil, nil)
	want(abi.ExportInvoke, true, i32, i32)
	want(abi.ExportWarm, false, nil, nil)
	if _, ok := m.compiled.ExportedMemories()[abi.ExportMemory]; !ok {
		faults = append(faults, fmt.Errorf("it does not export a memory as %q", abi.ExportMemory))
	}
	for name := range exports {
		if strings.HasPrefix(name, abi.ReservedExportPrefix) {
			faults = append(faults, fmt.Errorf("its export %q begins with %q, which is the server's", name, abi.ReservedExportPrefix))
		}
	}
	if _, program := exports["_start"]; program && len(faults) > 0 {
		faults = append(faults, errors.New("it is a program; build a reactor: go build -buildmode=c-shared (wfrt build does)"))
	} else if len(faults) > 0 {
		faults = append(faults, errors.New("build it with the SDK (wfrt build), or see docs/abi.md"))
	}
	return errors.Join(faults...)
}

// hostFunction is a function that guests can import. Types are written as one letter for each value: i is i32, I is i64.
type hostFunction struct {
	name       string
	parameters string
	results    string
	call       func(i *instance, guest api.Module, stack []uint64)
}

// hostFunctions returns all that can be imported, by import module.
func hostFunctions() map[string][]hostFunction {
	return map[string][]hostFunction{
		abi.ImportModule: fieldFunctions(), wasiModule: wasiFunctions(),
		rewrite.HostModule: {{rewrite.YieldFunction, "i", "", yield}},
	}
}

func (f *hostFunction) parameterTypes() []api.ValueType { return valueTypes(f.parameters) }
func (f *hostFunction) resultTypes() []api.ValueType    { return valueTypes(f.results) }

func valueTypes(letters string) []api.ValueType {
	types := make([]api.ValueType, len(letters))
	for i, letter := range letters {
		types[i] = api.ValueTypeI32
		if letter == 'I' {
			types[i] = api.ValueTypeI64
		}
	}
	return types
}

// Call implements api.GoModuleFunction: every host function begins here.
func (f *hostFunction) Call(ctx context.Context, guest api.Module, stack []uint64) {
	i := ctx.(*instance) //nolint:forcetypeassert // guests are called with their instance only
	i.checkpoint()
	i.checkStack(guest)
	if f.name != rewrite.YieldFunction {
		i.chargeCall()
	}
	f.call(i, guest, stack)
}

func (m *module) provideImports(ctx context.Context) error {
	for name, functions := range hostFunctions() {
		builder := m.wazero.NewHostModuleBuilder(name)
		for at := range functions {
			f := &functions[at]
			builder.NewFunctionBuilder().WithGoModuleFunction(f, f.parameterTypes(), f.resultTypes()).Export(f.name)
		}
		if _, err := builder.Instantiate(ctx); err != nil {
			return fmt.Errorf("provide %s: %w", name, err)
		}
	}
	return nil
}

// askManifest calls wfrt_manifest and checks what it writes.
func (i *instance) askManifest(ctx context.Context) (*abi.Manifest, error) {
	i.begin(phaseManifest, ctx.Done())
	defer i.end()
	describe := i.guest.ExportedFunction(abi.ExportManifest)
	i.stack.of(describe)
	defer i.stack.of(i.invoke)
	if err := describe.CallWithStack(i, nil); err != nil {
		return nil, i.explain(ctx, abi.ExportManifest, err)
	}
	if i.call.manifest == nil {
		return nil, fmt.Errorf("it wrote no manifest in %s", abi.ExportManifest)
	}
	return parseManifest(i.call.manifest)
}

// digestOf shortens a digest for people.
func digestOf(d runtime.Digest) string { return d.String()[:min(12, len(d.String()))] }
