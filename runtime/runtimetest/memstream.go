package runtimetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/wfrt/wfrt/runtime"
)

// MemStream is a broker in memory, to test against: topics with partitions, and groups that share them. It moves partitions
// between members as members come and go, one rebalance at a time, as cooperative members of a Kafka group do.
type MemStream struct {
	mu      sync.Mutex
	topics  map[string][][]runtime.Message // by partition
	groups  map[string]*memGroup
	changed chan struct{} // closed and replaced when something happens
	down    error         // what every call fails with; nil: the broker is there
	loses   bool          // commits are answered and lost
}

type memGroup struct {
	committed map[memPartition]int64
	members   []*memSource
}

type memPartition struct {
	topic  string
	number int32
}

// NewMemStream returns a broker without topics.
func NewMemStream() *MemStream {
	return &MemStream{topics: map[string][][]runtime.Message{}, groups: map[string]*memGroup{}, changed: make(chan struct{})}
}

// Topic makes a topic with so many partitions.
func (s *MemStream) Topic(name string, partitions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics[name] = make([][]runtime.Message, partitions)
	s.broadcast()
}

// Produce appends a message to its topic and partition, and returns its offset.
func (s *MemStream) Produce(m runtime.Message) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.topics[m.Topic][m.Partition]
	m.Offset, m.TopicID = int64(len(*p)), topicID(m.Topic)
	*p = append(*p, m)
	s.broadcast()
	return m.Offset
}

func topicID(topic string) runtime.TopicID {
	var id runtime.TopicID
	copy(id[:], topic)
	return id
}

// Fail makes every call fail with cause until it is nil.
func (s *MemStream) Fail(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = cause
	s.broadcast()
}

// LoseCommits has the broker answer commits and forget them, until it is told otherwise.
func (s *MemStream) LoseCommits(loses bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loses = loses
}

// Committed returns what a group has committed of a partition; −1 for nothing.
func (s *MemStream) Committed(group, topic string, partition int32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.group(group).committed[memPartition{topic, partition}]; ok {
		return at
	}
	return -1
}

// Open returns what opens a source of a group that begins before the first message, or, if latest, after the last.
func (s *MemStream) Open(group string, latest bool, topics ...string) runtime.OpenSource {
	return func(r runtime.SourceReader) (runtime.Source, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		m := &memSource{
			stream: s, group: s.group(group), reader: r, latest: latest, topics: topics, has: map[memPartition]int64{},
			paused: map[memPartition]bool{},
		}
		m.group.members = append(m.group.members, m)
		s.broadcast()
		return m, nil
	}
}

// REQUIRES: s.mu
func (s *MemStream) group(name string) *memGroup {
	g := s.groups[name]
	if g == nil {
		g = &memGroup{committed: map[memPartition]int64{}}
		s.groups[name] = g
	}
	return g
}

// REQUIRES: s.mu
func (s *MemStream) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// memSource is a member of a group.
type memSource struct {
	stream *MemStream
	group  *memGroup
	reader runtime.SourceReader
	latest bool
	topics []string

	// Guarded by the stream's lock.
	has    map[memPartition]int64 // the next offset to hand out
	paused map[memPartition]bool
	failed bool // the last Receive returned the broker's error
}

// wants returns the partitions that a member should have.
// REQUIRES: s.mu
func (m *memSource) wants() []memPartition {
	var all []memPartition
	for _, topic := range m.topics {
		for number := range m.stream.topics[topic] {
			all = append(all, memPartition{topic, int32(number)})
		}
	}
	mine := slices.Index(m.group.members, m)
	var wants []memPartition
	for i, p := range all {
		if i%len(m.group.members) == mine {
			wants = append(wants, p)
		}
	}
	return wants
}

