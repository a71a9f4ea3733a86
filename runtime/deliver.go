package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// verdict says what is to become of a message after an attempt.
type verdict uint8

const (
	verdictDone  verdict = iota
	verdictVoid          // the attempt does not count, and no more are made: the engine stops, or the partition is given up
	verdictAgain         // try again, while there is patience
	verdictHold          // try again, for as long as it takes
	verdictPark          // no attempt will do
)

// do has a message take effect or parks it, and reports whether it did. If not, the message comes again after a restart or to
// another member.
func (c *connector) do(p *partition, it *item) bool {
	e, m := c.engine, &it.message
	began, attempt, held := e.now(), uint32(1), uint32(0)
	for {
		// At the high mark no runs begin; the window bounds what is received meanwhile. It costs no patience.
		waited, alive := e.disk.spaced(p.draining)
		if !alive && !c.worthWaiting(p, m.Offset) {
			return false
		}
		if waited {
			began = e.now()
		}
		v, wait, err := c.attempt(p, it, attempt)
		if wait < 0 {
			wait = refusedRetry().Wait(attempt+held, e.share())
			if v == verdictAgain && e.now().Add(wait).Sub(began) > c.Patience {
				v = verdictPark
			}
		}
		switch v {
		case verdictDone:
			return true
		case verdictVoid:
			return false
		case verdictPark:
			return c.park(p, it, attempt, err)
		case verdictAgain:
			attempt++
		case verdictHold: // it is no attempt, and costs no patience
			held++
			began = e.now()
		}
		c.counts.retried.Add(1)
		if attempt+held == 2 || held > 0 && held%60 == 0 {
			e.opt.Logger.Warn("a message is refused and tried again", "connector", c.Name, "topic", m.Topic, "partition", m.Partition,
				"offset", m.Offset, "error", err)
		}
		if !e.pause(p.draining, wait) && (!c.worthWaiting(p, m.Offset) || !e.pause(p.ctx, wait)) {
			return false
		}
	}
}

// attempt makes one attempt. A wait below zero leaves it to the connector.
func (c *connector) attempt(p *partition, it *item, attempt uint32) (v verdict, wait time.Duration, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-p.ctx.Done():
		return verdictVoid, 0, nil
	}
	if p.ctx.Err() != nil {
		return verdictVoid, 0, nil
	}
	m, err := &it.message, it.err
	switch {
	case c.Plugin != "":
		if it.action, err = c.ask(p.ctx, m, attempt); err != nil {
			return c.judgeAnswer(p, attempt, err)
		}
	case err != nil:
		return verdictPark, 0, err
	}
	_, as, err := c.engine.take(&effect{origin: p.origin(c.Name, m.Offset), by: c.by(m), action: &it.action, busy: c.Busy})
	if err != nil {
		return c.judge(&it.action, err), -1, err
	}
	c.count(as)
	return verdictDone, 0, nil
}

func (c *connector) count(as takenAs) {
	switch as {
	case tookNothing:
		c.counts.nothing.Add(1)
	case tookTrigger:
		c.counts.triggered.Add(1)
	case tookCallback:
		c.counts.called.Add(1)
	case tookSkip:
		c.counts.skipped.Add(1)
	case tookBefore:
		c.counts.repeated.Add(1)
	}
}

// judge says what is to become of a message whose effect was refused.
func (c *connector) judge(a *Action, err error) verdict {
	var invalid *InvalidError
	var busy *InProgressError
	var unknown *UnknownWorkflowError
	switch {
	case errors.Is(err, ErrStopping), errors.Is(err, ErrStoreFailed), errors.Is(err, ErrFenced), c.engine.Err() != nil:
		return verdictVoid
	case errors.As(err, &invalid):
		return verdictPark
	case errors.As(err, &busy) && c.Busy == BusyPark:
		return verdictPark
	case errors.As(err, &unknown) && c.Plugin == "" && a.Workflow == c.Mapping.Workflow:
		return verdictHold // its plugin is not there yet: no message of the connector could do better
	default:
		return verdictAgain
	}
}

// askError is why a plugin's function did not map a message.
type askError struct {
	cause error
	final bool   // trying again would not help
	retry *Retry // of the plugin's function; nil: there is no function, which an operator has to mend
}

func (e *askError) Error() string { return e.cause.Error() }
func (e *askError) Unwrap() error { return e.cause }

