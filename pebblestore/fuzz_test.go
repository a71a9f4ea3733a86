package pebblestore

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

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
	f.Add(appendParkedEventKey(nil, 1, runtime.EventRef{LSN: 7, RunID: runtime.RunID{6: 0x70, 8: 0x80}, Version: 2, Number: 3}))
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
		if ref, ok := parseParkedEventKey(key); ok {
			same(appendParkedEventKey(nil, 0, ref))
		}
	})
}
