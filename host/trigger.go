package host

import (
	"encoding/json"
	"math"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// maxIntents is how many runs and callbacks one invocation may ask for: docs/abi.md, section 10.
const maxIntents = 64

// trigger is trigger(workflow_ptr, workflow_len, foreign_id_ptr, foreign_id_len, object_ptr, object_len). It adds an intent to
// the outcome, which the engine commits with the outcome or forgets with it. What it keeps is copied out of the guest's memory.
func trigger(i *instance, guest api.Module, stack []uint64) {
	a := asked{i: i, guest: guest, stack: stack, function: "trigger"}
	workflow, foreignID := a.target("run")
	object := a.object("object", 4)
	a.check(workflow, foreignID)
	if len(object) > 0 && !json.Valid(object) {
		fail("trigger: the object is not one JSON value")
	}
	a.add(&runtime.Intent{Workflow: workflow, ForeignID: foreignID, Object: append([]byte(nil), object...)})
}

// callback is callback(workflow_ptr, workflow_len, foreign_id_ptr, foreign_id_len, status_ptr, status_len, payload_ptr, payload_len).
// It is as trigger, for a callback to a run.
func callback(i *instance, guest api.Module, stack []uint64) {
	a := asked{i: i, guest: guest, stack: stack, function: "callback"}
	workflow, foreignID := a.target("callback")
	status := string(a.argument("status", 4, abi.MaxNameBytes))
	payload := a.object("payload", 6)
	a.check(workflow, foreignID)
	if err := abi.CheckName(status); err != nil {
		fail("callback: the status %v", err)
	}
	a.add(&runtime.Intent{
		Kind: runtime.IntentCallback, Workflow: workflow, ForeignID: foreignID, Status: status, Object: append([]byte(nil), payload...),
	})
}

// asked is a call by which a guest asks for something of another run.
type asked struct {
	i        *instance
	guest    api.Module
	stack    []uint64
	function string
}

// target returns the workflow and the foreign ID, if the guest may ask for one more such thing.
func (a *asked) target(what string) (workflow, foreignID string) {
	c := &a.i.call
	switch {
	case c.phase != phaseInvoke:
		fail("%s: only a handler may ask for a %s", a.function, what)
	case !c.in.Handler.Kind.Moves() && c.in.Handler.Kind != runtime.HandlerHook:
		fail("%s: a %s cannot ask for a %s; a step, a callback, a timeout or a hook can", a.function, c.in.Handler.Kind, what)
	case len(c.out.Intents) >= maxIntents:
		exceed(&LimitError{Limit: LimitHostCalls, Used: maxIntents + 1, Max: maxIntents, Of: "runs and callbacks that it asks for", Fixed: true})
	}
	return string(a.argument("workflow", 0, abi.MaxNameBytes)), string(a.argument("foreign ID", 2, runtime.MaxForeignID))
}

// argument returns a view of the guest's memory, which a place in the stack and the next tell the pointer and the length of.
func (a *asked) argument(name string, at, limit int) []byte {
	ptr, size := uint32(a.stack[at]), uint32(a.stack[at+1])
	if uint64(size) > uint64(limit) {
		fail("%s: the %s has %d bytes, more than the limit of %d", a.function, name, size, limit)
	}
	return a.i.view(a.guest, a.function, ptr, size)
}

// object returns an argument that is, or becomes, an object.
func (a *asked) object(name string, at int) []byte {
	if size, limit := uint32(a.stack[at+1]), a.i.call.limits.ObjectBytes; uint64(size) > uint64(limit) {
		a.i.exceed(&LimitError{Limit: LimitOutput, Used: uint64(size), Max: uint64(limit), Of: a.function + ": the " + name})
	}
	return a.argument(name, at, math.MaxUint32)
}

// check ends the call unless there can be such a run, and the plugin may ask for something of it.
func (a *asked) check(workflow, foreignID string) {
	if err := abi.CheckName(workflow); err != nil {
		fail("%s: the workflow's name %v", a.function, err)
	}
	if why := a.i.module.caps.Load().mayTrigger(workflow); why != "" {
		panic(&fault{text: a.function + ": " + why, refused: true})
	}
	switch {
	case foreignID == "":
		fail("%s: the foreign ID is empty", a.function)
	case !utf8.ValidString(foreignID):
		fail("%s: the foreign ID is not UTF-8", a.function)
	}
}

func (a *asked) add(intent *runtime.Intent) {
	out := a.i.call.out
	out.Intents = append(out.Intents, *intent)
}
