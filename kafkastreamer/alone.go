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

// alone sends one record at a time, by a client of its own, so that a batch holds no other.
type alone struct {
	open func() (*kgo.Client, error)

	mu     sync.Mutex // held while a record is under way
	client *kgo.Client
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

// send sends a record and waits for its outcome. It returns the client as well, if there is one.
func (a *alone) send(ctx context.Context, r *kgo.Record) (*kgo.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, kgo.ErrClientClosed
	}
	if a.client == nil {
		client, err := a.open()
		if err != nil {
			return nil, err
		}
		if err := mayProduce(ctx, client); err != nil {
			client.Close()
			return nil, err
		}
		a.client = client
	}
	return a.client, a.client.ProduceSync(ctx, r).FirstErr()
}

// publishAlone publishes events one after another, until one is refused by itself.
func (s *Streamer) publishAlone(ctx context.Context, events []runtime.Event) (int, error) {
	p := newPage() // not from the pool: a record that was given up stays with the client
	for i := range events {
		p.fill(&s.topics, events[i:i+1])
		for j := range p.records {
			r := p.records[j]
			client, err := s.alone.send(ctx, &r)
			if err == nil {
				continue
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
