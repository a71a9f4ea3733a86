package pebblestore

import (
	"fmt"

	"github.com/wfrt/wfrt/runtime"
)

// The step tasks have no rows of their own: an index row whose ready byte says so is one. It comes and goes in the batch
// that changes the record.

// Queues implements runtime.TaskReader. It costs one or two seeks for each status that any run of the shard is in.
func (s *Store) Queues(number runtime.Shard) ([]runtime.Queue, error) {
	if _, err := s.shard(number); err != nil {
		return nil, err
	}
	var queues []runtime.Queue
	err := walkIndex(s.db, appendPrefix(nil, number, kindIndex), func(_ []byte, row *indexRow) int {
		// Ready rows come first: when the first row of a status is not ready, none is.
		if row.ready == indexReady {
			queues = append(queues, runtime.Queue{Workflow: s.names.get(row.workflow), Status: s.names.get(row.status)})
		}
		return row.statusLen
	})
	if err != nil {
		return nil, fmt.Errorf("pebblestore: queues of shard %d: %w", number, err)
	}
	return queues, nil
}

// Ready implements runtime.TaskReader.
func (s *Store) Ready(
	number runtime.Shard, q runtime.Queue, after runtime.RunID, limit int, dst []runtime.RunID,
) ([]runtime.RunID, error) {
	if _, err := s.shard(number); err != nil {
		return dst, err
	}
	if limit < 1 {
		return dst, nil
	}
	m := merge{reader: s.db, span: allRuns(), limit: limit}
	if !after.IsZero() {
		m.span.lo = following(after)
	}
	for _, state := range []runtime.RunState{runtime.Initiated, runtime.Running} {
		m.add(number, append(appendIndexRange(nil, number, q.Workflow, q.Status), indexReady, byte(state)))
	}
	err := m.each(func(id runtime.RunID) (bool, error) {
		dst = append(dst, id)
		limit--
		return limit > 0, nil
	})
	if err != nil {
		return dst, fmt.Errorf("pebblestore: ready runs of shard %d: %w", number, err)
	}
	return dst, nil
}
