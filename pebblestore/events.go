package pebblestore

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// Events implements runtime.EventLog.
func (s *Store) Events(number runtime.Shard, after runtime.LSN, limit int, dst []runtime.Event) ([]runtime.Event, error) {
	sh, err := s.shard(number)
	if err != nil {
		return dst, err
	}
	after = max(after, runtime.LSN(sh.trimmed.Load()))
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: appendEventKey(nil, number, after+1),
		UpperBound: appendSuccessor(nil, appendPrefix(nil, number, kindEvent)),
	})
	if err != nil {
		return dst, fmt.Errorf("pebblestore: events of shard %d: %w", number, err)
	}
	size := 0
	for valid := it.First(); valid && limit > 0 && size < pageBytes; valid = it.Next() {
		var e runtime.Event
		if err := s.event(it, &e); err != nil {
			return dst, errors.Join(fmt.Errorf("pebblestore: events of shard %d: %w", number, err), it.Close())
		}
		dst = append(dst, e)
		size += e.Size()
		limit--
	}
	return dst, it.Close()
}

// pageBytes is how many bytes of events are read at a time; one event may exceed it.
const pageBytes = 4 << 20

// CountEvents implements runtime.EventLog.
func (s *Store) CountEvents(number runtime.Shard, after, upTo runtime.LSN) (n int, err error) {
	sh, err := s.shard(number)
	if err != nil {
		return 0, err
	}
	after = max(after, runtime.LSN(sh.trimmed.Load()))
	if after >= upTo {
		return 0, nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: appendEventKey(nil, number, after+1), UpperBound: appendEventKey(nil, number, upTo+1),
	})
	if err != nil {
		return 0, fmt.Errorf("pebblestore: count the events of shard %d: %w", number, err)
	}
	for valid := it.First(); valid; valid = it.Next() {
		n++
	}
	return n, it.Close()
}

// ParkEvent implements runtime.EventLog.
func (s *Store) ParkEvent(number runtime.Shard, p *runtime.ParkedEvent) error {
	if _, err := s.shard(number); err != nil {
		return err
	}
	return s.update("park event "+p.Event.ID(), func(b *pebble.Batch) error {
		return b.Set(appendParkedEventKey(nil, number, p.Event.Ref()), appendParkedEvent(nil, p), nil)
	})
}

// ParkedEvent implements runtime.EventLog.
func (s *Store) ParkedEvent(number runtime.Shard, ref runtime.EventRef) (p runtime.ParkedEvent, err error) {
	if _, err := s.shard(number); err != nil {
		return p, err
	}
	var room [80]byte
	value, closer, err := s.db.Get(appendParkedEventKey(room[:0], number, ref))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		err = runtime.ErrNotFound
	case err == nil:
		err = errors.Join(s.names.decodeParkedEvent(value, &p), closer.Close())
	}
	if err != nil {
		return runtime.ParkedEvent{}, fmt.Errorf("pebblestore: parked event %s of shard %d: %w", ref.ID(), number, err)
	}
	p.Event.LSN = ref.LSN
	return p, nil
}

// ParkedRefs implements runtime.EventLog.
func (s *Store) ParkedRefs(number runtime.Shard, after runtime.EventRef, limit int, dst []runtime.EventRef) ([]runtime.EventRef, error) {
	if _, err := s.shard(number); err != nil {
		return dst, err
	}
	prefix := appendPrefix(nil, number, kindParkedEvent)
	from := prefix
	if after != (runtime.EventRef{}) {
		from = append(appendParkedEventKey(nil, number, after), 0)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: appendSuccessor(nil, prefix)})
	if err != nil {
		return dst, fmt.Errorf("pebblestore: parked events of shard %d: %w", number, err)
	}
	for valid := it.First(); valid && limit > 0; valid = it.Next() {
		ref, ok := parseParkedEventKey(it.Key())
		if !ok {
			return dst, errors.Join(fmt.Errorf("pebblestore: parked events of shard %d: %w: key %x", number, errMalformed, it.Key()), it.Close())
		}
		dst = append(dst, ref)
		limit--
	}
	return dst, it.Close()
}

