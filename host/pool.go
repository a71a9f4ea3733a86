package host

import (
	"context"
	"sync"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// shrinkAfter is how long an instance is idle before it is closed, unless it is the last of its pool.
const shrinkAfter = time.Minute

// maxSide is how many instances a module has at most for work beside the runs.
const maxSide = 4

// pool bounds the instances of one module and keeps the idle ones. The last returned is the next taken: its memory is warm,
// and what a burst made beyond the usual need sinks to the bottom, where it is closed after a while.
//
// Work beside the runs (hooks, erase functions and filters) has places of its own. The engine calls on no more runs at a
// time than runs has places (runtime.Module), so none of its workers ever waits here; tasks beside the runs may, for each
// other only.
type pool struct {
	clock    runtime.Clock
	runs     places        // of the handlers of runs
	side     places        // of all others
	retiring chan struct{} // closed by retire
	drained  chan struct{} // closed when retired and nothing is in use any more

	mu     sync.Mutex // guards the fields below
	idle   []*instance
	busy   int                // instances in use, or being closed
	done   bool               // retire was called
	unused int                // how many at the bottom of idle were never taken since the timer was set
	timer  runtime.ClockTimer // shrinks the pool; nil while there is nothing to shrink, so that an idle server has no timers
}

// places holds one token for each instance that is in use.
type places chan struct{}

// newPool returns a pool with a number of places for the handlers of runs, and as many, but at most maxSide, for all others.
func newPool(size int, clock runtime.Clock) *pool {
	side := min(size, maxSide)
	return &pool{
		clock:    clock,
		runs:     make(places, size),
		side:     make(places, side),
		retiring: make(chan struct{}),
		drained:  make(chan struct{}),
		idle:     make([]*instance, 0, size+side),
	}
}

// places returns those in which handlers of the kind are invoked.
func (p *pool) places(kind runtime.HandlerKind) places {
	switch kind {
	case runtime.HandlerHook, runtime.HandlerErase, runtime.HandlerFilter, runtime.HandlerConnector:
		return p.side
	default:
		return p.runs
	}
}

// take waits for a free place until ctx ends, and returns an idle instance, or nil when the caller may make a new one.
// Either way the caller owns the place until put. The error is runtime.ErrRetired or the cause of ctx's end. since is when the
// caller began to wait, or has to make an instance; zero if it did neither.
func (p *pool) take(ctx context.Context, among places) (i *instance, since time.Time, err error) {
	select {
	case among <- struct{}{}:
	default:
		since = p.clock.Now()
		select {
		case among <- struct{}{}:
		case <-p.retiring:
			return nil, since, runtime.ErrRetired
		case <-ctx.Done():
			return nil, since, context.Cause(ctx)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		<-among
		return nil, since, runtime.ErrRetired
	}
	p.busy++
	if last := len(p.idle) - 1; last >= 0 {
		i, p.idle[last] = p.idle[last], nil
		p.idle = p.idle[:last]
		p.unused = min(p.unused, last)
	} else if since.IsZero() {
		since = p.clock.Now()
	}
	return i, since, nil
}

// put gives the place back, and the instance with it unless it is nil. An instance that comes back to a retired pool is
// closed.
func (p *pool) put(i *instance, among places) {
	p.mu.Lock()
	if i != nil && p.done {
		// It is closed before it is counted out, so that nothing of it is left when the pool is drained.
		p.mu.Unlock()
		i.close()
		i = nil
		p.mu.Lock()
	}
	if i != nil {
		p.idle = append(p.idle, i)
		p.watchIdle()
	}
	last := p.countOut(1)
	p.mu.Unlock()
	<-among
	if last {
		close(p.drained)
	}
}

// countOut ends the use of instances, and reports whether the caller has to close p.drained.
// REQUIRES: p.mu
func (p *pool) countOut(n int) bool {
	p.busy -= n
	return p.done && p.busy == 0
}

// watchIdle sets the timer when there is something to shrink.
// REQUIRES: p.mu
func (p *pool) watchIdle() {
	if p.timer == nil && !p.done && len(p.idle) > 1 {
		p.unused = len(p.idle)
		p.timer = p.clock.AfterFunc(shrinkAfter, p.shrink)
	}
}

// shrink closes the instances that nobody took since the timer was set, but leaves one.
func (p *pool) shrink() {
	p.mu.Lock()
	p.timer = nil
	surplus := p.unused
	p.mu.Unlock()
	// Between the two locks instances may be taken from the top and put back there; what closeOldest closes is at the
	// bottom.
	p.closeOldest(surplus, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watchIdle()
}

// closeOldest closes up to n of the instances that have been idle the longest, of which some are kept, and returns how many it closed.
func (p *pool) closeOldest(n, keeps int) int {
	p.mu.Lock()
	n = max(0, min(n, len(p.idle)-keeps))
	oldest := append([]*instance(nil), p.idle[:n]...)
	kept := copy(p.idle, p.idle[n:])
	clear(p.idle[kept:])
	p.idle = p.idle[:kept]
	p.unused = max(0, p.unused-n)
	p.busy += n // the pool is not drained before they are closed
	p.mu.Unlock()
	if n == 0 {
		return 0
	}
	for _, i := range oldest {
		i.close()
	}
	p.mu.Lock()
	last := p.countOut(n)
	p.mu.Unlock()
	if last {
		close(p.drained)
	}
	return n
}

// idleBytes returns what the idle instances have of the budget, but for some that are kept: those idle for the shortest time.
func (p *pool) idleBytes(keeps int) (sum int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.idle[:max(0, len(p.idle)-keeps)] {
		sum += i.memory.paid + i.stack.paid
	}
	return sum
}

// retire refuses everyone from now on, closes the idle instances, and lets those in use end. It is called once.
func (p *pool) retire() {
	p.mu.Lock()
	p.done = true
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	idle := p.idle
	p.idle = nil
	p.busy++ // ours: the idle ones are closed before the pool is drained
	p.mu.Unlock()
	close(p.retiring)
	for _, i := range idle {
		i.close()
	}
	p.mu.Lock()
	last := p.countOut(1)
	p.mu.Unlock()
	if last {
		close(p.drained)
	}
}

// count returns the number of instances that exist or are being made.
func (p *pool) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy + len(p.idle)
}
