package pebblestore

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// fewRows is up to how many rows of a run are deleted one by one; beyond it the rest goes with one range delete. Pebble
// sorts all range deletes of a table in memory anew for the first reader after each: one for each of thousands of removed
// runs would make a removal cost milliseconds.
const fewRows = 1000

// erase removes the data of a run that is not in its record.
func (s *Store) erase(sh *shard, next *runtime.Record) error {
	if err := s.eraseHistory(sh, next.RunID); err != nil {
		return err
	}
	for _, kind := range []string{kindLog, kindPayload} {
		if err := s.clear(sh, kind, next.RunID); err != nil {
			return err
		}
	}
	return s.eraseTasks(sh, next)
}

// eraseHistory writes the lines of a run's history again, without what the run's data may have gone into. Why the erasing was asked
// for stays.
func (s *Store) eraseHistory(sh *shard, id runtime.RunID) error {
	w := &sh.rows
	return s.scan(appendOfRun(nil, sh.number, kindHistory, id), func(key, value []byte) error {
		var h runtime.HistoryEntry
		var ok bool
		if h.RunID, h.Version, h.Line, ok = parseHistoryKey(key); !ok {
			return errMalformed
		}
		if err := s.names.decodeHistory(value, &h); err != nil {
			return err
		}
		kept := ""
		if h.AsksToErase() {
			kept = h.Reason
		}
		if h.Object == nil && h.Reason == kept {
			return nil
		}
		h.Object, h.Reason = nil, kept
		w.value = appendHistoryHead(w.value[:0], &h)
		return w.batch.Set(key, w.value, nil)
	})
}

// eraseTasks gives the records in the run's tasks the object of next, and no reason.
func (s *Store) eraseTasks(sh *shard, next *runtime.Record) error {
	return s.scan(appendOfRun(nil, sh.number, kindRunTask, next.RunID), func(runTask, _ []byte) error {
		key := appendTaskKeyOf(nil, runTask)
		t, ok := parseTaskKey(key)
		if !ok {
			return errMalformed
		}
		value, closer, err := s.db.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		err = s.names.decodeTask(value, &t)
		if err := errors.Join(err, closer.Close()); err != nil || t.Record == nil {
			return err
		}
		t.Record.Object, t.Record.Reason = next.Object, ""
		return sh.rows.addTask(sh.number, &t)
	})
}

// remove removes a run: its record, what follows from it, its history, logs and payloads.
func (s *Store) remove(sh *shard, prev *runtime.Record) error {
	w := &sh.rows
	w.key = appendRecordKey(w.key[:0], sh.number, prev.RunID)
	if err := w.batch.Delete(w.key, nil); err != nil {
		return err
	}
	w.key = appendIndexKey(w.key[:0], sh.number, prev)
	if err := w.batch.SingleDelete(w.key, nil); err != nil {
		return err
	}
	w.key = appendForeignKey(w.key[:0], sh.number, prev.Workflow, prev.ForeignID, prev.RunID)
	if err := w.batch.Delete(w.key, nil); err != nil {
		return err
	}
	if isPinned(prev) {
		w.key = appendPinnedKey(w.key[:0], sh.number, prev)
		if err := w.batch.Delete(w.key, nil); err != nil {
			return err
		}
	}
	w.gone = prev.Timers(w.gone[:0])
	for i := range w.gone {
		w.key = appendTimerKey(w.key[:0], sh.number, &w.gone[i])
		if err := w.batch.SingleDelete(w.key, nil); err != nil {
			return err
		}
	}
	for i := range prev.Pending {
		w.key = appendPayloadKey(w.key[:0], sh.number, prev.RunID, prev.Pending[i].Callback)
		if err := w.batch.Delete(w.key, nil); err != nil {
			return err
		}
	}
	for _, kind := range []string{kindHistory, kindLog} {
		if err := s.clear(sh, kind, prev.RunID); err != nil {
			return err
		}
	}
	return nil
}

// clear removes the rows of a run, of a kind whose keys begin with the run ID.
func (s *Store) clear(sh *shard, kind string, id runtime.RunID) error {
	prefix := appendOfRun(nil, sh.number, kind, id)
	it, err := s.iterate(prefix)
	if err != nil {
		return err
	}
	rows := 0
	for valid := it.First(); valid && err == nil; valid = it.Next() {
		if rows++; rows > fewRows {
			err = sh.rows.batch.DeleteRange(it.Key(), appendSuccessor(nil, prefix), nil)
			break
		}
		err = sh.rows.batch.Delete(it.Key(), nil)
	}
	return errors.Join(err, it.Close())
}
