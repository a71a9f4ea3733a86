package runtime

import (
	"encoding/hex"
	"errors"
	"slices"
	"time"
)

// Digest is the SHA-256 of a module's file: its identity. The zero digest stands for "no module", as of a native step.
type Digest [32]byte

// String returns 64 lower-case hexadecimal digits, or "" for the zero digest.
func (d Digest) String() string {
	if d == (Digest{}) {
		return ""
	}
	return hex.EncodeToString(d[:])
}

// ParseDigest reads what String writes of a digest that is not zero.
func ParseDigest(text string) (Digest, error) {
	var d Digest
	err := d.UnmarshalText([]byte(text))
	if err == nil && d == (Digest{}) {
		err = errNoDigest
	}
	return d, err
}

var errNoDigest = errors.New("a digest is 64 hexadecimal digits")

// MarshalText implements encoding.TextMarshaler by String.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	*d = Digest{}
	if len(text) == 0 {
		return nil
	}
	if len(text) != hex.EncodedLen(len(d)) {
		return errNoDigest
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return errNoDigest
	}
	return nil
}

// PauseCause says who paused a run: only what an error paused resumes by itself.
type PauseCause uint8

// Pause causes. The numbers are part of the durable format.
const (
	NotPaused      PauseCause = 0
	PausedByError  PauseCause = 1 // attempts exhausted, or a permanent error
	PausedByStep   PauseCause = 2 // the step asked for it
	PausedByPerson PauseCause = 3
	PausedByLimit  PauseCause = 4 // the run made max_versions by itself
)

// String returns the cause's name as the API writes it; "" for NotPaused.
func (c PauseCause) String() string {
	switch c {
	case PausedByError:
		return "error"
	case PausedByStep:
		return "step"
	case PausedByPerson:
		return "person"
	case PausedByLimit:
		return "limit"
	default:
		return ""
	}
}

// Record is the durable form of a run. Its step task, its timers and its index rows are functions of it (Ready, Timers), so a
// store writes them from the record and can rebuild them.
//
// Times are in UTC, to the nanosecond, without a monotonic reading; the zero time means "none".
type Record struct {
	RunID     RunID
	Workflow  string // 1–64 bytes
	ForeignID string // 1–256 bytes
	State     RunState
	Status    string // 1–64 bytes
	Version   uint64 // from 1; every change but an attempt's outcome raises it by one
	Entry     uint64 // the version that entered the status

	Task      uint64    // the version that made the step task; pause and resume leave it
	Attempt   uint32    // of the step task, from 1; counted before the invocation
	Owner     Epoch     // of the shard when an attempt was counted last: a later owner may find that it was already invoked
	NotBefore time.Time // the step task waits until then: a lag, a retry or a delayed repeat
	Parked    bool      // there is no step task: only a resume, a callback, a timer or a new entry makes one
	Arming    []string  // the timeouts of this entry whose times are still to be computed; the step task does that first
	Pending   []Pending // what else is to be done, in no order
	Callbacks uint64    // how many callbacks the run has taken in: the number of the last
	Lines     uint32    // lines of the history on this version that made none
	Alone     uint64    // how many versions the run has made by itself since a trigger, a callback or a person

	Pause    PauseCause // why the run is Paused
	ResumeAt time.Time  // when a run paused by an error resumes by itself
	ExpireAt time.Time  // when a run that has ended is removed

	Trace TraceContext // the trace that it was given; zero for none

	Reason    string // of the pause, the cancellation or the last failed attempt
	Digest    Digest // of the module whose handler made this version
	Pinned    Digest // of the definition that the run began with and is bound to; zero: it goes by the newest
	CreatedAt time.Time
	UpdatedAt time.Time
	Object    []byte // one JSON value; never nil
}

// PendingKind says what a Pending is. The numbers are part of the durable format.
type PendingKind uint8

// Pending kinds.
const (
	PendingTimeout  PendingKind = 1 // the timeout Name of this entry
	PendingCallback PendingKind = 2 // the callback with the number Callback
)

// Pending is something to be done to a run besides its step: a timeout that is not yet due, or a callback that was taken in.
type Pending struct {
	Kind     PendingKind
	Name     string       // of a timeout
	Callback uint64       // of a callback
	Due      time.Time    // when it is to be done; a failed attempt moves it on
	Attempt  uint32       // from 1; counted before the invocation
	Taken    bool         // its time has come: it is a task
	Trace    TraceContext // that a callback was given; zero for none
}

