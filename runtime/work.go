package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// maxChain is after how many invocations in a row a run goes to the tail of the queue, so that none keeps a worker for ever.
const maxChain = 64

// execute does the work of a run, one task after the other, until it waits, ends, or has had its turn.
func (e *Engine) execute(r *run, q *queue) {
	s := r.shard
	m := r.module // the run may be another's before the execution is done
	if !s.current(r) {
		e.tasks.done(q, m)
		return
	}
	for chain := 1; ; chain++ {
		w := e.Catalog().For(&r.rec)
		status := w.status(q.Status)
		h := status.handler(r.rec.Work())
		if h == nil {
			e.leave(r, q, nil)
			e.tasks.done(q, m)
			return
		}
		if r.recovered && !s.countLost(r, w, h) {
			e.tasks.done(q, m)
			return
		}
		h = status.handler(r.rec.Work()) // a lost attempt that was counted may have put other work first
		if err := e.perform(r, status, h); err != nil {
			if errors.Is(err, ErrRetired) && e.Catalog().For(&r.rec).status(q.Status) != status {
				continue // a newer module has taken over: ask it
			}
			if errors.Is(err, ErrRetired) || e.ctx.Err() != nil {
				e.leave(r, q, status)
			} else {
				s.postpone(r, err)
			}
			e.tasks.done(q, m)
			return
		}
		if !s.settle(r, w, q) {
			e.tasks.done(q, m)
			return
		}
		next, ok := (*queue)(nil), false
		if chain < maxChain {
			next, ok = e.tasks.chain(q, r)
		}
		if !ok {
			s.requeue(r)
			e.tasks.done(q, m)
			return
		}
		q, m = next, r.module
	}
}

// status returns a status of the definition, or nil. w may be nil.
func (w *Workflow) status(name string) *Status {
	if w == nil {
		return nil
	}
	return w.Statuses[name]
}

// handler returns the handler of some work: of a callback or of timers to be computed the first of several. It returns nil when
// the work has to wait for a module. s may be nil.
func (s *Status) handler(w Work) *Handler {
	if s == nil {
		return nil
	}
	switch w.Kind {
	case HandlerTimeout:
		if h := s.timeout(w.Name); h != nil {
			return h
		}
	case HandlerCallback:
		if len(s.Callbacks) > 0 {
			return s.Callbacks[0]
		}
	case HandlerTimer:
		for _, t := range s.Timeouts {
			if t.Timer != nil {
				return t.Timer
			}
		}
	default:
		if s.Step != nil {
			return s.Step
		}
	}
	return &Handler{Kind: w.Kind, Name: w.Name, Status: s.Name, Retry: DefaultRetry(), Invoker: gone{}}
}

// gone stands for a handler that the newest module of a status no longer has: a timeout is dropped, a callback refused, and a
// run without its step parked.
type gone struct{}

// Invoke implements Invoker.
func (gone) Invoke(_ context.Context, in *Invocation, out *Outcome) error {
	switch in.Handler.Kind {
	case HandlerCallback:
		out.Kind, out.Reason = OutcomePermanent, "no module takes callbacks in this status any more"
	default:
		out.Kind = OutcomeSkip
	}
	return nil
}

// leave puts an executing run back into the store, where it waits for a module other than that of status, or for the next
// start.
func (e *Engine) leave(r *run, q *queue, status *Status) {
	s := r.shard
	rec := Record{Workflow: r.rec.Workflow, Status: r.rec.Status, State: r.rec.State, Pinned: r.rec.Pinned}
	s.mu.Lock()
	s.forget(r)
	s.mu.Unlock()
	e.tasks.leave(q, &rec, status)
}

// current makes sure that a run taken from a queue is what the store has. If not, the run is queued anew where it belongs.
func (s *shard) current(r *run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.stale {
		s.reload(r)
		return false
	}
	return true
}

func (s *shard) isStale(r *run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.stale
}

// reload replaces a stale run by what the store has, queued where it belongs, or forgotten: a run that has ended may be removed
// before its worker looks.
// REQUIRES: s.mu
func (s *shard) reload(r *run) {
	id := r.rec.RunID
	s.forget(r)
	fresh, err := s.load(id)
	if errors.Is(err, ErrNotFound) {
		return
	}
	if err != nil {
		s.engine.fail(err)
		return
	}
	if fresh.rec.Ready() {
		s.enqueue(fresh)
	} else {
		fresh.release()
	}
}

// requeue puts a run at the tail of its queue.
func (s *shard) requeue(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enqueue(r)
}

// countLost writes the attempt that is about to be made of a run that an unclean stop left, and waits until it is durable. It
// reports whether the attempt may be made.
func (s *shard) countLost(r *run, w *Workflow, h *Handler) bool {
	e := s.engine
	if r.rec.Owner < s.epoch && !s.writeLost(r, w, h) {
		return false
	}
	if err := e.observed(e.ctx, s); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget(r)
		return false
	}
	return true
}

