package kafkastreamer

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What is known of a topic's limit bounds its batches and refuses no event: that is for the broker to say, of the event alone. So a limit
// that is raised counts at once for an event, and for batches once it is known.

const (
	askAgain      = time.Minute // how often a topic is asked for its limit while it runs
	smallestBatch = 512         // that the client allows
)

// batchBytes is how large a batch for a topic may be, as far as that is known.
func (s *Streamer) batchBytes(name string) int32 {
	most := int32(s.opt.BatchBytes)
	if t := s.topics.find(name); t != nil {
		if n := t.maxBytes.Load(); n > 0 {
			return min(most, max(n, smallestBatch))
		}
	}
	return most
}

// limit learns how large a batch the topic takes. It may not be allowed to: then that is not known.
func (s *Streamer) limit(ctx context.Context, client *kgo.Client, t *topic) {
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, t.name)
	if err != nil {
		return
	}
	for _, c := range configs {
		if errors.Is(c.Err, kerr.TopicAuthorizationFailed) {
			t.maxBytes.Store(0)
		}
		for _, entry := range c.Configs {
			if entry.Key != "max.message.bytes" || entry.Value == nil {
				continue
			}
			if n, err := strconv.ParseInt(*entry.Value, 10, 32); err == nil && n > 0 {
				t.maxBytes.Store(int32(n))
			}
		}
	}
}

// limitAgain does that again, if it was not done lately: what it learns may change nothing, and there may be many that ask.
//
// REQUIRES: t.ask
func (s *Streamer) limitAgain(ctx context.Context, client *kgo.Client, t *topic) {
	if !t.asked.IsZero() && time.Since(t.asked) < askAgain {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s.limit(ctx, client, t)
	t.asked = time.Now()
}

// narrow has batches of a topic be smaller than those of a producer, of which the broker has refused one: as large as the topic takes if
// that explains it, or else half as large. It reports whether they are.
func (s *Streamer) narrow(ctx context.Context, by *producer, name string) bool {
	t := s.topics.find(name)
	if t == nil || !s.narrowTopic(ctx, by, t) {
		return false
	}
	return s.producers.replace(ctx, by) == nil // it guards itself: others need not wait for what it asks
}

// narrowTopic lowers what is known of a topic's limit below that of a producer, and reports whether it could.
func (s *Streamer) narrowTopic(ctx context.Context, by *producer, t *topic) bool {
	if t.ask(ctx) != nil {
		return false
	}
	defer t.answered()
	name, had := t.name, by.limit(t.name)
	if s.batchBytes(name) >= had { // nobody else has done it
		s.limitAgain(ctx, by.client, t)
	}
	if s.batchBytes(name) >= had {
		if had/2 < smallestBatch {
			return false
		}
		t.maxBytes.Store(had / 2)
	}
	s.opt.Connection.Logger.Info("batches of a topic have become smaller: a broker refused one", "topic", name, "bytes", s.batchBytes(name), "before", had)
	return true
}

// refit has batches of a topic be as large as it takes, after it took an event that was too large for those of a producer.
func (s *Streamer) refit(ctx context.Context, by *producer, name string) {
	t := s.topics.find(name)
	if t == nil || t.ask(ctx) != nil {
		return
	}
	s.limitAgain(ctx, by.client, t)
	t.answered()
	if s.batchBytes(name) != by.limit(name) {
		_ = s.producers.replace(ctx, by) // if that fails, the event is published all the same; the next one tries again
	}
}

// fits reports whether a batch of the record alone is not larger than some bytes, counting for the parts of variable length the most that
// they can take.
func fits(r *kgo.Record, bytes int32) bool {
	const batch, record, header = 65, 40, 10
	return batch+record+header*len(r.Headers)+size(r) <= int(bytes)
}
