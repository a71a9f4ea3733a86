package runtime

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// outbox is what a shard knows of its events on their way out: the newest are kept in memory, so that a relay that keeps up never
// reads the store.
type outbox struct {
	on bool // somebody publishes; fixed when the shard is opened

	parking   sync.Mutex    // held while parked events are changed
	redriving chan struct{} // holds a token while one is published again

	mu     sync.Mutex  // guards what follows
	newest LSN         // of the last batch that was taken in
	recent fifo[Event] // the newest events up to there, in order
	since  LSN         // every event beyond it is in recent
	bytes  int         // of recent

	published LSN       // up to where the relay has published
	depth     int       // events that are committed and not published
	oldest    time.Time // when the first of them, or one before it, was made; zero without any
	parked    int       // events that were refused
	fault     string    // what the streamer answered last; "" when it was well or refused an event

	found   EventRef      // the parked event that was looked for and found last; zero: none yet
	erasing LSN           // of the last change that asked for a run's data to be erased, or of the opening: those before it are not known
	leaving map[RunID]int // runs of which the streamer has something that a handler emitted
}

// What one shard keeps in memory at most.
const (
	recentEvents = 2048
	recentBytes  = 2 << 20
)

// open begins with nothing in memory, after a position.
func (o *outbox) open(on bool, after LSN) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.on, o.since, o.newest, o.erasing = on, after, after, after
	o.leaving = map[RunID]int{}
}

// committed takes in a batch that has been applied, in order. When there is no room for its event, the oldest makes it: the relay finds that in
// the store.
func (o *outbox) committed(lsn LSN, b *Batch) {
	if !o.on {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.newest = lsn
	if next := b.Next; next != nil && (b.Prev == nil || b.Prev.Version != next.Version) {
		e := NewEvent(lsn, b.Prev, next)
		e.Emits = slices.Clone(b.Emits) // the batch is used again, its buffers too
		for i := range e.Emits {
			e.Emits[i].Data = bytes.Clone(e.Emits[i].Data)
		}
		o.add(&e)
		if next.State == RequestedDataDeleted {
			o.erasing = lsn
		}
	}
}

// leave notes that events are being handed to the streamer, until back is called.
func (o *outbox) leave(events []Event) (back func()) {
	var runs []RunID
	for i := range events {
		if events[i].Number > 0 {
			runs = append(runs, events[i].RunID)
		}
	}
	if len(runs) == 0 {
		return func() {}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range runs {
		o.leaving[id]++
	}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, id := range runs {
			if o.leaving[id]--; o.leaving[id] == 0 {
				delete(o.leaving, id)
			}
		}
	}
}

// leaves reports whether the streamer has something that a handler of the run emitted.
func (o *outbox) leaves(id RunID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.leaving[id] > 0
}

// lastErasing returns the position after which no event is of a run whose data are erased or about to be, and whether some up to there
// are not published yet.
func (o *outbox) lastErasing() (at LSN, behind bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.erasing, o.on && o.published < o.erasing
}

// REQUIRES: o.mu
func (o *outbox) add(e *Event) {
	if o.depth == 0 {
		o.oldest = e.Time
	}
	o.depth++
	o.recent.push(*e)
	o.bytes += e.Size()
	for o.recent.len() > recentEvents || o.bytes > recentBytes {
		o.since = o.drop()
	}
}

// drop removes the oldest event and returns its position.
// REQUIRES: o.mu
func (o *outbox) drop() LSN {
	e := o.recent.pop()
	o.bytes -= e.Size()
	return e.LSN
}

// take appends to dst the events after one position and up to another, as many as page allows, and returns the position that is
// reached with them. known is false when memory does not reach back so far. What comes before after is forgotten: it has been
// published.
func (o *outbox) take(dst []Event, after, upTo LSN, page *pageSize) (taken []Event, reached LSN, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if after < o.since {
		return dst, after, false
	}
	upTo = min(upTo, o.newest)
	for o.recent.len() > 0 && o.recent.at(0).LSN <= after {
		o.since = o.drop()
	}
	for i := range o.recent.len() {
		e := o.recent.at(i)
		if e.LSN > upTo {
			break
		}
		if !page.fits(dst, e) {
			return dst, dst[len(dst)-1].LSN, true
		}
		dst = append(dst, *e)
	}
	return dst, upTo, true
}

// done notes that events have left, and up to where.
func (o *outbox) done(upTo LSN, page []Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.published = upTo
	o.depth -= len(page)
	switch {
	case o.depth <= 0:
		o.depth, o.oldest = 0, time.Time{}
	case len(page) > 0:
		o.oldest = page[len(page)-1].Time
	}
}

// left takes in what owners before us have left: up to where they have published, the events that they have not, the first of them,
// and how many are parked.
// REQUIRES: o.parking
func (o *outbox) left(published LSN, depth int, first []Event, parked int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.published, o.parked = published, parked
	o.depth += depth
	if len(first) > 0 {
		o.oldest = first[0].Time
	}
}

// refused counts events that are parked, or, below zero, no longer.
func (o *outbox) refused(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.parked += n
}

// redrives notes that a parked event was found.
func (o *outbox) redrives(ref EventRef) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.found = ref
}

// redriven returns the parked event that was found last.
func (o *outbox) redriven() EventRef {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.found
}

// heard notes the streamer's answer.
func (o *outbox) heard(err error) {
	fault := ""
	if refused := (*RefusedError)(nil); err != nil && !errors.As(err, &refused) && !errors.Is(err, context.Canceled) {
		fault = err.Error()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault = fault
}

func (o *outbox) why() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fault
}

// fill gives a shard's moment what is known here.
func (o *outbox) fill(s *ShardStats) {
	if !o.on {
		s.Published = s.Durable
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Published, s.Unpublished, s.Oldest, s.Parked = o.published, o.depth, o.oldest, o.parked
}

// pageSize bounds a page: by the number of its events and by their bytes. The events of one batch are never parted, as the cursor
// knows no place between them; and a page holds at least one event.
type pageSize struct {
	events, bytes int
	held          int // bytes so far
}

// fits reports whether e may be added to a page, and counts it.
func (p *pageSize) fits(page []Event, e *Event) bool {
	n := len(page)
	if n > 0 && page[n-1].LSN != e.LSN && (n >= p.events || p.held+e.Size() > p.bytes) {
		return false
	}
	p.held += e.Size()
	return true
}

// Size is about how many bytes the event takes on its way.
func (e *Event) Size() int {
	const fixed = 256 // of the IDs, the times and the names of everything
	n := fixed + 2*len(e.ForeignID) + len(e.Data)
	for i := range e.Emits {
		n += fixed + 2*len(e.ForeignID) + len(e.Emits[i].Data)
	}
	return n
}
