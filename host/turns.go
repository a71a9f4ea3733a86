package host

import (
	goruntime "runtime"
	"sync/atomic"
	"time"
)

// turns let guests that compute for long do so one after the other, a slice each, first come first served. There is one place
// less than there are processors, but at least one: short calls, requests, commits and the garbage collector find a processor
// that no guest keeps for longer than a slice.
type turns struct {
	places  chan struct{} // holds a token for each guest that has a turn
	waiting atomic.Int32
}

func newTurns() *turns {
	return &turns{places: make(chan struct{}, max(1, goruntime.GOMAXPROCS(0)-1))}
}

// takeTurn waits until the call may compute on, and lets those go first that wait already. It ends the call at its deadline, or
// when the host wants it ended.
func (i *instance) takeTurn() {
	t := i.module.host.turns
	if i.fuel.turn {
		if t.waiting.Load() == 0 {
			return
		}
		i.giveTurn()
	}
	select {
	case t.places <- struct{}{}:
		i.fuel.turn = true
		return
	default:
	}
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	clock := i.module.host.options.Clock
	over := make(chan struct{})
	timer := clock.AfterFunc(i.call.deadline.Sub(clock.Now()), func() { close(over) })
	defer timer.Stop()
	select {
	case t.places <- struct{}{}:
		i.fuel.turn = true
	case <-over:
	case <-i.call.done:
	}
}

// giveTurn lets another guest compute.
func (i *instance) giveTurn() {
	if i.fuel.turn {
		i.fuel.turn = false
		<-i.module.host.turns.places
	}
}

// rest is called before a host function waits for something outside. The guest has to queue for its next slice.
func (i *instance) rest() {
	if f := &i.fuel; f.turn {
		i.giveTurn()
		f.settle()
		f.since = time.Time{} // what comes until the next slice is no measure
	}
}
