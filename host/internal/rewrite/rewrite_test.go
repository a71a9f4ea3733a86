package rewrite_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/host/internal/rewrite"
	"github.com/wfrt/wfrt/internal/asm"
)

// TestIndicesAreBoundedByTheOriginal has code that names what is just beyond the module, where the rewrite puts its own.
func TestIndicesAreBoundedByTheOriginal(t *testing.T) {
	body := func(b ...[]byte) wat { return wat{functions: []fn{{name: "f", body: asm.Code(b...)}}} }
	with := func(id byte, section []byte) wat {
		w := body()
		w.sections = map[byte][]byte{id: section}
		return w
	}
	for name, c := range map[string]struct {
		wat  wat
		want string
	}{
		"read of the fuel":       {body([]byte{0x23, 2}, asm.Drop), "function 0 names the global 2, and there are 2"},
		"write of the fuel":      {body([]byte{0x42, 0, 0x24, 2}), "function 0 names the global 2, and there are 2"},
		"write of the depth":     {body([]byte{0x42, 0, 0x24, 3}), "names the global 3"},
		"call of the last":       {body(asm.Call(1)), "names the function 1, and there are 1"},
		"reference to the last":  {body([]byte{0xd2, 1}, asm.Drop), "names the function 1"},
		"the local for lengths":  {body(asm.Get(1), asm.Drop), "names the local 1, and there are 1"},
		"type of the yield":      {body([]byte{0x02, 1}, asm.End), "names the type 1, and there are 1"},
		"type of a call":         {body(asm.I32(0), []byte{0x11, 1, 0}), "names the type 1"},
		"label around the body":  {body([]byte{0x0c, 1}), "names the label 1, and there are 1"},
		"label around the loop":  {body(asm.Loop, []byte{0x0c, 2}, asm.End), "names the label 2, and there are 2"},
		"label of a table":       {body(asm.I32(0), []byte{0x0e, 0, 1}), "names the label 1"},
		"second table":           {body(asm.I32(0), []byte{0x25, 1}, asm.Drop), "names the table 1"},
		"data without a count":   {body([]byte{0xfc, 9, 0}), "names the data segment 0, and there are 0"},
		"element segment":        {body([]byte{0xfc, 13, 0}), "names the element segment 0"},
		"export of the fuel":     {with(7, asm.Vector(asm.Code(asm.Text("x"), []byte{3, 2}))), "export section names the global 2"},
		"export of the last":     {with(7, asm.Vector(asm.Code(asm.Text("x"), []byte{0, 1}))), "export section names the function 1"},
		"start":                  {with(8, []byte{1}), "start section names the function 1"},
		"element":                {with(9, []byte{1, 0, 0x41, 0, 0x0b, 1, 1}), "element section names the function 1"},
		"initialiser":            {with(6, []byte{1, 0x70, 0, 0xd2, 1, 0x0b}), "global section names the function 1"},
		"initialiser from fuel":  {with(6, []byte{1, 0x7e, 0, 0x23, 1, 0x0b}), "an initialiser that reads a global"},
		"type of a function":     {with(3, []byte{1, 1}), "function section names the type 1"},
		"import of the yield":    {with(2, asm.Vector(asm.Code(asm.Text("wfrt:host"), asm.Text("yield"), []byte{0, 0}))), `it imports from "wfrt:host"`},
		"export of the reserved": {with(7, asm.Vector(asm.Code(asm.Text("wfrt:fuel"), []byte{0, 0}))), `its export "wfrt:fuel" begins with "wfrt:"`},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, c.wat.bytes(), c.want) })
	}
}

// A small file may ask for work that grows with its square: it is refused before any of it.
func TestManyFunctionsOfManyTypesAreRefused(t *testing.T) {
	const n = 20_000
	types := slices.Concat(asm.Uleb(n), bytes.Repeat([]byte{0x60, 0, 0}, n))
	functions := slices.Concat(asm.Uleb(n), make([]byte, n))
	module := slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), asm.Section(1, types), asm.Section(3, functions))
	wantRefused(t, module, "it has 20000 functions and 20000 types of the size 20000: too many to compile; the limit of functions × size is 268435456")
}

func wantRefused(t *testing.T, raw []byte, want string) {
	t.Helper()
	m, err := rewrite.Rewrite(raw, wide)
	if err == nil || !strings.Contains(err.Error(), want) || m != nil {
		t.Errorf("error %v; want one with %q", err, want)
	}
	if err != nil && !strings.HasPrefix(err.Error(), "it") {
		t.Errorf("error %q says not what it is about", err)
	}
}

