package runtime_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// TestConnectorOverATopicMadeAgain has the topic deleted and made again under a connector: its messages have the offsets of others
// that took effect, and take effect all the same.
func TestConnectorOverATopicMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		opt := onMemory()
		opt.Connectors = []runtime.Connector{triggers(t, stream)}
		e := start(t, opt, orders())
		const rounds, each = 3, 30
		for round := range rounds {
			stream.Topic("northwind.orders", 2)
			for i := range each {
				stream.Produce(order(int32(i%2), fmt.Sprintf("order-%d-%d", round, i), "{}"))
			}
			elapse(time.Minute)
		}
		wantOneEach(t, runsEach(t, e), rounds*each)
		for partition := range int32(2) {
			if at := stream.Committed("wfrt", "northwind.orders", partition); at != each/2 {
				t.Errorf("partition %d is committed up to %d", partition, at)
			}
		}
	})
}

// TestConnectorBeyondTheLog has the group commit what the topic does not reach: nothing of the topic is passed over, and the group is
// set right at once.
func TestConnectorBeyondTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		stream.Commit("wfrt", "northwind.orders", 0, 15)
		opt := onMemory()
		opt.Connectors = []runtime.Connector{triggers(t, stream)}
		e := start(t, opt, orders())
		elapse(time.Minute)
		if at := stream.Committed("wfrt", "northwind.orders", 0); at != 0 {
			t.Errorf("the empty partition is committed up to %d", at)
		}
		const many = 20
		for i := range many {
			stream.Produce(order(0, fmt.Sprintf("order-%d", i), "{}"))
		}
		elapse(time.Minute)
		wantOneEach(t, runsEach(t, e), many)
	})
}

// cut is a reader whose source begins where the group does, and no further on: as one whose log lost what is known to be done.
type cut struct{ runtime.SourceReader }

func (c cut) Assigned(ctx context.Context, at runtime.Position, committed bool) (int64, error) {
	_, err := c.SourceReader.Assigned(ctx, at, committed)
	return at.Offset, err
}

// TestConnectorCountsWhatItPassesOver has messages come with the offsets of others that are done: they are passed over, and counted.
func TestConnectorCountsWhatItPassesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		for i := range 8 {
			stream.Produce(order(0, fmt.Sprintf("order-%d", i), "{}"))
		}
		done := runtime.Origin{Connector: "orders", Offset: 5}
		copy(done.TopicID[:], "northwind.orders")
		opt := onMemory()
		epoch, err := opt.Store.OpenShard(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := opt.Store.Apply(0, epoch, &runtime.Batch{TrimReceipts: &done}); err != nil {
			t.Fatal(err)
		}
		c := triggers(t, stream)
		open := c.Open
		c.Open = func(r runtime.SourceReader) (runtime.Source, error) { return open(cut{r}) }
		opt.Connectors = []runtime.Connector{c}
		e := start(t, opt, orders())
		elapse(time.Minute)
		if n := e.Connectors()[0].Counts; n.Received != 8 || n.Repeated != 5 || n.Triggered != 3 {
			t.Errorf("%+v", n)
		}
	})
}
