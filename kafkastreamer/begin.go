package kafkastreamer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wfrt/wfrt/runtime"
)

// place is how far a partition was read.
type place struct {
	topic runtime.TopicID
	next  int64
}

type partition struct {
	topic  string
	number int32
}

// found is what the brokers tell of some topics.
type found struct {
	topics             kadm.TopicDetails
	commits            kadm.OffsetResponses
	first, start, ends kadm.ListedOffsets // start: where the source was told to
}

// look asks the brokers about topics.
func (s *source) look(ctx context.Context, names []string) (found, error) {
	var f found
	var err error
	if f.topics, err = s.admin.ListTopics(ctx, names...); err != nil {
		return f, err
	}
	if f.commits, err = s.admin.FetchOffsets(ctx, s.opt.Group); err != nil {
		return f, err
	}
	if f.ends, err = s.admin.ListEndOffsets(ctx, names...); err != nil {
		return f, err
	}
	if f.first, err = s.admin.ListStartOffsets(ctx, names...); err != nil {
		return f, err
	}
	switch at := s.opt.Start.at; {
	case s.opt.Start.latest:
		f.start = f.ends
	case !at.IsZero():
		f.start, err = s.admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), names...)
	default:
		f.start = f.first
	}
	return f, err
}

// adjust tells the reader of partitions that are assigned, and begins where it says.
func (s *source) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	select {
	case <-s.owned:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(offsets) == 0 {
		return offsets, nil
	}
	f, err := s.look(ctx, slices.Collect(maps.Keys(offsets)))
	if err != nil {
		return nil, s.unreached(err)
	}
	for topic, partitions := range offsets {
		if err := f.fault(topic); err != nil {
			return nil, fmt.Errorf("kafka at %s: topic %s: where to start: %w", s.reach.seeds, topic, err)
		}
		m := s.markOf(topic, &f)
		s.settled(topic)
		for number, offset := range partitions {
			p := partition{topic, number}
			if _, there := f.topics[topic].Partitions[number]; !there {
				s.leaveOut(p)
				delete(partitions, number)
				continue
			}
			at, committed, err := s.startOf(p, m, offset.EpochOffset().Offset, &f)
			if err != nil {
				return nil, fmt.Errorf("kafka at %s: topic %s, partition %d: where to start: %w", s.reach.seeds, topic, number, err)
			}
			s.Resume(topic, number) // the client keeps one that it gave up paused
			if s.has(p) {           // it does not tell of one that it had of the topic before
				s.revoked(ctx, map[string][]int32{topic: {number}}, true)
			}
			from, err := s.assigned(ctx, p, place{m.topic, at}, committed)
			if err != nil {
				return nil, err
			}
			if end := f.ends[topic][number].Offset; from > end {
				s.log.Warn("the log ends before what was done already: messages were lost, and new ones with their offsets will be passed over; "+
					"give the connector another name to have them read", "topic", topic, "partition", number, "done", from, "end", end)
				from = end
			}
			s.went(p, place{m.topic, from})
			if from != at || !committed {
				partitions[number] = kgo.NewOffset().At(from)
			}
		}
	}
	return offsets, nil
}

// fault returns why what was found says nothing of a topic.
func (f *found) fault(topic string) error {
	switch t, told := f.topics[topic]; {
	case t.Err != nil:
		return t.Err
	case !told:
		return errors.New("the brokers tell nothing of it")
	case len(t.Partitions) == 0:
		return errors.New("the brokers tell of no partition")
	}
	return nil
}

// settled notes that a topic that was found anew is assigned.
func (s *source) settled(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.anew, topic)
}

// startOf returns where the group begins in a partition, and whether that is what it has committed.
func (s *source) startOf(p partition, m mark, committed int64, f *found) (at int64, isCommitted bool, err error) {
	first, start, end := f.first[p.topic][p.number], f.start[p.topic][p.number], f.ends[p.topic][p.number]
	if err := cmp.Or(first.Err, start.Err, end.Err); err != nil {
		return 0, false, err
	}
	if committed >= 0 {
		theirs, marked := parseMark(f.commits[p.topic][p.number].Metadata)
		switch {
		case marked && !theirs.of(m.topic):
			s.log.Warn("a topic was deleted and made again: it is read from its start; what the group had committed is of the one before",
				"topic", p.topic, "partition", p.number, "committed", committed, "start", first.Offset)
			return first.Offset, false, nil
		case committed > end.Offset:
			s.log.Warn("the group has committed an offset beyond the end of the log: the partition is read from its start",
				"topic", p.topic, "partition", p.number, "committed", committed, "end", end.Offset, "start", first.Offset)
			return first.Offset, false, nil
		}
		return committed, true, nil
	}
	if p.number >= m.partitions {
		return first.Offset, false, nil
	}
	return start.Offset, false, nil
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
			delete(s.absent, partition{topic, n})
			at := runtime.Position{Topic: topic, TopicID: s.places[partition{topic, n}].topic, Partition: n}
			if delete(s.places, partition{topic, n}); lost || s.anew[topic] {
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
				p, first := partition{t.Topic, fp.Partition}, fp.Records[0].Offset
				before, assigned := s.went(p, place{t.TopicID, fp.Records[len(fp.Records)-1].Offset + 1})
				if !assigned || first >= before.next {
					continue
				}
				if err := s.setBack(ctx, p, before, place{t.TopicID, first}); err != nil {
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
