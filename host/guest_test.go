package host

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/sdk/abi"
)

// guest is a tiny plugin written by hand, in internal/asm.
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

var abiImports = []string{"wfrt_v1.field_read", "wfrt_v1.field_write", "wfrt_v1.log"}

// The function indices of abiImports.
const (
	fnRead = iota
	fnWrite
	fnLog
)

// bytes assembles the guest.
func (g guest) bytes() []byte {
	if g.imports == nil {
		g.imports = abiImports
	}
	m := asm.Module{Tables: g.table, Globals: g.globals}
	known := hostFunctions()
	for _, path := range g.imports {
		from, field, _ := strings.Cut(path, ".")
		i := asm.Import{From: from, Name: field}
		for _, f := range known[from] {
			if f.name == field {
				i.Parameters, i.Results = f.parameters, f.results
			}
		}
		m.Imports = append(m.Imports, i)
	}
	define := func(f asm.Function) {
		f.Exports = slices.DeleteFunc(f.Exports, func(export string) bool { return export == "" || export == g.omit })
		m.Functions = append(m.Functions, f)
	}
	if g.manifestFn == nil {
		g.manifestFn = asm.Code(asm.I32(int32(abi.FieldManifest)), asm.I32(manifestAt), asm.I32(int32(len(g.manifest))), asm.Call(fnWrite))
	}
	if g.invoke == nil {
		g.invoke = asm.I32(int32(abi.CodeSkip))
	}
	define(asm.Function{Exports: []string{abi.ExportInvoke}, Parameters: "i", Results: "i", Code: g.invoke})
	define(asm.Function{Exports: []string{abi.ExportManifest, g.exportAlso}, Code: g.manifestFn})
	if g.recursive != nil {
		define(asm.Function{Code: g.recursive})
	}
	if g.initialize != nil {
		define(asm.Function{Exports: []string{abi.ExportInitialize}, Code: g.initialize})
	}
	if g.warm != nil {
		define(asm.Function{Exports: []string{abi.ExportWarm}, Code: g.warm})
	}
	if g.startsWith != nil {
		define(asm.Function{Code: g.startsWith, Start: true})
	}
	if g.noMemory {
		return m.Bytes()
	}
	if m.Memory = g.memory; m.Memory == 0 {
		m.Memory = 4
	}
	if g.omit != abi.ExportMemory {
		m.MemoryAs = abi.ExportMemory
	}
	m.Data = append(m.Data, asm.Data{At: manifestAt, Content: g.manifest})
	for n, text := range g.texts {
		m.Data = append(m.Data, asm.Data{At: textAt + 64*int32(n), Content: text})
	}
	return m.Bytes()
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
	return asm.Code(asm.I32(int32(field)), asm.I32(textAt+64*int32(n)), asm.I32(int32(len(text))), asm.Call(fnWrite))
}

// doorGuest moves its run to open and leaves the object alone.
func doorGuest() guest {
	return guest{manifest: door, texts: []string{"open"}, invoke: asm.Code(writeText(abi.FieldNewStatus, 0, "open"), asm.I32(1))}
}

// echoGuest reads the object, writes it back as the new one, with one byte changed when it has a "0" at place 5, and moves
// to open.
func echoGuest() guest {
	return guest{manifest: door, texts: []string{"open"}, invoke: asm.Code(
		asm.I32(int32(abi.FieldNewObject)), asm.I32(bufferAt),
		asm.I32(int32(abi.FieldObject)), asm.I32(bufferAt), asm.I32(1<<16), asm.Call(fnRead),
		asm.I32(bufferAt+5), asm.I32(bufferAt+5), asm.I32Load8U, asm.I32(1), asm.I32Add, asm.I32Store8,
		asm.Call(fnWrite),
		writeText(abi.FieldNewStatus, 0, "open"), asm.I32(1))}
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
