package sdk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// Message is one record of an outside stream, such as a Kafka topic. It belongs to the function that gets it.
type Message struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte // nil: none
	Value     []byte // nil: none
	Headers   []Header
	Time      time.Time // as the stream has it
}

// Header is one header of a message. A name may occur more than once.
type Header struct {
	Name  string
	Value []byte
}

// Header returns the value of the last header of that name, or "".
func (m *Message) Header(name string) string {
	for i := len(m.Headers) - 1; i >= 0; i-- {
		if m.Headers[i].Name == name {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}

// Action is what becomes of a message: Ignore, or what a Workflow's Begin or Call returns. The zero Action is none.
type Action struct {
	kind      string // abi.Action…, or ignored
	workflow  string
	foreignID string
	status    string
	object    []byte
	fault     error
}

const ignored = "ignore"

// Ignore makes nothing of a message: it is done.
func Ignore() Action { return Action{kind: ignored} }

// Begin makes a message the trigger of a run.
func (w *Workflow[O, S]) Begin(foreignID string, object O) Action {
	a := Action{kind: abi.ActionTrigger, workflow: w.Name(), foreignID: foreignID}
	a.object, a.fault = codecOf[O]().encode(new(guest.Call), &object)
	return a
}

// BeginAt is Begin in another status than the workflow's start.
func (w *Workflow[O, S]) BeginAt(status S, foreignID string, object O) Action {
	a := w.Begin(foreignID, object)
	a.status = string(status)
	return a
}

// Call makes a message a callback of the run of a foreign ID, for the status that takes it.
func (w *Workflow[O, S]) Call(status S, foreignID string, payload []byte) Action {
	return Action{kind: abi.ActionCallback, workflow: w.Name(), foreignID: foreignID, status: string(status), object: payload}
}

// ConnectorFunc decides what becomes of a message. With an error it is asked again, with back-off; after its attempts, or at once when
// the error is Permanent, the message is parked for a person. It may be asked more than once about a message, and what it decides last
// takes effect once.
type ConnectorFunc func(ctx context.Context, m *Message) (Action, error)

// Connector registers a function that decides what becomes of the messages of a topic, under a name that is unique in the workflow.
// Which topic that is the server's configuration says:
//
//	orders.Connector("intake", func(ctx context.Context, m *sdk.Message) (sdk.Action, error) { … })
//
//	connectors:
//	  orders: {topics: northwind.orders, plugin: orders/intake}
func (w *Workflow[O, S]) Connector(name string, connect ConnectorFunc) *Handler {
	part := w.part.Register(abi.Handler{Kind: abi.KindConnector, Name: name}, "connector", func(c *guest.Call, _ *any) abi.Code {
		return connect.invoke(c)
	}, nil)
	h := &Handler{parts: []*guest.Handler{part}}
	h.want(connect != nil)
	return h
}

// invoke is one attempt: the message in, the author's function, the action out.
func (f ConnectorFunc) invoke(c *guest.Call) abi.Code {
	m := Message{
		Topic: c.Text(abi.FieldTopic), Key: c.Bytes(abi.FieldMessageKey), Value: c.Bytes(abi.FieldMessageValue),
		Headers: decodeHeaders(c.Bytes(abi.FieldMessageHeaders)),
	}
	partition, _ := c.Integer(abi.FieldPartition)
	offset, _ := c.Integer(abi.FieldOffset)
	at, _ := c.Integer(abi.FieldMessageTime)
	m.Partition, m.Offset, m.Time = int32(partition), int64(offset), instant(at)
	ctx := new(stepContext)
	ctx.begin(c.Host)
	action, err := f(ctx, &m)
	ctx.end()
	if err == nil && action.fault != nil {
		err = Permanent(action.fault)
	}
	if err != nil {
		code := abi.CodeError
		if isPermanent(err) {
			code = abi.CodePermanent
		}
		if err.Error() == "" {
			err = fmt.Errorf("sdk: the connector failed with an error that has no text (%T)", err)
		}
		return because(c, code, err.Error())
	}
	switch action.kind {
	case ignored:
		return abi.CodeSkip
	case "":
		return because(c, abi.CodePermanent, errNoAction.Error())
	}
	c.WriteText(abi.FieldAction, action.kind)
	c.WriteText(abi.FieldActionWorkflow, action.workflow)
	c.WriteText(abi.FieldActionForeignID, action.foreignID)
	if action.status != "" {
		c.WriteText(abi.FieldActionStatus, action.status)
	}
	c.Write(abi.FieldActionObject, action.object)
	return abi.CodeDone
}

var errNoAction = errors.New("sdk: the connector returned no action; return Ignore, or what Begin or Call of a workflow return")

// decodeHeaders reads what docs/abi.md says of message_headers: of each header the length and the bytes of its name, then those of
// its value.
func decodeHeaders(b []byte) []Header {
	var all []Header
	next := func() []byte {
		if len(b) < 4 {
			b = nil
			return nil
		}
		n := min(uint64(binary.LittleEndian.Uint32(b)), uint64(len(b)-4))
		part := b[4 : 4+n : 4+n]
		b = b[4+n:]
		return part
	}
	for len(b) > 0 {
		name := next()
		all = append(all, Header{Name: string(name), Value: next()})
	}
	return all
}
