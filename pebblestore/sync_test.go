package pebblestore_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/wfrt/wfrt/runtime"
)

// failure makes operations on the log fail once it is set.
type failure struct {
	mu    sync.Mutex
	cause error
	kinds []errorfs.OpKind
}

func (f *failure) MaybeError(op errorfs.Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, kind := range f.kinds {
		if op.Kind == kind && strings.HasSuffix(op.Path, ".log") {
			return f.cause
		}
	}
	return nil
}

func (f *failure) String() string { return "failure" }

func (f *failure) set(kinds ...errorfs.OpKind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kinds = kinds
}

// TestFailedSync: the first failed sync, or write of the log, acknowledges nothing, ends the store, and is never retried.
func TestFailedSync(t *testing.T) {
	for name, kinds := range map[string][]errorfs.OpKind{
		"sync":  {errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo},
		"write": {errorfs.OpFileWrite},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			f := &failure{cause: errors.New("the disk is gone")}
			s := open(t, crashOptions(errorfs.Wrap(mem, f)))
			l := newLives(t, s, 7)
			for range 50 {
				l.live()
			}
			for shard := range runtime.Shard(crashShards) {
				if err := s.WaitDurable(t.Context(), shard, s.Applied(shard)); err != nil {
					t.Fatal(err)
				}
			}
			before := crash{where: name}
			for shard := range before.durable {
				before.durable[shard] = position(s.Durable(runtime.Shard(shard)))
			}

			f.set(kinds...)
			wantFailure := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, runtime.ErrStoreFailed) {
					t.Fatalf("%s: error is %v, want %v", what, err, runtime.ErrStoreFailed)
				}
			}
			// The batch may or may not be refused already, as a sync that nobody asked for may have come first.
			if err := l.step(1); err != nil {
				wantFailure("apply", err)
			}
			err := s.WaitDurable(t.Context(), 1, s.Applied(1))
			wantFailure("wait", err)
			if !errors.Is(err, f.cause) {
				t.Fatalf("error %v does not wrap its cause", err)
			}
			f.set() // the disk is back, and nothing is taken back
			wantFailure("wait again", s.WaitDurable(t.Context(), 1, 1))
			wantFailure("wait for another shard", s.WaitDurable(t.Context(), 0, 1))
			_, err = s.Apply(2, l.epochs[2], &runtime.Batch{})
			wantFailure("apply after", err)
			wantFailure("cursor after", s.SetCursor(0, "relay", 0))
			_, err = s.OpenShard(t.Context(), 0)
			wantFailure("open shard after", err)
			for shard, durable := range before.durable {
				if got := position(s.Durable(runtime.Shard(shard))); got != durable {
					t.Fatalf("shard %d is durable up to %d, was %d before the failure", shard, got, durable)
				}
			}
			wantFailure("close", s.Close())

			before.fs = mem.CrashClone(vfs.CrashCloneCfg{})
			l.check(before)
		})
	}
}

// syncs hears of every sync of the log.
type syncs chan struct{}

func (s syncs) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		if !strings.HasSuffix(op.Path, ".log") {
			return nil
		}
		select {
		case s <- struct{}{}:
		default:
		}
	default:
	}
	return nil
}

func (s syncs) String() string { return "syncs" }

// TestNobodyWaits: what nobody waits for becomes durable too, and soon.
func TestNobodyWaits(t *testing.T) {
	synced := make(syncs, 1)
	s := open(t, crashOptions(errorfs.Wrap(vfs.NewMem(), synced)))
	l := newLives(t, s, 3)
	for drained := false; !drained; {
		select {
		case <-synced:
		default:
			drained = true
		}
	}
	if err := l.step(0); err != nil {
		t.Fatal(err)
	}
	<-synced
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if position(s.Durable(0)) != 1 {
		t.Fatalf("durable up to %d after Close, want 1", position(s.Durable(0)))
	}
}

// TestClosedStore: nobody is left waiting by Close, and nothing is written after it.
func TestClosedStore(t *testing.T) {
	s := open(t, crashOptions(vfs.NewMem()))
	l := newLives(t, s, 4)
	waited := make(chan error)
	go func() { waited <- s.WaitDurable(t.Context(), 0, first+1000) }()
	if err := l.step(0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err == nil || errors.Is(err, runtime.ErrStoreFailed) {
		t.Fatalf("who waited for what never came got %v", err)
	}
	if _, err := s.Apply(0, l.epochs[0], &runtime.Batch{}); err == nil {
		t.Fatal("a closed store took a batch")
	}
	if err := s.SetCursor(0, "relay", 0); err == nil {
		t.Fatal("a closed store took a cursor")
	}
}
