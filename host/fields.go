package host

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// maxReason is the longest reason that is kept, in bytes: docs/abi.md, section 10.
const maxReason = 4096

// fieldFunctions are the host functions of abi.ImportModule.
func fieldFunctions() []hostFunction {
	return []hostFunction{
		{abi.FuncFieldRead, "iii", "i", fieldRead},
		{abi.FuncFieldWrite, "iii", "", fieldWrite},
		{abi.FuncLog, "iii", "", logLine},
		{abi.FuncTrigger, "iiiiii", "", trigger},
		{abi.FuncCallback, "iiiiiiii", "", callback},
		{abi.FuncHTTPSend, "iiiii", "i", httpSend},
		{abi.FuncSecretRead, "iiii", "i", secretRead},
		{abi.FuncEmit, "iiiiii", "", emit},
		{abi.FuncMeasure, "iiiiiI", "i", measure},
	}
}

// fieldRead is field_read(field, buf, buf_limit) → length, or abi.Absent.
func fieldRead(i *instance, guest api.Module, stack []uint64) {
	field, buf, limit := abi.Field(int32(uint32(stack[0]))), uint32(stack[1]), uint32(stack[2])
	value, ok := i.input(field)
	if !ok {
		absent := abi.Absent
		stack[0] = uint64(uint32(absent))
		return
	}
	if len(value) > 0 && uint64(len(value)) <= uint64(limit) {
		if !guest.Memory().Write(buf, value) {
			fail("field_read of %s: %d bytes at %#x are outside of its memory", field, len(value), buf)
		}
		i.chargeBytes(len(value))
	}
	stack[0] = uint64(uint32(len(value)))
}

// input returns the bytes of an input, which hold until the next call; false when the call does not carry it.
func (i *instance) input(field abi.Field) ([]byte, bool) {
	if i.call.phase != phaseInvoke {
		return nil, false
	}
	in := i.call.in
	if in.Message != nil && (field == abi.FieldObject || field == abi.FieldForeignID) {
		return nil, false // there is no run yet
	}
	switch field {
	case abi.FieldObject:
		return in.Record.Object, true
	case abi.FieldWorkflow:
		return i.text(in.Record.Workflow), true
	case abi.FieldForeignID:
		return i.text(in.Record.ForeignID), true
	case abi.FieldAttempt:
		return i.integer(uint64(in.Attempt)), true
	case abi.FieldNow:
		return i.time(in.Now), true
	case abi.FieldDeadline:
		return i.time(i.call.deadline), true
	case abi.FieldHTTPHead, abi.FieldHTTPBody, abi.FieldFailure:
		return i.call.reply.field(field)
	case abi.FieldPayload:
		return in.Payload, in.Handler.Kind == runtime.HandlerCallback
	case abi.FieldSlot:
		if in.Handler.Kind != runtime.HandlerFilter {
			return nil, false
		}
		return i.time(in.Slot), true
	default:
		if in.Message != nil {
			return i.messageInput(field)
		}
		return i.runInput(field)
	}
}

// runInput returns the inputs that tell of the run. A filter has none, as it decides whether there will be one, nor has a test.
func (i *instance) runInput(field abi.Field) ([]byte, bool) {
	in := i.call.in
	if kind := in.Handler.Kind; kind == runtime.HandlerFilter || kind == runtime.HandlerSelfTest {
		return nil, false
	}
	switch field {
	case abi.FieldRunID:
		i.scratch, _ = in.Record.RunID.AppendText(i.scratch[:0])
		return i.scratch, true
	case abi.FieldStatus:
		return i.text(in.Record.Status), true
	case abi.FieldVersion:
		return i.integer(in.Record.Version), true
	case abi.FieldCreatedAt:
		return i.time(in.Record.CreatedAt), true
	case abi.FieldIdempotencyKey:
		i.scratch = in.AppendIdempotencyKey(i.scratch[:0])
		return i.scratch, true
	case abi.FieldCallbackID:
		if in.Handler.Kind != runtime.HandlerCallback {
			return nil, false
		}
		i.scratch, _ = in.Record.RunID.AppendText(i.scratch[:0])
		i.scratch = strconv.AppendUint(append(i.scratch, '/'), in.Callback, 10)
		return i.scratch, true
	case abi.FieldState:
		return i.text(in.Record.State.String()), true
	case abi.FieldRunReason:
		return i.text(in.Record.Reason), true
	case abi.FieldTraceParent:
		i.scratch, _ = in.Trace.AppendText(i.scratch[:0])
		return i.scratch, !in.Trace.IsZero()
	default:
		return nil, false
	}
}

func (i *instance) text(s string) []byte {
	i.scratch = append(i.scratch[:0], s...)
	return i.scratch
}

