package runtime

import (
	"context"
	"errors"
	"time"
)

// Streamer takes events out of the outbox.
//
// Publish delivers events, which are in order and of one shard. When it returns n, nil or an error, the first n events are
// delivered durably and the others are not known to be; n < len(events) only with an error. It is called again with what is
// left, so that an event may be delivered more than once, always with the same ID; it MUST keep the order of the events of one
// run also then. With a *RefusedError, events[n] can never be delivered: the caller goes on after it.
//
// It MUST allow calls from many goroutines: those of the relay for one shard do not overlap, those for different shards do.
// It MUST NOT keep or change events after it returned, and MUST return soon after ctx ends.
type Streamer interface {
	Publish(ctx context.Context, events []Event) (n int, err error)
}

// Faulty is what a Streamer may implement besides: Fault returns why nothing can be delivered at present, as far as it knows without
// asking, or nil. It is asked while events wait for a Publish that does not return. It may be called from many goroutines.
type Faulty interface {
	Fault() error
}

// RefusedError says that an event can never be delivered, as one that is too large: to try again is of no use.
type RefusedError struct {
	Cause error
}

// Error implements error.
func (e *RefusedError) Error() string { return "the event is refused: " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *RefusedError) Unwrap() error { return e.Cause }

// RelayOptions bounds what the relay hands to a Streamer at a time.
type RelayOptions struct {
	// Backoff is the longest pause between attempts to publish while the streamer fails; the first is a hundredth of it.
	// Defaults to 10 seconds.
	Backoff time.Duration
	// Batch is how many events one Publish holds at most. Defaults to 2,048.
	Batch int
	// BatchBytes is about how many bytes the events of one Publish hold at most. Defaults to 1 MiB.
	BatchBytes int
	// LagAlert is how long the oldest event may wait for the streamer before that is told (Stats, and a warning). Negative: for
	// ever. Defaults to 1 minute.
	LagAlert time.Duration
	// Linger is how long the relay waits after the first event of a batch for more to come. Defaults to 2 milliseconds.
	Linger time.Duration
	// Retention is how long events stay in the log after they were published. Negative: for ever. Defaults to 7 days.
	Retention time.Duration
}

func (o *RelayOptions) ensureDefaults() {
	if o.Backoff == 0 {
		o.Backoff = 10 * time.Second
	}
	if o.Batch == 0 {
		o.Batch = 2048
	}
	if o.BatchBytes == 0 {
		o.BatchBytes = 1 << 20
	}
	if o.LagAlert == 0 {
		o.LagAlert = time.Minute
	}
	if o.Linger == 0 {
		o.Linger = 2 * time.Millisecond
	}
	if o.Retention == 0 {
		o.Retention = 7 * 24 * time.Hour
	}
}

func (o *RelayOptions) validate() error {
	if o.Backoff < 0 || o.Batch < 0 || o.BatchBytes < 0 || o.Linger < 0 {
		return errors.New("runtime: options: Relay's Backoff, Batch, BatchBytes and Linger must not be negative")
	}
	return nil
}
