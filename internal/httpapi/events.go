package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/wfrt/wfrt/runtime"
)

const (
	heartbeat = 15 * time.Second // between signs of life on a quiet stream
	slowest   = 10 * time.Second // how long a client may take nothing before its stream is ended
)

func (s *Server) registerEvents(api huma.API) {
	events := operation(http.MethodGet, "/v1/events", "stream-events", "Stream events",
		"Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): every durable change of a run, "+
			"in order within each run. The field id is the cursor behind the event; event is \"run.\" and the run state in "+
			"lower case with underscores, or \"emit.\" and the type of one that a plugin emitted; data is the JSON of the schema. Comments, and fields of id alone, are signs of life. "+
			"A client that takes nothing for 10 seconds is cut off and goes on where it was with Last-Event-ID. "+
			"Deliveries may repeat: drop duplicates by the id in the data.", 400, 503)
	events.Responses["200"] = &huma.Response{
		Description: "The stream",
		Content: map[string]*huma.MediaType{
			"text/event-stream": {Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Event](), true, "")},
		},
	}
	events.Middlewares = huma.Middlewares{unhurried}
	huma.Register(api, events, s.events)
}

type eventsInput struct {
	After       string   `query:"after" doc:"Begin behind this cursor, or the newest event (latest). Absent: with the oldest."`
	LastEventID string   `header:"Last-Event-ID" doc:"As after, and stronger: what a browser sends when it connects again."`
	Follow      boolean  `query:"follow" doc:"Wait for more events, for ever; false: end after the newest. Defaults to true."`
	Workflows   []string `query:"workflow,explode" nullable:"false" doc:"Only events of one of these workflows."`
}

func (s *Server) events(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	follow, err := in.Follow.value("follow", true)
	if err != nil {
		return nil, err
	}
	for _, name := range in.Workflows {
		if _, err := s.workflow(name); err != nil {
			return nil, unknown("workflow", "workflows", name, s.opt.Engine.Catalog().Names())
		}
	}
	cursor, err := s.eventCursor(in)
	if err != nil {
		return nil, err
	}
	if err := s.opt.Engine.Err(); err != nil {
		return nil, problemOf(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		if r.Method == http.MethodHead {
			return // there is no body to wait for
		}
		whole, end := s.untilDraining(ctx)
		defer end()
		streamEvents(whole, w, func(ctx context.Context, send func(*runtime.Event, *runtime.EventCursor) error) error {
			return s.opt.Engine.Events(ctx, &cursor, follow, func(e *runtime.Event) error {
				if len(in.Workflows) > 0 && !slices.Contains(in.Workflows, e.Workflow) {
					return send(nil, &cursor)
				}
				return send(e, &cursor)
			})
		})
	}}, nil
}

func (s *Server) eventCursor(in *eventsInput) (runtime.EventCursor, error) {
	text, field := in.After, "after"
	if in.LastEventID != "" {
		text, field = in.LastEventID, "Last-Event-ID"
	}
	if text == "latest" {
		return s.opt.Engine.LatestEvents(), nil
	}
	cursor, err := s.opt.Engine.ParseEventCursor(text)
	if err != nil {
		return cursor, invalid(field, "is no event cursor of this server",
			"give the id of an event, latest, or leave it out to begin with the oldest event")
	}
	return cursor, nil
}

// eventType is the name of an event's type: the run state after it, or what the plugin that emitted it says.
func eventType(e *runtime.Event) string {
	if e.Number > 0 {
		return e.Type
	}
	switch e.State {
	case runtime.Initiated:
		return "run.initiated"
	case runtime.Running:
		return "run.running"
	case runtime.Paused:
		return "run.paused"
	case runtime.Cancelled:
		return "run.cancelled"
	case runtime.Completed:
		return "run.completed"
	case runtime.RequestedDataDeleted:
		return "run.requested_data_deleted"
	case runtime.DataDeleted:
		return "run.data_deleted"
	default:
		return "run.changed"
	}
}

// eventStream is one client's stream. Whoever writes holds mu: the reader of the log, and the goroutine that flushes and
// beats.
type eventStream struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	dirty chan struct{} // holds one token while there is something to flush

	mu   sync.Mutex
	id   []byte // the cursor behind all that was read, sent or passed over
	buf  []byte
	lost error // why the client cannot be written to any more
}

