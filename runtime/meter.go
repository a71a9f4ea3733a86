package runtime

import (
	"sync"
	"time"
)

// Meter takes the engine's measurements. Its methods resolve a series once; what they return is called on the hot path from
// many goroutines and must not block.
type Meter interface {
	// Step returns the meter of the step of one status.
	Step(workflow, status string) StepMeter
	// RunStates returns the meter of a workflow's runs.
	RunStates(workflow string) RunStateMeter
}

// StepMeter measures one step.
type StepMeter interface {
	// Lag is the time from when a task became ready until a worker took it; late says that it is beyond the step's lag alert.
	Lag(d time.Duration, late bool)
	// Invoked is one invocation that ended with the given outcome after d.
	Invoked(kind OutcomeKind, d time.Duration)
	// Discarded is an outcome that came too late: the run had changed during the invocation.
	Discarded()
}

// RunStateMeter counts the changes of run states of one workflow. from is 0 for a new run.
type RunStateMeter interface {
	Changed(from, to RunState)
}

// NoMeter is a Meter that measures nothing.
type NoMeter struct{}

// Step implements Meter.
func (NoMeter) Step(string, string) StepMeter { return NoMeter{} }

// RunStates implements Meter.
func (NoMeter) RunStates(string) RunStateMeter { return NoMeter{} }

// Lag implements StepMeter.
func (NoMeter) Lag(time.Duration, bool) {}

// Invoked implements StepMeter.
func (NoMeter) Invoked(OutcomeKind, time.Duration) {}

// Discarded implements StepMeter.
func (NoMeter) Discarded() {}

// Changed implements RunStateMeter.
func (NoMeter) Changed(RunState, RunState) {}

// Stats is a moment of the engine, for gauges.
type Stats struct {
	InMemory  int          // runs that are queued or executing
	Executing int          // invocations under way
	Queued    int          // runs that wait in memory for a worker
	Waiting   int          // callers that wait in Await
	Shards    []ShardStats // by shard

	OutboxAge   time.Duration // how long the oldest event has waited for the streamer, or a little more; 0 when none waits
	OutboxLate  bool          // that is longer than Relay.LagAlert
	OutboxFault string        // why events wait for the streamer; "" when none waits, or nothing is wrong
	Disk        DiskState
}

// ShardStats is a moment of one shard.
type ShardStats struct {
	Applied   LSN // the last batch applied
	Durable   LSN // the last batch known to be durable
	Published LSN // up to where the relay has published; equal to Durable without a streamer

	Unpublished int       // events that wait for the streamer; 0 without one
	Oldest      time.Time // when the first of them was made, or a little before; zero for none
	Parked      int       // events that the streamer refused
}

// meters resolves the meters of workflows once.
type meters struct {
	meter  Meter
	mu     sync.RWMutex
	byName map[string]RunStateMeter
}

func (m *meters) states(workflow string) RunStateMeter {
	m.mu.RLock()
	s := m.byName[workflow]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byName == nil {
		m.byName = map[string]RunStateMeter{}
	}
	if s = m.byName[workflow]; s == nil {
		s = m.meter.RunStates(workflow)
		m.byName[workflow] = s
	}
	return s
}