// UnparkEvent implements runtime.EventLog.
func (s *Store) UnparkEvent(number runtime.Shard, ref runtime.EventRef) error {
	if _, err := s.shard(number); err != nil {
		return err
	}
	return s.update("unpark event "+ref.ID(), func(b *pebble.Batch) error {
		return b.Delete(appendParkedEventKey(nil, number, ref), nil)
	})
}

// event decodes the event that it stands on.
func (s *Store) event(it *pebble.Iterator, e *runtime.Event) error {
	lsn, ok := parseEventKey(it.Key())
	if !ok {
		return fmt.Errorf("%w: key %x", errMalformed, it.Key())
	}
	e.LSN = lsn
	value, err := it.ValueAndErr()
	if err != nil {
		return err
	}
	if err := s.names.decodeEvent(value, e); err != nil {
		return fmt.Errorf("position %d: %w", lsn, err)
	}
	return nil
}

// Cursor implements runtime.EventLog.
func (s *Store) Cursor(number runtime.Shard, name string) (runtime.LSN, error) {
	if _, err := s.shard(number); err != nil {
		return 0, err
	}
	lsn, err := s.position(appendCursorKey(nil, number, name))
	if err != nil {
		return 0, fmt.Errorf("pebblestore: cursor %s of shard %d: %w", name, number, err)
	}
	return runtime.LSN(lsn), nil
}

// SetCursor implements runtime.EventLog. It refuses a position that the shard has not reached: events to come would be
// skipped.
func (s *Store) SetCursor(number runtime.Shard, name string, lsn runtime.LSN) error {
	sh, err := s.shard(number)
	if err != nil {
		return err
	}
	if applied := runtime.LSN(sh.applied.Load()); lsn > applied {
		return fmt.Errorf("pebblestore: cursor %s of shard %d: position %d is beyond the last, %d", name, number, lsn, applied)
	}
	return s.update(fmt.Sprintf("cursor %s of shard %d", name, number), func(b *pebble.Batch) error {
		return b.Set(appendCursorKey(nil, number, name), appendPosition(nil, uint64(lsn)), nil)
	})
}

// DropCursor implements runtime.EventLog.
func (s *Store) DropCursor(name string) error {
	return s.update("drop cursor "+name, func(b *pebble.Batch) error {
		for i := range s.shards {
			if err := b.Delete(appendCursorKey(nil, runtime.Shard(i), name), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// TrimEvents implements runtime.EventLog. Range deletes follow each other without overlap, each from the trim mark on.
func (s *Store) TrimEvents(number runtime.Shard, upTo runtime.LSN) error {
	sh, err := s.shard(number)
	if err != nil {
		return err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	trimmed := runtime.LSN(sh.trimmed.Load())
	if upTo <= trimmed {
		return nil
	}
	if upTo > sh.last {
		return fmt.Errorf("pebblestore: trim shard %d: position %d is beyond the last, %d", number, upTo, sh.last)
	}
	err = s.update(fmt.Sprintf("trim shard %d", number), func(b *pebble.Batch) error {
		from, to := appendEventKey(nil, number, trimmed+1), appendEventKey(nil, number, upTo+1)
		if err := b.DeleteRange(from, to, nil); err != nil {
			return err
		}
		return b.Set(appendPrefix(nil, number, kindTrim), appendPosition(nil, uint64(upTo)), nil)
	})
	if err == nil {
		sh.trimmed.Store(uint64(upTo))
	}
	return err
}

// update commits what write puts into a batch; it becomes durable with the next sync.
func (s *Store) update(what string, write func(*pebble.Batch) error) error {
	if err := s.syncer.failure(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	if err := write(b); err != nil {
		return errors.Join(fmt.Errorf("pebblestore: %s: %w", what, err), b.Close())
	}
	if err := s.commit(b, pebble.NoSync); err != nil {
		return s.syncer.failed(fmt.Errorf("%s: %w", what, err))
	}
	s.syncer.dirty()
	return b.Close()
}
