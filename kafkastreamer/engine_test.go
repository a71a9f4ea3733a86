package kafkastreamer_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// The events of runs arrive in Kafka, each run's in order and complete.
func TestRelayToKafka(t *testing.T) {
	const runs = 200
	_, brokers := fake(t)
	s := open(t, kafkastreamer.Options{Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "wfrt.", Partitions: 3})
	e, err := runtime.New(runtime.Options{Store: runtimetest.NewMemStore(4), Streamer: s})
	if err != nil {
		t.Fatal(err)
	}
	e.SetCatalog(runtime.NewCatalog(runtimetest.Chain("chain", 4)))
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range runs {
		if _, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "chain", ForeignID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	events, err := consume(t.Context(), t, brokers, "wfrt.chain", runs*5)
	if err != nil {
		t.Fatal(err)
	}
	last := map[runtime.RunID]uint64{}
	for _, ev := range events {
		if ev.Version != last[ev.RunID]+1 {
			t.Errorf("run %s: version %d after %d", ev.RunID, ev.Version, last[ev.RunID])
		}
		last[ev.RunID] = ev.Version
	}
	if len(last) != runs {
		t.Errorf("events of %d runs, want %d", len(last), runs)
	}
	if err := e.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}
