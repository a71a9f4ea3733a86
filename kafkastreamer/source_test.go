package kafkastreamer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// TestConnectorOverKafka has the messages of a topic trigger runs, each once.
func TestConnectorOverKafka(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "northwind.orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	const orders = 500
	for i := range orders {
		r := &kgo.Record{
			Topic: "northwind.orders", Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, `{"order_id":%d,"n":{"of":"%d"}}`, 10_000+i, i),
		}
		if err := producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	id, err := runtime.ParseField("value.order_id")
	if err != nil {
		t.Fatal(err)
	}
	store := runtimetest.NewMemStore(4)
	engine, err := runtime.New(runtime.Options{
		Store: store,
		Connectors: []runtime.Connector{{
			Name: "orders", Topics: []string{"northwind.orders"},
			Open: kafkastreamer.OpenSource(kafkastreamer.SourceOptions{
				Connection: kafkastreamer.Connection{Brokers: cluster.ListenAddrs()}, Group: "wfrt", Topics: []string{"northwind.orders"},
			}),
			Mapping: runtime.Mapping{Kind: runtime.ActionTrigger, Workflow: "orders", ForeignID: id},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, orders+1)
	engine.SetCatalog(runtime.NewCatalog(runtimetest.Workflow("orders", runtimetest.Step{
		Status: "received", To: []string{"done"}, Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			done <- struct{}{}
			return runtimetest.To("done")(ctx, in, out)
		},
	})))
	if err := engine.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range orders {
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatalf("messages are missing: %+v", engine.Connectors())
		}
	}
	if err := engine.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range engine.Connectors() {
		t.Logf("%+v", c)
	}
}
