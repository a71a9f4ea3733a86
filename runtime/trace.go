package runtime

import (
	"encoding/binary"
	"encoding/hex"
	"time"
)

// TraceContext is a place in a distributed trace, as W3C Trace Context (https://www.w3.org/TR/trace-context/) has it: the trace,
// the span that what follows is a part of, and the flags. The zero TraceContext is no trace.
type TraceContext struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte // bit 0: the trace is recorded
}

// traceParentLen is the length of a traceparent of version 00.
const traceParentLen = 55

// traceSampled is the flag of a trace that is recorded.
const traceSampled = 1

// ParseTraceParent reads the header traceparent, and reports whether it is one. As the specification has it, of a later version
// what version 00 has is read, and whoever is given a malformed header goes on without.
func ParseTraceParent(header string) (TraceContext, bool) {
	var c TraceContext
	var version, flags [1]byte
	if len(header) < traceParentLen || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return TraceContext{}, false
	}
	ok := lowerHex(version[:], header[:2]) && lowerHex(c.TraceID[:], header[3:35]) && lowerHex(c.SpanID[:], header[36:52]) &&
		lowerHex(flags[:], header[53:55])
	switch {
	case !ok, version[0] == 0xff, c.TraceID == [16]byte{}, c.SpanID == [8]byte{}:
		return TraceContext{}, false
	case len(header) > traceParentLen && (version[0] == 0 || header[traceParentLen] != '-'):
		return TraceContext{}, false
	}
	c.Flags = flags[0] & traceSampled
	return c, true
}

// lowerHex fills dst from lower-case hexadecimal digits, two for each byte, and reports whether they are that.
func lowerHex(dst []byte, text string) bool {
	for i := range len(text) {
		if c := text[i]; c < '0' || '9' < c && c < 'a' || 'f' < c {
			return false
		}
	}
	n, err := hex.Decode(dst, []byte(text))
	return err == nil && n == len(dst)
}

// IsZero reports whether it is no trace.
func (c TraceContext) IsZero() bool { return c.TraceID == [16]byte{} }

// ID returns the trace's ID as 32 lower-case hexadecimal digits, "" for the zero TraceContext.
func (c TraceContext) ID() string {
	if c.IsZero() {
		return ""
	}
	return hex.EncodeToString(c.TraceID[:])
}

// Sampled reports whether the trace is recorded.
func (c TraceContext) Sampled() bool { return c.Flags&traceSampled != 0 }

// AppendText implements encoding.TextAppender: it appends the traceparent, of version 00; nothing of the zero TraceContext. It
// never fails.
func (c TraceContext) AppendText(dst []byte) ([]byte, error) {
	if c.IsZero() {
		return dst, nil
	}
	dst = append(hex.AppendEncode(append(dst, "00-"...), c.TraceID[:]), '-')
	dst = append(hex.AppendEncode(dst, c.SpanID[:]), '-')
	return hex.AppendEncode(dst, []byte{c.Flags}), nil
}

// String returns the traceparent, "" for the zero TraceContext.
func (c TraceContext) String() string {
	text, _ := c.AppendText(nil)
	return string(text)
}

// Tracer records what the engine does as spans of distributed traces. Its methods are called from many goroutines and must not
// block.
type Tracer interface {
	// Sample decides whether a trace that begins in this engine is recorded. It answers the same for one trace every time, so
	// that nothing has to be kept.
	Sample(traceID [16]byte) bool
	// Record takes a span that has ended, of a trace that is recorded. It must not keep s.
	Record(s *Span)
}

// SpanKind says what a span is of.
type SpanKind uint8

// Span kinds.
const (
	SpanTrigger    SpanKind = 1 // a run that was begun
	SpanInvocation SpanKind = 2 // a call of a handler
	SpanIntent     SpanKind = 3 // the delivery of an intent
)

// Span is something that the engine did.
type Span struct {
	Kind   SpanKind
	Trace  TraceContext // its own place: the trace, and its ID
	Parent [8]byte      // the span that it is a part of; zero for none
	Remote bool         // the parent is another process's
	Link   TraceContext // another trace that it came of; zero for none
	Began  time.Time
	Ended  time.Time

	Workflow string
	RunID    RunID // zero of a filter
	Status   string
	Cause    CauseKind   // of SpanTrigger
	Handler  *Handler    // of SpanInvocation
	Attempt  uint32      // of SpanInvocation and SpanIntent
	Outcome  OutcomeKind // of SpanInvocation; 0: the host refused the call
	Target   string      // of SpanIntent: the workflow of the run that was asked for
	Reason   string      // why it failed; of SpanIntent what became of it
	Failed   bool
}

// rootSpan is the ID of the span of a run's trigger. It follows from the run's ID, so whatever is done to the run later, by
// whatever process, finds its parent.
func rootSpan(id RunID) (span [8]byte) {
	copy(span[:], id[8:])
	return span
}

