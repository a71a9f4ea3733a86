package kafkastreamer_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
)

// A topic is made with the partitions and replicas that are configured.
func TestTopicIsMadeAsConfigured(t *testing.T) {
	cluster, brokers := fake(t, kfake.NumBrokers(3))
	s := open(t, kafkastreamer.Options{Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "made.", Partitions: 5, Replication: 2})
	wantAll(t, s, notices(1), "an event")
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(t.Context(), "made.orders")
	if err != nil {
		t.Fatal(err)
	}
	made := topics["made.orders"].Partitions
	if len(made) != 5 || len(made[0].Replicas) != 2 {
		t.Errorf("%d partitions of %d replicas, want 5 of 2", len(made), len(made[0].Replicas))
	}
}

// With topic_create: false events wait for their topic, the error names it, and they go on once it is there.
func TestTopicIsNotMade(t *testing.T) {
	cluster, brokers := fake(t)
	s := open(t, kafkastreamer.Options{Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "others.", NoTopicCreation: true})
	n, err := s.Publish(t.Context(), notices(1))
	if n != 0 || err == nil {
		t.Fatalf("published %d: %v", n, err)
	}
	for _, part := range []string{brokers[0], "topic others.orders is not there", "kafka.topic_create"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if err := cluster.CreateTopic("others.orders", 1, nil); err != nil {
		t.Fatal(err)
	}
	for err != nil { // the client remembers for a moment what was not there
		if n, err = s.Publish(t.Context(), notices(1)); err != nil && !strings.Contains(err.Error(), "topic others.orders is not there") {
			t.Fatal(err)
		}
	}
	if n != 1 {
		t.Errorf("published %d", n)
	}
}

// A topic that is not there keeps the events behind it waiting: those before it in the same page are published.
func TestTopicIsNotThereForSomeOfAPage(t *testing.T) {
	cluster, brokers := fake(t)
	if err := cluster.CreateTopic("others.orders", 1, nil); err != nil {
		t.Fatal(err)
	}
	s := open(t, kafkastreamer.Options{Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "others.", NoTopicCreation: true})
	n, err := s.Publish(t.Context(), []runtime.Event{notice("orders", 1), notice("orders", 2), notice("invoices", 3), notice("orders", 4)})
	if n != 2 || err == nil || !strings.Contains(err.Error(), "topic others.invoices is not there") {
		t.Errorf("published %d: %v, want 2 and that a topic is not there", n, err)
	}
	if in := cluster.PartitionInfo("others.orders", 0); in.HighWatermark != 2 {
		t.Errorf("%d events are in Kafka, want 2", in.HighWatermark)
	}
}

// testLayoutStatus has the life of a run be published to a topic for each status, those of run states and of the erasing.
func testLayoutStatus(t *testing.T, brokers []string) {
	s := open(t, kafkastreamer.Options{
		Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "by.", Layout: kafkastreamer.LayoutStatus, Partitions: 1, Replication: 1,
	})
	first := notice("orders", 1)
	life := []runtime.Event{first, first, first, first, first}
	for i, to := range []struct {
		state  runtime.RunState
		status string
	}{
		{runtime.Initiated, "received"},
		{runtime.Running, "priced"},
		{runtime.Running, "charged"},
		{runtime.Completed, "charged"},
		{runtime.RequestedDataDeleted, "charged"},
	} {
		e := &life[i]
		e.Version, e.State, e.Status = uint64(i+1), to.state, to.status
		if i > 0 {
			e.Previous, e.Was = life[i-1].Status, life[i-1].State
		}
	}
	wantAll(t, s, life, "a life")
	for topic, want := range map[string][]uint64{
		"by.orders-received": {1}, "by.orders-priced": {2}, "by.orders-charged": {3, 4},
		"by.orders-run-state-change": {1, 2, 4}, "by.orders-delete": {5},
	} {
		events, err := consume(t.Context(), t, brokers, topic, len(want))
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, e := range events {
			got = append(got, e.Version)
		}
		if !slices.Equal(got, want) {
			t.Errorf("topic %s has versions %v, want %v", topic, got, want)
		}
	}
}

func TestLayoutStatus(t *testing.T) {
	_, brokers := fake(t)
	testLayoutStatus(t, brokers)
}

// What is published is counted, and goes on being counted when another client takes the place of the first.
func TestClientMetrics(t *testing.T) {
	_, brokers := fake(t)
	l := newLimits(t, brokers)
	registry := prometheus.NewRegistry()
	s := open(t, kafkastreamer.Options{
		Connection: kafkastreamer.Connection{Brokers: brokers, Registry: registry}, Prefix: "small.", Compression: "none",
	})
	for _, when := range []string{"at first", "with smaller batches"} {
		wantAll(t, s, notices(1000), when)
		counts := map[string]float64{}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, label := range m.GetLabel() {
					if label.GetName() == "purpose" && label.GetValue() == "relay" {
						counts[f.GetName()] += m.GetCounter().GetValue()
					}
				}
			}
		}
		for _, name := range []string{"wfrt_kafka_connects_total", "wfrt_kafka_write_bytes_total", "wfrt_kafka_produce_bytes_total"} {
			if counts[name] == 0 {
				t.Errorf("%s: %s is 0 or missing; there are %v", when, name, slices.Sorted(maps.Keys(counts)))
			}
		}
		l.set(100_000)
	}
}

// testTopicRemoved has somebody remove the topic that is published to: it is made again, and what comes then goes there.
func testTopicRemoved(t *testing.T, brokers []string) {
	s := open(t, kafkastreamer.Options{Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "removed.", Partitions: 1})
	wantAll(t, s, notices(3), "before")
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopic(t.Context(), "removed.orders"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	after := []runtime.Event{notice("orders", 3), notice("orders", 4)}
	for n := 0; n < len(after); {
		more, err := s.Publish(ctx, after[n:])
		if n += more; ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	got, err := consume(t.Context(), t, brokers, "removed.orders", len(after))
	if err != nil {
		t.Fatal(err)
	}
	wantRuns(t, got, after)
}

func TestTopicRemoved(t *testing.T) {
	_, brokers := fake(t)
	testTopicRemoved(t, brokers)
}

// A broker that again and again does not know a topic for a moment, which it has, takes nothing of what is published for a repetition: all
// events of many shards are there in the end.
func TestTopicIsUnknownForAMoment(t *testing.T) {
	const shards, each = 8, 60
	cluster, brokers := fake(t)
	s := open(t, kafkastreamer.Options{Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "lost.", Partitions: 1})
	wantAll(t, s, notices(1), "an event")
	var calls sync.WaitGroup
	for shard := range uint64(shards) {
		calls.Go(func() {
			for i := range uint64(each) {
				if i == 20*(shard%3) {
					cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.UnknownTopicOrPartition, Count: 6})
				}
				for n := 0; n == 0; {
					n, _ = s.Publish(t.Context(), []runtime.Event{notice("orders", 1+each*shard+i)})
				}
			}
		})
	}
	calls.Wait()
	got, err := consume(t.Context(), t, brokers, "lost.orders", 1+shards*each)
	if err != nil {
		t.Fatal(err)
	}
	runs := map[runtime.RunID]bool{}
	for i := range got {
		runs[got[i].RunID] = true
	}
	if want := 1 + shards*each; len(runs) != want {
		t.Errorf("events of %d runs are in Kafka, want %d", len(runs), want)
	}
}
