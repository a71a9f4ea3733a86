package pebblestore_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
)

// transitions are the batches of one shard in a ring: each run goes from status to status, a new run comes for each that
// ended. A batch is a step's transition: record, event, history, an index row that goes and one that comes.
type transitions struct {
	shard   runtime.Shard
	random  uint64
	runs    []runtime.Record // present versions
	next    runtime.Record
	entry   [1]runtime.HistoryEntry
	batch   runtime.Batch
	at      int
	foreign string
}

func newTransitions(shard runtime.Shard, shards int) *transitions {
	t := &transitions{shard: shard, random: uint64(shard) << 40}
	for i := 0; t.foreign == ""; i++ {
		if f := strconv.Itoa(i); runtime.ShardOf(runtime.SlotOf("orders", f), shards) == shard {
			t.foreign = f
		}
	}
	t.runs = make([]runtime.Record, 64)
	return t
}

var benchObject = bytes.Repeat([]byte("x"), 180) // with the other fields: a record of about 300 bytes

// step returns the next batch.
func (t *transitions) step() *runtime.Batch {
	const steps = 5
	r := &t.runs[t.at%len(t.runs)]
	t.at++
	t.batch = runtime.Batch{Next: &t.next, History: t.entry[:]}
	if r.Version%(steps+1) == 0 {
		t.random++
		now := time.UnixMilli(1_760_000_000_000 + int64(t.random&0xffffffff))
		t.next = runtime.Record{
			RunID:    runtime.NewRunID(now, runtime.SlotOf("orders", t.foreign), t.random),
			Workflow: "orders", ForeignID: t.foreign, State: runtime.Initiated, Status: "received",
			Version: 1, Entry: 1, Attempt: 1, CreatedAt: now, UpdatedAt: now, Object: benchObject, Digest: runtime.Digest{1},
		}
	} else {
		t.batch.Prev = r
		t.next = *r
		t.next.Version++
		t.next.Entry++
		t.next.State = runtime.Running
		t.next.Status = [steps]string{"validated", "priced", "charged", "packed", "shipped"}[r.Version%(steps+1)-1]
		if t.next.Version == steps+1 {
			t.next.State = runtime.Completed
		}
	}
	t.entry[0] = runtime.HistoryEntry{
		RunID: t.next.RunID, Version: t.next.Version, Time: t.next.UpdatedAt, Cause: runtime.CauseStep, Handler: "charge",
		Attempt: 1, Digest: t.next.Digest, Took: 40 * time.Microsecond, State: t.next.State, Status: t.next.Status,
	}
	return &t.batch
}

// done makes the batch's outcome the run's present version.
func (t *transitions) done() { t.runs[(t.at-1)%len(t.runs)] = t.next }

