package runtime

import (
	"context"
	"sync"
	"time"
)

// dispatcher hands ready runs to workers, fairly between the steps. Memory holds a bounded window of each queue; runs beyond
// it wait in the store, whose index of ready runs is the durable queue, and are fetched when the window has room.
//
// There are no idle workers: pushing a run starts one, and a worker that finds nothing to do ends.
//
// Lock order: shard.mu before dispatcher.mu.
type dispatcher struct {
	engine *Engine

	mu        sync.Mutex
	queues    map[Queue]*queue
	modules   map[*Module]*moduleLoad
	open      fifo[*queue] // queues from which a run may be taken, each once
	workers   int
	executing int
	queued    int
	stopping  bool
	idle      chan struct{} // closed when stopping and the last worker has ended
}

// queue holds the runs that are ready for the step of one status. The dispatcher's lock guards it.
type queue struct {
	Queue
	meter StepMeter

	runs      fifo[*run]
	module    *moduleLoad // of the status's handlers; nil: unbounded
	executing int
	limit     int           // of executing; 0: none
	served    bool          // the catalog has the status
	lateAfter time.Duration // a wait for a worker that is longer is counted as late; 0: none is
	open      bool          // it is in dispatcher.open

	more      bool      // the store may hold ready runs that are not in memory
	behind    time.Time // since when
	refilling bool
	missed    bool     // a run was left to the store since the present pass began
	at        position // where the present pass over the store is
}

// moduleLoad is how busy a module is, so that no worker waits for an instance and a busy module keeps no other from the workers.
type moduleLoad struct {
	module    *Module
	executing int
	queues    map[*queue]bool // those that it serves
}

func (m *moduleLoad) free() bool { return m == nil || m.executing < m.module.Instances }

func newDispatcher(e *Engine) *dispatcher {
	return &dispatcher{
		engine: e, queues: map[Queue]*queue{}, modules: map[*Module]*moduleLoad{}, idle: make(chan struct{}),
	}
}

// push queues a ready run and reports whether there was room. If not, the caller forgets the run; it is found again in the
// store.
func (d *dispatcher) push(r *run) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queue(Queue{r.rec.Workflow, r.rec.Status})
	if !q.served || q.more || q.runs.len() >= d.engine.opt.Window || d.stopping {
		d.miss(q)
		d.refill(q)
		return false
	}
	d.add(q, r)
	return true
}

// miss notes that a ready run of the queue is in the store alone.
// REQUIRES: d.mu
func (d *dispatcher) miss(q *queue) {
	if !q.more {
		q.behind = d.engine.now()
	}
	q.more, q.missed = true, true
}

// add puts a run at the end of a queue.
// REQUIRES: d.mu
func (d *dispatcher) add(q *queue, r *run) {
	r.queued = d.engine.opt.Clock.Now()
	q.runs.push(r)
	d.queued++
	d.offer(q)
}

// offer lets workers take from a queue if they may.
// REQUIRES: d.mu
func (d *dispatcher) offer(q *queue) {
	if q.open || q.runs.len() == 0 || !q.free() || d.stopping {
		return
	}
	q.open = true
	d.open.push(q)
	if d.workers < d.engine.opt.Workers {
		d.workers++
		go d.work()
	}
}

func (q *queue) free() bool {
	return q.served && (q.limit == 0 || q.executing < q.limit) && q.module.free()
}

// queue returns the queue of that name, made if need be.
// REQUIRES: d.mu
func (d *dispatcher) queue(name Queue) *queue {
	q := d.queues[name]
	if q == nil {
		q = &queue{Queue: name, meter: d.engine.opt.Meter.Step(name.Workflow, name.Status)}
		d.queues[name] = q
		d.apply(q, d.engine.Catalog())
	}
	return q
}

// apply gives a queue the settings of the step that serves it.
// REQUIRES: d.mu
func (d *dispatcher) apply(q *queue, c *Catalog) {
	status := c.queue(q.Queue)
	q.served = status != nil
	q.limit, q.lateAfter = 0, 0
	if status != nil && status.Step != nil {
		q.limit, q.lateAfter = status.Step.Parallelism, status.Step.LagAlert
	}
	d.bind(q, status.module())
}

// module returns the bound of the status's handlers, which lie in one module. s may be nil.
func (s *Status) module() *Module {
	switch {
	case s == nil:
		return nil
	case s.Step != nil:
		return s.Step.Module
	case len(s.Callbacks) > 0:
		return s.Callbacks[0].Module
	case len(s.Timeouts) > 0:
		return s.Timeouts[0].Module
	default:
		return nil
	}
}

// bind has a queue served by a module.
// REQUIRES: d.mu
func (d *dispatcher) bind(q *queue, m *Module) {
	if q.module != nil && q.module.module != m {
		delete(q.module.queues, q)
		d.drop(q.module)
		q.module = nil
	}
	if m == nil {
		return
	}
	load := d.modules[m]
	if load == nil {
		load = &moduleLoad{module: m, queues: map[*queue]bool{}}
		d.modules[m] = load
	}
	load.queues[q] = true
	q.module = load
}

// drop forgets a module that serves nothing and does nothing.
// REQUIRES: d.mu
func (d *dispatcher) drop(m *moduleLoad) {
	if len(m.queues) == 0 && m.executing == 0 {
		delete(d.modules, m.module)
	}
}

// occupy counts a run as executing in a queue, by the module that serves the queue now.
// REQUIRES: d.mu
func (d *dispatcher) occupy(q *queue, r *run) {
	q.executing++
	if r.module = q.module; r.module != nil {
		r.module.executing++
	}
}

