package runtimetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// Record implements runtime.Reader.
func (s *MemStore) Record(id runtime.RunID, dst *runtime.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.of(id.Slot()).records[id]
	if r == nil {
		return fmt.Errorf("runtimetest: run %s: %w", id, runtime.ErrNotFound)
	}
	dst.CopyFrom(r)
	return nil
}

func (s *MemStore) of(slot runtime.Slot) *memShard { return s.live[runtime.ShardOf(slot, len(s.live))] }

// Latest implements runtime.Reader.
func (s *MemStore) Latest(workflow, foreignID string) (runtime.RunID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var latest runtime.RunID
	for id, r := range s.of(runtime.SlotOf(workflow, foreignID)).records {
		if r.Workflow == workflow && r.ForeignID == foreignID && compareIDs(id, latest) > 0 {
			latest = id
		}
	}
	if latest.IsZero() {
		return latest, fmt.Errorf("runtimetest: foreign ID %q: %w", foreignID, runtime.ErrNotFound)
	}
	return latest, nil
}

func compareIDs(a, b runtime.RunID) int { return bytes.Compare(a[:], b[:]) }

// List implements runtime.Reader.
func (s *MemStore) List(ctx context.Context, q *runtime.Query) ([]runtime.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if q.Limit < 1 {
		return nil, fmt.Errorf("runtimetest: a limit of %d: want at least 1", q.Limit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*runtime.Record
	for _, shard := range s.live {
		for _, r := range shard.records {
			if Matches(q, r) {
				found = append(found, r)
			}
		}
	}
	slices.SortFunc(found, func(a, b *runtime.Record) int {
		if q.Descending {
			a, b = b, a
		}
		return compareIDs(a.RunID, b.RunID)
	})
	var records []runtime.Record
	for _, r := range found[:min(len(found), q.Limit)] {
		records = append(records, r.Clone())
	}
	return records, nil
}

// Matches reports whether a record passes the filters of a query and lies beyond its cursor.
func Matches(q *runtime.Query, r *runtime.Record) bool {
	if len(q.Workflows) > 0 && !slices.Contains(q.Workflows, r.Workflow) ||
		len(q.States) > 0 && !slices.Contains(q.States, r.State) ||
		len(q.Statuses) > 0 && !slices.Contains(q.Statuses, r.Status) ||
		len(q.ForeignIDs) > 0 && !slices.Contains(q.ForeignIDs, r.ForeignID) {
		return false
	}
	ms := r.RunID.Time().UnixMilli()
	if !q.CreatedAfter.IsZero() && ms < q.CreatedAfter.UnixMilli() ||
		!q.CreatedBefore.IsZero() && ms >= q.CreatedBefore.UnixMilli() {
		return false
	}
	if q.After.IsZero() {
		return true
	}
	beyond := compareIDs(r.RunID, q.After)
	return q.Descending && beyond < 0 || !q.Descending && beyond > 0
}

// ActiveRuns implements runtime.Reader.
func (s *MemStore) ActiveRuns(q runtime.Queue, limit int) (int, error) {
	return s.count(limit, func(r *runtime.Record) bool {
		return r.Workflow == q.Workflow && (q.Status == "" || r.Status == q.Status)
	}), nil
}

// PinnedRuns implements runtime.Reader.
func (s *MemStore) PinnedRuns(workflow string, d runtime.Digest, limit int) (int, error) {
	return s.count(limit, func(r *runtime.Record) bool { return r.Workflow == workflow && r.Pinned == d }), nil
}

// ActiveQueues implements runtime.Reader.
func (s *MemStore) ActiveQueues() ([]runtime.Queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[runtime.Queue]bool{}
	for _, shard := range s.live {
		for _, r := range shard.records {
			if r.State.Active() {
				found[runtime.Queue{Workflow: r.Workflow, Status: r.Status}] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(found), runtime.Queue.Compare), nil
}

// count counts the active runs that match.
func (s *MemStore) count(limit int, match func(*runtime.Record) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, shard := range s.live {
		for _, r := range shard.records {
			if n < limit && r.State.Active() && match(r) {
				n++
			}
		}
	}
	return n
}

// History implements runtime.Reader.
func (s *MemStore) History(
	id runtime.RunID, afterVersion uint64, afterLine uint32, limit int,
) ([]runtime.HistoryEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var entries []runtime.HistoryEntry
	for _, e := range s.of(id.Slot()).history[id] {
		beyond := e.Version > afterVersion || e.Version == afterVersion && e.Line > afterLine
		if !beyond || len(entries) >= limit {
			continue
		}
		entries = append(entries, cloneEntry(e))
	}
	return entries, nil
}

// Logs implements runtime.Reader.
func (s *MemStore) Logs(
	id runtime.RunID, afterVersion uint64, afterTime time.Time, limit int,
) ([]runtime.LogEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var entries []runtime.LogEntry
	for _, l := range s.of(id.Slot()).logs[id] {
		beyond := l.Version > afterVersion || l.Version == afterVersion && l.Time.After(afterTime)
		if beyond && len(entries) < limit {
			entries = append(entries, cloneLog(l))
		}
	}
	return entries, nil
}

// Payload implements runtime.Reader.
func (s *MemStore) Payload(id runtime.RunID, callback uint64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	payload, ok := s.of(id.Slot()).payloads[runtime.CallbackID{RunID: id, Number: callback}]
	if !ok {
		return nil, fmt.Errorf("runtimetest: payload of callback %d of run %s: %w", callback, id, runtime.ErrNotFound)
	}
	return bytes.Clone(payload), nil
}

// Schedule implements runtime.Reader.
func (s *MemStore) Schedule(workflow, name string) (runtime.Schedule, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, shard := range s.live {
		if found := shard.schedules[scheduleKey{workflow, name}]; found != nil {
			return cloneSchedule(found), nil
		}
	}
	return runtime.Schedule{}, fmt.Errorf("runtimetest: schedule %s of workflow %s: %w", name, workflow, runtime.ErrNotFound)
}

// Schedules implements runtime.Reader.
func (s *MemStore) Schedules() ([]runtime.Schedule, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []runtime.Schedule
	for _, shard := range s.live {
		for _, found := range shard.schedules {
			all = append(all, cloneSchedule(found))
		}
	}
	slices.SortFunc(all, func(a, b runtime.Schedule) int {
		return cmp.Or(strings.Compare(a.Workflow, b.Workflow), strings.Compare(a.Name, b.Name))
	})
	return all, nil
}

// Remembered implements runtime.Reader.
func (s *MemStore) Remembered(workflow, foreignID, key string) (runtime.Idempotency, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.of(runtime.SlotOf(workflow, foreignID)).keys[scopedKey{workflow, foreignID, key}]
	if !ok {
		return i, fmt.Errorf("runtimetest: idempotency key %q: %w", key, runtime.ErrNotFound)
	}
	return i, nil
}

// Queues implements runtime.TaskReader.
func (s *MemStore) Queues(shard runtime.Shard) ([]runtime.Queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(shard); err != nil {
		return nil, err
	}
	found := map[runtime.Queue]bool{}
	for _, r := range s.live[shard].records {
		if r.Ready() {
			found[runtime.Queue{Workflow: r.Workflow, Status: r.Status}] = true
		}
	}
	return slices.Collect(maps.Keys(found)), nil
}

// Ready implements runtime.TaskReader.
func (s *MemStore) Ready(
	shard runtime.Shard, q runtime.Queue, after runtime.RunID, limit int, dst []runtime.RunID,
) ([]runtime.RunID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(shard); err != nil {
		return dst, err
	}
	var ready []runtime.RunID
	for id, r := range s.live[shard].records {
		if r.Ready() && r.Workflow == q.Workflow && r.Status == q.Status && compareIDs(id, after) > 0 {
			ready = append(ready, id)
		}
	}
	slices.SortFunc(ready, compareIDs)
	return append(dst, ready[:min(len(ready), limit)]...), nil
}

// Due implements runtime.TaskReader.
func (s *MemStore) Due(
	shard runtime.Shard, now time.Time, limit int, dst []runtime.Timer,
) ([]runtime.Timer, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(shard); err != nil {
		return dst, time.Time{}, err
	}
	var timers []runtime.Timer
	for _, r := range s.live[shard].records {
		timers = r.Timers(timers)
	}
	for _, i := range s.live[shard].keys {
		timers = append(timers, runtime.Timer{Due: i.ExpiresAt, Kind: runtime.TimerForget, RunID: i.RunID, Name: i.Key})
	}
	slices.SortFunc(timers, func(a, b runtime.Timer) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Kind, b.Kind), compareIDs(a.RunID, b.RunID),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Callback, b.Callback))
	})
	for i, t := range timers {
		if i >= limit || t.Due.After(now) {
			return dst, t.Due, nil
		}
		dst = append(dst, t)
	}
	return dst, time.Time{}, nil
}

// DueTasks implements runtime.TaskReader.
func (s *MemStore) DueTasks(
	shard runtime.Shard, now time.Time, after *runtime.Task, limit int, dst []runtime.Task,
) ([]runtime.Task, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(shard); err != nil {
		return dst, time.Time{}, err
	}
	keys := slices.SortedFunc(maps.Keys(s.live[shard].tasks), compareTasks)
	if after != nil {
		n, there := slices.BinarySearchFunc(keys, memTaskOf(after), compareTasks)
		if there {
			n++
		}
		keys = keys[n:]
	}
	for i, key := range keys {
		t := s.live[shard].tasks[key]
		if i >= limit || t.Due.After(now) {
			return dst, t.Due, nil
		}
		dst = append(dst, cloneTask(t))
	}
	return dst, time.Time{}, nil
}

// compareTasks orders tasks as a store does.
func compareTasks(a, b memTask) int {
	return cmp.Or(cmp.Compare(a.due, b.due), compareIDs(a.run, b.run), cmp.Compare(a.version, b.version),
		cmp.Compare(a.kind, b.kind), cmp.Compare(a.slot, b.slot), cmp.Compare(a.workflow, b.workflow), cmp.Compare(a.name, b.name))
}
