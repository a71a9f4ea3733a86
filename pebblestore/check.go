package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// maxProblems bounds the problems that a report describes; it counts them all.
const maxProblems = 1000

// Report is what Check and Repair found.
type Report struct {
	Records  int       // records that were read
	Rows     int       // other rows that were compared with them
	Count    int       // problems in all
	Problems []Problem // the first of them, at most 1,000
}

// Problem is a row that does not agree with the others.
type Problem struct {
	Shard    runtime.Shard
	Key      []byte // of the row that is wrong or missing
	Text     string // "a record without its index row"
	Repaired bool
}

// String describes the problem on one line.
func (p Problem) String() string { return fmt.Sprintf("shard %d, key %x: %s", p.Shard, p.Key, p.Text) }

// Check compares every derived row with what it follows from, both ways: each record has its index row, its foreign ID row,
// its timers and the payloads of its callbacks, and the event of its version unless events were trimmed; each task is found
// from its run; and each such row has a record or a task that calls for it. It reads a snapshot and holds up no one.
func (s *Store) Check(ctx context.Context) (Report, error) {
	snapshot := s.db.NewSnapshot()
	c := checker{store: s, reader: snapshot}
	var err error
	for i := range s.shards {
		if err = c.shard(ctx, runtime.Shard(i)); err != nil {
			break
		}
	}
	return c.report, errors.Join(err, snapshot.Close())
}

// Repair checks as Check does, and sets the rows that are missing and deletes those that nothing calls for. Records,
// histories, logs, tasks, schedules, events and idempotency keys are primary: what is wrong with them, and a payload that is
// lost, is reported only. It holds up one shard at a time, and what it did is durable when it returns.
func (s *Store) Repair(ctx context.Context) (Report, error) {
	c := checker{store: s, reader: s.db, repair: true}
	for i, sh := range s.shards {
		sh.mu.Lock()
		err := c.shard(ctx, runtime.Shard(i))
		sh.rows.timersFrom = horizon{} // a timer that was missing may lie before it
		sh.mu.Unlock()
		if err != nil {
			return c.report, err
		}
	}
	if err := s.logMark(); err != nil {
		return c.report, s.syncer.failed(err)
	}
	return c.report, nil
}

// checker goes through one shard after another.
type checker struct {
	store  *Store
	reader pebble.Reader
	repair bool
	report Report

	number runtime.Shard
	fixes  *pebble.Batch // of this shard
	record runtime.Record
	latest int                          // events that are of their record's present version
	gone   map[runtime.RunID]goneRecord // by the events of runs without a record
}

// goneRecord is what the last event says of a run that has no record.
type goneRecord struct {
	lsn   runtime.LSN
	state runtime.RunState
}

func (c *checker) shard(ctx context.Context, number runtime.Shard) error {
	c.number, c.fixes, c.latest, c.gone = number, c.store.db.NewBatch(), 0, map[runtime.RunID]goneRecord{}
	before := c.report.Records
	passes := []struct {
		kind  string
		check func(key, value []byte) error
	}{
		{kindRecord, c.checkRecord},
		{kindIndex, c.checkIndex},
		{kindForeign, c.checkForeign},
		{kindPinned, c.checkPinned},
		{kindTimer, c.checkTimer},
		{kindIdempotency, c.checkIdempotency},
		{kindHistory, c.checkHistory},
		{kindLog, c.checkLog},
		{kindPayload, c.checkPayload},
		{kindTask, c.checkTask},
		{kindRunTask, c.checkRunTask},
		{kindSchedule, c.checkSchedule},
		{kindEvent, c.checkEvent},
		{kindReceipt, c.checkReceipt},
		{kindParked, c.checkParked},
	}
	for _, pass := range passes {
		err := scan(c.reader, appendPrefix(nil, number, pass.kind), func(key, value []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return pass.check(key, value)
		})
		if err != nil {
			return errors.Join(fmt.Errorf("pebblestore: check shard %d: %w", number, err), c.fixes.Close())
		}
	}
	c.checkGone()
	records := c.report.Records - before
	if trim := appendPrefix(nil, number, kindTrim); c.latest != records {
		trimmed, err := c.has(trim)
		if err != nil {
			return err
		}
		if !trimmed || c.latest > records {
			c.problem(trim, fmt.Sprintf("%d records have %d events of their present version", records, c.latest), nil)
		}
	}
	if c.fixes.Empty() {
		return c.fixes.Close()
	}
	return c.store.commitDurably(c.fixes)
}

