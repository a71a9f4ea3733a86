package kafkastreamer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wfrt/wfrt/runtime"
)

// place is how far a partition was read.
type place struct {
	topic runtime.TopicID
	next  int64
	epoch int32 // of the leader that wrote what was read last, so that the brokers can say whether it is in the log still; −1: unknown
}

type partition struct {
	topic  string
	number int32
}

// assigned tells the reader of a partition.
func (s *source) assigned(ctx context.Context, p partition, at place, committed bool) (int64, error) {
	s.telling.Lock()
	defer s.telling.Unlock()
	return s.reader.Assigned(ctx, runtime.Position{Topic: p.topic, TopicID: at.topic, Partition: p.number, Offset: at.next}, committed)
}

// revoked tells the reader of partitions that go. Of a topic that was made anew there is nothing left to commit.
func (s *source) revoked(ctx context.Context, gone map[string][]int32, lost bool) {
	var held, away []runtime.Position
	s.mu.Lock()
	for topic, numbers := range gone {
		for _, n := range numbers {
			at := runtime.Position{Topic: topic, TopicID: s.places[partition{topic, n}].topic, Partition: n}
			if lost || s.anew[topic] {
				away = append(away, at)
			} else {
				held = append(held, at)
			}
		}
	}
	s.mu.Unlock()
	s.telling.Lock()
	defer s.telling.Unlock()
	if len(away) > 0 {
		s.reader.Revoked(ctx, away, true)
	}
	if len(held) > 0 {
		s.reader.Revoked(ctx, held, false)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range slices.Concat(away, held) {
		delete(s.absent, partition{at.Topic, at.Partition})
		delete(s.places, partition{at.Topic, at.Partition})
	}
}

// went notes how far a partition was read, and returns how far it was before. Where fetches tell no topic's ID, it stays the same.
func (s *source) went(p partition, to place) (before place, assigned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, assigned = s.places[p]
	if to.topic == (runtime.TopicID{}) {
		to.topic = before.topic
	}
	delete(s.absent, p)
	s.places[p] = to
	return before, assigned
}

func (s *source) has(p partition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, assigned := s.places[p]
	return assigned
}

// follow notes how far the partitions of fetches were read. One that went back has lost messages, and may have others now in their
// place: the reader hears that it is gone, and that it has it anew. When it refuses, they come again.
func (s *source) follow(ctx context.Context, fetches kgo.Fetches) error {
	var refused error
	for i := range fetches {
		for j := range fetches[i].Topics {
			t := &fetches[i].Topics[j]
			for k := range t.Partitions {
				fp := &t.Partitions[k]
				if len(fp.Records) == 0 {
					continue
				}
				p, first, last := partition{t.Topic, fp.Partition}, fp.Records[0], fp.Records[len(fp.Records)-1]
				before, assigned := s.went(p, place{topic: t.TopicID, next: last.Offset + 1, epoch: last.LeaderEpoch})
				if !assigned || first.Offset >= before.next {
					continue
				}
				if err := s.setBack(ctx, p, before, place{topic: t.TopicID, next: first.Offset, epoch: -1}); err != nil {
					refused = errors.Join(refused, err)
					fp.Records = nil
				}
			}
		}
	}
	return refused
}

// setBack tells the reader of a partition that went back.
func (s *source) setBack(ctx context.Context, p partition, from, to place) error {
	s.log.Warn("a partition was set back: its log lost messages, or its topic was made again", "topic", p.topic, "partition", p.number,
		"from", from.next, "to", to.next)
	s.telling.Lock()
	s.reader.Revoked(context.WithoutCancel(ctx), []runtime.Position{{Topic: p.topic, TopicID: from.topic, Partition: p.number}}, true)
	s.telling.Unlock()
	err := s.identify(ctx, p, from.topic, &to)
	if err == nil {
		_, err = s.assigned(ctx, p, to, false)
	}
	if err != nil {
		s.went(p, from)
		s.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{p.topic: {p.number: {Epoch: -1, Offset: to.next}}})
	}
	return err
}

// identify completes a place with the ID of its topic, which brokers of 2.8 to 3.0 tell with metadata and not with messages: whether it is
// the one before shows whether messages were lost or the topic was made again. It asks the brokers, as what the client remembers may be old.
func (s *source) identify(ctx context.Context, p partition, before runtime.TopicID, at *place) error {
	var none runtime.TopicID
	if at.topic != none || before == none {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reachAtMost)
	defer cancel()
	ask := kmsg.NewPtrMetadataRequest()
	ask.Topics = []kmsg.MetadataRequestTopic{{Topic: &p.topic}}
	answer, err := ask.RequestWith(ctx, s.client)
	if err != nil {
		return s.unreached(err)
	}
	for i := range answer.Topics {
		t := &answer.Topics[i]
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("kafka at %s: topic %s: %w", s.reach.seeds, p.topic, err)
		}
		at.topic = t.TopicID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now, assigned := s.places[p]; assigned {
		now.topic = at.topic
		s.places[p] = now
	}
	return nil
}
