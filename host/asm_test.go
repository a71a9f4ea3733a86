package host

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/wfrt/wfrt/sdk/abi"
)

// guest is a tiny module written by hand. bytes assembles it: WebAssembly 2.0, section 5.
type guest struct {
	imports    []string // "module.name", in the order of their function indices; nil: the three of the ABI
	manifest   string   // what wfrt_manifest writes, from manifestAt
	texts      []string // further data, laid out from textAt, each at the next multiple of 64
	invoke     []byte   // the body of wfrt_invoke(handler) → code; local 1 is an i32 to use
	initialize []byte   // the body of _initialize; nil: there is none
	manifestFn []byte   // the body of wfrt_manifest; nil: it writes manifest
	recursive  []byte   // the body of one more function () → (); function index recursiveIndex
	memory     uint32   // pages; 0: 4
	omit       string   // an export to leave out
	noMemory   bool
	startsWith []byte // the body of a start function
	exportAlso string // one more name for wfrt_manifest
	table      []byte // the content of the table section; nil: there is none
	globals    []byte // the content of the global section; nil: there is none
	warm       []byte // the body of wfrt_warm; nil: there is none
}

const (
	manifestAt = 1024
	textAt     = 256
	bufferAt   = 1 << 17
)

// Instructions.
var (
	unreachable = []byte{0x00}
	drop        = []byte{0x1a}
	endBlock    = []byte{0x0b}
	loop        = []byte{0x03, 0x40}
	branch0     = []byte{0x0c, 0x00}
	branchIf0   = []byte{0x0d, 0x00}
	growMemory  = []byte{0x40, 0x00}
)

func i32(v int32) []byte          { return append([]byte{0x41}, sleb(int64(v))...) }
func i64(v int64) []byte          { return append([]byte{0x42}, sleb(v)...) }
func call_(fn int) []byte         { return append([]byte{0x10}, uleb(uint64(fn))...) }
func getLocal(n byte) []byte      { return []byte{0x20, n} }
func teeLocal(n byte) []byte      { return []byte{0x22, n} }
func setLocal(n byte) []byte      { return []byte{0x21, n} }
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

func name(s string) []byte { return append(uleb(uint64(len(s))), s...) }
func vector(items ...[]byte) []byte {
	return append(uleb(uint64(len(items))), slices.Concat(items...)...)
}
func section(id byte, b []byte) []byte { return slices.Concat([]byte{id}, uleb(uint64(len(b))), b) }

func funcType(parameters, results string) []byte {
	letters := func(s string) []byte {
		b := uleb(uint64(len(s)))
		for _, c := range s {
			b = append(b, map[rune]byte{'i': 0x7f, 'I': 0x7e}[c])
		}
		return b
	}
	return slices.Concat([]byte{0x60}, letters(parameters), letters(results))
}

var abiImports = []string{"wfrt_v1.field_read", "wfrt_v1.field_write", "wfrt_v1.log"}

// The function indices of abiImports.
const (
	fnRead = iota
	fnWrite
	fnLog
)

