package rewrite

import (
	"cmp"
	"fmt"
	"slices"
)

// mostZeros is how many zeros are written between two data segments that become one.
const mostZeros = 64

// data is a data segment.
type data struct {
	offset []byte // the expression of where it begins; empty for a passive one
	at     uint64 // where that is
	fixed  bool   // at is known
	bytes  []byte
}

func (d *data) end() uint64 { return d.at + uint64(len(d.bytes)) }

// dataContent writes the data segments. The engine takes longer to begin one than to copy it, and the linker of Go begins one after
// every few zeros: those that lie close to each other become one, where nothing can tell.
func (m *module) dataContent(r *reader) []byte {
	n := r.count()
	if m.data >= 0 && n != m.data {
		r.fail(clausef("has %d segments, and the data count section says %d", n, m.data))
	}
	segments := make([]data, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		segments = append(segments, m.dataSegment(r))
	}
	if m.data < 0 { // without the count, no instruction can name a segment
		segments = joined(segments)
	}
	out := appendU32(make([]byte, 0, len(m.sections[dataSection])+16), len(segments))
	for i := range segments {
		if d := &segments[i]; len(d.offset) == 0 {
			out = append(out, 1)
		} else {
			out = append(append(out, 0), d.offset...)
		}
		out = append(appendU32(out, len(segments[i].bytes)), segments[i].bytes...)
	}
	return out
}

func (m *module) dataSegment(r *reader) (d data) {
	flags := r.u32()
	switch flags {
	case 0, 1:
	case 2:
		r.index(1, "memory")
	default:
		r.fail(unsupported(fmt.Sprintf("has a segment with the flags %#x", flags), ""))
	}
	if flags != 1 {
		d.offset = m.appendConstant(nil, r)
		if d.offset[0] == opI32Const {
			offset := &reader{rest: d.offset[1:]}
			d.at, d.fixed = uint64(uint32(offset.signed(32))), true
		}
	}
	size := r.u32()
	d.bytes = r.bytes(size)
	return d
}

// joined returns segments of which those that are at most mostZeros apart are one. It changes nothing unless it is known where each
// lies, and they do not overlap: then their order has no meaning, and what is between two of them is zero.
func joined(segments []data) []data {
	for i := range segments {
		if !segments[i].fixed {
			return segments
		}
	}
	sorted := slices.Clone(segments)
	slices.SortStableFunc(sorted, func(a, b data) int { return cmp.Compare(a.at, b.at) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i].at < sorted[i-1].end() {
			return segments
		}
	}
	var out []data
	for i := range sorted {
		d := &sorted[i]
		if len(out) > 0 && d.at-out[len(out)-1].end() <= mostZeros {
			last := &out[len(out)-1]
			last.bytes = append(append(last.bytes, make([]byte, d.at-last.end())...), d.bytes...)
			continue
		}
		d.bytes = slices.Clone(d.bytes) // it may grow
		out = append(out, *d)
	}
	return out
}
