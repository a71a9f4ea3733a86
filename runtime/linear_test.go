package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// The operations of TestLinearizability, and what they answer.
type (
	linearInput struct {
		op string // trigger, call, pause, resume, cancel or read
	}
	linearOutput struct {
		ok      bool
		pending bool             // of a call: it takes effect later, or never
		state   runtime.RunState // of the run after the operation; not of a call
		calls   int              // callbacks that the run has handled, as its object counts them; of a read
	}
)

// linearState is the model: the newest run of one foreign ID.
type linearState struct {
	exists bool
	state  runtime.RunState
	calls  int
}

// linearModel says what a run that waits for callbacks may answer, one operation after the other.
func linearModel() porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{linearState{}} },
		Step: func(state, input, output any) []any {
			return linearStep(state.(linearState), input.(linearInput), output.(linearOutput))
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	}
	return model.ToModel()
}

// linearStep returns the states that an operation may lead to; none when its answer is impossible.
func linearStep(s linearState, in linearInput, out linearOutput) []any {
	active := s.exists && s.state.Active()
	next := s
	allowed := active
	switch in.op {
	case "trigger":
		allowed, next = !active, linearState{exists: true, state: runtime.Initiated}
	case "call":
		allowed = active && (s.state != runtime.Paused || out.pending)
		next.calls++
		if next.state = runtime.Running; out.pending && s.state == runtime.Paused {
			next = s // it waits on: another place in the order is where it takes effect
		}
	case "pause":
		allowed, next.state = active && s.state != runtime.Paused, runtime.Paused
	case "resume":
		allowed, next.state = active && s.state == runtime.Paused, runtime.Running
	case "cancel":
		next.state = runtime.Cancelled
	default:
		if out.ok == s.exists && (!s.exists || out.state == s.state && out.calls == s.calls) {
			return []any{s}
		}
		return nil
	}
	switch {
	case out.pending && allowed:
		return []any{s, next}
	case out.pending:
		return []any{s}
	case !out.ok && !allowed:
		return []any{s}
	case out.ok && allowed && (in.op == "call" || out.state == next.state):
		return []any{next}
	default:
		return nil
	}
}

// TestLinearizability lets clients trigger, call, pause, resume, cancel and read one run side by side, and checks that the
// answers are those of some order in which the operations took place one after the other.
func TestLinearizability(t *testing.T) {
	for round := range 20 {
		e := start(t, onMemory(), runtimetest.Workflow("orders", runtimetest.Callback{
			Status: "open", To: []string{"open"}, Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				n := 0
				if _, err := fmt.Sscan(string(in.Record.Object), &n); err != nil {
					return err
				}
				out.Kind, out.Status, out.Changed, out.Object = runtime.OutcomeTo, "open", true, fmt.Append(out.Object, n+1)
				return nil
			},
		}))
		c := &linearClients{t: t, engine: e, began: time.Now()}
		var all sync.WaitGroup
		for client := range 5 {
			all.Go(func() { c.run(client, round) })
		}
		all.Wait()
		result, _ := porcupine.CheckOperationsVerbose(linearModel(), c.operations, time.Minute)
		if result != porcupine.Ok {
			t.Fatalf("round %d: the history of %d operations is %s", round, len(c.operations), result)
		}
	}
}

// linearClients make operations and record them.
type linearClients struct {
	t      *testing.T
	engine *runtime.Engine
	began  time.Time

	mu         sync.Mutex
	operations []porcupine.Operation
	pending    int // callbacks that are, or may become, pending
}

// mayPend takes a place for a callback that may stay pending, or gives it back, and reports whether there was one. When such a callback takes
// effect, if ever, is open: each one doubles what the checker has to look through, and on a busy machine many stay pending.
func (c *linearClients) mayPend(change int) bool {
	const most = 6
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending+change > most {
		return false
	}
	c.pending += change
	return true
}

