package runtimetest

import (
	"context"
	"errors"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// Func is a handler in Go, for tests and benchmarks of the engine. It fills out and keeps neither in nor out. An error that it
// returns is the failure of the attempt, unless it is runtime.ErrRetired or ctx has ended: then the call is void.
type Func func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error

// Invoke implements runtime.Invoker.
func (f Func) Invoke(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
	err := f(ctx, in, out)
	if err == nil || errors.Is(err, runtime.ErrRetired) || ctx.Err() != nil {
		return err
	}
	out.Kind, out.Reason = runtime.OutcomeError, err.Error()
	return nil
}

// To is a handler that leads to a status and does nothing else.
func To(status string) Func {
	return func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
		out.Kind, out.Status = runtime.OutcomeTo, status
		return nil
	}
}

// Answer is a handler that decides what kind says, for a reason; "" for none.
func Answer(kind runtime.OutcomeKind, reason string) Func {
	return func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
		out.Kind, out.Reason = kind, reason
		return nil
	}
}

// Due is a timer: the timeout is due when at says, or never when at answers the zero time.
func Due(at func(in *runtime.Invocation) time.Time) Func {
	return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		out.Kind, out.Due = runtime.OutcomeDone, at(in)
		if out.Due.IsZero() {
			out.Kind = runtime.OutcomeSkip
		}
		return nil
	}
}

// Part is a piece of a native workflow: a Step, Callback, Timeout, Hook, Erase, Schedule or Retention.
type Part interface{ join(w *runtime.Workflow) }

// Workflow returns a definition of native parts. It starts at the first part's status; destinations that nothing handles are
// terminal. Of each part a zero Retry, or a zero field of it, is that of runtime.DefaultRetry.
func Workflow(name string, parts ...Part) *runtime.Workflow {
	w := &runtime.Workflow{Name: name, Statuses: map[string]*runtime.Status{}}
	for _, p := range parts {
		p.join(w)
	}
	for _, s := range w.Statuses {
		handlers := append(append([]*runtime.Handler{}, s.Callbacks...), s.Timeouts...)
		if s.Step != nil {
			handlers = append(handlers, s.Step)
		}
		for _, h := range handlers {
			for _, to := range h.To {
				if w.Statuses[to] == nil {
					w.Statuses[to] = &runtime.Status{Name: to, Terminal: true}
				}
			}
		}
	}
	return w
}

// status returns a status that something handles. The first asked for is the start.
func status(w *runtime.Workflow, name string) *runtime.Status {
	if w.Start == "" {
		w.Start = name
	}
	if w.Statuses[name] == nil {
		w.Statuses[name] = &runtime.Status{Name: name}
	}
	return w.Statuses[name]
}

// handler returns a handler of a workflow; its name is fallback when it has none.
func handler(w *runtime.Workflow, kind runtime.HandlerKind, name, fallback string, f Func, retry runtime.Retry) *runtime.Handler {
	if name == "" {
		name = fallback
	}
	return &runtime.Handler{
		Kind: kind, Workflow: w.Name, Name: name, Invoker: f, Retry: retry.OrDefaults(runtime.DefaultRetry()),
	}
}

// Step is the step of a status. Its name is the status.
type Step struct {
	Status      string
	To          []string
	Func        Func
	Retry       runtime.Retry
	Parallelism int
	Lag         time.Duration
	LagAlert    time.Duration
	Digest      runtime.Digest
}

func (s Step) join(w *runtime.Workflow) {
	h := handler(w, runtime.HandlerStep, s.Status, "", s.Func, s.Retry)
	h.Status, h.To, h.Digest = s.Status, s.To, s.Digest
	h.Parallelism, h.Lag, h.LagAlert = s.Parallelism, s.Lag, s.LagAlert
	status(w, s.Status).Step = h
}

