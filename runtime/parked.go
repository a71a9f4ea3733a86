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
	e.opt.Logger.Error("an event was refused and is parked: see `wfrt outbox parked`", "event", event.ID(), "workflow", event.Workflow,
		"error", cause)
	before, err := e.store.ParkedEvents(s.id, nil)
	if err != nil {
		return err
	}
	if err := e.store.ParkEvent(s.id, &ParkedEvent{Event: *event, Cause: cause.Error(), At: e.now()}); err != nil {
		return err
	}
	// After a crash an event may be refused that was parked before it.
	if !slices.ContainsFunc(before, func(p ParkedEvent) bool { return p.Event.ID() == event.ID() }) {
		s.outbox.refused(1)
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
	_, err := e.opt.Streamer.Publish(ctx, []Event{p.Event})
	if err != nil {
		p.Cause, p.At = err.Error(), e.now()
		return *p, errors.Join(fmt.Errorf("runtime: parked event %s: %w", p.Event.ID(), err), e.store.ParkEvent(s.id, p))
	}
	if err := e.store.UnparkEvent(s.id, &p.Event); err != nil {
		return *p, fmt.Errorf("runtime: parked event %s: %w", p.Event.ID(), err)
	}
	s.outbox.refused(-1)
	return *p, nil
}
