//go:build kafka

package kafkastreamer_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/internal/kafkatest"
	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
)

// BenchmarkApacheKafka publishes pages from 16 shards to Apache Kafka, and then the very same records by a bare producer of the client
// library with its defaults. One operation is an event; ratio is the streamer's rate over the bare one's.
func BenchmarkApacheKafka(b *testing.B) {
	const shards, page, pages = 16, 2048, 6 // the relay's defaults; and how many pages each shard has
	broker := kafkatest.Run(b, "")
	conn := kafkastreamer.Connection{Brokers: []string{broker.Addr}}
	s := open(b, kafkastreamer.Options{Connection: conn, Prefix: "ours.", Partitions: 6})
	all := make([][]runtime.Event, shards)
	for shard := range all {
		for i := range page * pages {
			id := runtime.NewRunID(time.UnixMilli(1_800_000_000_000), runtime.Slot(shard), uint64(i/6))
			prev := &runtime.Record{State: runtime.Running, Status: "priced"}
			next := &runtime.Record{
				RunID: id, Workflow: "orders", ForeignID: strconv.Itoa(i), Version: uint64(i%6 + 1), State: runtime.Running, Status: "charged", UpdatedAt: time.Now(),
			}
			all[shard] = append(all[shard], runtime.NewEvent(runtime.LSN(i), prev, next))
		}
	}
	publish := func() time.Duration {
		began := time.Now()
		var calls sync.WaitGroup
		for shard := range all {
			calls.Go(func() {
				for events := range slices.Chunk(all[shard], page) {
					if n, err := s.Publish(b.Context(), events); err != nil || n != len(events) {
						b.Errorf("published %d: %v", n, err)
					}
				}
			})
		}
		calls.Wait()
		return time.Since(began)
	}
	publish() // makes the topic
	records := kafkastreamer.Records("ours.", all)
	bare, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr))
	if err != nil {
		b.Fatal(err)
	}
	defer bare.Close()
	produce := func() time.Duration {
		began := time.Now()
		for i := range records {
			r := records[i]
			bare.Produce(b.Context(), &r, func(_ *kgo.Record, err error) {
				if err != nil {
					b.Error(err)
				}
			})
		}
		if err := bare.Flush(b.Context()); err != nil {
			b.Error(err)
		}
		return time.Since(began)
	}
	produce()
	var ours, theirs time.Duration
	rounds := 0
	for b.Loop() {
		ours += publish()
		theirs += produce()
		rounds++
	}
	n := float64(rounds * shards * page * pages)
	b.ReportMetric(n/ours.Seconds(), "events/s")
	b.ReportMetric(n/theirs.Seconds(), "bare-events/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
}
