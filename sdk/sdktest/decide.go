package sdktest

import (
	"fmt"
	"slices"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/abi"
)

// The server's defaults.
const (
	defaultInitial  = time.Second
	defaultMax      = 5 * time.Minute
	defaultFactor   = 2
	defaultAttempts = 10
	autoResume      = time.Hour
	maxVersions     = 10_000
)

// perform does one thing that is to be done for a run.
func (e *engine) perform(r *run, w work) {
	e.t.Helper()
	switch w.kind {
	case abi.KindTimer:
		e.computeTimers(r, w)
	case abi.KindCallback:
		e.takeCallback(r, w)
	case abi.KindTimeout:
		all := handlersOf(&e.workflow, abi.KindTimeout, r.status)
		h := all[slices.IndexFunc(all, func(h *abi.Handler) bool { return h.Name == w.name })]
		e.decide(r, w, h, e.invoke(r, &r.record, h, w.attempt, r.entry))
	default:
		h := stepOf(&e.workflow, r.status)
		e.decide(r, w, h, e.invoke(r, &r.record, h, w.attempt, r.task))
	}
}

// computeTimers asks for the due times of the timeouts that are computed.
func (e *engine) computeTimers(r *run, w work) {
	e.t.Helper()
	var armed []pending
	for _, timeout := range handlersOf(&e.workflow, abi.KindTimeout, r.status) {
		if timeout.Timer == nil {
			continue
		}
		h := handlerByID(&e.workflow, *timeout.Timer)
		a := e.invoke(r, &r.record, h, w.attempt, r.entry)
		if a.failed() {
			e.decide(r, w, h, a)
			return
		}
		if a.code == abi.CodeDone {
			armed = append(armed, pending{kind: abi.KindTimeout, name: timeout.Name, due: a.due, attempt: 1})
		}
	}
	r.arm(&e.workflow, armed, e.now)
}

// takeCallback gives the payload to the callbacks of the status, in order, until one does something with it.
func (e *engine) takeCallback(r *run, w work) {
	e.t.Helper()
	var h *abi.Handler
	var a answer
	for _, h = range handlersOf(&e.workflow, abi.KindCallback, r.status) {
		a = e.invoke(r, &r.record, h, w.attempt, r.entry, raw(abi.FieldPayload, r.payloads[w.callback]),
			text(abi.FieldCallbackID, r.callbackID(w.callback)), IdempotencyKey(fmt.Sprintf("%s/%d/%s/%s/%d",
				r.id, r.entry, h.Kind, h.Name, w.callback)))
		if a.code != abi.CodeSkip {
			break
		}
	}
	e.decide(r, w, h, a)
}

// decide makes of an answer what the server makes of it.
func (e *engine) decide(r *run, w work, h *abi.Handler, a answer) {
	before := r.record
	switch {
	case a.code == abi.CodeError && w.attempt < attempts(h):
		e.retry(r, w, h, a.reason)
		return
	case a.code == abi.CodePermanent && w.kind == abi.KindCallback:
		r.drop(w)
		r.answers[w.callback] = Answer{Refused: true, Reason: a.reason}
		e.note(r, w, h, a.reason, true)
		return
	case a.code == abi.CodeSkip && w.kind != abi.KindStep:
		r.drop(w)
		if w.kind == abi.KindCallback {
			r.answers[w.callback] = Answer{Skipped: true}
		}
		e.note(r, w, h, "skipped", false)
		return
	}
	r.version++
	if a.failed() {
		e.exhausted(r, w, h, a)
	} else {
		if a.changed && a.code != abi.CodeSkip {
			r.object = a.object
		}
		e.advance(r, w, a)
		r.intents = append(r.intents, a.intents...)
		if w.kind == abi.KindCallback {
			r.answers[w.callback] = Answer{}
		}
	}
	if r.alone++; w.kind == abi.KindCallback {
		r.alone = 0
	}
	if r.state == sdk.StateRunning && r.alone >= maxVersions {
		r.pause(fmt.Sprintf("the run has made %d versions by itself; if it does not circle, resume it", r.alone))
	}
	e.line(r, Line{Cause: cause(w), Handler: h.Name, Attempt: w.attempt, Failed: a.failed()})
	e.conclude(r, &before)
}

// advance applies an answer that is not an error.
func (e *engine) advance(r *run, w work, a answer) {
	r.state, r.reason = sdk.StateRunning, ""
	if w.kind == abi.KindCallback {
		r.drop(w)
	}
	switch a.code {
	case abi.CodeTo:
		r.enter(&e.workflow, a.status, e.now)
	case abi.CodeRepeat:
		switch w.kind {
		case abi.KindTimeout:
			r.put(w, pending{kind: w.kind, name: w.name, due: e.now.Add(a.delay), attempt: 1})
		case abi.KindStep:
			r.task, r.attempt = r.version, 1
			if a.delay > 0 {
				r.notBefore = e.now.Add(a.delay)
			}
		}
	case abi.CodeSkip:
		r.notBefore, r.parked, r.attempt = time.Time{}, true, 0
	case abi.CodePause:
		r.drop(w)
		r.pause(a.reason)
	case abi.CodeCancel:
		r.end(sdk.StateCancelled, a.reason)
	default: // an error, or done: decide and perform see to them
	}
}

