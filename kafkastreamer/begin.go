package kafkastreamer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

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

// adjust tells the reader of partitions that are assigned, with what the group has committed, and replaces that by where the reader begins.
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
			if partitions[number], err = s.begin(ctx, p, m, offset, &f); err != nil {
				return nil, err
			}
		}
	}
	return offsets, nil
}

// begin tells the reader of a partition, and returns where it begins there. The group has committed an offset, if it is not negative.
func (s *source) begin(ctx context.Context, p partition, m mark, offset kgo.Offset, f *found) (kgo.Offset, error) {
	at, committed, err := s.startOf(p, m, offset.EpochOffset().Offset, f)
	if err != nil {
		return offset, fmt.Errorf("kafka at %s: topic %s, partition %d: where to start: %w", s.reach.seeds, p.topic, p.number, err)
	}
	s.Resume(p.topic, p.number) // the client keeps one that it gave up paused
	if s.has(p) {               // it does not tell of one that it had of the topic before
		s.revoked(ctx, map[string][]int32{p.topic: {p.number}}, true)
	}
	to := place{topic: m.topic, next: at, epoch: -1}
	from, err := s.assigned(ctx, p, to, committed)
	if err != nil {
		return offset, err
	}
	if committed && from == at {
		to.epoch = offset.EpochOffset().Epoch
		s.went(p, to)
		return offset, nil
	}
	if end := f.ends[p.topic][p.number].Offset; from > end {
		s.log.Error("the log ends before what was done already: messages were lost, and new ones with their offsets are passed over; "+
			"give the connector another name to have them read", "topic", p.topic, "partition", p.number, "done", from, "end", end)
		from = end
	}
	to.next = from
	s.went(p, to)
	return kgo.NewOffset().At(from), nil
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

// startOf returns where the group begins in a partition, and whether that is what it has committed.
func (s *source) startOf(p partition, m mark, committed int64, f *found) (at int64, isCommitted bool, err error) {
	for _, listed := range []kadm.ListedOffsets{f.first, f.start, f.ends} {
		switch at, told := listed.Lookup(p.topic, p.number); {
		case !told:
			return 0, false, errors.New("the brokers do not tell its offsets")
		case at.Err != nil:
			return 0, false, at.Err
		}
	}
	first, start, end := f.first[p.topic][p.number], f.start[p.topic][p.number], f.ends[p.topic][p.number]
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
		case committed < first.Offset:
			s.log.Warn("messages were removed from the log before they were read", "topic", p.topic, "partition", p.number,
				"committed", committed, "start", first.Offset)
		}
		return committed, true, nil
	}
	if p.number >= m.partitions {
		return first.Offset, false, nil
	}
	return start.Offset, false, nil
}
