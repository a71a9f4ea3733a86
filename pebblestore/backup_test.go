package pebblestore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// A store that is opened for inspection says afterwards what it said before, also of an unclean stop; and a copy of a store in
// use is one, whose stop was unclean.
func TestInspectAndCheckpoint(t *testing.T) {
	dir, backup := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "copy")
	if _, err := Open(Options{Dir: dir, Inspect: true}); !errors.Is(err, ErrNoStore) {
		t.Errorf("a directory that is not there: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("inspecting made a directory: %v", err)
	}
	s, err := Open(Options{Dir: dir, Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	id := runtime.NewRunID(time.UnixMilli(1_767_323_045_678), runtime.SlotOf("orders", "1"), 1)
	shard := runtime.ShardOf(id.Slot(), 4)
	epoch, err := s.OpenShard(t.Context(), shard)
	if err != nil {
		t.Fatal(err)
	}
	rec := runtime.Record{
		RunID: id, Workflow: "orders", ForeignID: "1", State: runtime.Initiated, Status: "s", Version: 1, Object: []byte("1"),
	}
	if _, err := s.Apply(shard, epoch, &runtime.Batch{Next: &rec}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, Inspect: true}); !errors.Is(err, ErrInUse) {
		t.Errorf("a store in use: %v", err)
	}
	if err := s.Checkpoint(backup); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(backup); err == nil {
		t.Error("a copy was written over another")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for dir, unclean := range map[string]bool{dir: false, backup: true} {
		for _, inspect := range []bool{true, true, false} {
			s, err := Open(Options{Dir: dir, Inspect: inspect})
			if err != nil {
				t.Fatal(err)
			}
			report, err := s.Check(t.Context())
			if err != nil || report.Count > 0 || report.Records != 1 || s.Shards() != 4 || s.Unclean() != unclean {
				t.Errorf("%s: %+v, %v, %d shards, unclean %v; want %v", dir, report, err, s.Shards(), s.Unclean(), unclean)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A store that a newer wfrt wrote is refused with both versions named, and not changed.
func TestNewerStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	b := s.db.NewBatch()
	if err := b.Set(storeKey(kindStore), appendStoreRow(nil, formatVersion+1, 16), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.commitDurably(b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, inspect := range []bool{true, false, true} {
		if _, err := Open(Options{Dir: dir, Inspect: inspect}); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "format version 2, and this wfrt knows versions up to 1") {
			t.Errorf("inspect %v: %v", inspect, err)
		}
	}
}
