package pebblestore

import (
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// span is a range of run IDs, half open.
type span struct{ lo, hi runtime.RunID }

// allRuns holds every run ID: a UUID of version 7 is never all ones.
func allRuns() span {
	var s span
	for i := range s.hi {
		s.hi[i] = math.MaxUint8
	}
	return s
}

// following returns the ID that orders next after id.
func following(id runtime.RunID) runtime.RunID {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]++
		if id[i] != 0 {
			break
		}
	}
	return id
}

// merge walks the run IDs of several key ranges as one sequence in their order. Each range holds keys that end with a run
// ID behind a common prefix. One iterator a shard serves all its ranges: a range reads a few IDs ahead at a time, more
// each time.
type merge struct {
	reader     pebble.Reader
	span       span
	descending bool
	limit      int // how many IDs are likely to be wanted

	iterators []shardIterator
	heap      []*idRange // by first ID; only ranges that have one
	lower     []byte
	upper     []byte
}

type shardIterator struct {
	number runtime.Shard
	it     *pebble.Iterator
}

// idRange is one key range.
type idRange struct {
	number runtime.Shard
	prefix []byte
	span   span            // what is still to be read
	ids    []runtime.RunID // read ahead, the next one first
	ahead  int             // how many to read next time
}

func (m *merge) add(number runtime.Shard, prefix []byte) {
	m.heap = append(m.heap, &idRange{number: number, prefix: prefix, span: m.span, ahead: min(m.limit, 8)})
}

// each calls f with each ID until it returns false or an error.
func (m *merge) each(f func(runtime.RunID) (more bool, err error)) (err error) {
	defer func() {
		for _, i := range m.iterators {
			err = errors.Join(err, i.it.Close())
		}
	}()
	ranges := m.heap
	m.heap = m.heap[:0]
	for _, r := range ranges {
		if err := m.read(r); err != nil {
			return err
		}
		if len(r.ids) > 0 {
			m.heap = append(m.heap, r)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	for len(m.heap) > 0 {
		r := m.heap[0]
		id := r.ids[0]
		if r.ids = r.ids[1:]; len(r.ids) == 0 {
			if err := m.read(r); err != nil {
				return err
			}
		}
		if len(r.ids) == 0 {
			last := len(m.heap) - 1
			m.heap[0], m.heap = m.heap[last], m.heap[:last]
		}
		m.down(0)
		if more, err := f(id); !more || err != nil {
			return err
		}
	}
	return nil
}

// down moves the range at i to its place among those below it.
func (m *merge) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(m.heap); child++ {
			if m.before(m.heap[child].ids[0], m.heap[least].ids[0]) {
				least = child
			}
		}
		if least == i {
			return
		}
		m.heap[i], m.heap[least] = m.heap[least], m.heap[i]
		i = least
	}
}

func (m *merge) before(a, b runtime.RunID) bool {
	return (string(a[:]) < string(b[:])) != m.descending
}

// read fetches the next IDs of a range.
func (m *merge) read(r *idRange) error {
	r.ids = r.ids[:0]
	if r.ahead == 0 || string(r.span.lo[:]) >= string(r.span.hi[:]) {
		return nil
	}
	it, err := m.iterator(r.number)
	if err != nil {
		return err
	}
	m.lower = append(append(m.lower[:0], r.prefix...), r.span.lo[:]...)
	m.upper = append(append(m.upper[:0], r.prefix...), r.span.hi[:]...)
	it.SetBounds(m.lower, m.upper)
	first, next := it.First, it.Next
	if m.descending {
		first, next = it.Last, it.Prev
	}
	valid := first()
	for ; valid && len(r.ids) < r.ahead; valid = next() {
		key := it.Key()
		if len(key) != len(r.prefix)+idLen {
			return fmt.Errorf("%w: key %x", errMalformed, key)
		}
		r.ids = append(r.ids, runtime.RunID(key[len(r.prefix):]))
	}
	if err := it.Error(); err != nil {
		return err
	}
	switch {
	case !valid:
		r.span.lo = r.span.hi
	case m.descending:
		r.span.hi = r.ids[len(r.ids)-1]
	default:
		r.span.lo = following(r.ids[len(r.ids)-1])
	}
	r.ahead = min(2*r.ahead, 128)
	return nil
}

func (m *merge) iterator(number runtime.Shard) (*pebble.Iterator, error) {
	for _, i := range m.iterators {
		if i.number == number {
			return i.it, nil
		}
	}
	it, err := m.reader.NewIter(nil)
	if err != nil {
		return nil, err
	}
	m.iterators = append(m.iterators, shardIterator{number, it})
	return it, nil
}
