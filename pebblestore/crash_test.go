package pebblestore_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/wfrt/wfrt/internal/race"
	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
)

const crashShards = 4

// crashOptions make a store that flushes, compacts and changes its log many times within a small test.
func crashOptions(fs vfs.FS) pebblestore.Options {
	return pebblestore.Options{Dir: "data", FS: fs, Shards: crashShards, MemTableBytes: 32 << 10}
}

// A crash is what a loss of power at one moment may leave, and what had been acknowledged by then.
type crash struct {
	fs      vfs.FS
	where   string
	durable [crashShards]runtime.LSN
}

// cloneFS is a MemFS that can be cloned while it is used. MemFS takes its clone lock twice in these operations, and a clone
// that asks for the lock in between would wait for ever, and the operation with it.
type cloneFS struct {
	*vfs.MemFS
	mu *sync.Mutex // held by these operations and by whoever clones
}

func (f cloneFS) Link(oldname, newname string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.MemFS.Link(oldname, newname)
}

func (f cloneFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.MemFS.ReuseForWrite(oldname, newname, category)
}

// crashes takes crashes of a store's file system at every sync, just before it takes effect.
type crashes struct {
	mem    cloneFS
	random *rand.Rand

	mu    sync.Mutex
	store *pebblestore.Store
	taken []crash
}

func (c *crashes) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpRename:
		c.take(fmt.Sprintf("%v of %s", op.Kind, op.Path))
	default:
	}
	return nil
}

func (c *crashes) String() string { return "crashes" }

// take notes what is acknowledged, and only then what is on disk.
func (c *crashes) take(where string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store == nil {
		return
	}
	percent := []int{0, 0, 30, 70, 100}[c.random.IntN(5)]
	k := crash{where: fmt.Sprintf("%s, %d %% of the unsynced", where, percent)}
	for i := range k.durable {
		k.durable[i] = position(c.store.Durable(runtime.Shard(i)))
	}
	c.mem.mu.Lock()
	k.fs = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.random})
	c.mem.mu.Unlock()
	c.taken = append(c.taken, k)
}

// TestCrash cuts the power before every sync, losing some or all of what was not synced: every acknowledged batch is
// there, the batches of a shard are a prefix of those applied, and record, task, event and index agree. The short form has fewer
// batches, and so fewer crashes; the race detector has it too, since Pebble then notes a stack for each table that it looks into,
// which makes a check thirty times as long.
func TestCrash(t *testing.T) {
	seeds, batches := uint64(4), 600
	if testing.Short() || race.Detector {
		seeds, batches = 2, 120
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			mem := cloneFS{vfs.NewCrashableMem(), new(sync.Mutex)}
			c := &crashes{mem: mem, random: rand.New(rand.NewPCG(seed, 2))}
			s := open(t, crashOptions(errorfs.Wrap(mem, c)))
			l := newLives(t, s, seed)
			c.mu.Lock()
			c.store = s
			c.mu.Unlock()
			for i := range batches {
				l.live()
				if i%10 == 0 {
					c.take("between two batches")
				}
			}
			if err := s.WaitDurable(t.Context(), 0, s.Applied(0)); err != nil {
				t.Fatal(err)
			}
			c.take("at the end")
			c.mu.Lock()
			c.store = nil
			taken := c.taken
			c.mu.Unlock()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, k := range taken {
				l.check(k)
			}
			t.Logf("%d crashes", len(taken))
			if len(taken) < batches/6 {
				t.Fatalf("only %d crashes", len(taken))
			}
		})
	}
}

// Whenever the power is cut while a schedule moves from shard to shard, it is found once, with the last move that is acknowledged or a
// later one, and as paused as it ever was.
func TestCrashWhileAScheduleMoves(t *testing.T) {
	mem := cloneFS{vfs.NewCrashableMem(), new(sync.Mutex)}
	c := &crashes{mem: mem, random: rand.New(rand.NewPCG(1, 2))}
	s := open(t, crashOptions(errorfs.Wrap(mem, c)))
	var epochs [crashShards]runtime.Epoch
	for i := range epochs {
		epoch, err := s.OpenShard(t.Context(), runtime.Shard(i))
		if err != nil {
			t.Fatal(err)
		}
		epochs[i] = epoch
	}
	move := func(prev *runtime.Schedule, move int) *runtime.Schedule {
		next := &runtime.Schedule{
			ScheduleSpec: runtime.ScheduleSpec{Workflow: "report", Name: "nightly", ForeignID: strconv.Itoa(move)}, Paused: true,
		}
		shard := runtime.ShardOf(runtime.SlotOf("report", next.ForeignID), crashShards)
		lsn, err := s.Apply(shard, epochs[shard], &runtime.Batch{PrevSchedule: prev, NextSchedule: next})
		if err == nil && move%5 == 0 {
			err = s.WaitDurable(t.Context(), shard, lsn)
		}
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	sched := move(nil, 0)
	c.mu.Lock()
	c.store = s
	c.mu.Unlock()
	acknowledged, least := 0, []int(nil) // least: by crash, the last move that was acknowledged before it was taken
	for i := 1; i <= 40; i++ {
		before := acknowledged
		if sched = move(sched, i); i%5 == 0 {
			acknowledged = i
		}
		c.take("between two moves")
		c.mu.Lock()
		for len(least) < len(c.taken) {
			least = append(least, before)
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	c.store, c.taken = nil, c.taken[:len(least)]
	c.mu.Unlock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, k := range c.taken {
		s := open(t, crashOptions(k.fs))
		all, err := s.Schedules()
		if err != nil || len(all) != 1 || !all[0].Paused {
			t.Fatalf("%s: schedules %+v, %v", k.where, all, err)
		}
		if n, err := strconv.Atoi(all[0].ForeignID); err != nil || n < least[i] {
			t.Errorf("%s: move %d is the last, want at least %d", k.where, n, least[i])
		}
		if report, err := s.Check(t.Context()); err != nil || report.Count > 0 {
			t.Errorf("%s: %+v, %v", k.where, report, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