func (c *linearClients) run(client, round int) {
	random := uint64(client*7919 + round*104729 + 1)
	ops := []string{"trigger", "call", "call", "call", "pause", "resume", "resume", "cancel", "read", "read"}
	for range 12 {
		random = random*6364136223846793005 + 1442695040888963407
		op := ops[random>>33%uint64(len(ops))]
		called := time.Since(c.began).Nanoseconds()
		out, certain := c.do(op)
		if !certain {
			continue
		}
		returned := time.Since(c.began).Nanoseconds()
		if out.pending {
			returned = math.MaxInt64
		}
		c.mu.Lock()
		c.operations = append(c.operations, porcupine.Operation{
			ClientId: client, Input: linearInput{op}, Output: out, Call: called, Return: returned,
		})
		c.mu.Unlock()
	}
}

// do makes one operation on the newest run. certain is false of one that had no effect and tells nothing: it is left out.
func (c *linearClients) do(op string) (out linearOutput, certain bool) {
	ctx := c.t.Context()
	if op == "trigger" {
		done, err := c.engine.Trigger(ctx, runtime.Trigger{Workflow: "orders", ForeignID: "1", Object: []byte("0")})
		return c.answer(&done.Record, err)
	}
	newest, err := c.engine.Runs(ctx, runtime.Query{ForeignIDs: []string{"1"}, Descending: true, Limit: 1})
	if err != nil {
		c.t.Error(err)
		return out, false
	}
	if op == "read" {
		if len(newest) == 0 {
			return linearOutput{}, true
		}
		return c.answer(&newest[0], nil)
	}
	if len(newest) == 0 {
		return out, false
	}
	id := newest[0].RunID
	switch op {
	case "call":
		if !c.mayPend(1) {
			return out, false
		}
		if out, certain = c.call(id); !out.pending {
			c.mayPend(-1)
		}
		return out, certain
	case "pause":
		return c.control(id, c.engine.Pause)
	case "resume":
		return c.control(id, c.engine.Resume)
	default:
		return c.control(id, c.engine.Cancel)
	}
}

// control changes the run that was found. When a newer one has begun since, the change says nothing of it.
func (c *linearClients) control(id runtime.RunID, change func(context.Context, runtime.RunID, runtime.Note) (runtime.Record, error)) (linearOutput, bool) {
	rec, err := change(c.t.Context(), id, runtime.Note{})
	out, ok := c.answer(&rec, err)
	return out, ok && c.isNewest(id, err)
}

// call sends a callback. While the run is paused it stays pending. It is left out when the run ended before it was handled.
func (c *linearClients) call(id runtime.RunID) (linearOutput, bool) {
	done, err := c.engine.Callback(c.t.Context(), runtime.Callback{
		Workflow: "orders", Status: "open", RunID: id, Wait: 5 * time.Millisecond,
	})
	out, ok := c.answer(&done.Record, err)
	out.pending = done.Pending
	return out, ok && c.isNewest(id, err)
}

// isNewest reports whether an operation on a run tells of the newest: it did something, which only an active run allows.
func (c *linearClients) isNewest(id runtime.RunID, err error) bool {
	if err == nil {
		return true
	}
	newest, lerr := c.engine.Runs(c.t.Context(), runtime.Query{ForeignIDs: []string{"1"}, Descending: true, Limit: 1})
	return lerr == nil && newest[0].RunID == id
}

func (c *linearClients) answer(rec *runtime.Record, err error) (linearOutput, bool) {
	var busy *runtime.InProgressError
	var illegal *runtime.TransitionError
	var wrong *runtime.WrongStatusError
	var refused *runtime.CallbackRefusedError
	switch {
	case err == nil:
		n := 0
		if _, serr := fmt.Sscan(string(rec.Object), &n); serr != nil {
			c.t.Error(serr)
		}
		return linearOutput{ok: true, state: rec.State, calls: n}, true
	case errors.As(err, &busy), errors.As(err, &illegal), errors.As(err, &wrong):
		return linearOutput{}, true
	case errors.As(err, &refused):
		return linearOutput{}, false
	default:
		c.t.Error(err)
		return linearOutput{}, false
	}
}
