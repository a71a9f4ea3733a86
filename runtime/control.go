package runtime

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Control is a change of a run from outside its handlers.
type Control struct {
	Cause  CauseKind
	By     string // who, as they said
	Reason string

	To     RunState   // Paused, Running (that is: resume), Cancelled or RequestedDataDeleted; 0: the state stays, or follows Move
	Pause  PauseCause // why, of Paused
	Move   *Status    // the status to enter; nil: none
	Object []byte     // the new object; nil: it stays

	moveTo string // the name of Move, while that is not known
}

// apply computes what the change makes of a run, as Decide does. It returns a *TransitionError when the run's state does not
// allow it. status is that of the run; it and w are nil while no module carries them.
func (c *Control) apply(rec *Record, w *Workflow, status *Status, owner Epoch, now time.Time, rules Rules, next *Record, b *Batch) error {
	if err := c.check(rec); err != nil {
		return err
	}
	*next = *rec
	next.Version++
	next.Lines, next.Owner, next.UpdatedAt = 0, owner, now
	if c.Cause == CausePerson {
		next.Alone = 0
	}
	b.Prev, b.Next = rec, next
	switch {
	case c.Move != nil:
		next.State, next.Reason = Running, ""
		next.Pause, next.ResumeAt = NotPaused, time.Time{}
		next.enter(c.Move, now)
	case c.To == Paused:
		next.State, next.Reason, next.Pause = Paused, c.Reason, c.Pause
	case c.To == Running:
		next.resume(status)
		next.Reason = c.Reason
	case c.To == Cancelled:
		next.end(Cancelled, c.Reason)
	case c.To != 0:
		next.State, next.Reason = c.To, c.Reason
	}
	if c.Object != nil {
		next.Object = append([]byte(nil), c.Object...)
	}
	line := HistoryEntry{
		RunID: rec.RunID, Version: next.Version, Time: now, Cause: c.Cause, By: c.By, State: next.State, Status: next.Status,
		Reason: c.Reason,
	}
	if c.Cause == CausePerson {
		line.Handler = c.action()
	}
	if c.Object != nil && rules.HistoryObjects {
		line.Object = next.Object
	}
	b.History = append(b.History, line)
	conclude(rec, next, w, now, b)
	return nil
}

// action names what a person asked for.
func (c *Control) action() string {
	switch {
	case c.Move != nil:
		return "move"
	case c.To == Paused:
		return "pause"
	case c.To == Running:
		return "resume"
	case c.To == Cancelled:
		return "cancel"
	case c.To == RequestedDataDeleted:
		return "erase"
	default:
		return "edit"
	}
}

func (c *Control) check(rec *Record) error {
	switch {
	case c.Move != nil && c.Move.Terminal && rec.State == Paused:
		return &TransitionError{From: Paused, To: Completed}
	case c.Move != nil && !rec.State.Active():
		return &TransitionError{From: rec.State, To: Running}
	case c.Move == nil && c.To == Running && rec.State != Paused: // only its steps make an Initiated run Running
		return &TransitionError{From: rec.State, To: Running}
	case c.Move == nil && c.To != 0:
		return rec.State.CheckTransition(c.To)
	case !rec.State.Active():
		return &TransitionError{From: rec.State, To: rec.State}
	}
	return nil
}

// resume arms a paused run again: its step, unless the status is known to have none, and what has failed; attempts count anew. A lag
// or a delay that the step asked for goes on; the wait for another attempt is over.
func (r *Record) resume(status *Status) {
	r.State, r.Pause, r.ResumeAt = Running, NotPaused, time.Time{}
	if r.Attempt > 1 {
		r.NotBefore = time.Time{}
	}
	r.Parked = status != nil && status.Step == nil
	r.Attempt = 1
	if r.Parked && len(r.Arming) == 0 {
		r.Attempt = 0
	}
	r.Pending = slices.Clone(r.Pending)
	for i := range r.Pending {
		r.Pending[i].Attempt = 1
	}
}

// Note is who changes a run, and why: both go into its history.
type Note struct {
	By     string // who, as they say; may be empty
	Reason string // may be empty
}

// Pause stops a run until it is resumed. It returns the run as it then is. An invocation under way goes on and its outcome is
// discarded. It returns ErrNotFound or a *TransitionError.
func (e *Engine) Pause(ctx context.Context, id RunID, note Note) (Record, error) {
	return e.control(ctx, id, note, Control{To: Paused, Pause: PausedByPerson})
}

