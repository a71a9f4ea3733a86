package kafkastreamer

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wfrt/wfrt/runtime"
)

// Commit implements runtime.Source.
func (s *source) Commit(ctx context.Context, at []runtime.Position) error {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for i := range at {
		if offsets[at[i].Topic] == nil {
			offsets[at[i].Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[at[i].Topic][at[i].Partition] = kgo.EpochOffset{Epoch: s.epoch(&at[i]), Offset: at[i].Offset}
	}
	ctx = kgo.PreCommitFnContext(ctx, func(r *kmsg.OffsetCommitRequest) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range at {
			m := mark{topic: at[i].TopicID}
			if known := s.marks[at[i].Topic]; known.of(m.topic) {
				m.partitions = known.partitions
			}
			setMetadata(r, &at[i], m.String())
		}
		return nil
	})
	var failed error
	s.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, err error) {
		failed = errors.Join(err, commitErrors(r))
	})
	if failed != nil {
		return fmt.Errorf("kafka at %s: group %s: commit: %w", s.reach.seeds, s.opt.Group, failed)
	}
	return nil
}

// epoch returns that of what was read last of a partition: no earlier one than that of what lies before the position. −1: it is not known.
func (s *source) epoch(at *runtime.Position) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if read, assigned := s.places[partition{at.Topic, at.Partition}]; assigned && read.topic == at.TopicID {
		return read.epoch
	}
	return -1
}

func setMetadata(r *kmsg.OffsetCommitRequest, at *runtime.Position, text string) {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			if p := &r.Topics[i].Partitions[j]; r.Topics[i].Topic == at.Topic && p.Partition == at.Partition {
				p.Metadata = &text
			}
		}
	}
}

// commitErrors returns what is wrong with single partitions of a commit.
func commitErrors(r *kmsg.OffsetCommitResponse) error {
	if r == nil {
		return nil
	}
	var all []error
	for i := range r.Topics {
		t := &r.Topics[i]
		for j := range t.Partitions {
			if err := kerr.ErrorForCode(t.Partitions[j].ErrorCode); err != nil {
				all = append(all, fmt.Errorf("topic %s, partition %d: %w", t.Topic, t.Partitions[j].Partition, err))
			}
		}
	}
	return errors.Join(all...)
}
