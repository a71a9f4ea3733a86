package runtimetest

import (
	"context"
	"reflect"
	"strconv"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// until receives nothing until something holds.
func (m *member) until(what string, holds func() bool) {
	m.s.Helper()
	for late := time.Now().Add(sourcePatience); !holds(); m.nothing() {
		if time.Now().After(late) {
			m.s.Fatalf("in vain: %s", what)
		}
	}
}

// receiving has a member give do what comes, until it is told to stop.
func (m *member) receiving(do func(*runtime.Message)) (stop func()) {
	ctx, cancel := context.WithCancel(m.s.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			messages, _ := m.Receive(ctx) // after an error it goes on as soon as it can
			for i := range messages {
				do(&messages[i])
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// testSourceBack has paused partitions: one that another member had meanwhile is not paused any more, those that stayed are.
func testSourceBack(s *sourceTest) {
	s.fill(0, 3)
	m := s.open("g", false, 0)
	defer m.Close()
	m.receive(3)
	for p := range int32(3) {
		m.Pause(s.topic, p)
	}
	other := s.open("g", false, 0)
	stop := other.receiving(func(*runtime.Message) {}) // nobody wants it
	m.until("the partitions are shared", func() bool { return other.partitions() > 0 && m.partitions()+other.partitions() == 3 })
	other.mu.Lock()
	var back []int32
	for p := range other.assigned {
		back = append(back, p)
	}
	other.mu.Unlock()
	stop()
	other.Close()
	m.until("the partitions are back", func() bool { return m.partitions() == 3 })
	s.fill(3, 6)
	got := m.receive(len(back))
	for _, p := range back {
		if len(got[p]) != 1 {
			s.Errorf("partition %d came back: got %v", p, got)
		}
	}
	m.nothing()
}

// testSourceRemade has the topic deleted and made again, with less partitions, under a member: it gives up the one and has the other.
func testSourceRemade(s *sourceTest) {
	s.fill(0, 12)
	m := s.atEnd() // also where the group began at the end
	defer m.Close()
	s.fill(12, 24)
	s.wantAll(m.receive(12), 12, 24)
	m.commit()
	before := m.topicID()
	s.Remake(s.T, s.topic, 2)
	for i := range 6 {
		s.Produce(s.T, s.topic, int32(i%2), strconv.Itoa(i))
	}
	got := m.receive(6)
	if want := (map[int32][]string{0: {"0", "2", "4"}, 1: {"1", "3", "5"}}); !reflect.DeepEqual(got, want) {
		s.Errorf("got %v, want %v", got, want)
	}
	if m.topicID() == before {
		s.Error("the topic has the ID of the one before")
	}
	m.commit()
	for i := range 2 {
		s.Produce(s.T, s.topic, int32(i), "more")
	}
	m.receive(2)
}

func (m *member) topicID() runtime.TopicID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.assigned[0].TopicID
}

// testSourceRemadeAway has the topic deleted and made again while nobody reads.
func testSourceRemadeAway(s *sourceTest) {
	s.committed()
	s.Remake(s.T, s.topic, 3)
	s.fill(0, 30) // beyond what was committed
	m := s.open("g", false, 0)
	defer m.Close()
	s.wantAll(m.receive(30), 0, 30)
}

// testSourceGrown has a partition added to a topic whose group began at the end: nothing of it is passed over.
func testSourceGrown(s *sourceTest) {
	s.fill(0, 12)
	m := s.atEnd()
	m.commit()
	m.Close()
	s.Grow(s.T, s.topic, 1)
	s.Produce(s.T, s.topic, 3, "added")
	m = s.open("g", true, 0)
	defer m.Close()
	if got := m.receive(1); len(got[3]) != 1 {
		s.Errorf("got %v", got)
	}
	m.nothing()
}

// testSourceFirst has a member that began at the end commit one partition and leave: the others still begin at the end.
func testSourceFirst(s *sourceTest) {
	s.fill(0, 12)
	m := s.atEnd()
	m.mu.Lock()
	first := m.assigned[0]
	m.assigned = map[int32]runtime.Position{} // it forgets, and commits nothing more
	m.mu.Unlock()
	if err := m.Commit(s.Context(), []runtime.Position{first}); err != nil {
		s.Fatal(err)
	}
	m.Close()
	m = s.atEnd()
	defer m.Close()
	s.fill(12, 15)
	s.wantAll(m.receive(3), 12, 15)
}

// testSourceBeyond has a group that has committed what the topic does not reach.
func testSourceBeyond(s *sourceTest) {
	s.fill(0, 12)
	s.Commit(s.T, s.topic+"g", s.topic, 0, 100)
	s.Commit(s.T, s.topic+"g", s.topic, 1, 4) // its end
	m := s.open("g", false, 0)
	defer m.Close()
	got := m.receive(8)
	if len(got[0]) != 4 || len(got[1]) != 0 || len(got[2]) != 4 {
		s.Errorf("got %v", got)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, fresh := range m.fresh {
		if fresh != (p != 1) {
			s.Errorf("partition %d: committed: %t", p, !fresh)
		}
	}
}
