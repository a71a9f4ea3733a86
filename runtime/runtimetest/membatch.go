package runtimetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// memShard is one shard. What its maps and slices hold is never changed, only replaced.
type memShard struct {
	epoch        runtime.Epoch
	last         runtime.LSN
	records      map[runtime.RunID]*runtime.Record
	history      map[runtime.RunID][]*runtime.HistoryEntry // in order
	logs         map[runtime.RunID][]*runtime.LogEntry     // in order
	payloads     map[runtime.CallbackID][]byte
	tasks        map[memTask]*runtime.Task
	schedules    map[scheduleKey]*runtime.Schedule
	events       []runtime.Event
	parkedEvents []runtime.ParkedEvent // in the order of their events
	cursors      map[string]runtime.LSN
	keys         map[scopedKey]runtime.Idempotency
	receipts     map[runtime.Origin]bool
	trimmed      map[runtime.Origin]int64 // by partition: without an offset
	parked       map[runtime.Origin]runtime.Parked
}

type scopedKey struct{ workflow, foreignID, key string }

type scheduleKey struct{ workflow, name string }

// memTask is what tells tasks apart, and their order.
type memTask struct {
	due            int64
	run            runtime.RunID
	version        uint64
	kind           runtime.TaskKind
	slot           int64
	workflow, name string
}

func memTaskOf(t *runtime.Task) memTask {
	return memTask{
		due: t.Due.UnixNano(), run: t.RunID, version: t.Version, kind: t.Kind, slot: t.Slot.UnixNano(), workflow: t.Workflow,
		name: t.Name,
	}
}

func newMemShard() *memShard {
	return &memShard{
		records:   map[runtime.RunID]*runtime.Record{},
		history:   map[runtime.RunID][]*runtime.HistoryEntry{},
		logs:      map[runtime.RunID][]*runtime.LogEntry{},
		payloads:  map[runtime.CallbackID][]byte{},
		tasks:     map[memTask]*runtime.Task{},
		schedules: map[scheduleKey]*runtime.Schedule{},
		cursors:   map[string]runtime.LSN{},
		keys:      map[scopedKey]runtime.Idempotency{},
		receipts:  map[runtime.Origin]bool{},
		trimmed:   map[runtime.Origin]int64{},
		parked:    map[runtime.Origin]runtime.Parked{},
	}
}

func (m *memShard) clone() *memShard {
	c := *m
	c.records, c.cursors, c.keys = maps.Clone(m.records), maps.Clone(m.cursors), maps.Clone(m.keys)
	c.payloads, c.tasks, c.schedules = maps.Clone(m.payloads), maps.Clone(m.tasks), maps.Clone(m.schedules)
	c.receipts, c.trimmed, c.parked = maps.Clone(m.receipts), maps.Clone(m.trimmed), maps.Clone(m.parked)
	c.events, c.parkedEvents = slices.Clone(m.events), slices.Clone(m.parkedEvents)
	c.history = make(map[runtime.RunID][]*runtime.HistoryEntry, len(m.history))
	for id, entries := range m.history {
		c.history[id] = slices.Clone(entries)
	}
	c.logs = make(map[runtime.RunID][]*runtime.LogEntry, len(m.logs))
	for id, entries := range m.logs {
		c.logs[id] = slices.Clone(entries)
	}
	return &c
}

