package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wfrt/wfrt/runtime"
)

// outcomeNames returns the label of each outcome kind, by its number; "" where there is none.
func outcomeNames() [numOutcomes]string {
	return [numOutcomes]string{
		runtime.OutcomeTo: "to", runtime.OutcomeRepeat: "repeat", runtime.OutcomeSkip: "skip", runtime.OutcomePause: "pause",
		runtime.OutcomeCancel: "cancel", runtime.OutcomeError: "error", runtime.OutcomePermanent: "permanent",
		runtime.OutcomeDone: "done",
	}
}

const (
	numOutcomes = int(runtime.OutcomeDone) + 1
	numStates   = int(runtime.DataDeleted) + 1
)

// Step implements runtime.Meter. It looks every series up once; what it returns only adds.
func (m *Metrics) Step(workflow, status string) runtime.StepMeter {
	s := &stepMeter{
		lag:     m.lag.WithLabelValues(workflow, status),
		late:    m.late.WithLabelValues(workflow, status),
		latency: m.latency.WithLabelValues(workflow, status),
		errors:  m.errors.WithLabelValues(workflow, status),
		skipped: m.skipped.WithLabelValues(workflow, status),
	}
	for kind, name := range outcomeNames() {
		if name != "" {
			s.outcomes[kind] = m.outcomes.WithLabelValues(workflow, status, name)
		}
	}
	return s
}

type stepMeter struct {
	lag, latency          prometheus.Observer
	late, errors, skipped prometheus.Counter
	outcomes              [numOutcomes]prometheus.Counter // nil where there is no such kind
}

// Lag implements runtime.StepMeter.
func (s *stepMeter) Lag(d time.Duration, late bool) {
	s.lag.Observe(d.Seconds())
	if late {
		s.late.Inc()
	}
}

// Invoked implements runtime.StepMeter.
func (s *stepMeter) Invoked(kind runtime.OutcomeKind, d time.Duration) {
	s.latency.Observe(d.Seconds())
	if int(kind) < numOutcomes && s.outcomes[kind] != nil {
		s.outcomes[kind].Inc()
	}
	if kind == runtime.OutcomeError || kind == runtime.OutcomePermanent {
		s.errors.Inc()
	}
}

// Discarded implements runtime.StepMeter.
func (s *stepMeter) Discarded() { s.skipped.Inc() }

// RunStates implements runtime.Meter. It looks the series of every allowed change up once.
func (m *Metrics) RunStates(workflow string) runtime.RunStateMeter {
	r := &runStateMeter{}
	resolve := func(from runtime.RunState, name string, to runtime.RunState) {
		r.changes[from][to] = m.runStates.WithLabelValues(workflow, name, to.String())
	}
	resolve(0, "", runtime.Initiated)
	for _, from := range runtime.RunStates() {
		for _, to := range from.Next() {
			resolve(from, from.String(), to)
		}
	}
	return r
}

type runStateMeter struct {
	changes [numStates][numStates]prometheus.Counter // nil where the change is not allowed
}

// Changed implements runtime.RunStateMeter.
func (r *runStateMeter) Changed(from, to runtime.RunState) {
	if int(from) < numStates && int(to) < numStates && r.changes[from][to] != nil {
		r.changes[from][to].Inc()
	}
}

// Committed is one batch that the store wrote in the time d.
func (m *Metrics) Committed(d time.Duration) { m.commits.Observe(d.Seconds()) }

// Synced is one sync of the store's log that took the time d.
func (m *Metrics) Synced(d time.Duration) { m.syncs.Observe(d.Seconds()) }
