package pebblestore

import (
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
		if n >= limit {
			break
		}
		err := walkIndex(s.db, prefix, func(key []byte, row *indexRow) int {
			if !row.state.Active() {
				return row.rangeLen
			}
			if n++; n >= limit {
				return 0
			}
			return len(key)
		})
		if err != nil {
			return 0, fmt.Errorf("pebblestore: count runs: %w", err)
		}
	}
	return n, nil
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
		err := walkIndex(s.db, appendPrefix(nil, runtime.Shard(i), kindIndex), func(_ []byte, row *indexRow) int {
			if !row.state.Active() {
				return row.rangeLen
			}
			found[runtime.Queue{Workflow: string(row.workflow), Status: string(row.status)}] = true
			return row.statusLen
		})
		if err != nil {
			return nil, fmt.Errorf("pebblestore: look for active runs: %w", err)
		}
	}
	return slices.SortedFunc(maps.Keys(found), runtime.Queue.Compare), nil
}
