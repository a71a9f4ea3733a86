package rewrite_test

import (
	"slices"

	"github.com/wfrt/wfrt/internal/asm"
)

// wat is a module written by hand: functions of one type each, a memory, a table, and two globals.
type wat struct {
	functions []fn
	sections  map[byte][]byte // instead of, or besides, those that are made
	imports   []string        // functions () → () of the module "env"
}

// fn is a function, exported by its name.
type fn struct {
	name                string
	parameters, results string // i is i32, I is i64
	body                []byte // without the last end; locals are the parameters and one i32
}

func (w wat) bytes() []byte {
	var kinds, imports, functions, exports, bodies [][]byte
	for n, name := range w.imports {
		kinds = append(kinds, []byte{0x60, 0, 0})
		imports = append(imports, slices.Concat(asm.Text("env"), asm.Text(name), []byte{0}, asm.Uleb(uint64(n))))
	}
	for n, f := range w.functions {
		kinds = append(kinds, asm.FuncType(f.parameters, f.results))
		functions = append(functions, asm.Uleb(uint64(len(w.imports)+n)))
		if f.name != "" {
			exports = append(exports, slices.Concat(asm.Text(f.name), []byte{0}, asm.Uleb(uint64(len(w.imports)+n))))
		}
		bodies = append(bodies, asm.Body(f.body))
	}
	exports = append(exports, slices.Concat(asm.Text("memory"), []byte{2, 0}))
	content := map[byte][]byte{
		1: asm.Vector(kinds...), 2: asm.Vector(imports...), 3: asm.Vector(functions...),
		4:  {1, 0x70, 0, 10},
		5:  {1, 0, 1},
		6:  {2, 0x7f, 1, 0x41, 5, 0x0b, 0x7e, 0, 0x42, 6, 0x0b},
		7:  asm.Vector(exports...),
		10: asm.Vector(bodies...),
	}
	for id, section := range w.sections {
		content[id] = section
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, id := range []byte{1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11} {
		if section := content[id]; section != nil {
			out = append(out, asm.Section(id, section)...)
		}
	}
	return out
}
