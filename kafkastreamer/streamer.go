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
	// A topic that is known to take less has its own limit. Defaults to 1 MiB.
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
	opt    Options
	client *kgo.Client
	reach  *reach
	topics topics
	pages  sync.Pool
	alone  alone
}

var (
	_ runtime.Streamer = (*Streamer)(nil)
	_ runtime.Faulty   = (*Streamer)(nil)
)

// New returns a streamer, without reaching for a broker yet. It reports all faults of its options at once. The caller closes it.
func New(opt Options) (*Streamer, error) {
	opt.ensureDefaults()
	s := &Streamer{
		opt:    opt,
		topics: newTopics(opt.Layout, opt.Prefix),
		pages:  sync.Pool{New: func() any { return newPage() }},
	}
	var err error
	if s.client, s.reach, err = s.newClient("relay"); err != nil {
		return nil, err
	}
	s.alone.open = func() (*kgo.Client, error) {
		client, _, err := s.newClient("relay-alone")
		return client, err
	}
	return s, nil
}

func (s *Streamer) newClient(purpose string) (*kgo.Client, *reach, error) {
	opts, reach, err := s.opt.Connection.clientOptions(purpose)
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
	client, err := kgo.NewClient(append(opts,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytesFn(s.batchBytes),
		kgo.ProducerLinger(2*time.Millisecond), // so that pages of several shards share batches
	)...)
	if err != nil {
		return nil, nil, fmt.Errorf("kafkastreamer: %w", err)
	}
	return client, reach, nil
}

// Close ends the connections. What is being published then fails.
func (s *Streamer) Close() {
	s.client.Close()
	s.alone.close()
}

// Check returns why Kafka cannot be used at present, or nil.
func (s *Streamer) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := s.client.Ping(ctx); err != nil {
		return fmt.Errorf("kafkastreamer: kafka at %s: %w", s.reach.seeds, s.reach.explain(err))
	}
	return nil
}

// Fault implements runtime.Faulty: why the broker that was tried last was not reached.
func (s *Streamer) Fault() error { return s.reach.fault() }

// Publish implements runtime.Streamer. While brokers are away it waits for them, until ctx ends.
func (s *Streamer) Publish(ctx context.Context, events []runtime.Event) (int, error) {
	if len(events) == 0 {
		return 0, nil
	}
	p := s.pages.Get().(*page)
	p.fill(&s.topics, events)
	for i, t := range p.topics {
		if t.ready.Load() {
			continue
		}
		if err := s.ensure(ctx, t); err != nil {
			s.pages.Put(p)
			return s.stop(p.events[i], err)
		}
	}
	p.begin()
	handed := 0
	for handed < len(p.records) && !p.broken() {
		s.client.Produce(ctx, &p.records[handed], p.told)
		handed++
	}
	p.end(len(p.records) - handed + 1)
	select {
	case <-p.settled:
	case <-ctx.Done():
		return 0, fmt.Errorf("kafkastreamer: publish: %w", ctx.Err()) // the client still has the page: it is not used again
	}
	n, err := p.failed, p.err
	if err == nil {
		s.pages.Put(p)
		return n, nil
	}
	return s.failed(ctx, events, n, p)
}

// failed says what became of a page of which the event n is the first that failed.
func (s *Streamer) failed(ctx context.Context, events []runtime.Event, n int, p *page) (int, error) {
	err, topic, partition := p.err, p.record.Topic, p.record.Partition
	defer s.pages.Put(p)
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge), errors.Is(err, kerr.InvalidRecord):
		// The broker's verdict is on a batch; whose fault it is shows when each is sent alone.
		more, err := s.publishAlone(ctx, events[n:])
		return n + more, err
	case errors.Is(err, kerr.InvalidTopicException):
		return s.stop(n, &runtime.RefusedError{Cause: fmt.Errorf("topic %s: %w", topic, err)})
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		// It was removed. The client remembers it by its ID, and must forget it before it can be found again.
		if t := s.topics.find(topic); t != nil {
			t.ready.Store(false)
		}
		s.client.PurgeTopicsFromProducing(topic)
	}
	return s.stop(n, s.reach.explain(fmt.Errorf("%s: %w", s.place(topic, partition), mayNot(err, toWrite))))
}

func (s *Streamer) stop(n int, err error) (int, error) {
	return n, fmt.Errorf("kafkastreamer: publish: %w", err)
}

// place names a partition and the broker that leads it, as far as they are known; else the topic and the cluster.
func (s *Streamer) place(topic string, partition int32) string {
	leader, _, err := s.client.PartitionLeader(topic, partition)
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