// TestWhatIsNotReadIsRefusedByName has one of everything that is no part of WebAssembly 2.0.
func TestWhatIsNotReadIsRefusedByName(t *testing.T) {
	body := func(b ...byte) wat { return wat{functions: []fn{{body: b}}} }
	with := func(id byte, section ...byte) wat {
		w := body()
		w.sections = map[byte][]byte{id: section}
		return w
	}
	env := asm.Code(asm.Text("env"), asm.Text("x"))
	for name, c := range map[string]struct {
		wat  wat
		want string
	}{
		"atomic":           {body(0xfe, 0x00, 2, 0), "its function 0 uses the instruction 0xfe (threads)"},
		"tail call":        {body(0x12, 0), "uses the instruction 0x12 (tail calls)"},
		"indirect":         {body(0x13, 0, 0), "0x13 (tail calls)"},
		"try":              {body(0x06, 0x40), "0x6 (exceptions)"},
		"throw":            {body(0x08, 0), "0x8 (exceptions)"},
		"try_table":        {body(0x1f, 0x40, 0), "0x1f (exceptions)"},
		"call_ref":         {body(0x14, 0), "0x14 (typed function references)"},
		"struct":           {body(0xfb, 0), "0xfb (garbage collection)"},
		"relaxed":          {body(0xfd, 0x80, 0x02), "0xfd 0x100 (relaxed SIMD)"},
		"vector":           {body(0xfd, 0x9a, 0x01), "0xfd 0x9a, which is not of WebAssembly 2.0"},
		"wide":             {body(0xfc, 0x13), "0xfc 0x13 (wide arithmetic)"},
		"unknown":          {body(0xff), "0xff, which is not of WebAssembly 2.0"},
		"second memory":    {body(0x41, 0, 0x28, 0x42, 1, 0, 0x1a), "names a memory (multiple memories)"},
		"size of a second": {body(0x3f, 1, 0x1a), "names a memory (multiple memories)"},
		"block of a type":  {body(0x02, 0x69, 0x0b), "has a block of the type 0x69 (exceptions"},
		"reference":        {body(0xd0, 0x6e, 0x1a), "has the type 0x6e of values (garbage collection)"},
		"memories":         {with(5, 2, 0, 1, 0, 1), "its memory section has 2 memories (multiple memories)"},
		"no memory":        {with(5, 0), "it has no memory; a module has one of its own"},
		"shared memory":    {with(5, 1, 3, 1, 2), "has a shared memory (threads)"},
		"memory64":         {with(5, 1, 4, 1), "has addresses of 64 bits (memory64)"},
		"page size":        {with(5, 1, 8, 1, 0), "has limits with the flags 0x8, which is not of WebAssembly 2.0"},
		"tags":             {with(13, 1, 0, 0), "it has a section of tags (exceptions)"},
		"imported table":   {with(2, asm.Code([]byte{1}, env, []byte{1, 0x70, 0, 1})...), "it imports the table env.x; a module has its own"},
		"imported memory":  {with(2, asm.Code([]byte{1}, env, []byte{2, 0, 1})...), "it imports the memory env.x"},
		"imported global":  {with(2, asm.Code([]byte{1}, env, []byte{3, 0x7f, 0})...), "it imports the global env.x"},
		"imported tag":     {with(2, asm.Code([]byte{1}, env, []byte{4, 0, 0})...), "imports the tag env.x (exceptions)"},
		"extended":         {with(6, 1, 0x7f, 0, 0x41, 1, 0x41, 2, 0x6a, 0x0b), "has an initialiser of several instructions (extended constants)"},
		"recursive types":  {with(1, 1, 0x4e, 0), "its type section has a type of the form 0x4e (garbage collection)"},
		"table with value": {with(4, 1, 0x40, 0, 0x70, 0, 1, 0xd0, 0x70, 0x0b), "has a table with an initialiser (typed function references)"},
		"typed table":      {with(4, 1, 0x64, 0x70, 0, 1), "has the type 0x64 of values (typed function references)"},
		"many tables":      {with(4, asm.Code([]byte{9}, slices.Repeat([]byte{0x70, 0, 1}, 9))...), "it has 9 tables; the limit is 8"},
		"many locals":      {with(10, 1, 7, 1, 0xd1, 0x86, 3, 0x7f, 0x01, 0x0b), "its function 0 has 50001 locals; the limit is 50000"},
		"else":             {body(0x05), "its function 0 has an else without an if"},
		"section":          {with(11, 0xff), "its data section is malformed or cut off"},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, c.wat.bytes(), c.want) })
	}
}

