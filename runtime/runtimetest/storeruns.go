package runtimetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

func testRecord(s *storeTest) {
	full := s.newRun("orders", "\x00\xff/10248", "charged")
	full.State, full.Version, full.Entry, full.Attempt = runtime.Paused, 1<<60, 1<<59, 1<<31
	full.NotBefore, full.Parked = s.now.Add(1), true
	full.Pause, full.ResumeAt = runtime.PausedByError, s.now.Add(time.Hour+7)
	full.Reason, full.Digest = "the card was refused", runtime.Digest{1, 31: 9}
	full.UpdatedAt, full.Object = s.now.Add(time.Nanosecond), bytes.Repeat([]byte("x"), 100_000)
	full.Task, full.Owner, full.Arming, full.Callbacks, full.Lines = 1<<58, 1<<57, []string{strings.Repeat("a", 64), "b"}, 1<<56, 1<<31
	full.Alone = 9
	full.ExpireAt, full.Pinned, full.Trace = s.now.Add(2*time.Hour), runtime.Digest{7, 31: 8}, someTrace(3)
	full.Pending = []runtime.Pending{
		{Kind: runtime.PendingTimeout, Name: strings.Repeat("t", 64), Due: s.now.Add(time.Hour), Attempt: 1 << 31},
		{Kind: runtime.PendingCallback, Callback: 1 << 55, Due: time.Unix(-1, 1).UTC(), Taken: true, Trace: someTrace(7)},
		{},
	}
	s.apply(s.shard(full), &runtime.Batch{Next: full})
	s.wantRecord(full)

	bare := s.newRun("orders", strings.Repeat("f", 256), strings.Repeat("s", 64))
	bare.Object = []byte{}
	s.apply(s.shard(bare), &runtime.Batch{Next: bare})
	s.wantRecord(bare)

	// A record that is read over another has nothing left of it.
	var r runtime.Record
	s.must(s.Record(full.RunID, &r))
	s.must(s.Record(bare.RunID, &r))
	if !EqualRecords(&r, bare) || r.Object == nil {
		s.Fatalf("record is %+v, want %+v", r, *bare)
	}
}

func testOwnership(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	entry := entryOf(r)
	entry[0].Object = []byte(`{"n":1}`)
	s.apply(s.shard(r), &runtime.Batch{Next: r, History: entry})
	want := r.Clone()
	copy(r.Object, "garbage")
	copy(entry[0].Object, "garbage")
	s.wantRecord(&want)

	for range 2 {
		var got runtime.Record
		s.must(s.Record(want.RunID, &got))
		list, err := s.List(s.Context(), &runtime.Query{Limit: 1})
		s.must(err)
		history, err := s.History(want.RunID, 0, 0, 1)
		s.must(err)
		for _, object := range [][]byte{got.Object, list[0].Object, history[0].Object} {
			if string(object) != `{"n":1}` {
				s.Fatalf("object is %s", object)
			}
			copy(object, "garbage")
		}
	}
}

func testLatest(s *storeTest) {
	older := s.create("orders", "1", "created")
	newer := s.create("orders", "1", "created")
	s.create("orders", "10", "created")
	s.create("order", "s1", "created")
	s.change(older, func(r *runtime.Record) { r.State = runtime.Cancelled }) // the last written
	latest, err := s.Latest("orders", "1")
	s.must(err)
	if latest != newer.RunID {
		s.Fatalf("latest is %s, want %s", latest, newer.RunID)
	}
	_, err = s.Latest("orders", "")
	s.wantError(err, runtime.ErrNotFound)
}

func testHistory(s *storeTest) {
	r := s.create("orders", "1", "created")
	other := s.create("orders", "1", "created")
	want := entryOf(r)
	for version := uint64(2); version <= 4; version++ {
		var lines []runtime.HistoryEntry
		for line := range uint32(3) {
			e := entryOf(r)[0]
			e.Version, e.Line, e.Failed = version, line, line == 2
			e.Attempt, e.Took, e.Fuel, e.Digest = line+1, time.Millisecond, 1<<40+uint64(line), runtime.Digest{7}
			e.Reason, e.Cause, e.Callback, e.By = "timeout", runtime.CauseTimer, uint64(line)<<40, "ada"
			if line == 0 {
				e.Object = []byte("{}")
			}
			lines = append(lines, e)
		}
		before := slices.Clone(lines[1:])
		before[0].Reason, before[1].Object = "to be written over", []byte("[]")
		s.apply(s.shard(r), &runtime.Batch{History: before})
		s.apply(s.shard(r), &runtime.Batch{History: lines})
		want = append(want, lines...)
	}
	var version uint64
	var line uint32
	for i := 0; i < len(want); i += 3 {
		page, err := s.History(r.RunID, version, line, 3)
		s.must(err)
		if len(page) != min(3, len(want)-i) {
			s.Fatalf("page of %d at %d", len(page), i)
		}
		for j, e := range page {
			if got, want := fmt.Sprintf("%#v", e), fmt.Sprintf("%#v", want[i+j]); got != want {
				s.Fatalf("entry is\n%s, want\n%s", got, want)
			}
			version, line = e.Version, e.Line
		}
	}
	page, err := s.History(other.RunID, 0, 0, 100)
	s.must(err)
	if len(page) != 1 {
		s.Fatalf("%d entries of a run with one", len(page))
	}
}

