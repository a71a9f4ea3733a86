package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// roomAfter is the longest that an intent waits before it looks again whether a run that has as many callbacks as it may has room.
const roomAfter = 8 * time.Second

// doIntent delivers what a handler asked for of another run, once, and tells the asking run's history what became of it. One that
// came too early, or too late for one run and too early for the next, is tried again, as often as a step. One whose target is full
// waits for as long as it takes.
func (s *shard) doIntent(t *Task) error {
	e := s.engine
	line := HistoryEntry{Cause: CauseIntent, Handler: t.Intent.Workflow, Attempt: t.Attempt + 1}
	span := e.traceIntent(t)
	defer func() { e.traceDelivered(span, &line) }()
	deliver := e.deliverTrigger
	if t.Intent.Kind == IntentCallback {
		deliver = e.deliverCallback
	}
	target, err := deliver(t, span.Trace, &line)
	if target != nil {
		if derr := e.observed(e.ctx, target); derr != nil {
			line.Reason = ""
			return nil //nolint:nilerr // the engine stops; the task stays
		}
	}
	var full *TooManyCallbacksError
	var low *DiskError
	moved := *t
	switch {
	case err == nil:
		return s.conclude(&Batch{DropTask: t}, t.RunID, &line)
	case errors.As(err, &low):
		return nil // the task is looked at again when there is space
	case errors.Is(err, ErrStopping), errors.Is(err, ErrStoreFailed), errors.Is(err, context.Canceled):
		return nil
	case errors.As(err, &full):
		moved.Due = e.now().Add(time.Duration(e.share() * float64(roomAfter)))
	case early(err) && t.Attempt+1 < DefaultRetry().Attempts:
		moved.Attempt++
		moved.Due = e.now().Add(DefaultRetry().Wait(moved.Attempt, e.share()))
	default:
		line.Failed, line.Reason = true, err.Error()
		return s.conclude(&Batch{DropTask: t}, t.RunID, &line)
	}
	line.Failed, line.Reason = true, err.Error()
	return s.put(&Batch{DropTask: t, AddTasks: []Task{moved}})
}

// early reports whether what refused an intent may be otherwise later: the plugin may come, the run may begin, or come to the
// status; and after a run that has ended another may begin for the same foreign ID.
func early(err error) bool {
	var workflow *UnknownWorkflowError
	var unknown *UnknownStatusError
	var status *WrongStatusError
	var none *noRunError
	return errors.As(err, &workflow) || errors.As(err, &unknown) || errors.As(err, &status) || errors.As(err, &none)
}

// noRunError says that a callback of an intent finds no run.
type noRunError struct{ workflow, foreignID string }

func (e *noRunError) Error() string {
	return fmt.Sprintf("there is no run of workflow %s for foreign ID %q", e.workflow, e.foreignID)
}

// intentKey is the idempotency key under which an intent is delivered.
func intentKey(t *Task) (key, by string) {
	by = t.RunID.String()
	return fmt.Sprintf("intent:%s/%d/%s", by, t.Version, t.Name), by
}

// deliverTrigger begins the run. What it answers, and what it puts into line, may be relied on once the shard is durable.
func (e *Engine) deliverTrigger(t *Task, trace TraceContext, line *HistoryEntry) (*shard, error) {
	key, by := intentKey(t)
	target, done, err := e.trigger(&Trigger{
		Workflow: t.Intent.Workflow, ForeignID: t.Intent.ForeignID, Object: t.Intent.Object, StartAt: t.Intent.StartAt,
		IdempotencyKey: key, Trace: trace, cause: CauseIntent, by: by,
	}, nil)
	var busy *InProgressError
	var removed *RemovedError
	switch {
	case err == nil:
		line.By = done.Record.RunID.String()
		line.Reason = "triggered run " + line.By
	case errors.As(err, &removed): // it was delivered before a crash
		line.By = removed.RunID.String()
		line.Reason, err = "triggered run "+line.By, nil
	case errors.As(err, &busy):
		line.Reason = "already in progress: run " + busy.RunID.String()
		err = nil
	}
	return target, err
}

// deliverCallback has the run take in the callback; what its handlers make of it is in its own history. As deliverTrigger.
func (e *Engine) deliverCallback(t *Task, trace TraceContext, line *HistoryEntry) (*shard, error) {
	if err := e.accepting(); err != nil {
		return nil, err
	}
	key, by := intentKey(t)
	c := Callback{
		Workflow: t.Intent.Workflow, ForeignID: t.Intent.ForeignID, Status: t.Intent.Status, Payload: t.Intent.Object,
		IdempotencyKey: key, Trace: trace, cause: CauseIntent, by: by,
	}
	if err := e.checkCallback(&c); err != nil {
		return nil, err
	}
	target := e.shards[ShardOf(SlotOf(c.Workflow, c.ForeignID), len(e.shards))]
	id, _, err := target.takeIn(&c, nil)
	var removed *RemovedError
	switch {
	case err == nil, errors.As(err, &removed): // of a removed run: it was delivered before a crash
		err = nil
		line.By = id.RunID.String()
		line.Reason = "took in as callback " + id.String()
	case errors.Is(err, ErrNotFound):
		err = &noRunError{workflow: c.Workflow, foreignID: c.ForeignID}
	}
	return target, err
}
