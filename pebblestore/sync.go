package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// lazySync is how long a batch that nobody waits for may stay in memory.
const lazySync = 3 * time.Millisecond

var errClosed = errors.New("pebblestore: the store is closed")

// syncer makes batches durable, many with one sync.
//
// One goroutine runs rounds. A round notes how far each shard is in the log, writes an empty record behind it with a sync,
// and raises the durable positions. Pebble writes one log in the order of commits, so whatever was committed before the
// record is durable with it.
//
// A round begins at once when somebody waits, otherwise lazySync after the first write. While a round runs, those who come
// gather for the next one: with thousands waiting, each is woken once.
type syncer struct {
	store *Store
	wake  chan struct{} // holds one: there is something to look at
	quit  chan struct{}
	done  chan struct{} // closed when the goroutine has ended; nil before start
	pend  atomic.Bool   // something was written since the last round began

	mu      sync.Mutex
	running *round // nil between rounds
	next    *round // nil while nobody waits for it
	err     error  // the first failure, or errClosed; nothing succeeds after it

	ended atomic.Bool // err is set: for those who need not know more
}

// round is one sync and those who wait for it.
type round struct {
	done chan struct{}
	upTo []runtime.LSN // by shard: what the sync covers; set when it begins
}

func (y *syncer) init(s *Store) {
	y.store = s
	y.wake = make(chan struct{}, 1)
	y.quit = make(chan struct{})
}

func (y *syncer) start() {
	y.done = make(chan struct{})
	go y.run()
}

// stop makes everything durable and ends the goroutine. One that waits for a jammed Pebble is left behind.
func (y *syncer) stop() {
	close(y.quit)
	if !y.store.jammed.Load() {
		<-y.done
	}
}

// dirty says that something was written.
func (y *syncer) dirty() {
	if !y.pend.Load() && !y.pend.Swap(true) {
		y.nudge()
	}
}

func (y *syncer) nudge() {
	select {
	case y.wake <- struct{}{}:
	default:
	}
}

func (y *syncer) run() {
	defer close(y.done)
	timer := time.NewTimer(lazySync)
	timer.Stop()
	defer timer.Stop()
	armed := false
	for {
		due, quit := false, false
		select {
		case <-y.wake:
		case <-timer.C:
			armed, due = false, true
		case <-y.quit:
			quit = true
		}
		switch {
		case y.ended.Load():
		case !y.pend.Load():
		case due || quit || y.awaited():
			y.round()
		case !armed:
			timer.Reset(lazySync)
			armed = true
		}
		if quit {
			return
		}
	}
}

func (y *syncer) awaited() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.next != nil
}

// round syncs once. A batch that is committed while the positions are noted either is noted or finds pend false and asks for
// another round: committed is raised before dirty, and pend is cleared before the positions are read.
func (y *syncer) round() {
	y.pend.Store(false)
	upTo := make([]runtime.LSN, len(y.store.shards))
	y.mu.Lock()
	r := y.next
	if r == nil {
		r = &round{done: make(chan struct{})}
	}
	for i, sh := range y.store.shards {
		upTo[i] = runtime.LSN(sh.committed.Load())
	}
	r.upTo = upTo
	y.running, y.next = r, nil
	y.mu.Unlock()

	began := time.Now()
	err := y.store.logMark()
	y.store.meter.Synced(time.Since(began))

	y.mu.Lock()
	if err == nil && y.err == nil {
		for i, sh := range y.store.shards {
			sh.raise(upTo[i])
		}
	}
	if y.running == r {
		y.running = nil
		close(r.done)
	}
	y.mu.Unlock()
	if err != nil {
		y.fail(err)
	}
}

// raise moves the durable position forward.
// REQUIRES: syncer.mu.
func (sh *shard) raise(lsn runtime.LSN) {
	if lsn := uint64(lsn); lsn > sh.durable.Load() {
		sh.durable.Store(lsn)
	}
}

