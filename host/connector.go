package host

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// What a connector's function reads and writes: docs/abi.md, section 5.

// messageInput returns the inputs that tell of a message.
func (i *instance) messageInput(field abi.Field) ([]byte, bool) {
	in, m := i.call.in, i.call.in.Message
	switch field {
	case abi.FieldTopic:
		return i.text(m.Topic), true
	case abi.FieldPartition:
		return i.integer(uint64(m.Partition)), true
	case abi.FieldOffset:
		return i.integer(uint64(m.Offset)), true
	case abi.FieldMessageKey:
		return m.Key, m.Key != nil
	case abi.FieldMessageValue:
		return m.Value, m.Value != nil
	case abi.FieldMessageHeaders:
		i.scratch = appendHeaders(i.scratch[:0], m.Headers)
		return i.scratch, true
	case abi.FieldMessageTime:
		return i.time(m.Time), true
	case abi.FieldIdempotencyKey:
		i.scratch = in.AppendIdempotencyKey(i.scratch[:0])
		return i.scratch, true
	default:
		return nil, false
	}
}

// appendHeaders appends of each header the length and the bytes of its name, then those of its value.
func appendHeaders(dst []byte, headers []runtime.Header) []byte {
	for i := range headers {
		h := &headers[i]
		dst = append(binary.LittleEndian.AppendUint32(dst, uint32(len(h.Name))), h.Name...)
		dst = append(binary.LittleEndian.AppendUint32(dst, uint32(len(h.Value))), h.Value...)
	}
	return dst
}

// actionLimit returns how long an output of a connector's function may be, or false for a field that is none.
func (i *instance) actionLimit(field abi.Field) (int, bool) {
	if i.call.in.Handler.Kind != runtime.HandlerConnector {
		return 0, false
	}
	switch field { //nolint:exhaustive // the outputs of a connector's function
	case abi.FieldAction, abi.FieldActionWorkflow, abi.FieldActionStatus:
		return abi.MaxNameBytes, true
	case abi.FieldActionForeignID:
		return runtime.MaxForeignID, true
	case abi.FieldActionObject:
		return i.module.host.options.Limits.ObjectBytes, true
	}
	return 0, false
}

// act keeps an output of a connector's function, which actionLimit knows. Another plugin's workflow it may name as far as it may
// trigger it.
func (i *instance) act(field abi.Field, value []byte) {
	c := &i.call
	switch field { //nolint:exhaustive // the outputs of a connector's function
	case abi.FieldAction:
		c.action = string(value)
	case abi.FieldActionWorkflow:
		if why := i.module.caps.Load().mayTrigger(string(value)); why != "" {
			panic(&fault{text: "action_workflow: " + why, refused: true})
		}
		c.out.Action.Workflow = string(value)
	case abi.FieldActionForeignID:
		c.out.Action.ForeignID = string(value)
	case abi.FieldActionStatus:
		c.out.Action.Status = string(value)
	case abi.FieldActionObject:
		c.out.Action.Object = append([]byte{}, value...)
	}
}

// acts completes the action that a connector's function wrote, or says what is wrong with it.
func (c *call) acts() string {
	a := &c.out.Action
	switch c.action {
	case abi.ActionTrigger:
		a.Kind = runtime.ActionTrigger
	case abi.ActionCallback:
		a.Kind = runtime.ActionCallback
	case "":
		return "the connector did not write action; to make nothing of a message it answers the code 3 (skip)"
	default:
		return "the connector wrote the action " + strconv.Quote(c.action) + "; it is trigger or callback"
	}
	if a.Workflow == "" {
		a.Workflow = c.in.Handler.Workflow
	}
	switch {
	case a.ForeignID == "":
		return "the connector did not write action_foreign_id"
	case !utf8.ValidString(a.ForeignID) || !utf8.ValidString(a.Workflow) || !utf8.ValidString(a.Status):
		return "a text that the connector wrote is not UTF-8"
	case a.Kind == runtime.ActionCallback && a.Status == "":
		return "the connector did not write action_status, the status that takes the callback"
	case a.Kind == runtime.ActionTrigger && len(a.Object) > 0 && !json.Valid(a.Object):
		return "the action_object that the connector wrote is not one JSON value"
	}
	return ""
}
