package runtime

import (
	"fmt"
	"slices"
	"time"
)

// sidePage is how many due tasks of a shard are looked at a time.
const sidePage = 64

// sideShare is how many tasks of one lane a shard has under way at a time.
const sideShare = 16

// side does the tasks of a shard beside its runs: hooks, intents, erasures and the slots of schedules. None of them blocks a
// run, and one that fails is tried again by itself, for as long as it takes.
//
// Those that call handlers of one workflow have a lane of their own, so that a slow module delays no other's. A task stays in
// the store until it is done. What is due is looked at once, in the store's order: what can be done is begun, and a lane that is full
// remembers where its tasks begin that wait, and is looked at from there when it has a place again. So what a task costs does not grow
// with how many wait.
//
// The invariant, whenever the shard's writer is free: each task in the store that is not beyond seen, which is due then,
//
//   - is under way, or has the key of one that is, which knows when it is due (sideWork.others);
//   - or waits in its lane: laneState.waits is set, and the task comes after laneState.after;
//   - or waits for the end of a run (held);
//   - or is to be looked at once more, as its due time is in again;
//   - or is of a kind that the disk holds: restart comes when there is space.
//
// And a look is armed while a task is beyond seen, while again holds something and while a lane that waits has a place; but for a stop.
type side struct {
	shard   *shard
	busy    map[taskKey]*sideWork // under way; guarded by shard.mu, as what follows
	lanes   map[lane]*laneState   // those in which tasks are under way or wait
	held    map[taskKey]hold      // slots that wait for the end of a run
	seen    *Task                 // the place of the last task that was looked at; nil: none was
	again   []stretch             // of those up to seen, what is to be looked at once more
	timer   ClockTimer            // of the next look; nil: none is armed
	nextDue time.Time             // when it fires
}

// stretch is the tasks that are due at one time: all, or, when a page of them was looked at, those after it.
type stretch struct {
	due   time.Time
	after *Task // nil: all
}

// sideWork is a task under way.
type sideWork struct {
	lane   lane
	due    time.Time // when it was begun; it is moved meanwhile
	slot   time.Time
	stays  bool        // the store still has it as it was begun
	others []time.Time // when others with its key are due, as the next slot of a schedule that catches up
}

// laneState is what is known of a lane.
type laneState struct {
	busy  int   // tasks under way
	waits bool  // it was full when some of its tasks were looked at: they wait for a place
	after *Task // those that wait come after this one; nil: they may be anywhere
}

func (l *laneState) full() bool { return l.busy >= sideShare }

// hold is why a slot waits.
type hold struct {
	run  RunID     // for whose end
	slot time.Time // another slot of the schedule does not wait
	due  time.Time // of its task
}

// lane is the tasks that can delay each other: those that call handlers of one workflow, or "", those that call none.
type lane string

// taskKey identifies a task.
type taskKey struct {
	kind     TaskKind
	runID    RunID
	version  uint64
	workflow string
	name     string
}

func (t *Task) key() taskKey {
	return taskKey{kind: t.Kind, runID: t.RunID, version: t.Version, workflow: t.Workflow, name: t.Name}
}

// place returns the task's place among the others, without what it carries.
func (t *Task) place() *Task {
	return &Task{Due: t.Due, RunID: t.RunID, Version: t.Version, Kind: t.Kind, Slot: t.Slot, Workflow: t.Workflow, Name: t.Name}
}

func (d *side) init(s *shard) {
	d.shard, d.busy, d.lanes, d.held = s, map[taskKey]*sideWork{}, map[lane]*laneState{}, map[taskKey]hold{}
}

// restart has everything that is due looked at anew.
// REQUIRES: shard.mu
func (d *side) restart() {
	d.forget()
	d.arm(d.shard.engine.now())
}

// forget takes no task as looked at but those that are under way or held.
// REQUIRES: shard.mu
func (d *side) forget() {
	d.seen, d.again = nil, nil
	for in, l := range d.lanes {
		l.waits, l.after = false, nil
		d.tidy(in)
	}
}

// committed takes in what a batch does to tasks.
// REQUIRES: shard.mu
func (d *side) committed(b *Batch) {
	if b.DropTask != nil {
		if w := d.busy[b.DropTask.key()]; w != nil {
			w.stays = false
		}
	}
	for i := range b.AddTasks {
		t := &b.AddTasks[i]
		if w := d.busy[t.key()]; w != nil && w.due.Equal(t.Due) && w.slot.Equal(t.Slot) {
			w.stays = true // it is there again, as it was
		}
		d.recheck(t.Due)
		d.arm(t.Due)
	}
}

// recheck has the tasks looked at once more that are due at a time, if they were looked at.
// REQUIRES: shard.mu
func (d *side) recheck(due time.Time) {
	if d.seen == nil || due.After(d.seen.Due) ||
		slices.ContainsFunc(d.again, func(s stretch) bool { return s.after == nil && s.due.Equal(due) }) {
		return
	}
	d.again = append(d.again, stretch{due: due})
}

func addTime(all *[]time.Time, t time.Time) {
	if !slices.ContainsFunc(*all, t.Equal) {
		*all = append(*all, t)
	}
}

// ended has the slots looked at that waited for the end of a run.
// REQUIRES: shard.mu
func (d *side) ended(id RunID) {
	for key, h := range d.held {
		if h.run == id {
			d.release(key)
		}
	}
}

