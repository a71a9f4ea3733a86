package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// instance is one memory of a module. It is owned by one goroutine at a time: who took it from the pool, or the pool.
//
// It is also the context of its own guest calls. wazero hands the context of a call through to host functions, so that they
// find the instance by a type assertion, without a lookup or an allocation. As a context it never ends: the end of a call
// is checked by checkpoint.
type instance struct {
	module  *module
	guest   api.Module
	memory  *memory
	value   func(key any) any // while the instance is made: tells wazero of memory; else nil
	invoke  api.Function
	values  [1]uint64 // the parameter and the result of invoke
	stack   stack     // of the function that is called
	scratch []byte    // the last input that was not at hand as bytes
	call    call
	fuel    fuel
	logs    logs
	calls   int                 // invocations that have ended
	globals []api.MutableGlobal // of a module with a snapshot, in the order of module.globals
}

var _ context.Context = (*instance)(nil)

// Deadline implements context.Context.
func (i *instance) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (i *instance) Done() <-chan struct{} { return nil }

// Err implements context.Context.
func (i *instance) Err() error { return nil }

// Value implements context.Context.
func (i *instance) Value(key any) any {
	if i.value == nil {
		return nil
	}
	return i.value(key)
}

// phase says which of the module's functions is being called, and so which fields may be read and written.
type phase uint8

const (
	phaseInitialize phase = iota
	phaseManifest
	phaseWarm
	phaseInvoke
)

// call is one call of the guest: what the host functions may give to it and what it left.
type call struct {
	phase    phase
	limits   Limits          // as they were when it began
	own      *StepLimits     // those of them that are of the handler's status; nil: none
	done     <-chan struct{} // ends the call for reasons of the host
	began    time.Time
	deadline time.Time
	raise    string              // the key of the configuration that sets the deadline
	in       *runtime.Invocation // of phaseInvoke, as is out
	out      *runtime.Outcome

	newObject bool // out.Object holds what the guest wrote
	newStatus string
	action    string // of a connector's function
	reason    string
	delay     time.Duration
	delayErr  string // what is wrong with the delay, or ""
	due       time.Time
	dueErr    string // what is wrong with due, or ""
	manifest  []byte // of phaseManifest
	reply     reply  // to the last call of a capability

	hostCalls int   // so far
	hostBytes int64 // so far
}

// fault is what a host function panics with to end the guest's call.
type fault struct {
	text    string
	limit   *LimitError // nil unless one was exceeded
	aborted bool        // the host wants the call ended; the guest did nothing wrong
	refused bool        // the operator does not grant it: another attempt would meet the same
}

func (f *fault) Error() string { return f.text }

// fail ends the guest's call with a message that continues "the plugin was stopped: ".
func fail(format string, args ...any) { panic(&fault{text: fmt.Sprintf(format, args...)}) }

// checkpoint ends the call when its time is over or the host wants it ended. Every host function begins with it.
func (i *instance) checkpoint() {
	select {
	case <-i.call.done:
		panic(&fault{text: "the host ended the call", aborted: true})
	default:
	}
	if now := i.module.host.options.Clock.Now(); !now.Before(i.call.deadline) {
		exceed(&LimitError{
			Limit: LimitTime, Used: uint64(now.Sub(i.call.began)), Max: uint64(i.call.deadline.Sub(i.call.began)), Raise: i.call.raise,
		})
	}
}

