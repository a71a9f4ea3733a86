package runtime

import (
	"cmp"
	"slices"
)

// offsets tells how far a partition is done: up to the first message that was taken and is still under way. It is pure, and not for
// concurrent use. Offsets ascend, with gaps where a topic was compacted or a transaction ended.
type offsets struct {
	next  int64    // everything before it is done
	taken []taking // in order; the first is under way
}

type taking struct {
	offset int64
	done   bool
}

// newOffsets begins at the offset of the first message to come.
func newOffsets(at int64) *offsets { return &offsets{next: at} }

// take notes a message as under way. It reports false for one that was taken before, or lies before the first.
func (o *offsets) take(offset int64) bool {
	last := o.next - 1
	if n := len(o.taken); n > 0 {
		last = o.taken[n-1].offset
	}
	if offset <= last {
		return false
	}
	if len(o.taken) == 0 {
		o.next = offset
	}
	o.taken = append(o.taken, taking{offset: offset})
	return true
}

// done notes that a message is done. One that is not under way is passed over.
func (o *offsets) done(offset int64) {
	i, found := slices.BinarySearchFunc(o.taken, offset, func(t taking, want int64) int { return cmp.Compare(t.offset, want) })
	if !found {
		return
	}
	o.taken[i].done = true
	for len(o.taken) > 0 && o.taken[0].done {
		o.next = o.taken[0].offset + 1
		o.taken = o.taken[1:]
	}
	if len(o.taken) > 0 {
		o.next = o.taken[0].offset
	}
}

// open returns how many messages have been taken from the first that is under way on.
func (o *offsets) open() int { return len(o.taken) }
