package runtime

import (
	"context"
	"fmt"
	"maps"
	"slices"
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

type partitionKey struct {
	topic  string
	number int32
}

// partition is one that is assigned to us. The connector's lock guards it.
type partition struct {
	key       partitionKey
	topicID   TopicID
	offsets   *offsets
	before    map[int64]bool // those that have a receipt from earlier
	lanes     map[string]*fifo[item]
	working   sync.WaitGroup  // its lanes
	ctx       context.Context //nolint:containedctx // ends when its attempts under way must
	cancel    context.CancelFunc
	draining  context.Context //nolint:containedctx // ends when no more is begun: the partition is being given up
	drain     context.CancelFunc
	begun     int64 // the highest offset that was begun
	effected  int64 // the highest offset that had its effect
	committed int64 // −1: nothing
	trimmed   int64
	end       int64 // −1: unknown
	paused    bool
}

// item is a message in its lane. Where a rule maps, it is mapped when it comes: the rule says which lane is its.
type item struct {
	message Message
	action  Action // what is to become of it: of the rule, or the plugin's last answer
	err     error  // why the rule could not map it
}

type settling struct {
	partition *partition
	offset    int64
}

func (p *partition) origin(connector string, offset int64) Origin {
	return Origin{Connector: connector, TopicID: p.topicID, Partition: p.key.number, Offset: offset}
}

func (p *partition) position(offset int64) Position {
	return Position{Topic: p.key.topic, TopicID: p.topicID, Partition: p.key.number, Offset: offset}
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
		for e.disk.at(DiskHigh) { // no runs begin
			if !e.pause(c.ctx, e.opt.Disk.Every) {
				return
			}
		}
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

// Assigned implements SourceReader.
func (c *connector) Assigned(_ context.Context, at Position, committed bool) (int64, error) {
	p := &partition{
		key: partitionKey{at.Topic, at.Partition}, topicID: at.TopicID, before: map[int64]bool{}, lanes: map[string]*fifo[item]{},
		begun: -1, effected: -1, committed: -1, end: -1,
	}
	trimmed, receipts, err := c.engine.store.Receipts(p.origin(c.Name, 0), nil)
	if err != nil {
		return 0, err
	}
	if committed {
		p.committed = at.Offset
	}
	if trimmed > at.Offset {
		c.engine.opt.Logger.Warn("a connector passes over messages that took effect before: a commit was lost, or the group was set back",
			"connector", c.Name, "topic", at.Topic, "partition", at.Partition, "from", at.Offset, "to", trimmed)
		at.Offset = trimmed
	}
	p.trimmed = trimmed
	for _, offset := range receipts {
		p.before[offset] = true
	}
	p.offsets = newOffsets(at.Offset)
	p.ctx, p.cancel = context.WithCancel(c.engine.ctx)
	p.draining, p.drain = context.WithCancel(p.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.partitions[p.key]; old != nil {
		old.cancel()
	}
	c.partitions[p.key] = p
	wake(c.moved) // where nothing was committed yet, the beginning is
	return at.Offset, nil
}

// Revoked implements SourceReader. No more messages are begun, but those that lie before one that was: what is left undone the next
// member does, and with it, when it has another store, whatever lies behind.
func (c *connector) Revoked(ctx context.Context, partitions []Position, lost bool) {
	ctx, cancel := context.WithTimeout(ctx, giveUpAfter)
	defer cancel()
	var gone []*partition
	c.mu.Lock()
	for _, at := range partitions {
		key := partitionKey{at.Topic, at.Partition}
		if p := c.partitions[key]; p != nil {
			p.drain()
			delete(c.partitions, key)
			gone = append(gone, p)
		}
	}
	c.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	c.drain(ctx, gone)
	if c.settleNow(ctx) != nil || lost {
		return
	}
	if err := c.commit(ctx, gone, true); err != nil {
		c.engine.opt.Logger.Warn("a connector could not commit what it gives up; messages will come again and be passed over",
			"connector", c.Name, "error", err)
	}
}

// drain waits until nothing of the partitions is under way, and ends what takes too long.
func (c *connector) drain(ctx context.Context, gone []*partition) {
	idle := make(chan struct{})
	go func() {
		for _, p := range gone {
			p.working.Wait()
		}
		close(idle)
	}()
	patient, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	select {
	case <-idle:
	case <-patient.Done():
	}
	for _, p := range gone {
		p.cancel()
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// accept takes messages into their lanes.
func (c *connector) accept(messages []Message) {
	c.counts.received.Add(uint64(len(messages)))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range messages {
		m := &messages[i]
		p := c.partitions[partitionKey{m.Topic, m.Partition}]
		if p == nil || !p.offsets.take(m.Offset) {
			continue // it came before
		}
		if p.before[m.Offset] {
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

// worthWaiting reports whether a message of a partition that is being given up should be waited for: one behind it had its effect.
func (c *connector) worthWaiting(p *partition, offset int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return offset < p.effected
}

// settleAll makes effects durable, many at a time, until the connector stops.
func (c *connector) settleAll() {
	for {
		select {
		case <-c.settle:
		case <-c.ctx.Done():
			return
		}
		if !c.engine.pause(c.ctx, settleLinger) || c.settleNow(c.ctx) != nil {
			return
		}
	}
}

// settleNow waits until the effects so far are durable: their messages are done.
func (c *connector) settleNow(ctx context.Context) error {
	select {
	case c.settler <- struct{}{}:
		defer func() { <-c.settler }()
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	effects := c.settling
	c.settling = nil
	c.mu.Unlock()
	err := c.engine.observedAll(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.settling = append(effects, c.settling...)
		return err
	}
	for _, s := range effects {
		c.doneLocked(s.partition, s.offset)
	}
	return nil
}

// doneLocked notes that a message is done, for good.
// REQUIRES: c.mu
func (c *connector) doneLocked(p *partition, offset int64) {
	before := p.offsets.next
	p.offsets.done(offset)
	if p.paused && p.offsets.open() <= c.Window/2 && c.partitions[p.key] == p {
		p.paused = false
		c.source.Resume(p.key.topic, p.key.number)
	}
	if p.offsets.next != before {
		wake(c.moved)
	}
}

// commitAll tells the broker where partitions are, until the connector stops.
func (c *connector) commitAll() {
	failing := false
	for {
		select {
		case <-c.moved:
		case <-c.ctx.Done():
			return
		}
		c.mu.Lock()
		all := slices.Collect(maps.Values(c.partitions))
		c.mu.Unlock()
		err := c.commit(c.ctx, all, false)
		if err != nil && c.ctx.Err() == nil {
			wake(c.moved)
			if !failing {
				c.engine.opt.Logger.Warn("a connector could not commit; it tries again", "connector", c.Name, "error", err)
			}
		}
		failing = err != nil
		if !c.engine.pause(c.ctx, commitEvery) {
			return
		}
	}
}

// commit tells the broker where partitions are, and trims the receipts behind. revoking says that they are being given up; if not,
// those that are no longer ours are left out.
func (c *connector) commit(ctx context.Context, partitions []*partition, revoking bool) error {
	ctx, cancel := context.WithTimeout(ctx, giveUpAfter)
	defer cancel()
	c.committing.Lock()
	defer c.committing.Unlock()
	var positions []Position
	var of []*partition
	c.mu.Lock()
	for _, p := range partitions {
		if p.offsets.next > p.committed && (revoking || c.partitions[p.key] == p) {
			positions, of = append(positions, p.position(p.offsets.next)), append(of, p)
		}
	}
	c.mu.Unlock()
	if len(positions) == 0 {
		return nil
	}
	err := c.source.Commit(ctx, positions)
	for i, p := range of {
		c.mu.Lock()
		if err == nil {
			p.committed = positions[i].Offset
		}
		trim := positions[i].Offset-p.trimmed >= trimReceipts
		c.mu.Unlock()
		if trim && err == nil {
			err = c.trim(p, positions[i].Offset)
		}
	}
	return err
}

// trim removes the receipts of a partition before an offset, and notes in the store that everything before it is done.
func (c *connector) trim(p *partition, offset int64) error {
	origin := p.origin(c.Name, offset)
	for _, s := range c.engine.shards {
		if err := s.put(&Batch{TrimReceipts: &origin}); err != nil {
			return fmt.Errorf("trim receipts: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.trimmed = offset
	maps.DeleteFunc(p.before, func(o int64, _ bool) bool { return o < offset })
	return nil
}

// watchEnds asks where the partitions end, until the connector stops.
func (c *connector) watchEnds() {
	for c.engine.pause(c.ctx, askEnds) {
		c.mu.Lock()
		var all []Position
		for _, p := range c.partitions {
			all = append(all, p.position(p.offsets.next))
		}
		c.mu.Unlock()
		if len(all) == 0 {
			continue
		}
		ends, err := c.source.Ends(c.ctx, all)
		if err != nil {
			continue // the lag is then that of the last answer
		}
		c.mu.Lock()
		for _, end := range ends {
			if p := c.partitions[partitionKey{end.Topic, end.Partition}]; p != nil {
				p.end = end.Offset
			}
		}
		c.mu.Unlock()
	}
}

func (c *connector) status() ConnectorStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &c.counts
	s := ConnectorStatus{
		Name: c.Name, Topics: c.Topics, Fault: c.fault,
		Counts: ConnectorCounts{
			Received: n.received.Load(), Triggered: n.triggered.Load(), Called: n.called.Load(), Nothing: n.nothing.Load(),
			Skipped: n.skipped.Load(), Repeated: n.repeated.Load(), Retried: n.retried.Load(), Parked: n.parked.Load(),
		},
	}
	for _, p := range c.partitions {
		status := PartitionStatus{
			Topic: p.key.topic, Partition: p.key.number, Next: p.offsets.next, Committed: p.committed, UnderWay: p.offsets.open(), Lag: -1,
		}
		if p.end >= 0 {
			status.Lag = max(0, p.end-p.offsets.next)
		}
		s.Partitions = append(s.Partitions, status)
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionStatus) int {
		return cmpPartition(a.Topic, a.Partition, b.Topic, b.Partition)
	})
	return s
}
