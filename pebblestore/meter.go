package pebblestore

import "time"

// Meter takes the store's measurements. Its methods are called from many goroutines and must not block.
type Meter interface {
	// Committed is one batch that was written to the log, not yet durably, and made visible, in the time d.
	Committed(d time.Duration)
	// Synced is one sync of the log, which made all batches before it durable, in the time d.
	Synced(d time.Duration)
}

// NoMeter is a Meter that measures nothing.
type NoMeter struct{}

// Committed implements Meter.
func (NoMeter) Committed(time.Duration) {}

// Synced implements Meter.
func (NoMeter) Synced(time.Duration) {}
