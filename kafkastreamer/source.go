package kafkastreamer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/runtime"
)

// Bounds of one source.
const (
	pollMessages = 1000             // that one Receive returns at most
	pollAtMost   = 7 * time.Second  // before a look at whether the brokers are still reached; the client joins a group again after 5 at most
	reachAtMost  = 10 * time.Second // for a question to the brokers
	leaveAtMost  = 5 * time.Second  // for leaving the group
	lookEvery    = 30 * time.Second // for partitions that were added, or left out
)

// SourceOptions says what a source reads. Connection, Group and Topics are required.
type SourceOptions struct {
	// Connection says how the cluster is reached.
	Connection Connection
	// Group is the consumer group whose members share the partitions.
	Group string
	// Purpose tells its metrics and log lines from those of other clients. Defaults to connector.
	Purpose string
	// SessionTimeout is how long a member may give no sign of life before it loses its partitions: so long a server that was killed waits
	// for its own. Brokers have bounds for it. Defaults to 10 seconds.
	SessionTimeout time.Duration
	// Start is where the group begins in a partition of which it has committed nothing, and which the topic had when the group began with it.
	// In one that was added since, and in a topic that was deleted and made again, it begins before the first message. Defaults to Earliest.
	Start Start
	// Topics are read together.
	Topics []string

	lookEvery time.Duration // for partitions that were added, or left out; tests set it
}

// Start is a place in every partition. The zero Start is Earliest.
type Start struct {
	latest bool
	at     time.Time
}

// Earliest is before the first message that there is.
func Earliest() Start { return Start{} }

// Latest is after the last message that there is when the group first has the partition.
func Latest() Start { return Start{latest: true} }

// At is before the first message with that time or a later one; after the last, if there is none.
func At(t time.Time) Start { return Start{at: t} }

// OpenSource returns what opens a source: one client, in the group's cooperative-sticky protocol, with commits of its owner's only.
func OpenSource(opt SourceOptions) runtime.OpenSource {
	return func(r runtime.SourceReader) (runtime.Source, error) {
		purpose := cmp.Or(opt.Purpose, "connector")
		client, reach, err := opt.Connection.clientOptions(purpose)
		if err != nil {
			return nil, err
		}
		opt := opt
		opt.lookEvery = cmp.Or(opt.lookEvery, lookEvery)
		session := cmp.Or(opt.SessionTimeout, 10*time.Second)
		s := &source{
			opt: opt, reader: r, reach: reach, owned: make(chan struct{}), marks: map[string]mark{}, places: map[partition]place{}, anew: map[string]bool{},
			absent: map[partition]bool{}, gone: map[string]bool{},
			log: cmp.Or(opt.Connection.Logger, slog.New(slog.DiscardHandler)).With("kafka", purpose, "group", opt.Group),
		}
		var ctx context.Context
		ctx, s.cancel = context.WithCancel(context.Background())
		s.client, err = kgo.NewClient(append(client,
			kgo.WithContext(ctx),
			kgo.ConsumerGroup(opt.Group),
			kgo.ConsumeTopics(opt.Topics...),
			kgo.Balancers(kgo.CooperativeStickyBalancer()),
			kgo.SessionTimeout(session),
			kgo.HeartbeatInterval(session/5),
			kgo.DisableAutoCommit(),
			kgo.BlockRebalanceOnPoll(),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.MetadataMaxAge(opt.lookEvery),
			kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), // adjust replaces it
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.AdjustFetchOffsetsFn(s.adjust),
			kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
				s.revoked(ctx, gone, false)
			}),
			kgo.OnPartitionsLost(func(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
				s.revoked(ctx, gone, true)
			}),
		)...)
		if err != nil {
			s.cancel()
			return nil, fmt.Errorf("kafkastreamer: source: %w", err)
		}
		s.admin = kadm.NewClient(s.client)
		return s, nil
	}
}

// source is a member of a consumer group.
//
// BlockRebalanceOnPoll holds back revocations from the return of a poll to the next, so that what was polled is taken into account
// before its partition goes. Without it messages of a partition that had come back meanwhile could arrive behind those that its new
// assignment begins with, and the offset to commit would pass over some.
type source struct {
	opt    SourceOptions
	reader runtime.SourceReader
	client *kgo.Client
	admin  *kadm.Client
	cancel context.CancelFunc
	reach  *reach
	log    *slog.Logger

	telling sync.Mutex // held while the reader is told

	mu     sync.Mutex
	marks  map[string]mark     // by topic
	places map[partition]place // of those that are assigned
	absent map[partition]bool  // that are assigned and were not there
	anew   map[string]bool     // topics that are not what they were, until they are assigned

	// The client joins its group before it is even returned; the reader hears of partitions only once it has the source.
	owned   chan struct{} // closed when it does
	ownOnce sync.Once

	// Of Receive alone.
	found  bool            // the topics are there
	faulty bool            // the last Receive returned an error
	later  error           // came with messages, and is returned next
	gone   map[string]bool // topics that are not there any more, or are others by now
	looked time.Time       // for what is absent
}

var _ runtime.Source = (*source)(nil)

// Receive implements runtime.Source.
func (s *source) Receive(ctx context.Context) ([]runtime.Message, error) {
	s.ownOnce.Do(func() { close(s.owned) })
	messages, err := s.receive(ctx)
	s.faulty = err != nil && ctx.Err() == nil
	return messages, err
}