// TestMaximums checks the memory and the tables of rewritten modules.
func TestMaximums(t *testing.T) {
	grow := wat{functions: []fn{
		{name: "grow", parameters: "i", results: "i", body: asm.Code(asm.Get(0), []byte{0x40, 0})},
		{name: "table", parameters: "i", results: "i", body: asm.Code([]byte{0xd0, 0x70}, asm.Get(0), []byte{0xfc, 15, 0})},
	}}
	e := newEngine(t)
	guest := e.instantiate(t, mustRewrite(t, grow.bytes(), rewrite.Limits{MemoryPages: 20, Depth: 10}).Binary)
	for _, c := range []struct {
		export      string
		by          uint32
		want, price int64
	}{
		{"grow", 19, 1, 19 * 8192},
		{"grow", 1, -1, 8192},
		{"grow", 0, 20, 0},
		{"grow", math.MaxUint32, -1, 0},
		{"table", 1<<20 - 10, 10, 1<<20 - 10},
		{"table", 1, -1, 1},
	} {
		e.reset(guest)
		got, err := guest.ExportedFunction(c.export).Call(t.Context(), uint64(c.by))
		if err != nil || int32(got[0]) != int32(c.want) {
			t.Errorf("%s by %d answers %d, %v; want %d", c.export, c.by, int32(got[0]), err, c.want)
		}
		if used := e.used(guest); used < c.price || used > c.price+5 {
			t.Errorf("%s by %d costs %d; want about %d", c.export, c.by, used, c.price)
		}
	}
	grow.sections = map[byte][]byte{5: {1, 0, 21}}
	_, err := rewrite.Rewrite(grow.bytes(), rewrite.Limits{MemoryPages: 20, Depth: 10})
	if err == nil || !strings.Contains(err.Error(), "its memory begins with 21 pages of 64 KiB; the limit is 20") {
		t.Errorf("error %v", err)
	}
}

// TestBulkInstructionsCostByLength checks every one of them.
func TestBulkInstructionsCostByLength(t *testing.T) {
	three := func(tail ...byte) []byte { return asm.Code(asm.I32(0), asm.I32(0), asm.Get(0), tail) }
	w := wat{
		functions: []fn{
			{name: "fill", parameters: "i", body: three(0xfc, 11, 0)},
			{name: "copy", parameters: "i", body: three(0xfc, 10, 0, 0)},
			{name: "init", parameters: "i", body: three(0xfc, 8, 0, 0)},
			{name: "table.fill", parameters: "i", body: asm.Code(asm.I32(0), []byte{0xd0, 0x70}, asm.Get(0), []byte{0xfc, 17, 0})},
			{name: "table.copy", parameters: "i", body: three(0xfc, 14, 0, 0)},
			{name: "table.init", parameters: "i", body: three(0xfc, 12, 0, 0)},
		},
		sections: map[byte][]byte{
			4: {1, 0x70, 0, 0x88, 0x27}, 9: asm.Code([]byte{1, 1, 0}, asm.Vector(slices.Repeat([][]byte{{0}}, 5000)...)),
			12: {1}, 11: asm.Code([]byte{1, 1}, asm.Text(strings.Repeat("x", 5000))),
		},
	}
	m := mustRewrite(t, w.bytes(), wide)
	if m.Unrestorable != "it writes elements of tables" {
		t.Errorf("unrestorable: %q", m.Unrestorable)
	}
	e := newEngine(t)
	guest := e.instantiate(t, m.Binary)
	for _, c := range []struct {
		export string
		price  int64
	}{{"fill", 625}, {"copy", 625}, {"init", 625}, {"table.fill", 5000}, {"table.copy", 5000}, {"table.init", 5000}} {
		e.reset(guest)
		if _, err := guest.ExportedFunction(c.export).Call(t.Context(), 5000); err != nil {
			t.Error(c.export, err)
		}
		if used := e.used(guest); used != c.price+4 {
			t.Errorf("%s of 5000 costs %d; want %d and 4 instructions", c.export, used, c.price)
		}
	}
}

