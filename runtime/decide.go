package runtime

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rules are what decisions know besides the run: the engine's settings.
type Rules struct {
	AutoResume     time.Duration // negative: never
	MaxObject      int           // bytes
	MaxVersions    uint64
	HistoryObjects bool // the history keeps each new object
}

// Work names what a handler is invoked for: a run's step, its timers that are to be computed, or something pending. With the
// version it was found in it is the fence: an outcome counts only while its work is still to be done, in the same attempt.
type Work struct {
	Kind     HandlerKind // HandlerStep, HandlerTimer, HandlerTimeout or HandlerCallback
	Name     string      // of HandlerTimeout
	Callback uint64      // of HandlerCallback
	Version  uint64
	Attempt  uint32
}

// Work returns what of a run is to be done next. The record is Ready.
func (r *Record) Work() Work {
	if i := r.taken(); i >= 0 {
		p := &r.Pending[i]
		if p.Kind == PendingCallback {
			return Work{Kind: HandlerCallback, Callback: p.Callback, Version: r.Version, Attempt: p.Attempt}
		}
		return Work{Kind: HandlerTimeout, Name: p.Name, Version: r.Version, Attempt: p.Attempt}
	}
	kind := HandlerStep
	if len(r.Arming) > 0 {
		kind = HandlerTimer
	}
	return Work{Kind: kind, Version: r.Version, Attempt: r.Attempt}
}

// Holds reports whether the work is still to be done, in the attempt that it names.
func (r *Record) Holds(w Work) bool {
	if r.Version != w.Version || r.State != Initiated && r.State != Running {
		return false
	}
	switch w.Kind {
	case HandlerStep, HandlerTimer:
		return r.stepReady() && (len(r.Arming) > 0) == (w.Kind == HandlerTimer) && r.Attempt == w.Attempt
	default:
		i := r.find(w)
		return i >= 0 && r.Pending[i].Taken && r.Pending[i].Attempt == w.Attempt
	}
}

// find returns the index of the pending task that the work is about, or −1.
func (r *Record) find(w Work) int {
	kind := PendingTimeout
	if w.Kind == HandlerCallback {
		kind = PendingCallback
	}
	return slices.IndexFunc(r.Pending, func(p Pending) bool {
		return p.Kind == kind && p.Name == w.Name && p.Callback == w.Callback
	})
}

// Decision is one outcome to be turned into the next version of a run.
type Decision struct {
	Record   *Record      // as the store has it; it Holds the work
	Workflow *Workflow    // the graph that the handler came from
	Handler  *Handler     // the handler that ran
	Trace    TraceContext // of its invocation
	Work     Work
	Outcome  *Outcome  // what it decided
	Armed    []Pending // of HandlerTimer: the timeouts that were computed
	Owner    Epoch     // of the shard
	Now      time.Time
	Took     time.Duration // how long the handler ran
	Share    float64       // random in [0, 1), for the jitter of a retry
	Rules    Rules
}

// Decide computes what an outcome makes of a run: it fills next, and b with everything that is to be written. It is pure: no
// clock, no randomness, no I/O. An outcome that the graph or the rules forbid becomes a permanent error of the handler, so
// there is always a next record.
//
// next.Object, and the objects in b, alias the record's object or the outcome's.
func Decide(d *Decision, next *Record, b *Batch) {
	d.begin(next, b)
	kind, reason := d.Outcome.Kind, d.Outcome.Reason
	if fault := d.fault(); fault != "" {
		kind, reason = OutcomePermanent, fault
	}
	switch {
	case kind == OutcomeError && d.Work.Attempt < d.Handler.Retry.Attempts:
		d.retry(next, b, reason)
		return
	case kind == OutcomePermanent && d.Work.Kind == HandlerCallback:
		d.settlePending(next)
		d.note(next, b, reason, true)
		return
	case kind == OutcomeSkip && d.Work.Kind != HandlerStep:
		d.settlePending(next)
		d.note(next, b, "skipped", false)
		return
	case d.Work.Kind == HandlerTimer && kind == OutcomeDone:
		d.arm(next)
		return
	}
	next.Version++
	next.Lines = 0
	next.Digest = d.Handler.Digest
	switch kind {
	case OutcomeError:
		d.exhausted(next)
		d.pause(next, PausedByError, fmt.Sprintf("%s (attempt %d of %d)", reason, d.Work.Attempt, d.Handler.Retry.Attempts))
	case OutcomePermanent:
		d.exhausted(next)
		d.pause(next, PausedByError, reason)
	default:
		d.advance(next)
	}
	if next.Alone++; d.Work.Kind == HandlerCallback {
		next.Alone = 0
	}
	if next.State == Running && next.Alone >= d.Rules.MaxVersions {
		d.pause(next, PausedByLimit, fmt.Sprintf(
			"the run has made %d versions by itself (engine.max_versions); if it does not circle, resume it", next.Alone))
	}
	line := d.line(next)
	line.Failed = kind == OutcomeError || kind == OutcomePermanent
	if d.keepsObject(kind) && d.Rules.HistoryObjects {
		line.Object = next.Object
	}
	b.History = append(b.History, line)
	if !line.Failed {
		b.Emits = d.Outcome.Emits
		addIntents(b, next, "", d.Outcome.Intents, d.Trace, d.Now)
	}
	conclude(d.Record, next, d.Workflow, d.Now, b)
}

