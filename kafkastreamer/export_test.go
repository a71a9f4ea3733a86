package kafkastreamer

import (
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

// Replaced returns how many clients of a streamer have had another take their place and are not closed.
func Replaced(s *Streamer) int {
	s.producers.mu.Lock()
	defer s.producers.mu.Unlock()
	return len(s.producers.before)
}
