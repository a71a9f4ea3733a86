package runtime

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// ParkedEvent is an event that the streamer refused for good: it waits for someone to change what stands in its way.
type ParkedEvent struct {
	Event Event
	Cause string    // in the streamer's words
	At    time.Time // when it was refused last
}

// park sets an event aside, so that those after it can leave.
func (s *shard) park(event *Event, cause error) error {
	e := s.engine
	s.outbox.parking.Lock()
	defer s.outbox.parking.Unlock()
	erased, err := s.erased(event)
	if err != nil {
		return err
	}
	if erased {
		e.opt.Logger.Warn("an event was refused and is dropped: the data of its run are erased", "event", event.ID(), "error", cause)
		return nil
	}
	e.opt.Logger.Error("an event was refused and is parked: see `wfrt outbox parked`", "event", event.ID(), "workflow", event.Workflow,
		"error", cause)
	_, err = e.store.ParkedEvent(s.id, event.Ref()) // after a crash an event may be refused that was parked before it
	before := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := e.store.ParkEvent(s.id, &ParkedEvent{Event: *event, Cause: cause.Error(), At: e.now()}); err != nil {
		return err
	}
	if !before {
		s.outbox.refused(1)
	}
	return nil
}

// erased reports whether the event carries data of a run whose data are erased, or about to be: nobody may find it any more.
func (s *shard) erased(event *Event) (bool, error) {
	if event.Number == 0 {
		return false, nil // the notice that a run changed holds none
	}
	var rec Record
	err := s.engine.store.Record(event.RunID, &rec)
	if errors.Is(err, ErrNotFound) { // its retention has passed
		return false, nil
	}
	return err == nil && (rec.State == RequestedDataDeleted || rec.State == DataDeleted), err
}

// withoutErased removes from events those that handlers of runs emitted whose data are erased, or about to be. When it has, the erasing
// is durable: nothing that a crash brings back is lost.
func (s *shard) withoutErased(ctx context.Context, events []Event) ([]Event, error) {
	upTo, _ := s.outbox.lastErasing()
	var of RunID // the run that was looked at last
	var gone bool
	kept := events[:0]
	for i := range events {
		e := &events[i]
		if e.Number > 0 && e.LSN <= upTo {
			if e.RunID != of {
				var err error
				if gone, err = s.erased(e); err != nil {
					return nil, err
				}
				of = e.RunID
			}
			if gone {
				s.engine.opt.Logger.Info("an event is not published: the data of its run are erased", "event", e.ID())
				continue
			}
		}
		kept = append(kept, *e)
	}
	if len(kept) == len(events) {
		return events, nil
	}
	return kept, s.engine.observed(ctx, s)
}

// dropEmitted removes the parked events that a run's handlers emitted.
func (s *shard) dropEmitted(id RunID) error {
	s.outbox.parking.Lock()
	defer s.outbox.parking.Unlock()
	for ref, err := range s.parkedAfter(EventRef{}) {
		if err != nil {
			return err
		}
		if ref.RunID == id && ref.Number > 0 {
			if err := s.engine.store.UnparkEvent(s.id, ref); err != nil {
				return err
			}
			s.outbox.refused(-1)
		}
	}
	return nil
}

// parkedAfter yields what names the parked events of the shard after one, in order; of the zero EventRef all. It reads few at first: who
// looks for one often finds it among those.
func (s *shard) parkedAfter(after EventRef) iter.Seq2[EventRef, error] {
	return func(yield func(EventRef, error) bool) {
		var page []EventRef
		for limit := 2; ; limit = min(2*limit, 1024) {
			var err error
			if page, err = s.engine.store.ParkedRefs(s.id, after, limit, page[:0]); err != nil {
				yield(EventRef{}, err)
				return
			}
			for _, ref := range page {
				if !yield(ref, nil) {
					return
				}
			}
			if len(page) < limit {
				return
			}
			after = page[limit-1]
		}
	}
}

// parkedPageBytes is about how many bytes of parked events are returned at a time; the last of them may exceed it.
const parkedPageBytes = 4 << 20

// ParkedEvents returns events that the streamer has refused, beginning after one (zero: with the first), and whether there are more after
// them: shard by shard, those of a shard in order; at most limit, which is ≥ 1, and fewer when they are large. The one to begin after need
// not be parked any more.
func (e *Engine) ParkedEvents(ctx context.Context, after EventRef, limit int) (page []ParkedEvent, more bool, err error) {
	if page, more, err = e.parkedPage(after, limit); err != nil {
		return nil, false, fmt.Errorf("runtime: parked events: %w", err)
	}
	return page, more, e.observedAll(ctx)
}

