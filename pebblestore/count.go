package pebblestore

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/wfrt/wfrt/runtime"
)

// ActiveRuns implements runtime.Reader. It seeks to each (status, ready, state) of the workflow that a run is in, and reads keys
// only.
func (s *Store) ActiveRuns(q runtime.Queue, limit int) (int, error) {
	n := 0
	for i := range s.shards {
		prefix := appendName(appendPrefix(nil, runtime.Shard(i), kindIndex), q.Workflow)
		if q.Status != "" {
			prefix = appendName(prefix, q.Status)
		}
		if err := s.countActive(prefix, limit, &n); err != nil {
			return 0, fmt.Errorf("pebblestore: count runs: %w", err)
		}
	}
	return n, nil
}

// countActive adds to n, up to limit, the index rows under a prefix whose state is active.
func (s *Store) countActive(prefix []byte, limit int, n *int) error {
	it, err := s.iterate(prefix)
	if err != nil {
		return err
	}
	var next []byte
	for valid := it.First(); valid && *n < limit; {
		row, ok := parseIndexKey(it.Key())
		if !ok {
			return errors.Join(fmt.Errorf("%w: key %x", errMalformed, it.Key()), it.Close())
		}
		if row.state.Active() {
			*n++
			valid = it.Next()
			continue
		}
		next = appendSuccessor(next[:0], it.Key()[:row.rangeLen])
		valid = it.SeekGE(next)
	}
	return it.Close()
}

// PinnedRuns implements runtime.Reader.
func (s *Store) PinnedRuns(workflow string, d runtime.Digest, limit int) (int, error) {
	n := 0
	for i := range s.shards {
		it, err := s.iterate(appendPinnedRange(nil, runtime.Shard(i), workflow, d))
		if err != nil {
			return 0, fmt.Errorf("pebblestore: count pinned runs: %w", err)
		}
		for valid := it.First(); valid && n < limit; valid = it.Next() {
			n++
		}
		if err := it.Close(); err != nil {
			return 0, fmt.Errorf("pebblestore: count pinned runs: %w", err)
		}
	}
	return n, nil
}

// ActiveQueues implements runtime.Reader. It seeks to each (status, ready, state) of a workflow, and reads keys only.
func (s *Store) ActiveQueues() ([]runtime.Queue, error) {
	found := make(map[runtime.Queue]bool)
	for i := range s.shards {
		if err := s.activeQueues(appendPrefix(nil, runtime.Shard(i), kindIndex), found); err != nil {
			return nil, fmt.Errorf("pebblestore: look for active runs: %w", err)
		}
	}
	return slices.SortedFunc(maps.Keys(found), runtime.Queue.Compare), nil
}

func (s *Store) activeQueues(prefix []byte, found map[runtime.Queue]bool) error {
	it, err := s.iterate(prefix)
	if err != nil {
		return err
	}
	var next []byte
	for valid := it.First(); valid; valid = it.SeekGE(next) {
		row, ok := parseIndexKey(it.Key())
		if !ok {
			return errors.Join(fmt.Errorf("%w: key %x", errMalformed, it.Key()), it.Close())
		}
		over := row.rangeLen // the rows of this state
		if row.state.Active() {
			found[runtime.Queue{Workflow: string(row.workflow), Status: string(row.status)}] = true
			over = row.statusLen // all rows of the status
		}
		next = appendSuccessor(next[:0], it.Key()[:over])
	}
	return it.Close()
}
