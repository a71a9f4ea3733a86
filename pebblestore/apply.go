package pebblestore

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// Apply implements runtime.Writer.
func (s *Store) Apply(number runtime.Shard, epoch runtime.Epoch, b *runtime.Batch) (runtime.LSN, error) {
	sh, err := s.shard(number)
	if err != nil {
		return 0, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if err := s.syncer.failure(); err != nil {
		return 0, err
	}
	if epoch == 0 || epoch != sh.epoch {
		return 0, fmt.Errorf("pebblestore: apply to shard %d with epoch %d, newest is %d: %w",
			number, epoch, sh.epoch, runtime.ErrFenced)
	}
	lsn := sh.last + 1
	if err := s.write(sh, lsn, b); err != nil {
		sh.rows.batch.Reset()
		return 0, fmt.Errorf("pebblestore: apply to shard %d: %w", number, err)
	}
	// Raised first: once the batch is visible, whoever reads it and then asks Applied must learn of it.
	sh.last = lsn
	sh.applied.Store(uint64(lsn))
	began := time.Now()
	if err := s.commit(sh.rows.batch, pebble.NoSync); err != nil {
		return 0, s.syncer.failed(fmt.Errorf("apply to shard %d: %w", number, err))
	}
	s.meter.Committed(time.Since(began))
	sh.committed.Store(uint64(lsn))
	sh.rows.batch.Reset()
	s.syncer.dirty()
	return lsn, nil
}

// write puts the rows of b into the shard's batch.
func (s *Store) write(sh *shard, lsn runtime.LSN, b *runtime.Batch) error {
	if err := s.checkBatch(sh.number, b); err != nil {
		return err
	}
	w := &sh.rows
	switch {
	case b.Next != nil:
		if err := w.change(sh.number, lsn, b.Prev, b.Next, b.Emits); err != nil {
			return err
		}
	case b.Remove:
		if err := s.remove(sh, b.Prev); err != nil {
			return err
		}
	}
	if b.Erase {
		if err := s.erase(sh, b.Next); err != nil {
			return err
		}
	}
	if err := s.writeBeside(sh, b); err != nil {
		return err
	}
	// A batch that writes nothing still has a position, which a sync must be able to cover.
	if w.batch.Empty() {
		return w.batch.LogData(nil, nil)
	}
	return nil
}

// writeBeside puts the rows of b into the shard's batch that do not follow from a record.
func (s *Store) writeBeside(sh *shard, b *runtime.Batch) error {
	w := &sh.rows
	for i := range b.History {
		if err := w.history(sh.number, &b.History[i]); err != nil {
			return err
		}
	}
	if b.Log != nil {
		if err := s.log(sh, b.Log, b.Erase); err != nil {
			return err
		}
	}
	if b.Payload != nil {
		if err := w.payload(sh.number, b.Next, b.Payload); err != nil {
			return err
		}
	}
	// A task that is moved on may keep its key: it is dropped first.
	if b.DropTask != nil {
		if err := w.dropTask(sh.number, b.DropTask); err != nil {
			return err
		}
	}
	for i := range b.AddTasks {
		if err := w.addTask(sh.number, &b.AddTasks[i]); err != nil {
			return err
		}
	}
	if err := s.schedule(w, b.PrevSchedule, b.NextSchedule); err != nil {
		return err
	}
	if b.Remember != nil {
		if err := s.remember(sh, b.Remember); err != nil {
			return err
		}
	}
	if b.Forget != nil {
		if err := s.forget(sh, b.Forget); err != nil {
			return err
		}
	}
	return s.writeReceipts(sh, b)
}

// checkBatch refuses what no key could carry and what no reader would find again.
func (s *Store) checkBatch(number runtime.Shard, b *runtime.Batch) error {
	if err := b.CheckLengths(); err != nil {
		return err
	}
	if r := b.Next; r != nil {
		if s.shardOf(r.RunID.Slot()) != number {
			return fmt.Errorf("run %s is not of this shard", r.RunID)
		}
		if b.Prev != nil {
			if b.Prev.RunID != r.RunID {
				return fmt.Errorf("run %s cannot follow run %s", r.RunID, b.Prev.RunID)
			}
		} else if r.RunID.Slot() != runtime.SlotOf(r.Workflow, r.ForeignID) {
			return fmt.Errorf("run %s does not carry the slot of its foreign ID", r.RunID)
		}
	}
	switch {
	case b.Erase && b.Next == nil:
		return errors.New("erase without a record")
	case b.Payload != nil && b.Next == nil:
		return errors.New("a payload without a record")
	case b.Remove && (b.Prev == nil || b.Next != nil):
		return errors.New("remove wants the record that is there, and no other")
	case b.Remove && s.shardOf(b.Prev.RunID.Slot()) != number:
		return fmt.Errorf("run %s is not of this shard", b.Prev.RunID)
	case b.Prev != nil && b.Next == nil && !b.Remove:
		return errors.New("a record that nothing follows")
	}
	return s.checkBeside(number, b)
}

// checkBeside does for what does not follow from a record what checkBatch does.
func (s *Store) checkBeside(number runtime.Shard, b *runtime.Batch) error {
	for i := range b.History {
		if id := b.History[i].RunID; s.shardOf(id.Slot()) != number {
			return fmt.Errorf("history of run %s is not of this shard", id)
		}
	}
	if l := b.Log; l != nil && s.shardOf(l.RunID.Slot()) != number {
		return fmt.Errorf("log of run %s is not of this shard", l.RunID)
	}
	for i := range b.AddTasks {
		if t := &b.AddTasks[i]; t.Kind != runtime.TaskSchedule && s.shardOf(t.RunID.Slot()) != number {
			return fmt.Errorf("task of run %s is not of this shard", t.RunID)
		}
	}
	if err := s.checkSchedules(number, b.PrevSchedule, b.NextSchedule); err != nil {
		return err
	}
	if err := s.checkReceipts(number, b); err != nil {
		return err
	}
	if i := b.Remember; i != nil && s.shardOf(runtime.SlotOf(i.Workflow, i.ForeignID)) != number {
		return errors.New("the idempotency key is not of this shard")
	}
	return nil
}

// checkSchedules lets a schedule come from another shard, but not go to one.
func (s *Store) checkSchedules(number runtime.Shard, prev, next *runtime.Schedule) error {
	if sched := cmp.Or(next, prev); sched != nil && s.homeOf(sched) != number {
		return fmt.Errorf("schedule %s is not of this shard", sched.Name)
	}
	if prev != nil && next != nil && (prev.Workflow != next.Workflow || prev.Name != next.Name) {
		return fmt.Errorf("schedule %s cannot follow schedule %s", next.Name, prev.Name)
	}
	return nil
}
