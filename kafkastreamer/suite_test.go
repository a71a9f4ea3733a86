package kafkastreamer_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// fake starts an in-process Kafka and returns its addresses.
func fake(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, []string) {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster, cluster.ListenAddrs()
}

// open returns a streamer to brokers, with a prefix of its own.
func open(t testing.TB, opt kafkastreamer.Options) *kafkastreamer.Streamer {
	t.Helper()
	opt.Connection.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := kafkastreamer.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// notice is an event of a run of a workflow.
func notice(workflow string, number uint64) runtime.Event {
	id := runtime.NewRunID(time.UnixMilli(1_800_000_000_000), 7, number)
	return runtime.NewEvent(runtime.LSN(number), nil, &runtime.Record{
		RunID: id, Workflow: workflow, ForeignID: "1", Version: 1, State: runtime.Initiated, Status: "received", UpdatedAt: time.Now(),
	})
}

// underTest returns a streamer with one topic for each workflow, and a consumer of them.
func underTest(t *testing.T, brokers []string) runtimetest.StreamerUnderTest {
	prefix := fmt.Sprintf("suite-%d.", time.Now().UnixNano())
	s := open(t, kafkastreamer.Options{Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: prefix, Partitions: 3})
	return runtimetest.StreamerUnderTest{
		Streamer: s,
		Delivered: func(ctx context.Context, workflow string, atLeast int) ([]runtime.Event, error) {
			return consume(ctx, t, brokers, prefix+workflow, atLeast)
		},
	}
}

// consume reads a topic from its beginning until it has given so many events.
func consume(ctx context.Context, t testing.TB, brokers []string, topic string, atLeast int) ([]runtime.Event, error) {
	records, err := records(ctx, brokers, topic, atLeast)
	var events []runtime.Event
	for _, r := range records {
		e, err := parse(r)
		if err != nil {
			t.Errorf("topic %s, partition %d, offset %d: %v", topic, r.Partition, r.Offset, err)
		}
		events = append(events, e)
	}
	return events, err
}

// records reads a topic from its beginning until it has given so many records.
func records(ctx context.Context, brokers []string, topic string, atLeast int) ([]*kgo.Record, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var all []*kgo.Record
	for len(all) < atLeast {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return all, err
		}
		all = append(all, fetches.Records()...)
	}
	return all, nil
}

// parse reads an event from the headers of its record.
func parse(r *kgo.Record) (runtime.Event, error) {
	h := map[string]string{}
	for _, header := range r.Headers {
		h[header.Key] = string(header.Value)
	}
	var e runtime.Event
	var err error
	if e.RunID, err = runtime.ParseRunID(string(r.Key)); err != nil {
		return e, err
	}
	e.Workflow = strings.TrimPrefix(h["ce_source"], "/wfrt/workflows/")
	e.ForeignID, e.Status, e.Previous = h["ce_subject"], h["ce_status"], h["ce_previous"]
	if e.Version, err = strconv.ParseUint(h["ce_runversion"], 10, 64); err != nil {
		return e, err
	}
	if e.State, err = runtime.ParseRunState(h["ce_runstate"]); err != nil {
		return e, err
	}
	if was := h["ce_previousrunstate"]; was != "" {
		if e.Was, err = runtime.ParseRunState(was); err != nil {
			return e, err
		}
	}
	if e.Time, err = time.Parse(time.RFC3339Nano, h["ce_time"]); err != nil {
		return e, err
	}
	if h["ce_id"] != e.ID() {
		return e, fmt.Errorf("ce_id is %s, want %s", h["ce_id"], e.ID())
	}
	return e, nil
}

func TestStreamerOnFakeKafka(t *testing.T) {
	_, brokers := fake(t)
	runtimetest.TestStreamer(t, func(t *testing.T) runtimetest.StreamerUnderTest { return underTest(t, brokers) })
}
