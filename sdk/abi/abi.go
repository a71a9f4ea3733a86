// Package abi holds the names and numbers of wfrt's plugin interface, version 1, which the host and every guest share.
//
// docs/abi.md is the specification; this package is its Go form. A guest written in another language needs only that page.
// A number once assigned here is never given another meaning.
package abi

import (
	"encoding/json"
	"strconv"
)

// Version is the ABI version that this package describes. A manifest names it; the host refuses any other.
const Version = 1

// Import and export names. A module imports host functions from ImportModule and exports the others.
const (
	ImportModule = "wfrt_v1"

	FuncFieldRead  = "field_read"  // (field, buf, buf_limit i32) → i32: the field's length, or Absent
	FuncFieldWrite = "field_write" // (field, ptr, len i32)
	FuncLog        = "log"         // (level, ptr, len i32)
	FuncTrigger    = "trigger"     // (workflow_ptr, workflow_len, foreign_id_ptr, foreign_id_len, object_ptr, object_len i32)
	FuncCallback   = "callback"    // (workflow_ptr, workflow_len, foreign_id_ptr, foreign_id_len, status_ptr, status_len, payload_ptr, payload_len i32)
	FuncHTTPSend   = "http_send"   // (head_ptr, head_len, body_ptr, body_len, timeout_ms i32) → i32: the status code, or SendRefused or SendFailed
	FuncSecretRead = "secret_read" // (name_ptr, name_len, buf, buf_limit i32) → i32: the secret's length, or Absent
	FuncEmit       = "emit"        // (type_ptr, type_len, content_type_ptr, content_type_len, data_ptr, data_len i32)
	FuncMeasure    = "measure"     // (kind, name_ptr, name_len, labels_ptr, labels_len i32, value i64) → i32: 0, or Absent

	ExportMemory     = "memory"        // the module's one linear memory
	ExportInitialize = "_initialize"   // optional; () called once per instance before anything else
	ExportManifest   = "wfrt_manifest" // (): writes FieldManifest
	ExportInvoke     = "wfrt_invoke"   // (handler i32) → i32: a Code
	ExportWarm       = "wfrt_warm"     // optional; () called once per module with IsolationFresh, after ExportManifest
)

// ReservedExportPrefix begins names that only the host may add to a module.
const ReservedExportPrefix = "wfrt:"

// What http_send answers instead of a status code. FieldFailure tells why.
const (
	SendRefused int32 = -1 // the operator does not grant it; asking again does not help
	SendFailed  int32 = -2 // there was no answer, or none that could be taken
)

// Kinds of measurements, the first argument of measure.
const (
	MeasureCount   int32 = 1 // adds to a counter; the value is not negative
	MeasureSet     int32 = 2 // sets a gauge
	MeasureObserve int32 = 3 // an observation of a histogram
)

// SecretOpen and SecretClose enclose the name of a secret in a header of a request, which the host replaces by its value.
const (
	SecretOpen  = "{{secret:"
	SecretClose = "}}"
)

// Absent is what field_read answers for a field that the invocation does not carry.
const Absent int32 = -1

// Field numbers a byte string that crosses between host and guest. Fields 1–63 are inputs, which the guest reads; fields
// 64–127 are outputs, which it writes. Integers are 8 bytes, unsigned, little-endian; texts are UTF-8 without a terminator.
type Field int32

