package kafkastreamer

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/runtime"
)

// Records returns the records that events become with the layout of one topic for each workflow.
func Records(prefix string, pages [][]runtime.Event) []kgo.Record {
	t := newTopics(LayoutWorkflow, prefix)
	var all []kgo.Record
	for _, events := range pages {
		p := newPage()
		p.fill(&t, events)
		all = append(all, p.records...)
	}
	return all
}

// Ask waits until nobody else looks for the topic of a workflow's events or asks it, and lets others do so again.
func Ask(ctx context.Context, s *Streamer, workflow string) error {
	t := s.topics.of(workflow).all
	if err := t.ask(ctx); err != nil {
		return err
	}
	t.answered()
	return nil
}

// LookEvery sets how often a source looks for partitions that were added, or left out.
func LookEvery(opt *SourceOptions, every time.Duration) { opt.lookEvery = every }

// Replaced returns how many clients of a streamer have had another take their place and are not closed.
func Replaced(s *Streamer) int {
	s.producers.mu.Lock()
	defer s.producers.mu.Unlock()
	return len(s.producers.before)
}
