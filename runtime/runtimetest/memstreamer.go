package runtimetest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/wfrt/wfrt/runtime"
)

// MemStreamer is a runtime.Streamer that keeps what it is given. Its zero value is ready. Use it from many goroutines.
type MemStreamer struct {
	// Script says what the next calls do with their events, one entry a call: how many are taken, and the error. Without an entry
	// all are. Set it before the first call.
	Script []func(events []runtime.Event) (int, error)

	mu    sync.Mutex
	taken []runtime.Event
	calls int
	more  chan struct{} // closed when more is taken; nil when nobody waits
}

var _ runtime.Streamer = (*MemStreamer)(nil)

// maxMemEvent is the longest foreign ID that a MemStreamer takes.
const maxMemEvent = 1 << 20

var errTooLarge = errors.New("too large")

// Publish implements runtime.Streamer.
func (m *MemStreamer) Publish(ctx context.Context, events []runtime.Event) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	script := m.next()
	n, err := len(events), error(nil)
	if script != nil {
		n, err = script(events)
	}
	if i := slices.IndexFunc(events[:n], func(e runtime.Event) bool { return len(e.ForeignID) > maxMemEvent }); i >= 0 {
		n, err = i, &runtime.RefusedError{Cause: errTooLarge}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.taken = append(m.taken, events[:n]...)
	if m.more != nil {
		close(m.more)
		m.more = nil
	}
	return n, err
}

func (m *MemStreamer) next() func([]runtime.Event) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if len(m.Script) == 0 {
		return nil
	}
	script := m.Script[0]
	m.Script = m.Script[1:]
	return script
}

// Calls is how often Publish was called.
func (m *MemStreamer) Calls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// Taken returns what was taken, in order.
func (m *MemStreamer) Taken() []runtime.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.taken)
}

// Delivered is that of a StreamerUnderTest.
func (m *MemStreamer) Delivered(ctx context.Context, workflow string, atLeast int) ([]runtime.Event, error) {
	for {
		var found []runtime.Event
		m.mu.Lock()
		for _, e := range m.taken {
			if e.Workflow == workflow {
				e.LSN = 0
				found = append(found, e)
			}
		}
		if m.more == nil {
			m.more = make(chan struct{})
		}
		more := m.more
		m.mu.Unlock()
		if len(found) >= atLeast {
			return found, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return found, ctx.Err()
		}
	}
}
