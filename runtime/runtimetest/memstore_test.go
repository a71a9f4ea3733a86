package runtimetest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

func TestMemStore(t *testing.T) {
	runtimetest.TestStore(t, func(*testing.T) func() runtime.Store {
		var store *runtimetest.MemStore
		return func() runtime.Store {
			if store == nil {
				store = runtimetest.NewMemStore(runtimetest.StoreShards)
			} else {
				store = store.Reopen()
			}
			return store
		}
	})
}

func TestMemStoreCrashKeepsWhatIsDurable(t *testing.T) {
	s := runtimetest.NewMemStore(1)
	epoch, err := s.OpenShard(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(s *runtimetest.MemStore, epoch runtime.Epoch, foreignID string) runtime.RunID {
		t.Helper()
		id := runtime.NewRunID(time.UnixMilli(1), runtime.SlotOf("w", foreignID), 1)
		r := runtime.Record{RunID: id, Workflow: "w", ForeignID: foreignID, State: runtime.Initiated, Status: "s", Version: 1}
		if _, err := s.Apply(0, epoch, &runtime.Batch{Next: &r}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	kept := apply(s, epoch, "kept")
	s.Hold()
	lost := apply(s, epoch, "lost")
	base := epoch.Base()
	if s.Applied(0) != base+2 || s.Durable(0) != base+1 {
		t.Fatalf("applied %d, durable %d; want 2 and 1 beyond %d", s.Applied(0), s.Durable(0), base)
	}
	waited := make(chan error, 1)
	go func() { waited <- s.WaitDurable(t.Context(), 0, base+2) }()

	crashed := s.Crash()
	if err := <-waited; err == nil {
		t.Fatal("what was lost was acknowledged")
	}
	var r runtime.Record
	if err := crashed.Record(kept, &r); err != nil {
		t.Fatal(err)
	}
	if err := crashed.Record(lost, &r); !errors.Is(err, runtime.ErrNotFound) {
		t.Fatalf("the lost run: %v", err)
	}
	if !crashed.Unclean() || crashed.Applied(0) != base+1 {
		t.Fatalf("unclean %v, applied %d; want true, 1", crashed.Unclean(), crashed.Applied(0))
	}

	// Released, what was held survives.
	epoch, err = crashed.OpenShard(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	crashed.Hold()
	held := apply(crashed, epoch, "held")
	crashed.Release()
	if err := crashed.WaitDurable(t.Context(), 0, crashed.Applied(0)); err != nil {
		t.Fatal(err)
	}
	if err := crashed.Crash().Record(held, &r); err != nil {
		t.Fatal(err)
	}
}

func TestMemStoreFailsOnDemand(t *testing.T) {
	cause := errors.New("the disk is gone")
	s := runtimetest.NewMemStore(1)
	epoch, err := s.OpenShard(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.FailNextApply(cause)
	for range 2 {
		if _, err := s.Apply(0, epoch, &runtime.Batch{}); !errors.Is(err, runtime.ErrStoreFailed) || !errors.Is(err, cause) {
			t.Fatalf("apply: %v", err)
		}
	}
	if err := s.WaitDurable(t.Context(), 0, 0); !errors.Is(err, runtime.ErrStoreFailed) {
		t.Fatalf("wait: %v", err)
	}

	s = runtimetest.NewMemStore(1)
	if epoch, err = s.OpenShard(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s.Hold()
	lsn, err := s.Apply(0, epoch, &runtime.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() { waited <- s.WaitDurable(t.Context(), 0, lsn) }()
	s.Fail(cause)
	if err := <-waited; !errors.Is(err, cause) {
		t.Fatalf("wait: %v", err)
	}
	s.Release()
	if s.Durable(0) != epoch.Base() {
		t.Fatal("a failed store made something durable")
	}
}