// Ready reports whether the record is a task that may run now: for its step, or for something pending.
func (r *Record) Ready() bool {
	if r.State != Initiated && r.State != Running {
		return false
	}
	return r.stepReady() || r.taken() >= 0
}

// stepReady reports whether the step task may run now; of an active run that is not paused.
func (r *Record) stepReady() bool { return (!r.Parked || len(r.Arming) > 0) && r.NotBefore.IsZero() }

// taken returns the index of the pending task that is to be done first: the one that is due first, callbacks in the order of
// their numbers; −1 for none.
func (r *Record) taken() int {
	first := -1
	for i := range r.Pending {
		p := &r.Pending[i]
		if p.Taken && (first < 0 || p.before(&r.Pending[first])) {
			first = i
		}
	}
	return first
}

func (p *Pending) before(q *Pending) bool {
	if p.Kind == PendingCallback && q.Kind == PendingCallback {
		return p.Callback < q.Callback
	}
	return p.Due.Before(q.Due)
}

// TimerKind says what a due row does. The numbers are part of the durable format.
type TimerKind uint8

// Timer kinds.
const (
	TimerRetry    TimerKind = 1 // makes a waiting task ready
	TimerResume   TimerKind = 2 // resumes a run that an error paused
	TimerForget   TimerKind = 3 // removes an idempotency key; Name holds it
	TimerTimeout  TimerKind = 4 // a timeout is due; Name holds its name
	TimerCallback TimerKind = 5 // a callback is tried again; Callback holds its number
	TimerExpire   TimerKind = 6 // removes a run that has ended
)

// Timer is a due row: at Due something is to happen to the run.
type Timer struct {
	Due      time.Time
	Kind     TimerKind
	RunID    RunID
	Name     string // of TimerForget the idempotency key, of TimerTimeout the timeout's name
	Callback uint64 // of TimerCallback
}

// Timers appends to dst the timers that follow from the record itself, and returns it. A paused run's timeouts and callbacks
// have none: they wait for its resume.
func (r *Record) Timers(dst []Timer) []Timer {
	switch r.State {
	case Initiated, Running:
		if !r.NotBefore.IsZero() {
			dst = append(dst, Timer{Due: r.NotBefore, Kind: TimerRetry, RunID: r.RunID})
		}
		for i := range r.Pending {
			switch p := &r.Pending[i]; {
			case p.Taken:
			case p.Kind == PendingTimeout:
				dst = append(dst, Timer{Due: p.Due, Kind: TimerTimeout, RunID: r.RunID, Name: p.Name})
			default:
				dst = append(dst, Timer{Due: p.Due, Kind: TimerCallback, RunID: r.RunID, Callback: p.Callback})
			}
		}
	case Paused:
		if !r.ResumeAt.IsZero() {
			dst = append(dst, Timer{Due: r.ResumeAt, Kind: TimerResume, RunID: r.RunID})
		}
	default:
		if !r.ExpireAt.IsZero() {
			dst = append(dst, Timer{Due: r.ExpireAt, Kind: TimerExpire, RunID: r.RunID})
		}
	}
	return dst
}

// Clone returns a copy that shares nothing with r.
func (r *Record) Clone() Record {
	c := *r
	c.Object = append(make([]byte, 0, len(r.Object)), r.Object...)
	c.Arming, c.Pending = slices.Clone(r.Arming), slices.Clone(r.Pending)
	return c
}

// CopyFrom makes r equal to src, reusing r's buffers.
func (r *Record) CopyFrom(src *Record) {
	object, pending := r.Object[:0], r.Pending[:0]
	*r = *src                                   // Arming is replaced as a whole, never written into
	r.Object = append(object, src.Object...)    //nolint:gocritic // the buffer is r's own
	r.Pending = append(pending, src.Pending...) //nolint:gocritic // the buffer is r's own
}

