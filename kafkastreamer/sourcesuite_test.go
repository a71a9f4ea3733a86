package kafkastreamer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

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
	brokers  []string
	producer *kgo.Client
}

func newStream(t *testing.T, brokers []string) *stream {
	t.Helper()
	s := &stream{brokers: brokers}
	var err error
	s.producer, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()))
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

func (s *stream) Remake(t *testing.T, name string, partitions int) {
	t.Helper()
	admin := kadm.NewClient(s.producer)
	if _, err := admin.DeleteTopic(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := admin.CreateTopic(t.Context(), int32(partitions), 1, nil, name)
		if err == nil {
			break
		}
		if !errors.Is(err, kerr.TopicAlreadyExists) { // it is still being deleted
			t.Fatal(err)
		}
	}
	s.await(t, name, partitions)
}

// await waits until a topic has so many partitions that answer, and has the producer find them.
func (s *stream) await(t *testing.T, name string, partitions int) {
	t.Helper()
	for answer := 0; answer != partitions; {
		s.producer.PurgeTopicsFromClient(name)
		ends, err := kadm.NewClient(s.producer).ListEndOffsets(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		answer = 0
		ends.Each(func(end kadm.ListedOffset) {
			if end.Err == nil {
				answer++
			}
		})
	}
}

func (s *stream) Grow(t *testing.T, name string, partitions int) {
	t.Helper()
	admin := kadm.NewClient(s.producer)
	topics, err := admin.ListTopics(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreatePartitions(t.Context(), partitions, name); err != nil {
		t.Fatal(err)
	}
	s.await(t, name, len(topics[name].Partitions)+partitions)
}

func (s *stream) Commit(t *testing.T, group, topic string, partition int32, offset int64) {
	t.Helper()
	var at kadm.Offsets
	at.AddOffset(topic, partition, offset, -1)
	if err := kadm.NewClient(s.producer).CommitAllOffsets(t.Context(), group, at); err != nil {
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
	opt := kafkastreamer.SourceOptions{Connection: kafkastreamer.Connection{Brokers: s.brokers}, Group: group, Topics: topics}
	if latest {
		opt.Start = kafkastreamer.Latest()
	}
	return kafkastreamer.OpenSource(opt)
}

// nobody is a reader that begins wherever it is told.
type nobody struct{}

func (nobody) Assigned(_ context.Context, at runtime.Position, _ bool) (int64, error) {
	return at.Offset, nil
}

func (nobody) Revoked(context.Context, []runtime.Position, bool) {}

// TestSourceFaults has sources that cannot read: each says what is wrong, and where.
func TestSourceFaults(t *testing.T) {
	open, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "northwind.orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(open.Close)
	guarded, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "northwind.orders"), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "ada", "right"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guarded.Close)
	may := func(op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{
			Resource: kmsg.ACLResourceTypeTopic, Name: "northwind.orders", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true,
		}
	}
	alone, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "northwind.orders"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.User("PLAIN", "ada", "right", may(kmsg.ACLOperationRead), may(kmsg.ACLOperationDescribe)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(alone.Close)
	ada := func(password string) kafkastreamer.SASL {
		return kafkastreamer.SASL{Mechanism: "plain", User: "ada", Password: password}
	}
	for name, c := range map[string]struct {
		connection kafkastreamer.Connection
		topic      string
		want       []string
	}{
		"wrong address":  {kafkastreamer.Connection{Brokers: []string{"127.0.0.1:1"}}, "northwind.orders", []string{"127.0.0.1:1", "nobody answers there; kafka.brokers", "connection refused"}},
		"no such topic":  {kafkastreamer.Connection{Brokers: open.ListenAddrs()}, "nowhere", []string{open.ListenAddrs()[0], "topic nowhere", "UNKNOWN_TOPIC"}},
		"wrong password": {kafkastreamer.Connection{Brokers: guarded.ListenAddrs(), SASL: ada("wrong")}, "northwind.orders", []string{guarded.ListenAddrs()[0], "authentication of user ada (SASL PLAIN) failed"}},
		"no group":       {kafkastreamer.Connection{Brokers: alone.ListenAddrs(), SASL: ada("right")}, "northwind.orders", []string{alone.ListenAddrs()[0], "group wfrt: our user needs Read on the group", "GROUP_AUTHORIZATION_FAILED"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, err := kafkastreamer.OpenSource(kafkastreamer.SourceOptions{Connection: c.connection, Group: "wfrt", Topics: []string{c.topic}})(nobody{})
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err = source.Receive(ctx)
			if err == nil {
				t.Fatal("it received")
			}
			t.Log(err)
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}
