package runtime

import (
	"context"
	"slices"
	"sync"
)

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

func (p *partition) origin(connector string, offset int64) Origin {
	return Origin{Connector: connector, TopicID: p.topicID, Partition: p.key.number, Offset: offset}
}

func (p *partition) position(offset int64) Position {
	return Position{Topic: p.key.topic, TopicID: p.topicID, Partition: p.key.number, Offset: offset}
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
	switch began := beganAt(trimmed, receipts); {
	case trimmed > at.Offset:
		c.engine.opt.Logger.Warn("a connector passes over messages that took effect before: a commit was lost, or the group was set back",
			"connector", c.Name, "topic", at.Topic, "partition", at.Partition, "from", at.Offset, "to", trimmed)
		at.Offset = trimmed
	case !committed && began >= 0 && began < at.Offset:
		c.engine.opt.Logger.Warn("a connector goes on where it was: its group has lost its offsets",
			"connector", c.Name, "topic", at.Topic, "partition", at.Partition, "from", began, "start", at.Offset)
		at.Offset = began
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

// beganAt returns where to go on in a partition by what the store knows alone: where its receipts were trimmed to, or the first of them.
// −1: it knows nothing.
func beganAt(trimmed int64, receipts []int64) int64 {
	switch {
	case trimmed > 0:
		return trimmed
	case len(receipts) > 0:
		return slices.Min(receipts)
	default:
		return -1
	}
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

// worthWaiting reports whether a message of a partition that is being given up should be waited for: one behind it had its effect.
func (c *connector) worthWaiting(p *partition, offset int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return offset < p.effected
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
