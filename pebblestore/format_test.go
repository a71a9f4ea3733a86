package pebblestore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wfrt/wfrt/runtime"
)

const formatsPage = "../docs/formats.md"

// goldenStore writes at least one row of every kind.
func goldenStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(Options{Dir: "data", FS: vfs.NewMem(), Shards: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	created := time.UnixMilli(1_767_323_045_678).UTC()
	id := runtime.NewRunID(created, runtime.SlotOf("orders", "10248"), 0x0123456789abcdef)
	shard := s.shardOf(id.Slot())
	epoch, err := s.OpenShard(t.Context(), shard)
	if err != nil {
		t.Fatal(err)
	}
	first := runtime.Record{
		RunID: id, Workflow: "orders", ForeignID: "10248", State: runtime.Initiated, Status: "received", Version: 1, Entry: 1,
		Attempt: 1, CreatedAt: created, UpdatedAt: created, Object: []byte(`{"n":1}`),
	}
	second := first.Clone()
	second.Version, second.State, second.Reason = 2, runtime.Paused, "no"
	second.Pause, second.ResumeAt = runtime.PausedByError, created.Add(time.Hour)
	second.UpdatedAt, second.Digest = created.Add(time.Second), runtime.Digest{0xab, 31: 0xcd}
	waiting := first.Clone()
	waiting.RunID = waiting.RunID.After(first.RunID, 1)
	waiting.NotBefore, waiting.Task, waiting.Owner, waiting.Arming, waiting.Lines = created.Add(time.Minute), 1, 1, true, 2
	waiting.Callbacks, waiting.Pending = 1, []runtime.Pending{
		{Kind: runtime.PendingTimeout, Name: "late", Due: created.Add(2 * time.Minute), Attempt: 1},
		{Kind: runtime.PendingCallback, Callback: 1, Due: created.Add(3 * time.Minute), Attempt: 2, Trace: runtime.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}}},
		{Kind: runtime.PendingTimeout, Name: "now", Due: created, Attempt: 1, Taken: true},
	}
	waiting.Pinned, waiting.Alone = runtime.Digest{0xef, 31: 0x01}, 300
	ended := first.Clone()
	ended.RunID = ended.RunID.After(waiting.RunID, 2)
	ended.State, ended.ExpireAt = runtime.Completed, created.Add(48*time.Hour)
	ended.Trace = runtime.TraceContext{TraceID: [16]byte{0x4b, 15: 0x36}, SpanID: [8]byte{0xf0, 7: 0xb7}, Flags: 1}
	schedule := runtime.Schedule{
		ScheduleSpec: runtime.ScheduleSpec{
			Workflow: "orders", Name: "nightly", Cron: "0 3 * * *", Zone: "Europe/Paris", ForeignID: "10248", Object: []byte("1"),
			StartAt: "received", CatchUp: runtime.CatchUpOne,
		},
		Plugin: true, Paused: true, Next: created.Add(time.Hour), Since: created, LastSlot: created.Add(-time.Hour),
		LastRun: id, LastResult: "triggered", LastAt: created,
	}
	batches := []runtime.Batch{
		{
			Next: &first,
			History: []runtime.HistoryEntry{{
				RunID: id, Version: 1, Time: created, Cause: runtime.CauseTrigger, State: 1, Status: "received",
			}},
			Remember: &runtime.Idempotency{
				Workflow: "orders", ForeignID: "10248", Key: "key", Request: [32]byte{1, 31: 2}, RunID: id,
				ExpiresAt: created.Add(24 * time.Hour),
			},
		},
		{
			Prev: &first, Next: &second,
			History: []runtime.HistoryEntry{{
				RunID: id, Version: 2, Line: 3, Time: second.UpdatedAt, Cause: runtime.CauseStep, Handler: "charge", Attempt: 3,
				Callback: 1, By: "ada", Failed: true, Digest: second.Digest, Took: time.Millisecond, Fuel: 2_000_000_000,
				State:  runtime.Paused,
				Status: "received", Reason: "no", Object: []byte("{}"),
			}},
		},
		{
			Next: &waiting, Payload: []byte("paid"),
			Log: &runtime.LogEntry{
				RunID: waiting.RunID, Version: 1, Time: created, Handler: "step/charge", Attempt: 1,
				Lines: []runtime.LogLine{{Time: created, Level: -4, Text: "asking the bank", Handler: "step/ask"}, {Time: created, Level: 8}},
			},
		},
		{
			Next: &ended, NextSchedule: &schedule,
			AddTasks: []runtime.Task{
				{
					Due: created, Kind: runtime.TaskHook, RunID: id, Version: 2, Name: "refund", Attempt: 1, On: runtime.HookPause,
					Record: &second,
				},
				{Due: created, Kind: runtime.TaskErase, RunID: id, Version: 2},
				{
					Due: created.Add(time.Second), Kind: runtime.TaskIntent, RunID: id, Version: 2, Name: "1", Trace: runtime.TraceContext{TraceID: [16]byte{3}, SpanID: [8]byte{4}},
					Intent: &runtime.Intent{Workflow: "refunds", ForeignID: "7", StartAt: "asked", Object: []byte("{}")},
				},
				{
					Due: created.Add(time.Second), Kind: runtime.TaskIntent, RunID: id, Version: 2, Name: "2",
					Intent: &runtime.Intent{
						Kind: runtime.IntentCallback, Workflow: "report", ForeignID: "nightly", Status: "collecting", Object: []byte("raw"),
					},
				},
				{
					Due: created.Add(time.Hour), Kind: runtime.TaskSchedule, Workflow: "orders", Name: "nightly",
					Slot: created.Add(time.Hour),
				},
			},
		},
	}
	for i := range batches {
		if _, err := s.Apply(shard, epoch, &batches[i]); err != nil {
			t.Fatal(err)
		}
	}
	connectorRows(t, s)
	if err := s.SetDocument("plugins", []byte(`{"format":1}`)); err != nil {
		t.Fatal(err)
	}
	parked := runtime.ParkedEvent{
		Event: runtime.Event{LSN: 2, RunID: runtime.RunID{1, 2}, Version: 3, Workflow: "orders", ForeignID: "10248", State: runtime.Running, Status: "paid"},
		Cause: "too large", At: time.Unix(1_800_000_000, 0).UTC(),
	}
	if err := s.ParkEvent(shard, &parked); err != nil {
		t.Fatal(err)
	}
	if err := s.SetCursor(shard, "relay", 2); err != nil {
		t.Fatal(err)
	}
	if err := s.TrimEvents(shard, 1); err != nil {
		t.Fatal(err)
	}
	return s
}

