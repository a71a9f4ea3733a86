package rewrite

import (
	"fmt"
)

// function is the code of one function while it is rewritten. Its slices are used again for the next.
type function struct {
	*module
	reader
	declared []byte // the declarations of its locals, each a number and a type
	groups   int    // how many these are
	locals   int    // how many locals that makes, with parameters
	lengths  bool   // there is to be one more, of type i32, for what bulk instructions move
	calls    bool   // it calls functions that may call others
	body     []byte // its instructions, without charges
	frames   []frame
	segments []segment
	effort
	whole []byte // what becomes of it
}

// codeContent rewrites the code of all functions.
func (m *module) codeContent(r *reader) []byte {
	f := &function{module: m}
	size := len(r.rest)
	most := m.maxEffortTotal + effortPerByte*int64(size)
	n := r.count()
	out := appendU32(make([]byte, 0, size+size/4), n)
	for ; n > 0 && r.err == nil; n-- {
		index := m.imports + m.bodies
		if index >= len(m.functions) {
			break // Rewrite compares the numbers
		}
		m.bodies++
		if f.reader = (reader{rest: r.bytes(r.u32())}); len(f.rest) > maxFunction {
			r.fail(fmt.Errorf("its function %d has %d bytes of code; the limit is %d: make several functions of it", index, len(f.rest), maxFunction))
			break
		}
		code := f.rewrite(&m.types[m.functions[index]])
		if f.err != nil {
			r.fail(fmt.Errorf("its function %d %v", index, f.err)) //nolint:errorlint // a whole sentence
			break
		}
		m.mostEffort = max(m.mostEffort, f.total())
		if m.effortTotal += f.more(); m.effortTotal > most {
			r.fail(fmt.Errorf("its functions together would take too long to compile: up to function %d their effort is %d, and the limit is %d",
				index, m.effortTotal, most))
			break
		}
		out = append(appendU32(out, len(code)), code...)
	}
	return out
}

// rewrite returns the new code of a function. It holds until the next call.
func (f *function) rewrite(t *functionType) []byte {
	f.declared, f.body, f.frames, f.segments, f.whole = f.declared[:0], f.body[:0], f.frames[:0], f.segments[:0], f.whole[:0]
	f.lengths, f.calls, f.effort = false, false, effort{}
	f.readLocals(len(t.parameters))
	f.enter(shapeOf(t))
	for len(f.frames) > 0 && f.err == nil {
		f.instruction()
	}
	if f.end() != nil {
		return nil
	}
	return f.assemble(t)
}

func (f *function) readLocals(parameters int) {
	f.groups = f.count()
	sum := uint64(0)
	for range f.groups {
		n, t := f.u32(), f.valueType()
		sum += uint64(n)
		f.declared = append(appendU32(f.declared, n), t)
	}
	if f.err == nil && sum > maxLocals {
		f.fail(clausef("has %d locals; the limit is %d", sum, maxLocals))
	}
	f.locals = parameters + int(sum)
}

// instruction reads one instruction and writes it.
func (f *function) instruction() {
	op := f.byte()
	if f.err != nil {
		return
	}
	switch op {
	case opMisc:
		f.misc()
		return
	case opVector:
		f.vector()
		return
	case opReturn: // as a branch out of the body, which assemble may put a block around
		f.pay()
		f.body = append(f.body, opBr)
		f.jump(uint32(len(f.frames) - 1))
		f.top().dead = true
		return
	case opLoop:
		f.loop()
		return
	case opMemoryGrow:
		f.payLength(ofPages)
	case opTableSet:
		f.cannotRestore("it writes elements of tables")
	}
	if op > opElse && op != opEnd || op == opUnreachable || op == opIf {
		f.pay()
	}
	f.move(growthOf(op))
	f.body = append(f.body, op)
	switch operandsOf(op) {
	case nothing:
		f.simple(op)
	case blockType:
		t := f.blockType()
		f.body = appendSigned(f.body, t)
		f.push(op, 1, f.shapeOf(t))
	case label:
		f.jump(f.index(len(f.frames), "label"))
		if op == opBr {
			f.top().dead = true
		} else {
			f.begin(false, noCheck)
			f.advance(1)
		}
	case labels:
		n := f.count()
		f.body = appendU32(f.body, n)
		for ; n >= 0 && f.err == nil; n-- {
			f.jump(f.index(len(f.frames), "label"))
		}
		f.top().dead = true
	case functionIndex:
		callee := f.index(len(f.functions), "function")
		if op == opCall && f.err == nil {
			f.calls = f.calls || int(callee) >= f.imports
			f.call(&f.types[f.functions[callee]])
		}
		f.body = appendU32(f.body, f.renumber(callee))
	case typeAndTable:
		f.calls = true
		t := f.index(len(f.types), "type")
		if f.err == nil {
			f.move(-1)
			f.call(&f.types[t])
		}
		f.body = appendU32(f.body, t)
		f.body = appendU32(f.body, f.index(f.tables, "table"))
	case valueTypes:
		n := f.count()
		for f.body = appendU32(f.body, n); n > 0 && f.err == nil; n-- {
			f.body = append(f.body, f.valueType())
		}
	case local:
		f.search()
		f.body = appendU32(f.body, f.index(f.locals, "local"))
	case global:
		f.search()
		f.body = appendU32(f.body, f.index(f.globals, "global"))
	case table:
		f.body = appendU32(f.body, f.index(f.tables, "table"))
	case memoryArgument:
		f.appendMemoryArgument()
	case memoryIndex:
		f.body = append(f.body, f.memory())
	case constI32:
		f.body = appendSigned(f.body, f.signed(32))
	case constI64:
		f.body = appendSigned(f.body, f.signed(64))
	case fourBytes:
		f.body = append(f.body, f.bytes(4)...)
	case eightBytes:
		f.body = append(f.body, f.bytes(8)...)
	case referenceType:
		f.body = append(f.body, f.referenceType())
	default:
		f.unsupported(op, 0)
	}
}

