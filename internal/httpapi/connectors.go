package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/runtime"
)

func (s *Server) registerConnectors(api huma.API) {
	const one = "/v1/connectors/{connector}/parked/{topic_id}/{partition}/{offset}"
	huma.Register(api, operation(http.MethodGet, "/v1/connectors", "list-connectors", "List connectors",
		"What is read from Kafka, how far it has come, and what it has done since the server started.", 503), s.listConnectors)
	huma.Register(api, operation(http.MethodGet, "/v1/connectors/{connector}/parked", "list-parked", "List parked messages",
		"Messages of which nothing could be made, by partition and offset, also of a connector that is configured no more.", 400, 404, 503), s.listParked)
	huma.Register(api, operation(http.MethodPost, one+"/redrive", "redrive-parked", "Try a parked message again",
		"Once. A message that takes effect is parked no more; one that does not stays.", 400, 404, 409, 422, 503), s.redriveParked)
	huma.Register(api, operation(http.MethodDelete, one, "drop-parked", "Drop a parked message", "", 400, 404, 503), s.dropParked)
}

// Connector is a connector as the API shows it.
type Connector struct {
	Name       string               `json:"name" doc:"Its name in the configuration."`
	Topics     []string             `json:"topics" nullable:"false" doc:"What it reads."`
	Fault      string               `json:"fault,omitempty" doc:"Why nothing comes; absent when it is well."`
	Partitions []ConnectorPartition `json:"partitions" nullable:"false" doc:"Those that are assigned to this server."`
	Received   uint64               `json:"received" doc:"Messages since the server started, as all that follow."`
	Triggered  uint64               `json:"triggered" doc:"Runs that were begun."`
	Called     uint64               `json:"called" doc:"Callbacks that were taken in."`
	Ignored    uint64               `json:"ignored" doc:"Messages that the plugin made nothing of."`
	Skipped    uint64               `json:"skipped" doc:"Triggers that found an active run."`
	Repeated   uint64               `json:"repeated" doc:"Messages that had taken effect before."`
	Retried    uint64               `json:"retried" doc:"Attempts that were put off."`
	Parked     uint64               `json:"parked" doc:"Messages that were parked."`
}

// ConnectorPartition is a partition that a connector reads.
type ConnectorPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Next      int64  `json:"next" doc:"Every message before this offset is done."`
	Committed int64  `json:"committed" doc:"What the group has been told; -1: nothing."`
	UnderWay  int    `json:"under_way" doc:"Messages from next on that have been received."`
	Lag       int64  `json:"lag" doc:"Messages from next on that the partition holds, as of a quarter of a minute ago at most; -1: not known yet."`
}

// ConnectorList holds connectors, by name.
type ConnectorList struct {
	Connectors []Connector `json:"connectors" nullable:"false"`
}

type connectorsOutput struct{ Body ConnectorList }

func (s *Server) listConnectors(context.Context, *struct{}) (*connectorsOutput, error) {
	out := &connectorsOutput{Body: ConnectorList{Connectors: []Connector{}}}
	for _, c := range s.opt.Engine.Connectors() {
		n := &c.Counts
		view := Connector{
			Name: c.Name, Topics: append([]string{}, c.Topics...), Fault: c.Fault, Partitions: []ConnectorPartition{}, Received: n.Received,
			Triggered: n.Triggered, Called: n.Called, Ignored: n.Nothing, Skipped: n.Skipped, Repeated: n.Repeated, Retried: n.Retried,
			Parked: n.Parked,
		}
		for _, p := range c.Partitions {
			view.Partitions = append(view.Partitions, ConnectorPartition(p))
		}
		out.Body.Connectors = append(out.Body.Connectors, view)
	}
	return out, nil
}

// ParkedMessage is a parked message as the API shows it.
type ParkedMessage struct {
	Connector string            `json:"connector"`
	Topic     string            `json:"topic"`
	TopicID   string            `json:"topic_id" doc:"32 hexadecimal digits. A topic that is made again under its name has another."`
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Cause     string            `json:"cause" doc:"Why nothing could be made of it."`
	Attempts  uint32            `json:"attempts"`
	ParkedAt  time.Time         `json:"parked_at"`
	Time      time.Time         `json:"time" doc:"As the topic has it."`
	Key       string            `json:"key,omitempty" doc:"Bytes that are not UTF-8 are shown as the replacement character."`
	Value     string            `json:"value,omitempty" doc:"The first 4096 bytes; otherwise as the key."`
	Headers   map[string]string `json:"headers,omitempty" doc:"Of those with the same name the last."`
}

// ParkedPage is one page of parked messages.
type ParkedPage struct {
	Parked     []ParkedMessage `json:"parked" nullable:"false"`
	NextCursor string          `json:"next_cursor,omitempty" doc:"Where the next page begins; absent on the last."`
}

type parkedInput struct {
	Connector string `path:"connector" doc:"The connector's name."`
	Cursor    string `query:"cursor" doc:"next_cursor of the page before."`
	Limit     limit  `query:"limit" doc:"Messages on the page at most."`
}

type parkedOutput struct{ Body ParkedPage }

