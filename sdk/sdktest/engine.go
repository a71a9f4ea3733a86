package sdktest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/abi"
)

// engine is a Flow without its types.
type engine struct {
	t         testing.TB
	workflow  abi.Workflow
	start     string
	now       time.Time
	runs      []*run
	live      []*run // those that have not ended
	tasks     []*task
	schedules []*schedule
	slots     []Slot
	options   []Option // of every invocation
}

// run is a run with what has happened to it.
type run struct {
	record
	payloads map[uint64][]byte // of callbacks, by number
	answers  map[uint64]Answer // to callbacks that have been handled
	lines    []Line
	hooks    []Hook
	intents  []Intent
	logs     []Log
}

func newEngine(t testing.TB, name string, now time.Time) *engine {
	t.Helper()
	e := &engine{t: t, now: now}
	for _, w := range Manifest(t).Workflows {
		if w.Name == name {
			e.workflow = w
		}
	}
	e.start = startOf(&e.workflow)
	for i := range e.workflow.Schedules {
		e.schedules = append(e.schedules, newSchedule(t, &e.workflow.Schedules[i], now))
	}
	return e
}

// startOf returns the status that runs begin in: the declared one, or the only one that no other leads to, or the first.
func startOf(w *abi.Workflow) string {
	if w.Start != "" {
		return w.Start
	}
	reached := map[string]bool{}
	for _, h := range w.Handlers {
		for _, to := range h.To {
			reached[to] = reached[to] || to != h.Status
		}
	}
	var statuses, roots []string
	for _, h := range w.Handlers {
		if h.Status == "" || slices.Contains(statuses, h.Status) {
			continue
		}
		statuses = append(statuses, h.Status)
		if !reached[h.Status] {
			roots = append(roots, h.Status)
		}
	}
	if len(roots) == 1 {
		return roots[0]
	}
	return statuses[0]
}

// trigger begins a run in a status; "" is the start.
func (e *engine) trigger(foreignID string, object []byte, status string) *run {
	e.t.Helper()
	if status == "" {
		status = e.start
	}
	if last := e.latest(foreignID); last != nil && !last.ended() {
		e.t.Fatalf("sdktest: the foreign ID %q has an active run; it is %s in status %q", foreignID, last.state, last.status)
	}
	if len(object) == 0 {
		object = []byte("null")
	}
	if !json.Valid(object) {
		e.t.Fatalf("sdktest: the object is not JSON: %.200s", object)
	}
	if !slices.ContainsFunc(e.workflow.Handlers, func(h abi.Handler) bool { return h.Status == status }) {
		e.t.Fatalf("sdktest: no run of workflow %q can begin in the status %q", e.workflow.Name, status)
	}
	r := e.begin(foreignID, object, status, "trigger", "")
	e.settle()
	return r
}

func (e *engine) begin(foreignID string, object []byte, status, cause, handler string) *run {
	r := &run{payloads: map[uint64][]byte{}, answers: map[uint64]Answer{}}
	r.record = record{
		id: fmt.Sprintf("01937a3c-0000-7000-8000-%012d", len(e.runs)+1), foreignID: foreignID,
		state: sdk.StateInitiated, version: 1, createdAt: e.now, object: object,
	}
	r.enter(&e.workflow, status, e.now)
	e.runs, e.live = append(e.runs, r), append(e.live, r)
	e.line(r, Line{Cause: cause, Handler: handler})
	return r
}

// latest returns the newest run of a foreign ID, or nil.
func (e *engine) latest(foreignID string) *run {
	for i := len(e.runs) - 1; i >= 0; i-- {
		if e.runs[i].foreignID == foreignID {
			return e.runs[i]
		}
	}
	return nil
}

func (r *record) ended() bool { return !r.active() && r.state != sdk.StatePaused }

// callback takes in a callback and has it handled.
func (e *engine) callback(r *run, status string, payload []byte) Answer {
	e.t.Helper()
	if len(handlersOf(&e.workflow, abi.KindCallback, status)) == 0 {
		e.t.Fatalf("sdktest: workflow %q takes no callbacks in the status %q", e.workflow.Name, status)
	}
	if r.ended() || r.status != status {
		e.t.Fatalf("sdktest: a callback for the status %q, but run %q is %s in status %q\n%s",
			status, r.foreignID, r.state, r.status, r.story())
	}
	r.callbacks++
	n := r.callbacks
	r.payloads[n] = append([]byte{}, payload...)
	r.pending = append(slices.Clone(r.pending), pending{
		kind: abi.KindCallback, callback: n, due: e.now, attempt: 1, taken: true,
	})
	e.settle()
	answer, handled := r.answers[n]
	if !handled {
		answer.Pending = true
	}
	return answer
}