// streamEvents answers with a stream of what read sends until read returns. Events are flushed by a goroutine of their own,
// so that many which come at once leave together and a single one leaves at once; a slow client holds read back and nobody
// else.
func streamEvents(
	ctx context.Context, w http.ResponseWriter,
	read func(context.Context, func(*runtime.Event, *runtime.EventCursor) error) error,
) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold events back
	st := &eventStream{w: w, rc: http.NewResponseController(w), dirty: make(chan struct{}, 1)}
	w.WriteHeader(http.StatusOK)
	if st.flush([]byte(": events\n\n")) != nil {
		return
	}
	reading, cancel := context.WithCancel(ctx)
	var flusher sync.WaitGroup
	flusher.Go(func() {
		defer cancel() // a client that cannot be written to ends the reading
		st.flushAndBeat(reading)
	})
	err := read(reading, st.send)
	cancel()
	flusher.Wait()
	switch {
	case errors.Is(context.Cause(ctx), runtime.ErrStopping):
		_ = st.flush([]byte(": the server is stopping\n\n")) // the stream ends here in any case
	case err != nil && !errors.Is(err, context.Canceled):
		data, _ := json.Marshal(problemOf(err)) // a struct of strings and numbers always encodes
		_ = st.flush(append(append([]byte("event: error\ndata: "), data...), "\n\n"...))
	default:
		_ = st.flush(nil)
	}
}

// send writes an event, or with nil only moves the cursor.
func (st *eventStream) send(e *runtime.Event, cursor *runtime.EventCursor) error {
	if e == nil {
		st.mu.Lock()
		defer st.mu.Unlock()
		st.id, _ = cursor.AppendText(st.id[:0])
		return nil
	}
	data, err := json.Marshal(viewEvent(e))
	if err != nil {
		return err
	}
	kind := eventType(e)
	if e.Number > 0 {
		kind = "emit." + kind // an author's type may be any name, such as error
	}
	st.mu.Lock()
	st.id, _ = cursor.AppendText(st.id[:0])
	st.buf = append(append(st.buf[:0], "id: "...), st.id...)
	st.buf = append(append(st.buf, "\nevent: "...), kind...)
	st.buf = append(append(st.buf, "\ndata: "...), data...)
	st.buf = append(st.buf, "\n\n"...)
	err = st.writeLocked(st.buf, false)
	st.mu.Unlock()
	select {
	case st.dirty <- struct{}{}:
	default: // the flusher has been told
	}
	return err
}

// flushAndBeat flushes what was written, and writes a sign of life with the cursor on a quiet stream, until ctx ends or the
// client cannot be written to.
func (st *eventStream) flushAndBeat(ctx context.Context) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-st.dirty:
			err = st.flush(nil)
		case <-beat.C:
			err = st.beat()
		}
		if err != nil {
			return
		}
	}
}

// beat tells the client that the stream lives, and, with a field of id alone, which dispatches nothing, how far it has come.
func (st *eventStream) beat() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.buf = append(st.buf[:0], ": alive\n"...)
	if len(st.id) > 0 {
		st.buf = append(append(append(st.buf, "id: "...), st.id...), '\n')
	}
	st.buf = append(st.buf, '\n')
	return st.writeLocked(st.buf, true)
}

// flush writes b and sends all that was written to the client.
func (st *eventStream) flush(b []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.writeLocked(b, true)
}

// writeLocked gives the client a bounded time to take what there is. Once it failed it fails at once.
// REQUIRES: st.mu
func (st *eventStream) writeLocked(b []byte, flush bool) error {
	if st.lost != nil {
		return st.lost
	}
	err := st.rc.SetWriteDeadline(time.Now().Add(slowest))
	if errors.Is(err, http.ErrNotSupported) { // there is no connection that could block
		err = nil
	}
	if err == nil && len(b) > 0 {
		_, err = st.w.Write(b)
	}
	if err == nil && flush {
		err = st.rc.Flush()
	}
	st.lost = err
	return err
}