// writeLost counts the lost attempt and reports whether the run is still ready.
func (s *shard) writeLost(r *run, w *Workflow, h *Handler) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.stale {
		s.reload(r)
		return false
	}
	Lost(&r.rec, w, h, s.epoch, s.engine.now(), s.engine.rules(), &r.next, &r.batch)
	if !s.advance(r) {
		s.forget(r)
		return false
	}
	return true
}

// perform does the next work of a run: it calls the handlers concerned until r.out holds the outcome and r.inv the invocation
// that decided it.
func (e *Engine) perform(r *run, status *Status, first *Handler) error {
	r.work, r.began, r.armed = r.rec.Work(), e.now(), nil
	r.inv = Invocation{Record: &r.rec, Attempt: r.work.Attempt, Callback: r.work.Callback, Seen: r.shard}
	switch {
	case r.work.Kind == HandlerCallback && len(status.Callbacks) > 0:
		return e.takeCallback(r, status)
	case r.work.Kind == HandlerTimer:
		return e.computeTimers(r, status, first)
	default:
		return e.invoke(r, first)
	}
}

// takeCallback gives the payload to the handlers of the status, in order, until one does something with it.
func (e *Engine) takeCallback(r *run, status *Status) error {
	payload, err := e.store.Payload(r.rec.RunID, r.work.Callback)
	if errors.Is(err, ErrNotFound) && r.shard.isStale(r) {
		r.inv.Handler = status.Callbacks[0]
		r.out.Reset() // the run has left the status meanwhile: whatever comes out is discarded
		return nil
	}
	if err != nil {
		e.fail(fmt.Errorf("runtime: payload of callback %d of run %s: %w", r.work.Callback, r.rec.RunID, err))
		return err
	}
	r.inv.Payload = payload
	var all chorus
	for _, h := range status.Callbacks {
		if err := e.invoke(r, h); err != nil {
			return err
		}
		all.add(h, &r.out)
		if r.out.Kind != OutcomeSkip {
			break
		}
	}
	all.give(r.inv.Handler, &r.out)
	return nil
}

// chorus is what several handlers logged and used that were called for one piece of work.
type chorus struct {
	logs []LogLine
	fuel uint64
}

func (c *chorus) add(h *Handler, out *Outcome) {
	c.fuel += out.Fuel
	for _, line := range out.Logs {
		line.Handler = h.title()
		c.logs = append(c.logs, line)
	}
}

// give makes it that of an outcome, whose log entry will be last's.
func (c *chorus) give(last *Handler, out *Outcome) {
	for i := range c.logs {
		if c.logs[i].Handler == last.title() {
			c.logs[i].Handler = ""
		}
	}
	out.Logs, out.Fuel = c.logs, c.fuel
}

// computeTimers asks for the due times of the timeouts of the run's entry that are computed. The definition may be another than at
// the entry: a timeout that it computes no longer is due after its time from now on, and one that it no longer has is dropped.
func (e *Engine) computeTimers(r *run, status *Status, first *Handler) error {
	var all chorus
	r.inv.Handler = first
	for _, name := range r.rec.Arming {
		t := status.timeout(name)
		if t == nil {
			continue
		}
		if t.Timer == nil {
			r.armed = append(r.armed, Pending{Kind: PendingTimeout, Name: name, Due: later(r.began, t.After), Attempt: 1})
			continue
		}
		if err := e.invoke(r, t.Timer); err != nil {
			return err
		}
		all.add(t.Timer, &r.out)
		if r.out.Kind == OutcomeError || r.out.Kind == OutcomePermanent {
			all.give(t.Timer, &r.out)
			return nil
		}
		if r.out.Kind == OutcomeDone {
			due := r.out.Due
			if latest := later(r.inv.Now, farthest); due.After(latest) {
				due = latest
			}
			r.armed = append(r.armed, Pending{Kind: PendingTimeout, Name: name, Due: due, Attempt: 1})
		}
	}
	r.out.Reset()
	r.out.Kind = OutcomeDone
	all.give(r.inv.Handler, &r.out)
	return nil
}

// invoke calls one handler. A nil error means that r.out holds an outcome.
func (e *Engine) invoke(r *run, h *Handler) error {
	now := e.now()
	r.inv.Handler, r.inv.Now, r.inv.Deadline = h, now, now.Add(e.timeout(h))
	return e.call(&r.inv, r.rec.cameWith(r.work), &r.out)
}

// timeout returns how long one invocation of a handler may take.
func (e *Engine) timeout(h *Handler) time.Duration {
	if h.Timeout > 0 {
		return h.Timeout
	}
	return e.tuned.Load().StepTimeout
}

// call calls a handler, as a span of its trace. came is the trace of the callback that is handled, if it had one.
func (e *Engine) call(in *Invocation, came TraceContext, out *Outcome) error {
	span := e.traceCall(in, came)
	err := e.guarded(e.ctx, in, out)
	e.traceEnded(span, out, err)
	return err
}

