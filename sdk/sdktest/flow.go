package sdktest

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/abi"
)

// Flow is a whole workflow in process, with a clock that only Advance moves. It is not for concurrent use.
//
// It does at once what the server would do: after each call of a method every run has gone as far as it can without time
// passing or anything from outside. It knows the rules of docs/concepts.md and keeps to them, with these differences:
//
//   - Waits after failed attempts are the longest that the server may choose: it chooses a random part of them.
//   - There is one module: a run that reaches an External status stays there.
//   - Runs that were asked for with sdk.Trigger are noted and not begun; the workflow they are for may be another Flow.
//   - Slots of schedules come on time, so none is ever missed; around a change of the clock in a zone they may be off by it.
//   - Parallelism, lag alerts, retention and the limits of the sandbox do not apply.
type Flow[O any, S ~string] struct {
	e *engine
}

// New returns the workflow w at noon of 1 January 2026 UTC, without runs. It fails the test when the plugin's registration
// is faulty.
func New[O any, S ~string](t testing.TB, w *sdk.Workflow[O, S]) *Flow[O, S] {
	t.Helper()
	return NewAt(t, w, time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC))
}

// NewAt is New at another time.
func NewAt[O any, S ~string](t testing.TB, w *sdk.Workflow[O, S], now time.Time) *Flow[O, S] {
	t.Helper()
	return &Flow[O, S]{e: newEngine(t, w.Name(), now.UTC())}
}

// With gives every invocation from now on options, such as HTTP. It returns the Flow.
func (f *Flow[O, S]) With(opts ...Option) *Flow[O, S] {
	f.e.options = append(f.e.options, opts...)
	return f
}

// Now returns the time of the fake clock.
func (f *Flow[O, S]) Now() time.Time { return f.e.now }

// Advance lets time pass, with all that happens in it: retries, timeouts, lags, automatic resumes and slots, each at its
// time.
func (f *Flow[O, S]) Advance(d time.Duration) {
	f.e.t.Helper()
	f.e.advanceTo(f.e.now.Add(d))
}

// Trigger begins a run. It fails the test when the foreign ID has an active run.
func (f *Flow[O, S]) Trigger(foreignID string, object O) *Case[O, S] {
	f.e.t.Helper()
	return f.TriggerAt("", foreignID, object)
}

// TriggerAt is Trigger into a status other than the start.
func (f *Flow[O, S]) TriggerAt(status S, foreignID string, object O) *Case[O, S] {
	f.e.t.Helper()
	doc, err := encode(object)
	if err != nil {
		f.e.t.Fatalf("sdktest: encode the object: %v", err)
	}
	return f.of(f.e.trigger(foreignID, doc, string(status)))
}

// TriggerJSON is Trigger with the object as a client sends it.
func (f *Flow[O, S]) TriggerJSON(foreignID string, object []byte) *Case[O, S] {
	f.e.t.Helper()
	return f.of(f.e.trigger(foreignID, object, ""))
}

// Runs returns all runs in the order they were begun, those of schedules too.
func (f *Flow[O, S]) Runs() []*Case[O, S] {
	all := make([]*Case[O, S], len(f.e.runs))
	for i, r := range f.e.runs {
		all[i] = f.of(r)
	}
	return all
}

// Run returns the newest run of a foreign ID, or fails the test.
func (f *Flow[O, S]) Run(foreignID string) *Case[O, S] {
	f.e.t.Helper()
	r := f.e.latest(foreignID)
	if r == nil {
		f.e.t.Fatalf("sdktest: there is no run for the foreign ID %q", foreignID)
	}
	return f.of(r)
}

// Slots returns the slots of schedules that have come, and what became of them.
func (f *Flow[O, S]) Slots() []Slot { return slices.Clone(f.e.slots) }

func (f *Flow[O, S]) of(r *run) *Case[O, S] { return &Case[O, S]{e: f.e, r: r} }

// Slot is one time of a schedule.
type Slot struct {
	Schedule string
	Time     time.Time // the slot, in UTC
	Result   string    // "triggered", "skipped: …" or, of an attempt that is repeated, "failed: …"
}

// Case is a run of a Flow.
type Case[O any, S ~string] struct {
	e *engine
	r *run
}

// ID returns the run's ID.
func (c *Case[O, S]) ID() string { return c.r.id }

// ForeignID returns the run's foreign ID.
func (c *Case[O, S]) ForeignID() string { return c.r.foreignID }

// State returns the run's state.
func (c *Case[O, S]) State() sdk.State { return c.r.state }

// Status returns the run's status.
func (c *Case[O, S]) Status() S { return S(c.r.status) }

// Reason returns why the run is paused or cancelled, or why its last attempt failed.
func (c *Case[O, S]) Reason() string { return c.r.reason }

// JSON returns the run's object as the server would store it. It is not to be changed.
func (c *Case[O, S]) JSON() []byte { return c.r.object }

