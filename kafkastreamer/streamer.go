package kafkastreamer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/runtime"
)

// Options configures a Streamer. Only the connection's brokers are required.
type Options struct {
	// BatchBytes is how large a batch of records for one partition may be, before compression; an event that is larger is refused.
	// Batches of a topic that takes less are smaller. Defaults to 1 MiB.
	BatchBytes int
	// Compression is that of batches: none, gzip, lz4, snappy or zstd. Defaults to snappy.
	Compression string
	// Connection says how Kafka is reached.
	Connection Connection
	// Layout says how events are spread over topics. Defaults to LayoutWorkflow.
	Layout Layout
	// NoTopicCreation leaves the making of topics to others. Defaults to false.
	NoTopicCreation bool
	// Partitions of a topic that is made; −1: what the broker wants. Defaults to −1.
	Partitions int
	// Prefix begins the name of each topic. Defaults to none.
	Prefix string
	// Replication of a topic that is made; −1: what the broker wants. Defaults to −1.
	Replication int
}

// Compressions are the values that Options.Compression may have.
func Compressions() []string { return []string{"none", "gzip", "lz4", "snappy", "zstd"} }

func compression(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "none":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	default:
		return kgo.NoCompression(), fmt.Errorf("compression %q is not known; use one of: %s", name, strings.Join(Compressions(), ", "))
	}
}

func (o *Options) ensureDefaults() {
	if o.BatchBytes == 0 {
		o.BatchBytes = 1 << 20
	}
	if o.Compression == "" {
		o.Compression = "snappy"
	}
	if o.Connection.Logger == nil {
		o.Connection.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Layout == "" {
		o.Layout = LayoutWorkflow
	}
	if o.Partitions == 0 {
		o.Partitions = -1
	}
	if o.Replication == 0 {
		o.Replication = -1
	}
}

// askTimeout bounds one question to the brokers.
const askTimeout = 10 * time.Second

// Streamer publishes events to Kafka, idempotently and acknowledged by all replicas in sync. All its methods may be called from
// many goroutines.
type Streamer struct {
	opt       Options
	reach     *reach
	topics    topics
	pages     sync.Pool
	producers producers
	alone     alone
}

var (
	_ runtime.Streamer = (*Streamer)(nil)
	_ runtime.Faulty   = (*Streamer)(nil)
)

// relayPurpose is that of the clients that publish pages.
const relayPurpose = "relay"

// New returns a streamer, without reaching for a broker yet. It reports all faults of its options at once. The caller closes it.
func New(opt Options) (*Streamer, error) {
	opt.ensureDefaults()
	s := &Streamer{
		opt:    opt,
		topics: newTopics(opt.Layout, opt.Prefix),
		pages:  sync.Pool{New: func() any { return newPage() }},
	}
	own := opt.Connection
	own.Registry = nil // each producer has metrics of its own
	opts, reach, err := s.clientOptions(&own, relayPurpose)
	if err != nil {
		return nil, err
	}
	s.reach = reach
	s.producers.open = func() (*producer, error) { return s.newProducer(opts) }
	s.alone.open = func() (*kgo.Client, error) {
		opts, _, err := s.clientOptions(&s.opt.Connection, "relay-alone")
		if err != nil {
			return nil, err
		}
		return kgo.NewClient(append(opts,
			kgo.ProducerBatchMaxBytes(int32(s.opt.BatchBytes)),
			kgo.MaxBufferedRecords(1),
			kgo.ProducerLinger(0), // none comes to share the batch
		)...)
	}
	if err := s.producers.start(); err != nil {
		return nil, fmt.Errorf("kafkastreamer: %w", err)
	}
	return s, nil
}

// clientOptions are those of a client that publishes, but for the size of its batches.
func (s *Streamer) clientOptions(conn *Connection, purpose string) ([]kgo.Opt, *reach, error) {
	opts, reach, err := conn.clientOptions(purpose)
	codec, cerr := compression(s.opt.Compression)
	if cerr != nil {
		err = errors.Join(err, fmt.Errorf("kafkastreamer: %w", cerr))
	}
	if l := s.opt.Layout; l != LayoutWorkflow && l != LayoutStatus {
		err = errors.Join(err, fmt.Errorf("kafkastreamer: layout %q is not known; use %s or %s", l, LayoutWorkflow, LayoutStatus))
	}
	if err != nil {
		return nil, nil, err
	}
	return append(opts,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(2*time.Millisecond), // so that pages of several shards share batches
	), reach, nil
}

// Close ends the connections. What is being published then fails.
func (s *Streamer) Close() {
	s.producers.close()
	s.alone.close()
}

// Check returns why Kafka cannot be used at present, or nil.
func (s *Streamer) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	by := s.producers.take()
	defer s.producers.leave(by)
	if err := by.client.Ping(ctx); err != nil {
		return fmt.Errorf("kafkastreamer: kafka at %s: %w", s.reach.seeds, s.reach.explain(err))
	}
	return nil
}

