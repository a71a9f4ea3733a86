package runtime

import (
	"context"
	"fmt"
	"time"
)

// OutcomeKind says what a handler decided. Zero is no outcome.
type OutcomeKind uint8

// Outcome kinds.
const (
	OutcomeTo        OutcomeKind = 1 // go to Outcome.Status
	OutcomeRepeat    OutcomeKind = 2 // stay, and run the step again after Outcome.Delay
	OutcomeSkip      OutcomeKind = 3 // end the task and park the run; a new object is not saved
	OutcomePause     OutcomeKind = 4 // pause the run for Outcome.Reason; a new object is saved
	OutcomeCancel    OutcomeKind = 5 // cancel the run for Outcome.Reason; a new object is saved
	OutcomeError     OutcomeKind = 6 // the attempt failed for Outcome.Reason; another may not
	OutcomePermanent OutcomeKind = 7 // the attempt failed for Outcome.Reason, and another would too
	OutcomeDone      OutcomeKind = 8 // what a handler that moves no run was asked is done
)

// Outcome is what a handler decided in one invocation.
type Outcome struct {
	Kind    OutcomeKind
	Status  string        // the destination, of OutcomeTo
	Reason  string        // of a pause, a cancellation or an error
	Delay   time.Duration // of OutcomeRepeat; ≥ 0
	Due     time.Time     // of a HandlerTimer's OutcomeDone: when the timeout is due
	Changed bool          // Object holds the run's new object; otherwise the object stays as it is
	Object  []byte        // one JSON value when Changed; its buffer belongs to the caller of Invoke and is reused
	Action  Action        // of a HandlerConnector's OutcomeDone: what becomes of the message; it aliases nothing
	Intents []Intent      // runs to be triggered and callbacks to be made if the outcome is committed; not of an error
	Emits   []Emit        // events to be written if the outcome is committed as a new version; not of an error
	Logs    []LogLine     // what the handler logged, bounded by the host
	Fuel    uint64        // what the invocation used, whatever came of it; 0 of native code
}

// IntentKind says what an intent is to do. The numbers are durable.
type IntentKind uint8

// Intent kinds.
const (
	IntentTrigger  IntentKind = 0 // begin a run
	IntentCallback IntentKind = 1 // make a callback to a run
)

// Intent is a durable wish of a handler: that a run be triggered, or that another run get a callback.
type Intent struct {
	Kind      IntentKind
	Workflow  string
	ForeignID string
	Object    []byte // of a trigger one JSON value, empty: null; of a callback its payload, raw
	StartAt   string // of a trigger; "": the workflow's start
	Status    string // of a callback: the status in which the run takes it
}

// LogLine is one line that a handler logged.
type LogLine struct {
	Time    time.Time
	Level   int // of log/slog
	Text    string
	Handler string // its kind and name, as in LogEntry, when it is another than the entry's; an invocation leaves it empty
}

// Reset empties the outcome and keeps the object's buffer.
func (o *Outcome) Reset() {
	*o = Outcome{Object: o.Object[:0], Intents: o.Intents[:0], Emits: o.Emits[:0], Logs: o.Logs[:0]}
}

// Invocation is one call of a handler.
type Invocation struct {
	Handler  *Handler
	Record   *Record      // to be read during the call only, and not changed
	Attempt  uint32       // of this task, from 1
	Payload  []byte       // of a callback: raw; to be read during the call only
	Callback uint64       // of a callback: its number in the run, from 1; else 0
	Slot     time.Time    // of a filter: the schedule's slot; else zero
	Message  *Message     // of a connector: to be read during the call only; else nil
	Now      time.Time    // when the call starts
	Deadline time.Time    // when it is ended
	Trace    TraceContext // the place in a distributed trace that what it does outside is a part of; zero for none
	Seen     Settler      // what the handler may have seen, for effects outside; nil: nothing that is not durable
}

// Settler lets an invocation have effects outside of the engine, for which everything behind them must be durable.
//
// Settle returns nil once all that the invocation can have seen is durable. It is to be called before anything of the invocation
// leaves the process: a step begins before the one before it is on disk. It returns ctx's error if that ends first, and
// ErrStoreFailed when it never will be durable; then nothing may leave. It may be called any number of times during the
// invocation, from any goroutine.
type Settler interface {
	Settle(ctx context.Context) error
}

// Settle waits until what the invocation has seen is durable: see Settler.
func (in *Invocation) Settle(ctx context.Context) error {
	if in.Seen == nil {
		return nil
	}
	return in.Seen.Settle(ctx)
}

// AppendIdempotencyKey appends the key under which the invocation's outside effects are done at most once: "<run_id>/<version
// that made the task>/<kind>/<handler>", and of a callback "/<number>"; of a filter the slot, in seconds since 1970, stands for the version. Every attempt of one task has the same, whatever happens
// to the run in between.
//
// That of a connector's function is "<topic>/<partition>/<offset>/connector/<handler>".
func (in *Invocation) AppendIdempotencyKey(dst []byte) []byte {
	if m := in.Message; m != nil {
		return fmt.Appendf(dst, "%s/%d/%d/%s/%s", m.Topic, m.Partition, m.Offset, in.Handler.Kind, in.Handler.Name)
	}
	dst, _ = in.Record.RunID.AppendText(dst)
	version := in.Record.Version
	switch in.Handler.Kind {
	case HandlerStep:
		version = in.Record.Task
	case HandlerCallback, HandlerTimeout, HandlerTimer:
		version = in.Record.Entry
	case HandlerHook, HandlerErase, HandlerFilter, HandlerConnector, HandlerSelfTest:
	}
	if in.Handler.Kind == HandlerFilter {
		version = uint64(in.Slot.Unix())
	}
	dst = appendUint(append(dst, '/'), version)
	dst = append(append(dst, '/'), in.Handler.Kind.String()...)
	dst = append(append(dst, '/'), in.Handler.Name...)
	if in.Callback > 0 {
		dst = appendUint(append(dst, '/'), in.Callback)
	}
	return dst
}

// Invoker runs handlers of one module.
//
// Invoke calls the handler and fills out, which the caller has Reset. Whatever the handler does wrong — an error, a panic, a
// trap, an exit, a deadline — is an Outcome of kind OutcomeError or OutcomePermanent with a reason that a person can act on,
// and a nil error. A non-nil error means that the host ended or refused the call for reasons of its own; the attempt does not
// count, and the caller looks the step up again. ErrRetired says that the module has been replaced and closed.
//
// Invoke must not keep in, its record or out after it returned. It is called from many goroutines at a time and blocks while
// all instances are busy, until ctx ends.
type Invoker interface {
	Invoke(ctx context.Context, in *Invocation, out *Outcome) error
}