// newInstance makes an instance and initialises it. ctx ends only the making. The error of a guest that does not get
// through its initialisation is a *guestError; a *memoryError says that all instances together have too much.
func (m *module) newInstance(ctx context.Context) (_ *instance, err error) {
	defer func() { err = m.blameless(err) }()
	space, err := m.newSpace()
	if err != nil {
		return nil, &guestError{during: "instantiate", text: "no memory can be mapped for another instance of " + m.file + ": " + err.Error()}
	}
	size := m.instanceSize()
	i := &instance{module: m, memory: newMemory(m.host.memory, m.pool, space, size, m.limits.Load().MemoryBytes)}
	if i.memory == nil {
		space.free()
		return nil, &LimitError{Limit: LimitTotalMemory, Used: uint64(m.host.memory.taken(m.pool) + size + instanceCost), Max: uint64(m.host.memory.limit)}
	}
	i.value = i.memory.during(context.Background()).Value
	i.begin(phaseInitialize, ctx.Done())
	defer i.end()
	i.takeTurn() // guests that throw their instances away do not keep the processors busy with making others
	// A start section runs here, _initialize is called below.
	guest, err := m.wazero.InstantiateModule(i, m.compiled, m.config)
	i.value = nil
	if err != nil {
		i.memory.Free()
		return nil, i.explain(ctx, "instantiate", err)
	}
	i.guest, i.invoke = guest, guest.ExportedFunction(abi.ExportInvoke)
	i.fuel.find(guest)
	defer func() { i.stack.of(i.invoke) }()
	m.meter.Instances(1)
	if m.snapshot != nil {
		if err := i.stamp(); err != nil {
			i.close()
			return nil, err
		}
		return i, nil
	}
	if initialize := guest.ExportedFunction(abi.ExportInitialize); initialize != nil {
		i.stack.of(initialize)
		if err := initialize.CallWithStack(i, nil); err != nil {
			err = i.explain(ctx, abi.ExportInitialize, err)
			i.close()
			return nil, err
		}
	}
	return i, nil
}

// instanceSize returns how large the memory of an instance is when it is made, in bytes, as far as that is known.
func (m *module) instanceSize() int64 {
	size := max(m.initialMemory(), m.initialized)
	if m.snapshot != nil {
		size = max(size, int64(m.snapshot.image.size()))
	}
	return min(size, m.limits.Load().MemoryBytes)
}

// newSpace returns where the memory of an instance lies.
func (m *module) newSpace() (space, error) {
	if m.snapshot != nil {
		return m.snapshot.image.space(m.limits.Load().MemoryBytes)
	}
	return newSpace(m.limits.Load().MemoryBytes)
}

// reusable makes the instance ready for another invocation after one that has ended well, or says that it is used up.
func (i *instance) reusable() bool {
	limits := i.module.limits.Load()
	i.calls++
	return i.calls < limits.InstanceCalls && int64(i.guest.Memory().Size()) <= limits.InstanceBytes &&
		i.keepsStack() && i.renew()
}

// close frees the instance. Only its owner calls it, when no call is under way: its memory is unmapped, and a guest that still used it
// would take the process with it.
func (i *instance) close() {
	_ = i.guest.Close(i)
	i.memory.Free()
	i.memory.budget.give(i.stack.paid)
	i.module.meter.Instances(-1)
}

// begin begins a call with the limits of the module.
func (i *instance) begin(p phase, done <-chan struct{}) {
	limits, now := i.module.limits.Load(), i.module.host.options.Clock.Now()
	i.call = call{phase: p, limits: *limits, done: done, began: now, deadline: now.Add(limits.Invocation)}
	i.logs.begin(limits.LogBytes)
	i.fuel.begin(limits.Fuel)
	i.memory.begin(i.memory.limit)
}

// beginInvocation begins a call of a handler. Its time is what the caller allows and begins here: what passed before, while it
// waited for the instance, is not the guest's.
func (i *instance) beginInvocation(in *runtime.Invocation, out *runtime.Outcome, own *StepLimits, done <-chan struct{}) {
	i.begin(phaseInvoke, done)
	c := &i.call
	c.in, c.out = in, out
	if *own != (StepLimits{}) {
		c.own, c.limits = own, own.over(&c.limits)
		i.logs.begin(c.limits.LogBytes)
		i.fuel.begin(c.limits.Fuel)
		i.memory.begin(min(c.limits.MemoryBytes, i.memory.limit))
	}
	if t := in.Handler.Timeout; t > 0 {
		c.deadline, c.raise = c.began.Add(t), stepKey(in.Handler, LimitTime)
	}
	if !in.Deadline.IsZero() {
		if shorter := c.began.Add(in.Deadline.Sub(in.Now)); shorter.Before(c.deadline) {
			c.deadline, c.raise = shorter, "engine.step_timeout"
		}
	}
}

