package pebblestore

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// Record implements runtime.Reader.
func (s *Store) Record(id runtime.RunID, dst *runtime.Record) error { return s.record(s.db, id, dst) }

func (s *Store) record(r pebble.Reader, id runtime.RunID, dst *runtime.Record) error {
	var space [prefixLen + idLen]byte
	value, closer, err := r.Get(appendRecordKey(space[:0], s.shardOf(id.Slot()), id))
	if errors.Is(err, pebble.ErrNotFound) {
		return fmt.Errorf("pebblestore: run %s: %w", id, runtime.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("pebblestore: run %s: %w", id, err)
	}
	err = s.names.decodeRecord(value, dst)
	dst.RunID = id
	if err := errors.Join(err, closer.Close()); err != nil {
		return fmt.Errorf("pebblestore: run %s: %w", id, err)
	}
	return nil
}

// Latest implements runtime.Reader.
func (s *Store) Latest(workflow, foreignID string) (runtime.RunID, error) {
	if runtime.CheckScope(workflow, foreignID) != nil {
		return runtime.RunID{}, runtime.ErrNotFound
	}
	number := s.shardOf(runtime.SlotOf(workflow, foreignID))
	it, err := s.iterate(appendForeignRange(nil, number, workflow, foreignID))
	if err != nil {
		return runtime.RunID{}, fmt.Errorf("pebblestore: latest run: %w", err)
	}
	id, found := runtime.RunID{}, it.Last()
	if found {
		_, _, id, found = parseForeignKey(it.Key())
	}
	if err := it.Close(); err != nil {
		return runtime.RunID{}, fmt.Errorf("pebblestore: latest run: %w", err)
	}
	if !found {
		return runtime.RunID{}, fmt.Errorf("pebblestore: a run of workflow %s with foreign ID %q: %w",
			workflow, foreignID, runtime.ErrNotFound)
	}
	return id, nil
}

// History implements runtime.Reader.
func (s *Store) History(
	id runtime.RunID, afterVersion uint64, afterLine uint32, limit int,
) ([]runtime.HistoryEntry, error) {
	number := s.shardOf(id.Slot())
	first := append(appendHistoryKey(nil, number, id, afterVersion, afterLine), 0)
	run := appendHistoryKey(nil, number, id, 0, 0)[:prefixLen+idLen]
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: appendSuccessor(nil, run)})
	if err != nil {
		return nil, fmt.Errorf("pebblestore: history of run %s: %w", id, err)
	}
	var entries []runtime.HistoryEntry
	for valid := it.First(); valid && len(entries) < limit; valid = it.Next() {
		var h runtime.HistoryEntry
		var ok bool
		h.RunID, h.Version, h.Line, ok = parseHistoryKey(it.Key())
		value, err := it.ValueAndErr()
		if err == nil && !ok {
			err = fmt.Errorf("%w: key %x", errMalformed, it.Key())
		}
		if err == nil {
			err = s.names.decodeHistory(value, &h)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("pebblestore: history of run %s: %w", id, err), it.Close())
		}
		entries = append(entries, h)
	}
	return entries, it.Close()
}

// Remembered implements runtime.Reader.
func (s *Store) Remembered(workflow, foreignID, key string) (runtime.Idempotency, error) {
	i := runtime.Idempotency{Workflow: workflow, ForeignID: foreignID, Key: key}
	if runtime.CheckScope(workflow, foreignID) != nil {
		return runtime.Idempotency{}, runtime.ErrNotFound
	}
	number := s.shardOf(runtime.SlotOf(workflow, foreignID))
	value, closer, err := s.db.Get(appendIdempotencyKey(nil, number, workflow, foreignID, key))
	if errors.Is(err, pebble.ErrNotFound) {
		return runtime.Idempotency{}, fmt.Errorf("pebblestore: idempotency key: %w", runtime.ErrNotFound)
	}
	if err == nil {
		err = errors.Join(decodeIdempotency(value, &i), closer.Close())
	}
	if err != nil {
		return runtime.Idempotency{}, fmt.Errorf("pebblestore: idempotency key: %w", err)
	}
	return i, nil
}
