package pebblestore_test

import (
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
)

// reads counts the reads of files.
type reads struct{ atomic.Int64 }

func (r *reads) String() string { return "reads" }

func (r *reads) MaybeError(op errorfs.Op) error {
	if op.Kind == errorfs.OpFileReadAt {
		r.Add(1)
	}
	return nil
}

// TestWritesLeaveTheCacheItsRoom holds that a store whose tables of recent writes are full still caches what it read.
func TestWritesLeaveTheCacheItsRoom(t *testing.T) {
	var files reads
	s := open(t, pebblestore.Options{
		Dir: "data", FS: errorfs.Wrap(vfs.NewMem(), &files), Shards: 1, CacheBytes: 256 << 10, MemTableBytes: 256 << 10,
	})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	epoch, err := s.OpenShard(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	object := make([]byte, 1000)
	random := rand.NewChaCha8([32]byte{}) // compression must not make it small
	var early []runtime.RunID
	start := time.UnixMilli(1_760_000_000_000)
	for i := range 3000 {
		foreignID := strconv.Itoa(i)
		_, _ = random.Read(object)
		r := runtime.Record{
			RunID: runtime.NewRunID(start, runtime.SlotOf("orders", foreignID), uint64(i)), Workflow: "orders", ForeignID: foreignID,
			State: runtime.Running, Status: "waiting", Version: 1, Entry: 1, CreatedAt: start, UpdatedAt: start, Object: object,
		}
		if _, err := s.Apply(0, epoch, &runtime.Batch{Next: &r}); err != nil {
			t.Fatal(err)
		}
		if i < 10 {
			early = append(early, r.RunID)
		}
	}
	before := files.Load()
	const rounds = 2000
	var r runtime.Record
	for range rounds {
		for _, id := range early {
			if err := s.Record(id, &r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := files.Load() - before; n > rounds*int64(len(early)) { // those of compactions among them; without a cache it is several a record
		t.Errorf("%d reads of files for %d records read %d times each", n, len(early), rounds)
	}
}
