package sdktest

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/abi"
)

// Kinds of what a connector's function makes of a message, besides Error and Permanent.
const (
	Begins  Kind = "begins"  // it begins a run
	Calls   Kind = "calls"   // it is a callback
	Ignores Kind = "ignores" // nothing becomes of it
)

// Connected is what a connector's function makes of a message.
type Connected struct {
	Kind      Kind
	Reason    string // of Error and Permanent
	Workflow  string
	ForeignID string
	Status    string // of Begins "" for the workflow's start; of Calls the status that takes the callback
	Object    []byte // of Begins the run's object, one JSON value; of Calls the payload
	Logs      []Log
}

// Connect asks a connector's function of a workflow, once, what becomes of a message. It fails the test at once when there is no such
// function, or when the server would refuse its answer.
func Connect[O any, S ~string](t testing.TB, w *sdk.Workflow[O, S], name string, m sdk.Message, opts ...Option) Connected {
	t.Helper()
	h := findConnector(t, w.Name(), name)
	on := newHost([]byte("null"), w.Name(), "")
	for _, opt := range append([]Option{
		text(abi.FieldTopic, m.Topic), integer(abi.FieldPartition, uint64(m.Partition)), integer(abi.FieldOffset, uint64(m.Offset)),
		instant(abi.FieldMessageTime, m.Time), raw(abi.FieldMessageHeaders, encodeHeaders(m.Headers)),
	}, opts...) {
		opt(on)
	}
	if m.Key != nil {
		on.inputs[abi.FieldMessageKey] = m.Key
	}
	if m.Value != nil {
		on.inputs[abi.FieldMessageValue] = m.Value
	}
	got := invoke(t, &h, on)
	c := Connected{
		Reason: got.reason, Workflow: string(on.outputs[abi.FieldActionWorkflow]), ForeignID: string(on.outputs[abi.FieldActionForeignID]),
		Status: string(on.outputs[abi.FieldActionStatus]), Object: on.outputs[abi.FieldActionObject], Logs: got.logs,
	}
	switch got.code {
	case abi.CodeError:
		return Connected{Kind: Error, Reason: got.reason, Logs: got.logs}
	case abi.CodePermanent:
		return Connected{Kind: Permanent, Reason: got.reason, Logs: got.logs}
	case abi.CodeSkip:
		return Connected{Kind: Ignores, Logs: got.logs}
	default: // CodeDone; invoke has refused the others
	}
	switch c.Kind = Calls; {
	case string(on.outputs[abi.FieldAction]) == abi.ActionTrigger:
		c.Kind = Begins
		if !json.Valid(c.Object) {
			t.Fatalf("sdktest: %s: the object is not JSON: %.200s", describe(&h), c.Object)
		}
	case c.Status == "":
		t.Fatalf("sdktest: %s: a callback wants the status that takes it", describe(&h))
	}
	if n := len(c.ForeignID); n < 1 || n > 256 {
		t.Fatalf("sdktest: %s: the foreign ID has %d bytes; it has 1 to 256", describe(&h), n)
	}
	return c
}

func findConnector(t testing.TB, workflow, name string) abi.Handler {
	t.Helper()
	m := Manifest(t)
	for i := range m.Workflows {
		w := &m.Workflows[i]
		for j := range w.Handlers {
			if h := &w.Handlers[j]; w.Name == workflow && h.Kind == abi.KindConnector && h.Name == name {
				return *h
			}
		}
	}
	t.Fatalf("sdktest: workflow %s has no connector %q", workflow, name)
	return abi.Handler{}
}

// encodeHeaders is what docs/abi.md says of message_headers.
func encodeHeaders(headers []sdk.Header) []byte {
	var b []byte
	for i := range headers {
		for _, part := range [][]byte{[]byte(headers[i].Name), headers[i].Value} {
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(part))), part...)
		}
	}
	return b
}
