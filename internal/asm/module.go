package asm

import "slices"

// Header is what every module begins with.
const Header = "\x00asm\x01\x00\x00\x00"

// Module is a module to be written. The index of a function is its place among the imports and then the functions. Types are numbered
// as they first come up there, each once.
type Module struct {
	Imports   []Import
	Functions []Function
	Memory    uint32 // pages; 0: it has no memory
	MemoryAs  string // the name that the memory is exported by; "": it is not
	Tables    []byte // the content of the table section; nil: there is none
	Globals   []byte // the content of the global section; nil: there is none
	Data      []Data
}

// Import is a function of the host.
type Import struct {
	From, Name          string
	Parameters, Results string // see Types
}

// Function is a function of the module.
type Function struct {
	Exports             []string // its names
	Parameters, Results string   // see Types
	Code                []byte   // see Body
	Start               bool     // it is run when the module is instantiated
}

// Data is what lies in memory from the beginning.
type Data struct {
	At      int32
	Content string
}

// Bytes returns the module in the binary format.
func (m *Module) Bytes() []byte {
	var types, imports, functions, bodies, exports, data [][]byte
	known := make(map[string]int)
	typeOf := func(parameters, results string) []byte {
		kind := FuncType(parameters, results)
		index, ok := known[string(kind)]
		if !ok {
			index = len(types)
			known[string(kind)] = index
			types = append(types, kind)
		}
		return Uleb(uint64(index))
	}
	for _, i := range m.Imports {
		imports = append(imports, slices.Concat(Text(i.From), Text(i.Name), []byte{0}, typeOf(i.Parameters, i.Results)))
	}
	var start []byte
	for n, f := range m.Functions {
		index := Uleb(uint64(len(imports) + n))
		functions = append(functions, typeOf(f.Parameters, f.Results))
		bodies = append(bodies, Body(f.Code))
		for _, name := range f.Exports {
			exports = append(exports, slices.Concat(Text(name), []byte{0}, index))
		}
		if f.Start {
			start = index
		}
	}
	if m.MemoryAs != "" {
		exports = append(exports, slices.Concat(Text(m.MemoryAs), []byte{2, 0}))
	}
	for _, d := range m.Data {
		data = append(data, slices.Concat([]byte{0}, I32(d.At), End, Text(d.Content)))
	}
	file := []byte(Header)
	add := func(id byte, content []byte) {
		if content != nil {
			file = append(file, Section(id, content)...)
		}
	}
	add(1, Vector(types...))
	add(2, Vector(imports...))
	add(3, Vector(functions...))
	add(4, m.Tables)
	if m.Memory > 0 {
		add(5, slices.Concat([]byte{1, 0}, Uleb(uint64(m.Memory))))
	}
	add(6, m.Globals)
	add(7, Vector(exports...))
	add(8, start)
	add(10, Vector(bodies...))
	if len(data) > 0 {
		add(11, Vector(data...))
	}
	return file
}