// vacate takes a run off the count. It returns the module that has a place free by it; nil for none.
// REQUIRES: d.mu
func (d *dispatcher) vacate(q *queue, m *moduleLoad) *moduleLoad {
	q.executing--
	if m == nil {
		return nil
	}
	m.executing--
	d.drop(m)
	if m.executing+1 < m.module.Instances {
		return nil // it was not full: nobody waits for the place
	}
	return m
}

// offerAll lets workers take from the queues of a module that has a place free.
// REQUIRES: d.mu
func (d *dispatcher) offerAll(m *moduleLoad) {
	if m == nil {
		return
	}
	for q := range m.queues {
		d.offer(q)
	}
}

func (d *dispatcher) catalogChanged(c *Catalog) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.queues {
		d.apply(q, c)
		d.refill(q)
		d.offer(q)
	}
}

// found notes queues in which the store holds ready runs.
func (d *dispatcher) found(names []Queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		q := d.queue(name)
		d.miss(q)
		d.refill(q)
	}
}

// work takes runs until none is left.
func (d *dispatcher) work() {
	for {
		r, q := d.take()
		if r == nil {
			return
		}
		d.engine.execute(r, q)
	}
}

// take returns the next run and its queue, in which it counts as executing; nil ends the worker.
func (d *dispatcher) take() (*run, *queue) {
	now := d.engine.opt.Clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.stopping && !d.held() && d.open.len() > 0 {
		q := d.open.pop()
		q.open = false
		if q.runs.len() == 0 || !q.free() {
			continue
		}
		r := q.runs.pop()
		d.queued--
		d.executing++
		d.occupy(q, r)
		lag := max(0, now.Sub(r.queued))
		q.meter.Lag(lag, q.lateAfter > 0 && lag > q.lateAfter)
		d.offer(q)
		d.refill(q)
		return r, q
	}
	d.workers--
	if d.stopping && d.workers == 0 {
		close(d.idle)
	}
	return nil, nil
}

// chain moves an executing run on to its next queue without a turn in it, if the step there is free. The run may not have
// overtaken others more often than the caller allows.
func (d *dispatcher) chain(q *queue, r *run) (*queue, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	to := q
	if r.rec.Status != q.Status {
		to = d.queue(Queue{r.rec.Workflow, r.rec.Status})
	}
	m := r.module
	freed := d.vacate(q, m)
	if !to.free() || d.stopping || d.held() {
		q.executing++ // until it is done
		if m != nil {
			m.executing++
		}
		return nil, false
	}
	d.occupy(to, r)
	if to != q {
		d.offer(q)
	}
	if r.module != m {
		d.offerAll(freed)
	}
	return to, true
}

// done ends the execution of a run of the queue, which m was serving.
func (d *dispatcher) done(q *queue, m *moduleLoad) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.executing--
	d.offerAll(d.vacate(q, m))
	d.offer(q)
}

// leave says that a run of the queue has been left to the store, because the module of status, if any, took it no more. The queue
// rests until the catalog has another for such a run, of which rec holds what a definition is chosen by.
func (d *dispatcher) leave(q *queue, rec *Record, status *Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.miss(q)
	d.apply(q, d.engine.Catalog())
	if d.engine.Catalog().For(rec).status(q.Status) == status {
		q.served = false
	}
	d.refill(q)
}

// held reports whether the disk lets no step be done.
func (d *dispatcher) held() bool { return d.engine.disk.at(DiskHard) }

// release lets workers take runs again that the disk has held.
func (d *dispatcher) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range min(d.open.len(), d.engine.opt.Workers-d.workers) {
		d.workers++
		go d.work()
	}
	for _, q := range d.queues {
		d.refill(q)
		d.offer(q)
	}
}

// stop lets no worker take another run, and waits until all have ended or ctx ends.
func (d *dispatcher) stop(ctx context.Context) error {
	d.halt()
	select {
	case <-d.idle:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-d.idle:
		return nil
	default:
		return context.Cause(ctx)
	}
}

// halt lets no worker take another run.
func (d *dispatcher) halt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return
	}
	d.stopping = true
	if d.workers == 0 {
		close(d.idle)
	}
}

// abandonAfter is how long Stop waits for workers whose invocations it has cancelled.
const abandonAfter = time.Second

// wait waits for the workers after their invocations were cancelled. Compiled guest code cannot be interrupted, so it gives
// them up after abandonAfter; what they answer then is dropped.
func (d *dispatcher) wait() {
	expired := make(chan struct{})
	timer := d.engine.opt.Clock.AfterFunc(abandonAfter, func() { close(expired) })
	defer timer.Stop()
	select {
	case <-d.idle:
	case <-expired:
	}
}

func (d *dispatcher) stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{Executing: d.executing, Queued: d.queued}
}

// fifo is a queue in a ring that grows.
type fifo[T any] struct {
	ring  []T
	first int
	count int
}

func (f *fifo[T]) len() int { return f.count }

func (f *fifo[T]) push(v T) {
	if f.count == len(f.ring) {
		ring := make([]T, max(8, 2*len(f.ring)))
		n := copy(ring, f.ring[f.first:])
		copy(ring[n:], f.ring[:f.first])
		f.ring, f.first = ring, 0
	}
	f.ring[(f.first+f.count)%len(f.ring)] = v
	f.count++
}

// at returns the element that is i places behind the oldest. REQUIRES: i < f.len()
func (f *fifo[T]) at(i int) *T { return &f.ring[(f.first+i)%len(f.ring)] }

// pop removes the oldest element. REQUIRES: f.len() > 0
func (f *fifo[T]) pop() T {
	var zero T
	v := f.ring[f.first]
	f.ring[f.first] = zero
	f.first = (f.first + 1) % len(f.ring)
	f.count--
	return v
}
