package runtime

import (
	"context"
	"errors"
	"fmt"
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
					e.fail(fmt.Errorf("runtime: relay of shard %d: %w", s.id, err))
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
		return err
	}
	if err := s.countOutbox(at); err != nil {
		return err
	}
	arrived := make(chan struct{}, 1)
	defer s.unfollow(s.follow(arrived))
	var page, emitted []Event // as the store has them, and room for them as they are published
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
		upTo := e.store.Durable(s.id)
		if page, upTo, err = s.nextPage(at, upTo, page[:0]); err != nil {
			return err
		}
		e.traceEvents(page)
		if gone, err := s.publish(ctx, flatten(&emitted, page)); !gone || err != nil {
			return err
		}
		at = upTo
		if len(page) > 0 {
			if err := e.store.SetCursor(s.id, relayCursor, at); err != nil {
				return err
			}
		}
		s.outbox.done(at, page)
	}
}

// countOutbox counts what owners before us have left unpublished and parked.
func (s *shard) countOutbox(at LSN) error {
	store := s.engine.store
	left, err := store.CountEvents(s.id, at, s.epoch.Base())
	if err != nil {
		return err
	}
	first, err := store.Events(s.id, at, 1, nil)
	if err != nil {
		return err
	}
	s.outbox.parking.Lock() // an erasing or a redrive may already drop some
	defer s.outbox.parking.Unlock()
	parked := 0
	for _, err := range s.parkedAfter(EventRef{}) {
		if err != nil {
			return err
		}
		parked++
	}
	s.outbox.left(at, left, first, parked)
	return nil
}

// nextPage appends the next events to page and returns the position that is reached with them: upTo when there are no more up to
// there. What is durable is visible, which what is applied may not be yet: the page misses nothing.
func (s *shard) nextPage(at, upTo LSN, page []Event) ([]Event, LSN, error) {
	relay := &s.engine.tuned.Load().Relay
	size := pageSize{events: relay.Batch, bytes: relay.BatchBytes}
	page, reached, known := s.outbox.take(page, at, upTo, &size)
	if known {
		return page, reached, nil
	}
	read, err := s.engine.store.Events(s.id, at, relay.Batch, page)
	if err != nil {
		return page, at, err
	}
	page = read[:0]
	for i := range read {
		if read[i].LSN > upTo {
			return page, upTo, nil
		}
		if !size.fits(page, &read[i]) {
			break
		}
		page = read[:i+1]
	}
	if len(page) > 0 {
		upTo = page[len(page)-1].LSN
	}
	return page, upTo, nil
}

// publish hands a page to the streamer until it has taken or refused all of it, and reports whether it has before ctx ended. While
// the streamer fails, the wait between attempts doubles up to Relay.Backoff. What handlers of runs emitted whose data are erased
// meanwhile is left out.
func (s *shard) publish(ctx context.Context, page []Event) (bool, error) {
	e := s.engine
	wait := e.tuned.Load().Relay.Backoff / 100
	for len(page) > 0 {
		back := s.outbox.leave(page) // before the look at who is erased: an erasing that has begun after it finds them
		kept, err := s.withoutErased(ctx, page)
		if err != nil {
			return false, err
		}
		if page = kept; len(page) == 0 {
			back()
			break
		}
		n, err := e.opt.Streamer.Publish(ctx, page[:min(len(page), e.tuned.Load().Relay.Batch)])
		s.outbox.heard(err)
		page = page[min(max(n, 0), len(page)):]
		if ctx.Err() != nil {
			return len(page) == 0, nil // the streamer may have them still: they do not come back
		}
		back()
		var refused *RefusedError
		switch {
		case err == nil && n > 0:
			continue
		case errors.As(err, &refused) && len(page) > 0:
			if err := s.park(&page[0], err); err != nil {
				return false, err
			}
			page = page[1:]
			continue
		}
		e.relayTrouble(s.id, len(page), err)
		if !e.pause(ctx, wait) {
			return false, nil
		}
		wait = min(2*wait, e.tuned.Load().Relay.Backoff)
	}
	return true, nil
}

// outboxAge returns how long the oldest event has waited for the streamer, and whether that is longer than it may be.
func (e *Engine) outboxAge() (age time.Duration, late bool) {
	for _, s := range e.shards {
		if oldest := s.stats().Oldest; !oldest.IsZero() {
			age = max(age, e.now().Sub(oldest))
		}
	}
	alert := e.tuned.Load().Relay.LagAlert
	return age, alert > 0 && age > alert
}

// outboxFault returns why events wait, the oldest for some time: what the streamer answered last, or what it knows of itself.
func (e *Engine) outboxFault(age time.Duration) string {
	for _, s := range e.shards {
		if fault := s.outbox.why(); fault != "" {
			return fault
		}
	}
	if faulty, ok := e.opt.Streamer.(Faulty); ok && age > faultAfter {
		if err := faulty.Fault(); err != nil {
			return err.Error()
		}
	}
	return ""
}

// faultAfter is how long an event has waited when the streamer is asked what is wrong: one broker of many may be away for good.
const faultAfter = 2 * time.Second

// relayTrouble warns that events could not be published: once for all shards, and again when the reason changes or a minute has passed.
func (e *Engine) relayTrouble(shard Shard, events int, err error) {
	text, now := fmt.Sprint(err), e.now()
	e.troubleMu.Lock()
	quiet := text == e.trouble && now.Sub(e.troubleAt) < time.Minute
	if !quiet {
		e.trouble, e.troubleAt = text, now
	}
	e.troubleMu.Unlock()
	if !quiet {
		e.opt.Logger.Warn("events could not be published; they stay in the outbox", "shard", shard, "events", events, "error", err)
	}
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
// made, and go with one range delete. So none goes before its time, and one whose time has passed stays while an older one is kept.
func (s *shard) trimEvents(now time.Time) error {
	store := s.engine.store
	published := store.Durable(s.id)
	if s.engine.opt.Streamer != nil { // as the store has it: at a start the relay has not said anything yet
		var err error
		if published, err = store.Cursor(s.id, relayCursor); err != nil {
			return err
		}
	}
	var last LSN
	page := make([]Event, 0, eventPage)
	for goes := true; goes; {
		var err error
		if page, err = store.Events(s.id, last, eventPage, page[:0]); err != nil {
			return err
		}
		goes = len(page) > 0
		for i := range page {
			if goes = page[i].LSN <= published && s.engine.expired(&page[i], now); !goes {
				break
			}
			last = page[i].LSN
		}
	}
	if last == 0 {
		return nil
	}
	return store.TrimEvents(s.id, last)
}