// Inputs.
const (
	FieldObject         Field = 1  // the run's object: one JSON value
	FieldWorkflow       Field = 2  // text
	FieldForeignID      Field = 3  // text
	FieldRunID          Field = 4  // text, 36 bytes, RFC 9562
	FieldStatus         Field = 5  // text: the status that the handler handles
	FieldVersion        Field = 6  // integer: the record's version, from 1
	FieldAttempt        Field = 7  // integer: the attempt of this task, from 1
	FieldNow            Field = 8  // integer: nanoseconds since 1970 UTC, at the start of the invocation
	FieldDeadline       Field = 9  // integer: nanoseconds since 1970 UTC; the invocation is ended then
	FieldCreatedAt      Field = 10 // integer: nanoseconds since 1970 UTC, when the run was created
	FieldIdempotencyKey Field = 11 // text: the same for every attempt of one task
	FieldPayload        Field = 12 // bytes as they came; only of a callback
	FieldCallbackID     Field = 13 // text, "<run_id>/<number>"; only of a callback
	FieldSlot           Field = 14 // integer: nanoseconds since 1970 UTC, the schedule's slot; only of a filter
	FieldState          Field = 15 // text: the run's state, "Running"
	FieldRunReason      Field = 16 // text: the record's reason: of its pause or cancellation
	FieldHTTPHead       Field = 17 // text: status and headers of the answer to the last http_send, a line each
	FieldHTTPBody       Field = 18 // bytes: the body of that answer
	FieldFailure        Field = 19 // text: why the last call of a capability was refused or failed

	FieldTraceParent Field = 32 // text: a W3C traceparent, of this invocation; absent when the run belongs to no trace
)

// Inputs of a connector's function, and of no other.
const (
	FieldTopic          Field = 25 // text: of the message
	FieldPartition      Field = 26 // integer: of the message in its topic
	FieldOffset         Field = 27 // integer: of the message in its partition
	FieldMessageKey     Field = 28 // bytes; absent when the message has none
	FieldMessageValue   Field = 29 // bytes; absent when the message has none
	FieldMessageHeaders Field = 30 // of each header the length of its name in 4 bytes, little-endian, the name, and so the value
	FieldMessageTime    Field = 31 // integer: nanoseconds since 1970 UTC, as the stream has it
)

// Outputs of a connector's function, with CodeDone. Those that are texts have at most 64 bytes, but for the foreign ID.
const (
	FieldAction          Field = 80 // text: ActionTrigger or ActionCallback
	FieldActionWorkflow  Field = 81 // text: whose run it is; not written: the handler's workflow
	FieldActionForeignID Field = 82 // text, 1–256 bytes
	FieldActionStatus    Field = 83 // text: of a trigger where the run begins, not written: the start; of a callback the status that takes it
	FieldActionObject    Field = 84 // of a trigger the run's object, one JSON value, not written: null; of a callback the payload
)

// What a connector's function makes of a message, besides nothing, which is CodeSkip.
const (
	ActionTrigger  = "trigger"
	ActionCallback = "callback"
)

// Outputs. A later write of the same field replaces the earlier one.
const (
	FieldNewObject Field = 64 // one JSON value; not written: the object is unchanged
	FieldNewStatus Field = 65 // text: the destination, with CodeTo
	FieldReason    Field = 66 // text: why, with CodePause, CodeCancel, CodeError and CodePermanent
	FieldDelay     Field = 67 // integer: nanoseconds to wait, with CodeRepeat; not written: 0
	FieldManifest  Field = 68 // the manifest, only within wfrt_manifest: a JSON document, see Manifest
	FieldDue       Field = 69 // integer: nanoseconds since 1970 UTC, when a timeout is due, with CodeDone of a timer
)

// String returns the field's name as docs/abi.md writes it, or "field(N)" for a number that has none.
func (f Field) String() string {
	switch f {
	case FieldObject:
		return "object"
	case FieldWorkflow:
		return "workflow"
	case FieldForeignID:
		return "foreign_id"
	case FieldRunID:
		return "run_id"
	case FieldStatus:
		return "status"
	case FieldVersion:
		return "version"
	case FieldAttempt:
		return "attempt"
	case FieldNow:
		return "now"
	case FieldDeadline:
		return "deadline"
	case FieldCreatedAt:
		return "created_at"
	case FieldIdempotencyKey:
		return "idempotency_key"
	case FieldPayload:
		return "payload"
	case FieldCallbackID:
		return "callback_id"
	case FieldSlot:
		return "slot"
	case FieldState:
		return "state"
	case FieldRunReason:
		return "run_reason"
	case FieldHTTPHead:
		return "http_head"
	case FieldHTTPBody:
		return "http_body"
	case FieldFailure:
		return "failure"
	case FieldTraceParent:
		return "trace_parent"
	case FieldTopic:
		return "topic"
	case FieldPartition:
		return "partition"
	case FieldOffset:
		return "offset"
	case FieldMessageKey:
		return "message_key"
	case FieldMessageValue:
		return "message_value"
	case FieldMessageHeaders:
		return "message_headers"
	case FieldMessageTime:
		return "message_time"
	case FieldAction:
		return "action"
	case FieldActionWorkflow:
		return "action_workflow"
	case FieldActionForeignID:
		return "action_foreign_id"
	case FieldActionStatus:
		return "action_status"
	case FieldActionObject:
		return "action_object"
	case FieldNewObject:
		return "new_object"
	case FieldNewStatus:
		return "new_status"
	case FieldReason:
		return "reason"
	case FieldDelay:
		return "delay"
	case FieldManifest:
		return "manifest"
	case FieldDue:
		return "due"
	default:
		return "field(" + strconv.Itoa(int(f)) + ")"
	}
}

