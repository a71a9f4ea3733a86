package pebblestore

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wfrt/wfrt/runtime"
)

// Options say where a store lies and how much memory it may use. The zero value of each field but Dir stands for its
// default.
type Options struct {
	// CacheBytes bounds the cache of blocks read from disk, which fills as it is used. Defaults to 64 MiB.
	CacheBytes int64
	// Dir is the directory of the store, made when it is missing. Required.
	Dir string
	// FS is the file system. Defaults to that of the machine.
	FS vfs.FS
	// Inspect opens a store that exists, to check, mend or copy it, and not to run anything: it stays marked as it was found, so that
	// after an unclean stop the next to open it still learns of that. Defaults to false.
	Inspect bool
	// Logger takes what the store has to say. Defaults to nowhere.
	Logger *slog.Logger
	// MemTableBytes bounds one table of recent writes in memory, of which there are up to four while disks lag. The first ones
	// are small and double up to it. Defaults to 32 MiB.
	MemTableBytes uint64
	// Meter takes measurements. Defaults to NoMeter.
	Meter Meter
	// Shards is the number of shards of a store that is made now, 1 to runtime.Slots. A store that exists keeps the number it
	// was made with. Defaults to 16.
	Shards int
}

func (o Options) withDefaults() Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 32 << 20
	}
	if o.Meter == nil {
		o.Meter = NoMeter{}
	}
	if o.Shards == 0 {
		o.Shards = 16
	}
	return o
}

func (o Options) validate() error {
	var faults []string
	if o.Dir == "" {
		faults = append(faults, "Dir is empty: name the directory of the store")
	}
	if o.Shards < 1 || o.Shards > runtime.Slots {
		faults = append(faults, fmt.Sprintf("Shards is %d: want 1 to %d", o.Shards, runtime.Slots))
	}
	if o.CacheBytes < 0 {
		faults = append(faults, fmt.Sprintf("CacheBytes is %d: want at least 0", o.CacheBytes))
	}
	if len(faults) > 0 {
		return fmt.Errorf("pebblestore: options: %s", strings.Join(faults, "; "))
	}
	return nil
}

// pebbleOptions tunes Pebble for many small batches, each of which rewrites one record and moves one index row.
// Until opened is set it begins no compaction.
func (o Options) pebbleOptions(lock *pebble.Lock, logger *pebbleLogger, opened *atomic.Bool) *pebble.Options {
	p := &pebble.Options{
		// Pebble counts its tables in memory against the cache: without room for the one written and the one flushed, nothing is cached.
		CacheSize: o.CacheBytes + 2*int64(o.MemTableBytes),
		FS:        o.FS,
		Lock:      lock,
		Logger:    logger,

		// Named, not "newest": a newer Pebble must not rewrite a store that an older one is to open again.
		FormatMajorVersion: pebble.FormatTableFormatV6,

		// A large table absorbs the life of a short run: its records overwrite each other and its index rows cancel out before
		// anything is written to a file.
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,

		// Level 0 may grow while a compaction is busy: a stalled write stalls every run.
		L0CompactionThreshold:     4,
		L0CompactionFileThreshold: 500,
		L0StopWritesThreshold:     32,
		LBaseMaxBytes:             128 << 20,

		// One compaction normally, a second when there is a backlog: the steps want the cores too. None at first: Pebble's Open
		// writes the recovered log into files, which makes a compaction due, and would wait seconds for it.
		CompactionConcurrencyRange: func() (lower, upper int) {
			if !opened.Load() {
				return 0, 2
			}
			return 1, 2
		},

		// Hand dirty pages to the disk while writing, so that no sync finds a large backlog of a flush.
		BytesPerSync:    1 << 20,
		WALBytesPerSync: 0, // every sync is ours, and comes within milliseconds

		MaxOpenFiles: 512,
	}
	// A filter saves a block read in each level that does not hold the record asked for. The last level mostly holds it.
	for i := range len(p.Levels) - 1 {
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	p.EventListener = &pebble.EventListener{
		BackgroundError: func(err error) { o.Logger.Error("the store's background work failed and is tried again", "error", err) },
		DiskSlow:        func(info pebble.DiskSlowInfo) { o.Logger.Warn("the disk is slow", "info", info.String()) },
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			o.Logger.Warn("writes wait for the disk", "reason", info.Reason)
		},
	}
	return p
}

// pebbleLogger takes Pebble's messages. Fatalf must not end the process from inside a library: it fails the store, which
// then accepts nothing more, and whoever owns the process ends it.
type pebbleLogger struct {
	logger *slog.Logger
	failed func(error)
}

func (l *pebbleLogger) Infof(format string, args ...any) {
	l.logger.Debug(fmt.Sprintf(format, args...))
}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.logger.Error(fmt.Sprintf(format, args...))
}

func (l *pebbleLogger) Fatalf(format string, args ...any) { l.failed(fmt.Errorf(format, args...)) }
