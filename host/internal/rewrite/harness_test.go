package rewrite_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wfrt/wfrt/host/internal/rewrite"
)

// errDepth and errFuel are what the harness ends a guest with.
var (
	errDepth = errors.New("too deep")
	errFuel  = errors.New("out of fuel")
)

// engine runs modules with the yield function that the tests want.
type engine struct {
	wazero.Runtime
	slice  int64 // what is given when fuel is out
	slices int   // how many are given; negative: any number
	given  map[api.Module]int64
	yields int
}

func newEngine(t testing.TB) *engine {
	t.Helper()
	e := &engine{Runtime: wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2)), slice: 1 << 20, slices: -1, given: make(map[api.Module]int64)}
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	wasi_snapshot_preview1.MustInstantiate(t.Context(), e.Runtime)
	_, err := e.NewHostModuleBuilder(rewrite.HostModule).NewFunctionBuilder().WithGoModuleFunction(
		api.GoModuleFunc(e.yield), []api.ValueType{api.ValueTypeI32}, nil).Export(rewrite.YieldFunction).Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *engine) yield(_ context.Context, guest api.Module, stack []uint64) {
	e.yields++
	fuel := guest.ExportedGlobal(rewrite.FuelGlobal).(api.MutableGlobal)
	switch {
	case api.DecodeU32(stack[0]) != rewrite.YieldFuel:
		panic(errDepth)
	case int64(fuel.Get()) >= 0:
		panic(fmt.Sprintf("yields with fuel %d", int64(fuel.Get())))
	case e.slices == 0:
		panic(errFuel)
	}
	e.slices--
	give := e.slice
	if debt := -int64(fuel.Get()); debt > 1000*give { // of a bulk instruction
		give += debt
	}
	e.given[guest] += give
	fuel.Set(fuel.Get() + uint64(give))
}

// used returns how much fuel a guest has been charged.
func (e *engine) used(guest api.Module) int64 {
	return e.given[guest] - int64(guest.ExportedGlobal(rewrite.FuelGlobal).Get())
}

// reset begins to count anew.
func (e *engine) reset(guest api.Module) {
	e.given[guest], e.yields = int64(guest.ExportedGlobal(rewrite.FuelGlobal).Get()), 0
}

func (e *engine) instantiate(t testing.TB, binary []byte) api.Module {
	t.Helper()
	guest, err := e.InstantiateWithConfig(t.Context(), binary, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	return guest
}

var wide = rewrite.Limits{MemoryPages: 1 << 16, Depth: 1 << 20}

// goGuest builds testdata/go.
func goGuest(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "go.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildmode=c-shared", "-o", path, "./testdata/go")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func mustRewrite(t testing.TB, raw []byte, l rewrite.Limits) *rewrite.Module {
	t.Helper()
	m, err := rewrite.Rewrite(raw, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func isOurs(err error) bool {
	return errors.Is(err, errDepth) || errors.Is(err, errFuel) || strings.Contains(err.Error(), "stack overflow")
}

func sortedNames(exports map[string]api.FunctionDefinition) []string {
	return slices.Sorted(maps.Keys(exports))
}

func equal(a, b []any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }
