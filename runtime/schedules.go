package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// late is how long after its time a slot counts as missed: the server was down, or the schedule was held up.
const late = time.Minute

// doSchedule does the slot of a schedule that is due, and plans the next: both in the batch that begins the run, so that a slot
// triggers once. A slot that fails is kept and tried again.
func (s *shard) doSchedule(t *Task) error {
	e := s.engine
	sched, void, err := s.slotOf(t)
	if err != nil || void {
		return err
	}
	w := e.Catalog().Workflow(t.Workflow)
	if w == nil || w.Closed {
		return s.failSlot(t, &sched, fmt.Errorf("there is no workflow %s", t.Workflow), unserved)
	}
	slot := sched.due(e.now())
	if slot.IsZero() {
		return s.endSlot(t, &sched, t.Slot, "skipped: the slot was missed")
	}
	trigger := Trigger{
		Workflow: sched.Workflow, ForeignID: sched.foreignID(), Object: sched.Object, StartAt: sched.StartAt,
		cause: CauseSchedule, schedule: sched.Name,
	}
	if h := w.filter(sched.Name); h != nil && sched.Plugin {
		rec := Record{Workflow: w.Name, ForeignID: trigger.ForeignID, Object: objectOrNull(sched.Object)}
		out, _, err := s.tryTask(t, h, &Invocation{Handler: h, Record: &rec})
		if err != nil || out == nil {
			return err
		}
		switch {
		case out.Kind == OutcomeSkip:
			return s.endSlot(t, &sched, slot, "skipped: the filter said so")
		case out.Kind != OutcomeDone:
			return s.failSlot(t, &sched, errors.New(out.Reason), h.Retry.Wait(t.Attempt, e.share()))
		case out.Changed:
			trigger.Object = out.Object
		}
	} else {
		t.Attempt++ // which no call has counted
	}
	return s.triggerSlot(t, &sched, slot, &trigger)
}

// slotOf returns the schedule of a slot's task, or drops the task when it is void: the schedule was paused, changed or removed, or
// has moved to another shard. Both under the writer: a resume between them would make the same task again.
func (s *shard) slotOf(t *Task) (sched Schedule, void bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sched, err = s.engine.store.Schedule(t.Workflow, t.Name)
	if errors.Is(err, ErrNotFound) || err == nil && (sched.Paused || !sched.Next.Equal(t.Slot) || s.engine.home(&sched) != s) {
		return sched, true, s.commit(&Batch{DropTask: t})
	}
	return sched, false, err
}

// due returns the slot to trigger of those that are due at now, by the catch-up policy; zero for none.
func (s *Schedule) due(now time.Time) time.Time {
	c, err := s.cron()
	if err != nil || s.CatchUp == CatchUpAll {
		return s.Next
	}
	slot := c.last(s.Next, now, s.Since)
	if s.CatchUp == CatchUpNone && now.Sub(slot) > late {
		return time.Time{}
	}
	return slot
}

// triggerSlot begins the run of a slot. While the run before it goes on the slot is skipped, or, if it is being caught up with
// all others, kept.
func (s *shard) triggerSlot(t *Task, sched *Schedule, slot time.Time, trigger *Trigger) error {
	e := s.engine
	if len(trigger.Object) == 0 {
		trigger.Object = []byte("null")
	}
	err := e.checkTrigger(trigger)
	if err == nil {
		err = s.beginSlot(t, sched, slot, trigger)
	}
	var busy *InProgressError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &busy):
		return s.endSlot(t, sched, slot, "skipped: "+err.Error())
	case e.Err() != nil:
		return e.Err()
	default:
		return s.failSlot(t, sched, err, DefaultRetry().Wait(t.Attempt, e.share()))
	}
}

// beginSlot begins the run of a slot, or holds the slot until the run that is in its way has ended.
func (s *shard) beginSlot(t *Task, sched *Schedule, slot time.Time, trigger *Trigger) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stands, err := s.stands(sched, t); err != nil || !stands {
		return err
	}
	_, err := s.trigger(trigger, func(id RunID, b *Batch) {
		b.DropTask, b.PrevSchedule = t, sched
		b.NextSchedule = sched.after(slot, s.engine.now(), "triggered")
		b.NextSchedule.LastRun = id
		b.AddTasks = appendSlot(b.AddTasks, b.NextSchedule)
	})
	var busy *InProgressError
	if errors.As(err, &busy) && sched.CatchUp == CatchUpAll && s.engine.now().Sub(slot) > late {
		return s.holdSlot(t, sched, busy)
	}
	return err
}

// stands reports whether the schedule is still as it was read. Since then its filter may have been asked, for long; if it was paused,
// changed or removed meanwhile nothing is to become of the slot yet, and its task is looked at again at once: it may be void.
// REQUIRES: s.mu
func (s *shard) stands(sched *Schedule, t *Task) (bool, error) {
	now, err := s.engine.store.Schedule(sched.Workflow, sched.Name)
	switch {
	case err == nil && now.equal(sched):
		return true, nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return false, err
	}
	again := *t
	again.Due = s.engine.now()
	if !t.Due.After(again.Due) {
		return false, nil
	}
	return false, s.commit(&Batch{DropTask: t, AddTasks: []Task{again}})
}

// putSlot commits what became of a slot, which drops its task, unless the schedule no longer stands.
func (s *shard) putSlot(sched *Schedule, b *Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stands, err := s.stands(sched, b.DropTask); err != nil || !stands {
		return err
	}
	return s.commit(b)
}

// holdSlot keeps a slot until the run that is in its way has ended, and writes once that it waits.
// REQUIRES: s.mu
func (s *shard) holdSlot(t *Task, sched *Schedule, busy *InProgressError) error {
	now := s.engine.now()
	h := hold{run: busy.RunID, slot: t.Slot, due: t.Due}
	if t.Due.After(now) {
		h.due = now
	}
	s.side.held[t.key()] = h
	next := *sched
	next.LastAt, next.LastResult = now, "waits: "+busy.Error()
	b := &Batch{PrevSchedule: sched, NextSchedule: &next}
	switch {
	case t.Due.After(now): // its filter was asked, and could have been asked again only then
		again := *t
		again.Due = now
		b.DropTask, b.AddTasks = t, []Task{again}
	case next.LastResult == sched.LastResult:
		return nil
	}
	return s.commit(b)
}

// after returns the schedule once a slot is done.
func (s *Schedule) after(slot, now time.Time, result string) *Schedule {
	next := *s
	next.LastSlot, next.LastAt, next.LastResult = slot, now, result
	next.plan(slot, now)
	return &next
}

// plan sets the slot that follows another. Only CatchUpAll plans slots that have passed.
func (s *Schedule) plan(slot, now time.Time) {
	s.Next = time.Time{}
	c, err := s.cron()
	if err != nil {
		return
	}
	if s.CatchUp != CatchUpAll && slot.Before(now) {
		slot = now
	}
	s.Next = c.next(slot, s.Since)
}

// appendSlot appends the task of the schedule's next slot, if there is one.
func appendSlot(tasks []Task, s *Schedule) []Task {
	if s.Paused || s.Next.IsZero() {
		return tasks
	}
	return append(tasks, Task{Due: s.Next, Kind: TaskSchedule, Workflow: s.Workflow, Name: s.Name, Slot: s.Next})
}

// endSlot records what became of a slot and plans the next.
func (s *shard) endSlot(t *Task, sched *Schedule, slot time.Time, result string) error {
	b := &Batch{DropTask: t, PrevSchedule: sched, NextSchedule: sched.after(slot, s.engine.now(), result)}
	b.AddTasks = appendSlot(nil, b.NextSchedule)
	return s.putSlot(sched, b)
}

// failSlot records why a slot could not be done, and keeps it for another attempt; of the attempts those that were made are counted.
func (s *shard) failSlot(t *Task, sched *Schedule, cause error, wait time.Duration) error {
	next := *sched
	next.LastAt, next.LastResult = s.engine.now(), "failed, and will be tried again: "+cause.Error()
	again := *t
	again.Due = s.engine.now().Add(wait)
	return s.putSlot(sched, &Batch{DropTask: t, AddTasks: []Task{again}, PrevSchedule: sched, NextSchedule: &next})
}

func (w *Workflow) filter(schedule string) *Handler {
	for i := range w.Schedules {
		if w.Schedules[i].Name == schedule {
			return w.Schedules[i].Filter
		}
	}
	return nil
}

func objectOrNull(object []byte) []byte {
	if len(object) == 0 {
		return []byte("null")
	}
	return object
}

// Schedules returns all schedules, ordered by workflow and name.
func (e *Engine) Schedules(ctx context.Context) ([]Schedule, error) {
	all, err := e.store.Schedules()
	if err != nil {
		err = fmt.Errorf("runtime: schedules: %w", err)
	}
	if derr := e.observedAll(ctx); derr != nil {
		return nil, derr
	}
	return all, err
}

// ErrScheduleExists says that a workflow has a schedule of that name already.
var ErrScheduleExists = errors.New("the workflow has a schedule of that name; delete it first")

// ErrPluginSchedule says that a schedule belongs to a plugin, which alone can remove it.
var ErrPluginSchedule = errors.New("a plugin declares this schedule: pause it, or remove it from the plugin")

// CreateSchedule makes a schedule. Its first slot is the first after now. It returns *UnknownWorkflowError,
// *UnknownStatusError, *InvalidError or ErrScheduleExists.
func (e *Engine) CreateSchedule(ctx context.Context, spec ScheduleSpec) (Schedule, error) {
	spec.Filter = nil
	if err := e.checkSchedule(&spec); err != nil {
		return Schedule{}, err
	}
	return e.changeSchedule(ctx, spec.Workflow, spec.Name, func(old *Schedule) (*Schedule, error) {
		if old != nil {
			return nil, ErrScheduleExists
		}
		return e.newSchedule(spec, false), nil
	})
}

func (e *Engine) checkSchedule(spec *ScheduleSpec) error {
	if err := spec.Check(); err != nil {
		return err
	}
	return e.checkTrigger(&Trigger{
		Workflow: spec.Workflow, ForeignID: spec.foreignID(), Object: objectOrNull(spec.Object), StartAt: spec.StartAt,
	})
}

func (e *Engine) newSchedule(spec ScheduleSpec, plugin bool) *Schedule {
	s := &Schedule{ScheduleSpec: spec, Plugin: plugin, Since: e.now()}
	s.Filter = nil
	s.plan(s.Since, s.Since)
	return s
}

// PauseSchedule lets no slot of a schedule come due until it is resumed. It returns the schedule, or ErrNotFound.
func (e *Engine) PauseSchedule(ctx context.Context, workflow, name string) (Schedule, error) {
	return e.changeKnown(ctx, workflow, name, func(s *Schedule) { s.Paused = true })
}

// ResumeSchedule lets the slots of a schedule come due again. The slots of the pause count as missed. It returns the schedule,
// or ErrNotFound.
func (e *Engine) ResumeSchedule(ctx context.Context, workflow, name string) (Schedule, error) {
	return e.changeKnown(ctx, workflow, name, func(s *Schedule) { s.Paused = false })
}

// DeleteSchedule removes a schedule that a client made. It returns ErrNotFound or ErrPluginSchedule.
func (e *Engine) DeleteSchedule(ctx context.Context, workflow, name string) error {
	_, err := e.changeSchedule(ctx, workflow, name, func(old *Schedule) (*Schedule, error) {
		switch {
		case old == nil:
			return nil, unknownSchedule(workflow, name)
		case old.Plugin:
			return nil, ErrPluginSchedule
		}
		return nil, nil
	})
	return err
}

