package runtime

import (
	"errors"
	"fmt"
)

// effect is what a message is to do, once.
type effect struct {
	origin Origin
	by     string // the message's place, for the history
	action *Action
	busy   Busy
}

// taken says how an effect was done.
type takenAs uint8

const (
	tookNothing takenAs = iota
	tookTrigger
	tookCallback
	tookSkip   // an active run was in the way, and the connector skips
	tookBefore // there is a receipt
)

// take does the effect in its target's shard, in one batch with the message's receipt; with a receipt already there it does nothing.
// It may be relied on once the shard that it returns is durable; nil for nothing. It returns the errors of Trigger and Callback.
func (e *Engine) take(f *effect) (*shard, takenAs, error) {
	if err := e.Err(); err != nil { // while the engine stops, its connectors still finish what they have begun
		return nil, 0, err
	}
	switch f.action.Kind {
	case ActionTrigger:
		return e.takeTrigger(f)
	case ActionCallback:
		return e.takeCallbackOf(f)
	case ActionNone:
		return nil, tookNothing, nil
	default:
		return nil, 0, &InvalidError{Field: "action", Cause: fmt.Sprintf("%d is not known", f.action.Kind)}
	}
}

func (e *Engine) takeTrigger(f *effect) (*shard, takenAs, error) {
	t := Trigger{
		Workflow: f.action.Workflow, ForeignID: f.action.ForeignID, Object: objectOrNull(f.action.Object), StartAt: f.action.Status,
		cause: CauseConnector, by: f.by,
	}
	if err := e.checkTrigger(&t); err != nil {
		return nil, 0, err
	}
	s := e.shards[ShardOf(SlotOf(t.Workflow, t.ForeignID), len(e.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if done, err := e.store.Receipt(s.id, f.origin); err != nil || done {
		return s, tookBefore, err
	}
	_, err := s.trigger(&t, func(_ RunID, b *Batch) { b.Receipt = &f.origin })
	var busy *InProgressError
	if errors.As(err, &busy) && f.busy == BusySkip {
		return s, tookSkip, s.commit(&Batch{Receipt: &f.origin})
	}
	return s, tookTrigger, err
}

func (e *Engine) takeCallbackOf(f *effect) (*shard, takenAs, error) {
	c := Callback{
		Workflow: f.action.Workflow, Status: f.action.Status, ForeignID: f.action.ForeignID, Payload: f.action.Object,
		origin: &f.origin, cause: CauseConnector, by: f.by,
	}
	if err := e.checkCallback(&c); err != nil {
		return nil, 0, err
	}
	s := e.shards[ShardOf(SlotOf(c.Workflow, c.ForeignID), len(e.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if done, err := e.store.Receipt(s.id, f.origin); err != nil || done {
		return s, tookBefore, err
	}
	_, _, err := s.takeInLocked(&c, nil)
	return s, tookCallback, err
}

// park keeps a message that nothing could be made of, in one batch with its receipt.
func (e *Engine) park(p *Parked) error {
	s := e.shards[p.Home(len(e.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if done, err := e.store.Receipt(s.id, p.Origin); err != nil || done {
		return err
	}
	return s.commit(&Batch{Park: p, Receipt: &p.Origin})
}