func (r *record) callbackID(n uint64) string { return r.id + "/" + number(n) }

// control changes the state of a run that is in one of some states.
func (e *engine) control(r *run, to sdk.State, reason string, from ...sdk.State) {
	e.t.Helper()
	if !slices.Contains(from, r.state) {
		e.t.Fatalf("sdktest: run %q is %s: it cannot become %s\n%s", r.foreignID, r.state, to, r.story())
	}
	e.change(r, to, reason, "person")
	e.settle()
}

func (e *engine) change(r *run, to sdk.State, reason, cause string) {
	before := r.record
	r.version++
	if cause == "person" {
		r.alone = 0
	}
	switch to {
	case sdk.StateRunning:
		r.resume(&e.workflow)
		r.reason = reason
	case sdk.StateCancelled:
		r.end(to, reason)
	default:
		r.state, r.reason = to, reason
	}
	e.line(r, Line{Cause: cause})
	e.conclude(r, &before)
}

// settle does all that can be done without time passing.
func (e *engine) settle() {
	e.t.Helper()
	for busy := true; busy; {
		busy = false
		e.live = slices.DeleteFunc(e.live, func(r *run) bool { return r.ended() })
		for _, r := range e.live {
			e.fire(r)
			for w, ok := r.next(); ok; w, ok = r.next() {
				e.perform(r, w)
				e.fire(r)
				busy = true
			}
		}
		for _, t := range slices.Clone(e.tasks) {
			if t.due.After(e.now) {
				continue
			}
			busy = true
			if e.do(t) {
				e.tasks = slices.DeleteFunc(e.tasks, func(other *task) bool { return other == t })
			}
		}
		for _, s := range e.schedules {
			if !s.due.IsZero() && !s.due.After(e.now) {
				e.slot(s)
				busy = true
			}
		}
	}
}

// fire makes ready what is due of a run.
func (e *engine) fire(r *run) {
	switch {
	case r.active():
		if !r.notBefore.After(e.now) {
			r.notBefore = time.Time{}
		}
		for i := range r.pending {
			if !r.pending[i].taken && !r.pending[i].due.After(e.now) {
				r.pending = slices.Clone(r.pending)
				r.pending[i].taken = true
			}
		}
	case r.state == sdk.StatePaused && !r.resumeAt.IsZero() && !r.resumeAt.After(e.now):
		e.change(r, sdk.StateRunning, "resumed automatically", "timer")
	}
}

// advanceTo moves the clock from one due time to the next.
func (e *engine) advanceTo(target time.Time) {
	e.t.Helper()
	for {
		e.settle()
		next := target
		sooner := func(due time.Time) {
			if due.Before(next) {
				next = due
			}
		}
		for _, r := range e.live {
			for _, t := range r.timers() {
				sooner(t.Due)
			}
		}
		for _, t := range e.tasks {
			sooner(t.due)
		}
		for _, s := range e.schedules {
			if !s.due.IsZero() {
				sooner(s.due)
			}
		}
		if !next.After(e.now) {
			return
		}
		e.now = next
	}
}

// invoke calls a handler with a record of a run. task is the version that made what it does.
func (e *engine) invoke(r *run, rec *record, h *abi.Handler, attempt uint32, task uint64, more ...Option) answer {
	e.t.Helper()
	on := newHost(rec.object, e.workflow.Name, rec.status)
	for _, opt := range append([]Option{
		ID(rec.id), ForeignID(rec.foreignID), Version(rec.version), Attempt(attempt), Now(e.now), CreatedAt(rec.createdAt),
		IdempotencyKey(rec.idempotencyKey(h, task)),
		text(abi.FieldState, string(rec.state)), text(abi.FieldRunReason, rec.reason),
	}, append(e.options[:len(e.options):len(e.options)], more...)...) {
		opt(on)
	}
	a := invoke(e.t, h, on)
	if r != nil {
		r.logs = append(r.logs, a.logs...)
	}
	return a
}

// story tells the history of a run to someone whose test has failed.
func (r *run) story() string {
	var b strings.Builder
	for _, l := range r.lines {
		at := l.Time.Format(time.DateTime)
		fmt.Fprintf(&b, "  %s version %d: %s %s → %s in %q", at, l.Version, l.Cause, l.Handler, l.State, l.Status)
		if l.Reason != "" {
			fmt.Fprintf(&b, ": %s", l.Reason)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }
