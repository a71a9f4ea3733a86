package sdk

import (
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// Step is a registered step; its methods set options, which the server's configuration may override.
type Step struct {
	part *guest.Handler
}

// Retry sets how long to wait between attempts that fail, and how many there are in all, the first included. After the last
// the run is paused with the last error as its reason. Defaults to the server's: Exponential(time.Second, 5*time.Minute),
// 10.
func (s *Step) Retry(wait Backoff, attempts int) *Step {
	retry(s.part, wait, attempts)
	return s
}

// Parallelism limits how many runs are in this step at a time, over the whole server. Defaults to no limit of its own.
func (s *Step) Parallelism(n int) *Step {
	if n < 1 {
		s.part.Fault("Parallelism: %d; it is at least 1", n)
	}
	s.part.Line().Parallelism = n
	return s
}

// Lag lets a run wait in the status before the step runs; the wait is durable. Kept to the millisecond; 0 and
// no Lag leave it to the server (engine.lag), which by default lets no run wait.
func (s *Step) Lag(d time.Duration) *Step {
	s.part.Line().LagMS = milliseconds(s.part, "Lag", d)
	return s
}

// LagAlert sets how long a run may wait for a worker, beyond Lag, before it is counted as late. Kept to the millisecond;
// defaults to the server's.
func (s *Step) LagAlert(d time.Duration) *Step {
	s.part.Line().LagAlertMS = milliseconds(s.part, "LagAlert", d)
	return s
}

// Handler is a registered callback, timeout, hook or erase function; its methods set options, which the server's
// configuration may override.
type Handler struct {
	parts []*guest.Handler // with a timeout goes the function that computes when it is due
}

// Name sets the function's name: 1–64 bytes as a status, unique among those of its kind and status. It is stored with runs,
// so that what waits under it finds it after an update of the plugin: where there are several, name them, for the defaults
// count them in the order of their registration.
func (h *Handler) Name(name string) *Handler {
	for _, part := range h.parts {
		part.Line().Name = name
	}
	return h
}

// Retry sets how long to wait between attempts that fail, and how many there are in all, the first included. After the last
// attempt of a callback or timeout the run is paused with the last error as its reason; a hook or an erase function is tried
// on, and its failures are no longer noted in the history. Defaults to the server's: Exponential(time.Second,
// 5*time.Minute), 10.
func (h *Handler) Retry(wait Backoff, attempts int) *Handler {
	for _, part := range h.parts {
		retry(part, wait, attempts)
	}
	return h
}

// want reports a function that is nil.
func (h *Handler) want(there bool) {
	if !there {
		h.parts[0].Fault("the function is nil")
	}
}

func retry(part *guest.Handler, wait Backoff, attempts int) {
	switch {
	case attempts < 1:
		part.Fault("Retry: %d attempts; the first attempt counts, so there is at least 1", attempts)
	case wait.initial < time.Millisecond || wait.longest < wait.initial:
		part.Fault("Retry: waits from %v to %v; the first is at least 1ms, and the longest is not shorter",
			wait.initial, wait.longest)
	}
	part.Line().Retry = &abi.Retry{
		InitialMS: wait.initial.Milliseconds(),
		MaxMS:     wait.longest.Milliseconds(),
		Factor:    wait.factor,
		Attempts:  attempts,
	}
}

func milliseconds(part *guest.Handler, option string, d time.Duration) int64 {
	if d < time.Millisecond {
		part.Fault("%s: %v; it is at least 1ms", option, d)
	}
	return d.Milliseconds()
}

// Backoff says how long to wait between attempts.
type Backoff struct {
	initial, longest time.Duration
	factor           float64
}

// Exponential waits a random part of initial after the first failed attempt, of twice as much after the second, and so on,
// but never more than longest. Both are kept to the millisecond.
func Exponential(initial, longest time.Duration) Backoff {
	return Backoff{initial: initial, longest: longest, factor: 2}
}
