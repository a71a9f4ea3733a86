//go:build kafka

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/internal/kafkatest"
)

// TestApacheKafkaOrdersThroughKills produces the orders to a topic while the server that takes them is killed ten times and the
// broker five times: each order takes effect once, and the events of every run are in Kafka.
func TestApacheKafkaOrdersThroughKills(t *testing.T) {
	const kills, brokerKills = 10, 5
	broker := kafkatest.Run(t, "group.min.session.timeout.ms=1000")
	brokers := []string{broker.Addr}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 4, 1, nil, ordersTopic); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0)) // it is logged, so that a failure can come again
	falls := map[int]bool{}
	for _, kill := range random.Perm(kills)[:brokerKills] {
		falls[kill] = true
	}
	takeOrders(t, brokers, taking{kills: kills, random: random, before: func(kill int) {
		if !falls[kill] {
			return
		}
		if err := broker.Kill(); err != nil {
			t.Fatal(err)
		}
		if random.IntN(2) == 0 { // the server is killed while the broker is away
			if err := broker.Begin(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err := broker.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}, published: func(runs []httpapi.Run) { wantEvents(t, brokers, runs) }})
}

// wantEvents reads the topic of the orders' events until it holds those of every run: in order, complete from version 1, and twice
// only under the same ID.
func wantEvents(t *testing.T, brokers []string, runs []httpapi.Run) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("wfrt.orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	want, last := 0, map[string]uint64{}
	for i := range runs {
		want += int(runs[i].Version)
		last[runs[i].RunID] = 0
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := map[string]bool{}
	again := 0
	for len(seen) < want {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d events are in Kafka, want %d", len(seen), want)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			id := ""
			for _, h := range r.Headers {
				if h.Key == "ce_id" {
					id = string(h.Value)
				}
			}
			if seen[id] {
				again++
				return
			}
			seen[id] = true
			run := string(r.Key)
			last[run]++
			if next := fmt.Sprintf("%s/%d", run, last[run]); id != next {
				t.Errorf("event %s comes where %s should", id, next)
			}
		})
	}
	t.Logf("%d events, %d of them again", len(seen), again)
	for i := range runs {
		if last[runs[i].RunID] != runs[i].Version {
			t.Errorf("run %s has %d events and version %d", runs[i].RunID, last[runs[i].RunID], runs[i].Version)
		}
	}
}
