package sdktest

import (
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/abi"
)

// Option changes an input of the invocation.
type Option func(*host)

// ID sets the run's ID. Defaults to 01937a3c-0000-7000-8000-000000000001.
func ID(id string) Option { return text(abi.FieldRunID, id) }

// ForeignID sets the run's foreign ID. Defaults to "test".
func ForeignID(id string) Option { return text(abi.FieldForeignID, id) }

// Version sets the version of the run's record. Defaults to 1.
func Version(version uint64) Option { return integer(abi.FieldVersion, version) }

// Attempt sets the number of the attempt. Defaults to 1.
func Attempt(attempt uint32) Option { return integer(abi.FieldAttempt, uint64(attempt)) }

// Now sets the start of the invocation as r.Now tells it. Defaults to time.Now, so to the fake clock in a synctest bubble.
func Now(now time.Time) Option { return instant(abi.FieldNow, now) }

// CreatedAt sets when the run was created. Defaults to time.Now.
func CreatedAt(at time.Time) Option { return instant(abi.FieldCreatedAt, at) }

// Deadline sets when the context ends, by the clock of time.Now. Defaults to none.
func Deadline(at time.Time) Option { return instant(abi.FieldDeadline, at) }

// IdempotencyKey sets the task's key. Defaults to "<run ID>/1/step/<status>" with the default run ID.
func IdempotencyKey(key string) Option { return text(abi.FieldIdempotencyKey, key) }

// TraceParent sets the traceparent that sdk.TraceParent returns. Defaults to none.
func TraceParent(header string) Option { return text(abi.FieldTraceParent, header) }

func text(field abi.Field, value string) Option { return raw(field, []byte(value)) }

func raw(field abi.Field, value []byte) Option {
	return func(h *host) { h.inputs[field] = value }
}

func integer(field abi.Field, value uint64) Option {
	return func(h *host) { h.inputs[field] = binary.LittleEndian.AppendUint64(nil, value) }
}

func instant(field abi.Field, at time.Time) Option {
	return integer(field, uint64(at.UnixNano()))
}

// host is a fake of the server's side of one invocation. Inputs do not change during it, so that the step's context may
// read its deadline from any goroutine.
type host struct {
	inputs  map[abi.Field][]byte
	outputs map[abi.Field][]byte
	intents []Intent
	secrets map[string]string
	http    http.Handler // answers requests; nil: none are

	mu      sync.Mutex // guards what follows: loggers and clients are for concurrent use
	logs    []Log
	answers map[abi.Field][]byte // what the last call of a capability left
	emits   []Emit
	refused string // why the server would end the invocation; "" when it would not
	taken   []Measurement
}

const defaultID = "01937a3c-0000-7000-8000-000000000001"

func newHost(object []byte, workflow, status string) *host {
	h := &host{inputs: map[abi.Field][]byte{}, outputs: map[abi.Field][]byte{}}
	h.inputs[abi.FieldObject] = object
	now := time.Now()
	for _, opt := range []Option{
		text(abi.FieldWorkflow, workflow),
		text(abi.FieldStatus, status),
		text(abi.FieldState, string(sdk.StateRunning)),
		text(abi.FieldRunReason, ""),
		ID(defaultID),
		ForeignID("test"),
		Version(1),
		Attempt(1),
		Now(now),
		CreatedAt(now),
		IdempotencyKey(defaultID + "/1/step/" + status),
	} {
		opt(h)
	}
	return h
}

func (h *host) FieldRead(field abi.Field, buf []byte) int32 {
	value, ok := h.inputs[field]
	if !ok {
		h.mu.Lock()
		value, ok = h.answers[field]
		h.mu.Unlock()
	}
	if !ok {
		return abi.Absent
	}
	if len(value) <= len(buf) {
		copy(buf, value)
	}
	return int32(len(value))
}

func (h *host) FieldWrite(field abi.Field, value []byte) {
	h.outputs[field] = append([]byte{}, value...)
}

func (h *host) Log(level int32, body []byte) {
	line := Log{Level: slog.Level(level), Message: string(body)}
	var attrs map[string]any
	if len(body) > 0 && body[0] == '{' && json.Unmarshal(body, &attrs) == nil {
		line.Message, _ = attrs[slog.MessageKey].(string)
		delete(attrs, slog.MessageKey)
		if len(attrs) > 0 {
			line.Attrs = attrs
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logs = append(h.logs, line)
}

func (h *host) Trigger(workflow, foreignID string, object []byte) {
	if !h.mayTrigger(workflow) {
		return
	}
	h.intents = append(h.intents, Intent{Workflow: workflow, ForeignID: foreignID, Object: append([]byte{}, object...)})
}

func (h *host) Callback(workflow, foreignID, status string, payload []byte) {
	if !h.mayTrigger(workflow) {
		return
	}
	h.intents = append(h.intents, Intent{Workflow: workflow, ForeignID: foreignID, Status: status, Object: append([]byte{}, payload...)})
}

// left replaces what the last call of a capability left.
func (h *host) left(answers map[abi.Field][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers = answers
}