// TestWorkedNumbers runs the example of docs/metering.md.
func TestWorkedNumbers(t *testing.T) {
	w := wat{functions: []fn{{name: "sum", parameters: "i", results: "i", body: asm.Code(
		asm.Loop, asm.Get(1), asm.Get(0), []byte{0x6a, 0x21, 1}, asm.Get(0), asm.I32(1), []byte{0x6b, 0x22, 0, 0x0d, 0}, asm.End, asm.Get(1))}}}
	e := newEngine(t)
	guest := e.instantiate(t, mustRewrite(t, w.bytes(), wide).Binary)
	fuel := guest.ExportedGlobal(rewrite.FuelGlobal).(api.MutableGlobal)
	fuel.Set(100)
	e.reset(guest)
	if got, err := guest.ExportedFunction("sum").Call(t.Context(), 1000); err != nil || got[0] != 500_500 || e.used(guest) != 9001 {
		t.Errorf("%v, %v, fuel %d; want 9001", got, err, e.used(guest))
	}
	e.slices = 0
	for rounds, want := range map[uint64]error{12: nil, 13: errFuel} {
		fuel.Set(100)
		if _, err := guest.ExportedFunction("sum").Call(t.Context(), rounds); !errors.Is(err, want) {
			t.Errorf("%d rounds with 100 of fuel: %v; want %v", rounds, err, want)
		}
	}
}

// TestHostileGuestsRunOut has guests that never end.
func TestHostileGuestsRunOut(t *testing.T) {
	tree := asm.Code(asm.Get(0), []byte{0x45, 0x04, 0x40, 0x0f, 0x0b}, asm.Get(0), asm.I32(1), []byte{0x6b}, asm.Call(0), asm.Get(0), asm.I32(1), []byte{0x6b}, asm.Call(0))
	for name, c := range map[string]struct {
		wat  wat
		want error
	}{
		"endless loop":          {wat{functions: []fn{{name: "f", parameters: "i", body: asm.Code(asm.Loop, asm.Br(0), asm.End)}}}, errFuel},
		"endless loop in start": {wat{functions: []fn{{body: asm.Code(asm.Loop, asm.Br(0), asm.End)}}, sections: map[byte][]byte{8: {0}}}, errFuel},
		"loop with parameters": {
			wat{functions: []fn{{name: "f", parameters: "i", body: asm.Code(asm.Get(0), []byte{0x03, 0}, asm.Br(0), asm.End)}}}, errFuel,
		},
		"exponential recursion": {wat{functions: []fn{{name: "f", parameters: "i", body: tree}}}, errFuel},
		"deep recursion":        {wat{functions: []fn{{name: "f", parameters: "i", body: asm.Code(asm.Get(0), asm.Call(0))}}}, errDepth},
		"deep indirect recursion": {
			wat{
				functions: []fn{{name: "f", parameters: "i", body: asm.Code(asm.Get(0), asm.I32(0), []byte{0x11, 0, 0})}},
				sections:  map[byte][]byte{9: {1, 0, 0x41, 0, 0x0b, 1, 0}},
			}, errDepth,
		},
		"fills": {
			wat{functions: []fn{{name: "f", parameters: "i", body: slices.Repeat(asm.Code(asm.I32(0), asm.I32(0), asm.I32(1<<16), []byte{0xfc, 11, 0}), 1000)}}},
			errFuel,
		},
		"straight code": {wat{functions: []fn{{name: "f", parameters: "i", body: slices.Repeat(asm.Code(asm.I32(0), asm.Drop), 200_000)}}}, errFuel},
		"calls of a leaf in a row": {
			wat{functions: []fn{
				{name: "f", parameters: "i", body: slices.Repeat(asm.Call(1), 20_000)},
				{body: slices.Repeat(asm.Code(asm.I32(0), asm.Drop), 100)},
			}}, errFuel,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			e.slice, e.slices = 10_000, 20
			m := mustRewrite(t, c.wat.bytes(), rewrite.Limits{MemoryPages: 10, Depth: 1000})
			guest, err := e.Instantiate(t.Context(), m.Binary)
			if err == nil {
				_, err = guest.ExportedFunction("f").Call(t.Context(), 30)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("ends with %v; want %v", err, c.want)
			}
			if errors.Is(c.want, errFuel) && e.slices != 0 {
				t.Errorf("%d slices are left", e.slices)
			}
		})
	}
}