func (d *Decision) begin(next *Record, b *Batch) {
	*next = *d.Record
	next.UpdatedAt = d.Now
	next.Owner = d.Owner
	b.Prev, b.Next = d.Record, next
	b.Log = logOf(d.Record, d.Handler, d.Work.Attempt, d.Outcome.Logs, d.Now)
}

// logOf returns the entry for what a handler logged; nil for nothing.
func logOf(rec *Record, h *Handler, attempt uint32, lines []LogLine, now time.Time) *LogEntry {
	if len(lines) == 0 {
		return nil
	}
	return &LogEntry{
		RunID: rec.RunID, Version: rec.Version, Time: now, Handler: h.title(), Attempt: attempt, Lines: lines,
	}
}

// advance applies an outcome that is not an error.
func (d *Decision) advance(next *Record) {
	out := d.Outcome
	if d.keepsObject(out.Kind) {
		next.Object = out.Object
	}
	next.State, next.Reason = Running, ""
	switch out.Kind {
	case OutcomeTo:
		d.settlePending(next)
		next.enter(d.Workflow.Statuses[out.Status], d.Now)
	case OutcomeRepeat:
		d.repeat(next)
	case OutcomeSkip:
		next.NotBefore, next.Parked, next.Attempt = time.Time{}, true, 0
	case OutcomePause:
		d.settlePending(next)
		d.pause(next, PausedByStep, out.Reason)
	case OutcomeCancel:
		next.end(Cancelled, out.Reason)
	case OutcomeError, OutcomePermanent, OutcomeDone: // Decide handles them
	}
}

// repeat has the handler run again, after the outcome's delay; a callback is done.
func (d *Decision) repeat(next *Record) {
	again := time.Time{}
	if d.Outcome.Delay > 0 {
		again = later(d.Now, d.Outcome.Delay)
	}
	switch d.Work.Kind {
	case HandlerTimeout:
		d.replacePending(next, Pending{
			Kind: PendingTimeout, Name: d.Work.Name, Due: later(d.Now, d.Outcome.Delay), Attempt: 1,
		})
	case HandlerCallback:
		d.settlePending(next)
	default:
		next.Task, next.Attempt, next.NotBefore = next.Version, 1, again
	}
}

// enter moves a run into a status, in its present version.
func (r *Record) enter(to *Status, now time.Time) {
	if to.Name != r.Status {
		r.Pending = nil
	} else {
		r.Pending = without(r.Pending, PendingTimeout)
	}
	r.Status, r.Entry, r.Task = to.Name, r.Version, r.Version
	if to.Terminal {
		r.end(Completed, "")
		return
	}
	r.Attempt, r.NotBefore, r.Parked, r.Arming = 1, time.Time{}, to.Step == nil, nil
	if r.Parked {
		r.Attempt = 0
	}
	for _, t := range to.Timeouts {
		if t.Timer != nil {
			r.Arming, r.Attempt = append(r.Arming, t.Name), 1
			continue
		}
		r.Pending = append(r.Pending, Pending{Kind: PendingTimeout, Name: t.Name, Due: later(now, t.After), Attempt: 1})
	}
	if to.Step != nil && to.Step.Lag > 0 && len(r.Arming) == 0 { // what is to be computed comes first, at once
		r.NotBefore = later(now, to.Step.Lag)
	}
}

// end ends a run where it is.
func (r *Record) end(state RunState, reason string) {
	r.State, r.Reason = state, reason
	r.Attempt, r.NotBefore, r.Parked, r.Arming, r.Pending = 0, time.Time{}, true, nil, nil
	r.Pause, r.ResumeAt = NotPaused, time.Time{}
}

// without returns the pending tasks of another kind, in a slice of its own.
func without(pending []Pending, kind PendingKind) []Pending {
	var kept []Pending
	for _, p := range pending {
		if p.Kind != kind {
			kept = append(kept, p)
		}
	}
	return kept
}

