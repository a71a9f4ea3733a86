package sdk

import (
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
)

// Outcome is what a step, callback or timeout decided. The methods of Run make it. The zero Outcome is none: a function that
// returns it without an error has failed.
type Outcome[S ~string] struct {
	code    abi.Code
	discard bool   // the object stays as it was
	replace bool   // the object is written even if it is as it was
	text    string // the destination, or the reason
	delay   time.Duration
}

// Discard drops the changes that the step made to the object: the run keeps it as it was.
func (o Outcome[S]) Discard() Outcome[S] {
	o.discard = true
	return o
}

// To moves the run to a status, one of those that the function was registered with. Its own status is entered anew: timeouts
// begin again.
func (r *Run[O, S]) To(status S) Outcome[S] {
	return Outcome[S]{code: abi.CodeTo, text: string(status)}
}

// Repeat keeps the object and the status. A step then runs again at once, as a new task whose attempts count from 1, and so
// does a timeout; a callback has been handled, and the run goes on waiting.
func (r *Run[O, S]) Repeat() Outcome[S] { return Outcome[S]{code: abi.CodeRepeat} }

// RepeatAfter is Repeat after a wait, which is durable, and which a pause and a resume do not cut short. A wait that is not
// positive is none; to a callback it means nothing.
func (r *Run[O, S]) RepeatAfter(wait time.Duration) Outcome[S] {
	return Outcome[S]{code: abi.CodeRepeat, delay: max(wait, 0)}
}

// Skip leaves the run where it is, with its object unchanged. A step is parked: it runs again only when something outside
// arms it, a resume or a new entry into the status. A timeout is over, without having moved the run. A callback passes
// its payload on to the next one of the status; when the last skips, nothing has happened.
func (r *Run[O, S]) Skip() Outcome[S] { return Outcome[S]{code: abi.CodeSkip} }

// Pause stops the run until a person resumes it; the step of its status then runs again. The reason is for that person.
// Changes to the object are kept; r.Pause("…").Discard() drops them.
func (r *Run[O, S]) Pause(reason string) Outcome[S] {
	return Outcome[S]{code: abi.CodePause, text: reason}
}

// Cancel ends the run for good. Changes to the object are kept; r.Cancel("…").Discard() drops them.
func (r *Run[O, S]) Cancel(reason string) Outcome[S] {
	return Outcome[S]{code: abi.CodeCancel, text: reason}
}
