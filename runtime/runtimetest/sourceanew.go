package runtimetest

import (
	"context"
	"time"
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

// idle has a member of the group receive what comes, which nobody wants, until it is told to leave.
func (m *member) idle() (leave func()) {
	ctx, cancel := context.WithCancel(m.s.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_, _ = m.Receive(ctx) // it goes on as soon as it can
		}
	}()
	return func() {
		cancel()
		<-done
		m.Close()
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
	leave := other.idle()
	m.until("the partitions are shared", func() bool { return other.partitions() > 0 && m.partitions()+other.partitions() == 3 })
	other.mu.Lock()
	var back []int32
	for p := range other.assigned {
		back = append(back, p)
	}
	other.mu.Unlock()
	leave()
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