// TestDepthIsGivenBack leaves functions in every way there is, and then wants all of the depth.
func TestDepthIsGivenBack(t *testing.T) {
	leave := func(ways ...[]byte) fn { // by the way whose number is the parameter
		var body []byte
		for n, way := range ways {
			body = asm.Code(body, asm.Call(0), asm.Get(0), asm.I32(int32(n)), []byte{0x46, 0x04, 0x40}, way, asm.End)
		}
		return fn{name: "leave", parameters: "i", results: "iI", body: asm.Code(body, asm.I32(7), []byte{0x42, 8})}
	}
	values := asm.Code(asm.I32(7), []byte{0x42, 8})
	w := wat{functions: []fn{
		{body: asm.Code()},
		leave(
			asm.Code(values, []byte{0x0f}),                                                 // return
			asm.Code(values, []byte{0x0c, 1}),                                              // br to the body
			asm.Code(values, asm.I32(1), []byte{0x0d, 1}, asm.Drop, asm.Drop),              // br_if
			asm.Code(values, asm.I32(9), []byte{0x0e, 2, 1, 1, 1}),                         // br_table
			asm.Code(asm.Loop, values, []byte{0x0c, 2}, asm.End),                           // br out of a loop
			asm.Code(asm.Loop, values, []byte{0x0f}, asm.End),                              // return out of a loop
			asm.Code([]byte{0x02, 0x40, 0x0c, 0, 0x0b}),                                    // to the end
			asm.Code(values, asm.I32(0), []byte{0x0d, 1}, asm.Drop, asm.Drop),              // br_if that does not
			asm.Code(asm.Loop, asm.I32(0), []byte{0x0d, 0}, asm.End, asm.I32(0), asm.Drop), // after a loop
		),
		{name: "deep", parameters: "i", results: "i", body: asm.Code(
			asm.Get(0), []byte{0x04, 0x7f}, asm.Get(0), asm.I32(1), []byte{0x6b}, asm.Call(2), asm.I32(1), []byte{0x6a, 0x05}, asm.I32(0), asm.End)},
	}}
	const depth = 50
	e := newEngine(t)
	guest := e.instantiate(t, mustRewrite(t, w.bytes(), rewrite.Limits{MemoryPages: 1, Depth: depth}).Binary)
	for n := range 20 {
		for range depth {
			got, err := guest.ExportedFunction("leave").Call(t.Context(), uint64(n))
			if err != nil || got[0] != 7 || got[1] != 8 {
				t.Fatalf("way %d: %v, %v", n, got, err)
			}
		}
	}
	if got, err := guest.ExportedFunction("deep").Call(t.Context(), depth-1); err != nil || got[0] != depth-1 {
		t.Errorf("%d calls: %v, %v", depth, got, err)
	}
	if _, err := guest.ExportedFunction("deep").Call(t.Context(), depth); !errors.Is(err, errDepth) {
		t.Errorf("%d calls: %v", depth+1, err)
	}
}

// TestGlobalsAreExported writes and reads the mutable globals of a guest through their exports.
func TestGlobalsAreExported(t *testing.T) {
	w := wat{
		functions: []fn{{name: "f", results: "i", body: asm.Code([]byte{0x23, 0})}},
		sections: map[byte][]byte{6: asm.Code([]byte{4},
			[]byte{0x7f, 1, 0x41, 5, 0x0b}, []byte{0x7e, 0, 0x42, 6, 0x0b}, []byte{0x7c, 1, 0x44}, make([]byte, 8), asm.End,
			[]byte{0x7e, 1, 0x42, 7, 0x0b})},
	}
	m := mustRewrite(t, w.bytes(), wide)
	want := []rewrite.Global{{Export: "wfrt:g0", Type: 0x7f}, {Export: "wfrt:g1", Type: 0x7c}, {Export: "wfrt:g2", Type: 0x7e}}
	if !slices.Equal(m.Globals, want) || m.Unrestorable != "" {
		t.Errorf("globals %+v, unrestorable %q", m.Globals, m.Unrestorable)
	}
	guest := newEngine(t).instantiate(t, m.Binary)
	if v := guest.ExportedGlobal("wfrt:g2").Get(); v != 7 {
		t.Errorf("wfrt:g2 is %d", v)
	}
	guest.ExportedGlobal("wfrt:g0").(api.MutableGlobal).Set(11)
	if got, err := guest.ExportedFunction("f").Call(t.Context()); err != nil || got[0] != 11 {
		t.Errorf("%v, %v", got, err)
	}
	for name, c := range map[string]struct {
		global []byte
		want   string
	}{
		"vector":    {asm.Code([]byte{1, 0x7b, 1, 0xfd, 12}, make([]byte, 16), asm.End), "it has a mutable global of type v128"},
		"reference": {[]byte{1, 0x70, 1, 0xd0, 0x70, 0x0b}, "it has a mutable global that is a reference"},
		"constant":  {[]byte{1, 0x70, 0, 0xd0, 0x70, 0x0b}, ""},
	} {
		w := wat{sections: map[byte][]byte{6: c.global}}
		if m := mustRewrite(t, w.bytes(), wide); m.Unrestorable != c.want {
			t.Errorf("%s: %q; want %q", name, m.Unrestorable, c.want)
		}
	}
}

