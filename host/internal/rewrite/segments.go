package rewrite

// granularity says how finely code is charged for.
type granularity struct {
	// slack is how much a charge may exceed what is then run, for code that is left out. More of it makes fewer charges.
	slack int64
	// longest is the greatest cost of code without a check, so that straight code of any length comes to one.
	longest int64
	// maxEffort bounds the effort of one function, and maxEffortTotal that of all, with effortPerByte more for each byte of the code,
	// which takes its time anyway.
	maxEffort, maxEffortTotal int64
}

// small is the greatest cost of a function that is entered without a check, so that calls in a row come to one.
const small = 100

func usual() granularity {
	return granularity{slack: 32, longest: 10_000, maxEffort: 1 << 30, maxEffortTotal: 1 << 31}
}

// segment is a part of the code whose cost is charged where it begins.
type segment struct {
	at     int   // where it begins, in function.body
	outer  int   // the segment that it would belong to if it were none
	cost   int64 // 0: it is none
	unsure int64 // how much of the cost is that of code that may be left out when the segment is begun
	loop   bool  // it begins at the head of a loop
	check  check // what is done besides the charge
}

// check is how the code at the beginning of a segment finds out that fuel is below zero.
type check byte

const (
	noCheck   check = iota // control has come or will come to another
	callCheck              // by a call
	exitCheck              // by leaving the loop, around which there is one that calls
)

// frame is a construct that has been entered and not yet left: the body of the function, a block, a loop, an if, or an else.
type frame struct {
	op       opcode // opBlock for the body
	segment  int    // the innermost that began in it
	entered  int    // the segment that it began in
	dead     bool   // control does not get here
	unborn   bool   // control did not get to where it began
	targeted bool   // a branch leads to its label, or the first arm of an if to its end
	level    int    // how many labels there are in the rewritten code, with its own
	escape   int    // the outermost frame that a branch out of it leads to; its own number or more: there is none
	shape
	height int   // of the stack beneath its parameters
	origin point // where it was entered
	joins  point // where control comes to its label from
	edges  int   // from how many places
}

// arity returns how many values a branch to the label takes along.
func (t *frame) arity() int {
	if t.op == opLoop {
		return t.parameters
	}
	return t.results
}

const noSegment = -1

func (f *function) top() *frame { return &f.frames[len(f.frames)-1] }

// enter begins the body.
func (f *function) enter(s shape) {
	f.frames = append(f.frames, frame{op: opBlock, segment: noSegment, entered: noSegment, shape: s})
	f.begin(false, noCheck)
	f.spend(functionEffort)
	f.advance(entryBlocks)
}

// push begins a construct within the one at hand, which has a number of labels in the rewritten code.
func (f *function) push(op opcode, labels int, s shape) {
	if op == opIf {
		f.move(-1)
	}
	if len(f.frames) > maxNesting {
		f.fail(clausef("has more than %d blocks within each other", maxNesting))
	}
	t := f.top()
	f.frames = append(f.frames, frame{
		op: op, segment: t.segment, entered: t.segment, dead: t.dead, unborn: t.dead, level: t.level + labels, escape: len(f.frames),
		shape: s, height: max(t.height, f.height-s.parameters),
	})
	f.arrive()
	switch {
	case op == opLoop && labels > 1:
		f.begin(true, exitCheck)
	case op == opLoop:
		f.begin(true, callCheck)
	case op == opIf:
		f.begin(false, noCheck)
	}
}

// begin begins a segment, which reaches to the end of the construct at hand.
func (f *function) begin(loop bool, c check) {
	t := f.top()
	if t.dead {
		return
	}
	f.segments = append(f.segments, segment{at: len(f.body), outer: t.segment, loop: loop, check: c})
	t.segment = len(f.segments) - 1
}

// pay adds the cost of the instruction that comes next.
func (f *function) pay() {
	t := f.top()
	if t.dead {
		return
	}
	if f.segments[t.segment].cost >= f.longest {
		f.begin(false, callCheck)
		f.advance(checkBlocks)
	}
	f.segments[t.segment].cost++
}

// branch notes a branch to a label.
func (f *function) branch(label uint32) {
	t := f.top()
	if t.dead {
		return
	}
	target := len(f.frames) - 1 - int(label)
	f.frames[target].targeted = true
	t.escape = min(t.escape, target)
	f.lead(&f.frames[target])
}

// otherwise begins the second arm of an if.
func (f *function) otherwise() {
	t := f.top()
	f.settle(t)
	f.turn(t)
	t.op, t.segment = opElse, t.entered
	t.targeted = t.targeted || !t.dead
	t.dead = t.unborn
	f.begin(false, noCheck)
}

// pop ends a construct. What comes after one that can be left for an outer one may be left out, and so is a segment.
func (f *function) pop() {
	ended := *f.top()
	f.settle(&ended)
	f.depart(&ended)
	f.frames = f.frames[:len(f.frames)-1]
	if len(f.frames) == 0 {
		return
	}
	t := f.top()
	t.escape = min(t.escape, ended.escape)
	switch ended.op {
	case opLoop:
		t.dead = ended.dead
	case opIf: // without an else
		t.dead = ended.unborn
	default:
		t.dead = ended.unborn || ended.dead && !ended.targeted
	}
	if ended.escape < len(f.frames) {
		f.begin(false, noCheck)
	}
}

// settle decides which of the segments that began in a construct are charged for themselves, and gives the cost of the others to
// those around them.
func (f *function) settle(t *frame) {
	for n := t.segment; n != t.entered && n > 0; n = f.segments[n].outer {
		s := &f.segments[n]
		outer := &f.segments[s.outer]
		unsure := s.cost
		if s.loop {
			if t.targeted {
				continue
			}
			unsure = s.unsure // of a loop that goes round once
		}
		if s.check == callCheck && !s.loop { // after the longest
			continue
		}
		if outer.unsure+unsure <= f.slack {
			outer.cost, outer.unsure = outer.cost+s.cost, outer.unsure+unsure
			s.cost = 0
		}
	}
}

// cost returns what all instructions of the function cost. REQUIRES: it has been read to its end.
func (f *function) cost() int64 {
	var sum int64
	for i := range f.segments {
		sum += f.segments[i].cost
	}
	return sum
}
