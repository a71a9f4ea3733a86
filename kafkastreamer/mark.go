package kafkastreamer

import (
	"encoding/hex"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/wfrt/wfrt/runtime"
)

// mark is what our commits say besides their offset, in their metadata: of which topic of that name the offset is, and how many
// partitions the topic had when the group began with it. To the others "where to start" does not apply: they came later.
type mark struct {
	topic      runtime.TopicID
	partitions int32 // 0: the group had another topic of that name before
}

const markFormat = "wfrt topic=%s partitions=%d"

func (m mark) String() string { return fmt.Sprintf(markFormat, m.topic, m.partitions) }

// of reports whether the mark is of a topic. Brokers before 2.8 tell no IDs: then it is.
func (m mark) of(topic runtime.TopicID) bool {
	var none runtime.TopicID
	return m.topic == topic || m.topic == none || topic == none
}

// parseMark reports false for metadata that is not ours: a commit of an earlier version, or of a tool.
func parseMark(text string) (mark, bool) {
	var m mark
	var id string
	if n, err := fmt.Sscanf(text, markFormat, &id, &m.partitions); n != 2 || err != nil || text != fmt.Sprintf(markFormat, id, m.partitions) {
		return mark{}, false
	}
	b, err := hex.DecodeString(id)
	return m, err == nil && copy(m.topic[:], b) == len(m.topic) && len(b) == len(m.topic)
}

// markFrom returns the mark of a topic that has so many partitions now: as the group's commits have it or, before the first, as it is.
func markFrom(topic runtime.TopicID, now int32, commits map[int32]kadm.OffsetResponse) mark {
	m := mark{topic: topic, partitions: -1}
	another, unmarked := false, int32(0)
	for number, c := range commits {
		if c.At < 0 {
			continue
		}
		switch theirs, ok := parseMark(c.Metadata); {
		case !ok:
			unmarked = max(unmarked, number+1)
		case !theirs.of(topic):
			another = true
		case m.partitions < 0 || theirs.partitions < m.partitions:
			m.partitions = theirs.partitions
		}
	}
	switch {
	case m.partitions >= 0:
	case another:
		m.partitions = 0
	case unmarked > 0:
		m.partitions = unmarked
	default:
		m.partitions = now
	}
	return m
}

// markOf returns the mark of a topic, which stays the same for as long as the topic is there.
//
// REQUIRES: f.fault(topic) is nil
func (s *source) markOf(topic string, f *found) mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := runtime.TopicID(f.topics[topic].ID)
	known, read := s.marks[topic]
	if read && known.of(id) {
		if known.topic == (runtime.TopicID{}) { // the brokers have learned to tell
			known.topic = id
			s.marks[topic] = known
		}
		return known
	}
	m := markFrom(id, int32(len(f.topics[topic].Partitions)), f.commits[topic])
	if read {
		m.partitions = 0 // the reader had another topic of that name
	}
	s.marks[topic] = m
	return m
}
