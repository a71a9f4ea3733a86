package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// Stream is a broker that TestSource reads from.
type Stream interface {
	// Topic makes a topic with so many partitions, and returns when it can be read.
	Topic(t *testing.T, name string, partitions int)
	// Remake deletes a topic and makes one of its name with so many partitions, and returns when that can be written.
	Remake(t *testing.T, name string, partitions int)
	// Grow adds so many partitions to a topic, and returns when they can be written.
	Grow(t *testing.T, name string, partitions int)
	// Produce appends a message to a partition.
	Produce(t *testing.T, topic string, partition int32, value string)
	// Open returns what opens a source of a group that begins before the first message or, if latest, after the last.
	Open(group string, latest bool, topics ...string) runtime.OpenSource
	// Commit sets what a group without members has committed of a partition.
	Commit(t *testing.T, group, topic string, partition int32, offset int64)
}

// sourcePatience is how long TestSource waits for what must happen.
const sourcePatience = time.Minute

// TestSource is the conformance suite of runtime.Source. Each case gets a broker of its own, or topics and groups of its own.
func TestSource(t *testing.T, stream func(t *testing.T) Stream) {
	for _, c := range []struct {
		name string
		test func(s *sourceTest)
	}{
		{"messages come from every partition, in order", testSourceOrder},
		{"a cancelled receive returns", testSourceCancel},
		{"what is not committed comes again", testSourceAgain},
		{"what is committed does not come again", testSourceCommitted},
		{"from latest, and a committed offset wins", testSourceLatest},
		{"groups are independent", testSourceGroups},
		{"the reader says where to begin", testSourceBegin},
		{"a paused partition waits", testSourcePause},
		{"partitions know their ends", testSourceEnds},
		{"members share the partitions and give them up", testSourceRebalance},
		{"a partition that comes back is not paused", testSourceBack},
		{"a topic that is made again is read from its start", testSourceRemade},
		{"what was committed of the topic before does not count", testSourceRemadeAway},
		{"a partition that is added is read from its start", testSourceGrown},
		{"where to start holds for all partitions that were there", testSourceFirst},
		{"an offset beyond the end begins at the start", testSourceBeyond},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &sourceTest{T: t, Stream: stream(t), topic: "topic-" + strconv.FormatInt(time.Now().UnixNano(), 10)}
			s.Topic(t, s.topic, 3)
			c.test(s)
		})
	}
}

type sourceTest struct {
	*testing.T
	Stream
	topic string
}

// member is a source with the reader that it was opened for.
type member struct {
	runtime.Source
	s *sourceTest

	mu       sync.Mutex
	assigned map[int32]runtime.Position
	fresh    map[int32]bool // of those: nothing was committed
	begin    int64          // at least
}

func (s *sourceTest) open(group string, latest bool, begin int64) *member {
	s.Helper()
	m := &member{s: s, assigned: map[int32]runtime.Position{}, fresh: map[int32]bool{}, begin: begin}
	source, err := s.Open(s.topic+group, latest, s.topic)(m)
	if err != nil {
		s.Fatal(err)
	}
	m.Source = source
	return m
}

// Assigned implements runtime.SourceReader.
func (m *member) Assigned(_ context.Context, at runtime.Position, committed bool) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at.Offset = max(at.Offset, m.begin)
	m.assigned[at.Partition], m.fresh[at.Partition] = at, !committed
	return at.Offset, nil
}

// Revoked implements runtime.SourceReader.
func (m *member) Revoked(ctx context.Context, partitions []runtime.Position, lost bool) {
	m.mu.Lock()
	var held []runtime.Position
	for _, p := range partitions {
		if at, ok := m.assigned[p.Partition]; ok {
			held = append(held, at)
			delete(m.assigned, p.Partition)
		}
	}
	m.mu.Unlock()
	if len(held) > 0 && !lost {
		if err := m.Commit(ctx, held); err != nil {
			m.s.Errorf("commit of what is given up: %v", err)
		}
	}
}

// partitions returns how many are assigned.
func (m *member) partitions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.assigned)
}

