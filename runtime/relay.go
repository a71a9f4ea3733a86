package runtime

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// relayCursor names the relay's position in the event log.
const relayCursor = "relay"

// trimEvery is how often events past their retention are removed.
const trimEvery = time.Hour

// startRelay starts what drains the outbox: one relay for each shard, so that the order in a shard, and so in a run, is kept.
func (e *Engine) startRelay() {
	if e.opt.Streamer != nil {
		for _, s := range e.shards {
			e.owned.Go(func() {
				if err := s.relay(e.ctx); err != nil && e.ctx.Err() == nil {
					e.fail(err)
				}
			})
		}
	}
	e.owned.Go(func() { e.trim(e.ctx) })
}

// relay publishes the shard's events in batches until ctx ends. Only what is durable leaves; the cursor follows what the
// streamer has taken, so after a crash some events are published again, under the same ID.
func (s *shard) relay(ctx context.Context) error {
	e := s.engine
	at, err := e.store.Cursor(s.id, relayCursor)
	if err != nil {
		return fmt.Errorf("runtime: relay of shard %d: %w", s.id, err)
	}
	s.setPublished(at)
	arrived := make(chan struct{}, 1)
	defer s.unfollow(s.follow(arrived))
	var page, emitted []Event // as the store has them, and as they are published
	for {
		if e.store.Applied(s.id) <= at {
			select {
			case <-arrived:
			case <-ctx.Done():
				return nil
			}
			if !e.pause(ctx, e.tuned.Load().Relay.Linger) {
				return nil
			}
		}
		if err := e.observed(ctx, s); err != nil {
			return err
		}
		// What is durable is visible, which what is applied may not be yet: the page misses nothing up to here.
		upTo := e.store.Durable(s.id)
		batch := e.tuned.Load().Relay.Batch
		if page, err = e.store.Events(s.id, at, batch, slices.Grow(page[:0], batch)); err != nil {
			return fmt.Errorf("runtime: relay of shard %d: %w", s.id, err)
		}
		e.traceEvents(page)
		full := len(page) == batch
		page = slices.DeleteFunc(page, func(ev Event) bool { return ev.LSN > upTo })
		if full && len(page) > 0 {
			upTo = page[len(page)-1].LSN
		}
		emitted = flatten(emitted[:0], page)
		if !s.publish(ctx, emitted, batch) {
			return nil
		}
		at = upTo
		if len(page) > 0 {
			if err := e.store.SetCursor(s.id, relayCursor, at); err != nil {
				return fmt.Errorf("runtime: relay of shard %d: %w", s.id, err)
			}
		}
		s.setPublished(at)
	}
}

// publish hands a page, batch events at a time, to the streamer until it has taken all of it, and reports whether it has before ctx ended. While the
// streamer fails, the wait between attempts doubles up to Relay.Backoff.
func (s *shard) publish(ctx context.Context, page []Event, batch int) bool {
	e := s.engine
	wait := e.tuned.Load().Relay.Backoff / 100
	for len(page) > 0 {
		n, err := e.opt.Streamer.Publish(ctx, page[:min(len(page), batch)])
		page = page[min(max(n, 0), len(page)):]
		if ctx.Err() != nil {
			return len(page) == 0
		}
		if err == nil && n > 0 {
			continue
		}
		e.opt.Logger.Warn("events could not be published; they stay in the outbox", "shard", s.id, "events", len(page),
			"error", err, "again_in", wait)
		if !e.pause(ctx, wait) {
			return false
		}
		wait = min(2*wait, e.tuned.Load().Relay.Backoff)
	}
	return true
}

func (s *shard) setPublished(lsn LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published = lsn
}

// pause waits for d and reports whether ctx still lives.
func (e *Engine) pause(ctx context.Context, d time.Duration) bool {
	passed := make(chan struct{})
	timer := e.opt.Clock.AfterFunc(d, func() { close(passed) })
	defer timer.Stop()
	select {
	case <-passed:
		return true
	case <-ctx.Done():
		return false
	}
}

// trim removes events that are older than their retention and published, until ctx ends.
func (e *Engine) trim(ctx context.Context) {
	for {
		for _, s := range e.shards {
			if err := s.trimEvents(e.now()); err != nil {
				e.fail(fmt.Errorf("runtime: trim the events of shard %d: %w", s.id, err))
				return
			}
		}
		if !e.pause(ctx, trimEvery) {
			return
		}
	}
}

// expired reports whether the event is older than its workflow has events kept.
func (e *Engine) expired(ev *Event, now time.Time) bool {
	retention := e.tuned.Load().Relay.Retention
	if w := e.Catalog().Workflow(ev.Workflow); w != nil && w.EventRetention != 0 {
		retention = w.EventRetention
	}
	return retention >= 0 && ev.Time.Before(now.Add(-retention))
}

// trimEvents removes the published events up to the first that is still to be kept: events lie in the order in which they were
// made, and go with range deletes. So none goes before its time, and one whose time has passed stays while an older one is kept.
func (s *shard) trimEvents(now time.Time) error {
	_, _, published := s.counts()
	var after LSN
	page := make([]Event, 0, eventPage)
	for {
		page, err := s.engine.store.Events(s.id, after, eventPage, page[:0])
		if err != nil {
			return err
		}
		last := after
		for i := range page {
			if page[i].LSN > published || !s.engine.expired(&page[i], now) {
				break
			}
			last = page[i].LSN
		}
		if last > after {
			if err := s.engine.store.TrimEvents(s.id, last); err != nil {
				return err
			}
		}
		if len(page) == 0 || last < page[len(page)-1].LSN {
			return nil
		}
		after = last
	}
}
