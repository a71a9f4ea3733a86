package kafkastreamer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/runtime"
)

// alone sends one record at a time, by a client of its own that buffers no other: so a batch holds no other.
type alone struct {
	open func() (*kgo.Client, error)

	mu     sync.Mutex
	client *kgo.Client // nil: none yet
	closed bool
}

func (a *alone) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.client != nil {
		a.client.Close()
	}
}

// use returns the client, which it opens at first.
func (a *alone) use(ctx context.Context) (*kgo.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, kgo.ErrClientClosed
	}
	if a.client != nil {
		return a.client, nil
	}
	client, err := a.open()
	if err != nil {
		return nil, err
	}
	if err := mayProduce(ctx, client); err != nil {
		client.Close()
		return nil, err
	}
	a.client = client
	return client, nil
}

// send sends a record and waits for its outcome, or until ctx ends: the client may have the record still. It returns the client as well, if
// there is one.
func (a *alone) send(ctx context.Context, r *kgo.Record) (*kgo.Client, error) {
	client, err := a.use(ctx)
	if err != nil {
		return nil, err
	}
	told := make(chan error, 1)
	client.Produce(ctx, r, func(_ *kgo.Record, err error) { told <- err })
	select {
	case err := <-told:
		return client, err
	case <-ctx.Done():
		return client, ctx.Err()
	}
}

// publishAlone publishes events one after another, until one is refused by itself.
func (s *Streamer) publishAlone(ctx context.Context, events []runtime.Event) (int, error) {
	p := newPage() // not from the pool: a record that was given up stays with the client
	for i := range events {
		p.fill(&s.topics, events[i:i+1])
		for j := range p.records {
			r := p.records[j]
			client, err := s.alone.send(ctx, &r)
			switch {
			case err == nil:
				continue
			case ctx.Err() != nil:
				return i, ctx.Err()
			}
			place := s.place(client, r.Topic, r.Partition)
			if tooLarge(err) || errors.Is(err, kerr.InvalidRecord) {
				return i, &runtime.RefusedError{Cause: fmt.Errorf("%s, %d bytes: %w", place, size(&r), err)}
			}
			return i, s.reach.explain(fmt.Errorf("%s: %w", place, mayNot(err, toWrite)))
		}
	}
	return len(events), nil
}

// size is what a record's own parts take.
func size(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}
