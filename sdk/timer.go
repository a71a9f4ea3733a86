package sdk

import "time"

// Timer says when a timeout of a workflow over O and S is due. After and At make one.
type Timer[O any, S ~string] AnyTimer

// AnyTimer is what After returns: a type without a name of its own, so that Go assigns it to the Timer of every workflow,
// while At's Timer fits only the workflow of its types.
type AnyTimer = struct {
	after time.Duration
	at    any // of At: the function
}

// After is due a fixed time after the entry into the status. It is kept to the millisecond, and costs no call of the plugin.
func After(d time.Duration) AnyTimer { return AnyTimer{after: d} }

// At is due at an instant that a function computes from the run when it enters the status, before the step of the status; an
// instant that has passed is due at once. With false there is no timeout this time. The function may be called again, until
// the timer is stored. A panic is the error of an attempt.
func At[O any, S ~string](at func(r *Run[O, S]) (time.Time, bool)) Timer[O, S] {
	return Timer[O, S]{at: at}
}
