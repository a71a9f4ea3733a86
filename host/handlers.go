package host

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// longestWait is the longest time that a manifest may ask for, so that no sum of times is beyond what nanoseconds can hold.
const longestWait = 100 * 365 * 24 * time.Hour

// handlerKind returns the runtime's kind of that name, or false.
func handlerKind(name string) (runtime.HandlerKind, bool) {
	for k := runtime.HandlerStep; k <= runtime.HandlerConnector; k++ {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

// hookEvent returns the event of that name, or false.
func hookEvent(name string) (runtime.HookEvent, bool) {
	for e := runtime.HookPause; e <= runtime.HookErase; e++ {
		if e.String() == name {
			return e, true
		}
	}
	return 0, false
}

// describe names a handler as errors and warnings do: the step of "paid", the timeout "late" of "paid", the hook "tell".
func describe(h *abi.Handler) string {
	switch h.Kind {
	case abi.KindStep:
		return fmt.Sprintf("the step of %.80q", h.Status)
	case abi.KindCallback, abi.KindTimeout, abi.KindTimer:
		return fmt.Sprintf("the %s %.80q of %.80q", h.Kind, h.Name, h.Status)
	case abi.KindHook, abi.KindFilter, abi.KindConnector:
		return fmt.Sprintf("the %s %.80q", h.Kind, h.Name)
	case abi.KindErase:
		return "the erase function"
	default:
		return fmt.Sprintf("the handler %.80q", h.Name)
	}
}

// handler checks what a handler says by itself.
func (c *manifestCheck) handler(workflow string, h *abi.Handler) {
	if c.full() {
		return
	}
	who := fmt.Sprintf("workflow %q: %s", workflow, describe(h))
	switch {
	case h.ID < 0:
		c.fault("%s has the negative ID %d", who, h.ID)
	case c.ids[h.ID]:
		c.fault("%s has the ID %d, as another has", who, h.ID)
	}
	c.ids[h.ID] = true
	kind, ok := handlerKind(h.Kind)
	if !ok {
		c.fault("%s is of the kind %.32q, which this server does not know", who, h.Kind)
		return
	}
	c.name("handler's name", h.Name)
	c.members(who, kind, h)
	c.destinations(who, h.To)
	c.times(who, h)
	if h.Parallelism < 0 {
		c.fault("%s has the parallelism %d; it is 0 or more", who, h.Parallelism)
	}
	c.retry(who, h.Retry)
}

// members checks that a handler has what its kind needs and nothing that its kind does not have.
func (c *manifestCheck) members(who string, kind runtime.HandlerKind, h *abi.Handler) {
	only := func(there bool, member string, kinds ...runtime.HandlerKind) {
		if there && !slices.Contains(kinds, kind) {
			names := make([]string, len(kinds))
			for i, k := range kinds {
				names[i] = k.String()
			}
			c.fault("%s has the member %s, which only a %s has", who, member, strings.Join(names, " or "))
		}
	}
	const step, callback, timeout = runtime.HandlerStep, runtime.HandlerCallback, runtime.HandlerTimeout
	if kind.Moves() || kind == runtime.HandlerTimer {
		c.name("status", h.Status)
	}
	only(h.Status != "", "status", step, callback, timeout, runtime.HandlerTimer)
	only(len(h.To) > 0, "to", step, callback, timeout)
	only(h.Parallelism != 0, "parallelism", step)
	only(h.LagMS != 0, "lag_ms", step)
	only(h.LagAlertMS != 0, "lag_alert_ms", step)
	only(h.AfterMS != 0, "after_ms", timeout)
	only(h.Timer != nil, "timer", timeout)
	only(h.On != "", "on", runtime.HandlerHook)
	if _, ok := hookEvent(h.On); kind == runtime.HandlerHook && !ok {
		c.fault("%s is told of %.32q; say on: pause, cancel, complete, resume or erase", who, h.On)
	}
}

func (c *manifestCheck) destinations(who string, to []string) {
	seen := make(map[string]bool, len(to))
	for _, status := range to {
		c.name("destination", status)
		if seen[status] {
			c.fault("%s names the destination %.80q twice", who, status)
		}
		seen[status] = true
	}
}

func (c *manifestCheck) times(who string, h *abi.Handler) {
	for _, t := range []struct {
		member string
		ms     int64
	}{{"lag_ms", h.LagMS}, {"lag_alert_ms", h.LagAlertMS}, {"after_ms", h.AfterMS}} {
		if t.ms < 0 || t.ms > longestWait.Milliseconds() {
			c.fault("%s has %s %d; it is not negative and at most 100 years", who, t.member, t.ms)
		}
	}
}

func (c *manifestCheck) retry(who string, r *abi.Retry) {
	if r == nil {
		return
	}
	longest := longestWait.Milliseconds()
	if r.InitialMS < 0 || r.InitialMS > longest || r.MaxMS < 0 || r.MaxMS > longest {
		c.fault("%s has a retry time that is negative or longer than 100 years", who)
	}
	if r.Factor != 0 && (r.Factor < 1 || r.Factor > 1000) {
		c.fault("%s has the retry factor %v; it is in 1–1000", who, r.Factor)
	}
	if r.Attempts < 0 || r.Attempts > 1<<31-1 {
		c.fault("%s has %d attempts; it has at least one", who, r.Attempts)
	}
}