// TestNamesMoveWithTheirFunctions reads a trace of a rewritten module, whose function indices have moved.
func TestNamesMoveWithTheirFunctions(t *testing.T) {
	w := wat{functions: []fn{{name: "f", body: asm.Call(1)}, {body: []byte{0x00}}}}
	names := asm.Code(asm.Text("name"), []byte{1}, asm.Text(string(asm.Vector(asm.Code([]byte{0}, asm.Text("outer")), asm.Code([]byte{1}, asm.Text("inner"))))))
	raw := asm.Code(w.bytes(), []byte{0}, asm.Text(string(names)), []byte{0}, asm.Text(string(asm.Code(asm.Text(".debug_info"), make([]byte, 1000)))))
	m := mustRewrite(t, raw, wide)
	if len(m.Binary) > len(raw)-800 {
		t.Errorf("%d bytes became %d: the debug section is still there", len(raw), len(m.Binary))
	}
	_, err := newEngine(t).instantiate(t, m.Binary).ExportedFunction("f").Call(t.Context())
	if err == nil || !strings.Contains(err.Error(), ".inner()\n\t.outer()") {
		t.Errorf("trace %v", err)
	}
	broken := asm.Code(w.bytes(), []byte{0}, asm.Text(string(asm.Code(asm.Text("name"), []byte{1, 5, 9}))))
	newEngine(t).instantiate(t, mustRewrite(t, broken, wide).Binary)
}

// TestDataSegmentsBecomeOne joins what lies close together, in any order, and nothing where the order or the number has a meaning.
func TestDataSegmentsBecomeOne(t *testing.T) {
	at := func(offset byte, text string) []byte {
		return append([]byte{0, 0x41, offset, 0x0b, byte(len(text))}, text...)
	}
	for name, c := range map[string]struct {
		segments [][]byte
		counted  bool
		want     [][]byte
	}{
		"in order":      {[][]byte{at(0, "ab"), at(4, "c")}, false, [][]byte{at(0, "ab\x00\x00c")}},
		"out of order":  {[][]byte{at(4, "c"), at(0, "ab"), at(5, "")}, false, [][]byte{at(0, "ab\x00\x00c")}},
		"far apart":     {[][]byte{append([]byte{0, 0x41, 0xf0, 0x00, 0x0b, 1}, 'z'), at(0, "a")}, false, [][]byte{at(0, "a"), append([]byte{0, 0x41, 0xf0, 0x00, 0x0b, 1}, 'z')}},
		"overlapping":   {[][]byte{at(0, "abc"), at(2, "x"), at(3, "y")}, false, [][]byte{at(0, "abc"), at(2, "x"), at(3, "y")}},
		"counted":       {[][]byte{at(0, "ab"), at(4, "c")}, true, [][]byte{at(0, "ab"), at(4, "c")}},
		"with passive":  {[][]byte{at(0, "ab"), {1, 1, 'p'}, at(4, "c")}, false, [][]byte{at(0, "ab"), {1, 1, 'p'}, at(4, "c")}},
		"beyond memory": {[][]byte{{0, 0x41, 0x7f, 0x0b, 1, 'x'}, at(0, "a")}, false, [][]byte{at(0, "a"), {0, 0x41, 0x7f, 0x0b, 1, 'x'}}},
	} {
		t.Run(name, func(t *testing.T) {
			sections := map[byte][]byte{11: asm.Vector(c.segments...)}
			if c.counted {
				sections[12] = asm.Uleb(uint64(len(c.segments)))
			}
			raw := wat{sections: sections}.bytes()
			m, err := rewrite.Rewrite(raw, wide)
			if err != nil {
				t.Fatal(err)
			}
			content := asm.Vector(c.want...)
			want := slices.Concat([]byte{11}, asm.Uleb(uint64(len(content))), content)
			if !bytes.HasSuffix(m.Binary, want) {
				t.Errorf("it ends in % x; want % x", m.Binary[len(m.Binary)-len(want):], want)
			}
		})
	}
}