// traceOf returns the trace that what is done to a run belongs to: the one that it was given, or else, while traces are recorded,
// one that bears the run's ID. Zero for none.
func (e *Engine) traceOf(id RunID, given TraceContext) TraceContext {
	if e.opt.Tracer == nil || !given.IsZero() || id.IsZero() {
		return given
	}
	c := TraceContext{TraceID: id, SpanID: rootSpan(id)}
	if e.opt.Tracer.Sample(c.TraceID) {
		c.Flags = traceSampled
	}
	return c
}

// traceEvents gives events the trace of their runs, where the store has none because none was given.
func (e *Engine) traceEvents(events []Event) {
	if e.opt.Tracer == nil {
		return
	}
	for i := range events {
		events[i].Trace = e.traceOf(events[i].RunID, events[i].Trace)
	}
}

// spanIn returns the place of a new span in a trace, and whether it is recorded; if not, what it does is as its parent does.
func (e *Engine) spanIn(c TraceContext) (TraceContext, bool) {
	if e.opt.Tracer == nil || !c.Sampled() {
		return c, false
	}
	for c.SpanID = [8]byte{}; c.SpanID == [8]byte{}; {
		binary.BigEndian.PutUint64(c.SpanID[:], e.opt.Random())
	}
	return c, true
}

// traceTriggered records a run's beginning, whose record says which trace it belongs to. given is the trigger's own.
func (e *Engine) traceTriggered(rec *Record, cause CauseKind, given TraceContext, began time.Time) {
	if e.opt.Tracer == nil {
		return
	}
	c := e.traceOf(rec.RunID, rec.Trace)
	if !c.Sampled() {
		return
	}
	e.opt.Tracer.Record(&Span{
		Kind: SpanTrigger, Trace: c, Parent: given.SpanID, Remote: cause != CauseIntent, Began: began, Ended: e.now(),
		Workflow: rec.Workflow, RunID: rec.RunID, Status: rec.Status, Cause: cause,
	})
}

// keepTrace returns what a new run keeps of the trace that its trigger was given: the place of its own beginning in it.
func (e *Engine) keepTrace(id RunID, given TraceContext) TraceContext {
	if e.opt.Tracer != nil && given.Sampled() {
		given.SpanID = rootSpan(id)
	}
	return given
}

// traceCall returns a span for the call of a handler, and gives the call its place; nil for none. came is the trace of the
// callback that is handled, if it had one.
func (e *Engine) traceCall(in *Invocation, came TraceContext) *Span {
	parent := e.traceOf(in.Record.RunID, in.Record.Trace)
	if parent.IsZero() {
		parent = came // nobody records: it is passed on as it came
	}
	link := came
	if came.TraceID == parent.TraceID {
		parent.SpanID, link = came.SpanID, TraceContext{}
	}
	own, recorded := e.spanIn(parent)
	in.Trace = own
	if !recorded {
		return nil
	}
	return &Span{
		Kind: SpanInvocation, Trace: own, Parent: parent.SpanID, Remote: came.TraceID == parent.TraceID, Link: link, Began: in.Now,
		Workflow: in.Record.Workflow, RunID: in.Record.RunID, Status: in.Record.Status, Handler: in.Handler, Attempt: in.Attempt,
	}
}

// traceEnded records the span of a call; nil is none.
func (e *Engine) traceEnded(s *Span, out *Outcome, err error) {
	if s == nil {
		return
	}
	s.Ended, s.Outcome = e.now(), out.Kind
	switch {
	case err != nil:
		s.Outcome, s.Failed, s.Reason = 0, true, err.Error()
	case out.Kind == OutcomeError || out.Kind == OutcomePermanent:
		s.Failed, s.Reason = true, out.Reason
	}
	e.opt.Tracer.Record(s)
}

// traceIntent returns a span for an attempt to deliver an intent: its place is what the run that is asked for continues.
func (e *Engine) traceIntent(t *Task) *Span {
	own, _ := e.spanIn(t.Trace)
	return &Span{
		Kind: SpanIntent, Trace: own, Parent: t.Trace.SpanID, Began: e.now(), RunID: t.RunID, Attempt: t.Attempt + 1,
		Target: t.Intent.Workflow,
	}
}

// traceDelivered records the span of an attempt to deliver an intent. What is void, as the engine stops, has neither failed nor
// a reason and leaves none.
func (e *Engine) traceDelivered(s *Span, line *HistoryEntry) {
	if e.opt.Tracer == nil || !s.Trace.Sampled() || line.Reason == "" {
		return
	}
	s.Ended, s.Reason, s.Failed = e.now(), line.Reason, line.Failed
	e.opt.Tracer.Record(s)
}

// cameWith returns the trace that the callback which the work is about was given; zero for none.
func (r *Record) cameWith(w Work) TraceContext {
	if w.Kind != HandlerCallback {
		return TraceContext{}
	}
	if i := r.find(w); i >= 0 {
		return r.Pending[i].Trace
	}
	return TraceContext{}
}
