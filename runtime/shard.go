package runtime

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// shard is one single writer. Whoever holds mu is the writer: it reads, decides and applies without anything of the shard
// changing in between.
type shard struct {
	engine *Engine
	id     Shard

	mu        sync.Mutex     // guards what follows, and serializes Apply
	epoch     Epoch          // of our ownership
	runs      map[RunID]*run // the runs in memory: queued or executing
	waiters   map[RunID][]*waiter
	callers   map[CallbackID][]chan<- HistoryEntry // who waits for a callback to be handled
	waiting   int                                  // waiters in all
	followers []chan<- struct{}                    // told of each batch
	side      side                                 // the tasks beside the runs
	timer     ClockTimer                           // nil when no timer is due
	nextDue   time.Time                            // when timer fires
	stopped   bool                                 // no timer is armed and nothing is begun any more
	closed    bool                                 // nothing is applied any more
	outbox    outbox                               // the events on their way out
}

func newShard(e *Engine, id Shard) *shard {
	s := &shard{engine: e, id: id, runs: map[RunID]*run{}, waiters: map[RunID][]*waiter{}, callers: map[CallbackID][]chan<- HistoryEntry{}}
	s.outbox.redriving = make(chan struct{}, 1)
	s.side.init(s)
	return s
}

// open takes ownership and returns the queues in which there is something to do.
func (s *shard) open(ctx context.Context) ([]Queue, error) {
	epoch, err := s.engine.store.OpenShard(ctx, s.id)
	if err != nil {
		return nil, fmt.Errorf("open shard %d: %w", s.id, err)
	}
	queues, err := s.engine.store.Queues(s.id)
	if err != nil {
		return nil, fmt.Errorf("find the tasks of shard %d: %w", s.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = epoch
	s.outbox.open(s.engine.opt.Streamer != nil, epoch.Base())
	return queues, nil
}

// Settle implements Settler: an invocation sees what its own run's shard holds, and nothing of others.
func (s *shard) Settle(ctx context.Context) error { return s.engine.observed(ctx, s) }

// close makes the shard refuse batches, also those of invocations that were abandoned.
func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// own has f run beside the engine, which waits for it when it stops. It reports false when the engine has stopped, and does nothing then.
func (s *shard) own(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.engine.owned.Go(f)
	return true
}

// commit applies a batch and tells everyone whom it concerns. Nothing that it made may leave the engine before it is durable.
// REQUIRES: s.mu
func (s *shard) commit(b *Batch) error {
	e := s.engine
	if err := e.Err(); err != nil {
		return err
	}
	if s.closed {
		return ErrStopping
	}
	lsn, err := e.store.Apply(s.id, s.epoch, b)
	if err != nil {
		err = fmt.Errorf("runtime: apply to shard %d: %w", s.id, err)
		e.fail(err)
		return err
	}
	s.outbox.committed(lsn, b)
	if next := b.Next; next != nil {
		s.armTimers(next)
		s.tell(next)
		s.tellCallers(next, b.History)
		switch {
		case b.Prev == nil:
			e.meters.states(next.Workflow).Changed(0, next.State)
		case b.Prev.State != next.State:
			e.meters.states(next.Workflow).Changed(b.Prev.State, next.State)
			if !next.State.Active() {
				s.side.ended(next.RunID)
			}
		}
	}
	s.side.committed(b)
	if b.Remember != nil {
		s.armTimer(b.Remember.ExpiresAt)
	}
	for _, f := range s.followers {
		select {
		case f <- struct{}{}:
		default: // it has been told already and has not looked yet
		}
	}
	return nil
}

// load reads a run into memory. The caller makes it known in s.runs or releases it.
// REQUIRES: s.mu
func (s *shard) load(id RunID) (*run, error) {
	r := newRun(s)
	if err := s.engine.store.Record(id, &r.rec); err != nil {
		r.release()
		return nil, fmt.Errorf("runtime: load run %s: %w", id, err)
	}
	r.recovered = s.engine.store.Unclean() && r.rec.Owner < s.epoch
	return r, nil
}

// forget drops a run from memory. Its record and its task stay in the store.
// REQUIRES: s.mu
func (s *shard) forget(r *run) {
	delete(s.runs, r.rec.RunID)
	r.release()
}

// enqueue makes a ready run known and hands it to the dispatcher; if there is no room it stays in the store for a refill.
// REQUIRES: s.mu
func (s *shard) enqueue(r *run) {
	s.runs[r.rec.RunID] = r
	if !s.engine.tasks.push(r) {
		s.forget(r)
	}
}

// follow has arrived told of each batch from now on.
func (s *shard) follow(arrived chan<- struct{}) chan<- struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followers = append(s.followers, arrived)
	return arrived
}

func (s *shard) unfollow(arrived chan<- struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.followers, arrived); i >= 0 {
		s.followers = slices.Delete(s.followers, i, i+1)
	}
}

func (s *shard) counts() (inMemory, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.runs), s.waiting
}

// stats returns a moment of the shard's position and of its outbox.
func (s *shard) stats() ShardStats {
	stats := ShardStats{Applied: s.engine.store.Applied(s.id), Durable: s.engine.store.Durable(s.id)}
	s.outbox.fill(&stats)
	return stats
}