// arm sets the timeouts that were computed, and lets the step, if any, begin.
func (d *Decision) arm(next *Record) {
	next.Arming, next.Attempt = nil, 1
	if next.Parked {
		next.Attempt = 0
	}
	next.Pending = append(slices.Clip(next.Pending), d.Armed...)
	if step := d.Workflow.Statuses[next.Status].Step; step != nil && step.Lag > 0 {
		next.NotBefore = later(d.Now, step.Lag)
	}
}

// retry plans the next attempt. It makes no version: the run has not changed.
func (d *Decision) retry(next *Record, b *Batch, reason string) {
	next.put(d.Work, later(d.Now, d.Handler.Retry.Wait(d.Work.Attempt, d.Share)))
	if i := next.find(d.Work); d.Work.pending() {
		next.Pending[i].Attempt++
	} else {
		next.Attempt++
	}
	next.Reason = reason
	d.note(next, b, reason, true)
}

// put puts the work off until a time.
func (r *Record) put(w Work, until time.Time) {
	if !w.pending() {
		r.NotBefore = until
		return
	}
	r.Pending = slices.Clone(r.Pending)
	i := r.find(w)
	r.Pending[i].Due, r.Pending[i].Taken = until, false
}

// farthest is how far off a due time may be: a store keeps nanoseconds since 1970, up to the year 2262.
const farthest = 100 * 365 * 24 * time.Hour

// later is now + d, or as late as a due time may be.
func later(now time.Time, d time.Duration) time.Time { return now.Add(min(d, farthest)) }

// exhausted makes ready for a resume what has failed for good: it is then tried anew.
func (d *Decision) exhausted(next *Record) {
	if i := d.Record.find(d.Work); i >= 0 && d.Work.pending() {
		p := d.Record.Pending[i]
		p.Attempt, p.Taken = 1, true
		d.replacePending(next, p)
	}
}

func (w Work) pending() bool { return w.Kind == HandlerTimeout || w.Kind == HandlerCallback }

// settlePending takes the work, if it is pending, as done.
func (d *Decision) settlePending(next *Record) {
	if i := next.find(d.Work); i >= 0 && d.Work.pending() {
		next.Pending = slices.Delete(slices.Clone(next.Pending), i, i+1)
	}
}

// replacePending sets the state of the work, which is pending.
func (d *Decision) replacePending(next *Record, p Pending) {
	if i := next.find(d.Work); i >= 0 {
		next.Pending = slices.Clone(next.Pending)
		next.Pending[i] = p
	}
}

func (d *Decision) pause(next *Record, cause PauseCause, reason string) {
	next.State, next.Pause, next.Reason = Paused, cause, reason
	if cause == PausedByError && d.Rules.AutoResume >= 0 {
		next.ResumeAt = later(d.Now, d.Rules.AutoResume)
	}
}

// note adds a line about what happened to a version and made none.
func (d *Decision) note(next *Record, b *Batch, reason string, failed bool) {
	next.Lines++
	line := d.line(next)
	line.Line, line.Reason, line.Failed = next.Lines, reason, failed
	b.History = append(b.History, line)
}

func (d *Decision) line(next *Record) HistoryEntry {
	return HistoryEntry{
		RunID: next.RunID, Version: next.Version, Time: d.Now, Cause: d.Work.cause(), Handler: d.Handler.Name,
		Attempt: d.Work.Attempt, Callback: d.Work.Callback, Digest: d.Handler.Digest, Took: d.Took,
		Fuel:  d.Outcome.Fuel,
		State: next.State, Status: next.Status, Reason: next.Reason,
	}
}

func (w Work) cause() CauseKind {
	switch w.Kind {
	case HandlerTimeout, HandlerTimer:
		return CauseTimeout
	case HandlerCallback:
		return CauseCallback
	default:
		return CauseStep
	}
}

// keepsObject reports whether an outcome of this kind saves the object that the handler wrote.
func (d *Decision) keepsObject(kind OutcomeKind) bool {
	return d.Outcome.Changed && kind != OutcomeSkip && kind != OutcomeError && kind != OutcomePermanent
}

