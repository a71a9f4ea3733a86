package kafkastreamer

import (
	"context"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
)

// producer is a client of the relay. The library asks once for each partition how large a batch may be, and keeps to the first topic of a name, so
// another has to take its place when the limit of a topic changes or the topic is gone. If it forgot the topic instead, it would number its batches
// from 0 again, and the broker take them for those it has.
type producer struct {
	client  *kgo.Client
	metrics *metrics // nil: none
	most    func(topic string) int32
	pages   int // that it has under way; guarded by producers.mu

	// alive ends at the first batch that is too large: what the client has not sent by then fails, as what waits behind that batch does, and
	// goes with the next producer. Otherwise it would be numbered anew, and could overtake that batch.
	alive context.Context //nolint:containedctx // the client asks it for each batch
	end   context.CancelFunc

	mu     sync.Mutex
	limits map[string]int32
}

// limit is how large a batch for a topic may be: as it was when that was first asked.
func (p *producer) limit(topic string) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, known := p.limits[topic]
	if !known {
		n = p.most(topic)
		p.limits[topic] = n
	}
	return n
}

func (p *producer) close() {
	p.end()
	p.client.Close()
}

// metrics are those of a client, until it is closed or another takes its place.
type metrics struct {
	*kprom.Metrics
	over sync.Once
}

// OnClientClosed implements kgo.HookClientClosed.
func (m *metrics) OnClientClosed(c *kgo.Client) { m.over.Do(func() { m.Metrics.OnClientClosed(c) }) }

// producers are the producer in use and those before it that have pages under way. The order of a run does not depend on which one
// publishes a page: those of a shard do not overlap.
type producers struct {
	open func() (*producer, error)

	mu      sync.Mutex
	current *producer
	before  []*producer
	closed  bool
}

// start opens the first one.
func (p *producers) start() error {
	var err error
	p.current, err = p.open()
	return err
}

// take returns the producer in use. It is not closed before it was left as often as it was taken, but by close.
func (p *producers) take() *producer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current.pages++
	return p.current
}

func (p *producers) leave(one *producer) {
	p.mu.Lock()
	one.pages--
	i := slices.Index(p.before, one)
	over := i >= 0 && one.pages == 0
	if over {
		p.before = slices.Delete(p.before, i, i+1)
	}
	p.mu.Unlock()
	if over {
		one.close()
	}
}

// replace puts another in the place of one that is taken, unless that has been done.
func (p *producers) replace(ctx context.Context, one *producer) error {
	p.mu.Lock()
	closed, done := p.closed, p.current != one
	p.mu.Unlock()
	switch {
	case closed:
		return kgo.ErrClientClosed
	case done:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := mayProduce(ctx, one.client); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return kgo.ErrClientClosed
	case p.current != one:
		return nil
	}
	if one.metrics != nil {
		one.metrics.OnClientClosed(one.client) // the same names are about to be registered
	}
	next, err := p.open()
	if err != nil {
		return err
	}
	p.before = append(p.before, one)
	p.current = next
	return nil
}

func (p *producers) close() {
	p.mu.Lock()
	p.closed = true
	all := append([]*producer{p.current}, p.before...)
	p.before = nil
	p.mu.Unlock()
	for _, one := range all {
		one.close()
	}
}

// newProducer opens a client with options that are those of all of the relay's.
func (s *Streamer) newProducer(opts []kgo.Opt) (*producer, error) {
	alive, end := context.WithCancel(context.Background())
	p := &producer{alive: alive, end: end, most: s.batchBytes, limits: map[string]int32{}, metrics: s.opt.Connection.metrics(relayPurpose)}
	opts = append(slices.Clip(opts), kgo.ProducerBatchMaxBytesFn(p.limit))
	if p.metrics != nil {
		opts = append(opts, kgo.WithHooks(p.metrics))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		end()
		return nil, err
	}
	p.client = client
	return p, nil
}
