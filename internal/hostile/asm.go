package hostile

import (
	"encoding/binary"
	"slices"
	"strings"
)

// What follows writes modules: WebAssembly 2.0, section 5. Types of functions are written as letters, i for i32 and I for i64.

// module is a plugin of one workflow with one step.
type module struct {
	imports   [][3]string // module, name and parameters of functions beside those of field_write and log; results: one i32
	invoke    []byte      // the body of wfrt_invoke; local 1 is an i32
	manifest  []byte      // the body of wfrt_manifest; nil: it writes the manifest
	start     []byte      // the body of the start function; nil: there is none
	helper    []byte      // the body of a function (n i32) → i32, fnHelper
	functions int         // further functions that do nothing
	data      string      // at dataAt
}

// Function indices: the imports, then those of the module. A further import moves the latter.
const (
	fnWrite = iota // field_write
	fnRead         // field_read
	fnLog          // log
	fnOwn          // the first further import, or wfrt_invoke
)

// Places in memory.
const (
	manifestAt = 1024
	dataAt     = 8192
	pages      = 2
)

// helper is the index of module.helper.
func (m *module) helperIndex() int { return fnOwn + len(m.imports) + 2 }

// Instructions.
var (
	unreachable = []byte{0x00}
	loop        = []byte{0x03, 0x40}
	again       = []byte{0x0c, 0x00}
	againIf     = []byte{0x0d, 0x00}
	end         = []byte{0x0b}
	drop        = []byte{0x1a}
	minus       = []byte{0x6b}
	plus        = []byte{0x6a}
	grow        = []byte{0x40, 0x00}
	load        = []byte{0x28, 2, 0}
)

func number(v int32) []byte       { return append([]byte{0x41}, sleb(int64(v))...) }
func call(fn int) []byte          { return append([]byte{0x10}, uleb(uint64(fn))...) }
func get(local byte) []byte       { return []byte{0x20, local} }
func code(parts ...[]byte) []byte { return slices.Concat(parts...) }

func uleb(v uint64) []byte { return binary.AppendUvarint(nil, v) }

func sleb(v int64) (b []byte) {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func text(s string) []byte             { return append(uleb(uint64(len(s))), s...) }
func section(id byte, b []byte) []byte { return slices.Concat([]byte{id}, uleb(uint64(len(b))), b) }
func vector(items ...[]byte) []byte {
	return append(uleb(uint64(len(items))), slices.Concat(items...)...)
}

func export(n string, index int) []byte {
	return slices.Concat(text(n), []byte{0}, uleb(uint64(index)))
}

func signature(parameters string, results int) []byte {
	b := append([]byte{0x60}, uleb(uint64(len(parameters)))...)
	for _, letter := range parameters {
		b = append(b, map[rune]byte{'i': 0x7f, 'I': 0x7e}[letter])
	}
	return append(append(b, uleb(uint64(results))...), []byte{0x7f}[:results]...)
}

// bytes assembles the module. manifest is the document that it writes.
func (m *module) bytes(manifest string) []byte {
	var types, imports, functions, bodies, exports [][]byte
	bring := func(from, name, parameters string, results int) {
		imports = append(imports, slices.Concat(text(from), text(name), []byte{0}, uleb(uint64(len(types)))))
		types = append(types, signature(parameters, results))
	}
	bring("wfrt_v1", "field_write", "iii", 0)
	bring("wfrt_v1", "field_read", "iii", 1)
	bring("wfrt_v1", "log", "iii", 0)
	for _, i := range m.imports {
		bring(i[0], i[1], i[2], map[bool]int{true: 0, false: 1}[i[1] == "proc_exit"])
	}
	define := func(parameters string, results int, body []byte) int {
		functions = append(functions, uleb(uint64(len(types))))
		types = append(types, signature(parameters, results))
		whole := slices.Concat([]byte{1, 1, 0x7f}, body, end) // one local
		bodies = append(bodies, append(uleb(uint64(len(whole))), whole...))
		return len(imports) + len(functions) - 1
	}
	exports = append(exports, export("wfrt_invoke", define("i", 1, m.invoke)))
	if m.manifest == nil {
		m.manifest = code(number(68), number(manifestAt), number(int32(len(manifest))), call(fnWrite))
	}
	exports = append(exports, export("wfrt_manifest", define("", 0, m.manifest)))
	if m.helper != nil {
		define("i", 1, m.helper)
	}
	start := -1
	if m.start != nil {
		start = define("", 0, m.start)
	}
	if m.functions > 0 {
		last := define("", 0, nil)
		for range m.functions - 1 {
			functions = append(functions, functions[last-len(imports)])
			bodies = append(bodies, bodies[last-len(imports)])
		}
	}
	exports = append(exports, slices.Concat(text("memory"), []byte{2, 0}))
	at := func(place int32, content string) []byte {
		return slices.Concat([]byte{0}, number(place), end, text(content))
	}
	file := slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, vector(types...)), section(2, vector(imports...)), section(3, vector(functions...)),
		section(4, []byte{1, 0x70, 0, 1}), section(5, []byte{1, 0, pages}), section(7, vector(exports...)))
	if start >= 0 {
		file = append(file, section(8, uleb(uint64(start)))...)
	}
	file = append(file, section(10, vector(bodies...))...)
	return append(file, section(11, vector(at(manifestAt, manifest), at(dataAt, m.data)))...)
}

// manifestOf is the manifest of a workflow with one step, which is tried once.
func manifestOf(workflow string) string {
	return strings.ReplaceAll(`{"abi":1,"workflows":[{"name":"NAME","handlers":[{"id":1,"kind":"step","name":"bad","status":"bad",`+
		`"to":["good"],"retry":{"attempts":1}}],"terminal":["good"]}]}`, "NAME", workflow)
}
