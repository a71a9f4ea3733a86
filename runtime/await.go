package runtime

import (
	"context"
	"fmt"
)

// Until says what Await waits for: that the run enters the status, or the state; either, when both are given. The zero Until
// waits until the run has settled: it has ended, or it is paused.
type Until struct {
	Status string
	State  RunState
}

// met reports whether a version with this state and status fulfils the wish.
func (u Until) met(state RunState, status string) bool {
	if u == (Until{}) {
		return !state.Active() || state == Paused
	}
	return u.Status != "" && u.Status == status || u.State != 0 && u.State == state
}

// Awaited is the answer to Await.
type Awaited struct {
	Record  Record // the run as it is now, perhaps further on than what was waited for
	Reached bool   // what was waited for has happened; false: the run ended elsewhere, in Record's state and status
}

// Await waits until a run is, or once was, where until says, or has ended elsewhere. It costs no polling. It returns
// ErrNotFound for an unknown run, and ctx's error when that ends first.
func (e *Engine) Await(ctx context.Context, id RunID, until Until) (Awaited, error) {
	s, w := e.shardOf(id), newWaiter(until)
	if err := s.watchStored(id, w); err != nil {
		return Awaited{}, e.afterObserved(ctx, s, fmt.Errorf("runtime: await run %s: %w", id, err))
	}
	return e.await(ctx, s, id, w)
}

// await waits for what a waiter that watches the run is told.
func (e *Engine) await(ctx context.Context, s *shard, id RunID, w *waiter) (Awaited, error) {
	reached, err := s.await(ctx, id, w)
	done := Awaited{Reached: reached}
	if err == nil {
		err = e.store.Record(id, &done.Record)
	}
	if err != nil {
		return Awaited{}, e.afterObserved(ctx, s, fmt.Errorf("runtime: await run %s: %w", id, err))
	}
	return done, e.observed(ctx, s)
}

// await waits until the wish is met (true) or never will be (false). The waiter watches already and the past is looked into
// afterwards, so that nothing can happen in between unseen.
func (s *shard) await(ctx context.Context, id RunID, w *waiter) (bool, error) {
	select {
	case reached := <-w.told:
		if reached {
			return true, nil
		}
		return s.reachedBefore(id, w.until)
	default:
	}
	if reached, err := s.reachedBefore(id, w.until); reached || err != nil {
		s.unwatch(id, w)
		return reached, err
	}
	select {
	case reached := <-w.told:
		return reached, nil
	case <-ctx.Done():
		s.unwatch(id, w)
		return false, ctx.Err()
	case <-s.engine.failed:
		s.unwatch(id, w)
		return false, s.engine.Err()
	}
}

// afterObserved returns err once what led to it is durable.
func (e *Engine) afterObserved(ctx context.Context, s *shard, err error) error {
	if derr := e.observed(ctx, s); derr != nil {
		return derr
	}
	return err
}

// waiter is one call of Await. It is told once, under the shard's lock, whether its wish was met, and watches no more then.
type waiter struct {
	until Until
	told  chan bool // buffered: telling never blocks
}

func newWaiter(until Until) *waiter { return &waiter{until: until, told: make(chan bool, 1)} }

// watchStored has the waiter watch a run from how the store has it.
func (s *shard) watchStored(id RunID, w *waiter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rec Record
	if err := s.engine.store.Record(id, &rec); err != nil {
		return err
	}
	s.watch(&rec, w)
	return nil
}

// watch has the waiter told: at once, when the run as it is now meets the wish or has ended, else by the batch that brings either
// about.
// REQUIRES: s.mu
func (s *shard) watch(now *Record, w *waiter) {
	s.waiters[now.RunID] = append(s.waiters[now.RunID], w)
	s.waiting++
	s.tell(now)
}

// reachedBefore looks the wish up in the history.
func (s *shard) reachedBefore(id RunID, until Until) (bool, error) {
	if until == (Until{}) {
		return false, nil // the present alone decides
	}
	const page = 256
	var version uint64
	var line uint32
	for {
		entries, err := s.engine.store.History(id, version, line, page)
		if err != nil {
			return false, err
		}
		for i := range entries {
			if h := &entries[i]; h.Line == 0 && until.met(h.State, h.Status) {
				return true, nil
			}
		}
		if len(entries) < page {
			return false, nil
		}
		last := &entries[len(entries)-1]
		version, line = last.Version, last.Line
	}
}

// unwatch lets a waiter go that has not been told.
func (s *shard) unwatch(id RunID, w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeWaiters(id, func(other *waiter) bool { return other == w })
}

// tell wakes those whose wish the record fulfils, or whose run has ended. They wait for durability themselves.
// REQUIRES: s.mu
func (s *shard) tell(rec *Record) {
	if len(s.waiters) == 0 {
		return
	}
	s.removeWaiters(rec.RunID, func(w *waiter) bool {
		met := w.until.met(rec.State, rec.Status)
		erasing := rec.State == RequestedDataDeleted && w.until.State == DataDeleted // the only end that leads on by itself
		if met || !rec.State.Active() && !erasing {
			w.told <- met
			return true
		}
		return false
	})
}

// removeWaiters removes those of a run that done accepts.
// REQUIRES: s.mu
func (s *shard) removeWaiters(id RunID, done func(*waiter) bool) {
	all := s.waiters[id]
	kept := all[:0]
	for _, w := range all {
		if done(w) {
			s.waiting--
		} else {
			kept = append(kept, w)
		}
	}
	clear(all[len(kept):])
	switch {
	case len(kept) == 0:
		delete(s.waiters, id) // also when there was none
	default:
		s.waiters[id] = kept
	}
}