// judgeAnswer says what is to become of a message that a plugin's function did not map.
func (c *connector) judgeAnswer(p *partition, attempt uint32, err error) (verdict, time.Duration, error) {
	var asked *askError
	switch {
	case p.ctx.Err() != nil, !errors.As(err, &asked):
		return verdictVoid, 0, err
	case asked.final, asked.retry != nil && attempt >= asked.retry.Attempts:
		return verdictPark, 0, err
	case asked.retry == nil:
		return verdictHold, -1, err
	default:
		return verdictAgain, asked.retry.Wait(attempt, c.engine.share()), err
	}
}

// mapped returns what becomes of a message.
func (c *connector) mapped(ctx context.Context, m *Message, attempt uint32) (Action, error) {
	if c.Plugin == "" {
		return c.Mapping.Action(m)
	}
	return c.ask(ctx, m, attempt)
}

// ask asks the plugin's function what becomes of a message. Its error is an *askError, or ctx or the engine has ended.
func (c *connector) ask(ctx context.Context, m *Message, attempt uint32) (Action, error) {
	e := c.engine
	h, err := e.Catalog().connects(c.Plugin, c.Function)
	if err != nil {
		return Action{}, &askError{cause: err}
	}
	now := e.now()
	in := Invocation{
		Handler: h, Record: &Record{Workflow: c.Plugin, Object: []byte("null")}, Attempt: attempt, Message: m, Now: now,
		Deadline: now.Add(e.timeout(h)),
	}
	var out Outcome
	if err := e.guarded(ctx, &in, &out); err != nil {
		if ctx.Err() != nil || e.ctx.Err() != nil {
			return Action{}, err
		}
		return Action{}, &askError{cause: err} // the module is being replaced
	}
	e.opt.Meter.Step(c.Plugin, h.Kind.String()).Invoked(out.Kind, e.now().Sub(now))
	switch out.Kind {
	case OutcomeDone:
		return out.Action, nil
	case OutcomeSkip:
		return Action{}, nil
	case OutcomePermanent:
		return Action{}, &askError{cause: errors.New(out.Reason), final: true}
	case OutcomeError:
		return Action{}, &askError{cause: errors.New(out.Reason), retry: &h.Retry}
	default:
		err := fmt.Errorf("%s %s answered outcome %d, which is not for a %s", h.Kind, h.Name, out.Kind, h.Kind)
		return Action{}, &askError{cause: err, retry: &h.Retry}
	}
}

// connects returns a workflow's function that maps messages, or why there is none.
func (c *Catalog) connects(workflow, name string) (*Handler, error) {
	w := c.Workflow(workflow)
	if w == nil {
		return nil, &UnknownWorkflowError{Name: workflow, Known: c.Names()}
	}
	for _, h := range w.Connects {
		if h.Name == name {
			return h, nil
		}
	}
	return nil, fmt.Errorf("no plugin of workflow %s has a connector function %q", workflow, name)
}

// park keeps a message of which nothing could be made, and reports whether it did.
func (c *connector) park(p *partition, it *item, attempts uint32, cause error) bool {
	e, m := c.engine, &it.message
	err := e.park(&Parked{
		Origin: p.origin(c.Name, m.Offset), Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: slices.Clone(m.Headers), Time: m.Time,
		Cause: cause.Error(), Attempts: attempts, ParkedAt: e.now(), Workflow: it.action.Workflow, ForeignID: it.action.ForeignID,
	})
	if err != nil {
		return false // the engine stops
	}
	c.counts.parked.Add(1)
	e.opt.Logger.Error("a message is parked: see `wfrt connectors parked`", "connector", c.Name, "topic", m.Topic,
		"partition", m.Partition, "offset", m.Offset, "attempts", attempts, "error", cause)
	return true
}

// by names a message in the history of a run: "<connector>/<topic>/<partition>/<offset>".
func (c *connector) by(m *Message) string {
	return fmt.Sprintf("%s/%s/%d/%d", c.Name, m.Topic, m.Partition, m.Offset)
}

func cmpPartition(topicA string, a int32, topicB string, b int32) int {
	return cmp.Or(strings.Compare(topicA, topicB), cmp.Compare(a, b))
}

// wake tells whoever waits on c, which holds one, unless it has been told already.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
