package sdk

import (
	"context"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// Workflow is this plugin's part of one workflow: whose object is of type O and whose statuses are of type S. Register it
// from package variables and init functions; it is not for concurrent use.
//
// A mistake in a registration (a status handled twice, an empty or malformed name) does not panic: when the server loads the
// plugin it is refused with all of them, one a line. sdktest.Manifest finds them in a test.
type Workflow[O any, S ~string] struct {
	part *guest.Workflow
}

// NewWorkflow registers a workflow. Its name, like every status, is 1–64 bytes of a–z, A–Z, 0–9, '-', '_' and '.'.
//
// O is the object's Go type, encoded with encoding/json: members of the object that O does not declare are lost when a step
// changes it. With O = Raw the step sees the bytes themselves.
func NewWorkflow[O any, S ~string](name string) *Workflow[O, S] {
	return newWorkflow[O, S](&guest.Default, name)
}

func newWorkflow[O any, S ~string](p *guest.Plugin, name string) *Workflow[O, S] {
	return &Workflow[O, S]{part: p.Workflow(name)}
}

// Fresh asks for a fresh state: every invocation of the plugin then begins with its memory as it was when all variables and init
// functions were done, and nothing that an invocation leaves in memory reaches another. Call it from an init function. The
// operator may decide otherwise (plugins.overrides.PLUGIN.isolation). What was random in the memory then, such as the seed of
// math/rand or the order of maps, repeats in every invocation; crypto/rand does not.
func Fresh() { guest.Default.Isolate(abi.IsolationFresh) }

// Name returns the workflow's name.
func (w *Workflow[O, S]) Name() string { return w.part.Name() }

// Start sets the status that runs begin in unless their trigger says otherwise. It is needed only when more than one status
// has no other that leads to it, or none has.
func (w *Workflow[O, S]) Start(status S) { w.part.Start(string(status)) }

// StepFunc handles one status of a run. It returns an outcome made by one of r's methods, or an error, which makes the
// attempt fail; with an error the outcome is ignored. ctx ends at the deadline of the invocation. Neither ctx nor r is
// valid after the function has returned.
type StepFunc[O any, S ~string] func(ctx context.Context, r *Run[O, S]) (Outcome[S], error)

// Step registers the handler of a status and every status that it may move a run to. A destination that has no step,
// callback or timeout in this plugin ends the run, unless it is External.
func (w *Workflow[O, S]) Step(status S, step StepFunc[O, S], to S, more ...S) *Step {
	destinations := names(append([]S{to}, more...))
	s := &Step{part: w.register(abi.Handler{
		Kind: abi.KindStep, Name: string(status), Status: string(status), To: destinations,
	}, "", step)}
	if step == nil {
		s.part.Fault("the function is nil")
	}
	return s
}

// CallbackFunc takes outside input for a run that waits in a status. The payload is as it came, and valid only during the
// call. It answers as a step does; r.Skip() passes the payload on to the status's next callback. A permanent error refuses
// the callback and changes nothing.
type CallbackFunc[O any, S ~string] func(ctx context.Context, r *Run[O, S], payload []byte) (Outcome[S], error)

// Callback registers a function that takes outside input in a status, and every status that it may move a run to. A status
// may have several, which are asked in the order of their registration, each with the whole payload. A status without a step
// waits until a callback or a timeout moves the run on. Names default to "callback", "callback-2", …
func (w *Workflow[O, S]) Callback(status S, callback CallbackFunc[O, S], to ...S) *Handler {
	h := &Handler{parts: []*guest.Handler{w.register(abi.Handler{
		Kind: abi.KindCallback, Status: string(status), To: names(to),
	}, "callback", takes(callback))}}
	h.want(callback != nil)
	return h
}

// Timeout registers a function for a run that has been in a status for as long as the timer says, and every status that it
// may move a run to. The time is durable, and counts from the entry into the status; leaving the status ends it. While the
// run is paused it waits. A status may have several. Names default to "timeout", "timeout-2", …
//
//	w.Timeout(Paid, sdk.After(48*time.Hour), escalate, Late)
func (w *Workflow[O, S]) Timeout(status S, timer Timer[O, S], timeout StepFunc[O, S], to ...S) *Handler {
	main := w.register(abi.Handler{
		Kind: abi.KindTimeout, Status: string(status), To: names(to),
	}, "timeout", timeout)
	h := &Handler{parts: []*guest.Handler{main}}
	h.want(timeout != nil)
	at, computed := timer.at.(func(*Run[O, S]) (time.Time, bool))
	switch {
	case computed && at != nil:
		line := abi.Handler{Kind: abi.KindTimer, Name: main.Line().Name, Status: string(status)}
		computes := w.register(line, "", isDue(at))
		h.parts = append(h.parts, computes)
		main.Line().Timer = new(computes.Line().ID)
	case timer.after < time.Millisecond:
		main.Fault("the timer is none, or shorter than 1ms; use sdk.After or sdk.At")
	default:
		main.Line().AfterMS = timer.after.Milliseconds()
	}
	return h
}

// HookFunc is told of a change of a run, and sees the record as the change made it, whatever has become of the run since:
// r.State, r.Status, r.Reason, r.Object. Changes to the object are not kept. A hook is called at least once, and again, with
// back-off, until it returns nil; it blocks neither the run nor other hooks.
type HookFunc[O any, S ~string] func(ctx context.Context, r *Run[O, S]) error

// OnPause registers a hook that is told when a run is paused, whoever does it. Of each kind there may be several; names
// default to "pause", "pause-2", … and have to differ between the plugins of a workflow.
func (w *Workflow[O, S]) OnPause(hook HookFunc[O, S]) *Handler { return w.hook(abi.OnPause, hook) }

// OnCancel registers a hook that is told when a run is cancelled. Names default to "cancel", "cancel-2", …
func (w *Workflow[O, S]) OnCancel(hook HookFunc[O, S]) *Handler { return w.hook(abi.OnCancel, hook) }

// OnComplete registers a hook that is told when a run is completed. Names default to "complete", "complete-2", …
func (w *Workflow[O, S]) OnComplete(hook HookFunc[O, S]) *Handler {
	return w.hook(abi.OnComplete, hook)
}

// OnResume registers a hook that is told when a paused run goes on. Names default to "resume", "resume-2", …
func (w *Workflow[O, S]) OnResume(hook HookFunc[O, S]) *Handler { return w.hook(abi.OnResume, hook) }

// OnErase registers a hook that is told when a run's data has been erased. It sees what remains of the object, which without
// Erase is {"result":"deleted"}. Names default to "erase", "erase-2", …
func (w *Workflow[O, S]) OnErase(hook HookFunc[O, S]) *Handler { return w.hook(abi.OnErase, hook) }

func (w *Workflow[O, S]) hook(on string, hook HookFunc[O, S]) *Handler {
	h := &Handler{parts: []*guest.Handler{w.register(abi.Handler{Kind: abi.KindHook, On: on}, on, isTold(hook))}}
	h.want(hook != nil)
	return h
}

// EraseFunc returns what remains of the object of a run whose data is to be erased. It is tried again, with back-off, until
// it succeeds.
type EraseFunc[O any, S ~string] func(ctx context.Context, r *Run[O, S]) (O, error)

// Erase registers what remains of an erased object, for the whole workflow: at most one of its plugins does. Defaults to
// {"result":"deleted"}.
func (w *Workflow[O, S]) Erase(erase EraseFunc[O, S]) *Handler {
	h := &Handler{parts: []*guest.Handler{w.register(abi.Handler{Kind: abi.KindErase}, "erase", remains(erase))}}
	h.want(erase != nil)
	if h.parts[0].Line().Name != "erase" {
		h.parts[0].Fault("is the second; a workflow has one erase function")
	}
	return h
}

// Objects sets the version of the form that this plugin gives to objects, 1 or more, and the earlier ones that it can still read;
// a plugin that does not say so writes version 0. A plugin that cannot read the objects of the one it replaces does not take over
// its runs: the server refuses it while such runs are under way, unless they are pinned. So change it when O changes in a way that
// the old objects, or the old code, would not understand, and list what the new code still takes:
//
//	w.Objects(3, 2, 1)
func (w *Workflow[O, S]) Objects(version int, reads ...int) { w.part.Objects(version, reads) }

// Pinned has each run finish on the version of the plugin that it began with, however often that is replaced meanwhile, unless
// the server's configuration says otherwise. Without it a run goes on with the newest.
func (w *Workflow[O, S]) Pinned() { w.part.Pinned() }

// External marks statuses that another plugin of the same workflow handles, so that reaching them does not end the run.
func (w *Workflow[O, S]) External(statuses ...S) {
	w.part.External(names(statuses))
}

// names returns statuses as the manifest writes them; nil for none.
func names[S ~string](statuses []S) []string {
	var all []string
	for _, status := range statuses {
		all = append(all, string(status))
	}
	return all
}