// batchChange returns what b does, with copies of all that it holds.
func batchChange(shard runtime.Shard, lsn runtime.LSN, b *runtime.Batch) func(shards []*memShard) {
	c := cloneBatch(b)
	return func(shards []*memShard) {
		m := shards[shard]
		m.last = lsn
		switch {
		case c.Next != nil:
			m.change(c.Prev, c.Next, c.Emits, lsn)
		case c.Remove:
			m.remove(c.Prev)
		}
		if c.Erase {
			m.erase(c.Next)
		}
		for i := range c.History {
			m.addHistory(&c.History[i])
		}
		if c.Log != nil {
			m.addLog(c.Log)
		}
		if c.Payload != nil {
			m.payloads[runtime.CallbackID{RunID: c.Next.RunID, Number: c.Next.Callbacks}] = c.Payload
		}
		if c.DropTask != nil {
			delete(m.tasks, memTaskOf(c.DropTask))
		}
		for i := range c.AddTasks {
			m.tasks[memTaskOf(&c.AddTasks[i])] = &c.AddTasks[i]
		}
		if s := c.PrevSchedule; s != nil { // wherever it was
			delete(shards[scheduleShard(s, len(shards))].schedules, scheduleKey{s.Workflow, s.Name})
		}
		if s := c.NextSchedule; s != nil {
			m.schedules[scheduleKey{s.Workflow, s.Name}] = s
		}
		if i := c.Remember; i != nil {
			m.keys[scopedKey{i.Workflow, i.ForeignID, i.Key}] = *i
		}
		if t := c.Forget; t != nil {
			maps.DeleteFunc(m.keys, func(_ scopedKey, i runtime.Idempotency) bool {
				return i.Key == t.Name && i.RunID == t.RunID && i.ExpiresAt.Equal(t.Due)
			})
		}
		m.receive(c)
	}
}

// cloneBatch returns a copy that shares nothing with b.
func cloneBatch(b *runtime.Batch) *runtime.Batch {
	c := &runtime.Batch{
		Prev: cloneOf(b.Prev), Next: cloneOf(b.Next), Payload: bytes.Clone(b.Payload), Erase: b.Erase, Remove: b.Remove,
	}
	for _, e := range b.Emits {
		e.Data = bytes.Clone(e.Data)
		c.Emits = append(c.Emits, e)
	}
	for i := range b.History {
		c.History = append(c.History, cloneEntry(&b.History[i]))
	}
	if b.Log != nil {
		entry := cloneLog(b.Log)
		c.Log = &entry
	}
	for i := range b.AddTasks {
		c.AddTasks = append(c.AddTasks, cloneTask(&b.AddTasks[i]))
	}
	if b.DropTask != nil {
		task := cloneTask(b.DropTask)
		c.DropTask = &task
	}
	for _, s := range []struct{ from, to **runtime.Schedule }{
		{&b.PrevSchedule, &c.PrevSchedule}, {&b.NextSchedule, &c.NextSchedule},
	} {
		if *s.from != nil {
			schedule := cloneSchedule(*s.from)
			*s.to = &schedule
		}
	}
	if b.Remember != nil {
		key := *b.Remember
		c.Remember = &key
	}
	if b.Forget != nil {
		timer := *b.Forget
		c.Forget = &timer
	}
	cloneReceipts(b, c)
	return c
}

func cloneOf(r *runtime.Record) *runtime.Record {
	if r == nil {
		return nil
	}
	c := r.Clone()
	return &c
}

func cloneEntry(h *runtime.HistoryEntry) runtime.HistoryEntry {
	c := *h
	c.Object = bytes.Clone(h.Object)
	return c
}

func cloneLog(l *runtime.LogEntry) runtime.LogEntry {
	c := *l
	c.Lines = slices.Clone(l.Lines)
	return c
}

func cloneTask(t *runtime.Task) runtime.Task {
	c := *t
	c.Record = cloneOf(t.Record)
	if t.Intent != nil {
		intent := *t.Intent
		intent.Object = bytes.Clone(t.Intent.Object)
		c.Intent = &intent
	}
	return c
}

func cloneSchedule(s *runtime.Schedule) runtime.Schedule {
	c := *s
	c.Object, c.Filter = bytes.Clone(s.Object), nil
	return c
}

// change puts next in the place of prev, with what follows from it.
func (m *memShard) change(prev, next *runtime.Record, emits []runtime.Emit, lsn runtime.LSN) {
	m.records[next.RunID] = next
	if prev != nil {
		for _, p := range prev.Pending {
			if p.Kind == runtime.PendingCallback && !hasCallback(next, p.Callback) {
				delete(m.payloads, runtime.CallbackID{RunID: next.RunID, Number: p.Callback})
			}
		}
		if prev.Version == next.Version {
			return
		}
	}
	e := runtime.NewEvent(lsn, prev, next)
	e.Emits = emits
	m.events = append(m.events, e)
}

func hasCallback(r *runtime.Record, number uint64) bool {
	return slices.ContainsFunc(r.Pending, func(p runtime.Pending) bool {
		return p.Kind == runtime.PendingCallback && p.Callback == number
	})
}