// release has a slot looked at that may be held.
// REQUIRES: shard.mu
func (d *side) release(key taskKey) {
	if h, held := d.held[key]; held {
		delete(d.held, key)
		d.recheck(h.due)
		d.arm(d.shard.engine.now())
	}
}

// done takes a task as no longer under way. It has it looked at once more if it is still there, as well as those that waited for it.
// REQUIRES: shard.mu
func (d *side) done(key taskKey) {
	w := d.busy[key]
	delete(d.busy, key)
	if _, held := d.held[key]; w.stays && !held {
		d.recheck(w.due)
	}
	for _, due := range w.others {
		d.recheck(due)
	}
	l := d.lanes[w.lane]
	l.busy--
	d.tidy(w.lane)
	if (l.waits || len(d.again) > 0) && d.shard.engine.accepting() == nil { // a stop refuses what tasks ask for
		d.arm(d.shard.engine.now())
	}
}

// tidy forgets a lane that nothing is known of.
func (d *side) tidy(in lane) {
	if l := d.lanes[in]; l.busy == 0 && !l.waits {
		delete(d.lanes, in)
	}
}

// arm has the tasks looked at when due, or before.
// REQUIRES: shard.mu
func (d *side) arm(due time.Time) {
	s := d.shard
	if s.stopped || d.timer != nil && !due.Before(d.nextDue) {
		return
	}
	if d.timer != nil {
		d.timer.Stop()
	}
	d.nextDue = due
	d.timer = s.engine.at(due, d.look)
}

// look begins what is due, as far as there is room, and sleeps until the next.
func (d *side) look() {
	s := d.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.engine.Err() != nil {
		return
	}
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if err := d.begin(); err != nil {
		s.engine.fail(fmt.Errorf("runtime: tasks of shard %d: %w", s.id, err))
	}
}

// begin looks at a page of each stretch that is to be looked at once more, at one for each lane that has a place again, and at one of
// those that have come due since; when there may be more it has itself called again, and lets others at the shard in between.
// REQUIRES: shard.mu
func (d *side) begin() error {
	now := d.shard.engine.now()
	if d.seen != nil && d.seen.Due.After(now) { // the clock was set back: what was due may not be due now
		d.forget()
	}
	again := d.again
	d.again = nil
	for _, s := range again {
		after := s.after
		if after == nil {
			after = &Task{Due: s.due}
		}
		p, err := d.walk(after, s.due, nil)
		if err != nil {
			return err
		}
		if p.more {
			d.again = append(d.again, stretch{s.due, p.last})
			d.arm(now)
		}
	}
	for in, l := range d.lanes {
		if !l.waits || l.full() {
			continue
		}
		p, err := d.walk(l.after, d.seen.Due, l)
		if err != nil {
			return err
		}
		if l.after, l.waits = p.last, p.more; p.more && !l.full() {
			d.arm(now)
		}
		d.tidy(in)
	}
	p, err := d.walk(d.seen, now, nil)
	if err != nil {
		return err
	}
	d.seen = p.last
	switch {
	case p.more:
		d.arm(now)
	case !p.next.IsZero():
		d.arm(p.next)
	}
	return nil
}

// walked is what a walk has come to.
type walked struct {
	last *Task     // that was looked at
	more bool      // others may follow that are due
	next time.Time // without more: when the first is due that is later; zero for none
}

// walk looks at a page of the tasks that come after one (nil: from the first) and are due at a time, or, of a lane, until that is full.
// REQUIRES: shard.mu
func (d *side) walk(after *Task, until time.Time, of *laneState) (walked, error) {
	due, next, err := d.shard.engine.store.DueTasks(d.shard.id, until, after, sidePage, nil)
	if err != nil {
		return walked{}, err
	}
	for i := range due {
		if of != nil && of.full() {
			return walked{last: after, more: true}, nil
		}
		at := due[i].place() // before it is begun, which changes it
		if err := d.take(&due[i], after); err != nil {
			return walked{}, err
		}
		after = at
	}
	return walked{last: after, more: len(due) == sidePage, next: next}, nil
}

// take begins a task, if it can be begun now. before is the one that was looked at before it: when its lane is full, and none of the lane
// waited yet, the lane goes on from there.
// REQUIRES: shard.mu
func (d *side) take(t, before *Task) error {
	s := d.shard
	if s.engine.holds(t.Kind) { // until the disk has space: then all are looked at
		return nil
	}
	key := t.key()
	if h, held := d.held[key]; held && h.slot.Equal(t.Slot) {
		return nil
	}
	if w := d.busy[key]; w != nil {
		if !w.due.Equal(t.Due) || !w.slot.Equal(t.Slot) {
			addTime(&w.others, t.Due)
		}
		return nil
	}
	in, err := s.lane(t)
	if err != nil {
		return err
	}
	l := d.lanes[in]
	if l == nil {
		l = &laneState{}
		d.lanes[in] = l
	}
	switch {
	case !l.full():
		l.busy++
		d.busy[key] = &sideWork{lane: in, due: t.Due, slot: t.Slot, stays: true}
		s.engine.owned.Go(func() { d.do(t, in) })
	case !l.waits:
		l.waits, l.after = true, before
	case l.after != nil && !l.after.Due.Before(t.Due): // it may come before where the lane was to go on
		l.after = &Task{Due: t.Due}
	}
	return nil
}
