package kafkastreamer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wfrt/wfrt/runtime"
)

// Bounds of one source.
const (
	pollMessages = 1000             // that one Receive returns at most
	pollAtMost   = 7 * time.Second  // before a look at whether the brokers are still reached; the client joins a group again after 5 at most
	reachAtMost  = 10 * time.Second // for a question to the brokers
	leaveAtMost  = 5 * time.Second  // for leaving the group
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
	// Start is where the group begins in a partition of which it has committed nothing. Defaults to Earliest.
	Start Start
	// Topics are read together.
	Topics []string
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
		client, reach, err := opt.Connection.clientOptions(cmp.Or(opt.Purpose, "connector"))
		if err != nil {
			return nil, err
		}
		session := cmp.Or(opt.SessionTimeout, 10*time.Second)
		s := &source{opt: opt, reader: r, reach: reach, owned: make(chan struct{})}
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
			kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), // adjust replaces it
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.AdjustFetchOffsetsFn(s.adjust),
			kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
				r.Revoked(ctx, positions(gone), false)
			}),
			kgo.OnPartitionsLost(func(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
				r.Revoked(ctx, positions(gone), true)
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

	// The client joins its group before it is even returned; the reader hears of partitions only once it has the source.
	owned   chan struct{} // closed when it does
	ownOnce sync.Once

	// Of Receive alone.
	found  bool  // the topics are there
	faulty bool  // the last Receive returned an error
	later  error // came with messages, and is returned next
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
		polling, cancel := context.WithTimeout(ctx, pollAtMost)
		fetches := s.client.PollRecords(polling, pollMessages)
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		messages := messages(fetches)
		err := s.fault(fetches)
		if len(messages) > 0 {
			s.later = err
			return messages, nil
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
	return nil
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
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		case errors.As(err, &group):
			err := s.reach.explain(fmt.Errorf("group %s: %w", s.opt.Group, mayNot(group.Err, toRead)))
			all = append(all, fmt.Errorf("kafka at %s: %w", s.reach.seeds, err))
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

// adjust tells the reader of partitions that are assigned, and begins where it says.
func (s *source) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	select {
	case <-s.owned:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	names := make([]string, 0, len(offsets))
	for topic := range offsets {
		names = append(names, topic)
	}
	if len(names) == 0 {
		return offsets, nil
	}
	topics, err := s.admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, s.unreached(err)
	}
	starts, err := s.starts(ctx, names)
	if err != nil {
		return nil, s.unreached(err)
	}
	for topic, partitions := range offsets {
		for partition, offset := range partitions {
			at := runtime.Position{Topic: topic, TopicID: runtime.TopicID(topics[topic].ID), Partition: partition, Offset: offset.EpochOffset().Offset}
			committed := at.Offset >= 0
			if !committed {
				start, ok := starts.Lookup(topic, partition)
				if !ok || start.Err != nil {
					return nil, fmt.Errorf("kafka at %s: topic %s, partition %d: where to start: %w", s.reach.seeds, topic, partition, start.Err)
				}
				at.Offset = start.Offset
			}
			s.Resume(topic, partition) // the client keeps one that it gave up paused
			from, err := s.reader.Assigned(ctx, at, committed)
			if err != nil {
				return nil, err
			}
			if from != at.Offset || !committed {
				partitions[partition] = kgo.NewOffset().At(from)
			}
		}
	}
	return offsets, nil
}

// starts returns where a group begins that has committed nothing, in each partition of the topics.
func (s *source) starts(ctx context.Context, topics []string) (kadm.ListedOffsets, error) {
	switch {
	case s.opt.Start.latest:
		return s.admin.ListEndOffsets(ctx, topics...)
	case !s.opt.Start.at.IsZero():
		return s.admin.ListOffsetsAfterMilli(ctx, s.opt.Start.at.UnixMilli(), topics...)
	default:
		return s.admin.ListStartOffsets(ctx, topics...)
	}
}

// Commit implements runtime.Source.
func (s *source) Commit(ctx context.Context, at []runtime.Position) error {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for i := range at {
		if offsets[at[i].Topic] == nil {
			offsets[at[i].Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[at[i].Topic][at[i].Partition] = kgo.EpochOffset{Epoch: -1, Offset: at[i].Offset}
	}
	var failed error
	s.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, err error) {
		failed = errors.Join(err, commitErrors(r))
	})
	if failed != nil {
		return fmt.Errorf("kafka at %s: group %s: commit: %w", s.reach.seeds, s.opt.Group, failed)
	}
	return nil
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

func positions(partitions map[string][]int32) []runtime.Position {
	var all []runtime.Position
	for topic, numbers := range partitions {
		for _, n := range numbers {
			all = append(all, runtime.Position{Topic: topic, Partition: n})
		}
	}
	return all
}