// took moves the position of a message's partition behind it, and reports whether it is assigned and was expected.
func (m *member) took(message *runtime.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.assigned[message.Partition]
	switch {
	case !ok:
		return fmt.Errorf("partition %d, offset %d: it is not assigned", message.Partition, message.Offset)
	case message.Offset < at.Offset:
		return fmt.Errorf("partition %d, offset %d: it came before", message.Partition, message.Offset)
	case message.TopicID != at.TopicID:
		return fmt.Errorf("topic ID %s; it was assigned as %s", message.TopicID, at.TopicID)
	}
	at.Offset = message.Offset + 1
	m.assigned[message.Partition] = at
	return nil
}

// receive waits for so many messages, and returns their values by partition.
func (m *member) receive(n int) map[int32][]string {
	m.s.Helper()
	ctx, cancel := context.WithTimeout(m.s.Context(), sourcePatience)
	defer cancel()
	got := map[int32][]string{}
	for n > 0 {
		messages, err := m.Receive(ctx)
		if err != nil {
			if ctx.Err() != nil {
				m.s.Fatalf("%d messages are missing; got %v; the last error: %v", n, got, err)
			}
			continue // it goes on as soon as it can
		}
		for i := range messages {
			if err := m.took(&messages[i]); err != nil {
				m.s.Fatal(err)
			}
			got[messages[i].Partition] = append(got[messages[i].Partition], string(messages[i].Value))
		}
		n -= len(messages)
	}
	return got
}

// nothing fails when a message comes within a moment.
func (m *member) nothing() {
	m.s.Helper()
	ctx, cancel := context.WithTimeout(m.s.Context(), time.Second/2)
	defer cancel()
	for ctx.Err() == nil {
		if messages, err := m.Receive(ctx); err == nil && len(messages) > 0 {
			m.s.Fatalf("%d messages came, of partition %d from offset %d on", len(messages), messages[0].Partition, messages[0].Offset)
		}
	}
}

// commit commits what was received.
func (m *member) commit() {
	m.s.Helper()
	m.mu.Lock()
	var at []runtime.Position
	for _, p := range m.assigned {
		at = append(at, p)
	}
	m.mu.Unlock()
	if err := m.Commit(m.s.Context(), at); err != nil {
		m.s.Fatal(err)
	}
}

// fill produces messages from a number up to another, over the partitions in turn.
func (s *sourceTest) fill(from, upTo int) {
	s.Helper()
	for i := from; i < upTo; i++ {
		s.Produce(s.T, s.topic, int32(i%3), strconv.Itoa(i))
	}
}

func (s *sourceTest) wantAll(got map[int32][]string, from, upTo int) {
	s.Helper()
	for p := range int32(3) {
		var want []string
		for i := from; i < upTo; i++ {
			if int32(i%3) == p {
				want = append(want, strconv.Itoa(i))
			}
		}
		if !slices.Equal(got[p], want) {
			s.Fatalf("partition %d: got %v, want %v", p, got[p], want)
		}
	}
}

func testSourceOrder(s *sourceTest) {
	s.fill(0, 60)
	m := s.open("g", false, 0)
	defer m.Close()
	s.wantAll(m.receive(60), 0, 60)
	s.fill(60, 90)
	s.wantAll(m.receive(30), 60, 90)
}