// retry plans the next attempt; the run has not changed.
func (e *engine) retry(r *run, w work, h *abi.Handler, reason string) {
	at := e.now.Add(backoff(h, w.attempt))
	if i := r.find(w); i >= 0 {
		p := r.pending[i]
		p.attempt, p.due, p.taken = p.attempt+1, at, false
		r.put(w, p)
	} else {
		r.attempt, r.notBefore = r.attempt+1, at
	}
	r.reason = reason
	e.note(r, w, h, reason, true)
}

// exhausted pauses a run whose work has failed for good, ready to be tried anew after a resume.
func (e *engine) exhausted(r *run, w work, h *abi.Handler, a answer) {
	if i := r.find(w); i >= 0 {
		p := r.pending[i]
		p.attempt, p.taken = 1, true
		r.put(w, p)
	}
	reason := a.reason
	if a.code == abi.CodeError {
		reason = fmt.Sprintf("%s (attempt %d of %d)", reason, w.attempt, attempts(h))
	}
	r.pause(reason)
	r.resumeAt = e.now.Add(autoResume)
}

func (r *record) pause(reason string) {
	r.state, r.reason, r.notBefore = sdk.StatePaused, reason, time.Time{}
}

// conclude adds what follows from a change whatever made it.
func (e *engine) conclude(r *run, before *record) {
	for _, p := range before.pending {
		_, answered := r.answers[p.callback]
		if p.kind == abi.KindCallback && !answered && r.find(work{kind: p.kind, callback: p.callback}) < 0 {
			reason := fmt.Sprintf("the run left status %s before the callback was handled", before.status)
			r.answers[p.callback] = Answer{Refused: true, Reason: reason}
		}
	}
	if before.state == r.state {
		return
	}
	if event := hookEvent(before.state, r.state); event != "" {
		for i := range e.workflow.Handlers {
			if h := &e.workflow.Handlers[i]; h.Kind == abi.KindHook && h.On == event {
				e.tasks = append(e.tasks, &task{run: r, record: r.record, handler: h, due: e.now})
			}
		}
	}
	if r.state == sdk.StateRequestedDataDeleted {
		erase := &task{run: r, record: r.record, erase: true, due: e.now}
		for _, h := range handlersOf(&e.workflow, abi.KindErase, "") {
			erase.handler = h
		}
		e.tasks = append(e.tasks, erase)
	}
}

// hookEvent returns what a change of state means to hooks; "" for nothing.
func hookEvent(from, to sdk.State) string {
	switch {
	case to == sdk.StatePaused:
		return abi.OnPause
	case to == sdk.StateCancelled:
		return abi.OnCancel
	case to == sdk.StateCompleted:
		return abi.OnComplete
	case from == sdk.StatePaused && to == sdk.StateRunning:
		return abi.OnResume
	case to == sdk.StateDataDeleted:
		return abi.OnErase
	default:
		return ""
	}
}

// task is a hook to be called, or data to be erased.
type task struct {
	run     *run
	record  record // as of the change
	handler *abi.Handler
	erase   bool
	due     time.Time
	attempt uint32
}

// do does a task, and reports whether it is done.
func (e *engine) do(t *task) bool {
	e.t.Helper()
	r, object := t.run, []byte(`{"result":"deleted"}`)
	if h := t.handler; h != nil {
		t.attempt++
		a := e.invoke(r, &t.record, h, t.attempt, t.record.version)
		if !t.erase {
			r.hooks = append(r.hooks, Hook{
				On: h.On, Name: h.Name, Attempt: t.attempt, State: t.record.state, Version: t.record.version,
				Failed: a.failed(), Reason: a.reason,
			})
		}
		if a.failed() {
			t.due = e.now.Add(backoff(h, t.attempt))
			return false
		}
		r.intents = append(r.intents, a.intents...)
		if a.changed {
			object = a.object
		}
	}
	if t.erase {
		before := r.record
		r.version++
		r.state, r.object = sdk.StateDataDeleted, object
		e.line(r, Line{Cause: "erase"})
		e.conclude(r, &before)
	}
	return true
}

// line adds a line about the version that was made.
func (e *engine) line(r *run, l Line) {
	l.Version, l.Time, l.State, l.Status, l.Reason = r.version, e.now, r.state, r.status, r.reason
	r.lines = append(r.lines, l)
}

// note adds a line about what happened to a version and made none.
func (e *engine) note(r *run, w work, h *abi.Handler, reason string, failed bool) {
	r.lines = append(r.lines, Line{
		Version: r.version, Time: e.now, Cause: cause(w), Handler: h.Name, Attempt: w.attempt, Failed: failed,
		State: r.state, Status: r.status, Reason: reason,
	})
}

func cause(w work) string {
	if w.kind == abi.KindTimer {
		return abi.KindTimeout
	}
	return w.kind
}

// attempts returns how many attempts a handler has.
func attempts(h *abi.Handler) uint32 {
	if h.Retry != nil && h.Retry.Attempts > 0 {
		return uint32(h.Retry.Attempts)
	}
	return defaultAttempts
}

// backoff returns the longest wait after the nth failed attempt. The server waits a random part of it.
func backoff(h *abi.Handler, n uint32) time.Duration {
	initial, longest, factor := defaultInitial, defaultMax, float64(defaultFactor)
	if r := h.Retry; r != nil {
		initial, longest, factor = time.Duration(r.InitialMS)*time.Millisecond, time.Duration(r.MaxMS)*time.Millisecond, r.Factor
	}
	wait := float64(initial)
	for range n - 1 {
		if wait >= float64(longest) {
			break
		}
		wait *= factor
	}
	return time.Duration(min(wait, float64(longest)))
}
