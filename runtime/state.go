package runtime

import "fmt"

// RunState is where a run is in its life. Its status says where it is in its business.
type RunState uint8

// Run states. The numbers are part of the durable format.
const (
	Initiated            RunState = 1 // triggered; no step has ended yet
	Running              RunState = 2 // at least one step has ended
	Paused               RunState = 3 // nothing runs until it is resumed
	Cancelled            RunState = 4 // ended before its end
	Completed            RunState = 5 // ended in a terminal status
	RequestedDataDeleted RunState = 6 // ended, and its data is to be erased
	DataDeleted          RunState = 7 // ended, and its data is erased
)

// RunStates returns all run states in the order of their numbers.
func RunStates() []RunState {
	return []RunState{Initiated, Running, Paused, Cancelled, Completed, RequestedDataDeleted, DataDeleted}
}

// String returns the state's name as the API writes it, or "RunState(N)".
func (s RunState) String() string {
	switch s {
	case Initiated:
		return "Initiated"
	case Running:
		return "Running"
	case Paused:
		return "Paused"
	case Cancelled:
		return "Cancelled"
	case Completed:
		return "Completed"
	case RequestedDataDeleted:
		return "RequestedDataDeleted"
	case DataDeleted:
		return "DataDeleted"
	default:
		return fmt.Sprintf("RunState(%d)", uint8(s))
	}
}

// ParseRunState reads the name that String writes.
func ParseRunState(name string) (RunState, error) {
	for _, s := range RunStates() {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("runtime: run state %q is none of %v", name, RunStates())
}

// Next returns the states that may follow s, in the order of their numbers. A state may also follow itself while the run is
// active, as a step leads from status to status; that is not a transition.
func (s RunState) Next() []RunState {
	switch s {
	case Initiated:
		return []RunState{Running, Paused, Cancelled, Completed}
	case Running:
		return []RunState{Paused, Cancelled, Completed}
	case Paused:
		return []RunState{Running, Cancelled}
	case Cancelled, Completed:
		return []RunState{RequestedDataDeleted}
	case RequestedDataDeleted:
		return []RunState{DataDeleted}
	default:
		return nil
	}
}

// Active reports whether the run can still move: its foreign ID cannot be triggered again until it has ended.
func (s RunState) Active() bool { return s == Initiated || s == Running || s == Paused }

// CheckTransition returns a *TransitionError unless a run in state s may go to state to.
func (s RunState) CheckTransition(to RunState) error {
	for _, next := range s.Next() {
		if next == to {
			return nil
		}
	}
	return &TransitionError{From: s, To: to}
}
