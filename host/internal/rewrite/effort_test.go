package rewrite_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/host/internal/rewrite"
	"github.com/wfrt/wfrt/internal/asm"
)

// slow is a kind of code that the engine's compiler takes longer for than in proportion to its size.
type slow struct {
	locals, n int
	code      func(locals, n int) []byte
}

var (
	times   = bytes.Repeat
	brIf    = asm.Code(asm.I32(0), asm.BrIf(0))
	block   = []byte{0x02, 0x40}
	readAll = func(locals int) (b []byte) {
		for l := range locals {
			b = append(append(b, asm.Get(l)...), asm.Drop...)
		}
		return b
	}
	nested = func(locals, n int) []byte {
		return asm.Code(times(asm.Loop, n), readAll(locals), times(asm.Code(brIf, asm.End), n))
	}
	ifs = func(locals, n int) []byte {
		return asm.Code(times(asm.Code(asm.I32(0), asm.If, asm.End), n), readAll(locals))
	}
)

// kinds are sized to take the compiler between some seconds and, the first, minutes.
func kinds() map[string]slow {
	within := func(parts ...[]byte) []byte { return asm.Code(block, asm.Code(parts...), asm.End) }
	return map[string]slow{
		"locals in nested loops":       {1000, 100, nested},
		"a few locals in nested loops": {10, 3000, nested},
		"nested loops":                 {0, 10_000, nested},
		"locals after ifs":             {2000, 2000, ifs},
		"ifs":                          {0, 20_000, ifs},
		"locals after branches":        {1, 20_000, func(_, n int) []byte { return within(times(brIf, n), times(readAll(1), n)) }},
		"branches to one place":        {0, 20_000, func(_, n int) []byte { return within(times(brIf, n)) }},
		"loops one after the other":    {1, 10_000, func(_, n int) []byte { return times(asm.Code(asm.Loop, readAll(1), brIf, asm.End), n) }},
		"addresses known over branches": {0, 20_000, func(_, n int) []byte {
			return within(times(asm.Code(asm.I32(8), asm.I32Load, asm.Drop), n), times(brIf, n))
		}},
		"operands over branches": {0, 20_000, func(_, n int) []byte { return within(times(asm.I32(0), n), times(brIf, n), times(asm.Drop, n)) }},
		"a table of labels and locals": {1000, 10_000, func(l, n int) []byte {
			return asm.Code(asm.Loop, readAll(l), block, asm.I32(0), []byte{0x0e}, asm.Uleb(uint64(n)), make([]byte, n), []byte{1}, asm.End, asm.End)
		}},
		"bulk instructions": {0, 20_000, func(_, n int) []byte {
			return times(asm.Code(asm.I32(0), asm.I32(0), asm.I32(0), []byte{0xfc, 0x0b, 0}), n)
		}},
		"calls":                            {0, 1_000_000, func(_, n int) []byte { return times(asm.Call(0), n) }},
		"addresses known in straight code": {0, 1_270_000, func(_, n int) []byte { return times(asm.Code(asm.I32(8), asm.I32Load, asm.Drop), n) }},
	}
}

// moduleOf returns a module of functions () → () that have the code and locals of type i32.
func moduleOf(functions, locals int, code []byte) []byte {
	body := slices.Concat([]byte{1}, asm.Uleb(uint64(locals)), []byte{0x7f}, code, asm.End)
	return slices.Concat([]byte(asm.Header), asm.Section(1, []byte{1, 0x60, 0, 0}),
		asm.Section(3, slices.Concat(asm.Uleb(uint64(functions)), make([]byte, functions))), asm.Section(5, []byte{1, 0, 1}),
		asm.Section(10, slices.Concat(asm.Uleb(uint64(functions)), times(slices.Concat(asm.Uleb(uint64(len(body))), body), functions))))
}

// TestFunctionsThatTakeLongToCompileAreRefused has every kind of code that takes the compiler long: refused at its size, and not at a
// thirtieth.
func TestFunctionsThatTakeLongToCompileAreRefused(t *testing.T) {
	for name, k := range kinds() {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, moduleOf(1, k.locals, k.code(k.locals, k.n)),
				"its function 0 would take too long to compile: with its "+strconv.Itoa(k.locals)+" locals")
			few := (k.locals + 29) / 30
			mustRewrite(t, moduleOf(1, few, k.code(few, k.n/30)), wide)
		})
	}
}

// TestModulesThatTakeLongToCompileAreRefused has several functions that would each be let through.
func TestModulesThatTakeLongToCompileAreRefused(t *testing.T) {
	code := nested(100, 100)
	most, _, err := rewrite.Efforts(moduleOf(1, 100, code))
	if err != nil {
		t.Fatal(err)
	}
	_, all := rewrite.Bounds(0)
	fit := int(all / most)
	mustRewrite(t, moduleOf(fit, 100, code), wide)
	wantRefused(t, moduleOf(fit+1, 100, code), "its functions together would take too long to compile: up to function "+strconv.Itoa(fit))
}

// TestManyFunctionsAreRefused that have next to nothing in them: the compiler takes its time for each.
func TestManyFunctionsAreRefused(t *testing.T) {
	wantRefused(t, moduleOf(500_000, 0, nil), "its functions together would take too long to compile")
	mustRewrite(t, moduleOf(200_000, 0, nil), wide)
}