// fault says what is wrong with an outcome that is not an error, or "".
func (d *Decision) fault() string {
	out, h := d.Outcome, d.Handler
	switch out.Kind {
	case OutcomeError, OutcomePermanent:
		return ""
	case OutcomeTo, OutcomeRepeat, OutcomeSkip, OutcomePause, OutcomeCancel, OutcomeDone:
		if h.Kind.Moves() == (out.Kind == OutcomeDone) || !h.Kind.Moves() && out.Kind != OutcomeDone && out.Kind != OutcomeSkip {
			return fmt.Sprintf("%s %s answered outcome %d, which is not for a %s", h.Kind, h.Name, out.Kind, h.Kind)
		}
	default:
		return fmt.Sprintf("%s %s answered the unknown outcome %d", h.Kind, h.Name, out.Kind)
	}
	if out.Changed && len(out.Object) > d.Rules.MaxObject {
		return fmt.Sprintf("%s %s answered an object of %d bytes; at most %d are allowed (engine.max_object)",
			h.Kind, h.Name, len(out.Object), d.Rules.MaxObject)
	}
	if out.Kind == OutcomeTo && (!slices.Contains(h.To, out.Status) || d.Workflow.Statuses[out.Status] == nil) {
		return fmt.Sprintf("%s %s answered status %q, which it does not declare; it declares %s",
			h.Kind, h.Name, out.Status, strings.Join(h.To, ", "))
	}
	return ""
}

// conclude adds what follows from a change whatever made it: callbacks that came too late are refused, hooks are told, and a
// run that has ended gets the time of its removal. w may be nil, while no module carries the workflow: the task that then stands
// for the hooks stands for that time too.
func conclude(prev, next *Record, w *Workflow, now time.Time, b *Batch) {
	for _, p := range prev.Pending {
		if p.Kind != PendingCallback || slices.ContainsFunc(next.Pending, func(q Pending) bool { return q.Callback == p.Callback }) {
			continue
		}
		if handled := b.History[0].Callback == p.Callback; handled {
			continue
		}
		next.Lines++
		b.History = append(b.History, HistoryEntry{
			RunID: next.RunID, Version: next.Version, Line: next.Lines, Time: now, Cause: CauseCallback, Callback: p.Callback,
			Failed: true, State: next.State, Status: next.Status,
			Reason: fmt.Sprintf("the run left status %s before the callback was handled", prev.Status),
		})
	}
	if prev.State == next.State {
		return
	}
	if event := hookEvent(prev.State, next.State); event != 0 {
		addHooks(b, next, w, event, now)
	}
	if prev.State.Active() && !next.State.Active() && w != nil {
		next.ExpireAt = w.expiry(now)
	}
	if next.State == RequestedDataDeleted {
		b.AddTasks = append(b.AddTasks, Task{Due: now, Kind: TaskErase, RunID: next.RunID, Version: next.Version})
	}
}

// expiry returns when a run that ended at that time is removed; zero for never.
func (w *Workflow) expiry(ended time.Time) time.Time {
	if w.Retention <= 0 {
		return time.Time{}
	}
	return later(ended, w.Retention)
}

// addHooks adds a task for each hook of an event. While the workflow is unknown it adds one without a name, which becomes one
// for each hook when the workflow is known.
func addHooks(b *Batch, next *Record, w *Workflow, event HookEvent, now time.Time) {
	add := func(name string) {
		rec := next.Clone()
		b.AddTasks = append(b.AddTasks, Task{
			Due: now, Kind: TaskHook, RunID: next.RunID, Version: next.Version, Name: name, On: event, Record: &rec,
		})
	}
	if w == nil {
		add("")
		return
	}
	for _, h := range w.Hooks {
		if h.On == event {
			add(h.Name)
		}
	}
}

// addIntents adds a task for each run that a handler wishes to trigger or call back. prefix tells apart those of several handlers that a
// version has: its hooks, and what made it.
func addIntents(b *Batch, next *Record, prefix string, intents []Intent, trace TraceContext, now time.Time) {
	for i := range intents {
		intent := intents[i]
		b.AddTasks = append(b.AddTasks, Task{
			Due: now, Kind: TaskIntent, RunID: next.RunID, Version: next.Version, Name: fmt.Sprint(prefix, i+1),
			Intent: &intent, Trace: trace,
		})
	}
}

// Lost counts an attempt that may have begun before the process stopped uncleanly: the run that a handler kills the process
// with must run out of attempts too. It fills next and b as Decide does, and leaves the run Ready for another attempt, or
// Paused.
func Lost(rec *Record, w *Workflow, h *Handler, owner Epoch, now time.Time, rules Rules, next *Record, b *Batch) {
	work := rec.Work()
	d := Decision{
		Record: rec, Workflow: w, Handler: h, Work: work, Owner: owner, Now: now, Rules: rules,
		Outcome: &Outcome{
			Kind: OutcomeError, Reason: fmt.Sprintf("the server stopped without warning during attempt %d", work.Attempt),
		},
	}
	Decide(&d, next, b)
	if next.State == Paused {
		return
	}
	if i := next.find(work); i >= 0 && work.pending() {
		next.Pending[i].Taken = true
	} else {
		next.NotBefore = time.Time{}
	}
}