// simple does what is to be done at an instruction without operands.
func (f *function) simple(op opcode) {
	switch op {
	case opUnreachable:
		f.top().dead = true
	case opElse:
		if f.top().op != opIf {
			f.fail(clause("has an else without an if"))
			return
		}
		f.otherwise()
	case opEnd:
		if t := f.top(); t.op == opLoop && t.level-f.frames[len(f.frames)-2].level > 1 {
			f.body = f.appendLoopEnd(f.body)
		}
		f.pop()
	}
}

// jump writes a label that is branched to.
func (f *function) jump(label uint32) {
	if f.err == nil {
		f.branch(label)
		f.body = appendU32(f.body, f.top().level-f.frames[len(f.frames)-1-int(label)].level)
	}
}

// loop begins a loop. One without parameters gets another around it, so that it need not call when fuel is below zero: see
// appendLoop.
func (f *function) loop() {
	t := f.blockType()
	if t < 0 {
		f.body = f.appendLoop(f.body, byte(t&0x7f))
		f.push(opLoop, 4, f.shapeOf(t))
	} else {
		f.body = appendSigned(append(f.body, opLoop), t)
		f.push(opLoop, 1, f.shapeOf(t))
	}
}

// blockType reads the type of a block: negative, one of its result or typeNone; else the index of a type.
func (f *function) blockType() int64 {
	t := f.signed(33)
	switch b := byte(t & 0x7f); {
	case f.err != nil:
	case t >= int64(len(f.types)):
		f.fail(noSuch("type", t, len(f.types)))
	case t < -64 || t < 0 && b != typeNone && !isNumeric(b) && b != typeV128 && !isReference(b):
		f.fail(unsupported(fmt.Sprintf("has a block of the type %#x", b), typeFeature(b)))
	}
	return t
}

// appendMemoryArgument copies the alignment and the offset of an access to the memory.
func (f *function) appendMemoryArgument() {
	align := f.u32()
	if align >= 64 {
		f.fail(unsupported("names a memory", "multiple memories"))
	}
	f.access()
	f.body = appendU32(appendU32(f.body, align), f.u32())
}

// memory reads the number of the only memory, which is one byte.
func (f *function) memory() byte {
	if f.byte() != 0 {
		f.fail(unsupported("names a memory", "multiple memories"))
	}
	return 0
}

func (f *function) unsupported(op opcode, sub uint32) {
	if f.err != nil {
		return
	}
	name := fmt.Sprintf("uses the instruction %#x", op)
	if op == opMisc || op == opVector {
		name += fmt.Sprintf(" %#x", sub)
	}
	f.fail(unsupported(name, feature(op, sub)))
}

// vector reads what follows opVector.
func (f *function) vector() {
	f.pay()
	op := f.u32()
	f.move(growthOfVector(op))
	f.body = appendU32(append(f.body, opVector), op)
	switch vectorOperandsOf(op) {
	case nothing:
	case memoryArgument:
		f.appendMemoryArgument()
	case memoryArgumentAndLane:
		f.appendMemoryArgument()
		f.body = append(f.body, f.byte())
	case lane:
		f.body = append(f.body, f.byte())
	case sixteenBytes:
		f.body = append(f.body, f.bytes(16)...)
	default:
		f.unsupported(opVector, op)
	}
}

// misc reads what follows opMisc: the saturating conversions, and the bulk instructions.
func (f *function) misc() {
	f.pay()
	op := f.u32()
	f.move(growthOfMisc(op))
	if op >= miscMemoryInit {
		f.advance(bulkBlocks)
	}
	var first, second uint32
	switch op {
	case miscMemoryInit:
		f.payLength(ofBytes)
		first = f.index(max(f.data, 0), "data segment")
		second = uint32(f.memory())
	case miscDataDrop:
		f.cannotRestore("it drops data segments")
		first = f.index(max(f.data, 0), "data segment")
	case miscMemoryCopy:
		f.payLength(ofBytes)
		first, second = uint32(f.memory()), f.index(1, "memory")
	case miscMemoryFill:
		f.payLength(ofBytes)
		first = uint32(f.memory())
	case miscTableInit:
		f.cannotRestore("it writes elements of tables")
		f.payLength(ofElements)
		first = f.index(f.elements, "element segment")
		second = f.index(f.tables, "table")
	case miscElemDrop:
		f.cannotRestore("it drops element segments")
		first = f.index(f.elements, "element segment")
	case miscTableCopy:
		f.cannotRestore("it writes elements of tables")
		f.payLength(ofElements)
		first, second = f.index(f.tables, "table"), f.index(f.tables, "table")
	case miscTableGrow, miscTableFill:
		f.cannotRestore("it writes elements of tables")
		f.payLength(ofElements)
		first = f.index(f.tables, "table")
	case miscTableSize:
		first = f.index(f.tables, "table")
	default:
		if op >= miscMemoryInit {
			f.unsupported(opMisc, op)
		}
	}
	f.body = appendU32(append(f.body, opMisc), op)
	switch {
	case op < miscMemoryInit:
	case op == miscMemoryInit, op == miscMemoryCopy, op == miscTableInit, op == miscTableCopy:
		f.body = appendU32(appendU32(f.body, first), second)
	default:
		f.body = appendU32(f.body, first)
	}
}