// Resume lets a paused run go on, with attempts counted anew. It returns the run as it then is, ErrNotFound or a
// *TransitionError.
func (e *Engine) Resume(ctx context.Context, id RunID, note Note) (Record, error) {
	return e.control(ctx, id, note, Control{To: Running})
}

// Cancel ends a run where it is. It returns the run as it then is, ErrNotFound or a *TransitionError.
func (e *Engine) Cancel(ctx context.Context, id RunID, note Note) (Record, error) {
	return e.control(ctx, id, note, Control{To: Cancelled})
}

// Erase has the data of a run that has ended erased: its object, those in its history, its logs and payloads. It returns the
// run as it then is, RequestedDataDeleted; the erasing follows, and ends in the state DataDeleted. It returns ErrNotFound or a
// *TransitionError.
func (e *Engine) Erase(ctx context.Context, id RunID, note Note) (Record, error) {
	return e.control(ctx, id, note, Control{To: RequestedDataDeleted})
}

// Move has an active run enter a status anew, whatever the graph says; a paused run is resumed by it. It returns the run as it
// then is, ErrNotFound, a *TransitionError, an *UnknownWorkflowError or an *UnknownStatusError.
func (e *Engine) Move(ctx context.Context, id RunID, status string, note Note) (Record, error) {
	return e.control(ctx, id, note, Control{moveTo: status})
}

// destination returns the status that a run is to be moved to: of the definition that it goes by, else of the newest.
func (e *Engine) destination(rec *Record, status string) (*Status, error) {
	catalog := e.Catalog()
	w := catalog.For(rec)
	if w == nil {
		return nil, &UnknownWorkflowError{Name: rec.Workflow, Known: catalog.Names()}
	}
	if to := w.Statuses[status]; to != nil {
		return to, nil
	}
	newest := catalog.Workflow(rec.Workflow)
	if to := newest.Statuses[status]; to != nil {
		return to, nil
	}
	return nil, &UnknownStatusError{Workflow: w.Name, Status: status, Known: newest.statusNames(true)}
}

// SetObject replaces the object of an active run. It returns the run as it then is, ErrNotFound, a *TransitionError or an
// *InvalidError.
func (e *Engine) SetObject(ctx context.Context, id RunID, object []byte, note Note) (Record, error) {
	if err := e.checkObject(object); err != nil {
		return Record{}, err
	}
	return e.control(ctx, id, note, Control{Object: object})
}

func (e *Engine) control(ctx context.Context, id RunID, note Note, c Control) (Record, error) {
	if err := e.accepting(); err != nil {
		return Record{}, err
	}
	c.Cause, c.By, c.Reason = CausePerson, note.By, note.Reason
	s := e.shardOf(id)
	rec, err := s.change(id, func(r *run) error {
		if c.moveTo != "" {
			to, err := e.destination(&r.rec, c.moveTo)
			if err != nil {
				return err
			}
			c.Move = to
		}
		w, status := e.place(&r.rec)
		return c.apply(&r.rec, w, status, s.epoch, e.now(), e.rules(), &r.next, &r.batch)
	})
	if errors.Is(err, ErrStoreFailed) {
		return Record{}, err
	}
	return rec, e.afterObserved(ctx, s, err)
}

// place returns the definition of a run and of its status; nil while no module carries them.
func (e *Engine) place(rec *Record) (*Workflow, *Status) {
	w := e.Catalog().For(rec)
	return w, w.status(rec.Status)
}

// change changes a run from outside a worker: decide fills r.next and r.batch from r.rec, which the store has. It returns the
// run as it then is; with decide's error as it was. An invocation under way is not interrupted; its outcome counts only if the
// run still holds its work.
func (s *shard) change(id RunID, decide func(r *run) error) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changeLocked(id, decide)
}

// REQUIRES: s.mu
func (s *shard) changeLocked(id RunID, decide func(r *run) error) (Record, error) {
	r, err := s.load(id)
	if err != nil {
		return Record{}, err
	}
	if err := decide(r); err != nil {
		defer r.release()
		return r.rec.Clone(), err
	}
	if err := s.commit(&r.batch); err != nil {
		r.release()
		return Record{}, err
	}
	r.adopt()
	changed := r.rec.Clone()
	inMemory := s.runs[id]
	switch {
	case inMemory != nil: // its worker finds out, and goes on with what the store has
		inMemory.stale = true
		r.release()
	case r.rec.Ready():
		s.enqueue(r)
	default:
		r.release()
	}
	return changed, nil
}
