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

// send sends a record and waits for its outcome.
func (a *alone) send(ctx context.Context, r *kgo.Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return kgo.ErrClientClosed
	}
	if a.client == nil {
		client, err := a.open()
		if err != nil {
			return err
		}
		if err := mayProduce(ctx, client); err != nil {
			client.Close()
			return err
		}
		a.client = client
	}
	return a.client.ProduceSync(ctx, r).FirstErr()
}

// publishAlone publishes events one after another, until one is refused by itself.
func (s *Streamer) publishAlone(ctx context.Context, events []runtime.Event) (int, error) {
	p := newPage() // not from the pool: a record that was given up stays with the client
	for i := range events {
		p.fill(&s.topics, events[i:i+1])
		for j := range p.records {
			r := p.records[j]
			err := s.alone.send(ctx, &r)
			switch {
			case err == nil:
				continue
			case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge), errors.Is(err, kerr.InvalidRecord):
				return s.stop(i, &runtime.RefusedError{Cause: fmt.Errorf("%s, %d bytes: %w", s.place(r.Topic, r.Partition), size(&r), err)})
			default:
				return s.stop(i, s.reach.explain(fmt.Errorf("%s: %w", s.place(r.Topic, r.Partition), mayNot(err, toWrite))))
			}
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
