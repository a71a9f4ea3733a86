package rewrite

import (
	"fmt"
)

// What a rewritten module exports and imports. A module that has names with the prefix itself is refused.
const (
	// Prefix begins every name of an export, and of a module to import from, that the rewriter makes.
	Prefix = "wfrt:"
	// FuelGlobal is the export of a mutable global of type i64, which begins with 0. The guest subtracts from it what it is about to
	// do. The first charge finds it below zero and yields, in a start function too.
	FuelGlobal = Prefix + "fuel"
	// HostModule and YieldFunction name the import, of type (reason i32) → ().
	HostModule    = Prefix + "host"
	YieldFunction = "yield"
)

// Why the guest yields.
const (
	// YieldFuel means that fuel is below zero. What it is below zero has been used too. The host gives more and returns, or ends
	// the call by a panic. If it returns without giving more, the guest yields again at the next charge.
	YieldFuel = 0
	// YieldDepth means that calls are nested deeper than Limits.Depth. The host ends the call by a panic.
	YieldDepth = 1
)

// BytesPerFuel is how many bytes memory.copy, memory.fill and memory.init move for 1 of fuel; memory.grow pays for as many as it
// adds. The elements of table.copy, table.fill, table.init and table.grow cost 1 each.
const BytesPerFuel = 8

// Bounds of every module, that no limit raises. Those of browsers are here, too: https://webassembly.github.io/spec/js-api/#limits.
const (
	maxEntries  = 1_000_000 // of a section, as in browsers: the engine makes some hundred bytes of an entry that has one
	maxFunction = 7_654_321 // bytes of code, as in browsers: the engine makes two hundred bytes of an instruction
	maxGlobals  = 50_000    // each takes some fifty bytes in each instance
	maxLocals   = 50_000    // of one function, as in browsers
	maxNesting  = 100_000   // of blocks within each other
	maxTable    = 1 << 20   // elements of all tables, and of all segments; each takes eight bytes in each instance, which no memory limit counts
	maxTables   = 8
	maxPages    = 1 << 16

	// maxDeclared bounds functions times the size of the types: wazero declares every type anew for each function that it compiles. A
	// module at the bound costs some seconds; Go's have less than a hundredth of it.
	maxDeclared = 1 << 28
)

// Limits are what a rewritten module is held to.
type Limits struct {
	// MemoryPages is the maximum written into its memory, in pages of 64 KiB, unless its own is less. At most 65,536.
	MemoryPages uint32
	// Depth is how many calls may be nested, in functions that call others; one function that calls none may come on top. Only
	// functions of the guest count, and the one that the host calls does. At least 1.
	Depth uint32
}

// Module is a rewritten binary and what the host must know about it.
type Module struct {
	Binary []byte
	// Globals are the mutable numeric globals of the guest itself, in the order of their indices.
	Globals []Global
	// Unrestorable says why the memory and the Globals are not all of an instance's state, as in "it has a mutable global of type
	// v128"; "": they are.
	Unrestorable string
}

// Global is a mutable global of the guest, exported by the rewrite.
type Global struct {
	Export string // its name: Prefix, "g" and a number
	Type   byte   // of its value, in the binary format, as api.ValueType of wazero: 0x7f i32, 0x7e i64, 0x7d f32, 0x7c f64
}

// sectionID is the number of a section (WebAssembly 2.0, section 5.5.2).
type sectionID byte

const (
	customSection sectionID = iota
	typeSection
	importSection
	functionSection
	tableSection
	memorySection
	globalSection
	exportSection
	startSection
	elementSection
	codeSection
	dataSection
	dataCountSection
	tagSection // of exceptions
	sections   // how many there are
)

// order is the one in which sections come.
func order() []sectionID {
	return []sectionID{
		typeSection, importSection, functionSection, tableSection, memorySection, globalSection, exportSection, startSection,
		elementSection, dataCountSection, codeSection, dataSection,
	}
}

func (id sectionID) String() string {
	return [sections]string{
		"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count",
		"tag",
	}[id]
}

// Rewrite makes the module of a binary. It does not change raw, and keeps nothing of it. Its error says what is
// wrong, beginning with "its" or "it". What it allocates is bounded by the length of raw.
func Rewrite(raw []byte, l Limits) (*Module, error) { return rewrite(raw, l, usual()) }

func rewrite(raw []byte, l Limits, g granularity) (*Module, error) {
	if l.Depth < 1 || l.MemoryPages > maxPages {
		return nil, fmt.Errorf("the limits %+v are out of range", l)
	}
	m := &module{granularity: g, limits: l, results: make(map[string]uint32), data: -1}
	if err := m.split(raw); err != nil {
		return nil, err
	}
	var contents [sections][]byte
	for _, id := range order() {
		content, err := m.section(id)
		if err != nil {
			return nil, err
		}
		contents[id] = content
	}
	if m.bodies != len(m.functions)-m.imports {
		return nil, fmt.Errorf("it has %d functions and the code of %d", len(m.functions)-m.imports, m.bodies)
	}
	// The code may have needed types that the module does not have.
	contents[typeSection] = m.typeContent()
	out := append(make([]byte, 0, len(raw)+len(contents[codeSection])), preamble()...)
	for _, id := range order() {
		if contents[id] != nil {
			out = appendSection(out, id, contents[id])
		}
	}
	if names := m.nameContent(); names != nil {
		out = appendSection(out, customSection, names)
	}
	return &Module{Binary: out, Globals: m.restorable, Unrestorable: m.unrestorable}, nil
}

func preamble() []byte { return []byte("\x00asm\x01\x00\x00\x00") }
