package runtime_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// What makes messages come again, and that each takes effect once all the same.

// TestConnectorAfterCrash loses every commit and crashes the store with effects that were not durable: messages come again, and each
// takes effect once.
func TestConnectorAfterCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 2)
		stream.LoseCommits(true)
		store := runtimetest.NewMemStore(4)
		repeated := uint64(0)
		const rounds, each = 6, 40
		for round := range rounds {
			c := triggers(t, stream)
			opt := runtime.Options{Store: store, Connectors: []runtime.Connector{c}}
			e := start(t, opt, orders())
			for i := range each {
				stream.Produce(order(int32(i%2), fmt.Sprintf("order-%d-%d", round, i), "{}"))
				if i == each/2 {
					elapse(time.Second)
					store.Hold() // the rest is applied and lost
				}
			}
			elapse(time.Second)
			repeated += e.Connectors()[0].Counts.Repeated
			crashed := store.Crash()
			_ = e.Stop(t.Context()) // its store is gone
			store = crashed
		}
		stream.LoseCommits(false)
		opt := runtime.Options{Store: store, Connectors: []runtime.Connector{triggers(t, stream)}}
		e := start(t, opt, orders())
		elapse(time.Minute)
		wantOneEach(t, runsEach(t, e), rounds*each)
		if repeated == 0 {
			t.Error("no message came again: the test tests nothing")
		}
	})
}

// TestConnectorTrimsReceipts reads many messages, loses the group's commits afterwards, and goes on from what the store knows.
func TestConnectorTrimsReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		store := runtimetest.NewMemStore(4)
		const many = 5000
		for i := range many {
			stream.Produce(order(0, fmt.Sprint(i), "{}"))
		}
		c := triggers(t, stream)
		e := start(t, runtime.Options{Store: store, Connectors: []runtime.Connector{c}}, orders())
		elapse(time.Minute)
		stop(t, e)
		origin := runtime.Origin{Connector: "orders"}
		copy(origin.TopicID[:], "northwind.orders")
		trimmed, receipts, err := store.Receipts(origin, nil)
		if err != nil || trimmed < 4096 || int64(len(receipts)) > many-trimmed {
			t.Errorf("trimmed to %d, %d receipts left, %v", trimmed, len(receipts), err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		c.Open = stream.Open("another group", false, "northwind.orders") // as if the group had forgotten everything
		opt := runtime.Options{Store: store.Reopen(), Connectors: []runtime.Connector{c}}
		e = start(t, opt, orders())
		elapse(time.Minute)
		wantOneEach(t, runsEach(t, e), many)
		if n := e.Connectors()[0].Counts; n.Triggered != 0 || n.Received > uint64(many-trimmed) {
			t.Errorf("after the loss: %+v", n)
		}
	})
}

// TestConnectorOutlivesItsGroupsOffsets has the group forget its offsets while nobody reads and begin at the end: what came meanwhile takes
// effect all the same.
func TestConnectorOutlivesItsGroupsOffsets(t *testing.T) {
	for name, many := range map[string]int{"few messages": 50, "so many that receipts were trimmed": 4200} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stream := runtimetest.NewMemStream()
				stream.Topic("northwind.orders", 1)
				store := runtimetest.NewMemStore(4)
				c := triggers(t, stream)
				for _, group := range []string{"one", "one that knows nothing"} {
					c.Open = stream.Open(group, true, "northwind.orders")
					opt := runtime.Options{Store: store, Connectors: []runtime.Connector{c}}
					e := start(t, opt, orders())
					elapse(time.Minute)
					if group == "one" {
						for i := range many {
							stream.Produce(order(0, fmt.Sprint(i), "{}"))
						}
						elapse(time.Minute)
					}
					want := map[string]int{"one": many, "one that knows nothing": many + 10}[group]
					wantOneEach(t, runsEach(t, e), want)
					if err := errors.Join(e.Stop(t.Context()), store.Close()); err != nil {
						t.Fatal(err)
					}
					store = store.Reopen()
					for i := range 10 {
						stream.Produce(order(0, fmt.Sprint("while nobody reads ", i), "{}"))
					}
				}
			})
		})
	}
}

// TestConnectorRebalances is of fault C5: members come and go while messages come, nobody hangs, and each message takes effect in one
// of the members, once.
func TestConnectorRebalances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 4)
		stores := []*runtimetest.MemStore{runtimetest.NewMemStore(2), runtimetest.NewMemStore(2), runtimetest.NewMemStore(2)}
		engines := make([]*runtime.Engine, len(stores))
		join := func(i int) {
			engines[i] = start(t, runtime.Options{Store: stores[i], Connectors: []runtime.Connector{triggers(t, stream)}}, orders())
		}
		leave := func(i int) {
			stop(t, engines[i])
			if err := stores[i].Close(); err != nil {
				t.Fatal(err)
			}
			stores[i] = stores[i].Reopen()
		}
		produced := 0
		produce := func(n int) {
			for range n {
				stream.Produce(order(int32(produced%4), fmt.Sprint(produced), "{}"))
				produced++
			}
		}
		produce(200)
		join(0)
		for range 5 {
			produce(100)
			join(1)
			produce(100)
			join(2)
			elapse(time.Millisecond) // in the middle of things
			produce(100)
			leave(1)
			leave(2)
		}
		join(1)
		join(2)
		elapse(time.Minute)
		all := map[string]int{}
		for i := range engines {
			for id, n := range runsEach(t, engines[i]) {
				all[id] += n
			}
			leave(i)
		}
		wantOneEach(t, all, produced)
	})
}

// TestConnectorGoesOnWithOtherSettings is of fault C18: other settings start no new group and read nothing again.
func TestConnectorGoesOnWithOtherSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 2)
		store := runtimetest.NewMemStore(4)
		for round, parallelism := range []int{1, 8, 2} {
			for i := range 50 {
				stream.Produce(order(int32(i%2), fmt.Sprintf("%d-%d", round, i), "{}"))
			}
			c := triggers(t, stream)
			c.Parallelism, c.Window = parallelism, 10*parallelism
			e := start(t, runtime.Options{Store: store, Connectors: []runtime.Connector{c}}, orders())
			elapse(time.Minute)
			if n := e.Connectors()[0].Counts; n.Received != 50 || n.Triggered != 50 {
				t.Errorf("with parallelism %d: %+v", parallelism, n)
			}
			stop(t, e)
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			store = store.Reopen()
		}
	})
}

// TestConnectorStartsWhereTheGroupIs has the place to start count only where nothing is committed: also after a stop before the first
// message.
func TestConnectorStartsWhereTheGroupIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		stream.Produce(order(0, "before", "{}"))
		store := runtimetest.NewMemStore(4)
		for _, want := range []int{0, 1} {
			c := triggers(t, stream)
			c.Open = stream.Open("wfrt", true, "northwind.orders") // from latest
			e := start(t, runtime.Options{Store: store, Connectors: []runtime.Connector{c}}, orders())
			elapse(time.Minute)
			wantOneEach(t, runsEach(t, e), want)
			if err := errors.Join(e.Stop(t.Context()), store.Close()); err != nil {
				t.Fatal(err)
			}
			store = store.Reopen()
			if want == 0 {
				stream.Produce(order(0, "while nobody reads", "{}"))
			}
		}
	})
}