// Code is what wfrt_invoke answers. Zero is no code, so that a guest that forgets to answer does not succeed.
type Code int32

// Codes.
const (
	CodeTo        Code = 1 // move to FieldNewStatus
	CodeRepeat    Code = 2 // save the object, stay in the status, and run the step again, after FieldDelay
	CodeSkip      Code = 3 // end the task and park the run
	CodePause     Code = 4 // pause the run, for FieldReason
	CodeCancel    Code = 5 // cancel the run, for FieldReason
	CodeError     Code = 6 // the attempt failed, for FieldReason; try again with back-off
	CodePermanent Code = 7 // the attempt failed, for FieldReason, and trying again would not help
	CodeDone      Code = 8 // what a timer, hook, erase function or filter was asked is done
)

// Log levels, equal to log/slog's.
const (
	LevelDebug int32 = -4
	LevelInfo  int32 = 0
	LevelWarn  int32 = 4
	LevelError int32 = 8
)

// Limits of what a manifest may hold. Names are workflow, status and handler names.
const (
	MaxNameBytes     = 64
	MaxManifestBytes = 1 << 20
	MaxHandlers      = 4096
)

// Manifest says what a module is: the document that wfrt_manifest writes, as JSON.
type Manifest struct {
	ABI       int        `json:"abi"`               // Version
	SDK       string     `json:"sdk,omitempty"`     // who wrote the manifest: "go/0.1.0"
	Version   string     `json:"version,omitempty"` // the author's own version of the plugin; any text
	Workflows []Workflow `json:"workflows"`         // at least one

	Isolation    string        `json:"isolation,omitempty"`    // what its author wishes: IsolationFresh or IsolationPooled; "": the latter
	Capabilities *Capabilities `json:"capabilities,omitempty"` // what the module asks for; absent: nothing

	// SelfTest is the ID of a function by which the module tests itself, before it serves: it answers CodeDone, or an error with
	// its reason. It is no handler of a workflow; no other handler has its ID. Absent: there is none.
	SelfTest *int32 `json:"self_test,omitempty"`
}

// Isolations: what one invocation may find of the last in its instance.
const (
	IsolationFresh  = "fresh"  // every invocation begins with the state that the module had before the first
	IsolationPooled = "pooled" // an invocation finds the memory as the last one in the instance left it
)

// Workflow is the part of one workflow that a module carries. Several modules may each carry a part of the same workflow.
type Workflow struct {
	Name      string     `json:"name"`                // 1–64 bytes of a–z, A–Z, 0–9, '-', '_', '.'
	Start     string     `json:"start,omitempty"`     // the status a run begins in; empty: the only one that no other leads to
	Handlers  []Handler  `json:"handlers"`            // at least one
	Terminal  []string   `json:"terminal,omitempty"`  // statuses that end a run
	External  []string   `json:"external,omitempty"`  // destinations that another module handles
	Schedules []Schedule `json:"schedules,omitempty"` // what triggers the workflow by the clock

	// ObjectVersion is the version of the form that this module gives to objects, and Reads are the other versions that it can
	// read: a module that cannot read the objects of the one it replaces does not take over runs that are in flight.
	ObjectVersion int    `json:"object_version,omitempty"` // ≥ 0
	Reads         []int  `json:"reads,omitempty"`
	Versions      string `json:"versions,omitempty"` // VersionsLatest or VersionsPinned; empty: latest
}