// TestCallsOfManyValuesAreRefused has calls that take a few bytes each and make instructions for thousands of values.
func TestCallsOfManyValuesAreRefused(t *testing.T) {
	const values, calls = 1000, 30_000
	many := slices.Concat(asm.Uleb(values), times([]byte{0x7f}, values))
	body := slices.Concat([]byte{0}, times(asm.I32(0), values), times(asm.Call(1), calls), times(asm.Drop, values), asm.End)
	same := slices.Concat([]byte{0, 0x00}, asm.End)
	wantRefused(t, slices.Concat([]byte(asm.Header),
		asm.Section(1, slices.Concat([]byte{2, 0x60, 0, 0, 0x60}, many, many)), asm.Section(3, []byte{2, 0, 1}), asm.Section(5, []byte{1, 0, 1}),
		asm.Section(10, asm.Vector(slices.Concat(asm.Uleb(uint64(len(body))), body), slices.Concat(asm.Uleb(uint64(len(same))), same)))),
		"its function 0 would take too long to compile")
}

// TestProgramsAreFarFromTheBounds checks that what compilers make of programs has a tenth of the effort that is refused, at most: our
// Go guest, and the guests in C, Rust, Zig and TinyGo that wazero's module carries, unoptimised ones among them.
func TestProgramsAreFarFromTheBounds(t *testing.T) {
	programs := map[string][]byte{"go.wasm": goGuest(t)}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(string(out))
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".wasm" || strings.Contains(path, "spectest") {
			return err
		}
		raw, err := os.ReadFile(path)
		programs[strings.TrimPrefix(path, root)] = raw
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	measured := 0
	for name, raw := range programs {
		most, total, err := rewrite.Efforts(raw)
		if err != nil {
			if strings.Contains(err.Error(), "too long to compile") || strings.Contains(err.Error(), "operands") {
				t.Errorf("%s: %v", name, err)
			}
			continue // it imports its memory, or is none of WebAssembly 2.0
		}
		measured++
		if most > 1<<20 {
			t.Logf("%s, %d bytes: %d of one function, %d of all", name, len(raw), most, total)
		}
		if one, all := rewrite.Bounds(len(raw)); most > one/10 || total > all/10 {
			t.Errorf("%s: an effort of %d of one function and %d of all; want a tenth of the bounds, %d and %d", name, most, total, one, all)
		}
	}
	if measured < 20 {
		t.Errorf("%d programs were measured; want those that wazero carries", measured)
	}
}

// TestOperandsAreCounted has functions whose stack of operands is not what their types say.
func TestOperandsAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		code []byte
		want string
	}{
		"one too many":      {asm.I32(0), "its function 0 leaves 1 operands where its types say 0"},
		"one too few":       {asm.Code(asm.I32(0), asm.IfI32, asm.Else, asm.End, asm.Drop), "its function 0 leaves 0 operands where its types say 1"},
		"one in the arm":    {asm.Code(asm.I32(0), asm.IfI32, asm.I32(1), asm.Else, asm.End, asm.Drop), "leaves 0 operands where its types say 1"},
		"a vector too many": {asm.Code([]byte{0xfd, 0x0c}, make([]byte, 16)), "leaves 1 operands"},
		"a size too many":   {asm.Code([]byte{0x3f, 0}), "leaves 1 operands"},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, moduleOf(1, 1, c.code), c.want)
		})
	}
}

// TestBoundsOfBrowsers has modules that a compiler does not make, each of which would take the engine many times its size of memory.
func TestBoundsOfBrowsers(t *testing.T) {
	with := func(id byte, n int, entry ...byte) []byte {
		var w wat
		w.functions = []fn{{}}
		w.sections = map[byte][]byte{id: slices.Concat(asm.Uleb(uint64(n)), times(entry, n))}
		return w.bytes()
	}
	nest := func(n int) []byte { return moduleOf(1, 0, slices.Concat(times(block, n), times(asm.End, n))) }
	code := func(n int) []byte { return moduleOf(1, 0, times(asm.Nop, n-4)) }
	const bytesOfCode = 7_654_321
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"types":         {with(1, 1_000_001, 0x60, 0, 0), "its type section has 1000001 entries; the limit is 1000000"},
		"imports":       {with(2, 1_000_001, 0, 0, 0, 0), "its import section has 1000001 entries"},
		"exports":       {with(7, 1_000_001, 0, 0, 0), "its export section has 1000001 entries"},
		"globals":       {with(6, 50_001, 0x7f, 0, 0x41, 0, 0x0b), "it has 50001 globals; the limit is 50000"},
		"elements":      {with(9, 2, append([]byte{1, 0}, append(asm.Uleb(600_000), make([]byte, 600_000)...)...)...), "its segments have more than 1048576 elements"},
		"tables":        {with(4, 2, append([]byte{0x70, 0}, asm.Uleb(600_000)...)...), "it has a table of 600000 elements; the limit is 524288 for each of 2 tables"},
		"blocks":        {nest(100_001), "its function 0 has more than 100000 blocks within each other"},
		"a long body":   {code(bytesOfCode + 1), "its function 0 has 7654322 bytes of code; the limit is 7654321"},
		"dead blocks":   {moduleOf(1, 0, slices.Concat(asm.Unreachable, times(block, 100_001))), "has more than 100000 blocks within each other"},
		"many segments": {with(9, 1_000_001, 1, 0, 0), "its element section has 1000001 entries"},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, c.raw, c.want) })
	}
	mustRewrite(t, code(bytesOfCode), wide)
	mustRewrite(t, nest(5_000), wide)
}
