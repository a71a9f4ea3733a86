package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// invoker calls one handler of a module. It is what the catalog's handlers invoke.
type invoker struct {
	module *module
	id     int32
	own    StepLimits // of the handlers of its status
}

var _ runtime.Invoker = (*invoker)(nil)

// invokers makes those of one module, each with the limits of its handler's status.
type invokers func(id int32, own StepLimits) runtime.Invoker

// Invoke implements runtime.Invoker. It allocates nothing when an instance is idle, the guest takes one of the handler's
// declared destinations, logs nothing and triggers nothing.
func (h *invoker) Invoke(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
	m := h.module
	// A call that the host will want ended at once would cost its instance.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	among := m.pool.places(in.Handler.Kind)
	i, since, err := m.pool.take(ctx, among)
	if err != nil {
		return err
	}
	m.totals.invocations.Add(1)
	if i == nil {
		if i, err = m.newInstance(ctx); err != nil {
			m.pool.put(nil, among)
			return m.failed(err, out)
		}
	}
	if !since.IsZero() {
		m.meter.Waited(m.host.options.Clock.Now().Sub(since))
	}
	if err = i.run(ctx, h, in, out); err != nil {
		// The instance may hold anything now. This goroutine owns it and its call has returned: it is closed here and
		// nowhere else.
		i.close()
		m.pool.put(nil, among)
		return m.failed(err, out)
	}
	if !i.reusable() || m.host.memory.wanted(m.pool) {
		i.close()
		i = nil
	}
	m.pool.put(i, among)
	return nil
}

// failed makes an outcome of the guest's end, and passes on the host's reasons.
func (m *module) failed(err error, out *runtime.Outcome) error {
	var g *guestError
	if !errors.As(err, &g) {
		if short := (*memoryError)(nil); errors.As(err, &short) {
			m.totals.exceeded[short.limit.Limit].Add(1)
		}
		return fmt.Errorf("host: %s: %w", m.file, err)
	}
	m.totals.traps.Add(1)
	m.meter.Trapped()
	if g.limit != nil {
		m.totals.exceeded[g.limit.Limit].Add(1)
	}
	kind := runtime.OutcomeError
	if g.refused {
		kind = runtime.OutcomePermanent
	}
	fill(out, kind, g.text)
	return nil
}

// fill makes an outcome of what went wrong. Of what the guest wished nothing remains; of what it logged and used, everything.
func fill(out *runtime.Outcome, kind runtime.OutcomeKind, reason string) {
	logged, fuel := out.Logs, out.Fuel
	out.Reset()
	out.Kind, out.Reason, out.Logs, out.Fuel = kind, reason, logged, fuel
}

// run calls the handler in the instance and fills out. After an error the instance must be closed.
func (i *instance) run(ctx context.Context, h *invoker, in *runtime.Invocation, out *runtime.Outcome) error {
	i.beginInvocation(in, out, &h.own, ctx.Done())
	defer i.end()
	i.values[0] = uint64(uint32(h.id))
	err := i.invoke.CallWithStack(i, i.values[:])
	out.Fuel = i.fuel.used()
	if err != nil {
		return i.explain(ctx, abi.ExportInvoke, err)
	}
	i.call.outcome(abi.Code(int32(uint32(i.values[0]))))
	return nil
}

