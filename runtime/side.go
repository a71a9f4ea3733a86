package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"
)

// lanes bounds the tasks of each lane over all shards.
type lanes struct {
	limit int

	mu     sync.Mutex
	places map[lane]chan struct{} // one token for each task that is being done
}

// of returns the places of a lane.
func (l *lanes) of(name lane) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.places[name] == nil {
		l.places[name] = make(chan struct{}, l.limit)
	}
	return l.places[name]
}

// lane returns the lane of a task. An erasure's run may be gone: then it calls nothing, as a slot does without a filter.
// REQUIRES: s.mu
func (s *shard) lane(t *Task) (lane, error) {
	switch t.Kind {
	case TaskSchedule:
		if w := s.engine.Catalog().Workflow(t.Workflow); w == nil || w.filter(t.Name) == nil {
			return "", nil
		}
		return lane(t.Workflow), nil
	case TaskHook:
		return lane(t.Record.Workflow), nil
	case TaskErase:
		var rec Record
		err := s.engine.store.Record(t.RunID, &rec)
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
		return lane(rec.Workflow), err
	default:
		return "", nil
	}
}

// holds reports whether tasks of a kind wait until the disk has space.
func (e *Engine) holds(kind TaskKind) bool {
	switch kind {
	case TaskErase:
		return false
	case TaskSchedule, TaskIntent:
		return e.disk.at(DiskHigh)
	default:
		return e.disk.at(DiskHard)
	}
}

// do does one task and looks for more.
func (d *side) do(t *Task, in lane) {
	s := d.shard
	e := s.engine
	key := t.key()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		d.done(key)
	}()
	places := e.sides.of(in)
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-e.ctx.Done():
		return
	}
	if err := e.observed(e.ctx, s); err != nil { // what a task does is seen elsewhere
		return
	}
	var err error
	switch t.Kind {
	case TaskHook:
		err = s.doHook(t)
	case TaskIntent:
		err = s.doIntent(t)
	case TaskErase:
		err = s.doErase(t)
	case TaskSchedule:
		err = s.doSchedule(t)
	}
	if err != nil && e.ctx.Err() == nil && !errors.Is(err, ErrStopping) {
		e.fail(fmt.Errorf("runtime: task %d %s of run %s: %w", t.Kind, t.Name, t.RunID, err))
	}
}

// unserved is how long a task waits whose module is missing.
const unserved = 30 * time.Second

// leavingWait is how long an erasing waits between looks at whether what a handler emitted has left.
const leavingWait = time.Second

// lease is how much longer than its deadline an attempt is given before the task is due again.
const lease = time.Minute

// attempt counts an attempt of a task, durably, before it is made: t becomes the task as the store then has it, due again when
// the attempt must be over.
func (s *shard) attempt(t *Task) error {
	before := *t
	t.Attempt++
	t.Due = s.engine.now().Add(s.engine.tuned.Load().StepTimeout + lease)
	return s.put(&Batch{DropTask: &before, AddTasks: []Task{*t}})
}

// again moves a task on, to be tried again.
func (s *shard) again(t *Task, after time.Duration, line *HistoryEntry, log *LogEntry) error {
	moved := *t
	moved.Due = s.engine.now().Add(after)
	return s.conclude(&Batch{DropTask: t, AddTasks: []Task{moved}, Log: log}, t.RunID, line)
}

// put commits a batch that changes no run.
func (s *shard) put(b *Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.AddTasks {
		if t := &b.AddTasks[i]; t.Kind == TaskHook {
			var rec Record
			if err := s.engine.store.Record(t.RunID, &rec); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			t.scrub(&rec)
		}
	}
	return s.commit(b)
}

// scrub takes the run's data out of a task that was under way while it was erased.
func (t *Task) scrub(rec *Record) {
	if t.Kind == TaskHook && rec.State == DataDeleted {
		told := t.Record.Clone()
		told.Object, told.Reason = rec.Object, ""
		t.Record = &told
	}
}

// outdated reports whether a task was begun with data that have been erased since: what its handler says may hold them.
func (t *Task) outdated(rec *Record) bool {
	return t.Kind == TaskHook && rec.State == DataDeleted && (t.Record.Reason != "" || !bytes.Equal(t.Record.Object, rec.Object))
}

