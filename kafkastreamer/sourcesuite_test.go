package kafkastreamer_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// TestSource runs the suite against Kafka's protocol in this process.
func TestSource(t *testing.T) {
	runtimetest.TestSource(t, func(t *testing.T) runtimetest.Stream {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		return newStream(t, cluster.ListenAddrs())
	})
}

// stream is a cluster that the suite reads from.
type stream struct {
	client   []kgo.Opt
	producer *kgo.Client
}

func newStream(t *testing.T, brokers []string) *stream {
	t.Helper()
	s := &stream{client: []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50 * time.Millisecond)}}
	var err error
	s.producer, err = kgo.NewClient(append(s.client[:2:2], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.producer.Close)
	return s
}

func (s *stream) Topic(t *testing.T, name string, partitions int) {
	t.Helper()
	if _, err := kadm.NewClient(s.producer).CreateTopic(t.Context(), int32(partitions), 1, nil, name); err != nil {
		t.Fatal(err)
	}
}

func (s *stream) Produce(t *testing.T, topic string, partition int32, value string) {
	t.Helper()
	r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}
	if err := s.producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func (s *stream) Open(group string, latest bool, topics ...string) runtime.OpenSource {
	opt := kafkastreamer.SourceOptions{Client: s.client, Group: group, Topics: topics}
	if latest {
		opt.Start = kafkastreamer.Latest()
	}
	return kafkastreamer.OpenSource(opt)
}