// What a run goes by, unless the operator says otherwise.
const (
	VersionsLatest = "latest" // the newest version, whatever it began with
	VersionsPinned = "pinned" // the version that it began with, to its end
)

// Kinds of handlers, and what they may answer. A handler of a kind without a status belongs to the workflow as a whole, and only
// one module of a workflow may carry an erase function.
const (
	KindStep      = "step"      // handles a status; any code but CodeDone
	KindCallback  = "callback"  // takes outside input in a status; any code but CodeDone; CodeSkip passes the payload to the next
	KindTimeout   = "timeout"   // runs when a run has been in a status for long enough; any code but CodeDone
	KindTimer     = "timer"     // says when a timeout is due: CodeDone with FieldDue, or CodeSkip for never
	KindHook      = "hook"      // is told of a change, without a status; CodeDone
	KindErase     = "erase"     // says what remains of an erased object, without a status: CodeDone with FieldNewObject
	KindFilter    = "filter"    // says whether a slot of a schedule triggers, without a status: CodeDone, perhaps with FieldNewObject, or CodeSkip
	KindConnector = "connector" // says what becomes of a message, without a status: CodeDone with FieldAction, or CodeSkip for nothing
)

// What a hook is told of.
const (
	OnPause    = "pause"
	OnCancel   = "cancel"
	OnComplete = "complete"
	OnResume   = "resume"
	OnErase    = "erase"
)

// Handler is one function of the module. Any kind may also answer CodeError or CodePermanent.
type Handler struct {
	ID          int32    `json:"id"`                     // what wfrt_invoke is called with; unique in the module
	Kind        string   `json:"kind"`                   // one of the kinds above
	Name        string   `json:"name"`                   // unique for its workflow, kind and status; it is persisted
	Status      string   `json:"status,omitempty"`       // of a step, callback, timeout or timer: the status it belongs to
	To          []string `json:"to,omitempty"`           // of a step, callback or timeout: the statuses it may move a run to; may be empty of a callback or timeout
	Parallelism int      `json:"parallelism,omitempty"`  // of a step: concurrent invocations; 0: no limit of its own
	LagMS       int64    `json:"lag_ms,omitempty"`       // of a step: how long a run waits in the status before the step runs; 0: the server's default
	LagAlertMS  int64    `json:"lag_alert_ms,omitempty"` // of a step: a task that waits longer for a worker is counted as late; 0: the server's default
	AfterMS     int64    `json:"after_ms,omitempty"`     // of a timeout: how long after the entry it is due, unless timer says
	Timer       *int32   `json:"timer,omitempty"`        // of a timeout: the ID of the timer handler, of the same status, that says when it is due
	On          string   `json:"on,omitempty"`           // of a hook: what it is told of
	Retry       *Retry   `json:"retry,omitempty"`        // absent: the server's defaults
}

// Schedule triggers the workflow by the clock.
type Schedule struct {
	Name      string          `json:"name"`                 // unique in the workflow; a name like a status's
	Cron      string          `json:"cron"`                 // five fields, six with seconds, @every 90s, @daily …
	Zone      string          `json:"zone,omitempty"`       // of the IANA database; empty: UTC
	ForeignID string          `json:"foreign_id,omitempty"` // of its runs; empty: the schedule's name
	Object    json.RawMessage `json:"object,omitempty"`     // absent: null
	StartAt   string          `json:"start_at,omitempty"`   // empty: the workflow's start
	CatchUp   string          `json:"catch_up,omitempty"`   // what becomes of missed slots: "one" (default), "all", "none"
	Filter    *int32          `json:"filter,omitempty"`     // the ID of the filter handler that decides on each slot
}

// Retry is how failed attempts are repeated: after the nth failure the wait is a random part of
// min(max_ms, initial_ms × factor^(n−1)).
type Retry struct {
	InitialMS int64   `json:"initial_ms,omitempty"` // 0: the server's default
	MaxMS     int64   `json:"max_ms,omitempty"`     // 0: the server's default
	Factor    float64 `json:"factor,omitempty"`     // 0: the server's default
	Attempts  int     `json:"attempts,omitempty"`   // invocations in all, the first included; 0: the server's default
}