func (s *source) receive(ctx context.Context) ([]runtime.Message, error) {
	s.client.AllowRebalance()
	if err := s.later; err != nil {
		s.later = nil
		return nil, err
	}
	for {
		if !s.found {
			if err := s.find(ctx); err != nil {
				return nil, err
			}
			s.found = true
		}
		s.lookForAbsent(ctx)
		polling, cancel := context.WithTimeout(ctx, min(pollAtMost, s.opt.lookEvery))
		fetches := s.client.PollRecords(polling, pollMessages)
		cancel()
		err := errors.Join(s.fault(fetches), s.follow(ctx, fetches))
		if messages := messages(fetches); len(messages) > 0 {
			s.later = err
			return messages, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.client.AllowRebalance()
		if err == nil {
			err = s.reach.fault()
		}
		if err != nil {
			s.found = false
			return nil, err
		}
		if s.faulty { // what was wrong is over
			s.faulty = false
			return nil, nil
		}
	}
}

// find makes sure that the topics are there and may be read.
func (s *source) find(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachAtMost)
	defer cancel()
	for _, name := range s.opt.Topics { // each by itself: a refusal does not say of which it is
		topics, err := s.admin.ListTopics(ctx, name)
		var refused *kadm.AuthError
		switch {
		case errors.As(err, &refused):
			return fmt.Errorf("kafka at %s: topic %s: %w", s.reach.seeds, name, mayNot(err, toRead))
		case err != nil:
			return s.unreached(err)
		case topics[name].Err != nil:
			return fmt.Errorf("kafka at %s: topic %s: %w", s.reach.seeds, name, topics[name].Err)
		}
	}
	for name := range s.gone {
		s.forget(name)
	}
	s.gone = map[string]bool{}
	return nil
}

// forget finds a topic anew that is another by now: the client reads no other than the first that it found by a name.
func (s *source) forget(topic string) {
	s.mu.Lock()
	s.anew[topic] = true
	s.mu.Unlock()
	s.findAnew(topic)
}

// settled notes that a topic that was found anew is assigned.
func (s *source) settled(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.anew, topic)
}

// findAnew has the client give a topic up and find it again, with all its partitions.
func (s *source) findAnew(topic string) {
	s.client.PurgeTopicsFromClient(topic)
	s.client.AddConsumeTopics(topic)
}

// unreached says why the brokers did not answer.
func (s *source) unreached(err error) error {
	return fmt.Errorf("kafka at %s: %w", s.reach.seeds, s.reach.explain(err))
}

// fault returns what is wrong of what a poll returned.
func (s *source) fault(fetches kgo.Fetches) error {
	var all []error
	fetches.EachError(func(topic string, partition int32, err error) {
		var group *kgo.ErrGroupSession
		var lost *kgo.ErrDataLoss
		switch {
		case errors.As(err, &lost): // the client goes on where it can
			s.log.Error("the log of a partition lost messages: new ones with the offsets of messages that took effect are passed over; "+
				"give the connector another name to have them read", "topic", topic, "partition", partition, "from", lost.ResetTo, "to", lost.ConsumedTo)
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		case errors.As(err, &group):
			err := s.reach.explain(fmt.Errorf("group %s: %w", s.opt.Group, mayNot(group.Err, toRead)))
			all = append(all, fmt.Errorf("kafka at %s: %w", s.reach.seeds, err))
		case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
			s.gone[topic], s.found = true, false
			all = append(all, fmt.Errorf("kafka at %s: topic %s, partition %d: it was deleted, and may have been made again: %w", s.reach.seeds, topic, partition, err))
		default:
			all = append(all, fmt.Errorf("kafka at %s: topic %s, partition %d: %w", s.reach.seeds, topic, partition, mayNot(err, toRead)))
		}
	})
	return errors.Join(all...)
}

func messages(fetches kgo.Fetches) []runtime.Message {
	n := fetches.NumRecords()
	if n == 0 {
		return nil
	}
	all := make([]runtime.Message, 0, n)
	fetches.EachTopic(func(t kgo.FetchTopic) {
		t.EachRecord(func(r *kgo.Record) {
			m := runtime.Message{
				Topic: r.Topic, TopicID: t.TopicID, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Time: r.Timestamp,
			}
			for i := range r.Headers {
				m.Headers = append(m.Headers, runtime.Header{Name: r.Headers[i].Key, Value: r.Headers[i].Value})
			}
			all = append(all, m)
		})
	})
	return all
}

// Pause implements runtime.Source.
func (s *source) Pause(topic string, partition int32) {
	s.client.PauseFetchPartitions(map[string][]int32{topic: {partition}})
}

// Resume implements runtime.Source.
func (s *source) Resume(topic string, partition int32) {
	s.client.ResumeFetchPartitions(map[string][]int32{topic: {partition}})
}

// Ends implements runtime.Source.
func (s *source) Ends(ctx context.Context, partitions []runtime.Position) ([]runtime.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, reachAtMost)
	defer cancel()
	listed, err := s.admin.ListEndOffsets(ctx, s.opt.Topics...)
	if err != nil {
		return nil, s.unreached(err)
	}
	var ends []runtime.Position
	for _, p := range partitions {
		if end, ok := listed.Lookup(p.Topic, p.Partition); ok && end.Err == nil {
			p.Offset = end.Offset
			ends = append(ends, p)
		}
	}
	return ends, nil
}

// Close implements runtime.Source.
func (s *source) Close() {
	s.ownOnce.Do(func() { close(s.owned) })
	timer := time.AfterFunc(leaveAtMost, s.cancel)
	defer timer.Stop()
	s.client.CloseAllowingRebalance()
	s.cancel()
}
