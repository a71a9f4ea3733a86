package kafkastreamer_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
)

// heard is a reader that passes on what it is told.
type heard chan runtime.Position

func (h heard) Assigned(_ context.Context, at runtime.Position, _ bool) (int64, error) {
	h <- at
	return at.Offset, nil
}

func (heard) Revoked(context.Context, []runtime.Position, bool) {}

// held opens a source of the topic "orders" whose group has asked for its offsets, and does not begin before the first Receive. It returns
// how often offsets were asked for.
func held(t *testing.T, cluster *kfake.Cluster, start kafkastreamer.Start, log *logged) (source runtime.Source, told heard, asked *kfake.FaultHandle) {
	t.Helper()
	asked = cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Observe: true, Count: -1})
	opt := kafkastreamer.SourceOptions{
		Connection: kafkastreamer.Connection{
			Brokers: cluster.ListenAddrs(), Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
		},
		Group: "wfrt", Start: start, Topics: []string{"orders"},
	}
	kafkastreamer.LookEvery(&opt, 300*time.Millisecond)
	told = make(heard, 100)
	source, err := kafkastreamer.OpenSource(opt)(told)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	if err := asked.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return source, told, asked
}

// untilError receives until an error says something.
func untilError(t *testing.T, source runtime.Source, part string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		messages, err := source.Receive(ctx)
		switch {
		case len(messages) > 0:
			t.Fatalf("it received message %q", messages[0].Value)
		case ctx.Err() != nil:
			t.Fatalf("no error says %q; the last: %v", part, err)
		case err != nil && strings.Contains(err.Error(), part):
			return
		}
	}
}

// TestSourceForgetsAFailedAnswer has the brokers know nothing of the topic at the moment when the group begins with it. Where it begins
// then is where it is told to, under the topic's ID.
func TestSourceForgetsAFailedAnswer(t *testing.T) {
	cluster, brokers := fake(t)
	s := newStream(t, brokers)
	s.Topic(t, "orders", 1)
	for range 3 {
		s.Produce(t, "orders", 0, "old")
	}
	id := topicID(t, s)
	source, told, asked := held(t, cluster, kafkastreamer.Latest(), newLogged())
	unknown := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "orders", Err: kerr.UnknownTopicOrPartition, Count: -1})
	if err := unknown.Wait(t.Context(), 2); err != nil { // the client does not remember the topic any more
		t.Fatal(err)
	}
	untilError(t, source, "UNKNOWN_TOPIC_OR_PARTITION")
	if err := asked.Wait(t.Context(), 2); err != nil { // once more after the topic
		t.Fatal(err)
	}
	unknown.Remove()
	untilError(t, source, "where to start")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := make(chan string, 1)
	go func() {
		defer close(got)
		for ctx.Err() == nil {
			if messages, _ := source.Receive(ctx); len(messages) > 0 {
				got <- string(messages[0].Value)
				return
			}
		}
	}()
	if at := <-told; at.Offset != 3 || at.TopicID != id {
		t.Errorf("it begins at offset %d of topic %s, want 3 of %s", at.Offset, at.TopicID, id)
	}
	s.Produce(t, "orders", 0, "new")
	wantValues(t, []string{<-got}, "new")
}

// TestSourceLeavesOut has a topic be made again with fewer partitions than the group has assigned: those that are there are read, and one
// that is missing once it comes.
func TestSourceLeavesOut(t *testing.T) {
	for name, versions := range map[string]*kversion.Versions{"topic IDs": kversion.Stable(), "no topic IDs": kversion.V2_7_0()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, brokers := fake(t, kfake.MaxVersions(versions))
			s := newStream(t, brokers)
			s.Topic(t, "orders", 2)
			log := newLogged()
			source, _, _ := held(t, cluster, kafkastreamer.Earliest(), log)
			s.Remake(t, "orders", 1)
			s.Produce(t, "orders", 0, "of partition 0")
			seen := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Observe: true, Count: -1})
			if err := seen.Wait(t.Context(), 2); err != nil { // the client remembers the partition of the topic before no more
				t.Fatal(err)
			}
			wantValues(t, values(t, source, 1), "of partition 0")
			log.want(t, "it is left out until it is there", "group=wfrt", "topic=orders", "partition=1")
			s.Grow(t, "orders", 1)
			s.Produce(t, "orders", 1, "of partition 1")
			for !slices.Contains(values(t, source, 1), "of partition 1") { // nothing was committed: others may come again
			}
		})
	}
}

// TestSourceSetBackKeepsTheTopic has a topic be made again on brokers that tell its ID with metadata, and not with messages: the reader
// hears of the one that there is.
func TestSourceSetBackKeepsTheTopic(t *testing.T) {
	_, brokers := fake(t, kfake.MaxVersions(kversion.V3_0_0()))
	s := newStream(t, brokers)
	s.Topic(t, "orders", 1)
	for range 5 {
		s.Produce(t, "orders", 0, "old")
	}
	told := make(heard, 100)
	_, source := begun(t, brokers, kafkastreamer.Earliest(), told, nil, 5)
	before := topicID(t, s)
	if at := <-told; at.TopicID != before {
		t.Errorf("it was told of topic %s, want %s", at.TopicID, before)
	}
	s.Remake(t, "orders", 1)
	s.Produce(t, "orders", 0, "new")
	wantValues(t, values(t, source, 1), "new")
	if at, now := <-told, topicID(t, s); at.TopicID != now || now == before {
		t.Errorf("it was told of topic %s, want %s, which is not %s", at.TopicID, now, before)
	}
}
