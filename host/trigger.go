package host

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// maxIntents is how many runs one invocation may ask for: docs/abi.md, section 10.
const maxIntents = 64

// trigger is trigger(workflow_ptr, workflow_len, foreign_id_ptr, foreign_id_len, object_ptr, object_len). It adds an intent to
// the outcome, which the engine commits with the outcome or forgets with it. What it keeps is copied out of the guest's memory.
func trigger(i *instance, guest api.Module, stack []uint64) {
	c := &i.call
	switch {
	case c.phase != phaseInvoke:
		fail("trigger: only a handler may ask for a run")
	case !c.in.Handler.Kind.Moves() && c.in.Handler.Kind != runtime.HandlerHook:
		fail("trigger: a %s cannot ask for a run; a step, a callback, a timeout or a hook can", c.in.Handler.Kind)
	case len(c.out.Intents) >= maxIntents:
		fail("trigger: one invocation asks for at most %d runs", maxIntents)
	}
	argument := func(name string, at, limit int) []byte {
		ptr, size := uint32(stack[at]), uint32(stack[at+1])
		if uint64(size) > uint64(limit) {
			fail("trigger: the %s has %d bytes, more than the limit of %d", name, size, limit)
		}
		return i.view(guest, "trigger", ptr, size)
	}
	workflow := string(argument("workflow", 0, abi.MaxNameBytes))
	foreignID := string(argument("foreign ID", 2, runtime.MaxForeignID))
	object := argument("object", 4, i.module.limits.ObjectBytes)
	if err := abi.CheckName(workflow); err != nil {
		fail("trigger: the workflow's name %v", err)
	}
	if why := i.module.caps.Load().mayTrigger(workflow); why != "" {
		panic(&fault{text: "trigger: " + why, refused: true})
	}
	switch {
	case foreignID == "":
		fail("trigger: the foreign ID is empty")
	case !utf8.ValidString(foreignID):
		fail("trigger: the foreign ID is not UTF-8")
	case len(object) > 0 && !json.Valid(object):
		fail("trigger: the object is not one JSON value")
	}
	c.out.Intents = append(c.out.Intents, runtime.Intent{
		Workflow: workflow, ForeignID: foreignID, Object: append([]byte(nil), object...),
	})
}
