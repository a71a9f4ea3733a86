package sdktest

import (
	"slices"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/abi"
)

// record is the state of a run, as the server would store it.
type record struct {
	id, foreignID string
	state         sdk.State
	status        string
	version       uint64
	entry         uint64 // the version that entered the status
	task          uint64 // the version that made the step's task
	attempt       uint32 // of the step, from 1
	notBefore     time.Time
	parked        bool // the step does not run
	arming        bool // timers are to be computed first
	pending       []pending
	callbacks     uint64 // how many were taken in
	alone         uint64 // versions since a trigger, a callback or a person
	resumeAt      time.Time
	reason        string
	createdAt     time.Time
	object        []byte
}

// pending is what waits besides the step: a timeout by its name, or a callback by its number.
type pending struct {
	kind     string
	name     string
	callback uint64
	due      time.Time
	attempt  uint32
	taken    bool // its time has come
}

func (r *record) active() bool { return r.state == sdk.StateInitiated || r.state == sdk.StateRunning }

// work is one thing to do for a run.
type work struct {
	kind     string // abi.KindStep, KindTimer, KindTimeout or KindCallback
	name     string // of a timeout
	callback uint64 // of a callback
	attempt  uint32
}

// next returns what is to be done now, and whether there is anything.
func (r *record) next() (work, bool) {
	if !r.active() {
		return work{}, false
	}
	first := -1
	for i := range r.pending {
		if p := &r.pending[i]; p.taken && (first < 0 || p.before(&r.pending[first])) {
			first = i
		}
	}
	switch {
	case first >= 0:
		p := r.pending[first]
		return work{kind: p.kind, name: p.name, callback: p.callback, attempt: p.attempt}, true
	case !r.notBefore.IsZero() || r.parked && !r.arming:
		return work{}, false
	case r.arming:
		return work{kind: abi.KindTimer, attempt: r.attempt}, true
	default:
		return work{kind: abi.KindStep, attempt: r.attempt}, true
	}
}

func (p *pending) before(q *pending) bool {
	if p.kind == abi.KindCallback && q.kind == abi.KindCallback {
		return p.callback < q.callback
	}
	return p.due.Before(q.due)
}

// find returns the index of what the work is about among what is pending, or −1.
func (r *record) find(w work) int {
	return slices.IndexFunc(r.pending, func(p pending) bool {
		return p.kind == w.kind && p.name == w.name && p.callback == w.callback
	})
}

// drop takes the work, if it is pending, as done.
func (r *record) drop(w work) {
	if i := r.find(w); i >= 0 {
		r.pending = slices.Delete(slices.Clone(r.pending), i, i+1)
	}
}

// put sets what is pending of the work.
func (r *record) put(w work, p pending) {
	if i := r.find(w); i >= 0 {
		r.pending = slices.Clone(r.pending)
		r.pending[i] = p
	}
}

// enter moves the run into a status, in its present version.
func (r *record) enter(w *abi.Workflow, status string, now time.Time) {
	same := status == r.status
	r.pending = slices.DeleteFunc(slices.Clone(r.pending), func(p pending) bool {
		return !same || p.kind == abi.KindTimeout
	})
	r.status, r.entry, r.task = status, r.version, r.version
	if slices.Contains(w.Terminal, status) {
		r.end(sdk.StateCompleted, "")
		return
	}
	step := stepOf(w, status)
	r.attempt, r.notBefore, r.parked, r.arming = 1, time.Time{}, step == nil, false
	if step == nil {
		r.attempt = 0
	}
	for _, t := range handlersOf(w, abi.KindTimeout, status) {
		if t.Timer != nil {
			r.arming, r.attempt = true, 1
			continue
		}
		due := now.Add(time.Duration(t.AfterMS) * time.Millisecond)
		r.pending = append(r.pending, pending{kind: abi.KindTimeout, name: t.Name, due: due, attempt: 1})
	}
	if !r.arming {
		r.wait(step, now)
	}
}

// arm adds the timeouts that were computed, and lets the step begin.
func (r *record) arm(w *abi.Workflow, armed []pending, now time.Time) {
	step := stepOf(w, r.status)
	r.arming, r.attempt = false, 1
	if r.parked {
		r.attempt = 0
	}
	r.pending = append(slices.Clip(r.pending), armed...)
	r.wait(step, now)
}

// wait lets the step's lag pass.
func (r *record) wait(step *abi.Handler, now time.Time) {
	if step != nil && step.LagMS > 0 {
		r.notBefore = now.Add(time.Duration(step.LagMS) * time.Millisecond)
	}
}

// end ends the run where it is.
func (r *record) end(state sdk.State, reason string) {
	r.state, r.reason = state, reason
	r.attempt, r.notBefore, r.parked, r.arming, r.pending = 0, time.Time{}, true, false, nil
	r.resumeAt = time.Time{}
}

// resume arms a paused run again.
func (r *record) resume(w *abi.Workflow) {
	r.state, r.reason, r.resumeAt = sdk.StateRunning, "", time.Time{}
	if r.attempt > 1 { // a lag or a delay that the step asked for goes on
		r.notBefore = time.Time{}
	}
	r.parked = stepOf(w, r.status) == nil
	r.attempt = 1
	if r.parked && !r.arming {
		r.attempt = 0
	}
	r.pending = slices.Clone(r.pending)
	for i := range r.pending {
		r.pending[i].attempt = 1
	}
}

// timers returns when time alone makes something happen to the run.
func (r *record) timers() []Timer {
	var all []Timer
	switch {
	case r.active():
		if !r.notBefore.IsZero() {
			all = append(all, Timer{Kind: "step", Name: r.status, Due: r.notBefore})
		}
		for _, p := range r.pending {
			if !p.taken {
				all = append(all, Timer{Kind: p.kind, Name: p.name, Due: p.due})
			}
		}
	case r.state == sdk.StatePaused && !r.resumeAt.IsZero():
		all = append(all, Timer{Kind: "resume", Due: r.resumeAt})
	}
	slices.SortStableFunc(all, func(a, b Timer) int { return a.Due.Compare(b.Due) })
	return all
}

// stepOf returns the step of a status, or nil.
func stepOf(w *abi.Workflow, status string) *abi.Handler {
	for _, h := range handlersOf(w, abi.KindStep, status) {
		return h
	}
	return nil
}

// handlersOf returns the handlers of a kind and status, in the order of their registration.
func handlersOf(w *abi.Workflow, kind, status string) []*abi.Handler {
	var all []*abi.Handler
	for i := range w.Handlers {
		if h := &w.Handlers[i]; h.Kind == kind && h.Status == status {
			all = append(all, h)
		}
	}
	return all
}

// handlerByID returns the handler with that ID, which the manifest has.
func handlerByID(w *abi.Workflow, id int32) *abi.Handler {
	i := slices.IndexFunc(w.Handlers, func(h abi.Handler) bool { return h.ID == id })
	return &w.Handlers[i]
}
