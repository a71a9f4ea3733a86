package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/wfrt/wfrt/runtime"
)

// MemStore is a runtime.Store in memory, to test against: simple, slow (it scans), and able to fail on demand. It refuses a
// batch whose Prev or PrevSchedule is not what it holds, which a real store trusts.
//
// What is applied is durable at once, unless durability is held: see Hold, Release, Crash and Fail.
type MemStore struct {
	mu      sync.Mutex
	live    []*memShard                // what reads see
	kept    []*memShard                // what would survive a crash
	pending []func(shards []*memShard) // from kept to live, in order
	held    bool
	next    error         // what the next Apply fails with
	failure error         // nothing succeeds after it
	changed chan struct{} // closed and replaced when durability moves or the store fails
	unclean bool
	closed  bool
}

var _ runtime.Store = (*MemStore)(nil)

var errMemClosed = errors.New("runtimetest: the store is closed")

// NewMemStore returns an empty store with the given number of shards.
func NewMemStore(shards int) *MemStore {
	s := &MemStore{changed: make(chan struct{})}
	for range shards {
		s.live = append(s.live, newMemShard())
		s.kept = append(s.kept, newMemShard())
	}
	return s
}

// Hold stops durability: what is applied from now on would be lost in a crash, and WaitDurable waits, until Release.
func (s *MemStore) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

// Release makes everything applied durable, and whatever is applied from now on at once.
func (s *MemStore) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	s.keep()
}

// FailNextApply makes the next Apply fail with cause, and with it the store.
func (s *MemStore) FailNextApply(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = cause
}

// Fail makes the store fail, as by a failed sync: what is not durable never will be.
func (s *MemStore) Fail(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail(cause)
}

// Crash ends the store as a loss of power would, and returns the store that a restart finds: what was durable.
func (s *MemStore) Crash() *MemStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	unclean := !s.closed
	s.end(errMemClosed)
	return s.restart(unclean)
}

// Reopen returns the store that a restart finds after Close.
func (s *MemStore) Reopen() *MemStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restart(!s.closed)
}

func (s *MemStore) restart(unclean bool) *MemStore {
	r := &MemStore{changed: make(chan struct{}), unclean: unclean}
	for _, shard := range s.kept {
		r.live = append(r.live, shard.clone())
		r.kept = append(r.kept, shard.clone())
	}
	return r
}

// do applies a change, and makes it durable unless that is held.
// REQUIRES: s.mu.
func (s *MemStore) do(change func(shards []*memShard)) {
	change(s.live)
	s.pending = append(s.pending, change)
	if !s.held {
		s.keep()
	}
}

func (s *MemStore) keep() {
	if s.failure != nil {
		return
	}
	for _, change := range s.pending {
		change(s.kept)
	}
	s.pending = nil
	s.broadcast()
}

func (s *MemStore) fail(cause error) {
	s.end(fmt.Errorf("runtimetest: %w: %w", runtime.ErrStoreFailed, cause))
}

func (s *MemStore) end(err error) {
	if s.failure == nil {
		s.failure = err
		s.broadcast()
	}
}

func (s *MemStore) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// OpenShard implements runtime.Writer.
func (s *MemStore) OpenShard(_ context.Context, shard runtime.Shard) (runtime.Epoch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return 0, s.failure
	}
	if err := s.check(shard); err != nil {
		return 0, err
	}
	epoch := s.live[shard].epoch + 1
	// Durable at once, even while durability is held: nothing that was applied before may overtake it.
	s.live[shard].epoch, s.kept[shard].epoch = epoch, epoch
	s.live[shard].last = max(s.live[shard].last, epoch.Base())
	if len(s.pending) == 0 {
		s.kept[shard].last = s.live[shard].last
	}
	return epoch, nil
}

// Apply implements runtime.Writer.
func (s *MemStore) Apply(shard runtime.Shard, epoch runtime.Epoch, b *runtime.Batch) (runtime.LSN, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return 0, s.failure
	}
	if err := s.check(shard); err != nil {
		return 0, err
	}
	live := s.live[shard]
	if epoch == 0 || epoch != live.epoch {
		return 0, fmt.Errorf("runtimetest: epoch %d, newest is %d: %w", epoch, live.epoch, runtime.ErrFenced)
	}
	if s.next != nil {
		s.fail(s.next)
		return 0, s.failure
	}
	if err := s.checkBatch(shard, b); err != nil {
		return 0, err
	}
	lsn := live.last + 1
	s.do(batchChange(shard, lsn, b))
	return lsn, nil
}

// Applied implements runtime.Writer.
func (s *MemStore) Applied(shard runtime.Shard) runtime.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[shard].last
}

// Durable implements runtime.Writer.
func (s *MemStore) Durable(shard runtime.Shard) runtime.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[shard].last
}

// WaitDurable implements runtime.Writer.
func (s *MemStore) WaitDurable(ctx context.Context, shard runtime.Shard, lsn runtime.LSN) error {
	for {
		s.mu.Lock()
		failure, changed, durable := s.failure, s.changed, s.kept[shard].last
		s.mu.Unlock()
		if failure != nil {
			return failure
		}
		if durable >= lsn {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Events implements runtime.EventLog.
func (s *MemStore) Events(shard runtime.Shard, after runtime.LSN, limit int, dst []runtime.Event) ([]runtime.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(shard); err != nil {
		return dst, err
	}
	for _, e := range s.live[shard].events {
		if e.LSN > after && limit > 0 {
			dst = append(dst, e)
			limit--
		}
	}
	return dst, nil
}

// CountEvents implements runtime.EventLog.
func (s *MemStore) CountEvents(shard runtime.Shard, after, upTo runtime.LSN) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(shard); err != nil {
		return 0, err
	}
	n := 0
	for _, e := range s.live[shard].events {
		if e.LSN > after && e.LSN <= upTo {
			n++
		}
	}
	return n, nil
}

// ParkEvent implements runtime.EventLog.
func (s *MemStore) ParkEvent(shard runtime.Shard, p *runtime.ParkedEvent) error {
	kept := *p
	return s.change(shard, p.Event.LSN, func(shards []*memShard) {
		m := shards[shard]
		m.unpark(kept.Event.Ref())
		m.parkedEvents = append(m.parkedEvents, kept)
		slices.SortFunc(m.parkedEvents, func(a, b runtime.ParkedEvent) int { return a.Event.Ref().Compare(b.Event.Ref()) })
	})
}

// ParkedEvent implements runtime.EventLog.
func (s *MemStore) ParkedEvent(shard runtime.Shard, ref runtime.EventRef) (runtime.ParkedEvent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(shard); err != nil {
		return runtime.ParkedEvent{}, err
	}
	for _, p := range s.live[shard].parkedEvents {
		if p.Event.Ref() == ref {
			return p, nil
		}
	}
	return runtime.ParkedEvent{}, fmt.Errorf("runtimetest: parked event %s: %w", ref.ID(), runtime.ErrNotFound)
}

// ParkedRefs implements runtime.EventLog.
func (s *MemStore) ParkedRefs(shard runtime.Shard, after runtime.EventRef, limit int, dst []runtime.EventRef) ([]runtime.EventRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(shard); err != nil {
		return dst, err
	}
	for i := range s.live[shard].parkedEvents {
		if ref := s.live[shard].parkedEvents[i].Event.Ref(); limit > 0 && ref.Compare(after) > 0 {
			dst = append(dst, ref)
			limit--
		}
	}
	return dst, nil
}

// UnparkEvent implements runtime.EventLog.
func (s *MemStore) UnparkEvent(shard runtime.Shard, ref runtime.EventRef) error {
	return s.change(shard, 0, func(shards []*memShard) { shards[shard].unpark(ref) })
}

func (m *memShard) unpark(ref runtime.EventRef) {
	m.parkedEvents = slices.DeleteFunc(m.parkedEvents, func(p runtime.ParkedEvent) bool { return p.Event.Ref() == ref })
}

// Cursor implements runtime.EventLog.
func (s *MemStore) Cursor(shard runtime.Shard, name string) (runtime.LSN, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(shard); err != nil {
		return 0, err
	}
	return s.live[shard].cursors[name], nil
}

// SetCursor implements runtime.EventLog.
func (s *MemStore) SetCursor(shard runtime.Shard, name string, lsn runtime.LSN) error {
	return s.change(shard, lsn, func(shards []*memShard) { shards[shard].cursors[name] = lsn })
}

// DropCursor implements runtime.EventLog.
func (s *MemStore) DropCursor(name string) error {
	return s.change(0, 0, func(shards []*memShard) {
		for _, shard := range shards {
			delete(shard.cursors, name)
		}
	})
}

// TrimEvents implements runtime.EventLog.
func (s *MemStore) TrimEvents(shard runtime.Shard, upTo runtime.LSN) error {
	return s.change(shard, upTo, func(shards []*memShard) {
		m := shards[shard]

		m.events = slices.DeleteFunc(m.events, func(e runtime.Event) bool { return e.LSN <= upTo })
	})
}

// change is what is not a batch: it has no position of its own, and must not name one that the shard has not reached.
func (s *MemStore) change(shard runtime.Shard, lsn runtime.LSN, change func(shards []*memShard)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return s.failure
	}
	if err := s.check(shard); err != nil {
		return err
	}
	if last := s.live[shard].last; lsn > last {
		return fmt.Errorf("runtimetest: position %d of shard %d is beyond the last, %d", lsn, shard, last)
	}
	s.do(change)
	return nil
}

// Shards implements runtime.Store.
func (s *MemStore) Shards() int { return len(s.live) }

// Unclean implements runtime.Store.
func (s *MemStore) Unclean() bool { return s.unclean }

// Close implements runtime.Store.
func (s *MemStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return s.failure
	}
	s.keep()
	s.closed = true
	s.end(errMemClosed)
	return nil
}