func (s *Server) listParked(ctx context.Context, in *parkedInput) (*parkedOutput, error) {
	limit, err := in.Limit.value()
	if err != nil {
		return nil, err
	}
	after := runtime.Origin{}
	if in.Cursor != "" {
		parts := strings.Split(in.Cursor, "/")
		if len(parts) != 3 {
			return nil, invalid("cursor", "is not one", "send next_cursor of the page before")
		}
		if after, err = originOf(in.Connector, parts[0], parts[1], parts[2]); err != nil {
			return nil, invalid("cursor", "is not one", "send next_cursor of the page before")
		}
	}
	found, err := s.opt.Engine.Parked(ctx, in.Connector, after, limit)
	if err != nil {
		return nil, problemOf(err)
	}
	if len(found) == 0 && in.Cursor == "" && !slices.Contains(s.connectorNames(), in.Connector) {
		return nil, s.unknownConnector(in.Connector)
	}
	out := &parkedOutput{Body: ParkedPage{Parked: []ParkedMessage{}}}
	for i := range found {
		out.Body.Parked = append(out.Body.Parked, viewParked(&found[i]))
	}
	if len(found) == limit {
		last := &found[limit-1]
		out.Body.NextCursor = last.TopicID.String() + "/" + strconv.Itoa(int(last.Partition)) + "/" + strconv.FormatInt(last.Offset, 10)
	}
	return out, nil
}

func (s *Server) connectorNames() []string {
	var names []string
	for _, c := range s.opt.Engine.Connectors() {
		names = append(names, c.Name)
	}
	return names
}

func (s *Server) unknownConnector(name string) error {
	known := s.connectorNames()
	p := problem(http.StatusNotFound, "unknown-connector", "There is no such connector", "there is no connector "+quoted(name),
		knownHint("connectors", name, known))
	p.Known = known
	return p
}

func viewParked(p *runtime.Parked) ParkedMessage {
	const shown = 4096
	text := func(b []byte) string { return strings.ToValidUTF8(string(b[:min(shown, len(b))]), "\uFFFD") }
	view := ParkedMessage{
		Connector: p.Connector, Topic: p.Topic, TopicID: p.TopicID.String(), Partition: p.Partition, Offset: p.Offset, Cause: p.Cause,
		Attempts: p.Attempts, ParkedAt: p.ParkedAt, Time: p.Time, Key: text(p.Key), Value: text(p.Value),
	}
	for i := range p.Headers {
		if view.Headers == nil {
			view.Headers = map[string]string{}
		}
		view.Headers[text([]byte(p.Headers[i].Name))] = text(p.Headers[i].Value)
	}
	return view
}

type parkedMessageInput struct {
	Connector string `path:"connector" doc:"The connector's name."`
	TopicID   string `path:"topic_id" doc:"32 hexadecimal digits."`
	Partition string `path:"partition"`
	Offset    string `path:"offset"`
}

func (s *Server) redriveParked(ctx context.Context, in *parkedMessageInput) (*struct{}, error) {
	return s.onParked(ctx, in, s.opt.Engine.Redrive)
}

func (s *Server) dropParked(ctx context.Context, in *parkedMessageInput) (*struct{}, error) {
	return s.onParked(ctx, in, s.opt.Engine.DropParked)
}

func (s *Server) onParked(
	ctx context.Context, in *parkedMessageInput, do func(context.Context, runtime.Origin) error,
) (*struct{}, error) {
	o, err := originOf(in.Connector, in.TopicID, in.Partition, in.Offset)
	if err == nil {
		err = do(ctx, o)
	}
	switch {
	case err == nil:
		return nil, nil //nolint:nilnil // huma's way to answer 204
	case errors.Is(err, errOrigin), errors.Is(err, runtime.ErrNotParked):
		return nil, problem(http.StatusNotFound, "not-parked", "There is no such parked message",
			"connector "+quoted(in.Connector)+" has no parked message at partition "+quoted(in.Partition)+", offset "+quoted(in.Offset),
			"GET /v1/connectors/{connector}/parked lists them")
	case errors.Is(err, runtime.ErrUnknownConnector):
		return nil, problem(http.StatusConflict, "unconfigured-connector", "The connector is configured no more",
			"connector "+quoted(in.Connector)+" is not configured, so nothing can be made of its message",
			"configure it again, or drop the message")
	}
	var mapping *runtime.MappingError
	if errors.As(err, &mapping) {
		return nil, problem(http.StatusUnprocessableEntity, "message-refused", "Nothing can be made of the message", err.Error(),
			"mend the connector's configuration or its plugin, and redrive it again; or drop it")
	}
	return nil, problemOf(err)
}

var errOrigin = errors.New("no place of a message")

func originOf(connector, topicID, partition, offset string) (runtime.Origin, error) {
	o := runtime.Origin{Connector: connector}
	id, err := hex.DecodeString(topicID)
	if err != nil || len(id) != len(o.TopicID) {
		return o, errOrigin
	}
	copy(o.TopicID[:], id)
	number, err := strconv.ParseUint(partition, 10, 31)
	if err != nil {
		return o, errOrigin
	}
	o.Partition = int32(number)
	at, err := strconv.ParseUint(offset, 10, 63)
	if err != nil {
		return o, errOrigin
	}
	o.Offset = int64(at)
	return o, nil
}
