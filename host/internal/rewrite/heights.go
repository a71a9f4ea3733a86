package rewrite

// How instructions change the height of the stack of operands. An invalid module, which the engine refuses, may have any height.

// shape is how many parameters and results a block or a function has.
type shape struct{ parameters, results int }

func shapeOf(t *functionType) shape { return shape{len(t.parameters), len(t.results)} }

// shapeOf returns the shape of a block of a type that blockType has read.
func (f *function) shapeOf(blockType int64) shape {
	switch {
	case f.err != nil, byte(blockType&0x7f) == typeNone && blockType < 0:
		return shape{}
	case blockType < 0:
		return shape{results: 1}
	default:
		return shapeOf(&f.types[blockType])
	}
}

// move changes the height of the stack by what an instruction puts there, less what it takes.
func (f *function) move(by int) {
	if t := f.top(); !t.dead {
		f.height = max(f.height+by, t.height)
		f.highest = max(f.highest, f.height)
	}
}

// growthOf returns how much higher the stack is after an instruction that is neither opMisc nor opVector, and neither begins nor ends
// a block nor calls.
func growthOf(op opcode) int {
	switch {
	case op == opLocalGet, op == opGlobalGet, op == 0x3f, op >= opI32Const && op <= opF64Const, op == opRefNull, op == opRefFunc:
		return 1
	case op == opSelect, op == opSelectTyped, op == opTableSet, op >= 0x36 && op <= 0x3e: // and stores
		return -2
	case op == 0x1a, op == 0x21, op == opGlobalSet, op == opBrIf, op == opBrTable: // and drop and local.set
		return -1
	case op == 0x45, op == 0x50, op >= 0x67 && op <= 0x69, op >= 0x79 && op <= 0x7b, op >= 0x8b && op <= 0x91, op >= 0x99 && op <= 0x9f:
		return 0 // of one operand
	case op >= 0x46 && op <= 0xa6:
		return -1 // of two
	default:
		return 0 // also conversions and loads
	}
}

// growthOfMisc returns the same for an instruction after opMisc.
func growthOfMisc(op uint32) int {
	switch op {
	case miscMemoryInit, miscMemoryCopy, miscMemoryFill, miscTableInit, miscTableCopy, miscTableFill:
		return -3
	case miscTableGrow:
		return -1
	case miscTableSize:
		return 1
	default:
		return 0
	}
}

// growthOfVector returns the same for an instruction after opVector.
func growthOfVector(op uint32) int {
	switch {
	case op == vectorConst:
		return 1
	case op == 0x0b, op == 0x52, op >= 0x58 && op <= 0x5b: // v128.store, bitselect, stores of lanes
		return -2
	case op == 0x0d, op == 0x0e, op >= 0x54 && op <= 0x57: // shuffle, swizzle, loads of lanes
		return -1
	case op <= 0x16, op == 0x18, op == 0x19, op == 0x1b, op == 0x1d, op == 0x1f, op == 0x21: // loads, splats, and extract
		return 0
	case op <= 0x4c, op >= 0x4e && op <= 0x51: // replace, comparisons, and, andnot, or, xor
		return -1
	}
	switch op {
	case 0x4d, 0x53, 0x5c, 0x5d, 0x5e, 0x5f, 0x60, 0x61, 0x62, 0x63, 0x64, 0x67, 0x68, 0x69, 0x6a, 0x74, 0x75, 0x7a, 0x7c, 0x7d, 0x7e,
		0x7f, 0x80, 0x81, 0x83, 0x84, 0x87, 0x88, 0x89, 0x8a, 0x94, 0xa0, 0xa1, 0xa3, 0xa4, 0xa7, 0xa8, 0xa9, 0xaa, 0xc0, 0xc1, 0xc3, 0xc4,
		0xc7, 0xc8, 0xc9, 0xca, 0xe0, 0xe1, 0xe3, 0xec, 0xed, 0xef, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff:
		return 0 // of one operand
	default:
		return -1 // of two, shifts among them
	}
}

// valuesPerCall is how many values, locals and operands, a call may keep and count once for the depth: a kibibyte of the engine's stack.
const valuesPerCall = 128

// weight returns how often a call of the function counts for the depth.
func (f *function) weight() int64 { return 1 + int64(f.locals+f.highest)/valuesPerCall }