// conclude commits what became of a task, with a line in the history of its run, if there is one and the run is still there.
func (s *shard) conclude(b *Batch, id RunID, line *HistoryEntry) error {
	if line == nil {
		return s.put(b)
	}
	_, err := s.change(id, func(r *run) error {
		r.next = r.rec
		r.next.Lines++
		line.RunID, line.Version, line.Line, line.Time = id, r.rec.Version, r.next.Lines, s.engine.now()
		line.State, line.Status = r.rec.State, r.rec.Status
		r.batch.Prev, r.batch.Next = &r.rec, &r.next
		r.batch.History = append(r.batch.History, *line)
		r.batch.AddTasks, r.batch.DropTask, r.batch.Log = append(r.batch.AddTasks, b.AddTasks...), b.DropTask, b.Log
		for i := range r.batch.AddTasks {
			r.batch.AddTasks[i].scrub(&r.rec)
		}
		if b.DropTask != nil && b.DropTask.outdated(&r.rec) {
			r.batch.Log, r.batch.History[0].Reason = nil, ""
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return s.put(b)
	}
	return err
}

// doHook calls a hook with the record it was told of.
func (s *shard) doHook(t *Task) error {
	e := s.engine
	w := e.Catalog().For(t.Record)
	if w == nil {
		return s.again(t, unserved, nil, nil)
	}
	if t.Name == "" {
		return s.spread(t, w)
	}
	h := w.hook(t.On, t.Name)
	if h == nil {
		return s.conclude(&Batch{DropTask: t}, t.RunID, &HistoryEntry{
			Cause: CauseHook, Handler: t.Name, Failed: true, Reason: "no module has this hook any more",
		})
	}
	in := &Invocation{Handler: h, Record: t.Record}
	out, took, err := s.tryTask(t, h, in)
	if err != nil || out == nil {
		return err
	}
	line := HistoryEntry{Cause: CauseHook, Handler: h.Name, Attempt: t.Attempt, Digest: h.Digest, Took: took, Fuel: out.Fuel}
	if out.Kind == OutcomeDone {
		b := &Batch{DropTask: t, Log: logOf(t.Record, h, t.Attempt, out.Logs, e.now())}
		addIntents(b, t.Record, "hook/"+h.Name+"/", out.Intents, in.Trace, s.engine.now())
		return s.conclude(b, t.RunID, &line)
	}
	return s.failTask(t, h, t.Record, out, &line)
}

// hook returns a hook, or nil.
func (w *Workflow) hook(on HookEvent, name string) *Handler {
	for _, h := range w.Hooks {
		if h.On == on && h.Name == name {
			return h
		}
	}
	return nil
}

// spread replaces the task that stands for all hooks of an event by one for each. A run that ended while no module carried its
// workflow gets the time of its removal.
func (s *shard) spread(t *Task, w *Workflow) error {
	expire := w.expiry(t.Record.UpdatedAt)
	_, err := s.change(t.RunID, func(r *run) error {
		r.next = r.rec
		if (t.On == HookCancel || t.On == HookComplete) && r.rec.ExpireAt.IsZero() {
			r.next.ExpireAt = expire
		}
		r.batch.Prev, r.batch.Next, r.batch.DropTask = &r.rec, &r.next, t
		addHooks(&r.batch, t.Record, w, t.On, s.engine.now())
		for i := range r.batch.AddTasks {
			r.batch.AddTasks[i].scrub(&r.rec)
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) { // the run has been removed: its hooks are told all the same
		b := &Batch{DropTask: t}
		addHooks(b, t.Record, w, t.On, s.engine.now())
		return s.put(b)
	}
	return err
}

// tryTask makes one attempt of a task by calling a handler. A nil outcome means that the call is void and the task stays.
func (s *shard) tryTask(t *Task, h *Handler, in *Invocation) (*Outcome, time.Duration, error) {
	e := s.engine
	if err := s.attempt(t); err != nil {
		return nil, 0, err
	}
	if err := e.observed(e.ctx, s); err != nil {
		return nil, 0, nil //nolint:nilerr // the engine stops; the task stays
	}
	var out Outcome
	in.Attempt, in.Now, in.Slot, in.Seen = t.Attempt, e.now(), t.Slot, s
	in.Deadline = in.Now.Add(e.timeout(h))
	if err := e.call(in, TraceContext{}, &out); err != nil {
		if e.ctx.Err() != nil {
			return nil, 0, nil
		}
		t.Attempt-- // the host did not make it: the module is being replaced, or memory is short
		return nil, 0, s.again(t, unserved, nil, nil)
	}
	e.opt.Meter.Step(in.Record.Workflow, h.Kind.String()).Invoked(out.Kind, e.now().Sub(in.Now))
	return &out, e.now().Sub(in.Now), nil
}

// failTask plans the next attempt. The history tells of as many failures as a step would have attempts, and no more.
func (s *shard) failTask(t *Task, h *Handler, rec *Record, out *Outcome, line *HistoryEntry) error {
	log := logOf(rec, h, t.Attempt, out.Logs, s.engine.now())
	wait := h.Retry.Wait(t.Attempt, s.engine.share())
	line.Failed, line.Reason = true, out.Reason
	if out.Kind != OutcomeError && out.Kind != OutcomePermanent {
		line.Reason = fmt.Sprintf("%s %s answered outcome %d, which is not for a %s", h.Kind, h.Name, out.Kind, h.Kind)
	}
	if t.Attempt > h.Retry.Attempts {
		line = nil
	}
	return s.again(t, wait, line, log)
}

// DefaultErased is what remains of an erased object when the workflow has no erase function of its own.
func DefaultErased() []byte { return []byte(`{"result":"deleted"}`) }

// doErase erases the data of a run.
func (s *shard) doErase(t *Task) error {
	e := s.engine
	rec, w, err := s.erasable(t)
	if err != nil {
		return err
	}
	if rec == nil {
		return s.put(&Batch{DropTask: t})
	}
	if w == nil {
		return s.again(t, unserved, nil, nil)
	}
	if s.outbox.leaves(rec.RunID) { // what its handlers emitted and was not handed over before is left out from now on
		return s.again(t, leavingWait, nil, nil)
	}
	object := DefaultErased()
	line := HistoryEntry{Cause: CauseErase}
	if h := w.Erase; h != nil {
		out, took, err := s.tryTask(t, h, &Invocation{Handler: h, Record: rec})
		if err != nil || out == nil {
			return err
		}
		line = HistoryEntry{Cause: CauseErase, Handler: h.Name, Attempt: t.Attempt, Digest: h.Digest, Took: took, Fuel: out.Fuel}
		if out.Kind != OutcomeDone {
			return s.failTask(t, h, rec, out, &line)
		}
		if out.Changed {
			object = out.Object
		}
	}
	if err := errors.Join(e.dropParkedOf(e.ctx, rec), s.dropEmitted(rec.RunID)); err != nil {
		return err
	}
	_, err = s.change(t.RunID, func(r *run) error {
		if r.rec.State != RequestedDataDeleted {
			r.next = r.rec
			r.batch.Prev, r.batch.Next, r.batch.DropTask = &r.rec, &r.next, t
			return nil
		}
		c := Control{To: DataDeleted, Cause: CauseErase, Object: object}
		err := c.apply(&r.rec, w, nil, s.epoch, e.now(), Rules{}, &r.next, &r.batch)
		h := &r.batch.History[0]
		h.Handler, h.Attempt, h.Digest, h.Took, h.Fuel = line.Handler, line.Attempt, line.Digest, line.Took, line.Fuel
		r.batch.Erase, r.batch.DropTask = true, t
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return s.put(&Batch{DropTask: t})
	}
	return err
}

// erasable returns the run that is to be erased, nil when there is nothing left to do, and its definition, nil while no module
// carries it.
func (s *shard) erasable(t *Task) (*Record, *Workflow, error) {
	var rec Record
	err := s.engine.store.Record(t.RunID, &rec)
	if errors.Is(err, ErrNotFound) || err == nil && rec.State != RequestedDataDeleted {
		return nil, nil, nil
	}
	return &rec, s.engine.Catalog().For(&rec), err
}