func testIdempotency(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	shard := s.shard(r)
	key := runtime.Idempotency{
		Workflow: "orders", ForeignID: "1", Key: "a key", Request: [32]byte{1, 31: 2}, RunID: r.RunID, Callback: 1 << 40,
		ExpiresAt: s.now.Add(time.Hour),
	}
	s.apply(shard, &runtime.Batch{Next: r, Remember: &key})
	got, err := s.Remembered("orders", "1", "a key")
	s.must(err)
	if got != key {
		s.Fatalf("kept %+v, want %+v", got, key)
	}
	for _, other := range [][3]string{
		{"orders", "1", "a ke"}, {"orders", "2", "a key"}, {"order", "1", "a key"}, {"orders", "1a", " key"},
	} {
		_, err := s.Remembered(other[0], other[1], other[2])
		s.wantError(err, runtime.ErrNotFound)
	}

	// Kept again with another end, it has one timer: the new one.
	key.ExpiresAt = s.now.Add(2 * time.Hour)
	s.apply(shard, &runtime.Batch{Remember: &key})
	want := []runtime.Timer{{Due: key.ExpiresAt, Kind: runtime.TimerForget, RunID: r.RunID, Name: "a key"}}
	timers, _, err := s.Due(shard, key.ExpiresAt, 10, nil)
	s.must(err)
	wantEqual(s, "timers", timers, want)

	// A timer that is not the key's own forgets nothing.
	stale := want[0]
	stale.Due = s.now.Add(time.Hour)
	s.apply(shard, &runtime.Batch{Forget: &stale})
	_, err = s.Remembered("orders", "1", "a key")
	s.must(err)

	s.apply(shard, &runtime.Batch{Forget: &want[0]})
	_, err = s.Remembered("orders", "1", "a key")
	s.wantError(err, runtime.ErrNotFound)
	timers, next, err := s.Due(shard, key.ExpiresAt.Add(time.Hour), 10, nil)
	s.must(err)
	if len(timers) > 0 || !next.IsZero() {
		s.Fatalf("timers %v, next %v", timers, next)
	}
}

func testNames(s *storeTest) {
	// Each pair would be one string if it were joined plainly, and some sort around each other's lengths.
	pairs := [][2]string{
		{"a", "bc"}, {"ab", "c"}, {"a", "b"}, {"a", "b\x00"}, {"a\x00", "b"}, {"\xff", "\xff"}, {"\xff\xff", "\xff"},
	}
	runs := map[[2]string]runtime.RunID{}
	for _, p := range pairs {
		runs[p] = s.create(p[0], "f", p[1]).RunID
	}
	for _, p := range pairs {
		for shard := range runtime.Shard(StoreShards) {
			var want []runtime.RunID
			if runtime.ShardOf(runs[p].Slot(), StoreShards) == shard {
				want = []runtime.RunID{runs[p]}
			}
			wantEqual(s, fmt.Sprintf("ready in %q", p), s.ready(shard, p[0], p[1]), want)
		}
		list, err := s.List(s.Context(), &runtime.Query{Workflows: []string{p[0]}, Statuses: []string{p[1]}, Limit: 10})
		s.must(err)
		wantEqual(s, fmt.Sprintf("list of %q", p), runIDs(list), []runtime.RunID{runs[p]})
	}
	// Foreign IDs hold any bytes.
	first := s.create("f", "1", "s")
	second := s.create("f", "1\x00", "s")
	list, err := s.List(s.Context(), &runtime.Query{ForeignIDs: []string{"1\x00"}, Limit: 10})
	s.must(err)
	wantEqual(s, "foreign IDs", runIDs(list), []runtime.RunID{second.RunID})
	latest, err := s.Latest("f", "1")
	s.must(err)
	wantEqual(s, "latest", []runtime.RunID{latest}, []runtime.RunID{first.RunID})
}
