package kafkastreamer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
)

// testTooLarge has a topic take less than the streamer has learned: the broker refuses a whole batch, and when each event is sent alone
// only the one that is too large is refused, with its topic and size. Those before and after it arrive, in order and once.
func testTooLarge(t *testing.T, brokers []string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	s := open(t, kafkastreamer.Options{
		Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "small.", Partitions: 1, Replication: 1, Compression: "none",
	})
	if n, err := s.Publish(t.Context(), []runtime.Event{notice("orders", 1)}); n != 1 || err != nil { // makes the topic, and learns its limit
		t.Fatal(n, err)
	}
	limit, probe := "2000", "probe"
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, probe); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, probe, "small.orders"); err != nil {
		t.Fatal(err)
	}
	for refused := false; !refused; { // a broker applies to all topics at once what the controller has answered before
		err := client.ProduceSync(t.Context(), &kgo.Record{Topic: probe, Value: make([]byte, 3000)}).FirstErr()
		if refused = errors.Is(err, kerr.MessageTooLarge); err != nil && !refused {
			t.Fatal(err)
		}
	}
	var events []runtime.Event
	for i := range uint64(20) {
		events = append(events, notice("orders", i+2))
	}
	const large = 11
	events[large].ForeignID = strings.Repeat("x", 3000)
	n, err := s.Publish(t.Context(), events)
	var refused *runtime.RefusedError
	if n != large || !errors.As(err, &refused) {
		t.Fatalf("published %d of %d, want the %d before the one that is too large, and that refused: %v", n, len(events), large, err)
	}
	for _, part := range []string{"topic small.orders, partition 0", "broker " + brokers[0], "bytes", "MESSAGE_TOO_LARGE"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	rest := events[large+1:]
	if n, err := s.Publish(t.Context(), rest); n != len(rest) || err != nil {
		t.Fatalf("published %d of the %d behind it: %v", n, len(rest), err)
	}
	got, err := consume(t.Context(), t, brokers, "small.orders", len(events))
	if err != nil {
		t.Fatal(err)
	}
	want := append([]runtime.Event{notice("orders", 1)}, append(events[:large:large], rest...)...)
	wantRuns(t, got, want)
}

// wantRuns checks of which runs the events are that arrived.
func wantRuns(t *testing.T, got, want []runtime.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events arrived, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].RunID != want[i].RunID {
			t.Errorf("event %d is of run %s, want %s", i, got[i].RunID, want[i].RunID)
		}
	}
}

func TestTooLargeForTheTopic(t *testing.T) {
	_, brokers := fake(t)
	testTooLarge(t, brokers)
}

// A broker that does not answer for an event that is sent alone does not hold who publishes it, once they give up.
func TestAloneGivesUp(t *testing.T) {
	cluster, brokers := fake(t)
	newLimits(t, brokers).set(2000)
	s := toSmall(t, brokers, "none")
	wantAll(t, s, notices(1), "an event")
	ctx, giveUp := context.WithCancel(t.Context())
	answer := make(chan struct{})
	t.Cleanup(func() { close(answer) })
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		giveUp()
		cluster.SleepControl(func() { <-answer })
		return nil, nil, false
	})
	gaveUp := make(chan error, 1)
	go func() {
		_, err := s.Publish(ctx, []runtime.Event{large(2, 3000)})
		gaveUp <- err
	}()
	select {
	case err := <-gaveUp:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for the broker still")
	}
}
