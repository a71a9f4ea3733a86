package rewrite

// The code that is added. It leaves the stack of values as it was, and takes as few instructions as it can: a tight loop pays for
// each of them.

// measure is what the length of a bulk instruction counts.
type measure int

const (
	ofBytes measure = iota
	ofElements
	ofPages
)

// payLength writes a charge by the length that is on top of the stack: of the bulk instruction that comes next.
func (f *function) payLength(of measure) {
	if f.err != nil || f.top().dead {
		return
	}
	f.lengths = true
	length := uint32(f.locals)
	b := appendU32(append(f.body, opLocalTee), length)
	b = appendU32(append(b, opGlobalGet), f.fuelGlobal())
	b = appendU32(append(b, opLocalGet), length)
	if of == ofPages { // more pages than the memory may have cost nothing, as they are not given
		b = append(b, opI32Const, 0)
		b = appendU32(append(b, opLocalGet), length)
		b = appendSigned(append(b, opI32Const), int64(int32(f.module.limits.MemoryPages)))
		b = append(b, opI32LeU, opSelect)
	}
	b = append(b, opI64ExtendU)
	switch of {
	case ofBytes:
		b = append(b, opI64Const, 3, opI64ShrU)
	case ofPages:
		b = append(b, opI64Const, 13, opI64Shl)
	case ofElements:
	}
	b = appendU32(append(b, opI64Sub, opGlobalSet), f.fuelGlobal())
	f.body = f.appendCallCheck(b)
}

// appendCharge charges for a segment.
func (f *function) appendCharge(b []byte, s *segment) []byte {
	if s.check == exitCheck { // before the charge, which would be made twice
		b = append(f.appendIsOut(b), opBrIf, 1)
	}
	b = appendTake(b, f.fuelGlobal(), s.cost)
	if s.check == callCheck {
		b = f.appendCallCheck(b)
	}
	return b
}

// appendLoop begins a loop that leads out when fuel is below zero, to where the guest yields and then begins it anew:
//
//	block t
//	  loop
//	    block
//	      loop t
//	        …
//	      end
//	      br 2
//	    end
//	    i32.const YieldFuel
//	    call yield
//	    br 0
//	  end
//	  unreachable
//	end
//
// Were the call in the loop itself, the engine would keep every value of the loop in memory.
func (f *function) appendLoop(b []byte, t byte) []byte {
	return append(b, opBlock, t, opLoop, typeNone, opBlock, typeNone, opLoop, t)
}

// appendLoopEnd ends what appendLoop began, but for the last end.
func (f *function) appendLoopEnd(b []byte) []byte {
	b = append(b, opBr, 2, opEnd, opI32Const, YieldFuel, opCall)
	return append(appendU32(b, f.yieldFunction()), opBr, 0, opEnd, opUnreachable, opEnd)
}

// appendTake subtracts a constant from a global.
func appendTake(b []byte, global uint32, n int64) []byte {
	b = appendU32(append(b, opGlobalGet), global)
	b = append(appendSigned(append(b, opI64Const), n), opI64Sub, opGlobalSet)
	return appendU32(b, global)
}

// appendIsOut finds out whether fuel is below zero.
func (f *function) appendIsOut(b []byte) []byte {
	return append(appendU32(append(b, opGlobalGet), f.fuelGlobal()), opI64Const, 0, opI64LtS)
}

func (f *function) appendCallCheck(b []byte) []byte {
	b = append(f.appendIsOut(b), opIf, typeNone, opI32Const, YieldFuel, opCall)
	return append(appendU32(b, f.yieldFunction()), opEnd)
}

// appendDescent charges a cost and a call, and checks both at once: the numbers have a negative one among them when their bits
// joined are negative.
func (f *function) appendDescent(b []byte, cost int64) []byte {
	fuel, depth := f.fuelGlobal(), f.depthGlobal()
	b = appendTake(appendTake(b, fuel, cost), depth, f.weight())
	b = appendU32(append(b, opGlobalGet), fuel)
	b = appendU32(append(b, opGlobalGet), depth)
	b = append(b, opI64Or, opI64Const, 0, opI64LtS, opIf, typeNone)
	b = appendU32(append(b, opGlobalGet), depth) // its sign is the reason
	b = appendSigned(append(b, opI64Const), 63)
	b = append(b, opI64ShrU, opI32WrapI64, opCall)
	return append(appendU32(b, f.yieldFunction()), opEnd)
}

// appendAscent gives the call back.
func (f *function) appendAscent(b []byte) []byte {
	b = appendU32(append(b, opGlobalGet), f.depthGlobal())
	b = append(appendSigned(append(b, opI64Const), f.weight()), opI64Add, opGlobalSet)
	return appendU32(b, f.depthGlobal())
}

// assemble puts the charges between the instructions. The body of a function that calls others becomes a block, which has the
// label and the results of the body, so that every way out of it passes where the depth is put back.
func (f *function) assemble(t *functionType) []byte {
	groups := f.groups
	if f.lengths {
		groups++
		f.declared = append(f.declared, 1, typeI32)
	}
	b := append(appendU32(f.whole, groups), f.declared...)
	if entry := &f.segments[0]; f.calls {
		b = append(f.appendDescent(b, entry.cost), opBlock)
		switch len(t.results) {
		case 0:
			b = append(b, typeNone)
		case 1:
			b = append(b, t.results[0])
		default:
			b = appendSigned(b, int64(f.resultType(t.results)))
		}
	} else if entry.cost > 0 {
		if f.cost() > small {
			entry.check = callCheck
		}
		b = f.appendCharge(b, entry)
	}
	at := 0
	for i := range f.segments[1:] {
		if s := &f.segments[i+1]; s.cost > 0 {
			b = append(b, f.body[at:s.at]...)
			b, at = f.appendCharge(b, s), s.at
		}
	}
	b = append(b, f.body[at:]...)
	if f.calls {
		b = append(f.appendAscent(b), opEnd)
	}
	f.whole = b
	return b
}
