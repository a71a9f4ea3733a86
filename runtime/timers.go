package runtime

import (
	"fmt"
	"slices"
	"time"
)

// firePage is how many due timers are fired before the shard's writer lets others in.
const firePage = 64

// heldPage is how many timers are looked through for those that go on while the others are held.
const heldPage = 4096

// armTimers has the shard woken for the timers of a record.
// REQUIRES: s.mu
func (s *shard) armTimers(rec *Record) {
	if rec.NotBefore.IsZero() && rec.ResumeAt.IsZero() && rec.ExpireAt.IsZero() && len(rec.Pending) == 0 {
		return
	}
	var room [4]Timer
	for _, t := range rec.Timers(room[:0]) {
		s.armTimer(t.Due)
	}
}

// armTimer has the shard woken at due, or before.
// REQUIRES: s.mu
func (s *shard) armTimer(due time.Time) {
	if s.stopped || s.timer != nil && !due.Before(s.nextDue) {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.nextDue = due
	s.timer = s.engine.at(due, s.fireDue)
}

// longestSleep is how long a shard rests at most before it looks for what is due. What is due by the clock may come sooner than a timer
// counts: the clock is set forward, or the machine sleeps and its clock goes on.
const longestSleep = time.Minute

// at has f called at due, or before.
func (e *Engine) at(due time.Time, f func()) ClockTimer {
	return e.opt.Clock.AfterFunc(min(max(0, due.Sub(e.now())), longestSleep), f)
}

// startTimers has the shard look for what is due.
func (s *shard) startTimers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armTimer(s.engine.now())
	s.side.restart()
}

func (s *shard) stopTimers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, t := range []ClockTimer{s.timer, s.side.timer} {
		if t != nil {
			t.Stop()
		}
	}
}

// fireDue fires what is due and sleeps until the next.
func (s *shard) fireDue() {
	var due []Timer
	for s.firePage(&due) {
	}
}

// firePage fires some of the timers that are due, and reports whether there may be more.
func (s *shard) firePage(due *[]Timer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.engine.Err() != nil {
		return false
	}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	held := s.engine.disk.at(DiskHard)
	most := firePage
	if held {
		most = heldPage
	}
	page, next, err := s.engine.store.Due(s.id, s.engine.now(), most, (*due)[:0])
	if err != nil {
		s.engine.fail(fmt.Errorf("runtime: timers of shard %d: %w", s.id, err))
		return false
	}
	*due = page
	for i := range page {
		if held && page[i].Kind != TimerForget && page[i].Kind != TimerExpire {
			continue // until the disk has space: then all are looked at
		}
		if err := s.fire(&page[i]); err != nil {
			s.engine.fail(fmt.Errorf("runtime: fire a timer of run %s: %w", page[i].RunID, err))
			return false
		}
	}
	if len(page) == most && !held {
		return true
	}
	if !next.IsZero() && (!held || next.After(s.engine.now())) {
		s.armTimer(next)
	}
	return false
}

// fire does what a due timer is for. The batch it commits removes the timer's row.
// REQUIRES: s.mu
func (s *shard) fire(t *Timer) error {
	if t.Kind == TimerForget {
		err := s.commit(&Batch{Forget: t})
		return err
	}
	_, err := s.changeLocked(t.RunID, func(r *run) error { return s.due(t, r) })
	return err
}

// due fills r.next and r.batch with what a due timer makes of a run.
func (s *shard) due(t *Timer, r *run) error {
	now := s.engine.now()
	rec, next := &r.rec, &r.next
	*next = *rec
	next.Owner = s.epoch
	r.batch.Prev, r.batch.Next = rec, next
	switch {
	case t.Kind == TimerRetry && t.Due.Equal(rec.NotBefore):
		next.NotBefore = time.Time{}
	case t.Kind == TimerTimeout || t.Kind == TimerCallback:
		i := slices.IndexFunc(rec.Pending, func(p Pending) bool {
			return p.Name == t.Name && p.Callback == t.Callback && p.Due.Equal(t.Due) && !p.Taken
		})
		if i < 0 {
			return s.foreign(t, rec)
		}
		next.Pending = slices.Clone(rec.Pending)
		next.Pending[i].Taken = true
	case t.Kind == TimerResume && t.Due.Equal(rec.ResumeAt):
		w, status := s.engine.place(rec)
		c := Control{To: Running, Cause: CauseTimer, Reason: "resumed automatically"}
		return c.apply(rec, w, status, s.epoch, now, s.engine.rules(), next, &r.batch)
	case t.Kind == TimerExpire && t.Due.Equal(rec.ExpireAt):
		// An erase does more than the removal, and ends first; and the relay may still have to tell by the record what it must not publish.
		if _, behind := s.outbox.lastErasing(); rec.State == RequestedDataDeleted || behind && rec.State == DataDeleted {
			next.ExpireAt = now.Add(unserved)
			return nil
		}
		r.batch.Next, r.batch.Remove = nil, true
	default:
		return s.foreign(t, rec)
	}
	return nil
}

func (s *shard) foreign(t *Timer, rec *Record) error {
	return fmt.Errorf("the store's rows disagree: a timer of kind %d does not belong to version %d of the run; "+
		"keep a copy of the data directory for a report, and restore a backup", t.Kind, rec.Version)
}
