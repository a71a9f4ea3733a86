package runtime

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Run returns a run as it is now, or ErrNotFound.
func (e *Engine) Run(ctx context.Context, id RunID) (Record, error) {
	var rec Record
	s := e.shardOf(id)
	err := e.store.Record(id, &rec)
	if err != nil {
		err = fmt.Errorf("runtime: run %s: %w", id, err)
	}
	return rec, e.afterObserved(ctx, s, err)
}

// Runs returns the runs that a query selects. A page that holds q.Limit runs may be followed by another: ask again with
// q.After set to the last one's ID.
func (e *Engine) Runs(ctx context.Context, q Query) ([]Record, error) {
	records, err := e.store.List(ctx, &q)
	if err != nil {
		err = fmt.Errorf("runtime: list runs: %w", err)
	}
	if derr := e.observedAll(ctx); derr != nil {
		return nil, derr
	}
	return records, err
}

// History returns the lines of a run's history, oldest first: at most limit after the given version and line (zero: from the
// start). It returns ErrNotFound for an unknown run.
func (e *Engine) History(ctx context.Context, id RunID, afterVersion uint64, afterLine uint32, limit int) ([]HistoryEntry, error) {
	entries, err := e.store.History(id, afterVersion, afterLine, limit)
	return entries, e.knownRun(ctx, id, len(entries) > 0, err)
}

// Logs returns what a run's handlers logged, oldest first: at most limit entries after the given version and time (zero: from
// the start). It returns ErrNotFound for an unknown run.
func (e *Engine) Logs(ctx context.Context, id RunID, afterVersion uint64, afterTime time.Time, limit int) ([]LogEntry, error) {
	entries, err := e.store.Logs(id, afterVersion, afterTime, limit)
	return entries, e.knownRun(ctx, id, len(entries) > 0, err)
}

// knownRun ends a question about a run that found something or nothing.
func (e *Engine) knownRun(ctx context.Context, id RunID, found bool, err error) error {
	if err == nil && !found {
		var rec Record
		err = e.store.Record(id, &rec)
	}
	if err != nil {
		err = fmt.Errorf("runtime: run %s: %w", id, err)
	}
	return e.afterObserved(ctx, e.shardOf(id), err)
}

// EventCursor is a position in the event log: one LSN for each shard, as there is no order between shards. The zero cursor is
// the beginning.
type EventCursor struct{ after []LSN }

// AppendText implements encoding.TextAppender: base64 (URL alphabet, no padding) of one uvarint for each shard. It never fails.
func (c *EventCursor) AppendText(dst []byte) ([]byte, error) {
	var raw []byte
	for _, lsn := range c.after {
		raw = binary.AppendUvarint(raw, uint64(lsn))
	}
	return base64.RawURLEncoding.AppendEncode(dst, raw), nil
}

// String returns the cursor as text: opaque to clients, "" for the zero cursor.
func (c *EventCursor) String() string {
	text, _ := c.AppendText(nil)
	return string(text)
}

var errNoCursor = errors.New("is not a cursor of this server; take it from an event, or leave it out to begin with the oldest")

// ParseEventCursor reads what String wrote on an engine with the same number of shards.
func (e *Engine) ParseEventCursor(text string) (EventCursor, error) {
	if text == "" {
		return EventCursor{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return EventCursor{}, fmt.Errorf("runtime: %.80q %w", text, errNoCursor)
	}
	var c EventCursor
	for len(raw) > 0 {
		v, n := binary.Uvarint(raw)
		if n <= 0 {
			return EventCursor{}, fmt.Errorf("runtime: %.80q %w", text, errNoCursor)
		}
		c.after, raw = append(c.after, LSN(v)), raw[n:]
	}
	if len(c.after) != len(e.shards) {
		return EventCursor{}, fmt.Errorf("runtime: %.80q %w", text, errNoCursor)
	}
	return c, nil
}

// LatestEvents returns the cursor behind the newest events.
func (e *Engine) LatestEvents() EventCursor {
	c := EventCursor{after: make([]LSN, len(e.shards))}
	for i, s := range e.shards {
		c.after[i] = e.store.Applied(s.id)
	}
	return c
}

// Events calls yield for each durable event beyond the cursor, in order within each shard and so within each run, and moves
// the cursor past it. When there is no more it returns nil, or, with follow, waits for more until ctx ends. It returns yield's
// error as soon as that is not nil.
func (e *Engine) Events(ctx context.Context, cursor *EventCursor, follow bool, yield func(*Event) error) error {
	if cursor.after == nil {
		cursor.after = make([]LSN, len(e.shards))
	}
	arrived := make(chan struct{}, 1)
	if follow {
		for _, s := range e.shards {
			defer s.unfollow(s.follow(arrived))
		}
	}
	buf := make([]Event, 0, eventPage)
	for {
		for i, s := range e.shards {
			if err := e.shardEvents(ctx, s, &cursor.after[i], buf, yield); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.failed:
			return e.Err()
		}
	}
}

// eventPage is how many events are read from the store at a time.
const eventPage = 256

// shardEvents yields what the shard has after *at until none is left.
func (e *Engine) shardEvents(ctx context.Context, s *shard, at *LSN, buf []Event, yield func(*Event) error) error {
	for e.store.Applied(s.id) > *at {
		events, err := e.store.Events(s.id, *at, eventPage, buf[:0])
		if err != nil {
			return fmt.Errorf("runtime: events: %w", err)
		}
		if len(events) == 0 {
			return nil
		}
		if err := e.durable(ctx, s, events[len(events)-1].LSN); err != nil {
			return err
		}
		e.traceEvents(events)
		events = flatten(new([]Event), events)
		for i := range events {
			*at = events[i].LSN
			if i+1 < len(events) && events[i+1].LSN == *at {
				*at-- // whoever leaves off amid the events of one change gets all of them again
			}
			if err := yield(&events[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