func (c *checker) checkRecord(key, value []byte) error {
	c.report.Records++
	if len(key) != prefixLen+idLen {
		c.problem(key, "a record's key of the wrong length", nil)
		return nil
	}
	r := &c.record
	r.RunID = runtime.RunID(key[prefixLen:])
	if err := c.store.names.decodeRecord(value, r); err != nil {
		c.problem(key, fmt.Sprintf("a record that cannot be read: %v", err), nil)
		return nil
	}
	if err := c.store.checkBatch(c.number, &runtime.Batch{Next: r}); err != nil {
		c.problem(key, err.Error(), nil)
		return nil
	}
	err := c.want(appendIndexKey(nil, c.number, r), nil, "a record without its index row")
	if err == nil {
		err = c.want(appendForeignKey(nil, c.number, r.Workflow, r.ForeignID, r.RunID), nil, "a record without its foreign ID row")
	}
	if err == nil && isPinned(r) {
		err = c.want(appendPinnedKey(nil, c.number, r), nil, "a pinned record without its row")
	}
	for _, t := range r.Timers(nil) {
		if err == nil {
			err = c.want(appendTimerKey(nil, c.number, &t), nil, "a record without its timer")
		}
	}
	if err != nil {
		return err
	}
	return c.checkPayloads(r)
}

func (c *checker) checkPayloads(r *runtime.Record) error {
	for i := range r.Pending {
		if r.Pending[i].Kind != runtime.PendingCallback {
			continue
		}
		key := appendPayloadKey(nil, c.number, r.RunID, r.Pending[i].Callback)
		found, err := c.has(key)
		if err != nil {
			return err
		}
		if !found {
			c.problem(key, "a pending callback without its payload", nil)
		}
	}
	return nil
}

func (c *checker) checkPayload(key, _ []byte) error {
	id, callback, ok := parsePayloadKey(key)
	return c.derived(key, ok, id, "a payload without its pending callback", func(r *runtime.Record) bool {
		return hasCallback(r, callback)
	})
}

func (c *checker) checkTask(key, value []byte) error {
	c.report.Rows++
	t, ok := parseTaskKey(key)
	if !ok || c.store.names.decodeTask(value, &t) != nil {
		c.problem(key, "a task that cannot be read", nil)
		return nil
	}
	if t.RunID.IsZero() {
		return nil
	}
	if err := c.want(appendRunTaskKey(nil, key), nil, "a task that is not found from its run"); err != nil {
		return err
	}
	found, err := c.find(t.RunID) // a task outlives its run
	if err == nil && found && t.Version > c.record.Version {
		c.problem(key, fmt.Sprintf("a task of version %d, and the record has version %d", t.Version, c.record.Version), nil)
	}
	return err
}

func (c *checker) checkRunTask(key, _ []byte) error {
	c.report.Rows++
	found := false
	if len(key) >= prefixLen+idLen+8 {
		var err error
		if found, err = c.has(appendTaskKeyOf(nil, key)); err != nil {
			return err
		}
	}
	if !found {
		c.stray(key, "a run's row for a task that is not there")
	}
	return nil
}

func (c *checker) checkSchedule(key, value []byte) error {
	c.report.Rows++
	workflow, name, ok := parseScheduleKey(key)
	s := runtime.Schedule{ScheduleSpec: runtime.ScheduleSpec{Workflow: string(workflow), Name: string(name)}}
	if !ok || c.store.names.decodeSchedule(value, &s) != nil {
		c.problem(key, "a schedule that cannot be read", nil)
		return nil
	}
	if err := c.store.checkSchedules(c.number, nil, &s); err != nil {
		c.problem(key, err.Error(), nil)
	}
	return nil
}

func (c *checker) checkIndex(key, _ []byte) error {
	row, ok := parseIndexKey(key)
	return c.derived(key, ok, row.id, "an index row without its record", func(r *runtime.Record) bool {
		return string(appendIndexKey(nil, c.number, r)) == string(key)
	})
}

func (c *checker) checkForeign(key, _ []byte) error {
	workflow, foreignID, id, ok := parseForeignKey(key)
	return c.derived(key, ok, id, "a foreign ID row without its record", func(r *runtime.Record) bool {
		return r.Workflow == string(workflow) && r.ForeignID == string(foreignID)
	})
}

func (c *checker) checkPinned(key, _ []byte) error {
	workflow, digest, id, ok := parsePinnedKey(key)
	return c.derived(key, ok, id, "a row of a pinned run without its record", func(r *runtime.Record) bool {
		return isPinned(r) && r.Workflow == string(workflow) && r.Pinned == digest
	})
}

func (c *checker) checkTimer(key, value []byte) error {
	t, ok := parseTimerKey(key)
	if !ok || t.Kind != runtime.TimerForget {
		return c.derived(key, ok, t.RunID, "a timer without its record", func(r *runtime.Record) bool {
			return findTimer(r.Timers(nil), &t, 0) >= 0
		})
	}
	c.report.Rows++
	workflow, foreignID, err := decodeForget(value)
	if err != nil {
		c.stray(key, fmt.Sprintf("a timer that cannot be read: %v", err))
		return nil
	}
	kept, closer, err := c.reader.Get(appendIdempotencyKey(nil, c.number, workflow, foreignID, t.Name))
	if errors.Is(err, pebble.ErrNotFound) {
		c.stray(key, "a timer without its idempotency key")
		return nil
	}
	if err != nil {
		return err
	}
	var i runtime.Idempotency
	if err := decodeIdempotency(kept, &i); err == nil && (i.RunID != t.RunID || !i.ExpiresAt.Equal(t.Due)) {
		c.stray(key, "a timer that is not of its idempotency key")
	}
	return closer.Close()
}

func (c *checker) checkIdempotency(key, value []byte) error {
	c.report.Rows++
	workflow, foreignID, name, ok := parseIdempotencyKey(key)
	var i runtime.Idempotency
	if err := decodeIdempotency(value, &i); !ok || err != nil {
		c.problem(key, "an idempotency key that cannot be read", nil)
		return nil
	}
	t := runtime.Timer{Due: i.ExpiresAt, Kind: runtime.TimerForget, RunID: i.RunID, Name: string(name)}
	value = appendForget(nil, string(workflow), string(foreignID))
	return c.want(appendTimerKey(nil, c.number, &t), value, "an idempotency key without its timer")
}

func (c *checker) checkHistory(key, value []byte) error {
	c.report.Rows++
	id, version, _, ok := parseHistoryKey(key)
	var h runtime.HistoryEntry
	if !ok || c.store.names.decodeHistory(value, &h) != nil {
		c.problem(key, "a history row that cannot be read", nil)
		return nil
	}
	return c.primary(key, id, version, "a history row")
}

func (c *checker) checkLog(key, value []byte) error {
	c.report.Rows++
	id, version, _, ok := parseLogKey(key)
	var l runtime.LogEntry
	if !ok || c.store.names.decodeLog(value, &l) != nil {
		c.problem(key, "a log entry that cannot be read", nil)
		return nil
	}
	return c.primary(key, id, version, "a log entry")
}

func (c *checker) checkEvent(key, value []byte) error {
	c.report.Rows++
	var e runtime.Event
	if err := c.store.names.decodeEvent(value, &e); err != nil {
		c.problem(key, fmt.Sprintf("an event that cannot be read: %v", err), nil)
		return nil
	}
	lsn, _ := parseEventKey(key)
	found, err := c.find(e.RunID)
	switch {
	case err != nil:
		return err
	case !found:
		c.gone[e.RunID] = goneRecord{lsn, e.State}
		return nil
	case e.Version == c.record.Version:
		c.latest++
	}
	return c.primary(key, e.RunID, e.Version, "an event")
}

// checkGone reports the runs that have events and no record, and had not ended: those that have were removed, and their
// events stay until they are trimmed.
func (c *checker) checkGone() {
	var lost []runtime.LSN
	for _, g := range c.gone {
		if g.state.Active() {
			lost = append(lost, g.lsn)
		}
	}
	slices.Sort(lost)
	for _, lsn := range lost {
		c.problem(appendEventKey(nil, c.number, lsn), "an event of an active run without its record", nil)
	}
}

// primary checks a row that tells of a version of a run.
func (c *checker) primary(key []byte, id runtime.RunID, version uint64, what string) error {
	found, err := c.find(id)
	switch {
	case err != nil:
		return err
	case !found:
		c.problem(key, what+" without its record", nil)
	case version > c.record.Version:
		c.problem(key, fmt.Sprintf("%s of version %d, and the record has version %d", what, version, c.record.Version), nil)
	}
	return nil
}

// derived checks a row that must follow from the record of id.
func (c *checker) derived(key []byte, parsed bool, id runtime.RunID, text string, follows func(*runtime.Record) bool) error {
	c.report.Rows++
	found, err := false, error(nil)
	if parsed {
		found, err = c.find(id)
	}
	if err != nil {
		return err
	}
	if !found || !follows(&c.record) {
		c.stray(key, text)
	}
	return nil
}

// find reads the record of a run of this shard into c.record.
func (c *checker) find(id runtime.RunID) (bool, error) {
	if c.store.shardOf(id.Slot()) != c.number {
		return false, nil
	}
	err := c.store.record(c.reader, id, &c.record)
	if errors.Is(err, runtime.ErrNotFound) || errors.Is(err, errMalformed) {
		return false, nil
	}
	return err == nil, err
}

// want reports a row that is not there, and sets it.
func (c *checker) want(key, value []byte, text string) error {
	found, err := c.has(key)
	if err == nil && !found {
		c.problem(key, text, func() error { return c.fixes.Set(key, value, nil) })
	}
	return err
}

// stray reports a row that should not be there, and deletes it: plainly, since it may have been set more than once.
func (c *checker) stray(key []byte, text string) {
	c.problem(key, text, func() error { return c.fixes.Delete(key, nil) })
}

// problem counts a problem and, when that is asked for and can be done, fixes it.
func (c *checker) problem(key []byte, text string, fix func() error) {
	c.report.Count++
	repaired := c.repair && fix != nil && fix() == nil
	if len(c.report.Problems) < maxProblems {
		c.report.Problems = append(c.report.Problems, Problem{c.number, slices.Clone(key), text, repaired})
	}
}

func (c *checker) has(key []byte) (bool, error) { return has(c.reader, key) }
