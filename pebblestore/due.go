package pebblestore

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// horizon bounds from below where the due rows of a kind begin in a shard. The rows before it are deleted, and in the way
// until a compaction takes them away: to scan them again for each page of what is due would take a time that is quadratic in
// it.
//
// It belongs to the shard's lock: were a scan and an Apply to overlap, the scan could miss a row and set the horizon behind
// it.
type horizon struct {
	known bool
	first []byte // key; no row of the kind is before it, if known
}

// add is told of each row that is set.
func (h *horizon) add(key []byte) {
	if h.known && string(key) < string(h.first) {
		h.first = append(h.first[:0], key...)
	}
}

// found is told where a scan found the first row.
func (h *horizon) found(key []byte) {
	h.known, h.first = true, append(h.first[:0], key...)
}

// Due implements runtime.TaskReader.
func (s *Store) Due(
	number runtime.Shard, now time.Time, limit int, dst []runtime.Timer,
) ([]runtime.Timer, time.Time, error) {
	sh, err := s.shard(number)
	if err != nil {
		return dst, time.Time{}, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	next, err := s.due(&sh.rows.timersFrom, appendPrefix(nil, number, kindTimer), nil, now, limit, func(key, _ []byte) error {
		t, ok := parseTimerKey(key)
		if !ok {
			return errMalformed
		}
		dst = append(dst, t)
		return nil
	})
	if err != nil {
		err = fmt.Errorf("pebblestore: timers of shard %d: %w", number, err)
	}
	return dst, next, err
}

// DueTasks implements runtime.TaskReader.
func (s *Store) DueTasks(
	number runtime.Shard, now time.Time, after *runtime.Task, limit int, dst []runtime.Task,
) ([]runtime.Task, time.Time, error) {
	sh, err := s.shard(number)
	if err != nil {
		return dst, time.Time{}, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var from []byte
	if after != nil {
		from = append(appendTaskKey(nil, number, after), 0)
	}
	next, err := s.due(&sh.rows.tasksFrom, appendPrefix(nil, number, kindTask), from, now, limit, func(key, value []byte) error {
		t, ok := parseTaskKey(key)
		if !ok {
			return errMalformed
		}
		if err := s.names.decodeTask(value, &t); err != nil {
			return err
		}
		dst = append(dst, t)
		return nil
	})
	if err != nil {
		err = fmt.Errorf("pebblestore: tasks of shard %d: %w", number, err)
	}
	return dst, next, err
}

// due calls take with the rows that are due at now, in order, beginning at a key (nil: with the first), at most limit, and returns the time of the first that it did
// not take, zero when there is none. The time comes first in the keys of both kinds.
func (s *Store) due(
	h *horizon, prefix, from []byte, now time.Time, limit int, take func(key, value []byte) error,
) (next time.Time, err error) {
	bounds := pebble.IterOptions{LowerBound: prefix, UpperBound: appendSuccessor(nil, prefix)}
	switch {
	case from != nil:
		bounds.LowerBound = from
	case h.known:
		bounds.LowerBound = h.first
	}
	it, err := s.db.NewIter(&bounds)
	if err != nil {
		return next, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	valid := it.First()
	switch {
	case from != nil: // it may not be the first
	case valid:
		h.found(it.Key())
	case it.Error() == nil:
		h.found(bounds.UpperBound)
	}
	for ; valid; valid = it.Next() {
		key := it.Key()
		if len(key) < prefixLen+8 {
			return next, fmt.Errorf("%w: key %x", errMalformed, key)
		}
		if at := instant(key[prefixLen:]); at.After(now) || limit <= 0 {
			return at, nil
		}
		value, err := it.ValueAndErr()
		if err == nil {
			err = take(key, value)
		}
		if err != nil {
			return next, fmt.Errorf("key %x: %w", key, err)
		}
		limit--
	}
	return next, nil
}