// Object returns the run's object. It fails the test when the object does not fit O.
func (c *Case[O, S]) Object() O {
	c.e.t.Helper()
	var o O
	if err := decode(c.r.object, &o); err != nil {
		c.e.t.Fatalf("sdktest: run %q: the object does not decode: %v", c.r.foreignID, err)
	}
	return o
}

// RequireStatus fails the test at once unless the run is in the status.
func (c *Case[O, S]) RequireStatus(want S) {
	c.e.t.Helper()
	if c.r.status != string(want) {
		c.e.t.Fatalf("sdktest: run %q is in status %q; want %q\n%s", c.r.foreignID, c.r.status, want, c.r.story())
	}
}

// RequireState fails the test at once unless the run is in the state.
func (c *Case[O, S]) RequireState(want sdk.State) {
	c.e.t.Helper()
	if c.r.state != want {
		c.e.t.Fatalf("sdktest: run %q is %s; want %s\n%s", c.r.foreignID, c.r.state, want, c.r.story())
	}
}

// RequireObject fails the test at once unless the run's object is the same in JSON.
func (c *Case[O, S]) RequireObject(want O) {
	c.e.t.Helper()
	wanted, err := encode(want)
	if err != nil {
		c.e.t.Fatalf("sdktest: encode the object that is wanted: %v", err)
	}
	got, err := encode(c.Object())
	if err != nil || !bytes.Equal(got, wanted) {
		c.e.t.Fatalf("sdktest: run %q has the object\n%s; want\n%s", c.r.foreignID, got, wanted)
	}
}

// Answer is what became of a callback.
type Answer struct {
	Pending bool   // it waits: the run is paused, or the function failed and is to be tried again
	Skipped bool   // every callback of the status skipped
	Refused bool   // with a permanent error, or because the run had left the status, for Reason
	Reason  string // of Refused
}

// Callback hands a payload to the run in a status. It fails the test when the run is not there, or nothing takes callbacks
// in it.
func (c *Case[O, S]) Callback(status S, payload []byte) Answer {
	c.e.t.Helper()
	return c.e.callback(c.r, string(status), payload)
}

// Pause stops the run, as a person does. It fails the test when the run is not active.
func (c *Case[O, S]) Pause(reason string) {
	c.e.t.Helper()
	c.e.control(c.r, sdk.StatePaused, reason, sdk.StateInitiated, sdk.StateRunning)
}

// Resume lets the run go on. It fails the test when the run is not paused.
func (c *Case[O, S]) Resume() {
	c.e.t.Helper()
	c.e.control(c.r, sdk.StateRunning, "", sdk.StatePaused)
}

// Cancel ends the run, as a person does. It fails the test when the run has ended.
func (c *Case[O, S]) Cancel(reason string) {
	c.e.t.Helper()
	c.e.control(c.r, sdk.StateCancelled, reason, sdk.StateInitiated, sdk.StateRunning, sdk.StatePaused)
}

// Erase has the run's data erased. It fails the test when the run has not ended.
func (c *Case[O, S]) Erase() {
	c.e.t.Helper()
	c.e.control(c.r, sdk.StateRequestedDataDeleted, "", sdk.StateCompleted, sdk.StateCancelled)
}

// Timer is something that will happen to a run when its time comes. While the run is paused nothing does but its resume.
type Timer struct {
	Kind string // "timeout"; "step" or "callback", which are tried again then; "resume"
	Name string // of the timeout; of a step its status
	Due  time.Time
}

// Timers returns what will happen to the run by time alone, the next first.
func (c *Case[O, S]) Timers() []Timer { return c.r.timers() }

// Hook is one call of a hook.
type Hook struct {
	On, Name string // what it is told of: abi.OnPause, …; its name
	Attempt  uint32
	State    sdk.State // of the record that it saw
	Version  uint64    // of the record that it saw
	Failed   bool      // it returned an error, Reason, and is called again
	Reason   string
}

// Hooks returns the calls of hooks about the run, in order.
func (c *Case[O, S]) Hooks() []Hook { return slices.Clone(c.r.hooks) }

// Intents returns what was asked for with sdk.Trigger and sdk.Callback by the run's steps, callbacks, timeouts and hooks, in order.
func (c *Case[O, S]) Intents() []Intent { return slices.Clone(c.r.intents) }

// Logs returns what was logged in the run's invocations, failed ones too, in order.
func (c *Case[O, S]) Logs() []Log { return slices.Clone(c.r.logs) }

// Line is one line of a run's history: a version that was made, or an attempt that made none.
type Line struct {
	Version uint64
	Time    time.Time
	Cause   string // "trigger", "schedule", "step", "callback", "timeout", "person", "timer" (an automatic resume), "erase"
	Handler string // its name
	Attempt uint32
	Failed  bool
	State   sdk.State // after it
	Status  string    // after it
	Reason  string
}

// History returns the run's history.
func (c *Case[O, S]) History() []Line { return slices.Clone(c.r.lines) }

// idempotencyKey is the key of an invocation of a run: that of all attempts of one task.
func (r *record) idempotencyKey(h *abi.Handler, task uint64) string {
	return r.id + "/" + number(task) + "/" + h.Kind + "/" + h.Name
}