// connectorRows writes what connectors leave, into the shard of the parked message.
func connectorRows(t *testing.T, s *Store) {
	t.Helper()
	o := runtime.Origin{Connector: "orders", TopicID: runtime.TopicID{0x11, 15: 0x22}, Partition: 3, Offset: 17}
	shard := o.Home(len(s.shards))
	epoch := s.shards[shard].epoch
	if epoch == 0 {
		var err error
		if epoch, err = s.OpenShard(t.Context(), shard); err != nil {
			t.Fatal(err)
		}
	}
	redriven, trimmed := o, o
	redriven.Redriven, trimmed.Offset = true, 16
	parked := &runtime.Parked{
		Origin: o, Topic: "northwind.orders", Key: []byte("10248"), Value: []byte("{"), Cause: "it is not JSON", Attempts: 1,
		Headers: []runtime.Header{{Name: "a", Value: []byte("1")}}, Time: time.UnixMilli(1_767_323_045_678).UTC(),
		ParkedAt: time.UnixMilli(1_767_323_046_000).UTC(), Workflow: "orders", ForeignID: "10248",
	}
	for _, b := range []runtime.Batch{{Park: parked, Receipt: &o, TrimReceipts: &trimmed}, {Receipt: &redriven}} {
		if _, err := s.Apply(shard, epoch, &b); err != nil {
			t.Fatal(err)
		}
	}
}

