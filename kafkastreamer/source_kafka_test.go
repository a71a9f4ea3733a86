//go:build kafka

package kafkastreamer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/kafkatest"
	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// TestApacheKafkaSource runs the suite against a real broker.
func TestApacheKafkaSource(t *testing.T) {
	broker := kafkatest.Run(t, "")
	runtimetest.TestSource(t, func(t *testing.T) runtimetest.Stream { return newStream(t, []string{broker.Addr}) })
	t.Run("messages are removed before they are read", func(t *testing.T) {
		testSourceOfARemovedLog(t, newStream(t, []string{broker.Addr}))
	})
}

// A partition that is added under a running member is found, and read from its start though the group began at the end. It takes the
// half minute that the documentation says.
func TestApacheKafkaSourceFindsAddedPartitions(t *testing.T) {
	s := newStream(t, []string{kafkatest.Run(t, "").Addr})
	s.Topic(t, "orders", 1)
	r := &told{}
	_, source := begun(t, s.brokers, kafkastreamer.Latest(), r, nil, 0)
	first := make(chan []string, 1)
	go func() { first <- values(t, source, 1) }()
	for value := 0; len(first) == 0; value++ { // until the group has begun
		s.Produce(t, "orders", 0, fmt.Sprint(value))
	}
	<-first
	if err := source.Commit(t.Context(), []runtime.Position{{Topic: "orders", TopicID: topicID(t, s), Offset: 1}}); err != nil {
		t.Fatal(err)
	}
	s.Grow(t, "orders", 1)
	for i := range 3 {
		s.Produce(t, "orders", 1, fmt.Sprint("added ", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < 3 {
		messages, err := source.Receive(ctx)
		if ctx.Err() != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		for i := range messages {
			if messages[i].Partition == 1 {
				got = append(got, string(messages[i].Value))
			}
		}
	}
	if want := []string{"added 0", "added 1", "added 2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A broker that stops answering, for longer than the group waits for a member, is waited out, and a window that was full goes on.
func TestApacheKafkaSourceWaitsForAPausedBroker(t *testing.T) {
	broker := kafkatest.Run(t, "")
	s := newStream(t, []string{broker.Addr})
	s.Topic(t, "orders", 1)
	const many = 20
	for i := range many {
		s.Produce(t, "orders", 0, fmt.Sprint(i))
	}
	r := &told{}
	_, source := begun(t, s.brokers, kafkastreamer.Earliest(), r, nil, many)
	source.Pause("orders", 0)
	if err := broker.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for gone := 0; gone == 0; { // the member gives up what it can no longer hold
		if _, err := source.Receive(ctx); ctx.Err() != nil {
			t.Fatalf("it keeps its partition; the last error: %v", err)
		}
		r.mu.Lock()
		gone = r.gone
		r.mu.Unlock()
	}
	if err := broker.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := values(t, source, many); len(got) != many { // nothing was committed, and it is not paused any more
		t.Errorf("got %q", got)
	}
}

// A connector whose broker stops answering, for longer than the group waits for a member, goes on when it does again: every message takes
// effect once, those that come meanwhile too.
func TestApacheKafkaConnectorWaitsForAPausedBroker(t *testing.T) {
	broker := kafkatest.Run(t, "")
	c := connect(t, []string{broker.Addr})
	if err := c.order(t.Context(), 0, 100); err != nil {
		t.Fatal(err)
	}
	c.want(t, 100)
	if err := broker.Pause(); err != nil {
		t.Fatal(err)
	}
	ordered := make(chan error, 1)
	go func() { ordered <- c.order(t.Context(), 100, 200) }()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for late := time.After(time.Minute); len(c.Connectors()[0].Partitions) > 0; {
		select {
		case <-again.C:
		case <-late:
			t.Fatal("it keeps its partitions")
		}
	}
	if err := broker.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := <-ordered; err != nil {
		t.Fatal(err)
	}
	c.want(t, 200)
}
