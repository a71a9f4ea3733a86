package sdk

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// handler is a function of the author with its types: what wfrt_invoke comes to.
type handler[O any, S ~string] struct {
	workflow string
	status   S      // "" of a handler that belongs to no status
	what     string // for errors: "step"
	do       StepFunc[O, S]
	codec    codec[O]
}

// register adds a handler to the workflow: line says what it is, stem what it is called when it has no name of its own.
func (w *Workflow[O, S]) register(line abi.Handler, stem string, do StepFunc[O, S]) *guest.Handler {
	h := &handler[O, S]{
		workflow: w.part.Name(), status: S(line.Status), what: line.Kind, do: do, codec: codecOf[O](),
	}
	return w.part.Register(line, stem, h.invoke, h.warm)
}

// warm makes the Run that is kept, and lets the codec see its type for the first time.
func (h *handler[O, S]) warm(c *guest.Call, kept *any) {
	if *kept == nil {
		*kept = new(Run[O, S])
	}
	var o O
	_ = h.codec.decode(c, []byte("{}"), &o) // no matter whether it fits
	_, _ = h.codec.encode(c, &o)
}

// invoke is one attempt: object in, the author's function, object and outcome out.
//
// The Run is kept for the next one: in a wasip1 guest an allocation costs as much as the rest of the call. It is emptied in
// between, so that an author who kept it meets a panic or the next invocation's run, but never a mixture.
func (h *handler[O, S]) invoke(c *guest.Call, kept *any) abi.Code {
	r, ok := (*kept).(*Run[O, S])
	if !ok {
		r = new(Run[O, S])
		*kept = r
	}
	r.call, r.workflow, r.status = c, h.workflow, h.status
	r.ctx.begin(c.Host)
	code := h.attempt(c, r)
	r.ctx.end()
	r.clear()
	return code
}

func (h *handler[O, S]) attempt(c *guest.Call, r *Run[O, S]) abi.Code {
	before := c.Object()
	if err := h.codec.decode(c, before, &r.Object); err != nil {
		return because(c, abi.CodePermanent, err.Error())
	}
	out, err := h.do(&r.ctx, r)
	if err != nil {
		return h.failWith(c, err)
	}
	if !out.discard && keepsObject(out.code) {
		after, err := h.codec.encode(c, &r.Object)
		if err != nil {
			return because(c, abi.CodePermanent, err.Error())
		}
		if out.replace || !guest.Equal(before, after) {
			c.Write(abi.FieldNewObject, after)
		}
	}
	return h.answer(c, r, out)
}

// answer writes what goes with the outcome's code and returns the code.
func (h *handler[O, S]) answer(c *guest.Call, r *Run[O, S], out Outcome[S]) abi.Code {
	switch out.code {
	case abi.CodeTo:
		c.WriteText(abi.FieldNewStatus, out.text)
	case abi.CodeRepeat:
		if out.delay > 0 {
			c.WriteInteger(abi.FieldDelay, uint64(out.delay))
		}
	case abi.CodePause, abi.CodeCancel:
		return because(c, out.code, out.text)
	case abi.CodeSkip, abi.CodeDone:
	default:
		return because(c, abi.CodeError,
			fmt.Sprintf("sdk: the %s of %q returned no outcome; return one of r.To, r.Pause, …", h.what, r.Status()))
	}
	return out.code
}

// keepsObject reports whether an outcome with that code can change the object.
func keepsObject(code abi.Code) bool {
	switch code {
	case abi.CodeTo, abi.CodeRepeat, abi.CodePause, abi.CodeCancel, abi.CodeDone:
		return true
	default:
		return false
	}
}

func (h *handler[O, S]) failWith(c *guest.Call, err error) abi.Code {
	code, reason := abi.CodeError, err.Error()
	if isPermanent(err) {
		code = abi.CodePermanent
	}
	if reason == "" {
		reason = fmt.Sprintf("sdk: the %s failed with an error that has no text (%T)", h.what, err)
	}
	return because(c, code, reason)
}

// because writes the reason that goes with a code. What an outside system answered may be in it, in any encoding.
func because(c *guest.Call, code abi.Code, reason string) abi.Code {
	c.WriteText(abi.FieldReason, strings.ToValidUTF8(reason, "\uFFFD"))
	return code
}

// What follows gives the author's functions of other kinds the form of a step.

func takes[O any, S ~string](fn CallbackFunc[O, S]) StepFunc[O, S] {
	return func(ctx context.Context, r *Run[O, S]) (Outcome[S], error) {
		return fn(ctx, r, r.call.Payload())
	}
}

func isDue[O any, S ~string](at func(r *Run[O, S]) (time.Time, bool)) StepFunc[O, S] {
	return func(_ context.Context, r *Run[O, S]) (Outcome[S], error) {
		due, ok := at(r)
		if !ok {
			return r.Skip(), nil
		}
		ns := uint64(0) // what is due before 1970 is due now, as what is due in the past
		switch {
		case due.After(lastInstant):
			return Outcome[S]{}, Permanent(fmt.Errorf("sdk: the timer says %s; no instant after the year 2262 can be kept", due))
		case due.After(time.Unix(0, 0)):
			ns = uint64(due.UnixNano())
		}
		r.call.WriteInteger(abi.FieldDue, ns)
		return Outcome[S]{code: abi.CodeDone, discard: true}, nil
	}
}

// lastInstant is the last that nanoseconds since 1970 can tell.
var lastInstant = time.Unix(0, 1<<63-1)

func isTold[O any, S ~string](fn HookFunc[O, S]) StepFunc[O, S] {
	return func(ctx context.Context, r *Run[O, S]) (Outcome[S], error) {
		return Outcome[S]{code: abi.CodeDone, discard: true}, fn(ctx, r)
	}
}

func remains[O any, S ~string](fn EraseFunc[O, S]) StepFunc[O, S] {
	return func(ctx context.Context, r *Run[O, S]) (Outcome[S], error) {
		rest, err := fn(ctx, r)
		r.Object = rest
		return Outcome[S]{code: abi.CodeDone, replace: true}, err
	}
}

func lets[O any, S ~string](fn FilterFunc[O]) StepFunc[O, S] {
	return func(ctx context.Context, r *Run[O, S]) (Outcome[S], error) {
		triggers, err := fn(ctx, instant(r.integer(abi.FieldSlot)), &r.Object)
		if !triggers {
			return r.Skip(), err
		}
		return Outcome[S]{code: abi.CodeDone}, err
	}
}
