package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wfrt/wfrt/runtime"
)

// formatVersion is the version of docs/formats.md that this code writes.
const formatVersion = 1

// Store is a runtime.Store in a directory. All methods may be called from many goroutines, as the interface allows.
type Store struct {
	db      *pebble.DB
	fs      vfs.FS
	dir     string
	lock    *pebble.Lock
	logger  *slog.Logger
	shards  []*shard
	unclean bool
	inspect bool // Options.Inspect
	meter   Meter
	names   names
	syncer  syncer
	opened  atomic.Bool // from here on compactions may begin

	// jammed is set when Pebble panicked inside a commit: it holds its locks for ever, and closing it would wait for them.
	jammed atomic.Bool
}

var _ runtime.Store = (*Store)(nil)

// shard is one shard's writer and position.
type shard struct {
	number runtime.Shard

	mu    sync.Mutex // held by Apply, OpenShard, Repair, Due and DueTasks
	epoch runtime.Epoch
	last  runtime.LSN // of the last batch
	rows  rowWriter

	applied   atomic.Uint64 // raised before a batch is visible: what a reader may have seen
	committed atomic.Uint64 // raised when a batch is in the log: what a sync covers
	durable   atomic.Uint64
	trimmed   atomic.Uint64 // events up to here are gone
}

// Open opens the store in o.Dir, making it if there is none. The caller must Close it.
//
// It fails, changing nothing, when another process holds the directory, when it holds something else, and when a newer
// version of wfrt wrote it.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Inspect {
		if known, err := pebble.Peek(o.Dir, o.FS); err != nil || !known.Exists {
			return nil, fmt.Errorf("pebblestore: open %s: %w", o.Dir, errors.Join(ErrNoStore, err))
		}
	} else if err := o.FS.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("pebblestore: make the data directory %s: %w", o.Dir, err)
	}
	lock, err := pebble.LockDirectory(o.Dir, o.FS)
	if err != nil {
		return nil, fmt.Errorf("pebblestore: the data directory %s is in use (is another wfrt serving it?): "+
			"stop that one, or choose another directory: %w: %w", o.Dir, ErrInUse, err)
	}
	s := &Store{lock: lock, logger: o.Logger, fs: o.FS, dir: o.Dir, meter: o.Meter, inspect: o.Inspect}
	s.syncer.init(s)
	s.db, err = pebble.Open(o.Dir, o.pebbleOptions(lock, &pebbleLogger{o.Logger, s.syncer.fail}, &s.opened))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pebblestore: open %s: %w", o.Dir, err), lock.Close())
	}
	if err := s.load(o); err != nil {
		return nil, errors.Join(fmt.Errorf("pebblestore: open %s: %w", o.Dir, err), s.db.Close(), lock.Close())
	}
	s.opened.Store(true)
	if _, err := s.db.AsyncFlush(); err != nil { // compactions that are due begin after it
		s.syncer.fail(err)
	}
	s.syncer.start()
	return s, nil
}

// load reads the store's own rows, or writes those of a new store, and marks it as open.
func (s *Store) load(o Options) error {
	count, err := s.shardCount(o)
	if err != nil {
		return err
	}
	if s.unclean, err = has(s.db, storeKey(kindOpen)); err != nil {
		return err
	}
	s.shards = make([]*shard, count)
	for i := range s.shards {
		sh := &shard{number: runtime.Shard(i)}
		if err := s.loadPosition(sh); err != nil {
			return err
		}
		sh.rows.batch = s.db.NewBatch()
		s.shards[i] = sh
	}
	if s.inspect {
		return nil
	}
	b := s.db.NewBatch()
	if err := b.Set(storeKey(kindStore), appendStoreRow(nil, formatVersion, count), nil); err != nil {
		return err
	}
	if err := b.Set(storeKey(kindOpen), nil, nil); err != nil {
		return err
	}
	return s.commitDurably(b)
}

// shardCount returns the number of shards the store was made with, or o.Shards when it is new.
func (s *Store) shardCount(o Options) (int, error) {
	value, closer, err := s.db.Get(storeKey(kindStore))
	if errors.Is(err, pebble.ErrNotFound) {
		empty, err := s.empty()
		if s.inspect && err == nil {
			return 0, ErrNoStore
		}
		if err == nil && !empty {
			err = errors.New("the directory holds a database that is not wfrt's; choose another directory")
		}
		return o.Shards, err
	}
	if err != nil {
		return 0, err
	}
	format, count, err := decodeStoreRow(value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return 0, err
	}
	if format > formatVersion {
		return 0, fmt.Errorf("%w: it has format version %d, and this wfrt knows versions up to %d: "+
			"run the wfrt that wrote it, or a newer one", ErrNewer, format, formatVersion)
	}
	if format == 0 || count < 1 || count > runtime.Slots {
		return 0, fmt.Errorf("%w: format version %d, %d shards", errMalformed, format, count)
	}
	if o.Shards != count {
		o.Logger.Info("the store keeps the number of shards it was made with", "shards", count, "asked", o.Shards)
	}
	return count, nil
}