// erase removes the data of a run that is not in its record.
func (m *memShard) erase(next *runtime.Record) {
	id := next.RunID
	entries := slices.Clone(m.history[id])
	for i, h := range entries {
		c := *h
		if c.Object = nil; !c.AsksToErase() {
			c.Reason = ""
		}
		entries[i] = &c
	}
	m.history[id] = entries
	delete(m.logs, id)
	m.dropPayloads(id)
	for key, t := range m.tasks {
		if t.RunID != id || t.Record == nil {
			continue
		}
		c := cloneTask(t)
		c.Record.Object, c.Record.Reason = bytes.Clone(next.Object), ""
		m.tasks[key] = &c
	}
}

func (m *memShard) remove(prev *runtime.Record) {
	delete(m.records, prev.RunID)
	delete(m.history, prev.RunID)
	delete(m.logs, prev.RunID)
	m.dropPayloads(prev.RunID)
}

func (m *memShard) dropPayloads(id runtime.RunID) {
	maps.DeleteFunc(m.payloads, func(c runtime.CallbackID, _ []byte) bool { return c.RunID == id })
}

func (m *memShard) addHistory(e *runtime.HistoryEntry) {
	entries := m.history[e.RunID]
	i, found := slices.BinarySearchFunc(entries, e, func(a, b *runtime.HistoryEntry) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Line, b.Line))
	})
	if found {
		entries = slices.Delete(entries, i, i+1)
	}
	m.history[e.RunID] = slices.Insert(entries, i, e)
}

// addLog adds an entry at its time, or at the first nanosecond after it that no other of its version has.
func (m *memShard) addLog(l *runtime.LogEntry) {
	c := *l
	entries := m.logs[c.RunID]
	for {
		i, found := slices.BinarySearchFunc(entries, &c, func(a, b *runtime.LogEntry) int {
			return cmp.Or(cmp.Compare(a.Version, b.Version), a.Time.Compare(b.Time))
		})
		if !found {
			m.logs[c.RunID] = slices.Insert(entries, i, &c)
			return
		}
		c.Time = c.Time.Add(1)
	}
}

func (s *MemStore) check(shard runtime.Shard) error {
	if int(shard) >= len(s.live) {
		return fmt.Errorf("runtimetest: there is no shard %d: the store has %d", shard, len(s.live))
	}
	return nil
}

// checkBatch refuses what a store may refuse, and what it would trust.
func (s *MemStore) checkBatch(shard runtime.Shard, b *runtime.Batch) error {
	if err := b.CheckLengths(); err != nil {
		return fmt.Errorf("runtimetest: %w", err)
	}
	if err := s.checkShard(shard, b); err != nil {
		return err
	}
	switch {
	case b.Erase && b.Next == nil:
		return errors.New("runtimetest: Erase without Next")
	case b.Remove && (b.Prev == nil || b.Next != nil || b.Erase || b.Log != nil || len(b.History) > 0):
		return errors.New("runtimetest: Remove wants Prev, and neither Next nor anything to keep of the run")
	case !b.Remove && b.Prev != nil && b.Next == nil:
		return errors.New("runtimetest: Prev without Next and without Remove")
	case b.Payload != nil && (b.Next == nil || !hasCallback(b.Next, b.Next.Callbacks)):
		return errors.New("runtimetest: a payload that is not of a pending callback")
	}
	if err := s.checkSchedules(shard, b); err != nil {
		return err
	}
	if err := s.checkReceipts(shard, b); err != nil {
		return err
	}
	if b.Remove {
		held := s.live[shard].records[b.Prev.RunID]
		if held == nil || !EqualRecords(held, b.Prev) {
			return fmt.Errorf("runtimetest: run %s: Prev is %+v, and the store holds %+v", b.Prev.RunID, b.Prev, held)
		}
	}
	if b.Next == nil {
		return nil
	}
	if b.Next.RunID.Slot() != runtime.SlotOf(b.Next.Workflow, b.Next.ForeignID) {
		return fmt.Errorf("runtimetest: run %s does not carry the slot of its foreign ID", b.Next.RunID)
	}
	held := s.live[shard].records[b.Next.RunID]
	if (held == nil) != (b.Prev == nil) || held != nil && !EqualRecords(held, b.Prev) {
		return fmt.Errorf("runtimetest: run %s: Prev is %+v, and the store holds %+v", b.Next.RunID, b.Prev, held)
	}
	return nil
}

