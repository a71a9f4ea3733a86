package hostile

import (
	"strings"

	"github.com/wfrt/wfrt/internal/asm"
)

// module is a plugin of one workflow with one step.
type module struct {
	imports  []asm.Import   // beside those that every module has
	invoke   []byte         // the code of wfrt_invoke
	manifest []byte         // the code of wfrt_manifest; nil: it writes the manifest
	more     []asm.Function // the first is fnMore, if there are no imports
	data     string         // at dataAt
}

// Functions. Imports of a module's own move those that follow.
const (
	fieldWrite = iota
	fieldRead
	log
	fnImport                // the first import of a module's own
	fnMore   = fnImport + 2 // behind wfrt_invoke and wfrt_manifest
)

// typeInvoke is the type of wfrt_invoke in a module without imports of its own, behind those of field_write and field_read.
const typeInvoke = 2

// Places in memory.
const (
	manifestAt = 1024
	dataAt     = 8192
	pages      = 2
)

// bytes assembles the module. manifest is the document that it writes.
func (m *module) bytes(manifest string) []byte {
	if m.manifest == nil {
		m.manifest = asm.Code(asm.I32(fieldManifest), asm.I32(manifestAt), asm.I32(int32(len(manifest))), asm.Call(fieldWrite))
	}
	whole := asm.Module{
		Imports: append([]asm.Import{
			{From: "wfrt_v1", Name: "field_write", Parameters: "iii"},
			{From: "wfrt_v1", Name: "field_read", Parameters: "iii", Results: "i"},
			{From: "wfrt_v1", Name: "log", Parameters: "iii"},
		}, m.imports...),
		Functions: append([]asm.Function{
			{Exports: []string{"wfrt_invoke"}, Parameters: "i", Results: "i", Code: m.invoke},
			{Exports: []string{"wfrt_manifest"}, Code: m.manifest},
		}, m.more...),
		Memory: pages, MemoryAs: "memory",
		Tables: []byte{1, 0x70, 0, 1}, // one of functions, with one element
		Data:   []asm.Data{{At: manifestAt, Content: manifest}, {At: dataAt, Content: m.data}},
	}
	return whole.Bytes()
}

// manifestOf is the manifest of a workflow with one step, which is tried once.
func manifestOf(workflow string) string {
	return strings.ReplaceAll(`{"abi":1,"workflows":[{"name":"NAME","handlers":[{"id":1,"kind":"step","name":"bad","status":"bad",`+
		`"to":["good"],"retry":{"attempts":1}}],"terminal":["good"]}]}`, "NAME", workflow)
}
