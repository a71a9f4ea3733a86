package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

func testPositions(s *storeTest) {
	r := s.create("orders", "1", "created")
	shard := s.shard(r)
	base := s.epochs[shard].Base()
	for want := base + 2; want < base+10; want++ {
		next := r.Clone()
		next.Attempt++ // an attempt makes no version and no event, and still has a position
		if lsn := s.apply(shard, &runtime.Batch{Prev: r, Next: &next}); lsn != want || s.Applied(shard) != want {
			s.Fatalf("position %d, applied %d, want %d", lsn, s.Applied(shard), want)
		}
		s.must(s.WaitDurable(s.Context(), shard, want))
		if s.Durable(shard) != want {
			s.Fatalf("durable is %d after waiting for %d", s.Durable(shard), want)
		}
		r = &next
	}
	for i := range runtime.Shard(StoreShards) {
		if i != shard && s.Applied(i) != s.epochs[i].Base() {
			s.Fatalf("shard %d moved to %d", i, s.Applied(i))
		}
	}
	// An empty batch has a position too.
	lsn := s.apply(shard, &runtime.Batch{})
	s.must(s.WaitDurable(s.Context(), shard, lsn))
}

func testWaitEnds(s *storeTest) {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	s.wantError(s.WaitDurable(ctx, 0, s.Applied(0)+1), context.Canceled) // nothing was applied: it can only wait

	// Who waits for a position to come is woken when it came.
	done := make(chan error, 1)
	r := s.newRun("orders", "1", "created")
	come := s.Applied(s.shard(r)) + 1
	go func() { done <- s.WaitDurable(s.Context(), s.shard(r), come) }()
	s.apply(s.shard(r), &runtime.Batch{Next: r})
	s.must(<-done)
}

func testEpochs(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	shard := s.shard(r)
	old := s.epochs[shard]
	epoch, err := s.OpenShard(s.Context(), shard)
	s.must(err)
	if epoch <= old {
		s.Fatalf("epoch %d after %d", epoch, old)
	}
	for _, e := range []runtime.Epoch{0, old, epoch + 1} {
		_, err := s.Apply(shard, e, &runtime.Batch{Next: r})
		s.wantError(err, runtime.ErrFenced)
	}
	s.wantError(s.Record(r.RunID, &runtime.Record{}), runtime.ErrNotFound)
	lsn, err := s.Apply(shard, epoch, &runtime.Batch{Next: r})
	s.must(err)
	if lsn != epoch.Base()+1 {
		s.Fatalf("position %d after refused batches, want the first of the epoch, %d", lsn, epoch.Base()+1)
	}
}

func testWrongShard(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	other := (s.shard(r) + 1) % StoreShards
	if _, err := s.Apply(other, s.epochs[other], &runtime.Batch{Next: r}); err == nil {
		s.Fatal("a run was written to a shard where it is not looked for")
	}
	moved := s.newRun("orders", "1", "created")
	moved.ForeignID = "2"
	if _, err := s.Apply(s.shard(moved), s.epochs[s.shard(moved)], &runtime.Batch{Next: moved}); err == nil {
		s.Fatal("a run was written whose ID does not carry the slot of its foreign ID")
	}
	if _, err := s.Queues(StoreShards); err == nil {
		s.Fatal("a shard was read that does not exist")
	}
	for what, b := range map[string]*runtime.Batch{
		"a line of history": {History: entryOf(r)},
		"a log entry":       {Log: &runtime.LogEntry{RunID: r.RunID, Version: 1, Time: s.now}},
		"a task":            {AddTasks: []runtime.Task{{Due: s.now, Kind: runtime.TaskErase, RunID: r.RunID, Version: 1}}},
		"an idempotency key": {Remember: &runtime.Idempotency{
			Workflow: "orders", ForeignID: "1", Key: "k", RunID: r.RunID, ExpiresAt: s.now,
		}},
		"a schedule": {NextSchedule: &runtime.Schedule{
			ScheduleSpec: runtime.ScheduleSpec{Workflow: "orders", Name: "nightly", ForeignID: "1"},
		}},
	} {
		if _, err := s.Apply(other, s.epochs[other], b); err == nil {
			s.Fatalf("%s was written to a shard where it is not looked for", what)
		}
	}
}

func testAtomic(s *storeTest) {
	r := s.newRun("orders", "1", "created")
	key := &runtime.Idempotency{Workflow: "orders", ForeignID: "1", Key: "k", RunID: r.RunID, ExpiresAt: s.now.Add(time.Hour)}
	long := r.Clone()
	long.Status = strings.Repeat("s", 65)
	refused := &runtime.Batch{Next: &long, History: entryOf(r), Remember: key}
	if _, err := s.Apply(s.shard(r), s.epochs[s.shard(r)], refused); err == nil {
		s.Fatal("a status of 65 bytes was written")
	}
	history, err := s.History(r.RunID, 0, 0, 10)
	s.must(err)
	if _, err := s.Remembered("orders", "1", "k"); len(history) > 0 || !errors.Is(err, runtime.ErrNotFound) {
		s.Fatalf("a refused batch left history %v, key error %v", history, err)
	}
	s.apply(s.shard(r), &runtime.Batch{Next: r, History: entryOf(r), Remember: key})
	s.wantRecord(r)
}

func testConcurrent(s *storeTest) {
	const runs, versions = 20, 10
	var records [StoreShards][]*runtime.Record
	for full := 0; full < StoreShards; {
		r := s.newRun("orders", strconv.FormatUint(s.random.Uint64(), 10), "s0")
		shard := s.shard(r)
		if len(records[shard]) == runs {
			continue
		}
		if records[shard] = append(records[shard], r); len(records[shard]) == runs {
			full++
		}
	}
	var all sync.WaitGroup
	errs := make([]error, StoreShards)
	for shard := range runtime.Shard(StoreShards) {
		all.Go(func() {
			for version := range uint64(versions) {
				for i, r := range records[shard] {
					b := runtime.Batch{Next: r, History: entryOf(r)}
					if version > 0 {
						next := r.Clone()
						next.Version, next.State, next.Status = version+1, runtime.Running, fmt.Sprint("s", version)
						b = runtime.Batch{Prev: r, Next: &next, History: entryOf(&next)}
						records[shard][i] = &next
					}
					lsn, err := s.Apply(shard, s.epochs[shard], &b)
					if err == nil && i == 0 {
						err = s.WaitDurable(s.Context(), shard, lsn)
					}
					if errs[shard] = err; err != nil {
						return
					}
				}
			}
		})
	}
	all.Wait()
	s.must(errors.Join(errs...))
	for shard := range runtime.Shard(StoreShards) {
		for _, r := range records[shard] {
			s.wantRecord(r)
		}
		if got := len(s.ready(shard, "orders", fmt.Sprint("s", versions-1))); got != runs {
			s.Fatalf("shard %d: %d ready runs, want %d", shard, got, runs)
		}
		events, err := s.Events(shard, 0, 10_000, nil)
		s.must(err)
		next := map[runtime.RunID]uint64{}
		for _, e := range events {
			if next[e.RunID]++; e.Version != next[e.RunID] {
				s.Fatalf("version %d of run %s comes as number %d", e.Version, e.RunID, next[e.RunID])
			}
		}
		if len(events) != runs*versions {
			s.Fatalf("shard %d: %d events, want %d", shard, len(events), runs*versions)
		}
	}
}