func (e *Engine) parkedPage(after EventRef, limit int) (page []ParkedEvent, more bool, err error) {
	size := 0
	for _, s := range e.shards[e.shardOf(after.RunID).id:] {
		for ref, err := range s.parkedAfter(after) {
			if err != nil {
				return nil, false, err
			}
			if len(page) == limit || size >= parkedPageBytes {
				return page, true, nil
			}
			p, err := e.store.ParkedEvent(s.id, ref)
			if errors.Is(err, ErrNotFound) { // published meanwhile
				continue
			}
			if err != nil {
				return nil, false, err
			}
			size += p.Event.Size()
			page = append(page, p)
		}
		after = EventRef{}
	}
	return page, false, nil
}

// ErrNoStreamer says that events are not published anywhere.
var ErrNoStreamer = errors.New("events are not published: the server has no Kafka")

// RedriveEvent publishes a parked event again and returns it; the ID is that of the event. It returns ErrNotFound, ErrNoStreamer,
// or why the event could not be published; then it stays parked. When ctx ends first its error is returned, and the event may still
// be published. It comes after events of its run that were later than it.
func (e *Engine) RedriveEvent(ctx context.Context, id string) (ParkedEvent, error) {
	if err := e.accepting(); err != nil {
		return ParkedEvent{}, err
	}
	if e.opt.Streamer == nil {
		return ParkedEvent{}, ErrNoStreamer
	}
	ref, err := ParseEventID(id)
	if err != nil { // no event has it
		return ParkedEvent{}, fmt.Errorf("runtime: parked event %s: %w", id, ErrNotFound)
	}
	p, err := e.shardOf(ref.RunID).redrive(ctx, ref)
	if err != nil {
		err = fmt.Errorf("runtime: parked event %s: %w", id, err)
	}
	return p, err
}

// redrive publishes a parked event. What it has begun goes on when ctx ends, as the streamer may have the event already: an erasing of its
// run waits for that. One event at a time, so that those that are given up do not pile up.
func (s *shard) redrive(ctx context.Context, ref EventRef) (ParkedEvent, error) {
	select {
	case s.outbox.redriving <- struct{}{}:
	case <-ctx.Done():
		return ParkedEvent{}, ctx.Err()
	}
	var p ParkedEvent
	var err error
	done := make(chan struct{})
	begun := s.own(func() {
		defer func() { <-s.outbox.redriving }()
		defer close(done)
		p, err = s.republish(s.engine.ctx, ref)
	})
	if !begun {
		<-s.outbox.redriving
		return ParkedEvent{}, ErrStopping
	}
	select {
	case <-done:
		return p, err
	case <-ctx.Done():
		return ParkedEvent{}, ctx.Err()
	}
}

// findParked returns the parked event with the ID that ref has: of its position ref need not know. It looks first where the one lies that
// was found before: who redrives all of them goes through them in order.
func (s *shard) findParked(ref EventRef) (ParkedEvent, error) {
	last := s.outbox.redriven()
	if last.sameID(ref) {
		return s.engine.store.ParkedEvent(s.id, last)
	}
	for _, from := range []EventRef{last, {}} {
		for found, err := range s.parkedAfter(from) {
			if err != nil {
				return ParkedEvent{}, err
			}
			if found.sameID(ref) {
				s.outbox.redrives(found)
				return s.engine.store.ParkedEvent(s.id, found)
			}
		}
	}
	return ParkedEvent{}, ErrNotFound
}

// republish publishes the parked event with the ID that ref has, until ctx ends.
func (s *shard) republish(ctx context.Context, ref EventRef) (ParkedEvent, error) {
	e := s.engine
	p, err := s.findParked(ref)
	if err != nil {
		return ParkedEvent{}, err
	}
	if err := e.observed(ctx, s); err != nil {
		return p, err
	}
	back := s.outbox.leave([]Event{p.Event})
	switch erased, err := s.erased(&p.Event); {
	case err != nil:
		back()
		return p, err
	case erased:
		back()
		return p, fmt.Errorf("the data of its run are erased: %w", ErrNotFound)
	}
	_, refusal := e.opt.Streamer.Publish(ctx, []Event{p.Event})
	if refusal != nil && ctx.Err() != nil {
		return p, refusal // the streamer may have it still: it does not come back
	}
	back()
	s.outbox.parking.Lock()
	defer s.outbox.parking.Unlock()
	_, err = e.store.ParkedEvent(s.id, p.Event.Ref())
	there := err == nil // it may have been erased meanwhile
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	switch {
	case err != nil:
	case refusal == nil && there:
		if err = e.store.UnparkEvent(s.id, p.Event.Ref()); err == nil {
			s.outbox.refused(-1)
		}
	case refusal != nil:
		p.Cause, p.At = refusal.Error(), e.now()
		if there {
			err = e.store.ParkEvent(s.id, &p)
		}
	}
	return p, errors.Join(refusal, err)
}
