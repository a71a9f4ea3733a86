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
	topics  map[string]*memTopic
	groups  map[string]*memGroup
	changed chan struct{} // closed and replaced when something happens
	down    error         // what every call fails with; nil: the broker is there
	loses   bool          // commits are answered and lost
}

type memTopic struct {
	id         runtime.TopicID
	partitions [][]runtime.Message
}

type memGroup struct {
	committed map[memPartition]int64
	began     map[string]memBegan // by topic
	members   []*memSource
}

// memBegan is how many partitions a topic had when a group began with it. In those that came later it begins at the start.
type memBegan struct {
	id         runtime.TopicID
	partitions int
}

type memPartition struct {
	topic  string
	id     runtime.TopicID
	number int32
}

func (p memPartition) position(offset int64) runtime.Position {
	return runtime.Position{Topic: p.topic, TopicID: p.id, Partition: p.number, Offset: offset}
}

// NewMemStream returns a broker without topics.
func NewMemStream() *MemStream {
	return &MemStream{topics: map[string]*memTopic{}, groups: map[string]*memGroup{}, changed: make(chan struct{})}
}

// Topic makes a topic with so many partitions. One of that name is deleted before.
func (s *MemStream) Topic(name string, partitions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &memTopic{partitions: make([][]runtime.Message, partitions)}
	copy(t.id[:], name)
	if before := s.topics[name]; before != nil {
		t.id[len(t.id)-1] = before.id[len(t.id)-1] + 1
	}
	s.topics[name] = t
	s.broadcast()
}

// Grow adds so many partitions to a topic.
func (s *MemStream) Grow(name string, partitions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[name]
	t.partitions = append(t.partitions, make([][]runtime.Message, partitions)...)
	s.broadcast()
}

// Produce appends a message to its topic and partition, and returns its offset.
func (s *MemStream) Produce(m runtime.Message) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[m.Topic]
	p := &t.partitions[m.Partition]
	m.Offset, m.TopicID = int64(len(*p)), t.id
	*p = append(*p, m)
	s.broadcast()
	return m.Offset
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
	if at, ok := s.group(group).committed[s.partition(topic, partition)]; ok {
		return at
	}
	return -1
}

// Commit sets what a group has committed of a partition.
func (s *MemStream) Commit(group, topic string, partition int32, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.group(group).committed[s.partition(topic, partition)] = offset
}

// partition returns that of the topic that has the name now.
// REQUIRES: s.mu
func (s *MemStream) partition(topic string, number int32) memPartition {
	p := memPartition{topic: topic, number: number}
	if t := s.topics[topic]; t != nil {
		p.id = t.id
	}
	return p
}

// log returns what lies in a partition; false when its topic is not there any more.
// REQUIRES: s.mu
func (s *MemStream) log(p memPartition) ([]runtime.Message, bool) {
	t := s.topics[p.topic]
	if t == nil || t.id != p.id {
		return nil, false
	}
	return t.partitions[p.number], true
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
		g = &memGroup{committed: map[memPartition]int64{}, began: map[string]memBegan{}}
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
		if t := m.stream.topics[topic]; t != nil {
			for number := range t.partitions {
				all = append(all, memPartition{topic, t.id, int32(number)})
			}
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
			_, there := s.log(p)
			s.mu.Unlock()
			m.reader.Revoked(ctx, []runtime.Position{p.position(0)}, !there)
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
		at, committed := m.begin(p)
		m.has[p] = at
		s.mu.Unlock()
		from, err := m.reader.Assigned(ctx, p.position(at), committed)
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

// begin returns where the group begins in a partition, and whether that is what it has committed.
// REQUIRES: s.mu
func (m *memSource) begin(p memPartition) (at int64, committed bool) {
	t := m.stream.topics[p.topic]
	began, ok := m.group.began[p.topic]
	if !ok || began.id != p.id {
		began = memBegan{id: p.id}
		if !ok {
			began.partitions = len(t.partitions)
		}
		m.group.began[p.topic] = began
	}
	end := int64(len(t.partitions[p.number]))
	at, committed = m.group.committed[p]
	switch {
	case committed && at > end:
		return 0, false
	case !committed && m.latest && int(p.number) < began.partitions:
		return end, false
	}
	return at, committed
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
		log, _ := s.log(p)
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
		p := s.partition(at.Topic, at.Partition)
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
	m.paused[m.stream.partition(topic, partition)] = true
}

// Resume implements runtime.Source.
func (m *memSource) Resume(topic string, partition int32) {
	m.stream.mu.Lock()
	defer m.stream.mu.Unlock()
	delete(m.paused, m.stream.partition(topic, partition))
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
	var ends []runtime.Position
	for _, at := range partitions {
		if log, there := s.log(s.partition(at.Topic, at.Partition)); there {
			at.Offset = int64(len(log))
			ends = append(ends, at)
		}
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
