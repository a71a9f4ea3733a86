package kafkastreamer

import (
	"context"
	"maps"
	"slices"
	"time"
)

// leaveOut notes a partition that is assigned and not there: a topic was made again with fewer, which the leader of the group does not see
// if it reads none of them; or it was just added, and who told us does not know yet. lookForAbsent finds it if it comes.
func (s *source) leaveOut(p partition) {
	s.log.Warn("the group assigns a partition that its topic does not have: it is left out until it is there", "topic", p.topic, "partition", p.number)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.absent[p] = true
}

// lookForAbsent looks, now and then, for the partitions that were left out. A topic that has one by now is found anew: the client asks
// where to begin only for what it has just got.
func (s *source) lookForAbsent(ctx context.Context) {
	s.mu.Lock()
	absent := maps.Clone(s.absent)
	s.mu.Unlock()
	if len(absent) == 0 || time.Since(s.looked) < s.opt.lookEvery {
		return
	}
	s.looked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, reachAtMost)
	defer cancel()
	names := map[string]bool{}
	for p := range absent {
		names[p.topic] = true
	}
	topics, err := s.admin.ListTopics(ctx, slices.Collect(maps.Keys(names))...)
	if err != nil {
		return // polls say what is wrong
	}
	for p := range absent {
		if _, there := topics[p.topic].Partitions[p.number]; there && names[p.topic] {
			names[p.topic] = false // once
			s.findAnew(p.topic)
		}
	}
}