// rebalance gives up one partition that another member should have, or takes one that nobody has, and reports whether there was one.
func (m *memSource) rebalance(ctx context.Context) (bool, error) {
	s := m.stream
	s.mu.Lock()
	wants := m.wants()
	for p := range m.has {
		if !slices.Contains(wants, p) {
			s.mu.Unlock()
			m.reader.Revoked(ctx, []runtime.Position{{Topic: p.topic, TopicID: topicID(p.topic), Partition: p.number}}, false)
			s.mu.Lock()
			delete(m.has, p)
			delete(m.paused, p)
			s.broadcast()
			s.mu.Unlock()
			return true, nil
		}
	}
	for _, p := range wants {
		taken := slices.ContainsFunc(m.group.members, func(o *memSource) bool { _, has := o.has[p]; return has })
		if taken {
			continue
		}
		at, committed := m.group.committed[p]
		if !committed && m.latest {
			at = int64(len(s.topics[p.topic][p.number]))
		}
		m.has[p] = at
		s.mu.Unlock()
		from, err := m.reader.Assigned(ctx, runtime.Position{Topic: p.topic, TopicID: topicID(p.topic), Partition: p.number, Offset: at}, committed)
		s.mu.Lock()
		if m.has[p] = from; err != nil {
			delete(m.has, p)
		}
		s.mu.Unlock()
		return true, err
	}
	s.mu.Unlock()
	return false, nil
}

// Receive implements runtime.Source.
func (m *memSource) Receive(ctx context.Context) ([]runtime.Message, error) {
	s := m.stream
	for {
		s.mu.Lock()
		down, failed, changed := s.down, m.failed, s.changed
		m.failed = down != nil
		s.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case down != nil:
			return nil, down
		case failed:
			return nil, nil
		}
		moved, err := m.rebalance(context.WithoutCancel(ctx)) // once begun it is not broken off
		if err != nil {
			return nil, err
		}
		if moved {
			continue
		}
		if messages := m.take(); len(messages) > 0 {
			return messages, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns what there is, a few messages of each partition.
func (m *memSource) take() []runtime.Message {
	const few = 10
	s := m.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []runtime.Message
	for p, at := range m.has {
		log := s.topics[p.topic][p.number]
		if m.paused[p] || at >= int64(len(log)) {
			continue
		}
		upTo := min(at+few, int64(len(log)))
		for _, message := range log[at:upTo] {
			all = append(all, cloneMessage(message))
		}
		m.has[p] = upTo
	}
	return all
}

func cloneMessage(m runtime.Message) runtime.Message {
	p := cloneParked(runtime.Parked{Key: m.Key, Value: m.Value, Headers: m.Headers})
	m.Key, m.Value, m.Headers = p.Key, p.Value, p.Headers
	return m
}

// Commit implements runtime.Source.
func (m *memSource) Commit(ctx context.Context, positions []runtime.Position) error {
	s := m.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.down != nil {
		return s.down
	}
	for _, at := range positions {
		p := memPartition{at.Topic, at.Partition}
		if _, has := m.has[p]; !has {
			return fmt.Errorf("runtimetest: partition %d of topic %s is not assigned", at.Partition, at.Topic)
		}
		if !s.loses {
			m.group.committed[p] = at.Offset
		}
	}
	return nil
}

// Pause implements runtime.Source.
func (m *memSource) Pause(topic string, partition int32) {
	m.stream.mu.Lock()
	defer m.stream.mu.Unlock()
	m.paused[memPartition{topic, partition}] = true
}

// Resume implements runtime.Source.
func (m *memSource) Resume(topic string, partition int32) {
	m.stream.mu.Lock()
	defer m.stream.mu.Unlock()
	delete(m.paused, memPartition{topic, partition})
	m.stream.broadcast()
}

// Ends implements runtime.Source.
func (m *memSource) Ends(_ context.Context, partitions []runtime.Position) ([]runtime.Position, error) {
	s := m.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return nil, s.down
	}
	ends := slices.Clone(partitions)
	for i := range ends {
		ends[i].Offset = int64(len(s.topics[ends[i].Topic][ends[i].Partition]))
	}
	return ends, nil
}

// Close implements runtime.Source.
func (m *memSource) Close() {
	s := m.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	m.group.members = slices.DeleteFunc(m.group.members, func(o *memSource) bool { return o == m })
	m.has = map[memPartition]int64{}
	s.broadcast()
}