func testSourceCancel(s *sourceTest) {
	m := s.open("g", false, 0)
	defer m.Close()
	for range 2 {
		ctx, cancel := context.WithCancel(s.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		before := time.Now()
		if _, err := m.Receive(ctx); !errors.Is(err, context.Canceled) {
			s.Errorf("a cancelled receive: %v", err)
		}
		if took := time.Since(before); took > 5*time.Second {
			s.Errorf("it returned after %s", took)
		}
	}
	s.fill(0, 3)
	s.wantAll(m.receive(3), 0, 3)
}

func testSourceAgain(s *sourceTest) {
	s.fill(0, 12)
	m := s.open("g", false, 0)
	m.receive(12)
	m.assigned = map[int32]runtime.Position{} // it forgets, and commits nothing when it leaves
	m.Close()
	m = s.open("g", false, 0)
	defer m.Close()
	s.wantAll(m.receive(12), 0, 12)
}

// committed has the group receive and commit twelve messages, and leave.
func (s *sourceTest) committed() {
	s.Helper()
	s.fill(0, 12)
	m := s.open("g", false, 0)
	defer m.Close()
	m.receive(12)
	m.commit()
}

func testSourceCommitted(s *sourceTest) {
	s.committed()
	s.fill(12, 15)
	m := s.open("g", false, 0)
	defer m.Close()
	s.wantAll(m.receive(3), 12, 15)
}

// atEnd opens a member that begins at the end, and returns it when it has all partitions.
func (s *sourceTest) atEnd() *member {
	s.Helper()
	m := s.open("g", true, 0)
	m.until("the partitions are assigned", func() bool { return m.partitions() == 3 })
	return m
}

func testSourceLatest(s *sourceTest) {
	s.fill(0, 12)
	m := s.atEnd()
	s.fill(12, 15)
	s.wantAll(m.receive(3), 12, 15)
	m.commit()
	m.Close()
	s.fill(15, 18) // while nobody reads
	m = s.open("g", true, 0)
	defer m.Close()
	s.wantAll(m.receive(3), 15, 18)
}

func testSourceGroups(s *sourceTest) {
	s.fill(0, 12)
	a, b := s.open("a", false, 0), s.open("b", false, 0)
	defer a.Close()
	defer b.Close()
	s.wantAll(a.receive(12), 0, 12)
	a.commit()
	s.wantAll(b.receive(12), 0, 12)
}

func testSourceBegin(s *sourceTest) {
	s.fill(0, 30)
	m := s.open("g", false, 9) // of ten messages in each partition the last
	defer m.Close()
	s.wantAll(m.receive(3), 27, 30)
}

func testSourcePause(s *sourceTest) {
	s.fill(0, 3)
	m := s.open("g", false, 0)
	defer m.Close()
	m.receive(3)
	for p := range int32(3) {
		m.Pause(s.topic, p)
	}
	s.fill(3, 6)
	m.nothing()
	for p := range int32(3) {
		m.Resume(s.topic, p)
	}
	s.wantAll(m.receive(3), 3, 6)
}

func testSourceEnds(s *sourceTest) {
	s.fill(0, 6)
	m := s.open("g", false, 0)
	defer m.Close()
	m.receive(6)
	s.fill(6, 7)
	ends, err := m.Ends(s.Context(), []runtime.Position{{Topic: s.topic, Partition: 0}, {Topic: s.topic, Partition: 1}})
	if err != nil || len(ends) != 2 {
		s.Fatalf("ends: %v, %v", ends, err)
	}
	for _, end := range ends {
		if want := map[int32]int64{0: 3, 1: 2}[end.Partition]; end.Offset != want {
			s.Errorf("partition %d ends at %d, want %d", end.Partition, end.Offset, want)
		}
	}
}

// testSourceRebalance has a second member come, and the first go, while messages come. Each is received once: what a member
// received is committed when its partition goes.
func testSourceRebalance(s *sourceTest) {
	var mu sync.Mutex
	seen := map[string]int{}
	arrived := make(chan struct{}, 1000)
	run := func(m *member) (stop func()) {
		end := m.receiving(func(message *runtime.Message) {
			if err := m.took(message); err != nil {
				s.Error(err)
			}
			mu.Lock()
			seen[string(message.Value)]++
			mu.Unlock()
			arrived <- struct{}{}
		})
		return func() {
			end()
			var all []runtime.Position
			m.mu.Lock()
			for _, p := range m.assigned {
				all = append(all, p)
			}
			m.mu.Unlock()
			m.Revoked(s.Context(), all, false)
			m.Close()
		}
	}
	wait := func(n int) {
		s.Helper()
		late := time.After(sourcePatience)
		for range n {
			select {
			case <-arrived:
			case <-late:
				s.Fatal("messages are missing")
			}
		}
	}
	first := s.open("g", false, 0)
	stopFirst := run(first)
	s.fill(0, 30)
	wait(30)
	second := s.open("g", false, 0)
	stopSecond := run(second)
	defer stopSecond()
	late := time.NewTimer(sourcePatience)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for at := 30; second.partitions() == 0 || first.partitions() == 3; at++ {
		s.Produce(s.T, s.topic, int32(at%3), strconv.Itoa(at)) // in the middle of it
		wait(1)
		select {
		case <-again.C:
		case <-late.C:
			s.Fatalf("the partitions are not shared: %d and %d", first.partitions(), second.partitions())
		}
	}
	stopFirst()
	for i := range 30 {
		s.Produce(s.T, s.topic, int32(i%3), fmt.Sprint("last ", i))
	}
	wait(30)
	mu.Lock()
	defer mu.Unlock()
	for value, n := range seen {
		if n != 1 {
			s.Errorf("message %s was received %d times", value, n)
		}
	}
}
