package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/runtime"
)

func (s *Server) registerOutbox(api huma.API) {
	huma.Register(api, operation(http.MethodGet, "/v1/outbox", "get-outbox", "Get the outbox",
		"How many events wait to be published, for how long, and what keeps them."), s.outbox)
	huma.Register(api, operation(http.MethodGet, "/v1/outbox/parked", "list-parked-events", "List parked events",
		"The events that Kafka refused for good, such as one that is too large, each with the cause. Those after them went on.", 400, 503),
		s.listParkedEvents)
	huma.Register(api, operation(http.MethodPost, "/v1/outbox/parked/redrive", "redrive-parked-event", "Publish a parked event again",
		"It comes after later events of its run. It stays parked, with the new cause, when it is refused again.", 400, 404, 409, 503),
		s.redriveParkedEvent)
}

// Outbox is a moment of the events on their way to Kafka.
type Outbox struct {
	Depth      int     `json:"depth" doc:"Events that wait to be published; 0 without Kafka."`
	AgeSeconds float64 `json:"age_seconds" doc:"How long the oldest of them has waited."`
	Late       bool    `json:"late" doc:"That is longer than outbox.lag_alert."`
	Fault      string  `json:"fault,omitempty" doc:"Why they wait: what Kafka answered last. Absent when nothing is wrong."`
	Parked     int     `json:"parked" doc:"Events that Kafka refused for good."`
}

type outboxOutput struct{ Body Outbox }

func (s *Server) outbox(context.Context, *struct{}) (*outboxOutput, error) {
	stats := s.opt.Engine.Stats()
	out := &outboxOutput{Body: Outbox{AgeSeconds: stats.OutboxAge.Seconds(), Late: stats.OutboxLate, Fault: stats.OutboxFault}}
	for i := range stats.Shards {
		out.Body.Depth += stats.Shards[i].Unpublished
		out.Body.Parked += stats.Shards[i].Parked
	}
	return out, nil
}

// ParkedEvent is an event that Kafka refused.
type ParkedEvent struct {
	Event
	Cause    string    `json:"cause" doc:"Why it was refused."`
	ParkedAt time.Time `json:"parked_at" doc:"When it was refused last."`
}

// ParkedEventPage is one page of parked events: the changes of a run are in order.
type ParkedEventPage struct {
	Parked     []ParkedEvent `json:"parked" nullable:"false"`
	NextCursor string        `json:"next_cursor,omitempty" doc:"Where the next page begins; absent on the last."`
}

type parkedEventsInput struct {
	Cursor string `query:"cursor" doc:"next_cursor of the page before."`
	Limit  limit  `query:"limit" doc:"Events on the page at most; fewer when they are large."`
}

func viewParkedEvent(p *runtime.ParkedEvent) ParkedEvent {
	return ParkedEvent{Event: viewEvent(&p.Event), Cause: p.Cause, ParkedAt: p.At}
}

type parkedEventsOutput struct{ Body ParkedEventPage }

func (s *Server) listParkedEvents(ctx context.Context, in *parkedEventsInput) (*parkedEventsOutput, error) {
	limit, err := in.Limit.value()
	if err != nil {
		return nil, err
	}
	var after runtime.EventRef
	if in.Cursor != "" {
		if after, err = parseParkedCursor(in.Cursor); err != nil {
			return nil, invalid("cursor", "is not one", "send next_cursor of the page before")
		}
	}
	found, more, err := s.opt.Engine.ParkedEvents(ctx, after, limit)
	if err != nil {
		return nil, problemOf(err)
	}
	out := &parkedEventsOutput{Body: ParkedEventPage{Parked: []ParkedEvent{}}}
	for i := range found {
		out.Body.Parked = append(out.Body.Parked, viewParkedEvent(&found[i]))
	}
	if more && len(found) > 0 {
		out.Body.NextCursor = parkedCursor(found[len(found)-1].Event.Ref())
	}
	return out, nil
}

// parkedCursor returns the text that a page after an event is asked for with.
func parkedCursor(ref runtime.EventRef) string {
	return strconv.FormatUint(uint64(ref.LSN), 10) + "/" + ref.ID()
}

func parseParkedCursor(text string) (runtime.EventRef, error) {
	lsn, id, _ := strings.Cut(text, "/")
	ref, err := runtime.ParseEventID(id)
	if err != nil {
		return ref, err
	}
	n, err := strconv.ParseUint(lsn, 10, 64)
	ref.LSN = runtime.LSN(n)
	return ref, err
}

type redriveEventInput struct {
	ID string `query:"id" required:"true" doc:"The event's ID, as the list has it."`
}

type redriveEventOutput struct{ Body ParkedEvent }

func (s *Server) redriveParkedEvent(ctx context.Context, in *redriveEventInput) (*redriveEventOutput, error) {
	if in.ID == "" {
		return nil, invalid("id", "is missing", "name the event by its id, as the list of parked events has it")
	}
	p, err := s.opt.Engine.RedriveEvent(ctx, in.ID)
	var refused *runtime.RefusedError
	switch {
	case err == nil:
		return &redriveEventOutput{Body: viewParkedEvent(&p)}, nil
	case errors.Is(err, runtime.ErrNotFound):
		return nil, problem(http.StatusNotFound, "unknown-event", "There is no such parked event", fmt.Sprintf("there is no parked event %.80q", in.ID), "GET /v1/outbox/parked lists them")
	case errors.Is(err, runtime.ErrNoStreamer):
		return nil, problem(http.StatusConflict, "no-kafka", "Events are not published", err.Error(), "set kafka.brokers and start the server again")
	case errors.As(err, &refused):
		return nil, problem(http.StatusConflict, "event-refused", "The event is refused", refused.Error(), "mend what the cause names, and try again")
	case p.Cause != "" && !errors.Is(err, runtime.ErrStoreFailed):
		return nil, problem(http.StatusServiceUnavailable, "not-published", "The event could not be published",
			strings.TrimPrefix(err.Error(), "runtime: parked event "+in.ID+": "), "try again once Kafka is well").
			withHeader("Retry-After", "5")
	default:
		return nil, problemOf(err)
	}
}