// guarded calls a handler, under a context that ends with the engine or before. Whatever it does wrong is an outcome; an error
// means that the call is void.
func (e *Engine) guarded(ctx context.Context, in *Invocation, out *Outcome) (err error) {
	out.Reset()
	defer func() {
		if p := recover(); p != nil {
			out.Kind, out.Reason = OutcomeError, fmt.Sprintf("panic: %v", p)
			e.opt.Logger.Error("a native handler panicked", "run_id", in.Record.RunID, "trace_id", in.Trace.ID(), "workflow", in.Handler.Workflow,
				"kind", in.Handler.Kind.String(), "handler", in.Handler.Name, "panic", p, "stack", string(debug.Stack()))
			err = nil
		}
	}()
	return in.Handler.Invoker.Invoke(ctx, in, out)
}

// A run whose invocation the host refused waits for between the one and the other: thousands may wait for the same memory.
const (
	postponedMin = time.Second
	postponedMax = 3 * time.Second
)

// postpone puts off the work of a run whose invocation the host refused for reasons of its own. The attempt does not count.
func (s *shard) postpone(r *run, cause error) {
	e := s.engine
	level := slog.LevelDebug
	if now, last := e.now().Unix(), e.postponed.Load(); now != last && e.postponed.CompareAndSwap(last, now) { // once a second
		level = slog.LevelWarn
	}
	e.opt.Logger.Log(e.ctx, level, "an invocation was refused and is put off", "run_id", r.rec.RunID, "trace_id", r.inv.Trace.ID(),
		"workflow", r.rec.Workflow, "status", r.rec.Status, "error", cause)
	wait := postponedMin + time.Duration(e.share()*float64(postponedMax-postponedMin))
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.stale && !s.refresh(r) {
		s.reload(r)
		return
	}
	r.next = r.rec
	r.next.put(r.work, e.now().Add(wait))
	r.batch.Prev, r.batch.Next = &r.rec, &r.next
	if s.advance(r) && !r.work.pending() { // a callback or a timeout has come for it meanwhile
		s.enqueue(r)
		return
	}
	s.forget(r)
}

// settle commits what Decide makes of the outcome, and reports whether the run is ready for more work. If not, it is forgotten.
// An outcome whose work the run no longer holds is discarded.
func (s *shard) settle(r *run, w *Workflow, q *queue) bool {
	e := s.engine
	now := e.now()
	took := now.Sub(r.began)
	q.meter.Invoked(r.out.Kind, took)
	share := e.share()
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.stale && !s.refresh(r) {
		q.meter.Discarded()
		s.reload(r)
		return false
	}
	r.decision = Decision{
		Record: &r.rec, Workflow: w, Handler: r.inv.Handler, Trace: r.inv.Trace, Work: r.work, Outcome: &r.out, Armed: r.armed, Owner: s.epoch,
		Now: now, Took: took, Share: share, Rules: e.rules(),
	}
	Decide(&r.decision, &r.next, &r.batch)
	if e.overtaken(r) {
		q.meter.Discarded()
		r.next = Record{}
		r.batch.Reset()
		return true
	}
	if !s.advance(r) {
		s.forget(r)
		return false
	}
	return true
}

// overtaken reports whether an outcome leads into a status that nothing has any more, because the definition that ran was
// replaced meanwhile: when it was, no run was there. The handler of the definition that took over is asked instead, in the same
// attempt.
// REQUIRES: r.shard.mu
func (e *Engine) overtaken(r *run) bool {
	w := e.Catalog().For(&r.next)
	if w == nil || !r.next.State.Active() || w.takes(r.next.Status, true) {
		return false
	}
	return e.Catalog().For(&r.rec).takes(r.rec.Status, true)
}

// refresh takes over what happened to the run during its invocation, and reports whether it still holds the work.
// REQUIRES: s.mu
func (s *shard) refresh(r *run) bool {
	var fresh Record
	if err := s.engine.store.Record(r.rec.RunID, &fresh); err != nil {
		if !errors.Is(err, ErrNotFound) {
			s.engine.fail(fmt.Errorf("runtime: read run %s again: %w", r.rec.RunID, err))
		}
		return false
	}
	if !fresh.Holds(r.work) {
		return false
	}
	r.rec, r.stale = fresh, false
	return true
}

// advance commits r.batch, adopts r.next, and reports whether the run is ready.
// REQUIRES: s.mu
func (s *shard) advance(r *run) bool {
	if err := s.commit(&r.batch); err != nil {
		return false
	}
	r.adopt()
	return r.rec.Ready()
}

func (e *Engine) rules() Rules {
	tuned := e.tuned.Load()
	return Rules{
		AutoResume: tuned.AutoResume, MaxObject: tuned.MaxObject, MaxVersions: tuned.MaxVersions,
		HistoryObjects: !tuned.NoHistoryObjects,
	}
}
