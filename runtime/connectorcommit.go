package runtime

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

type settling struct {
	partition *partition
	offset    int64
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
