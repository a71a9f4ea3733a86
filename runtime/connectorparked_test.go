package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// Messages that are refused, and those that are parked.

// TestConnectorRefusals has messages of which nothing can be made: each ends as it should, and the one behind it takes effect.
func TestConnectorRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		message runtime.Message
		edit    func(*runtime.Connector)
		want    string // cause for which it is parked; "": it is not
		skipped uint64
	}{
		{name: "not JSON", message: order(0, "7", `{"n":`), want: "object: its value is not JSON: unexpected end of JSON input"},
		{name: "two values", message: order(0, "7", "{} {}"), want: "object: its value is not JSON"},
		{name: "no value", message: runtime.Message{Topic: "northwind.orders", Key: []byte("7")}, want: "object: the message has no value"},
		{name: "no key", message: runtime.Message{Topic: "northwind.orders", Value: []byte("{}")}, want: "foreign_id: the message has no key"},
		{name: "an empty key", message: order(0, "", "{}"), want: "foreign_id is empty"},
		{name: "a long key", message: order(0, strings.Repeat("k", 257), "{}"), want: "foreign_id has 257 bytes; at most 256 are allowed"},
		{name: "a large object", message: order(0, "7", `"`+strings.Repeat("x", 200)+`"`), want: "object has 202 bytes; at most 100 are allowed"},
		{
			name: "an unknown status", message: order(0, "7", "{}"), want: `workflow orders has no status "nowhere"`,
			edit: func(c *runtime.Connector) { c.Mapping.StatusFrom = field(t, "header.to") },
		},
		{name: "a busy foreign ID, skipped", message: order(0, "busy", "{}"), skipped: 1},
		{
			name: "a busy foreign ID, parked", message: order(0, "busy", "{}"), want: "already has an active run",
			edit: func(c *runtime.Connector) { c.Busy = runtime.BusyPark },
		},
		{
			name: "a busy foreign ID, tried again", message: order(0, "busy", "{}"), want: "already has an active run",
			edit: func(c *runtime.Connector) { c.Busy = runtime.BusyRetry },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stream := runtimetest.NewMemStream()
				stream.Topic("northwind.orders", 1)
				opt := onMemory()
				opt.MaxObject = 100
				connector := triggers(t, stream)
				if c.edit != nil {
					c.edit(&connector)
				}
				opt.Connectors = []runtime.Connector{connector}
				e := start(t, opt, runtimetest.Workflow("orders", runtimetest.Step{Status: "received", Func: runtimetest.Answer(runtime.OutcomePause, "stay")}))
				settle(t, e, trigger(t, e, "orders", "busy"))
				c.message.Headers = []runtime.Header{{Name: "to", Value: []byte("nowhere")}}
				stream.Produce(c.message)
				good := order(0, "good", "{}")
				good.Headers = []runtime.Header{{Name: "to", Value: []byte("received")}}
				stream.Produce(good)
				elapse(time.Second)
				if runs := runsEach(t, e); runs["good"] != 1 {
					t.Error("the message behind it waits")
				}
				elapse(time.Hour)
				parked, err := e.Parked(t.Context(), "orders", runtime.Origin{}, 10)
				if err != nil {
					t.Fatal(err)
				}
				n := e.Connectors()[0].Counts
				switch {
				case c.want == "" && (len(parked) > 0 || n.Skipped != c.skipped):
					t.Errorf("parked %+v, counts %+v", parked, n)
				case c.want == "":
				case len(parked) != 1 || n.Parked != 1:
					t.Errorf("%d are parked, counts %+v", len(parked), n)
				case !strings.Contains(parked[0].Cause, c.want) || parked[0].Offset != 0 || parked[0].Topic != "northwind.orders":
					t.Errorf("parked as %+v, want the cause %q", parked[0], c.want)
				}
				if at := stream.Committed("wfrt", "northwind.orders", 0); at != 2 {
					t.Errorf("committed up to %d", at)
				}
			})
		})
	}
}

func TestParkedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		opt := onMemory()
		c := triggers(t, stream)
		c.Busy = runtime.BusyPark
		opt.Connectors = []runtime.Connector{c}
		e := start(t, opt, orders(), runtimetest.Workflow("hold", runtimetest.Step{Status: "a", Func: runtimetest.Answer(runtime.OutcomePause, "stay")}))
		stream.Produce(order(0, "1", "nonsense"))
		stream.Produce(order(0, "2", "nonsense"))
		elapse(time.Minute)
		parked, err := e.Parked(t.Context(), "", runtime.Origin{}, 10)
		if err != nil || len(parked) != 2 {
			t.Fatalf("parked: %+v, %v", parked, err)
		}
		if err := e.Redrive(t.Context(), parked[0].Origin); err == nil || !strings.Contains(err.Error(), "northwind.orders, partition 0, offset 0") {
			t.Errorf("redriving nonsense: %v", err)
		}
		if left, err := e.Parked(t.Context(), "orders", runtime.Origin{}, 10); err != nil || len(left) != 2 {
			t.Errorf("after a redrive that failed: %+v, %v", left, err)
		}
		if err := e.DropParked(t.Context(), parked[1].Origin); err != nil {
			t.Error(err)
		}
		for _, again := range []func(context.Context, runtime.Origin) error{e.DropParked, e.Redrive} {
			if err := again(t.Context(), parked[1].Origin); !errors.Is(err, runtime.ErrNotFound) {
				t.Errorf("what was dropped: %v", err)
			}
		}
		if left, err := e.Parked(t.Context(), "orders", parked[0].Origin, 10); err != nil || len(left) != 0 {
			t.Errorf("after the first: %+v, %v", left, err)
		}
	})
}

// TestRedriveTakesEffectOnce redrives a message from many callers at a time, in every place of its shards, and after a crash between
// the effect and the removal.
func TestRedriveTakesEffectOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		store := runtimetest.NewMemStore(4)
		c := triggers(t, stream)
		c.Busy = runtime.BusyPark
		const parkedCount = 12 // of so many some have their run in the shard that they are parked in
		pausing := runtimetest.Workflow("orders", runtimetest.Step{Status: "received", Func: runtimetest.Answer(runtime.OutcomePause, "stay")})
		e := start(t, runtime.Options{Store: store, Connectors: []runtime.Connector{c}}, pausing)
		var busy []runtime.RunID
		for i := range parkedCount {
			busy = append(busy, trigger(t, e, "orders", fmt.Sprint(i)))
			settle(t, e, busy[i])
			stream.Produce(order(0, fmt.Sprint(i), "{}"))
		}
		elapse(time.Minute)
		parked, err := e.Parked(t.Context(), "orders", runtime.Origin{}, 100)
		if err != nil || len(parked) != parkedCount {
			t.Fatalf("%d are parked, %v", len(parked), err)
		}
		for i, id := range busy {
			if err := e.Redrive(t.Context(), parked[i].Origin); err == nil {
				t.Error("a redrive while the run goes on took effect")
			}
			if _, err := e.Cancel(t.Context(), id, runtime.Note{}); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if err := e.Redrive(t.Context(), parked[i].Origin); err != nil && !errors.Is(err, runtime.ErrNotFound) {
						t.Errorf("redrive: %v", err)
					}
				})
			}
			all.Wait()
		}
		for id, n := range runsEach(t, e) {
			if n != 2 { // the one that was in the way, and the message's
				t.Errorf("order %s has %d runs, want 2", id, n)
			}
		}
		for i := range parked {
			for shard := range store.Shards() {
				again := parked[i].Origin
				again.Redriven = true
				if left, err := store.Receipt(runtime.Shard(shard), again); err != nil || left {
					t.Errorf("a redrive left its receipt: %t, %v", left, err)
				}
			}
		}
	})
}
