package rewrite

// opcode is the first byte of an instruction (WebAssembly 2.0, section 5.4).
type opcode = byte

// Instructions that the rewriter looks at or makes.
const (
	opUnreachable  opcode = 0x00
	opNop          opcode = 0x01
	opBlock        opcode = 0x02
	opLoop         opcode = 0x03
	opIf           opcode = 0x04
	opElse         opcode = 0x05
	opEnd          opcode = 0x0b
	opBr           opcode = 0x0c
	opBrIf         opcode = 0x0d
	opBrTable      opcode = 0x0e
	opReturn       opcode = 0x0f
	opCall         opcode = 0x10
	opCallIndirect opcode = 0x11
	opSelect       opcode = 0x1b
	opSelectTyped  opcode = 0x1c
	opLocalGet     opcode = 0x20
	opLocalTee     opcode = 0x22
	opGlobalGet    opcode = 0x23
	opGlobalSet    opcode = 0x24
	opTableGet     opcode = 0x25
	opTableSet     opcode = 0x26
	opMemoryGrow   opcode = 0x40
	opI32Const     opcode = 0x41
	opI64Const     opcode = 0x42
	opF32Const     opcode = 0x43
	opF64Const     opcode = 0x44
	opI32LeU       opcode = 0x4d
	opI64LtS       opcode = 0x53
	opI64Add       opcode = 0x7c
	opI64Sub       opcode = 0x7d
	opI64Or        opcode = 0x84
	opI64Shl       opcode = 0x86
	opI64ShrU      opcode = 0x88
	opI32WrapI64   opcode = 0xa7
	opI64ExtendU   opcode = 0xad
	opRefNull      opcode = 0xd0
	opRefFunc      opcode = 0xd2
	opMisc         opcode = 0xfc
	opVector       opcode = 0xfd
)

// Instructions after opMisc.
const (
	miscMemoryInit = 0x08
	miscDataDrop   = 0x09
	miscMemoryCopy = 0x0a
	miscMemoryFill = 0x0b
	miscTableInit  = 0x0c
	miscElemDrop   = 0x0d
	miscTableCopy  = 0x0e
	miscTableGrow  = 0x0f
	miscTableSize  = 0x10
	miscTableFill  = 0x11
)

// vectorConst is v128.const, after opVector.
const vectorConst = 0x0c

// Types of values and blocks (section 5.3).
const (
	typeI32       = 0x7f
	typeI64       = 0x7e
	typeF32       = 0x7d
	typeF64       = 0x7c
	typeV128      = 0x7b
	typeFuncref   = 0x70
	typeExternref = 0x6f
	typeNone      = 0x40 // of a block: no result
	typeFunction  = 0x60
)

// operands says what follows an opcode.
type operands byte

const (
	unknown operands = iota
	nothing
	blockType
	label
	labels
	functionIndex
	typeAndTable
	valueTypes
	local
	global
	table
	memoryArgument
	memoryIndex
	constI32
	constI64
	fourBytes
	eightBytes
	referenceType
	memoryArgumentAndLane
	lane
	sixteenBytes
)

// operandsOf returns what follows an opcode that is neither opMisc nor opVector; unknown: it is not of WebAssembly 2.0.
func operandsOf(op opcode) operands {
	switch {
	case op == opUnreachable, op == opNop, op == opElse, op == opEnd, op == opReturn, op == 0x1a, op == opSelect:
		return nothing
	case op == opBlock, op == opLoop, op == opIf:
		return blockType
	case op == opBr, op == opBrIf:
		return label
	case op == opBrTable:
		return labels
	case op == opCall, op == opRefFunc:
		return functionIndex
	case op == opCallIndirect:
		return typeAndTable
	case op == opSelectTyped:
		return valueTypes
	case op >= opLocalGet && op <= opLocalTee:
		return local
	case op == opGlobalGet, op == opGlobalSet:
		return global
	case op == opTableGet, op == opTableSet:
		return table
	case op >= 0x28 && op <= 0x3e:
		return memoryArgument
	case op == 0x3f, op == opMemoryGrow:
		return memoryIndex
	case op == opI32Const:
		return constI32
	case op == opI64Const:
		return constI64
	case op == opF32Const:
		return fourBytes
	case op == opF64Const:
		return eightBytes
	case op >= 0x45 && op <= 0xc4, op == 0xd1: // numeric, and ref.is_null
		return nothing
	case op == opRefNull:
		return referenceType
	default:
		return unknown
	}
}

// vectorOperandsOf returns what follows an opcode after opVector (section 5.4.8).
func vectorOperandsOf(op uint32) operands {
	switch {
	case op <= 0x0b, op == 0x5c, op == 0x5d: // loads and stores
		return memoryArgument
	case op == vectorConst, op == 0x0d: // v128.const and i8x16.shuffle
		return sixteenBytes
	case op >= 0x15 && op <= 0x22: // extract and replace
		return lane
	case op >= 0x54 && op <= 0x5b: // loads and stores of lanes
		return memoryArgumentAndLane
	case op > 0xff:
		return unknown
	}
	switch op {
	case 0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee:
		return unknown // not assigned
	default:
		return nothing
	}
}

// feature names what an instruction that is not of WebAssembly 2.0 belongs to, or "".
func feature(op opcode, sub uint32) string {
	switch {
	case op >= 0x06 && op <= 0x0a, op == 0x18, op == 0x19, op == 0x1f:
		return "exceptions"
	case op == 0x12, op == 0x13:
		return "tail calls"
	case op == 0x14, op == 0x15, op >= 0xd4 && op <= 0xd6:
		return "typed function references"
	case op == 0xd3, op == 0xfb:
		return "garbage collection"
	case op >= 0xe0 && op <= 0xe6:
		return "stack switching"
	case op == opMisc && sub >= 0x13 && sub <= 0x16:
		return "wide arithmetic"
	case op == opVector && sub >= 0x100 && sub <= 0x12f:
		return "relaxed SIMD"
	case op == 0xfe:
		return "threads"
	default:
		return ""
	}
}

// typeFeature names what a type that is not of WebAssembly 2.0 belongs to, or "".
func typeFeature(t byte) string {
	switch t {
	case 0x69, 0x68, 0x74, 0x75:
		return "exceptions or stack switching"
	case 0x63, 0x64:
		return "typed function references"
	case 0x4d, 0x4e, 0x4f, 0x50, 0x5d, 0x5e, 0x5f, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x71, 0x72, 0x73, 0x77, 0x78:
		return "garbage collection"
	default:
		return ""
	}
}
