package pebblestore

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// counts counts what is measured.
type counts struct{ committed, synced atomic.Int64 }

func (c *counts) Committed(time.Duration) { c.committed.Add(1) }
func (c *counts) Synced(time.Duration)    { c.synced.Add(1) }

func TestCommitsAndSyncsAreMeasured(t *testing.T) {
	meter := new(counts)
	s, err := Open(Options{Dir: t.TempDir(), Meter: meter})
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := s.OpenShard(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	before := meter.synced.Load()
	for range 3 {
		lsn, err := s.Apply(0, epoch, &runtime.Batch{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.WaitDurable(t.Context(), 0, lsn); err != nil {
			t.Fatal(err)
		}
	}
	if committed, synced := meter.committed.Load(), meter.synced.Load()-before; committed != 3 || synced < 3 {
		t.Errorf("%d commits and %d syncs are measured, want 3 and as many or more", committed, synced)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
