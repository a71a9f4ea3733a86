package sdk

import (
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// State says where a run is in its life.
type State string

// Run states.
const (
	StateInitiated            State = "Initiated" // triggered, and nothing has moved it yet
	StateRunning              State = "Running"
	StatePaused               State = "Paused"
	StateCancelled            State = "Cancelled"
	StateCompleted            State = "Completed"
	StateRequestedDataDeleted State = "RequestedDataDeleted" // it has ended, and its data is to be erased
	StateDataDeleted          State = "DataDeleted"
)

// Run is one invocation's view of a run. It belongs to the goroutine of its function and is not valid after that has
// returned. Its inputs are asked of the server when they are called for.
type Run[O any, S ~string] struct {
	// Object is the run's object, decoded afresh for every attempt. The outcome decides whether changes to it are kept.
	Object O

	call     *guest.Call
	workflow string
	status   S
	ctx      stepContext
}

// ID returns the run's ID, a UUID of RFC 9562 in its text form.
func (r *Run[O, S]) ID() string { return r.inputs().Text(abi.FieldRunID) }

// Workflow returns the workflow's name.
func (r *Run[O, S]) Workflow() string { return r.workflow }

// ForeignID returns the author's own name for what the run is about; a workflow has one active run per foreign ID.
func (r *Run[O, S]) ForeignID() string { return r.inputs().Text(abi.FieldForeignID) }

// Status returns the run's status: the one that a step, callback or timeout handles.
func (r *Run[O, S]) Status() S {
	if r.status == "" { // of a function that belongs to none
		return S(r.inputs().Text(abi.FieldStatus))
	}
	return r.status
}

// State returns the run's state. A hook sees that of the change it is told of; while a step runs it is Initiated or Running.
func (r *Run[O, S]) State() State { return State(r.inputs().Text(abi.FieldState)) }

// Reason returns why the run is paused or cancelled, as a hook is told of it; "" when no reason was given.
func (r *Run[O, S]) Reason() string { return r.inputs().Text(abi.FieldRunReason) }

// CallbackID returns the ID of the callback that is being handled, "<run ID>/<number>", and "" outside of a callback.
func (r *Run[O, S]) CallbackID() string { return r.inputs().Text(abi.FieldCallbackID) }

// Version returns the version of the run's record, from 1. Every change of the run raises it.
func (r *Run[O, S]) Version() uint64 { return r.integer(abi.FieldVersion) }

// Attempt returns the number of this attempt, from 1. It is counted durably before the step is called.
func (r *Run[O, S]) Attempt() uint32 { return uint32(r.integer(abi.FieldAttempt)) }

// Now returns the start of this invocation by the server's clock, in UTC. Unlike time.Now it does not move during the step.
func (r *Run[O, S]) Now() time.Time { return instant(r.integer(abi.FieldNow)) }

// CreatedAt returns when the run was created, in UTC.
func (r *Run[O, S]) CreatedAt() time.Time { return instant(r.integer(abi.FieldCreatedAt)) }

// IdempotencyKey returns a text that is the same for every attempt of this task and differs from that of any other task.
// Give it to outside systems, so that an effect which an earlier attempt had is not had twice.
func (r *Run[O, S]) IdempotencyKey() string { return r.inputs().Text(abi.FieldIdempotencyKey) }

func (r *Run[O, S]) integer(field abi.Field) uint64 {
	v, _ := r.inputs().Integer(field)
	return v
}

// clear ends the Run's invocation.
func (r *Run[O, S]) clear() {
	var none O
	r.Object, r.call = none, nil
}

// inputs returns the call, or panics when there is none any more: the inputs would be those of another run.
func (r *Run[O, S]) inputs() *guest.Call {
	if r.call == nil {
		panic("sdk: a Run was used after its step had returned")
	}
	return r.call
}

// instant is the time of a field that counts nanoseconds since 1970 UTC. It goes as far as the year 2262.
func instant(ns uint64) time.Time { return time.Unix(0, int64(ns)).UTC() }
