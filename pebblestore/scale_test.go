package pebblestore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
)

// parked is a store in dir with n runs that wait for a timeout in an hour, and their timers.
type parked struct {
	store  *pebblestore.Store
	epochs []runtime.Epoch
	due    time.Time
}

func park(b *testing.B, dir string, n, shards int) *parked {
	b.Helper()
	p := &parked{store: open(b, pebblestore.Options{Dir: dir, Shards: shards})}
	p.own(b)
	start := time.UnixMilli(1_760_000_000_000).UTC()
	p.due = start.Add(time.Hour)
	for i := range n {
		foreignID := strconv.Itoa(i)
		id := runtime.NewRunID(start, runtime.SlotOf("orders", foreignID), uint64(i))
		r := runtime.Record{
			RunID: id, Workflow: "orders", ForeignID: foreignID, State: runtime.Running, Status: "waiting", Version: 1, Entry: 1,
			Parked: true, CreatedAt: start, UpdatedAt: start, Object: benchObject,
			Pending: []runtime.Pending{{Kind: runtime.PendingTimeout, Name: "late", Due: p.due, Attempt: 1}},
		}
		shard := runtime.ShardOf(id.Slot(), shards)
		if _, err := p.store.Apply(shard, p.epochs[shard], &runtime.Batch{Next: &r}); err != nil {
			b.Fatal(err)
		}
	}
	for i := range p.epochs {
		if err := p.store.WaitDurable(b.Context(), runtime.Shard(i), p.store.Applied(runtime.Shard(i))); err != nil {
			b.Fatal(err)
		}
	}
	return p
}

func (p *parked) own(b *testing.B) {
	b.Helper()
	p.epochs = p.epochs[:0]
	for i := range p.store.Shards() {
		epoch, err := p.store.OpenShard(b.Context(), runtime.Shard(i))
		if err != nil {
			b.Fatal(err)
		}
		p.epochs = append(p.epochs, epoch)
	}
}

// look asks each shard for what there is to do, as an engine does at its start: nothing.
func (p *parked) look(b *testing.B) {
	b.Helper()
	for i := range p.store.Shards() {
		queues, err := p.store.Queues(runtime.Shard(i))
		timers, next, derr := p.store.Due(runtime.Shard(i), p.due.Add(-1), 64, nil)
		if err := errors.Join(err, derr); err != nil {
			b.Fatal(err)
		}
		if len(queues)+len(timers) > 0 || !next.Equal(p.due) {
			b.Fatalf("queues %v, timers %v, next %v", queues, timers, next)
		}
	}
}

// BenchmarkOpenParked measures a restart with 200,000 runs that wait for a timer: Open, OpenShard, Queues and Due of all
// shards.
func BenchmarkOpenParked(b *testing.B) {
	for _, stop := range []string{"clean", "killed"} {
		b.Run(stop, func(b *testing.B) {
			dir := b.TempDir()
			p := park(b, dir, 200_000, 16)
			left := filepath.Join(b.TempDir(), "left") // by a process that is killed now
			copyDir(b, left, dir)
			if err := p.store.Close(); err != nil {
				b.Fatal(err)
			}
			for i := 0; b.Loop(); i++ {
				if stop == "killed" {
					b.StopTimer()
					dir = filepath.Join(b.TempDir(), strconv.Itoa(i))
					copyDir(b, dir, left)
					b.StartTimer()
				}
				p.store = open(b, pebblestore.Options{Dir: dir, Shards: 16})
				p.own(b)
				p.look(b)
				b.StopTimer()
				if err := p.store.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func copyDir(b *testing.B, to, from string) {
	b.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkQueuesParked measures Queues of one shard that holds a million runs which wait.
func BenchmarkQueuesParked(b *testing.B) {
	p := park(b, b.TempDir(), 1_000_000, 1)
	for b.Loop() {
		p.look(b)
	}
	b.StopTimer()
	if err := p.store.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFire measures one timer of 100,000 that come due in one shard at once, each read in a page and then taken.
func BenchmarkFire(b *testing.B) {
	const timers = 100_000
	for b.Loop() {
		b.StopTimer()
		p := park(b, b.TempDir(), timers, 1)
		b.StartTimer()
		fired := 0
		var r runtime.Record
		for {
			page, _, err := p.store.Due(0, p.due, 64, nil)
			if err != nil {
				b.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, t := range page {
				if err := p.store.Record(t.RunID, &r); err != nil {
					b.Fatal(err)
				}
				next := r.Clone()
				next.Pending[0].Taken = true
				if _, err := p.store.Apply(0, p.epochs[0], &runtime.Batch{Prev: &r, Next: &next}); err != nil {
					b.Fatal(err)
				}
				fired++
			}
		}
		b.StopTimer()
		if fired != timers {
			b.Fatalf("%d of %d timers fired", fired, timers)
		}
		if err := p.store.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/timers, "ns/timer")
}

// BenchmarkRemove measures one run of 100,000 that are removed one after the other, each read before.
func BenchmarkRemove(b *testing.B) {
	const runs = 100_000
	for b.Loop() {
		b.StopTimer()
		p := park(b, b.TempDir(), runs, 1)
		list, err := p.store.List(b.Context(), &runtime.Query{Limit: runs})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		var r runtime.Record
		for i := range list {
			if err := p.store.Record(list[i].RunID, &r); err != nil {
				b.Fatal(err)
			}
			if _, err := p.store.Apply(0, p.epochs[0], &runtime.Batch{Prev: &r, Remove: true}); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		if err := p.store.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/runs, "ns/run")
}