// rebase moves a shard, all of which is durable, forward to the position that a new owner begins from.
// REQUIRES: sh.mu.
func (y *syncer) rebase(sh *shard, base runtime.LSN) {
	if base <= sh.last {
		return
	}
	sh.last = base
	sh.applied.Store(uint64(base))
	sh.committed.Store(uint64(base))
	y.mu.Lock()
	defer y.mu.Unlock()
	sh.raise(base)
}

// wait returns the round that covers lsn of the shard, or nil when it is durable already.
func (y *syncer) wait(sh *shard, lsn runtime.LSN) (*round, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	switch {
	case y.err != nil:
		return nil, y.err
	case runtime.LSN(sh.durable.Load()) >= lsn:
		return nil, nil
	case y.running != nil && y.running.upTo[sh.number] >= lsn:
		return y.running, nil
	case y.next == nil:
		y.next = &round{done: make(chan struct{})}
		y.nudge()
	}
	return y.next, nil
}

// fail ends the store: nothing is retried, since what a failed sync left behind cannot be known.
func (y *syncer) fail(cause error) {
	y.end(fmt.Errorf("pebblestore: %w: %w", runtime.ErrStoreFailed, cause))
}

// failed fails the store and returns the first failure.
func (y *syncer) failed(cause error) error {
	y.fail(cause)
	return y.failure()
}

// close ends the store in peace.
func (y *syncer) close() { y.end(errClosed) }

func (y *syncer) end(err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.err != nil {
		return
	}
	y.err = err
	y.ended.Store(true)
	for _, r := range []*round{y.running, y.next} {
		if r != nil {
			close(r.done)
		}
	}
	y.running, y.next = nil, nil
	if !errors.Is(err, errClosed) {
		y.store.logger.Error("the store failed; the process must stop", "error", err)
	}
}

func (y *syncer) failure() error {
	if !y.ended.Load() {
		return nil
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.err
}

// Applied implements runtime.Writer.
func (s *Store) Applied(number runtime.Shard) runtime.LSN {
	return runtime.LSN(s.shards[number].applied.Load())
}

// Durable implements runtime.Writer.
func (s *Store) Durable(number runtime.Shard) runtime.LSN {
	return runtime.LSN(s.shards[number].durable.Load())
}

// WaitDurable implements runtime.Writer.
func (s *Store) WaitDurable(ctx context.Context, number runtime.Shard, lsn runtime.LSN) error {
	sh, err := s.shard(number)
	if err != nil {
		return err
	}
	if runtime.LSN(sh.durable.Load()) >= lsn && !s.syncer.ended.Load() {
		return nil
	}
	for {
		r, err := s.syncer.wait(sh, lsn)
		if r == nil || err != nil {
			return err
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// logMark writes an empty record to the log and waits until it is on disk, and with it all that was written before it.
func (s *Store) logMark() error {
	b := s.db.NewBatch()
	if err := b.LogData(nil, nil); err != nil {
		return err
	}
	return s.commitDurably(b)
}

// commitDurably commits b, waits for its sync and closes it. It asks for the sync apart from the commit, since Pebble
// reports a sync that failed inside a commit by ending the process.
func (s *Store) commitDurably(b *pebble.Batch) error {
	if err := s.commit(b, pebble.Sync); err != nil {
		return err
	}
	// A batch whose sync failed does not go back to its pool: Pebble may still be looking at it.
	if err := b.SyncWait(); err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	return b.Close()
}

// commit applies b without waiting for a sync. Pebble panics when its log cannot be written, with its locks held; the store
// then fails, and leaves Pebble alone.
func (s *Store) commit(b *pebble.Batch, o *pebble.WriteOptions) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.jammed.Store(true)
			err = fmt.Errorf("write the log: %v", cause)
		}
	}()
	if o.Sync {
		err = s.db.ApplyNoSyncWait(b, o)
	} else {
		err = s.db.Apply(b, o)
	}
	if err != nil {
		return err
	}
	// A failure that Pebble reports to its logger only.
	return s.syncer.failure()
}
