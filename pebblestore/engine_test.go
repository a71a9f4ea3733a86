package pebblestore

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// collector is a streamer that counts the events of each run.
type collector struct {
	mu     sync.Mutex
	events map[runtime.RunID]uint64
	grown  chan struct{} // told after each call
}

func (c *collector) Publish(_ context.Context, events []runtime.Event) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range events {
		if e := &events[i]; e.Version == c.events[e.RunID]+1 {
			c.events[e.RunID]++
		}
	}
	select {
	case c.grown <- struct{}{}:
	default:
	}
	return len(events), nil
}

// complete reports how many runs have all their events, in order.
func (c *collector) complete(versions uint64) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.events {
		if v == versions {
			n++
		}
	}
	return n
}

// The relay publishes every event of this store, whose positions move before what is applied can be read.
func TestRelayMissesNothing(t *testing.T) {
	const clients, runs = 8, 400
	store, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	sink := &collector{events: map[runtime.RunID]uint64{}, grown: make(chan struct{}, 1)}
	e, err := runtime.New(runtime.Options{Store: store, Streamer: sink, Relay: runtime.RelayOptions{Linger: 1}})
	if err != nil {
		t.Fatal(err)
	}
	e.SetCatalog(runtime.NewCatalog(runtimetest.Chain("chain", 3)))
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := range runs {
				done, err := e.TriggerAndAwait(t.Context(), runtime.Trigger{Workflow: "chain", ForeignID: fmt.Sprint(c, "/", i)}, runtime.Until{})
				if err != nil || done.Record.State != runtime.Completed {
					t.Errorf("run %d/%d: %+v, %v", c, i, done.Record, err)
				}
			}
		})
	}
	all.Wait()
	for sink.complete(4) < clients*runs {
		published := true
		for _, s := range e.Stats().Shards {
			published = published && s.Published >= s.Durable
		}
		if n := sink.complete(4); published && n < clients*runs {
			t.Fatalf("the relay has published everything, and %d of %d runs have all their events", n, clients*runs)
		}
		<-sink.grown
	}
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}