// checkShard refuses what does not live in the shard.
func (s *MemStore) checkShard(shard runtime.Shard, b *runtime.Batch) error {
	runs := map[string]runtime.RunID{}
	if b.Prev != nil {
		runs["the record before"] = b.Prev.RunID
	}
	if b.Next != nil {
		runs["the record"] = b.Next.RunID
	}
	for i := range b.History {
		runs[fmt.Sprintf("line %d of the history", i)] = b.History[i].RunID
	}
	if b.Log != nil {
		runs["the log"] = b.Log.RunID
	}
	for i := range b.AddTasks {
		if t := &b.AddTasks[i]; t.Kind != runtime.TaskSchedule {
			runs[fmt.Sprintf("task %d", i)] = t.RunID
		}
	}
	for what, id := range runs {
		if runtime.ShardOf(id.Slot(), len(s.live)) != shard {
			return fmt.Errorf("runtimetest: %s is of run %s, which is not of shard %d", what, id, shard)
		}
	}
	if i := b.Remember; i != nil && runtime.ShardOf(runtime.SlotOf(i.Workflow, i.ForeignID), len(s.live)) != shard {
		return fmt.Errorf("runtimetest: idempotency key %q is not of shard %d", i.Key, shard)
	}
	return nil
}

// checkSchedules refuses a schedule that does not live in the shard, and one of which any shard holds something else than the batch says.
func (s *MemStore) checkSchedules(shard runtime.Shard, b *runtime.Batch) error {
	sched := cmp.Or(b.NextSchedule, b.PrevSchedule)
	if sched == nil {
		return nil
	}
	if scheduleShard(sched, len(s.live)) != shard {
		return fmt.Errorf("runtimetest: schedule %s is not of shard %d", sched.Name, shard)
	}
	for i := range s.live {
		prev := b.PrevSchedule
		if prev != nil && scheduleShard(prev, len(s.live)) != runtime.Shard(i) {
			prev = nil
		}
		held := s.live[i].schedules[scheduleKey{sched.Workflow, sched.Name}]
		if (held == nil) != (prev == nil) || held != nil && !EqualSchedules(held, prev) {
			return fmt.Errorf("runtimetest: schedule %s: PrevSchedule is %+v, and shard %d holds %+v", sched.Name, b.PrevSchedule, i, held)
		}
	}
	return nil
}

// scheduleShard returns the shard, of so many, that a schedule lies in.
func scheduleShard(s *runtime.Schedule, shards int) runtime.Shard {
	return runtime.ShardOf(runtime.SlotOf(s.Workflow, cmp.Or(s.ForeignID, s.Name)), shards)
}

// EqualRecords reports whether two records say the same: times by their instant, nothing like empty.
func EqualRecords(a, b *runtime.Record) bool {
	x, y := a.Clone(), b.Clone()
	for _, r := range []*runtime.Record{&x, &y} {
		for _, t := range []*time.Time{&r.NotBefore, &r.ResumeAt, &r.ExpireAt, &r.CreatedAt, &r.UpdatedAt} {
			*t = plain(*t)
		}
		for i := range r.Pending {
			r.Pending[i].Due = plain(r.Pending[i].Due)
		}
		if len(r.Pending) == 0 {
			r.Pending = nil
		}
	}
	return reflect.DeepEqual(x, y)
}

// EqualSchedules reports whether two schedules say the same: times by their instant, nothing like empty.
func EqualSchedules(a, b *runtime.Schedule) bool {
	x, y := cloneSchedule(a), cloneSchedule(b)
	for _, s := range []*runtime.Schedule{&x, &y} {
		for _, t := range []*time.Time{&s.Next, &s.Since, &s.LastSlot, &s.LastAt} {
			*t = plain(*t)
		}
		if len(s.Object) == 0 {
			s.Object = nil
		}
	}
	return reflect.DeepEqual(x, y)
}

// plain returns the instant of t in a form that is equal to that of any other time of the same instant.
func plain(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.Unix(0, t.UnixNano()).UTC()
}
