// Package asm writes small WebAssembly modules in Go, one instruction after the other, for tests: guests that no compiler would make.
// The instructions have the names of the text format, and what is written is what runs.
package asm

import (
	"encoding/binary"
	"slices"
)

// Instructions, as the text format has them. Loads and stores are at their own alignment, without an offset; memory and table are the
// first. Do not write to them.
var (
	Unreachable = []byte{0x00}
	Nop         = []byte{0x01}
	Loop        = []byte{0x03, 0x40} // without a result
	If          = []byte{0x04, 0x40} // without a result
	IfI32       = []byte{0x04, 0x7f} // if (result i32)
	Else        = []byte{0x05}
	End         = []byte{0x0b}
	Drop        = []byte{0x1a}

	I32Load   = []byte{0x28, 2, 0}
	I64Load   = []byte{0x29, 3, 0}
	I32Load8U = []byte{0x2d, 0, 0}
	I32Store  = []byte{0x36, 2, 0}
	I32Store8 = []byte{0x3a, 0, 0}

	MemorySize = []byte{0x3f, 0}
	MemoryGrow = []byte{0x40, 0}
	MemoryFill = []byte{0xfc, 11, 0}

	I32Eqz  = []byte{0x45}
	I32Eq   = []byte{0x46}
	I32Ne   = []byte{0x47}
	I32LtS  = []byte{0x48}
	I32LeS  = []byte{0x4c}
	I32Add  = []byte{0x6a}
	I32Sub  = []byte{0x6b}
	I32Mul  = []byte{0x6c}
	I32DivS = []byte{0x6d}
	I32ShrU = []byte{0x76}

	RefNullFunc = []byte{0xd0, 0x70} // ref.null func
	TableGrow   = []byte{0xfc, 15, 0}
	TableSize   = []byte{0xfc, 16, 0}
)

// Code returns instructions behind each other.
func Code(parts ...[]byte) []byte { return slices.Concat(parts...) }

// I32 returns i32.const v.
func I32(v int32) []byte { return append([]byte{0x41}, Sleb(int64(v))...) }

// I64 returns i64.const v.
func I64(v int64) []byte { return append([]byte{0x42}, Sleb(v)...) }

// Call returns a call of a function by its index.
func Call(fn int) []byte { return append([]byte{0x10}, Uleb(uint64(fn))...) }

// CallIndirect returns a call of an element of the table by its type's index.
func CallIndirect(kind int) []byte { return append(append([]byte{0x11}, Uleb(uint64(kind))...), 0) }

// Br returns a branch out of that many blocks, or to the head of a loop.
func Br(depth int) []byte { return append([]byte{0x0c}, Uleb(uint64(depth))...) }

// BrIf returns a branch as Br, that is taken unless the i32 on the stack is 0.
func BrIf(depth int) []byte { return append([]byte{0x0d}, Uleb(uint64(depth))...) }

// Get returns local.get.
func Get(local int) []byte { return append([]byte{0x20}, Uleb(uint64(local))...) }

// Set returns local.set.
func Set(local int) []byte { return append([]byte{0x21}, Uleb(uint64(local))...) }

// Tee returns local.tee.
func Tee(local int) []byte { return append([]byte{0x22}, Uleb(uint64(local))...) }

// GetGlobal returns global.get.
func GetGlobal(global int) []byte { return append([]byte{0x23}, Uleb(uint64(global))...) }

// SetGlobal returns global.set.
func SetGlobal(global int) []byte { return append([]byte{0x24}, Uleb(uint64(global))...) }

// Uleb encodes an unsigned number: WebAssembly 2.0, section 5.2.2.
func Uleb(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// Sleb encodes a signed number: WebAssembly 2.0, section 5.2.2.
func Sleb(v int64) (b []byte) {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// Text encodes a string, a name or other bytes, with its length before it.
func Text(s string) []byte { return append(Uleb(uint64(len(s))), s...) }

// Vector encodes items with their number before them.
func Vector(items ...[]byte) []byte {
	return append(Uleb(uint64(len(items))), slices.Concat(items...)...)
}

// Section encodes a section of a module: its number, its length and its content.
func Section(id byte, content []byte) []byte {
	return slices.Concat([]byte{id}, Uleb(uint64(len(content))), content)
}

// Types encodes types of values, one letter each: i is i32, I i64, f f32, F f64, v v128, r funcref.
func Types(letters string) []byte {
	b := Uleb(uint64(len(letters)))
	for _, letter := range letters {
		b = append(b, map[rune]byte{'i': 0x7f, 'I': 0x7e, 'f': 0x7d, 'F': 0x7c, 'v': 0x7b, 'r': 0x70}[letter])
	}
	return b
}

// FuncType encodes the type of a function from those of its parameters and results: see Types.
func FuncType(parameters, results string) []byte {
	return slices.Concat([]byte{0x60}, Types(parameters), Types(results))
}

// Body encodes the code of a function, with one local of i32 behind its parameters and the end that it lacks.
func Body(code []byte) []byte { return Text(string(slices.Concat([]byte{1, 1, 0x7f}, code, End))) }
