package pebblestore

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// remember keeps an idempotency key with its timer, in the place of the one kept before.
func (s *Store) remember(sh *shard, i *runtime.Idempotency) error {
	w := &sh.rows
	timer := runtime.Timer{Due: i.ExpiresAt, Kind: runtime.TimerForget, RunID: i.RunID, Name: i.Key}
	before, err := s.Remembered(i.Workflow, i.ForeignID, i.Key)
	if err != nil && !errors.Is(err, runtime.ErrNotFound) {
		return err
	}
	w.key = appendTimerKey(w.key[:0], sh.number, &timer)
	if err == nil {
		timer.Due, timer.RunID = before.ExpiresAt, before.RunID
		w.old = appendTimerKey(w.old[:0], sh.number, &timer)
	} else {
		w.old = w.old[:0]
	}
	if string(w.old) != string(w.key) {
		if len(w.old) > 0 {
			if err := w.batch.SingleDelete(w.old, nil); err != nil {
				return err
			}
		}
		w.timersFrom.add(w.key)
		w.value = appendForget(w.value[:0], i.Workflow, i.ForeignID)
		if err := w.batch.Set(w.key, w.value, nil); err != nil {
			return err
		}
	}
	w.key = appendIdempotencyKey(w.key[:0], sh.number, i.Workflow, i.ForeignID, i.Key)
	w.value = appendIdempotency(w.value[:0], i)
	return w.batch.Set(w.key, w.value, nil)
}

// forget removes an idempotency key and its timer. A timer that is no longer there has nothing left to remove.
func (s *Store) forget(sh *shard, t *runtime.Timer) error {
	w := &sh.rows
	w.key = appendTimerKey(w.key[:0], sh.number, t)
	value, closer, err := s.db.Get(w.key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	workflow, foreignID, err := decodeForget(value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return err
	}
	if err := w.batch.SingleDelete(w.key, nil); err != nil {
		return err
	}
	w.key = appendIdempotencyKey(w.key[:0], sh.number, workflow, foreignID, t.Name)
	return w.batch.Delete(w.key, nil)
}
