package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// List implements runtime.Reader. It finds the key ranges that hold the runs asked for, and merges them by run ID:
//
//   - with foreign IDs: their rows, then the other filters on the records;
//   - with workflows, states or statuses: the index rows of each (workflow, status, state) that passes;
//   - else: the records themselves, which lie in the order of their IDs.
//
// All of it is read from one snapshot, so a run that moves from one range to another meanwhile is seen once.
func (s *Store) List(ctx context.Context, q *runtime.Query) ([]runtime.Record, error) {
	records, err := s.list(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("pebblestore: list runs: %w", err)
	}
	return records, nil
}

func (s *Store) list(ctx context.Context, q *runtime.Query) (records []runtime.Record, err error) {
	if q.Limit < 1 {
		return nil, fmt.Errorf("a limit of %d: want at least 1", q.Limit)
	}
	snapshot := s.db.NewSnapshot()
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	m := merge{reader: snapshot, span: spanOf(q), descending: q.Descending, limit: q.Limit}
	if err := s.addRanges(ctx, &m, q); err != nil {
		return nil, err
	}
	err = m.each(func(id runtime.RunID) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var r runtime.Record
		if err := s.record(snapshot, id, &r); err != nil {
			return false, err
		}
		if anyOf(q.States, r.State) && anyOf(q.Statuses, r.Status) {
			records = append(records, r)
		}
		return len(records) < q.Limit, nil
	})
	return records, err
}

// spanOf returns the run IDs between the query's bounds and beyond its cursor.
func spanOf(q *runtime.Query) span {
	s := allRuns()
	if !q.CreatedAfter.IsZero() {
		s.lo = firstAt(q.CreatedAfter)
	}
	if !q.CreatedBefore.IsZero() {
		s.hi = firstAt(q.CreatedBefore)
	}
	switch {
	case q.After.IsZero():
	case q.Descending:
		if string(q.After[:]) < string(s.hi[:]) {
			s.hi = q.After
		}
	default:
		if next := following(q.After); string(next[:]) > string(s.lo[:]) {
			s.lo = next
		}
	}
	return s
}

// firstAt returns the least ID of a millisecond, within what an ID can carry.
func firstAt(t time.Time) runtime.RunID {
	var id runtime.RunID
	ms := min(max(t.UnixMilli(), 0), 1<<48-1)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(ms)<<16)
	copy(id[:6], b[:6])
	return id
}

// addRanges gives m the key ranges that hold the runs of the query.
func (s *Store) addRanges(ctx context.Context, m *merge, q *runtime.Query) error {
	switch {
	case len(q.ForeignIDs) > 0:
		return s.addForeign(m, q)
	case len(q.Workflows) == 0 && len(q.States) == 0 && len(q.Statuses) == 0:
		for i := range s.shards {
			m.add(runtime.Shard(i), appendPrefix(nil, runtime.Shard(i), kindRecord))
		}
		return nil
	}
	for i := range s.shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.addIndex(m, runtime.Shard(i), q); err != nil {
			return err
		}
	}
	return nil
}

// addForeign adds the rows of each foreign ID in each workflow: of the query, or else of the store.
func (s *Store) addForeign(m *merge, q *runtime.Query) error {
	workflows := distinct(q.Workflows)
	if len(workflows) == 0 {
		found, err := s.workflows(m.reader)
		if err != nil {
			return err
		}
		workflows = found
	}
	for _, workflow := range workflows {
		for _, foreignID := range distinct(q.ForeignIDs) {
			if runtime.CheckScope(workflow, foreignID) != nil {
				continue // no run can have it
			}
			number := s.shardOf(runtime.SlotOf(workflow, foreignID))
			m.add(number, appendForeignRange(nil, number, workflow, foreignID))
		}
	}
	return nil
}

// workflows returns the names of the workflows that have runs, with one seek for each in each shard.
func (s *Store) workflows(r pebble.Reader) ([]string, error) {
	var found []string
	for i := range s.shards {
		it, err := iterate(r, appendPrefix(nil, runtime.Shard(i), kindForeign))
		if err != nil {
			return nil, err
		}
		var next []byte
		for valid := it.First(); valid; valid = it.SeekGE(next) {
			workflow, _, _, ok := parseForeignKey(it.Key())
			if !ok {
				return nil, errors.Join(fmt.Errorf("%w: key %x", errMalformed, it.Key()), it.Close())
			}
			found = append(found, s.names.get(workflow))
			next = appendSuccessor(next[:0], it.Key()[:prefixLen+1+len(workflow)])
		}
		if err := it.Close(); err != nil {
			return nil, err
		}
	}
	return distinct(found), nil
}

// addIndex adds the index ranges of a shard that pass the filters, with one seek for each (workflow, status, ready, state)
// that any run of the shard is in.
func (s *Store) addIndex(m *merge, number runtime.Shard, q *runtime.Query) error {
	prefixes := [][]byte{appendPrefix(nil, number, kindIndex)}
	if len(q.Workflows) > 0 {
		prefixes = prefixes[:0]
		for _, workflow := range distinct(q.Workflows) {
			if len(workflow) <= runtime.MaxName {
				prefixes = append(prefixes, appendName(appendPrefix(nil, number, kindIndex), workflow))
			}
		}
	}
	for _, prefix := range prefixes {
		err := walkIndex(m.reader, prefix, func(key []byte, row *indexRow) int {
			if anyOf(q.States, row.state) && anyOf(q.Statuses, s.names.get(row.status)) {
				m.add(number, slices.Clone(key[:row.rangeLen]))
			}
			return row.rangeLen
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// anyOf reports whether v passes a filter; an empty one passes all.
func anyOf[T comparable](filter []T, v T) bool { return len(filter) == 0 || slices.Contains(filter, v) }

func distinct(values []string) []string { return slices.Compact(slices.Sorted(slices.Values(values))) }
