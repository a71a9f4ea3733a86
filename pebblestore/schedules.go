package pebblestore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// homeOf returns the shard that a schedule lies in: that of its foreign ID.
func (s *Store) homeOf(sched *runtime.Schedule) runtime.Shard {
	return s.shardOf(runtime.SlotOf(sched.Workflow, cmp.Or(sched.ForeignID, sched.Name)))
}

// schedule puts into a batch what becomes of a schedule. It leaves no row behind where it has moved from.
func (s *Store) schedule(w *rowWriter, prev, next *runtime.Schedule) error {
	if prev != nil && (next == nil || s.homeOf(prev) != s.homeOf(next)) {
		w.key = appendScheduleKey(w.key[:0], s.homeOf(prev), prev.Workflow, prev.Name)
		if err := w.batch.Delete(w.key, nil); err != nil {
			return err
		}
	}
	if next == nil {
		return nil
	}
	w.key = appendScheduleKey(w.key[:0], s.homeOf(next), next.Workflow, next.Name)
	w.value = appendSchedule(w.value[:0], next)
	return w.batch.Set(w.key, w.value, nil)
}

// Schedule implements runtime.Reader. A schedule's name does not tell its shard: it is looked for in all, as they were at one moment,
// since it may move from one to another.
func (s *Store) Schedule(workflow, name string) (_ runtime.Schedule, err error) {
	snapshot := s.db.NewSnapshot()
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	for i := range s.shards {
		if len(workflow) > runtime.MaxName {
			break // no schedule can have it
		}
		value, closer, err := snapshot.Get(appendScheduleKey(nil, runtime.Shard(i), workflow, name))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		found := runtime.Schedule{ScheduleSpec: runtime.ScheduleSpec{Workflow: workflow, Name: name}}
		if err == nil {
			err = errors.Join(s.names.decodeSchedule(value, &found), closer.Close())
		}
		if err != nil {
			return runtime.Schedule{}, fmt.Errorf("pebblestore: schedule %s of workflow %s: %w", name, workflow, err)
		}
		return found, nil
	}
	return runtime.Schedule{}, fmt.Errorf("pebblestore: schedule %s of workflow %s: %w", name, workflow, runtime.ErrNotFound)
}

// Schedules implements runtime.Reader.
func (s *Store) Schedules() (all []runtime.Schedule, err error) {
	snapshot := s.db.NewSnapshot()
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	for i := range s.shards {
		err := scan(snapshot, appendPrefix(nil, runtime.Shard(i), kindSchedule), func(key, value []byte) error {
			workflow, name, ok := parseScheduleKey(key)
			if !ok {
				return fmt.Errorf("%w: key %x", errMalformed, key)
			}
			found := runtime.Schedule{ScheduleSpec: runtime.ScheduleSpec{Workflow: s.names.get(workflow), Name: string(name)}}
			if err := s.names.decodeSchedule(value, &found); err != nil {
				return fmt.Errorf("schedule %s of workflow %s: %w", name, workflow, err)
			}
			all = append(all, found)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("pebblestore: schedules: %w", err)
		}
	}
	slices.SortFunc(all, func(a, b runtime.Schedule) int {
		return cmp.Or(strings.Compare(a.Workflow, b.Workflow), strings.Compare(a.Name, b.Name))
	})
	return all, nil
}
