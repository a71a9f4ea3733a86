package host

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// CanaryRules say when a canary fails: when, of the invocations of its module within the window, of which there are at least
// MinInvocations, a share of ErrorShare or more are errors. It is then rolled back by itself.
type CanaryRules struct {
	// ErrorShare is in (0, 1]. Defaults to 0.1.
	ErrorShare float64
	// MinInvocations is how many invocations there must have been. Defaults to 20.
	MinInvocations int
	// Window is how far back errors count. Defaults to 5 minutes.
	Window time.Duration
}

// slices of a window.
const trialSlices = 10

// trial counts what becomes of the invocations of a canary.
type trial struct {
	digest runtime.Digest
	rules  CanaryRules
	clock  runtime.Clock
	failed func() // called once, when the canary fails; must not block

	mu      sync.Mutex // guards the fields below
	counts  [trialSlices]tally
	at      time.Time // when the slice of counts[0] began
	tripped bool
}

// tally counts the invocations of one slice of the window.
type tally struct{ all, errors int }

// watch returns the invokers of a module with their outcomes counted.
func (t *trial) watch(of invokers) invokers {
	return func(id int32, own StepLimits) runtime.Invoker { return watched{of(id, own), t} }
}

// watched is an invoker whose outcomes a trial counts.
type watched struct {
	runtime.Invoker
	trial *trial
}

// Invoke implements runtime.Invoker.
func (w watched) Invoke(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
	err := w.Invoker.Invoke(ctx, in, out)
	if err == nil {
		w.trial.count(out.Kind == runtime.OutcomeError || out.Kind == runtime.OutcomePermanent)
	}
	return err
}

// count counts one invocation.
func (t *trial) count(failed bool) {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	t.counts[0].all++
	if failed {
		t.counts[0].errors++
	}
	if sum := t.sum(); !t.tripped && sum.all >= t.rules.MinInvocations && sum.share() >= t.rules.ErrorShare {
		t.tripped = true
		t.failed()
	}
}

// advance moves the slices on so that the first one holds now.
// REQUIRES: t.mu
func (t *trial) advance(now time.Time) {
	each := t.rules.Window / trialSlices
	if t.at.IsZero() {
		t.at = now
	}
	for passed := 0; now.Sub(t.at) >= each; passed++ {
		if passed == trialSlices { // all of them are empty by now
			t.at = now
			return
		}
		copy(t.counts[1:], t.counts[:])
		t.counts[0] = tally{}
		t.at = t.at.Add(each)
	}
}

// sum returns the counts of the window.
// REQUIRES: t.mu
func (t *trial) sum() (sum tally) {
	for _, c := range t.counts {
		sum.all, sum.errors = sum.all+c.all, sum.errors+c.errors
	}
	return sum
}

func (c tally) share() float64 {
	if c.all == 0 {
		return 0
	}
	return float64(c.errors) / float64(c.all)
}

// tally returns the counts of the window that ends now.
func (t *trial) tally() tally {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	return t.sum()
}

// over reports whether the canary has failed.
func (t *trial) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tripped
}

func (t *trial) cause() string {
	c := t.tally()
	return fmt.Sprintf("%d of the last %d invocations failed (plugins.canary.error_share is %g)", c.errors, c.all, t.rules.ErrorShare)
}
