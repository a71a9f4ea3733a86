//go:build kafka

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/bulk"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/compile"
	"github.com/wfrt/wfrt/internal/kafkatest"
)

// TestFaultsLoseNoEventApacheKafka sends the orders to a server that publishes to Apache Kafka, while the broker, the server and both are killed,
// and the broker is paused: every run's events are in Kafka, complete from version 1 and in order, and what is there twice has
// the same ce_id.
func TestFaultsLoseNoEventApacheKafka(t *testing.T) {
	broker := kafkatest.Run(t, "")
	dir := t.TempDir()
	err := compile.Module(t.Context(), compile.Options{
		Dir: "../../plugins/orders", Out: filepath.Join(dir, "plugins", "orders.wasm"), Messages: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, granted := paymentsFor(t)
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(granted), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "WFRT_KAFKA_BROKERS="+broker.Addr, "WFRT_KAFKA_TOPIC_PARTITIONS=3")
	s := &server{}
	if err := s.start(dir, env); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(s.address, "")
	if err != nil {
		t.Fatal(err)
	}
	listen := strings.TrimPrefix(s.address, "http://")
	restart := func() error {
		if err := s.kill(); err != nil {
			return err
		}
		return s.start(dir, env, "--listen", listen)
	}
	revive := func() error { return broker.Start(t.Context()) }
	faults := []func() error{
		broker.Kill, restart, revive, // the server is killed while there is no broker
		broker.Pause, restart, broker.Resume,
		func() error { return inTurn(broker.Kill, restart, revive) },
		broker.Pause, broker.Resume, broker.Kill, revive,
	}
	var at []int64
	for i := range faults {
		at = append(at, int64((i+1)*orders/(len(faults)+1)))
	}
	var turn sync.Mutex
	killer := &killer{
		Server: &sender{client: c, workflow: "orders", timeout: patience, away: func() {}},
		at:     at,
		again: func() error {
			turn.Lock()
			defer turn.Unlock()
			fault := faults[0]
			faults = faults[1:]
			return fault()
		},
		failed: t.Errorf,
	}
	source, err := bulk.Open(ordersFile)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := bulk.Run(t.Context(), source, bulk.Options{
		Server: killer, ForeignIDField: "order_id", Concurrency: 32, Await: true,
		Failed: func(line int, cause error) { t.Errorf("line %d: %v", line, cause) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if summary.Lines != orders || summary.Triggered+summary.Repeated != orders {
		t.Errorf("sent: %+v", summary)
	}
	checkOrders(t, c)
	checkStream(t, broker.Addr)
	if err := s.stop(); err != nil {
		t.Error(err)
	}
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
