package rewrite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/host/internal/rewrite"
)

// addSpecification adds the smaller modules of the specification's tests.
func addSpecification(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join(specification(f), "v2", "testdata", "*.wasm"))
	if err != nil || len(files) < 4000 {
		f.Fatalf("%d modules, %v", len(files), err)
	}
	for n, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(raw) < 1000 && n%40 == 0 {
			f.Add(withMemory(raw))
		}
	}
}

var narrow = rewrite.Limits{MemoryPages: 16, Depth: 200}

// FuzzRewrite checks that of any bytes comes an error, or what the engine takes if it takes the original, and no more than a
// multiple of them.
func FuzzRewrite(f *testing.F) {
	addSpecification(f)
	r := wazero.NewRuntimeWithConfig(f.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(16))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := rewrite.Rewrite(raw, narrow)
		if err != nil {
			if m != nil || !strings.HasPrefix(err.Error(), "it") && !strings.HasPrefix(err.Error(), "a ") {
				t.Errorf("%v, %v", m, err)
			}
			return
		}
		if len(m.Binary) > 20*len(raw)+1000 {
			t.Errorf("%d bytes became %d", len(raw), len(m.Binary))
		}
		if len(raw) > 1<<16 {
			return
		}
		original, originalErr := r.CompileModule(t.Context(), raw)
		if originalErr == nil {
			_ = original.Close(t.Context())
		}
		rewritten, err := r.CompileModule(t.Context(), m.Binary)
		if err == nil {
			_ = rewritten.Close(t.Context())
		}
		if originalErr == nil && err != nil {
			t.Errorf("a valid module became invalid: %v", err)
		}
	})
}

// FuzzResults calls what a module exports, with and without the rewrite.
func FuzzResults(f *testing.F) {
	addSpecification(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := rewrite.Rewrite(raw, narrow)
		if err != nil || len(m.Binary) > 1<<14 {
			return
		}
		exact, err := rewrite.RewriteExactly(raw, narrow)
		if err != nil {
			t.Fatal(err)
		}
		// Both run on fuel, as the original may never end.
		results := func(binary []byte, slices int) (all []any, ended bool) {
			e := newEngine(t)
			e.slice, e.slices = 50, slices
			guest, err := e.InstantiateWithConfig(t.Context(), binary, wazero.NewModuleConfig().WithStartFunctions())
			if err != nil {
				return nil, false
			}
			exports := guest.ExportedFunctionDefinitions()
			for _, name := range sortedNames(exports) {
				arguments := make([]uint64, len(exports[name].ParamTypes())*2)
				for n := range arguments {
					arguments[n] = uint64(n * 3)
				}
				n := 0
				for _, t := range exports[name].ParamTypes() {
					if n++; t == 0x7b {
						n++
					}
				}
				got, err := guest.ExportedFunction(name).Call(t.Context(), arguments[:n]...)
				if err != nil {
					return append(all, firstLine(err)), !isOurs(err)
				}
				all = append(all, name)
				for _, v := range pointless(got, exports[name].ResultTypes()) {
					all = append(all, v)
				}
			}
			return all, true
		}
		want, ended := results(exact.Binary, 200)
		if !ended {
			return
		}
		got, ended := results(m.Binary, 200*(rewrite.Slack+2))
		if !ended || !equal(want, got) {
			t.Errorf("%v became %v (%v)", want, got, ended)
		}
	})
}
