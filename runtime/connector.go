package runtime

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// How a connector keeps time.
const (
	commitEvery  = time.Second      // between the commits of a partition that moves
	settleLinger = time.Millisecond // for effects to be made durable together
	drainFor     = 5 * time.Second  // that messages of a partition that is given up may still take
	giveUpAfter  = 10 * time.Second // that a partition is given up after, whatever is under way; and a commit
	askEnds      = 15 * time.Second // between looks at where partitions end
	trimReceipts = 4096             // messages of a partition between two trims of its receipts
)

// refusedRetry is how messages that are refused are tried again.
func refusedRetry() Retry {
	return Retry{Initial: 100 * time.Millisecond, Max: 5 * time.Second, Factor: 2, Attempts: 1}
}

// connector reads the messages of one outside stream and sees that each takes effect once.
//
// A message is taken into its lane, which does one after the other: so messages for the same run keep their order, and others do
// not wait for them. Its effect and its receipt are one batch; once that is durable the message is done, and the partition's
// offset moves up to the first that is not. What the broker has been told is only where to go on: after a crash, or when a
// commit is lost, messages come again, and receipts say which of them are done.
type connector struct {
	Connector
	engine *Engine
	source Source
	slots  chan struct{}   // one for each attempt under way
	ctx    context.Context //nolint:containedctx // the life of the connector's own goroutines
	cancel context.CancelFunc
	owned  sync.WaitGroup // its goroutines but the lanes
	counts struct {
		received, triggered, called, nothing, skipped, repeated, retried, parked atomic.Uint64
	}

	mu         sync.Mutex
	partitions map[partitionKey]*partition
	settling   []settling    // effects that may not be durable yet
	settle     chan struct{} // told when there are some
	moved      chan struct{} // told when a partition's offset moved
	fault      string

	settler    chan struct{} // holds one while effects are being settled, so that who settles after them finds them done
	committing sync.Mutex    // held during a commit, so that none overtakes a revocation
}

// item is a message in its lane. Where a rule maps, it is mapped when it comes: the rule says which lane is its.
type item struct {
	message Message
	action  Action // what is to become of it: of the rule, or the plugin's last answer
	err     error  // why the rule could not map it
}

func newConnector(e *Engine, spec Connector) *connector {
	c := &connector{
		Connector: spec, engine: e, slots: make(chan struct{}, spec.Parallelism), partitions: map[partitionKey]*partition{},
		settle: make(chan struct{}, 1), moved: make(chan struct{}, 1), settler: make(chan struct{}, 1),
	}
	c.ctx, c.cancel = context.WithCancel(e.ctx)
	return c
}

// start begins to read.
func (c *connector) start() error {
	source, err := c.Open(c)
	if err != nil {
		return fmt.Errorf("runtime: connector %s: %w", c.Name, err)
	}
	c.source = source
	c.owned.Go(c.receive)
	c.owned.Go(c.settleAll)
	c.owned.Go(c.commitAll)
	c.owned.Go(c.watchEnds)
	return nil
}

// stop takes no more messages, gives up what is assigned, and leaves the group.
func (c *connector) stop(ctx context.Context) {
	c.cancel()
	if c.source == nil {
		return
	}
	c.owned.Wait()
	c.mu.Lock()
	var all []Position
	for _, p := range c.partitions {
		all = append(all, p.position(0))
	}
	c.mu.Unlock()
	c.Revoked(ctx, all, c.engine.Err() != nil)
	c.source.Close()
}

// receive takes messages until the connector stops.
func (c *connector) receive() {
	e := c.engine
	for failures := uint32(1); ; failures++ {
		messages, err := c.source.Receive(c.ctx)
		if c.ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
			c.setFault("")
			c.accept(messages)
			continue
		}
		if text := err.Error(); c.setFault(text) {
			e.opt.Logger.Error("a connector receives nothing; it keeps trying", "connector", c.Name, "error", text)
		}
		if !e.pause(c.ctx, refusedRetry().Wait(failures, e.share())) {
			return
		}
	}
}

// setFault notes what keeps messages from coming, and reports whether that is news.
func (c *connector) setFault(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := text != c.fault
	c.fault = text
	return news
}

// accept takes messages into their lanes.
func (c *connector) accept(messages []Message) {
	c.counts.received.Add(uint64(len(messages)))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range messages {
		m := &messages[i]
		p := c.partitions[partitionKey{m.Topic, m.Partition}]
		switch {
		case p == nil: // it was given up
			continue
		case !p.offsets.take(m.Offset): // it lies before what is known to be done
			c.counts.repeated.Add(1)
			continue
		case p.before[m.Offset]:
			c.counts.repeated.Add(1)
			delete(p.before, m.Offset)
			c.doneLocked(p, m.Offset)
			continue
		}
		c.queue(p, m)
		if !p.paused && p.offsets.open() >= c.Window {
			p.paused = true
			c.source.Pause(p.key.topic, p.key.number)
		}
	}
}

// queue puts a message into its lane: that of the run it is for, where a rule maps, and that of its key, where a plugin does. Those
// of a partition that have neither share one.
// REQUIRES: c.mu
func (c *connector) queue(p *partition, m *Message) {
	it := item{message: *m}
	key := string(m.Key)
	if c.Plugin == "" {
		it.action, it.err = c.Mapping.Action(m)
		key = it.action.ForeignID
	}
	if lane := p.lanes[key]; lane != nil {
		lane.push(it)
		return
	}
	lane := &fifo[item]{}
	lane.push(it)
	p.lanes[key] = lane
	p.working.Add(1)
	go c.work(p, key, lane)
}

// work does the messages of a lane until there are none.
func (c *connector) work(p *partition, key string, lane *fifo[item]) {
	defer p.working.Done()
	for {
		c.mu.Lock()
		if lane.len() == 0 || p.ctx.Err() != nil {
			delete(p.lanes, key)
			c.mu.Unlock()
			return
		}
		it := lane.pop()
		if p.draining.Err() != nil && it.message.Offset > p.begun {
			c.mu.Unlock()
			continue
		}
		p.begun = max(p.begun, it.message.Offset)
		c.mu.Unlock()
		if !c.do(p, &it) {
			return // what is behind it must not overtake it: the partition is given up
		}
		c.taken(p, it.message.Offset)
	}
}

// taken notes that a message has had its effect, which may not be durable yet.
func (c *connector) taken(p *partition, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.effected = max(p.effected, offset)
	c.settling = append(c.settling, settling{p, offset})
	wake(c.settle)
}
