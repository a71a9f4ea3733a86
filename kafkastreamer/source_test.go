package kafkastreamer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// connected is an engine whose connector has the messages of northwind.orders trigger runs.
type connected struct {
	*runtime.Engine
	producer *kgo.Client
	done     chan string     // the foreign ID of each run whose step is done
	seen     map[string]bool // those that came of it
}

func connect(t *testing.T, brokers []string) *connected {
	t.Helper()
	c := &connected{done: make(chan string, 1000), seen: map[string]bool{}}
	var err error
	if c.producer, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.producer.Close)
	if _, err := kadm.NewClient(c.producer).CreateTopic(t.Context(), 4, 1, nil, "northwind.orders"); err != nil {
		t.Fatal(err)
	}
	id, err := runtime.ParseField("value.order_id")
	if err != nil {
		t.Fatal(err)
	}
	c.Engine, err = runtime.New(runtime.Options{
		Store: runtimetest.NewMemStore(4),
		Connectors: []runtime.Connector{{
			Name: "orders", Topics: []string{"northwind.orders"},
			Open: kafkastreamer.OpenSource(kafkastreamer.SourceOptions{
				Connection: kafkastreamer.Connection{Brokers: brokers}, Group: "wfrt", Topics: []string{"northwind.orders"},
			}),
			Mapping: runtime.Mapping{Kind: runtime.ActionTrigger, Workflow: "orders", ForeignID: id},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.SetCatalog(runtime.NewCatalog(runtimetest.Workflow("orders", runtimetest.Step{
		Status: "received", To: []string{"done"}, Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			c.done <- in.Record.ForeignID
			return runtimetest.To("done")(ctx, in, out)
		},
	})))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		close(c.done)
		for id := range c.done {
			c.note(t, id)
		}
	})
	return c
}

func (c *connected) note(t *testing.T, id string) {
	t.Helper()
	if c.seen[id] {
		t.Errorf("order %s had two runs", id)
	}
	c.seen[id] = true
}

// order produces orders with numbers from one up to another.
func (c *connected) order(ctx context.Context, from, upTo int) error {
	var orders []*kgo.Record
	for i := from; i < upTo; i++ {
		orders = append(orders, &kgo.Record{Topic: "northwind.orders", Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, `{"order_id":%d}`, i)})
	}
	return c.producer.ProduceSync(ctx, orders...).FirstErr()
}

// want waits until so many orders have had a run each. That none has a second one shows when the engine has stopped.
func (c *connected) want(t *testing.T, orders int) {
	t.Helper()
	late := time.After(time.Minute)
	for len(c.seen) < orders {
		select {
		case id := <-c.done:
			c.note(t, id)
		case <-late:
			t.Fatalf("%d of %d orders: %+v", len(c.seen), orders, c.Connectors())
		}
	}
}

// TestConnectorOverKafka has the messages of a topic trigger runs, each once.
func TestConnectorOverKafka(t *testing.T) {
	_, brokers := fake(t)
	c := connect(t, brokers)
	if err := c.order(t.Context(), 0, 500); err != nil {
		t.Fatal(err)
	}
	c.want(t, 500)
}
