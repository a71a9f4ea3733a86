package runtimetest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/wfrt/wfrt/runtime"
)

// What connectors leave in a MemStore: receipts and parked messages.

// cloneReceipts copies to c what b says of an outside stream's messages.
func cloneReceipts(b, c *runtime.Batch) {
	for _, o := range []struct{ from, to **runtime.Origin }{
		{&b.Receipt, &c.Receipt}, {&b.DropReceipt, &c.DropReceipt}, {&b.TrimReceipts, &c.TrimReceipts}, {&b.Unpark, &c.Unpark},
	} {
		if *o.from != nil {
			origin := **o.from
			*o.to = &origin
		}
	}
	if b.Park != nil {
		parked := cloneParked(*b.Park)
		c.Park = &parked
	}
}

func cloneParked(p runtime.Parked) runtime.Parked {
	p.Key, p.Value, p.Headers = bytes.Clone(p.Key), bytes.Clone(p.Value), slices.Clone(p.Headers)
	for i := range p.Headers {
		p.Headers[i].Value = bytes.Clone(p.Headers[i].Value)
	}
	return p
}

// receive does what a batch says of an outside stream's messages.
func (m *memShard) receive(b *runtime.Batch) {
	if upTo := b.TrimReceipts; upTo != nil {
		partition := partitionOf(*upTo)
		if m.trimmed[partition] < upTo.Offset {
			m.trimmed[partition] = upTo.Offset
		}
		maps.DeleteFunc(m.receipts, func(o runtime.Origin, _ bool) bool {
			return partitionOf(o) == partition && o.Offset < upTo.Offset
		})
	}
	if b.DropReceipt != nil {
		delete(m.receipts, *b.DropReceipt)
	}
	if b.Receipt != nil {
		m.receipts[*b.Receipt] = true
	}
	if b.Unpark != nil {
		delete(m.parked, *b.Unpark)
	}
	if b.Park != nil {
		m.parked[b.Park.Origin] = *b.Park
	}
}

func partitionOf(o runtime.Origin) runtime.Origin {
	o.Offset = 0
	return o
}

func (s *MemStore) checkReceipts(shard runtime.Shard, b *runtime.Batch) error {
	origins := []*runtime.Origin{b.Receipt, b.DropReceipt, b.TrimReceipts, b.Unpark}
	parked := []*runtime.Origin{b.Unpark}
	if b.Park != nil {
		origins, parked = append(origins, &b.Park.Origin), append(parked, &b.Park.Origin)
	}
	for _, o := range origins {
		if o != nil && (o.Partition < 0 || o.Offset < 0) {
			return fmt.Errorf("runtimetest: message %.120s is malformed", o)
		}
	}
	for _, o := range parked {
		if o != nil && o.Home(len(s.live)) != shard {
			return fmt.Errorf("runtimetest: the parked message %s is not of shard %d", o, shard)
		}
	}
	return nil
}

// Receipt implements runtime.ReceiptReader.
func (s *MemStore) Receipt(shard runtime.Shard, o runtime.Origin) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(shard); err != nil {
		return false, err
	}
	return s.live[shard].receipts[o], nil
}

// Receipts implements runtime.ReceiptReader.
func (s *MemStore) Receipts(partition runtime.Origin, dst []int64) (trimmed int64, offsets []int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	partition = partitionOf(partition)
	for _, m := range s.live {
		trimmed = max(trimmed, m.trimmed[partition])
		for o := range m.receipts {
			if partitionOf(o) == partition {
				dst = append(dst, o.Offset)
			}
		}
	}
	return trimmed, dst, nil
}

// Parked implements runtime.ReceiptReader.
func (s *MemStore) Parked(connector string, after runtime.Origin, limit int) ([]runtime.Parked, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []runtime.Parked
	for _, m := range s.live {
		for o, p := range m.parked {
			if (connector == "" || o.Connector == connector) && (after == runtime.Origin{} || o.Compare(after) > 0) {
				found = append(found, cloneParked(p))
			}
		}
	}
	slices.SortFunc(found, func(a, b runtime.Parked) int { return a.Compare(b.Origin) })
	return found[:min(limit, len(found))], nil
}

// ParkedMessage implements runtime.ReceiptReader.
func (s *MemStore) ParkedMessage(o runtime.Origin) (runtime.Parked, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.live[o.Home(len(s.live))].parked[o]
	if !ok {
		return p, fmt.Errorf("runtimetest: parked message %s: %w", o, runtime.ErrNotFound)
	}
	return cloneParked(p), nil
}