// Event is the notice that a record changed. It is written with the record, and its ID is EventID.
type Event struct {
	LSN       LSN // the batch that wrote it: events of one shard order by it
	RunID     RunID
	Version   uint64
	Workflow  string
	ForeignID string
	State     RunState
	Status    string
	Previous  string   // the status before; "" for the first version
	Was       RunState // the run state before; 0 for the first version
	Time      time.Time
	Number    int          // of one that a handler emitted with the change: from 1; 0: of the change itself
	Emit                   // what the handler emitted; empty of the change itself
	Emits     []Emit       // between store and engine: what handlers emitted with the change; outside each is an event of its own
	Trace     TraceContext // the trace that the run belongs to; zero for none
}

// NewEvent returns the event that a change from prev to next makes, which has another version; prev is nil for a new run.
func NewEvent(lsn LSN, prev, next *Record) Event {
	e := Event{
		LSN: lsn, RunID: next.RunID, Version: next.Version, Workflow: next.Workflow, ForeignID: next.ForeignID,
		State: next.State, Status: next.Status, Time: next.UpdatedAt, Trace: next.Trace,
	}
	if prev != nil {
		e.Previous, e.Was = prev.Status, prev.State
	}
	return e
}

// ID returns "<run_id>/<version>", and "<run_id>/<version>/<number>" of one that a handler emitted: equal for every delivery of the same event, so that consumers can drop duplicates.
func (e *Event) ID() string { return e.Ref().ID() }

// AppendID appends the event's ID to dst.
func (e *Event) AppendID(dst []byte) []byte { return e.Ref().AppendID(dst) }

// Ref returns what names the event.
func (e *Event) Ref() EventRef {
	return EventRef{LSN: e.LSN, RunID: e.RunID, Version: e.Version, Number: e.Number}
}

// CauseKind says what made a version or an attempt. The numbers are part of the durable format.
type CauseKind uint8

// Cause kinds.
const (
	CauseTrigger   CauseKind = 1  // a client's trigger
	CauseStep      CauseKind = 2  // a step's outcome
	CauseTimer     CauseKind = 3  // a timer of the engine: an automatic resume
	CausePerson    CauseKind = 4  // an operator
	CauseCallback  CauseKind = 5  // a callback's outcome
	CauseTimeout   CauseKind = 6  // a timeout's outcome
	CauseSchedule  CauseKind = 7  // a schedule's slot
	CauseIntent    CauseKind = 8  // a step of another run
	CauseHook      CauseKind = 9  // a hook's attempt
	CauseErase     CauseKind = 10 // the erasing of the run's data
	CauseConnector CauseKind = 11 // a record of an outside stream
)

// String returns the kind's name as the API writes it.
func (k CauseKind) String() string {
	switch k {
	case CauseTrigger:
		return "trigger"
	case CauseStep:
		return "step"
	case CauseTimer:
		return "timer"
	case CausePerson:
		return "person"
	case CauseCallback:
		return "callback"
	case CauseTimeout:
		return "timeout"
	case CauseSchedule:
		return "schedule"
	case CauseIntent:
		return "intent"
	case CauseHook:
		return "hook"
	case CauseErase:
		return "erase"
	case CauseConnector:
		return "connector"
	default:
		return "unknown"
	}
}

// HistoryEntry is one line of a run's history: a version that was made, or something that happened to a version and made none,
// such as an attempt that failed. Lines order by (Version, Line).
type HistoryEntry struct {
	RunID   RunID
	Version uint64 // the version made, or the version it happened to
	Line    uint32 // 0: the version was made; else the number, from 1, of what happened to it
	Time    time.Time

	Cause    CauseKind
	Handler  string // the handler's name, or the schedule's; of CausePerson what they did: "move"
	Attempt  uint32 // which attempt it was, of a handler
	Callback uint64 // the callback's number, of CauseCallback
	By       string // of CausePerson who, as they said; of CauseIntent the run that asked
	Digest   Digest // the module that ran
	Took     time.Duration
	Fuel     uint64 // that the handler used; 0 of native code, and of what no handler did
	Failed   bool   // the attempt failed, or what was asked was refused, for Reason

	State  RunState // after it
	Status string   // after it
	Reason string   // of a pause, a cancellation, an error or a refusal
	Object []byte   // the new object, when it changed and the engine keeps objects in the history; else nil
}

// AsksToErase reports whether the line says that the run's data were asked to be erased: by whom and why stays, when all else that
// the data may have gone into is erased.
func (h *HistoryEntry) AsksToErase() bool { return h.State == RequestedDataDeleted && h.Line == 0 }