func (g guest) bytes() []byte {
	if g.imports == nil {
		g.imports = abiImports
	}
	if g.memory == 0 {
		g.memory = 4
	}
	var types, imports [][]byte
	known := hostFunctions()
	for n, path := range g.imports {
		from, field, _ := strings.Cut(path, ".")
		parameters, results := "", ""
		for _, f := range known[from] {
			if f.name == field {
				parameters, results = f.parameters, f.results
			}
		}
		types = append(types, funcType(parameters, results))
		imports = append(imports, slices.Concat(name(from), name(field), []byte{0x00}, uleb(uint64(n))))
	}
	var functions, bodies, exports [][]byte
	define := func(export, parameters, results string, body []byte) int {
		types = append(types, funcType(parameters, results))
		functions = append(functions, uleb(uint64(len(types)-1)))
		locals := []byte{0x01, 0x01, 0x7f} // one i32
		whole := slices.Concat(locals, body, endBlock)
		bodies = append(bodies, append(uleb(uint64(len(whole))), whole...))
		index := len(g.imports) + len(functions) - 1
		if export != "" && export != g.omit {
			exports = append(exports, slices.Concat(name(export), []byte{0x00}, uleb(uint64(index))))
		}
		return index
	}
	if g.manifestFn == nil {
		g.manifestFn = code(i32(int32(abi.FieldManifest)), i32(manifestAt), i32(int32(len(g.manifest))), call_(fnWrite))
	}
	if g.invoke == nil {
		g.invoke = i32(int32(abi.CodeSkip))
	}
	define("wfrt_invoke", "i", "i", g.invoke)
	manifestIndex := define("wfrt_manifest", "", "", g.manifestFn)
	if g.recursive != nil {
		define("", "", "", g.recursive)
	}
	if g.exportAlso != "" {
		exports = append(exports, slices.Concat(name(g.exportAlso), []byte{0x00}, uleb(uint64(manifestIndex))))
	}
	if g.initialize != nil {
		define("_initialize", "", "", g.initialize)
	}
	if g.warm != nil {
		define("wfrt_warm", "", "", g.warm)
	}
	start := -1
	if g.startsWith != nil {
		start = define("", "", "", g.startsWith)
	}
	if g.omit != "memory" && !g.noMemory {
		exports = append(exports, slices.Concat(name("memory"), []byte{0x02, 0x00}))
	}
	data := [][]byte{slices.Concat([]byte{0x00}, i32(manifestAt), endBlock, name(g.manifest))}
	for n, text := range g.texts {
		data = append(data, slices.Concat([]byte{0x00}, i32(textAt+64*int32(n)), endBlock, name(text)))
	}
	file := slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, vector(types...)), section(2, vector(imports...)), section(3, vector(functions...)))
	if g.table != nil {
		file = append(file, section(4, g.table)...)
	}
	if !g.noMemory {
		file = append(file, section(5, vector(append([]byte{0x00}, uleb(uint64(g.memory))...)))...)
	}
	if g.globals != nil {
		file = append(file, section(6, g.globals)...)
	}
	file = append(file, section(7, vector(exports...))...)
	if start >= 0 {
		file = append(file, section(8, uleb(uint64(start)))...)
	}
	file = append(file, section(10, vector(bodies...))...)
	if !g.noMemory {
		file = append(file, section(11, vector(data...))...)
	}
	return file
}

// recursiveIndex is the function index of guest.recursive.
func (g guest) recursiveIndex() int {
	if g.imports == nil {
		return len(abiImports) + 2
	}
	return len(g.imports) + 2
}

// door is a manifest of one workflow with one step, closed → open.
const door = `{"abi":1,"version":"1","workflows":[{"name":"door","handlers":[` +
	`{"id":1,"kind":"step","name":"closed","status":"closed","to":["open"]}],"terminal":["open"]}]}`

// writeText is the code that writes texts[n] to a field.
func writeText(field abi.Field, n int, text string) []byte {
	return code(i32(int32(field)), i32(textAt+64*int32(n)), i32(int32(len(text))), call_(fnWrite))
}

// doorGuest moves its run to open and leaves the object alone.
func doorGuest() guest {
	return guest{manifest: door, texts: []string{"open"}, invoke: code(writeText(abi.FieldNewStatus, 0, "open"), i32(1))}
}

// echoGuest reads the object, writes it back as the new one, with one byte changed when it has a "0" at place 5, and moves
// to open.
func echoGuest() guest {
	const load8, store8, add = 0x2d, 0x3a, 0x6a
	return guest{manifest: door, texts: []string{"open"}, invoke: code(
		i32(int32(abi.FieldNewObject)), i32(bufferAt),
		i32(int32(abi.FieldObject)), i32(bufferAt), i32(1<<16), call_(fnRead),
		i32(bufferAt+5), i32(bufferAt+5), []byte{load8, 0, 0}, i32(1), []byte{add}, []byte{store8, 0, 0},
		call_(fnWrite),
		writeText(abi.FieldNewStatus, 0, "open"), i32(1))}
}

// workflowPart is a manifest of a part of a workflow: statuses as "a>b,c" are handled, others are written out.
func workflowPart(workflow, start string, steps, terminal, external []string) string {
	var handlers []string
	for id, s := range steps {
		status, to, _ := strings.Cut(s, ">")
		destinations := "[]"
		if to != "" {
			destinations = quoted(strings.Split(to, ","))
		}
		handlers = append(handlers, fmt.Sprintf(`{"id":%d,"kind":"step","name":%q,"status":%q,"to":%s}`, id, status, status, destinations))
	}
	return fmt.Sprintf(`{"abi":1,"workflows":[{"name":%q,"start":%q,"handlers":[%s],"terminal":%s,"external":%s}]}`,
		workflow, start, strings.Join(handlers, ","), quoted(terminal), quoted(external))
}

func quoted(texts []string) string {
	q := make([]string, len(texts))
	for n, s := range texts {
		q[n] = fmt.Sprintf("%q", s)
	}
	return "[" + strings.Join(q, ",") + "]"
}
