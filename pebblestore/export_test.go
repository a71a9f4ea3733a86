package pebblestore

import (
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// PebbleOptions returns how a store with default options tunes Pebble.
func PebbleOptions() *pebble.Options {
	var opened atomic.Bool
	opened.Store(true)
	logger := &pebbleLogger{slog.New(slog.DiscardHandler), func(err error) { panic(err) }}
	return Options{}.withDefaults().pebbleOptions(nil, logger, &opened)
}