// loadPosition finds where a shard is: after its last event, its trim mark and its cursors. Its next owner goes on from
// there, or from the base of its epoch.
func (s *Store) loadPosition(sh *shard) error {
	trimmed, err := s.position(appendPrefix(nil, sh.number, kindTrim))
	if err != nil {
		return err
	}
	last := trimmed
	if err := s.scan(appendPrefix(nil, sh.number, kindCursor), func(_, value []byte) error {
		lsn, err := decodePosition(value)
		last = max(last, lsn)
		return err
	}); err != nil {
		return err
	}
	it, err := s.iterate(appendPrefix(nil, sh.number, kindEvent))
	if err != nil {
		return err
	}
	if it.Last() {
		if lsn, ok := parseEventKey(it.Key()); ok {
			last = max(last, uint64(lsn))
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	sh.last = runtime.LSN(last)
	sh.trimmed.Store(trimmed)
	sh.applied.Store(last)
	sh.committed.Store(last)
	sh.durable.Store(last)
	return nil
}

// OpenShard implements runtime.Writer.
func (s *Store) OpenShard(_ context.Context, number runtime.Shard) (runtime.Epoch, error) {
	sh, err := s.shard(number)
	if err != nil {
		return 0, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if err := s.syncer.failure(); err != nil {
		return 0, err
	}
	epoch, err := s.position(epochKey(number))
	if err != nil {
		return 0, fmt.Errorf("pebblestore: open shard %d: %w", number, err)
	}
	epoch++
	b := s.db.NewBatch()
	if err := b.Set(epochKey(number), appendPosition(nil, epoch), nil); err != nil {
		return 0, fmt.Errorf("pebblestore: open shard %d: %w", number, err)
	}
	if err := s.commitDurably(b); err != nil {
		return 0, s.syncer.failed(err)
	}
	// The sync of the epoch covers whatever an earlier owner of this process applied.
	s.syncer.rebase(sh, runtime.Epoch(epoch).Base())
	sh.epoch = runtime.Epoch(epoch)
	return sh.epoch, nil
}

// Shards implements runtime.Store.
func (s *Store) Shards() int { return len(s.shards) }

// Unclean implements runtime.Store.
func (s *Store) Unclean() bool { return s.unclean }

// Close implements runtime.Store. After a failure it frees what it can and returns the failure; the next Open will say
// that the stop was unclean.
func (s *Store) Close() error {
	s.syncer.stop()
	err := s.syncer.failure()
	if err == nil && !s.inspect {
		b := s.db.NewBatch()
		if err = b.Delete(storeKey(kindOpen), nil); err == nil {
			err = s.commitDurably(b)
		}
	}
	s.syncer.close()
	for _, sh := range s.shards {
		// The lock waits for an Apply that is under way; whoever comes after it finds the store closed.
		sh.mu.Lock()
		err = errors.Join(err, sh.rows.batch.Close())
		sh.mu.Unlock()
	}
	if !s.jammed.Load() {
		err = errors.Join(err, s.db.Close())
	}
	return errors.Join(err, s.lock.Close())
}

func (s *Store) shard(number runtime.Shard) (*shard, error) {
	if int(number) >= len(s.shards) {
		return nil, fmt.Errorf("pebblestore: there is no shard %d: the store has %d", number, len(s.shards))
	}
	return s.shards[number], nil
}

func (s *Store) shardOf(slot runtime.Slot) runtime.Shard { return runtime.ShardOf(slot, len(s.shards)) }

// position reads a row that holds one number; zero when there is none.
func (s *Store) position(key []byte) (uint64, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	v, err := decodePosition(value)
	return v, errors.Join(err, closer.Close())
}

func has(r pebble.Reader, key []byte) (bool, error) {
	_, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, closer.Close()
}

func (s *Store) empty() (bool, error) {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	found := it.First()
	return !found, it.Close()
}

// iterate returns an iterator over the rows whose keys have the prefix.
func (s *Store) iterate(prefix []byte) (*pebble.Iterator, error) { return iterate(s.db, prefix) }

func iterate(r pebble.Reader, prefix []byte) (*pebble.Iterator, error) {
	return r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: appendSuccessor(nil, prefix)})
}

// scan calls f with each row whose key has the prefix, in order. f must not keep what it is given.
func (s *Store) scan(prefix []byte, f func(key, value []byte) error) error {
	return scan(s.db, prefix, f)
}

func scan(r pebble.Reader, prefix []byte, f func(key, value []byte) error) error {
	it, err := iterate(r, prefix)
	if err != nil {
		return err
	}
	for valid := it.First(); valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			err = f(it.Key(), value)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}