// stepKey returns the key of the configuration that sets a limit of the handlers of one status.
func stepKey(h *runtime.Handler, limit Limit) string {
	return "workflows." + h.Workflow + ".steps." + h.Status + "." + limit.String()
}

// raisedBy completes an error, if it is not nil, with the key that raises the limit when that is one of the handler's status.
func (c *call) raisedBy(e *LimitError) *LimitError {
	if e != nil && c.own != nil && c.own.has(e.Limit) {
		e.Raise = stepKey(c.in.Handler, e.Limit)
	}
	return e
}

// exceed ends the guest's call because it used more of something than it may.
func (i *instance) exceed(e *LimitError) { exceed(i.call.raisedBy(e)) }

// end writes out what the guest left of its log and lets go of everything that belongs to the caller.
func (i *instance) end() {
	i.giveTurn()
	i.module.totals.fuel.Add(i.fuel.used())
	i.logs.end(i)
	i.call = call{}
}

// guestError says that the guest ended its call in a way that is none: by a trap, an exit, or against a limit.
type guestError struct {
	during  string      // the function that was called
	refused bool        // the operator does not grant what it did
	text    string      // the cause, with the last lines of its stderr around it; bounded by maxReason
	limit   *LimitError // what it exceeded; nil for nothing
}

// Unwrap returns the *LimitError, if that is what ended the call.
func (e *guestError) Unwrap() error {
	if e.limit == nil {
		return nil
	}
	return e.limit
}

func (e *guestError) Error() string { return e.during + ": " + e.text }

// explain turns the error of a guest call into a *guestError, or into the cause of ctx's end when the host ended the call.
// REQUIRES: i.end has not been called.
func (i *instance) explain(ctx context.Context, during string, err error) error {
	words := i.logs.lastWords()
	var text string
	var limit *LimitError
	var f *fault
	switch {
	case errors.As(err, &f) && f.aborted:
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return runtime.ErrRetired
	case errors.As(err, &f):
		text, limit = "the plugin was stopped: "+f.text, f.limit
	default:
		text = "the plugin trapped: " + strings.TrimPrefix(err.Error(), "wasm error: ")
		if words != "" { // the guest's own trace tells more than the host's
			text, _, _ = strings.Cut(text, "\nwasm stack trace:")
		}
	}
	if limit == nil {
		if limit = i.suspect(err); limit != nil {
			text += "; " + limit.Error()
		}
	}
	text = cutText(withLastWords(text, words), maxReason)
	return &guestError{during: during, refused: f != nil && f.refused, text: text, limit: limit}
}

// suspect returns the limit that is behind a trap, or nil. A guest that is refused memory mostly ends by a trap of its own, and
// the stack of the engine may be used up by fewer calls than there may be.
func (i *instance) suspect(trap error) *LimitError {
	if strings.Contains(trap.Error(), "stack overflow") {
		return &LimitError{Limit: LimitDepth, Max: uint64(i.module.limits.Load().CallDepth), Of: "the stack is full before there are"}
	}
	return i.call.raisedBy(i.memory.exceeded())
}

// withLastWords puts what a guest last wrote to stderr first: a panic's own message tells its author more than the trap it ends
// in.
func withLastWords(text, words string) string {
	if words == "" {
		return text
	}
	first, rest, more := strings.Cut(words, "\n")
	first += " (" + cutText(text, maxReason-maxTold-64) + ")"
	if more {
		first += "; last on stderr:\n" + rest
	}
	return first
}
