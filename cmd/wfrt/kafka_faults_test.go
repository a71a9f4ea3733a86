//go:build kafka

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/internal/kafkatest"
)

// TestFaultsLoseNoEventApacheKafka sends the orders to a server that publishes to Apache Kafka, while the broker, the server and both are killed,
// and the broker is paused: every run's events are in Kafka, complete from version 1 and in order, and what is there twice has
// the same ce_id.
func TestFaultsLoseNoEventApacheKafka(t *testing.T) {
	broker := kafkatest.Run(t, "")
	s := serveOrders(t, nil, "WFRT_KAFKA_BROKERS="+broker.Addr, "WFRT_KAFKA_TOPIC_PARTITIONS=3")
	revive := func() error { return broker.Start(t.Context()) }
	faults := []func() error{
		broker.Kill, s.restart, revive, // the server is killed while there is no broker
		broker.Pause, s.restart, broker.Resume,
		func() error { return inTurn(broker.Kill, s.restart, revive) },
		broker.Pause, broker.Resume, broker.Kill, revive,
	}
	var at []int64
	for i := range faults {
		at = append(at, int64((i+1)*orders/(len(faults)+1)))
	}
	var turn sync.Mutex
	s.send(at, func() error {
		turn.Lock()
		defer turn.Unlock()
		fault := faults[0]
		faults = faults[1:]
		return fault()
	})
	checkOrders(t, s.client)
	checkStream(t, broker.Addr)
}

// inTurn does one after another until one fails.
func inTurn(all ...func() error) error {
	for _, f := range all {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// checkStream reads the topic until each order's events are there: what comes again has an ID that was there, and what comes first
// comes in order.
func checkStream(t *testing.T, brokers string) {
	t.Helper()
	consumer, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics("wfrt.orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen, ways := map[string]bool{}, map[string][]string{}
	want := orders*5 + ordersBack
	again := 0
	for len(seen) < want {
		fetches := consumer.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d events of %d, and no more", len(seen), want)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var id, status string
			for _, h := range r.Headers {
				switch h.Key {
				case "ce_id":
					id = string(h.Value)
				case "ce_status":
					status = string(h.Value)
				}
			}
			if seen[id] {
				again++
				return
			}
			seen[id] = true
			var body struct {
				ForeignID string `json:"foreign_id"`
				Version   int    `json:"version"`
			}
			if err := json.Unmarshal(r.Value, &body); err != nil {
				t.Errorf("offset %d: %v", r.Offset, err)
			}
			if id != fmt.Sprintf("%s/%d", r.Key, body.Version) || body.Version != len(ways[body.ForeignID])+1 {
				t.Errorf("partition %d, offset %d: event %s after %d of its run", r.Partition, r.Offset, id, len(ways[body.ForeignID]))
			}
			ways[body.ForeignID] = append(ways[body.ForeignID], status)
		})
	}
	if len(ways) != orders {
		t.Errorf("events of %d orders, want %d", len(ways), orders)
	}
	for order, way := range ways {
		if !slices.Equal(way, wayOf(way[len(way)-1])) {
			t.Errorf("order %s went %v", order, way)
		}
	}
	t.Logf("%d events, %d of them again", len(seen)+again, again)
}
