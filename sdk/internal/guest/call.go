package guest

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"github.com/wfrt/wfrt/sdk/abi"
)

// Call is a guest's way to the host during invocations, one at a time. Its buffers are reused from one to the next. It is
// not for concurrent use.
type Call struct {
	Host    Host
	Encoded bytes.Buffer // for the object that is written back
	Copy    []byte       // for a copy of the object that the step may change

	object  []byte
	payload []byte
	scratch []byte
	kept    []any // per handler ID: what it reuses from one invocation to the next
}

// NewCall returns a Call to host with buffers for objects of an ordinary size.
func NewCall(host Host) *Call {
	return &Call{Host: host, object: make([]byte, 4096), scratch: make([]byte, 256)}
}

// keepFor makes room for what the handlers of a plugin keep.
func (c *Call) keepFor(p *Plugin) {
	if len(c.kept) < len(p.handlers) {
		c.kept = make([]any, len(p.handlers))
	}
}

// Object returns the run's object as the host holds it, or null when there is none. It is valid until the next call of
// Object.
func (c *Call) Object() []byte {
	if object := c.read(abi.FieldObject, &c.object); object != nil {
		return object
	}
	return []byte("null")
}

// Payload returns the payload of a callback as the host holds it. It is valid until the next call of Payload.
func (c *Call) Payload() []byte { return c.read(abi.FieldPayload, &c.payload) }

// Bytes returns an input in bytes of its own, or nil when it is absent.
func (c *Call) Bytes(field abi.Field) []byte {
	n := c.Host.FieldRead(field, nil)
	if n < 0 {
		return nil
	}
	own := make([]byte, n)
	if n > 0 {
		c.Host.FieldRead(field, own)
	}
	return own
}

// Text returns a text input, or "" when it is absent.
func (c *Call) Text(field abi.Field) string { return string(c.read(field, &c.scratch)) }

// Integer returns an integer input, and whether it is there.
func (c *Call) Integer(field abi.Field) (uint64, bool) {
	b := c.read(field, &c.scratch)
	if len(b) != 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}

// Write hands over an output.
func (c *Call) Write(field abi.Field, value []byte) { c.Host.FieldWrite(field, value) }

// WriteText hands over a text output. It does not copy the text.
func (c *Call) WriteText(field abi.Field, value string) {
	c.Host.FieldWrite(field, unsafe.Slice(unsafe.StringData(value), len(value))) //nolint:gosec // a Host reads only
}

// WriteInteger hands over an integer output.
func (c *Call) WriteInteger(field abi.Field, value uint64) {
	c.scratch = binary.LittleEndian.AppendUint64(c.scratch[:0], value)
	c.Host.FieldWrite(field, c.scratch)
}

// read returns an input in *buf, which it makes longer as needed; nil when the input is absent.
func (c *Call) read(field abi.Field, buf *[]byte) []byte {
	full := (*buf)[:cap(*buf)]
	n := int(c.Host.FieldRead(field, full))
	if n > len(full) {
		// Half as much again, so that an object that grows with every step does not need a new buffer at each.
		full = make([]byte, n+n/2)
		*buf = full
		n = int(c.Host.FieldRead(field, full))
	}
	if n < 0 {
		return nil
	}
	return full[:n]
}