// Callback takes outside input in a status. A status may have several, asked in the order in which they are given.
type Callback struct {
	Status string
	Name   string // "": the status
	To     []string
	Func   Func
	Retry  runtime.Retry
	Digest runtime.Digest
}

func (c Callback) join(w *runtime.Workflow) {
	h := handler(w, runtime.HandlerCallback, c.Name, c.Status, c.Func, c.Retry)
	h.Status, h.To, h.Digest = c.Status, c.To, c.Digest
	s := status(w, c.Status)
	s.Callbacks = append(s.Callbacks, h)
}

// Timeout runs when a run has been in a status for long enough: After its entry, or when Timer says.
type Timeout struct {
	Status string
	Name   string // "": the status
	To     []string
	After  time.Duration
	Timer  Func // nil: After; see Due
	Func   Func
	Retry  runtime.Retry
	Digest runtime.Digest
}

func (t Timeout) join(w *runtime.Workflow) {
	h := handler(w, runtime.HandlerTimeout, t.Name, t.Status, t.Func, t.Retry)
	h.Status, h.To, h.Digest, h.After = t.Status, t.To, t.Digest, t.After
	if t.Timer != nil {
		h.Timer = handler(w, runtime.HandlerTimer, h.Name, "", t.Timer, t.Retry)
		h.Timer.Status, h.Timer.Digest = t.Status, t.Digest
	}
	s := status(w, t.Status)
	s.Timeouts = append(s.Timeouts, h)
}

// Hook is told of a change of every run.
type Hook struct {
	On     runtime.HookEvent
	Name   string // "": that of the event
	Func   Func
	Retry  runtime.Retry
	Digest runtime.Digest
}

func (k Hook) join(w *runtime.Workflow) {
	h := handler(w, runtime.HandlerHook, k.Name, k.On.String(), k.Func, k.Retry)
	h.On, h.Digest = k.On, k.Digest
	w.Hooks = append(w.Hooks, h)
}

// Erase is the erase function. Its name is "erase".
type Erase struct {
	Func   Func
	Retry  runtime.Retry
	Digest runtime.Digest
}

func (e Erase) join(w *runtime.Workflow) {
	w.Erase = handler(w, runtime.HandlerErase, "erase", "", e.Func, e.Retry)
	w.Erase.Digest = e.Digest
}

// Schedule is a schedule that the definition declares. Spec.Workflow and Spec.Filter are set from the workflow and Filter.
type Schedule struct {
	Spec   runtime.ScheduleSpec
	Filter Func // nil: every slot triggers. Its handler has the schedule's name
	Retry  runtime.Retry
	Digest runtime.Digest
}

func (s Schedule) join(w *runtime.Workflow) {
	s.Spec.Workflow = w.Name
	if s.Filter != nil {
		s.Spec.Filter = handler(w, runtime.HandlerFilter, s.Spec.Name, "", s.Filter, s.Retry)
		s.Spec.Filter.Digest = s.Digest
	}
	w.Schedules = append(w.Schedules, s.Spec)
}

// Retention is how long runs are kept after they have ended.
type Retention time.Duration

func (r Retention) join(w *runtime.Workflow) { w.Retention = time.Duration(r) }

// Chain returns a definition of n native steps in a row that do nothing, from status "s1" to the terminal status "done".
func Chain(name string, n int) *runtime.Workflow {
	steps := make([]Part, n)
	for i := range steps {
		to := "done"
		if i+1 < n {
			to = chainStatus(i + 2)
		}
		steps[i] = Step{Status: chainStatus(i + 1), To: []string{to}, Func: To(to)}
	}
	return Workflow(name, steps...)
}

// Connector is a function that says what becomes of a connector's messages.
type Connector struct {
	Name  string
	Func  Func
	Retry runtime.Retry
}

func (c Connector) join(w *runtime.Workflow) {
	w.Connects = append(w.Connects, handler(w, runtime.HandlerConnector, c.Name, "connector", c.Func, c.Retry))
}