// dump writes all rows of a store in the order of their keys: the kind and the key, and on the next line the value if it
// is not empty, in hexadecimal.
func dump(t *testing.T, s *Store) string {
	t.Helper()
	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for valid := it.First(); valid; valid = it.Next() {
		_, _ = fmt.Fprintf(&b, "%s %x\n", it.Key()[2:4], it.Key())
		if len(it.Value()) > 0 {
			_, _ = fmt.Fprintf(&b, "   %x\n", it.Value())
		}
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestFormat: a store holds, byte for byte, what docs/formats.md shows. A difference is a new format: raise formatVersion
// and write the upgrade, or take the change back. -rewrite puts the present bytes on the page.
func TestFormat(t *testing.T) {
	const begin, end = "<!-- golden -->\n```\n", "```\n"
	got := dump(t, goldenStore(t))
	page, err := os.ReadFile(formatsPage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(page), begin)
	want, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no golden block", formatsPage)
	}
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(formatsPage, []byte(head+begin+got+end+tail), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Fatalf("the store holds\n%s\nand %s says\n%s", got, formatsPage, want)
	}
	for _, kind := range []string{
		kindRecord, kindIndex, kindForeign, kindTimer, kindHistory, kindLog, kindPayload, kindTask, kindRunTask, kindSchedule,
		kindEvent, kindParkedEvent, kindCursor, kindTrim, kindIdempotency, kindReceipt, kindParked, kindStore, kindOpen, kindEpoch,
	} {
		if !strings.Contains(got, "\n"+kind+" ") && !strings.HasPrefix(got, kind+" ") {
			t.Errorf("no golden row of kind %s", kind)
		}
	}
}

func TestCheckFindsAndRepairs(t *testing.T) {
	s := goldenStore(t)
	before := dump(t, s)
	wantProblems := func(what string, check func(context.Context) (Report, error), want int) Report {
		t.Helper()
		report, err := check(t.Context())
		if err != nil || report.Count != want || len(report.Problems) != want {
			t.Fatalf("%s: error %v, %d problems, want %d: %v", what, err, report.Count, want, report.Problems)
		}
		return report
	}
	if report := wantProblems("at first", s.Check, 0); report.Records != 3 || report.Rows == 0 {
		t.Fatalf("%d records, %d rows; want 3 and some", report.Records, report.Rows)
	}

	// Every derived row is deleted once, and one beside it is made that nothing calls for.
	type row struct{ key, value []byte }
	var derived []row
	for _, kind := range []string{kindIndex, kindForeign, kindPinned, kindTimer, kindRunTask} {
		for i := range s.shards {
			err := scan(s.db, appendPrefix(nil, runtime.Shard(i), kind), func(key, value []byte) error {
				derived = append(derived, row{bytes.Clone(key), bytes.Clone(value)})
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(derived) != 17 {
		t.Fatalf("%d derived rows, want 3 of the index, 3 of foreign IDs, 1 pinned, 6 timers, 4 of a run's tasks", len(derived))
	}
	b := s.db.NewBatch()
	for _, r := range derived {
		if err := b.Delete(r.key, nil); err != nil {
			t.Fatal(err)
		}
		stray := bytes.Clone(r.key)
		stray[len(stray)-1] ^= 0x55
		if err := b.Set(stray, r.value, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.commitDurably(b); err != nil {
		t.Fatal(err)
	}
	wantProblems("damaged", s.Check, 2*len(derived))
	for _, p := range wantProblems("repair", s.Repair, 2*len(derived)).Problems {
		if !p.Repaired {
			t.Errorf("not repaired: %v", p)
		}
	}
	wantProblems("repaired", s.Check, 0)
	if after := dump(t, s); after != before {
		t.Fatalf("after the repair the store holds\n%s\nand before the damage\n%s", after, before)
	}
}

func TestCheckReportsWhatItCannotRepair(t *testing.T) {
	s := goldenStore(t)
	var key []byte
	for i := range s.shards {
		err := scan(s.db, appendPrefix(nil, runtime.Shard(i), kindRecord), func(k, _ []byte) error {
			key = bytes.Clone(k)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b := s.db.NewBatch()
	if err := b.Set(key, []byte{0xff}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.commitDurably(b); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		report, err := s.Repair(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p := report.Problems[0]; !strings.Contains(p.String(), hex.EncodeToString(key)) || p.Repaired {
			t.Fatalf("the first problem is %v", p)
		}
	}
}

// damage changes rows of a store and returns what Repair then finds.
func damage(t *testing.T, s *Store, change func(*pebble.Batch) error) []Problem {
	t.Helper()
	b := s.db.NewBatch()
	if err := errors.Join(change(b), s.commitDurably(b)); err != nil {
		t.Fatal(err)
	}
	report, err := s.Repair(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report.Problems
}

// one returns the key of a row of a kind: the first.
func one(t *testing.T, s *Store, kind string) []byte {
	t.Helper()
	var first []byte
	for i := range s.shards {
		if err := s.scan(appendPrefix(nil, runtime.Shard(i), kind), func(key, _ []byte) error {
			if first == nil {
				first = bytes.Clone(key)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if first == nil {
		t.Fatalf("no row of kind %s", kind)
	}
	return first
}

// TestCheckBeside: what cannot be read, is too much or is lost beside the records is found; only what is too much is
// removed.
func TestCheckBeside(t *testing.T) {
	s := goldenStore(t)
	want := func(what string, problems []Problem, repaired bool) {
		t.Helper()
		if len(problems) != 1 || !strings.Contains(problems[0].Text, what) || problems[0].Repaired != repaired {
			t.Fatalf("problems are %v, want one: %q, repaired %v", problems, what, repaired)
		}
	}
	payload := one(t, s, kindPayload)
	stray := bytes.Clone(payload)
	stray[len(stray)-1] = 9
	want("a payload without its pending callback", damage(t, s, func(b *pebble.Batch) error {
		return b.Set(stray, nil, nil)
	}), true)
	if found, err := has(s.db, stray); found || err != nil {
		t.Fatalf("after the repair: found %v, error %v", found, err)
	}
	for _, c := range []struct{ kind, text string }{
		{kindLog, "a log entry that cannot be read"},
		{kindTask, "a task that cannot be read"},
		{kindSchedule, "a schedule that cannot be read"},
	} {
		key := one(t, s, c.kind)
		value, closer, err := s.db.Get(key)
		if err != nil {
			t.Fatal(err)
		}
		value = bytes.Clone(value)
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
		want(c.text, damage(t, s, func(b *pebble.Batch) error { return b.Set(key, []byte{0xff}, nil) }), false)
		if problems := damage(t, s, func(b *pebble.Batch) error { return b.Set(key, value, nil) }); len(problems) > 0 {
			t.Fatalf("as it was: %v", problems)
		}
	}
	var id runtime.RunID
	log := appendLogKey(nil, 9, id, 1, time.Time{})
	want("a log entry without its record", damage(t, s, func(b *pebble.Batch) error { return b.Set(log, nil, nil) }), false)
	if err := s.db.Delete(log, nil); err != nil {
		t.Fatal(err)
	}
	later, _ := parseTaskKey(one(t, s, kindTask))
	later.Version = 9
	key := appendTaskKey(nil, 9, &later)
	want("a task of version 9, and the record has version 2", damage(t, s, func(b *pebble.Batch) error {
		return errors.Join(b.Set(key, nil, nil), b.Set(appendRunTaskKey(nil, key), nil, nil))
	}), false)
	if err := errors.Join(s.db.Delete(key, nil), s.db.Delete(appendRunTaskKey(nil, key), nil)); err != nil {
		t.Fatal(err)
	}
	want("a pending callback without its payload", damage(t, s, func(b *pebble.Batch) error {
		return b.Delete(payload, nil)
	}), false)
}

// TestCheckKnowsRemovedRuns: events outlive a run that was removed, which is no problem, and one that was lost, which is.
func TestCheckKnowsRemovedRuns(t *testing.T) {
	s := goldenStore(t)
	records, err := s.List(t.Context(), &runtime.Query{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		shard := s.shardOf(r.RunID.Slot())
		if _, err := s.Apply(shard, s.shards[shard].epoch, &runtime.Batch{Prev: &r, Remove: true}); err != nil {
			t.Fatal(err)
		}
		report, err := s.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.State == runtime.Completed && report.Count == 2: // and the two before it, which had not ended
		case r.State == runtime.Paused && report.Count == 1:
		case r.State == runtime.Initiated && report.Count == 2:
		default:
			t.Fatalf("without the run that was %s: %v", r.State, report.Problems)
		}
	}
}

func TestInstantsSortAndStayWithin(t *testing.T) {
	times := []time.Time{
		time.Unix(0, math.MinInt64), time.Unix(0, math.MinInt64+1), time.Unix(-1, 0), time.Unix(0, 0), time.Unix(0, 1),
		time.Unix(1<<32, 0), time.Unix(0, math.MaxInt64-1), time.Unix(0, math.MaxInt64),
	}
	for i, at := range times {
		b := appendInstant(nil, at)
		if got := instant(b); !got.Equal(at) {
			t.Errorf("%v becomes %v", at, got)
		}
		if i > 0 && bytes.Compare(appendInstant(nil, times[i-1]), b) >= 0 {
			t.Errorf("%v does not sort after %v", at, times[i-1])
		}
	}
	for far, near := range map[time.Time]time.Time{
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC):    times[0],
		time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC): times[len(times)-1],
	} {
		if got := instant(appendInstant(nil, far)); !got.Equal(near) {
			t.Errorf("%v becomes %v, want %v", far, got, near)
		}
	}
}

func TestSuccessor(t *testing.T) {
	for _, c := range [][2]string{{"a", "b"}, {"a\xff", "b"}, {"a\xff\xff", "b"}, {"\x00\xfe", "\x00\xff"}} {
		if got := appendSuccessor(nil, []byte(c[0])); string(got) != c[1] {
			t.Errorf("successor of %q is %q, want %q", c[0], got, c[1])
		}
	}
}

// FuzzValues: no bytes make a decoder panic, and a record that decodes is written again so that it decodes to the same.
func FuzzValues(f *testing.F) {
	created := time.UnixMilli(1_767_323_045_678).UTC()
	r := runtime.Record{Workflow: "orders", ForeignID: "1", State: 1, Status: "s", Version: 1, CreatedAt: created}
	r.Object = []byte("{}")
	f.Add(append(appendRecordHead(nil, &r), r.Object...))
	r.Pending = []runtime.Pending{{Kind: runtime.PendingTimeout, Name: strings.Repeat("t", 200), Due: created}, {}}
	r.Trace = runtime.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1}
	f.Add(append(appendRecordHead(nil, &r), r.Object...))
	f.Add(appendLog(nil, &runtime.LogEntry{
		Handler: "step/h", Lines: []runtime.LogLine{{Time: created, Level: -4, Text: "t", Handler: "step/i"}, {}},
	}))
	for _, task := range []runtime.Task{
		{Attempt: 1, On: 2, Record: &r},
		{Intent: &runtime.Intent{Workflow: "w", Object: r.Object}},
		{Intent: &runtime.Intent{Kind: runtime.IntentCallback, Workflow: "w", Status: "s", Object: r.Object}},
	} {
		head, object := appendTaskHead(nil, &task)
		f.Add(append(head, object...))
	}
	f.Add(appendSchedule(nil, &runtime.Schedule{ScheduleSpec: runtime.ScheduleSpec{Cron: "@daily"}, LastRun: runtime.RunID{1}}))
	f.Add(append(appendPayloadHead(nil, r.Object), r.Object...))
	event := runtime.NewEvent(1, &runtime.Record{Status: "before", State: runtime.Initiated}, &r)
	f.Add(appendEvent(nil, &event))
	f.Add(appendHistoryHead(nil, &runtime.HistoryEntry{Time: created, Handler: "h", Took: 1}))
	f.Add(appendIdempotency(nil, &runtime.Idempotency{ExpiresAt: created}))
	f.Add(appendForget(nil, "orders", "1"))
	f.Add(appendStoreRow(nil, 1, 16))
	f.Add([]byte{0xf8, 0x07, 0x01, 0x0a, 0x00}) // an unknown field before a known one
	f.Fuzz(func(t *testing.T, value []byte) {
		var n names
		_ = n.decodeHistory(value, &runtime.HistoryEntry{})
		_ = n.decodeEvent(value, &runtime.Event{})
		_ = decodeIdempotency(value, &runtime.Idempotency{})
		_, _, _ = decodeForget(value)
		_, _ = decodePosition(value)
		_, _, _ = decodeStoreRow(value)
		_, _ = decodePayload(value)
		_ = n.decodeLog(value, &runtime.LogEntry{})
		_ = n.decodeSchedule(value, &runtime.Schedule{})
		var task runtime.Task
		if n.decodeTask(value, &task) == nil {
			head, object := appendTaskHead(nil, &task)
			if err := n.decodeTask(append(head, object...), &runtime.Task{}); err != nil {
				t.Fatalf("%x cannot be read again: %v", append(head, object...), err)
			}
		}
		var first, second runtime.Record
		if n.decodeRecord(value, &first) != nil {
			return
		}
		again := append(appendRecordHead(nil, &first), first.Object...)
		if err := n.decodeRecord(again, &second); err != nil {
			t.Fatalf("%x cannot be read again: %v", again, err)
		}
		if third := append(appendRecordHead(nil, &second), second.Object...); !bytes.Equal(third, again) {
			t.Fatalf("%x becomes %x", again, third)
		}
	})
}

// FuzzKeys: no bytes make a parser panic, and what it parses is written back as it was.
func FuzzKeys(f *testing.F) {
	r := runtime.Record{Workflow: "orders", ForeignID: "1", State: 1, Status: "s"}
	f.Add(appendIndexKey(nil, 1, &r))
	f.Add(appendForeignKey(nil, 1, "orders", "1", r.RunID))
	f.Add(appendTimerKey(nil, 1, &runtime.Timer{Due: time.UnixMilli(1), Kind: 3, Name: "k"}))
	f.Add(appendTimerKey(nil, 1, &runtime.Timer{Due: time.UnixMilli(1), Kind: runtime.TimerCallback, Callback: 7}))
	f.Add(appendHistoryKey(nil, 1, r.RunID, 1, 2))
	f.Add(appendLogKey(nil, 1, r.RunID, 1, time.UnixMilli(1)))
	f.Add(appendPayloadKey(nil, 1, r.RunID, 1))
	f.Add(appendTaskKey(nil, 1, &runtime.Task{Due: time.UnixMilli(1), Slot: time.UnixMilli(2), Workflow: "w", Name: "n"}))
	f.Add(appendScheduleKey(nil, 1, "orders", "nightly"))
	f.Add(appendIdempotencyKey(nil, 1, "orders", "1", "k"))
	f.Add(appendPinnedKey(nil, 1, &r))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, key []byte) {
		if len(key) < prefixLen {
			return
		}
		same := func(tail []byte) {
			t.Helper()
			if !bytes.Equal(tail[prefixLen:], key[prefixLen:]) {
				t.Fatalf("%x becomes %x", key, tail)
			}
		}
		if row, ok := parseIndexKey(key); ok {
			k := append(appendIndexRange(nil, 0, string(row.workflow), string(row.status)), row.ready, byte(row.state))
			same(append(k, row.id[:]...))
		}
		if workflow, digest, id, ok := parsePinnedKey(key); ok {
			same(append(appendPinnedRange(nil, 0, string(workflow), digest), id[:]...))
		}
		if workflow, foreignID, id, ok := parseForeignKey(key); ok {
			same(appendForeignKey(nil, 0, string(workflow), string(foreignID), id))
		}
		if timer, ok := parseTimerKey(key); ok {
			same(appendTimerKey(nil, 0, &timer))
		}
		if id, version, line, ok := parseHistoryKey(key); ok {
			same(appendHistoryKey(nil, 0, id, version, line))
		}
		if id, version, at, ok := parseLogKey(key); ok {
			same(appendLogKey(nil, 0, id, version, at))
		}
		if id, callback, ok := parsePayloadKey(key); ok {
			same(appendPayloadKey(nil, 0, id, callback))
		}
		if task, ok := parseTaskKey(key); ok {
			same(appendTaskKey(nil, 0, &task))
			same(appendTaskKeyOf(nil, appendRunTaskKey(nil, key)))
		}
		if workflow, name, ok := parseScheduleKey(key); ok {
			same(appendScheduleKey(nil, 0, string(workflow), string(name)))
		}
		if workflow, foreignID, name, ok := parseIdempotencyKey(key); ok {
			same(appendIdempotencyKey(nil, 0, string(workflow), string(foreignID), string(name)))
		}
	})
}

// TestTransitionWritesFiveRows: the hot path is counted in rows, as each costs about a microsecond.
func TestTransitionWritesFiveRows(t *testing.T) {
	s := goldenStore(t)
	prev := runtime.Record{
		RunID:    runtime.NewRunID(time.UnixMilli(1_767_323_045_678), runtime.SlotOf("orders", "7"), 7),
		Workflow: "orders", ForeignID: "7", State: runtime.Running, Status: "priced", Version: 3, Entry: 3, Attempt: 1,
		Object: []byte("{}"),
	}
	pinned := prev.Clone()
	pinned.Pinned = runtime.Digest{1}
	sh := s.shards[s.shardOf(prev.RunID.Slot())]
	for _, c := range []struct {
		name string
		prev *runtime.Record
		edit func(*runtime.Record)
		want uint32
	}{
		{"a step's transition", &prev, func(r *runtime.Record) { r.Version, r.Status = 4, "charged" }, 5},
		{"a repeat: the index row stays", &prev, func(r *runtime.Record) { r.Version = 4 }, 3},
		{"an attempt: no event either", &prev, func(r *runtime.Record) { r.Attempt = 2 }, 2},
		{"a step of a pinned run: no row more", &pinned, func(r *runtime.Record) { r.Version, r.Status = 4, "charged" }, 5},
		{"a retry later: with a timer", &prev, func(r *runtime.Record) { r.NotBefore = time.UnixMilli(1) }, 5},
		{"a new run: with its foreign ID row", nil, func(*runtime.Record) {}, 5},
		{"a timeout that is set with the version: its timer", &prev, func(r *runtime.Record) {
			r.Version, r.Pending = 4, []runtime.Pending{{Kind: runtime.PendingTimeout, Name: "late", Due: time.UnixMilli(1)}}
		}, 4},
	} {
		next := prev.Clone()
		if c.prev != nil {
			next = c.prev.Clone()
		}
		c.edit(&next)
		b := runtime.Batch{Prev: c.prev, Next: &next, History: []runtime.HistoryEntry{{RunID: next.RunID, Version: next.Version}}}
		if err := s.write(sh, sh.last+1, &b); err != nil {
			t.Fatal(err)
		}
		if got := sh.rows.batch.Count(); got != c.want {
			t.Errorf("%s: %d rows, want %d", c.name, got, c.want)
		}
		sh.rows.batch.Reset()
	}
	next := prev.Clone()
	next.Version, next.Status = 4, "charged"
	b := runtime.Batch{Prev: &prev, Next: &next, History: []runtime.HistoryEntry{{RunID: next.RunID, Version: 4}}}
	if allocs := testing.AllocsPerRun(100, func() {
		if err := s.write(sh, sh.last+1, &b); err != nil {
			t.Fatal(err)
		}
		sh.rows.batch.Reset()
	}); allocs > 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}
