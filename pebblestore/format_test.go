package pebblestore

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

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
	waiting.NotBefore, waiting.Task, waiting.Owner, waiting.Arming, waiting.Lines = created.Add(time.Minute), 1, 1, []string{"a", "b"}, 2
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
			Emits: []runtime.Emit{
				{Type: "com.example.paid", ContentType: "application/json", Data: []byte("[1]")}, {Type: "com.example.seen"},
			},
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
	emitted := parked
	emitted.Event.Number, emitted.Event.Emit = 2, runtime.Emit{Type: "com.example.paid", Data: []byte("1")}
	for _, p := range []*runtime.ParkedEvent{&parked, &emitted} {
		if err := s.ParkEvent(shard, p); err != nil {
			t.Fatal(err)
		}
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
