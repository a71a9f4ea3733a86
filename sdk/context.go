package sdk

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// stepContext is the context of one invocation, reused for the next. The deadline is asked of the server, and a timer made,
// only for a step that wants them. Like every context it is for concurrent use.
type stepContext struct {
	host guest.Host // nil when the step has returned: it would answer with the deadline of another invocation

	mu     sync.Mutex      // guards the making of what follows
	inner  context.Context //nolint:containedctx // this type is a context
	cancel context.CancelFunc

	sending sync.Mutex     // held while a request is under way; guards what follows
	sent    map[string]int // how often what was sent, by its digest
}

func (c *stepContext) Deadline() (time.Time, bool) { return c.made().Deadline() }
func (c *stepContext) Done() <-chan struct{}       { return c.made().Done() }
func (c *stepContext) Err() error                  { return c.made().Err() }

func (c *stepContext) Value(key any) any {
	switch key {
	case hostKey{}:
		return c.host
	case stepKey{}:
		return c
	default:
		return nil
	}
}

// stepKey is the context key of the stepContext.
type stepKey struct{}

// hostKey is the context key of the guest.Host.
type hostKey struct{}

// begin readies the context for an invocation, and end cancels it. Neither takes the lock: it costs a lean step a tenth of
// its time, and the step's goroutines start after the one and end before the other.
func (c *stepContext) begin(host guest.Host) {
	c.host, c.inner, c.cancel, c.sent = host, nil, nil, nil
}

func (c *stepContext) end() {
	c.host = nil
	if c.cancel != nil {
		c.cancel()
	}
}

// made returns the context that does the work, made on first use.
func (c *stepContext) made() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner != nil {
		return c.inner
	}
	var deadline [8]byte
	switch {
	case c.host == nil:
		c.inner, c.cancel = context.WithCancel(context.Background())
		c.cancel()
	case c.host.FieldRead(abi.FieldDeadline, deadline[:]) == int32(len(deadline)):
		due := instant(binary.LittleEndian.Uint64(deadline[:]))
		c.inner, c.cancel = context.WithDeadline(context.Background(), due)
	default:
		c.inner, c.cancel = context.WithCancel(context.Background())
	}
	return c.inner
}
