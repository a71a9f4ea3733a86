package rewrite

// The engine's compiler takes longer for a function than in proportion to its size, and cannot be stopped within one. So what it
// would do is counted here first, as far as it grows faster than the code. This follows the compiler of wazero 1.12:
//
//   - Where control comes to a place from several, each local that is read later becomes a parameter of the place, and an argument of
//     every branch to it. Nearly all are redundant. They are looked for again until there are none, once for each level of nested
//     loops, and for each of them all arguments of each branch are looked at.
//   - What a local, a global or the memory holds is searched for through all basic blocks back to the last such place.
//   - For each block, the values that may be needed later are listed, and what is known of addresses is copied.
//   - For each branch, the dominators are walked up to the entry.
//
// Calls grow with the code alone and count for the one function only, for the memory that it takes: two bytes make instructions by the dozen.
//
// The weights are measured: at the bounds a module of any of these kinds takes some seconds of one core. RATIONALE.md has the figures.

// effortPerByte is how much effort the code of a module may take besides, for each of its bytes.
const effortPerByte = 128

// Weights, of which the removal of one argument is 1.
const (
	functionEffort = 6_500 // a function, however small
	callEffort     = 2_000 // a call; some 1.5 KB

	branchEffort = 150 // a branch, whenever redundant parameters are looked for
	valueEffort  = 50  // a parameter or result of a call: each is instructions of its own
	walkEffort   = 20  // a dominator
	copyEffort   = 12  // an address of which something is known
	searchEffort = 8   // a block in the search for a value
	listEffort   = 6   // a value that may be needed later
)

// What is made of constructs, with what the rewrite adds to them.
const (
	loopLevels  = 2 // loops within each other, of one
	entryBlocks = 3 // basic blocks, of the entry of a function
	loopBlocks  = 4 // of a loop
	bulkBlocks  = 10
	checkBlocks = 2 // of a check in straight code
)

// point is where control is.
type point struct {
	chain      int // basic blocks back to the last that control comes to from several places
	dominators int // basic blocks that control has come through in any case, at most
	known      int // accesses to memory that dominate it, at most
}

// effort is what the compiler has to do for a function.
type effort struct {
	point
	height  int   // of the stack of operands
	highest int   // the most of it
	loops   int   // that control is in
	deepest int   // the most of them
	joined  int64 // what is done anew for each level of loops
	once    int64
	calling int64 // the calls
}

// more returns the effort for the whole function beyond its calls.
func (e *effort) more() int64 { return e.joined*int64(1+e.deepest) + e.once }

// total returns the effort for the whole function.
func (e *effort) total() int64 { return e.more() + e.calling }

// spend adds to the effort, and refuses the function as soon as it is too much.
func (f *function) spend(n int64) {
	f.once += n
	if f.err == nil && (f.joined > f.maxEffort || f.total() > f.maxEffort) {
		f.fail(clausef("would take too long to compile: with its %d locals, and the branches, loops and calls that it has, "+
			"its effort is more than the limit of %d; make several functions of it", f.locals, f.maxEffort))
	}
}

// listed is the effort for what is listed, copied and walked for one block or branch.
func (f *function) listed() int64 {
	return int64(f.locals+f.height)*listEffort + int64(f.known)*copyEffort + int64(f.dominators)*walkEffort
}

// advance goes through a number of blocks, one after the other.
func (f *function) advance(blocks int) {
	if f.top().dead {
		return
	}
	f.chain += blocks
	f.dominators += blocks
	f.spend(int64(blocks) * f.listed())
}

// lead has control come to the label of a frame, or to its end.
func (f *function) lead(t *frame) {
	if t.edges++; t.edges == 1 {
		t.joins = f.point
	} else {
		t.joins = point{dominators: min(t.joins.dominators, f.dominators), known: min(t.joins.known, f.known)}
	}
	arguments := int64(1 + f.locals + t.arity())
	f.joined += arguments*arguments + branchEffort
	f.spend(arguments*int64(f.chain)*searchEffort + f.listed() + int64(t.edges))
}

// arrive begins the frame at hand.
func (f *function) arrive() {
	t := f.top()
	t.origin = f.point
	if t.dead {
		return
	}
	switch t.op {
	case opLoop:
		f.loops += loopLevels
		f.deepest = max(f.deepest, f.loops)
		for range loopLevels {
			f.lead(t)
		}
		f.advance(loopBlocks)
		f.chain = 0
	case opIf:
		f.advance(1)
	}
}

// turn goes from the first arm of an if to the second.
func (f *function) turn(t *frame) {
	if t.unborn {
		return
	}
	f.finish(t)
	if !t.dead {
		f.lead(t)
	}
	f.point, f.height = t.origin, t.height+t.parameters
	f.chain++
	f.dominators++
}

// depart goes on after a frame.
func (f *function) depart(t *frame) {
	if t.unborn {
		return
	}
	f.finish(t)
	switch t.op {
	case opLoop: // its label is at its beginning
		f.loops -= loopLevels
		f.chain++
	default:
		if !t.dead {
			f.lead(t)
		}
		if t.op == opIf { // there is no second arm
			f.point = t.origin
			f.lead(t)
		}
		if t.edges > 0 {
			f.point = t.joins
		}
		if t.edges == 1 {
			f.chain++
		}
	}
	f.height = t.height + t.results
	f.dominators++
	f.spend(f.listed())
}

// finish wants the operands that the type of a frame says. The engine would refuse others, but what counts on the height comes first.
func (f *function) finish(t *frame) {
	if !t.dead && f.height != t.height+t.results {
		f.fail(clausef("leaves %d operands where its types say %d", f.height-t.height, t.results))
	}
}

// search has the compiler look for what a local, a global or the memory holds.
func (f *function) search() {
	if !f.top().dead {
		f.spend(int64(f.chain) * searchEffort)
	}
}

// access has it look for the memory, and know of another address.
func (f *function) access() {
	if !f.top().dead {
		f.search()
		f.known++
	}
}

// call has it pass parameters and results.
func (f *function) call(t *functionType) {
	f.move(len(t.results) - len(t.parameters))
	if !f.top().dead {
		f.calling += callEffort
		f.spend(valueEffort * int64(len(t.parameters)+len(t.results)))
	}
}
