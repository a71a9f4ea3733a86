package runtime

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotFound says that there is no such run, key or definition.
	ErrNotFound = errors.New("not found")
	// ErrFenced says that another owner has taken the shard.
	ErrFenced = errors.New("the shard has a newer owner")
	// ErrStoreFailed says that a batch could not be made durable. The process must stop: what it holds in memory may be lost.
	ErrStoreFailed = errors.New("the store failed")
	// ErrRetired says that a module has been replaced and takes no more invocations.
	ErrRetired = errors.New("the module has been replaced")
	// ErrStopping says that the engine has not started yet or is stopping, and takes no new work.
	ErrStopping = errors.New("the server is starting or stopping; try again in a moment")
)

// TransitionError says that a run cannot go from one state to another.
type TransitionError struct{ From, To RunState }

func (e *TransitionError) Error() string {
	return fmt.Sprintf("a run that is %s cannot become %s", e.From, e.To)
}

// InProgressError says that a foreign ID already has an active run of the workflow.
type InProgressError struct {
	Workflow  string
	ForeignID string
	RunID     RunID // the active run
}

func (e *InProgressError) Error() string {
	return fmt.Sprintf("workflow %s already has an active run for foreign ID %q: %s", e.Workflow, e.ForeignID, e.RunID)
}

// UnknownWorkflowError says that the catalog has no workflow of that name.
type UnknownWorkflowError struct {
	Name  string
	Known []string // all names, in alphabetical order
}

func (e *UnknownWorkflowError) Error() string { return fmt.Sprintf("there is no workflow %q", e.Name) }

// Left are runs that a swap would leave behind.
type Left struct {
	Workflow string
	Status   string // "": in any
	Runs     int    // how many, but at most MaxLeft
}

// MaxLeft is up to how many runs are counted that a swap would leave behind.
const MaxLeft = 1000

// String returns `3 runs in "paid"`.
func (l Left) String() string {
	more, what := "", "runs"
	switch {
	case l.Runs >= MaxLeft:
		more = " or more"
	case l.Runs == 1:
		what = "run"
	}
	if l.Status == "" {
		return fmt.Sprintf("%d%s %s", l.Runs, more, what)
	}
	return fmt.Sprintf("%d%s %s in %q", l.Runs, more, what, l.Status)
}

// LeftError says that a swap would leave runs behind.
type LeftError struct{ Left []Left }

func (e *LeftError) Error() string {
	texts := make([]string, len(e.Left))
	for i, l := range e.Left {
		texts[i] = fmt.Sprintf("workflow %s has %s", l.Workflow, l)
	}
	return "it would leave runs behind: " + strings.Join(texts, "; ")
}

// UnknownStatusError says that a workflow has no such status, or none that a run can begin in.
type UnknownStatusError struct {
	Workflow string
	Status   string
	Known    []string // the statuses it could have been, in alphabetical order
}

func (e *UnknownStatusError) Error() string {
	return fmt.Sprintf("workflow %s has no status %q that a run can begin in", e.Workflow, e.Status)
}

// KeyReusedError says that an idempotency key came with another request than before.
type KeyReusedError struct {
	Key   string
	RunID RunID // the run that the first request began
}

func (e *KeyReusedError) Error() string {
	return fmt.Sprintf("idempotency key %q was used with another request", e.Key)
}

// RemovedError says that a request is a repetition, under its idempotency key, of one whose run has been removed since.
type RemovedError struct {
	Key   string
	RunID RunID // the run that took the first request
}

func (e *RemovedError) Error() string {
	return fmt.Sprintf("run %s took the request with idempotency key %q, and was removed since, as its workflow's retention says", e.RunID, e.Key)
}

// known reads the run that a request under an idempotency key was for. It returns a *RemovedError when that is gone.
func (s *shard) known(key *Idempotency, rec *Record) error {
	err := s.engine.store.Record(key.RunID, rec)
	if errors.Is(err, ErrNotFound) {
		return &RemovedError{Key: key.Key, RunID: key.RunID}
	}
	return err
}

// InvalidError says that a request is malformed.
type InvalidError struct {
	Field string // what is wrong: "foreign_id"
	Cause string // how: "is empty; give the order's number"
}

func (e *InvalidError) Error() string { return e.Field + " " + e.Cause }

func appendUint(dst []byte, v uint64) []byte { return strconv.AppendUint(dst, v, 10) }
