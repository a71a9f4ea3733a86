package pebblestore

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wfrt/wfrt/runtime"
)

func appendString(dst []byte, num protowire.Number, v string) []byte {
	if v == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, num, protowire.BytesType), v)
}

func appendUint(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), v)
}

// appendTime writes nanoseconds since 1970, and nothing for the zero time.
func appendTime(dst []byte, num protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, num, protowire.Fixed64Type), uint64(nanos(t)))
}

func appendDigest(dst []byte, num protowire.Number, d runtime.Digest) []byte {
	if d == (runtime.Digest{}) {
		return dst
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, num, protowire.BytesType), d[:])
}

// appendTrace writes a trace context in 25 bytes: the trace's ID, the span's ID and the flags; nothing for none.
func appendTrace(dst []byte, num protowire.Number, c runtime.TraceContext) []byte {
	if c.IsZero() {
		return dst
	}
	dst = protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.BytesType), traceLen)
	return append(append(append(dst, c.TraceID[:]...), c.SpanID[:]...), c.Flags)
}

const traceLen = 16 + 8 + 1

func appendObjectHead(dst []byte, num protowire.Number, object []byte) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.BytesType), uint64(len(object)))
}

// closeMessage puts the length of a message, which begins at a position of dst, before it. The last bytes of the message, as
// many as tail says, are still to come.
func closeMessage(dst []byte, at, tail int) []byte {
	n := uint64(len(dst) - at + tail)
	size := protowire.SizeVarint(n)
	dst = append(dst, make([]byte, size)...)
	copy(dst[at+size:], dst[at:len(dst)-size])
	protowire.AppendVarint(dst[:at], n)
	return dst
}

// decoder walks the fields of a message. The accessors read the field that next found; one that does not fit its type ends
// the walk with an error.
type decoder struct {
	rest  []byte
	num   int32
	typ   protowire.Type
	value uint64
	view  []byte
	err   error
}

func (d *decoder) next() bool {
	if d.err != nil || len(d.rest) == 0 {
		return false
	}
	num, typ, n := protowire.ConsumeTag(d.rest)
	if n < 0 {
		return d.fail()
	}
	d.num, d.typ, d.rest = int32(num), typ, d.rest[n:]
	switch typ {
	case protowire.VarintType:
		d.value, n = protowire.ConsumeVarint(d.rest)
	case protowire.Fixed64Type:
		d.value, n = protowire.ConsumeFixed64(d.rest)
	case protowire.BytesType:
		d.view, n = protowire.ConsumeBytes(d.rest)
	case protowire.Fixed32Type, protowire.StartGroupType, protowire.EndGroupType:
		n = protowire.ConsumeFieldValue(num, typ, d.rest)
	default:
		n = -1
	}
	if n < 0 {
		return d.fail()
	}
	d.rest = d.rest[n:]
	return true
}

func (d *decoder) fail() bool {
	if d.err == nil {
		d.err = fmt.Errorf("%w: field %d", errMalformed, d.num)
	}
	return false
}

// take ends the walk with the error of a message in the field, if there is one.
func (d *decoder) take(err error) {
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("field %d: %w", d.num, err)
	}
}

func (d *decoder) uint(bits int) uint64 {
	if d.typ != protowire.VarintType || d.value>>(bits-1)>>1 != 0 {
		d.fail()
		return 0
	}
	return d.value
}

func (d *decoder) time() time.Time {
	if d.typ != protowire.Fixed64Type {
		d.fail()
		return time.Time{}
	}
	return time.Unix(0, int64(d.value)).UTC()
}

// bytes returns a view of the value.
func (d *decoder) bytes() []byte {
	if d.typ != protowire.BytesType {
		d.fail()
		return nil
	}
	return d.view
}

func (d *decoder) trace() (c runtime.TraceContext) {
	var b [traceLen]byte
	d.fixed(b[:])
	if copy(c.TraceID[:], b[:16]); c.IsZero() {
		return c
	}
	copy(c.SpanID[:], b[16:24])
	c.Flags = b[24]
	return c
}

func (d *decoder) fixed(dst []byte) {
	if b := d.bytes(); len(b) != len(dst) || copy(dst, b) != len(dst) {
		d.fail()
	}
}

// reuse returns b as a string, which is old when they are equal.
func reuse(old string, b []byte) string {
	if old == string(b) {
		return old
	}
	return string(b)
}