// outcome fills out from the code that the handler answered and what it wrote: docs/abi.md, sections 4 and 9.
func (c *call) outcome(code abi.Code) {
	out, kind := c.out, c.in.Handler.Kind
	if known(code) && !answers(kind, code) {
		c.wrong(runtime.OutcomePermanent, "the "+kind.String()+" answered the code "+strconv.Itoa(int(code))+
			", which docs/abi.md does not have for its kind")
		return
	}
	switch code {
	case abi.CodeTo:
		if c.newStatus == "" {
			c.wrong(runtime.OutcomePermanent, "the "+kind.String()+" moved the run but did not write new_status, the destination")
			return
		}
		out.Kind, out.Status = runtime.OutcomeTo, c.newStatus
	case abi.CodeRepeat:
		if c.delayErr != "" {
			c.wrong(runtime.OutcomeError, c.delayErr)
			return
		}
		out.Kind, out.Delay = runtime.OutcomeRepeat, c.delay
	case abi.CodePause:
		out.Kind, out.Reason = runtime.OutcomePause, c.reason
	case abi.CodeCancel:
		out.Kind, out.Reason = runtime.OutcomeCancel, c.reason
	case abi.CodeSkip:
		out.Kind, c.newObject = runtime.OutcomeSkip, false
	case abi.CodeError:
		out.Kind, out.Reason = runtime.OutcomeError, c.reason
		c.newObject, out.Intents, out.Emits = false, out.Intents[:0], out.Emits[:0]
	case abi.CodePermanent:
		out.Kind, out.Reason = runtime.OutcomePermanent, c.reason
		c.newObject, out.Intents, out.Emits = false, out.Intents[:0], out.Emits[:0]
	case abi.CodeDone:
		if !c.finished() {
			return
		}
	default:
		c.wrong(runtime.OutcomeError,
			"the "+kind.String()+" answered the code "+strconv.Itoa(int(code))+", which docs/abi.md does not have")
		return
	}
	if !utf8.ValidString(out.Reason) {
		c.wrong(runtime.OutcomeError, "the reason that the "+kind.String()+" wrote is not UTF-8")
		return
	}
	c.object()
}

// known says that docs/abi.md has the code.
func known(code abi.Code) bool { return abi.CodeTo <= code && code <= abi.CodeDone }

// answers says that a handler of the kind may answer the code.
func answers(kind runtime.HandlerKind, code abi.Code) bool {
	switch code {
	case abi.CodeError, abi.CodePermanent:
		return true
	case abi.CodeDone:
		return !kind.Moves()
	case abi.CodeSkip:
		return kind.Moves() || kind == runtime.HandlerTimer || kind == runtime.HandlerFilter || kind == runtime.HandlerConnector
	default:
		return kind.Moves()
	}
}

// finished fills out for CodeDone, or says what is wrong and returns false.
func (c *call) finished() bool {
	c.out.Kind = runtime.OutcomeDone
	switch c.in.Handler.Kind {
	case runtime.HandlerTimer:
		c.newObject = false
		switch {
		case c.dueErr != "":
			c.wrong(runtime.OutcomeError, c.dueErr)
			return false
		case c.due.IsZero():
			c.wrong(runtime.OutcomePermanent, "the timer did not write due, the time; to say never, it answers the code "+
				strconv.Itoa(int(abi.CodeSkip)))
			return false
		}
		c.out.Due = c.due
	case runtime.HandlerErase, runtime.HandlerFilter:
	case runtime.HandlerConnector:
		c.newObject = false
		if cause := c.acts(); cause != "" {
			c.wrong(runtime.OutcomePermanent, cause)
			return false
		}
	default:
		c.newObject = false
	}
	return true
}

// object keeps the object that the guest wrote, if it is a change.
func (c *call) object() {
	out, kind := c.out, c.in.Handler.Kind
	// An object written back as it was is no change, and the record's object is known to be JSON. But an erase function that
	// writes it back wants it kept.
	if !c.newObject || kind != runtime.HandlerErase && bytes.Equal(out.Object, c.in.Record.Object) {
		out.Object = out.Object[:0]
		return
	}
	if !json.Valid(out.Object) {
		c.wrong(runtime.OutcomePermanent, "the new_object that the "+kind.String()+" wrote is not one JSON value; it begins "+
			strconv.Quote(cutText(string(out.Object[:min(64, len(out.Object))]), 64)))
		return
	}
	out.Changed = true
}

func (c *call) wrong(kind runtime.OutcomeKind, reason string) { fill(c.out, kind, reason) }
