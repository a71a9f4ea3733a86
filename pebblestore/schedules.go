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

// Schedule implements runtime.Reader. A schedule lies in the shard of its foreign ID, which its name does not tell: it is
// looked for in all.
func (s *Store) Schedule(workflow, name string) (runtime.Schedule, error) {
	for i := range s.shards {
		if len(workflow) > runtime.MaxName {
			break // no schedule can have it
		}
		value, closer, err := s.db.Get(appendScheduleKey(nil, runtime.Shard(i), workflow, name))
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
func (s *Store) Schedules() ([]runtime.Schedule, error) {
	var all []runtime.Schedule
	for i := range s.shards {
		err := s.scan(appendPrefix(nil, runtime.Shard(i), kindSchedule), func(key, value []byte) error {
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