// BenchmarkApply measures batches/s of durable transitions: everything applied is durable when the clock stops. "bare"
// writes as many keys and bytes with Pebble alone, and a sync at the end.
func BenchmarkApply(b *testing.B) {
	const shards = 16
	for _, writers := range []int{1, 2, 4, 16} {
		b.Run(fmt.Sprintf("store/writers=%d", writers), func(b *testing.B) {
			s, epochs := benchStore(b, shards)
			inParallel(b, writers, shards, func(t *transitions) error {
				_, err := s.Apply(t.shard, epochs[t.shard], t.step())
				t.done()
				return err
			})
			for i := range runtime.Shard(shards) {
				if err := s.WaitDurable(b.Context(), i, s.Applied(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("bare/writers=%d", writers), func(b *testing.B) {
			db, err := pebble.Open(b.TempDir(), pebblestore.PebbleOptions())
			if err != nil {
				b.Fatal(err)
			}
			rows := make([]bareRows, shards)
			inParallel(b, writers, shards, func(t *transitions) error {
				r := &rows[t.shard]
				t.step()
				err := r.write(db, t, pebble.NoSync)
				t.done()
				return err
			})
			if err := db.LogData(nil, pebble.Sync); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func benchStore(b *testing.B, shards int) (*pebblestore.Store, []runtime.Epoch) {
	s := open(b, pebblestore.Options{Dir: b.TempDir(), Shards: shards})
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	epochs := make([]runtime.Epoch, shards)
	for i := range epochs {
		epoch, err := s.OpenShard(b.Context(), runtime.Shard(i))
		if err != nil {
			b.Fatal(err)
		}
		epochs[i] = epoch
	}
	return s, epochs
}

// inParallel calls do b.N times in all, from a number of goroutines that share the shards among them.
func inParallel(b *testing.B, writers, shards int, do func(*transitions) error) {
	var work [][]*transitions
	for i := range writers {
		var own []*transitions
		for shard := i; shard < shards; shard += writers {
			own = append(own, newTransitions(runtime.Shard(shard), shards))
		}
		work = append(work, own)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for _, own := range work {
		all.Go(func() {
			const chunk = 16
			for i := 0; left.Add(-chunk) > -chunk; i++ {
				for range chunk {
					if err := do(own[i%len(own)]); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "batches/s")
}

// bareRows writes rows of the lengths that a transition has.
type bareRows struct {
	batch *pebble.Batch
	n     uint64
	key   [64]byte
	value [512]byte
}

func (r *bareRows) write(db *pebble.DB, t *transitions, o *pebble.WriteOptions) error {
	if r.batch == nil {
		r.batch = db.NewBatch()
	}
	r.n++
	set := func(kind string, key, value int) {
		copy(r.key[:], []byte{0, byte(t.shard), kind[0], kind[1]})
		for i := range 8 {
			r.key[4+i] = byte(r.n >> (56 - 8*i))
		}
		if kind == "rc" || kind == "hi" {
			copy(r.key[4:], t.next.RunID[:])
		}
		if kind == "hi" {
			r.key[27] = byte(t.next.Version)
		}
		_ = r.batch.Set(r.key[:key], r.value[:value], nil)
	}
	set("rc", 20, 290)
	if r.n > 1 {
		r.n--
		copy(r.key[:], []byte{0, byte(t.shard), 'i', 'x'})
		for i := range 8 {
			r.key[4+i] = byte(r.n >> (56 - 8*i))
		}
		_ = r.batch.SingleDelete(r.key[:38], nil)
		r.n++
	}
	clear(r.key[12:])
	set("ix", 38, 0)
	set("ev", 12, 65)
	set("hi", 32, 75)
	if err := r.batch.Commit(o); err != nil {
		return err
	}
	r.batch.Reset()
	return nil
}

// BenchmarkWaitDurable measures one durable batch after another from each of many goroutines, as if each waited for its
// answer. "bare" is Pebble's own group commit of as many keys and bytes.
func BenchmarkWaitDurable(b *testing.B) {
	const shards = 16
	for _, waiters := range []int{1, 16, 256, 4096} {
		b.Run(fmt.Sprintf("store/waiters=%d", waiters), func(b *testing.B) {
			s, epochs := benchStore(b, shards)
			var locks [shards]sync.Mutex
			var work [shards]*transitions
			for i := range work {
				work[i] = newTransitions(runtime.Shard(i), shards)
			}
			byWaiters(b, waiters, func(i int) error {
				shard := runtime.Shard(i % shards)
				locks[shard].Lock()
				lsn, err := s.Apply(shard, epochs[shard], work[shard].step())
				work[shard].done()
				locks[shard].Unlock()
				if err != nil {
					return err
				}
				return s.WaitDurable(context.Background(), shard, lsn)
			})
		})
		b.Run(fmt.Sprintf("bare/waiters=%d", waiters), func(b *testing.B) {
			db, err := pebble.Open(b.TempDir(), pebblestore.PebbleOptions())
			if err != nil {
				b.Fatal(err)
			}
			rows := make([]bareRows, waiters)
			work := make([]*transitions, waiters)
			for i := range work {
				rows[i].n = uint64(i) << 40
				work[i] = newTransitions(runtime.Shard(i%shards), shards)
				work[i].random += uint64(i) << 20
			}
			byWaiters(b, waiters, func(i int) error {
				work[i].step()
				err := rows[i].write(db, work[i], pebble.Sync)
				work[i].done()
				return err
			})
			b.StopTimer()
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// byWaiters calls do b.N times in all, from a number of goroutines that it tells apart.
func byWaiters(b *testing.B, waiters int, do func(waiter int) error) {
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for i := range waiters {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "batches/s")
}