func (i *instance) integer(v uint64) []byte {
	i.scratch = binary.LittleEndian.AppendUint64(i.scratch[:0], v)
	return i.scratch
}

func (i *instance) time(t time.Time) []byte { return i.integer(uint64(t.UnixNano())) }

// fieldWrite is field_write(field, ptr, len).
func fieldWrite(i *instance, guest api.Module, stack []uint64) {
	field, ptr, size := abi.Field(int32(uint32(stack[0]))), uint32(stack[1]), uint32(stack[2])
	c := &i.call
	limit, ok := i.outputLimit(field)
	if !ok {
		fail("field_write of %s: it is not an output of this call", field)
	}
	if uint64(size) > uint64(limit) {
		i.tooLong(field, size, limit)
	}
	value := i.view(guest, "field_write", ptr, size)
	switch field {
	case abi.FieldNewObject:
		c.out.Object, c.newObject = append(c.out.Object[:0], value...), true
	case abi.FieldNewStatus:
		c.newStatus = c.destination(value)
	case abi.FieldReason:
		c.reason = cutText(string(value[:min(len(value), maxReason+utf8.UTFMax)]), maxReason)
	case abi.FieldDelay:
		c.delay, c.delayErr = parseDelay(value)
	case abi.FieldDue:
		c.due, c.dueErr = parseDue(value)
	case abi.FieldManifest:
		c.manifest = append([]byte(nil), value...)
	default:
		i.act(field, value)
	}
}

// tooLong ends the call because an output is longer than its limit.
func (i *instance) tooLong(field abi.Field, size uint32, limit int) {
	if field == abi.FieldNewObject {
		i.exceed(&LimitError{Limit: LimitOutput, Used: uint64(size), Max: uint64(limit), Of: field.String()})
	}
	fail("field_write of %s: %d bytes are more than the limit of %d", field, size, limit)
}

// outputLimit returns how long an output may be, or false for a field that cannot be written in this call.
func (i *instance) outputLimit(field abi.Field) (int, bool) {
	limits := &i.call.limits
	switch i.call.phase {
	case phaseManifest:
		return limits.ManifestBytes, field == abi.FieldManifest
	case phaseInvoke:
		switch field {
		case abi.FieldNewObject:
			return limits.ObjectBytes, true
		case abi.FieldNewStatus:
			return abi.MaxNameBytes, true
		case abi.FieldReason:
			return math.MaxInt32, true // beyond maxReason it is cut
		case abi.FieldDelay, abi.FieldDue:
			return math.MaxInt32, true // its length is checked when the code asks for it
		default:
			return i.actionLimit(field)
		}
	case phaseInitialize, phaseWarm:
	}
	return 0, false
}

// destination returns the status that the guest wrote: the string that the handler declares, or a copy of what is not
// declared.
func (c *call) destination(value []byte) string {
	for _, to := range c.in.Handler.To {
		if string(value) == to {
			return to
		}
	}
	return string(value)
}

// parseDelay decodes the output delay, or says what is wrong with it.
func parseDelay(value []byte) (time.Duration, string) {
	ns, wrong := parseTime("delay", value)
	return time.Duration(ns), wrong
}

// parseDue decodes the output due, or says what is wrong with it.
func parseDue(value []byte) (time.Time, string) {
	ns, wrong := parseTime("due", value)
	if wrong != "" {
		return time.Time{}, wrong
	}
	return time.Unix(0, ns).UTC(), ""
}

// parseTime decodes nanoseconds in 8 bytes.
func parseTime(field string, value []byte) (ns int64, wrong string) {
	if len(value) != 8 {
		return 0, "the " + field + " that it wrote has not 8 bytes"
	}
	v := binary.LittleEndian.Uint64(value)
	if v > math.MaxInt64 {
		return 0, "the " + field + " that it wrote is above 2^63-1 ns"
	}
	return int64(v), ""
}

// logLine is log(level, ptr, len).
func logLine(i *instance, guest api.Module, stack []uint64) {
	i.logs.guestLine(i, int32(uint32(stack[0])), i.view(guest, "log", uint32(stack[1]), uint32(stack[2])))
}

// view returns the guest's memory at ptr, or ends the call when it is not all inside. It holds until the host function
// returns. Its bytes count as going between guest and host.
func (i *instance) view(guest api.Module, function string, ptr, size uint32) []byte {
	b, ok := guest.Memory().Read(ptr, size)
	if !ok {
		fail("%s: %d bytes at %#x are outside of its memory", function, size, ptr)
	}
	i.chargeBytes(len(b))
	return b
}

// cutText returns s, or as much of it as ends at a character within limit bytes.
func cutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
