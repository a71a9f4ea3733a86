package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	before, err := s.parked(event) // after a crash an event may be refused that was parked before it
	if err != nil {
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
	parked, err := s.engine.store.ParkedEvents(s.id, nil)
	if err != nil {
		return err
	}
	for i := range parked {
		if e := &parked[i].Event; e.RunID == id && e.Number > 0 {
			if err := s.engine.store.UnparkEvent(s.id, e); err != nil {
				return err
			}
			s.outbox.refused(-1)
		}
	}
	return nil
}

// ParkedEvents returns the events that the streamer has refused: those of a shard in order.
func (e *Engine) ParkedEvents(ctx context.Context) ([]ParkedEvent, error) {
	var all []ParkedEvent
	for _, s := range e.shards {
		var err error
		if all, err = e.store.ParkedEvents(s.id, all); err != nil {
			return nil, fmt.Errorf("runtime: parked events: %w", err)
		}
	}
	return all, e.observedAll(ctx)
}

// ErrNoStreamer says that events are not published anywhere.
var ErrNoStreamer = errors.New("events are not published: the server has no Kafka")

// RedriveEvent publishes a parked event again and returns it; the ID is that of the event. It returns ErrNotFound, ErrNoStreamer,
// or why the event could not be published; then it stays parked. It comes after events of its run that were later than it.
func (e *Engine) RedriveEvent(ctx context.Context, id string) (ParkedEvent, error) {
	if err := e.accepting(); err != nil {
		return ParkedEvent{}, err
	}
	if e.opt.Streamer == nil {
		return ParkedEvent{}, ErrNoStreamer
	}
	for _, s := range e.shards {
		parked, err := e.store.ParkedEvents(s.id, nil)
		if err != nil {
			return ParkedEvent{}, fmt.Errorf("runtime: parked events: %w", err)
		}
		for i := range parked {
			if parked[i].Event.ID() == id {
				return s.redrive(ctx, &parked[i])
			}
		}
	}
	return ParkedEvent{}, fmt.Errorf("runtime: parked event %s: %w", id, ErrNotFound)
}

func (s *shard) redrive(ctx context.Context, p *ParkedEvent) (ParkedEvent, error) {
	e := s.engine
	if err := e.observed(ctx, s); err != nil {
		return *p, err
	}
	back := s.outbox.leave([]Event{p.Event})
	switch erased, err := s.erased(&p.Event); {
	case err != nil:
		back()
		return *p, err
	case erased:
		back()
		return *p, fmt.Errorf("runtime: parked event %s: the data of its run are erased: %w", p.Event.ID(), ErrNotFound)
	}
	_, refusal := e.opt.Streamer.Publish(ctx, []Event{p.Event})
	back()
	s.outbox.parking.Lock()
	defer s.outbox.parking.Unlock()
	there, err := s.parked(&p.Event)
	switch {
	case err != nil:
	case refusal == nil && there:
		if err = e.store.UnparkEvent(s.id, &p.Event); err == nil {
			s.outbox.refused(-1)
		}
	case refusal != nil:
		p.Cause, p.At = refusal.Error(), e.now()
		if there { // it may have been erased meanwhile
			err = e.store.ParkEvent(s.id, p)
		}
	}
	if err = errors.Join(refusal, err); err != nil {
		err = fmt.Errorf("runtime: parked event %s: %w", p.Event.ID(), err)
	}
	return *p, err
}

// parked reports whether the event is parked.
// REQUIRES: s.outbox.parking
func (s *shard) parked(event *Event) (bool, error) {
	all, err := s.engine.store.ParkedEvents(s.id, nil)
	return slices.ContainsFunc(all, func(p ParkedEvent) bool { return p.Event.ID() == event.ID() }), err
}
