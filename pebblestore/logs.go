package pebblestore

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// log writes a log entry at its time, or at the first nanosecond after it that no entry of its version has: a reader goes on
// after a version and a time, so no two may share them. alone says that the batch removes all others.
func (s *Store) log(sh *shard, l *runtime.LogEntry, alone bool) error {
	w := &sh.rows
	at, taken := l.Time, true
	for taken {
		w.key = appendLogKey(w.key[:0], sh.number, l.RunID, l.Version, at)
		if alone {
			break
		}
		var err error
		if taken, err = has(s.db, w.key); err != nil {
			return err
		}
		at = at.Add(1)
	}
	w.value = appendLog(w.value[:0], l)
	return w.batch.Set(w.key, w.value, nil)
}

// Logs implements runtime.Reader.
func (s *Store) Logs(
	id runtime.RunID, afterVersion uint64, afterTime time.Time, limit int,
) ([]runtime.LogEntry, error) {
	number := s.shardOf(id.Slot())
	first := append(appendLogKey(nil, number, id, afterVersion, afterTime), 0)
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: first, UpperBound: appendSuccessor(nil, appendOfRun(nil, number, kindLog, id)),
	})
	if err != nil {
		return nil, fmt.Errorf("pebblestore: logs of run %s: %w", id, err)
	}
	var entries []runtime.LogEntry
	for valid := it.First(); valid && len(entries) < limit; valid = it.Next() {
		var l runtime.LogEntry
		var ok bool
		l.RunID, l.Version, l.Time, ok = parseLogKey(it.Key())
		value, err := it.ValueAndErr()
		if err == nil && !ok {
			err = fmt.Errorf("%w: key %x", errMalformed, it.Key())
		}
		if err == nil {
			err = s.names.decodeLog(value, &l)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("pebblestore: logs of run %s: %w", id, err), it.Close())
		}
		entries = append(entries, l)
	}
	return entries, it.Close()
}

// Payload implements runtime.Reader.
func (s *Store) Payload(id runtime.RunID, callback uint64) ([]byte, error) {
	value, closer, err := s.db.Get(appendPayloadKey(nil, s.shardOf(id.Slot()), id, callback))
	if errors.Is(err, pebble.ErrNotFound) {
		err = runtime.ErrNotFound
	}
	var payload []byte
	if err == nil {
		payload, err = decodePayload(value)
		err = errors.Join(err, closer.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("pebblestore: payload of callback %d of run %s: %w", callback, id, err)
	}
	return payload, nil
}
