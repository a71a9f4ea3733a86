package rewrite_test

import (
	"encoding/binary"
	"slices"
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

func types(letters string) []byte {
	out := uleb(len(letters))
	for _, c := range letters {
		out = append(out, map[rune]byte{'i': 0x7f, 'I': 0x7e, 'f': 0x7d, 'F': 0x7c, 'v': 0x7b, 'r': 0x70}[c])
	}
	return out
}

func uleb[T int | uint32](v T) []byte { return binary.AppendUvarint(nil, uint64(v)) }

func text(s string) []byte { return append(uleb(len(s)), s...) }

func vector(items ...[]byte) []byte { return append(uleb(len(items)), slices.Concat(items...)...) }

func code(parts ...[]byte) []byte { return slices.Concat(parts...) }

func i32(v int) []byte { return append([]byte{0x41}, sleb(int64(v))...) }

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

func (w wat) bytes() []byte {
	var kinds, imports, functions, exports, bodies [][]byte
	for n, name := range w.imports {
		kinds = append(kinds, []byte{0x60, 0, 0})
		imports = append(imports, slices.Concat(text("env"), text(name), []byte{0}, uleb(n)))
	}
	for n, f := range w.functions {
		kinds = append(kinds, slices.Concat([]byte{0x60}, types(f.parameters), types(f.results)))
		functions = append(functions, uleb(len(w.imports)+n))
		if f.name != "" {
			exports = append(exports, slices.Concat(text(f.name), []byte{0}, uleb(len(w.imports)+n)))
		}
		body := slices.Concat([]byte{1, 1, 0x7f}, f.body, []byte{0x0b})
		bodies = append(bodies, append(uleb(len(body)), body...))
	}
	exports = append(exports, slices.Concat(text("memory"), []byte{2, 0}))
	content := map[byte][]byte{
		1: vector(kinds...), 2: vector(imports...), 3: vector(functions...),
		4:  {1, 0x70, 0, 10},
		5:  {1, 0, 1},
		6:  {2, 0x7f, 1, 0x41, 5, 0x0b, 0x7e, 0, 0x42, 6, 0x0b},
		7:  vector(exports...),
		10: vector(bodies...),
	}
	for id, section := range w.sections {
		content[id] = section
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, id := range []byte{1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11} {
		if section := content[id]; section != nil {
			out = slices.Concat(out, []byte{id}, uleb(len(section)), section)
		}
	}
	return out
}
