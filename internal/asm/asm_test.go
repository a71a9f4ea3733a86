package asm_test

import (
	"math"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/wfrt/wfrt/internal/asm"
)

// TestAModuleDoesWhatIsWritten runs a module that has everything.
func TestAModuleDoesWhatIsWritten(t *testing.T) {
	const log, sum, nothing = 0, 1, 2 // functions, and their types
	m := asm.Module{
		Imports: []asm.Import{{From: "env", Name: "log", Parameters: "iI"}},
		Functions: []asm.Function{
			{Exports: []string{"sum", "also"}, Parameters: "i", Results: "i", Code: asm.Code( // n + (n−1) + … + 1, in local 1
				asm.Loop,
				asm.Get(1), asm.Get(0), asm.I32Add, asm.Set(1),
				asm.Get(0), asm.I32(1), asm.I32Sub, asm.Tee(0), asm.BrIf(0),
				asm.End,
				asm.Get(1),
			)},
			{Code: asm.Code(asm.I32(math.MinInt32), asm.I64(math.MinInt64), asm.Call(log), asm.I32(8), asm.I32(100), asm.Call(sum), asm.I32Store), Start: true},
			{Exports: []string{"stored"}, Results: "i", Code: asm.Code(
				asm.I32(8), asm.I32Load, asm.I32(16), asm.I32Load8U, asm.I32Add, asm.GetGlobal(0), asm.I32Add, asm.TableSize, asm.I32Add,
			)},
			{Exports: []string{"indirect"}, Code: asm.Code(asm.I32(0), asm.CallIndirect(nothing))},
		},
		Memory: 1, MemoryAs: "memory",
		Tables:  []byte{1, 0x70, 0, 2},
		Globals: []byte{1, 0x7f, 1, 0x41, 5, 0x0b},
		Data:    []asm.Data{{At: 16, Content: "\x07"}},
	}
	r := wazero.NewRuntime(t.Context())
	defer r.Close(t.Context()) //nolint:errcheck // it has only memory
	var logged []any
	_, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func(n int32, v int64) { logged = append(logged, n, v) }).
		Export("log").Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	guest, err := r.Instantiate(t.Context(), m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(logged) != 2 || logged[0] != int32(math.MinInt32) || logged[1] != int64(math.MinInt64) {
		t.Errorf("its start logs %v; want the least numbers of both kinds", logged)
	}
	for _, name := range []string{"sum", "also"} {
		if got, err := guest.ExportedFunction(name).Call(t.Context(), 10); err != nil || got[0] != 55 {
			t.Errorf("%s of 10: %v, %v; want 55", name, got, err)
		}
	}
	if got, err := guest.ExportedFunction("stored").Call(t.Context()); err != nil || got[0] != 5050+7+5+2 {
		t.Errorf("%v, %v; want what the start stored, the data, the global and the size of the table", got, err)
	}
	if _, err := guest.ExportedFunction("indirect").Call(t.Context()); err == nil {
		t.Error("a call of an empty element succeeds")
	}
	if size := guest.ExportedMemory("memory").Size(); size != 1<<16 {
		t.Errorf("the memory has %d bytes; want a page", size)
	}
}

// TestNumbers has the examples of the encoding's own article and the ends of the ranges.
func TestNumbers(t *testing.T) {
	for v, want := range map[int64]string{
		0: "\x00", 63: "\x3f", 64: "\xc0\x00", -64: "\x40", -65: "\xbf\x7f", -123456: "\xc0\xbb\x78",
		math.MaxInt32: "\xff\xff\xff\xff\x07", math.MinInt32: "\x80\x80\x80\x80\x78",
	} {
		if got := string(asm.Sleb(v)); got != want {
			t.Errorf("%d is % x; want % x", v, got, want)
		}
	}
	for v, want := range map[uint64]string{0: "\x00", 127: "\x7f", 128: "\x80\x01", 624485: "\xe5\x8e\x26"} {
		if got := string(asm.Uleb(v)); got != want {
			t.Errorf("%d is % x; want % x", v, got, want)
		}
	}
}