// TriggerSchedule begins the run of a schedule now, besides its slots. It returns the errors of Trigger, and ErrNotFound.
func (e *Engine) TriggerSchedule(ctx context.Context, workflow, name string) (Triggered, error) {
	sched, err := e.store.Schedule(workflow, name)
	if err != nil {
		return Triggered{}, fmt.Errorf("runtime: schedule %s of workflow %s: %w", name, workflow, err)
	}
	return e.Trigger(ctx, Trigger{
		Workflow: workflow, ForeignID: sched.foreignID(), Object: sched.Object, StartAt: sched.StartAt,
		cause: CauseSchedule, schedule: name,
	})
}

func (e *Engine) changeKnown(ctx context.Context, workflow, name string, change func(*Schedule)) (Schedule, error) {
	return e.changeSchedule(ctx, workflow, name, func(old *Schedule) (*Schedule, error) {
		if old == nil {
			return nil, unknownSchedule(workflow, name)
		}
		next := *old
		change(&next)
		return &next, nil
	})
}

func unknownSchedule(workflow, name string) error {
	return fmt.Errorf("runtime: schedule %s of workflow %s: %w", name, workflow, ErrNotFound)
}

// changeSchedule replaces a schedule by what change makes of it, and returns that: of nil, when there is none, a new one; nil
// removes it. It waits until all that it has seen is durable.
func (e *Engine) changeSchedule(
	ctx context.Context, workflow, name string, change func(old *Schedule) (*Schedule, error),
) (Schedule, error) {
	if err := e.accepting(); err != nil {
		return Schedule{}, err
	}
	next, err := e.replaceSchedule(workflow, name, change)
	if derr := e.observedAll(ctx); derr != nil { // any shard may have a schedule
		return Schedule{}, derr
	}
	return next, err
}

// replaceSchedule does what changeSchedule does, without waiting. It holds the writers of all shards: a name is unique over them,
// and a schedule can move from one to another.
func (e *Engine) replaceSchedule(workflow, name string, change func(old *Schedule) (*Schedule, error)) (Schedule, error) {
	unlock := e.lockShards()
	defer unlock()
	var old *Schedule
	known, err := e.store.Schedule(workflow, name)
	switch {
	case err == nil:
		old = &known
	case !errors.Is(err, ErrNotFound):
		return Schedule{}, err
	}
	next, err := change(old)
	switch {
	case err != nil:
		return known, err
	case next != nil:
		return *next, e.putSchedule(old, next)
	case old != nil:
		return Schedule{}, e.home(old).commit(&Batch{PrevSchedule: old})
	default:
		return Schedule{}, nil
	}
}

// putSchedule commits a schedule that is new, or changed, in one batch: a crash amid its move to another shard would forget that it was
// paused. The task of the old slot, if it is another or in another shard, finds that it is void; if it is the same it stays, and with it
// how often it was tried.
// REQUIRES: shard.mu of all shards
func (e *Engine) putSchedule(old, next *Schedule) error {
	s := e.home(next)
	b := &Batch{PrevSchedule: old, NextSchedule: next}
	if old == nil || old.Paused || !old.Next.Equal(next.Next) || e.home(old) != s {
		b.AddTasks = appendSlot(nil, next)
	}
	if old != nil {
		e.home(old).lookAgain(old)
	}
	s.lookAgain(next)
	return s.commit(b)
}

// lookAgain has the task of a schedule's slot looked at, whatever it waits for.
// REQUIRES: s.mu
func (s *shard) lookAgain(sched *Schedule) {
	t := Task{Kind: TaskSchedule, Workflow: sched.Workflow, Name: sched.Name}
	s.side.release(t.key())
}

// home returns the shard that a schedule lives in.
func (e *Engine) home(sched *Schedule) *shard { return e.shards[ShardOf(sched.slot(), len(e.shards))] }
