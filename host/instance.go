package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
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
	stack   [1]uint64 // the parameter and the result of invoke
	scratch []byte    // the last input that was not at hand as bytes
	call    call
	logs    logs
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
	phaseInvoke
)

// call is one call of the guest: what the host functions may give to it and what it left.
type call struct {
	phase    phase
	done     <-chan struct{} // ends the call for reasons of the host
	deadline time.Time
	in       *runtime.Invocation // of phaseInvoke, as is out
	out      *runtime.Outcome

	newObject bool // out.Object holds what the guest wrote
	newStatus string
	reason    string
	delay     time.Duration
	delayErr  string // what is wrong with the delay, or ""
	due       time.Time
	dueErr    string // what is wrong with due, or ""
	manifest  []byte // of phaseManifest
	reply     reply  // to the last call of a capability
}

// fault is what a host function panics with to end the guest's call.
type fault struct {
	text    string
	aborted bool // the host wants the call ended; the guest did nothing wrong
	refused bool // the operator does not grant it: another attempt would meet the same
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
	if !i.module.host.options.Clock.Now().Before(i.call.deadline) {
		fail("it reached the deadline of the invocation")
	}
}

// newInstance makes an instance and initialises it. ctx ends only the making. The error of a guest that does not get
// through its initialisation is a *guestError.
func (m *module) newInstance(ctx context.Context) (*instance, error) {
	i := &instance{module: m, memory: newMemory(m.host.memory, m.initialMemory())}
	if i.memory == nil {
		return nil, &guestError{during: "instantiate", text: "no memory is left for another instance of " + m.file +
			": the instances of all plugins together are at the limit of " + m.host.memory.String() + "; it is tried again"}
	}
	i.value = i.memory.during(context.Background()).Value
	i.begin(phaseInitialize, ctx.Done(), m.host.options.Clock.Now().Add(m.host.options.Limits.Invocation))
	defer i.end()
	// No start functions: _initialize is called below, with everything in place; a start section runs here.
	guest, err := m.wazero.InstantiateModule(i, m.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	i.value = nil
	if err != nil {
		i.memory.Free()
		return nil, i.explain(ctx, "instantiate", err)
	}
	i.guest, i.invoke = guest, guest.ExportedFunction(abi.ExportInvoke)
	m.meter.Instances(1)
	if initialize := guest.ExportedFunction(abi.ExportInitialize); initialize != nil {
		if err := initialize.CallWithStack(i, nil); err != nil {
			err = i.explain(ctx, abi.ExportInitialize, err)
			i.close()
			return nil, err
		}
	}
	return i, nil
}

// close frees the instance. Only its owner calls it, when no call is under way.
func (i *instance) close() {
	_ = i.guest.Close(i)
	i.memory.Free()
	i.module.meter.Instances(-1)
}

func (i *instance) begin(p phase, done <-chan struct{}, deadline time.Time) {
	i.call = call{phase: p, done: done, deadline: deadline}
	i.logs.begin(i.module.host.options.Limits.LogBytes)
}

// end writes out what the guest left of its log and lets go of everything that belongs to the caller.
func (i *instance) end() {
	i.logs.end(i)
	i.call = call{}
}

// guestError says that the guest ended its call in a way that is none: by a trap, an exit, or against a limit.
type guestError struct {
	during  string // the function that was called
	refused bool   // the operator does not grant what it did
	text    string // the cause, with the last lines of its stderr around it; bounded by maxReason
}

func (e *guestError) Error() string { return e.during + ": " + e.text }

// explain turns the error of a guest call into a *guestError, or into the cause of ctx's end when the host ended the call.
// REQUIRES: i.end has not been called.
func (i *instance) explain(ctx context.Context, during string, err error) error {
	words := i.logs.lastWords()
	var text string
	var f *fault
	switch {
	case errors.As(err, &f) && f.aborted:
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return runtime.ErrRetired
	case errors.As(err, &f):
		text = "the plugin was stopped: " + f.text
	default:
		text = "the plugin trapped: " + strings.TrimPrefix(err.Error(), "wasm error: ")
		if words != "" { // the guest's own trace tells more than the host's
			text, _, _ = strings.Cut(text, "\nwasm stack trace:")
		}
	}
	if i.guest != nil && int64(i.guest.Memory().Size()) >= i.module.host.options.Limits.MemoryBytes-pageBytes {
		text += fmt.Sprintf("; its memory is at the limit of %d MiB", i.module.host.options.Limits.MemoryBytes>>20)
	}
	if i.memory.refused {
		text += "; the memory of all plugins together is at the limit of " + i.module.host.memory.String()
	}
	return &guestError{during: during, refused: f != nil && f.refused, text: cutText(withLastWords(text, words), maxReason)}
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