// Fault implements runtime.Faulty: why the broker that was tried last was not reached.
func (s *Streamer) Fault() error { return s.reach.fault() }

// Publish implements runtime.Streamer. While brokers are away it waits for them, until ctx ends.
func (s *Streamer) Publish(ctx context.Context, events []runtime.Event) (int, error) {
	done := 0
	for done < len(events) {
		n, err := s.publish(ctx, events[done:])
		if done += n; err != nil {
			return done, fmt.Errorf("kafkastreamer: publish: %w", err)
		}
	}
	return done, nil
}

// publish publishes the first of some events and returns how many they are. Without an error the others are to be tried again: in smaller
// batches, when it is none.
func (s *Streamer) publish(ctx context.Context, events []runtime.Event) (int, error) {
	by := s.producers.take()
	defer s.producers.leave(by)
	p := s.pages.Get().(*page)
	p.fill(&s.topics, events)
	for i, t := range p.topics {
		if t.ready.Load() {
			continue
		}
		if err := s.ensure(ctx, by.client, t); err != nil {
			if p.events[i] == 0 {
				s.pages.Put(p)
				return 0, err
			}
			p.cutOff(p.events[i])
			break
		}
	}
	if large := p.fit(by.limit); large != "" { // it is the first
		s.pages.Put(p)
		n, err := s.publishAlone(ctx, events[:1])
		if err == nil {
			s.refit(ctx, by, large)
		}
		return n, err
	}
	p.begin(by)
	handed := 0
	for handed < len(p.records) && !p.broken() {
		by.client.Produce(ctx, p.record(handed), p.told)
		handed++
	}
	p.end(len(p.records) - handed + 1)
	select {
	case <-p.settled:
	case <-ctx.Done():
		return 0, ctx.Err() // the client still has the page: it is not used again
	}
	defer s.pages.Put(p)
	if p.err == nil {
		return p.failed, nil
	}
	return s.failed(ctx, by, events, p)
}

// failed says what became of the events of a page of which one failed.
func (s *Streamer) failed(ctx context.Context, by *producer, events []runtime.Event, p *page) (int, error) {
	n, err, topic, partition := p.failed, p.err, p.bad.Topic, p.bad.Partition
	switch {
	case tooLarge(err) && s.narrow(ctx, by, topic):
		return n, nil
	case errors.Is(err, context.Canceled) && by.alive.Err() != nil && ctx.Err() == nil:
		if err := s.producers.replace(ctx, by); err != nil {
			return n, s.reach.explain(fmt.Errorf("%s: %w", s.somewhere(topic), err))
		}
		return n, nil
	case tooLarge(err), errors.Is(err, kerr.InvalidRecord):
		// The broker's verdict is on a batch; whose fault it is shows when each is sent alone.
		more, err := s.publishAlone(ctx, events[n:])
		return n + more, err
	case errors.Is(err, kerr.InvalidTopicException):
		return n, &runtime.RefusedError{Cause: fmt.Errorf("topic %s: %w", topic, err)}
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		// It was removed, and the client remembers it by its ID: another finds the one that is made again.
		if t := s.topics.find(topic); t != nil {
			t.ready.Store(false)
		}
		_ = s.producers.replace(ctx, by) // if that fails, so does the next attempt, which tries again
	}
	return n, s.reach.explain(fmt.Errorf("%s: %w", s.place(by.client, topic, partition), mayNot(err, toWrite)))
}

// tooLarge reports whether an error says that a batch or a record is.
func tooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// place names a partition and the broker that leads it, as far as a client knows them; else the topic and the cluster.
func (s *Streamer) place(client *kgo.Client, topic string, partition int32) string {
	if client == nil {
		return s.somewhere(topic)
	}
	leader, _, err := client.PartitionLeader(topic, partition)
	if err != nil || leader < 0 {
		return s.somewhere(topic)
	}
	text := fmt.Sprintf("topic %s, partition %d", topic, partition)
	if addr := s.reach.address(leader); addr != "" {
		text += ", broker " + addr
	}
	return text
}

// somewhere names a topic and the cluster.
func (s *Streamer) somewhere(topic string) string {
	return "kafka at " + s.reach.seeds + ": topic " + topic
}
