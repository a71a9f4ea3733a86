package pebblestore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

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
