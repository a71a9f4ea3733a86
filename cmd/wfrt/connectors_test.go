package main

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// newConnected returns a shell of a server whose connector orders reads a topic: of its three messages one began a run, and the others, at
// offsets 1 and 2, are parked.
func newConnected(t *testing.T) *shell {
	t.Helper()
	field, err := runtime.ParseField("value.order_id")
	if err != nil {
		t.Fatal(err)
	}
	stream := runtimetest.NewMemStream()
	stream.Topic("northwind.orders", 1)
	for _, value := range []string{`{"order_id":1}`, "nonsense", `{"id":3}`} {
		stream.Produce(runtime.Message{Topic: "northwind.orders", Key: []byte("k"), Value: []byte(value)})
	}
	engine, err := runtime.New(runtime.Options{Store: runtimetest.NewMemStore(2), Connectors: []runtime.Connector{{
		Name: "orders", Topics: []string{"northwind.orders"}, Open: stream.Open("wfrt", false, "northwind.orders"),
		Mapping: runtime.Mapping{Kind: runtime.ActionTrigger, Workflow: "chain", ForeignID: field},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	engine.SetCatalog(runtime.NewCatalog(runtimetest.Chain("chain", 1)))
	s := shellOf(t, engine)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for n := engine.Connectors()[0].Counts; n.Parked < 2 || n.Triggered < 1; n = engine.Connectors()[0].Counts {
		<-again.C
	}
	return s
}

func TestConnectorsAreListed(t *testing.T) {
	s := newConnected(t)
	s.must([]string{"connectors", "list"}, "CONNECTOR", "TRIGGERED", "orders", "northwind.orders")
	list := document[httpapi.ConnectorList](s, "connectors", "list")
	if c := list.Connectors[0]; c.Received != 3 || c.Triggered != 1 || c.Parked != 2 {
		t.Errorf("%+v", c)
	}
}

// Parked messages are shown with their cause and place, tried again, and dropped: one, or all.
func TestParkedMessages(t *testing.T) {
	s := newConnected(t)
	parked := func() []httpapi.ParkedMessage {
		t.Helper()
		return document[httpapi.ParkedPage](s, "connectors", "parked", "orders").Parked
	}
	s.must([]string{"connectors", "parked", "orders"}, "OFFSET", "northwind.orders", "its value is not JSON", "order_id")
	if all := parked(); len(all) != 2 || all[0].Offset != 1 || all[1].Offset != 2 {
		t.Fatalf("parked: %+v", all)
	}
	one := func(command string, offset int) []string {
		return []string{"connectors", command, "orders", "northwind.orders", "0", fmt.Sprint(offset)}
	}
	s.exits(exitUsage, one("redrive", 1), "northwind.orders, partition 0, offset 1", "not JSON", "hint:")
	s.exits(exitFailure, []string{"connectors", "redrive", "orders", "--all"}, "wfrt connectors drop orders TOPIC PARTITION OFFSET", "northwind.orders, partition 0, offset 1",
		"northwind.orders, partition 0, offset 2", "2 of 2 messages stay parked", "hint:")
	s.exits(exitNotFound, one("redrive", 0), "no parked message at northwind.orders, partition 0, offset 0", "wfrt connectors parked orders")
	s.must(one("drop", 1), "dropped 1")
	s.exits(exitNotFound, one("drop", 1), "no parked message")
	s.must([]string{"connectors", "drop", "orders", "--all"}, "dropped 1")
	s.must([]string{"connectors", "drop", "orders", "--all"}, "dropped 0")
	if all := parked(); len(all) != 0 {
		t.Errorf("parked: %+v", all)
	}
}

// A connector that is not there is an error that names those that are, whatever was to be done.
func TestAnUnknownConnectorIsNamed(t *testing.T) {
	s := newConnected(t)
	for _, command := range [][]string{{"parked", "order"}, {"redrive", "order", "--all"}, {"drop", "order", "--all"}, {"drop", "order", "a", "0", "0"}} {
		s.exits(exitNotFound, append([]string{"connectors"}, command...), `there is no connector "order"`, `did you mean "orders"?`)
	}
	for _, command := range [][]string{{"redrive", "orders"}, {"drop", "orders", "a"}, {"drop", "orders", "a", "0", "0", "--all"}} {
		s.exits(exitUsage, append([]string{"connectors"}, command...), "CONNECTOR TOPIC PARTITION OFFSET", "hint:")
	}
	newShell(t).exits(exitNotFound, []string{"connectors", "parked", "orders"}, "there are no connectors yet")
}

// The outbox is shown with what keeps its events; those that were refused are listed, and published again.
func TestTheOutboxIsShown(t *testing.T) {
	refuses := true
	m := &runtimetest.MemStreamer{}
	for range 1000 {
		m.Script = append(m.Script, func(events []runtime.Event) (int, error) {
			switch {
			case events[0].ForeignID == "refused" && refuses:
				return 0, &runtime.RefusedError{Cause: errors.New("larger than the topic takes")}
			case events[0].ForeignID == "held":
				return 0, errors.New("topic wfrt.chain: not authorized")
			default:
				return 1, nil
			}
		})
	}
	engine, err := runtime.New(runtime.Options{Store: runtimetest.NewMemStore(1), Streamer: m})
	if err != nil {
		t.Fatal(err)
	}
	engine.SetCatalog(runtime.NewCatalog(runtimetest.Chain("chain", 1)))
	s := shellOf(t, engine)
	shows := func(done func(o httpapi.Outbox) bool) {
		t.Helper()
		again := time.NewTicker(time.Millisecond)
		defer again.Stop()
		late := time.After(30 * time.Second)
		for o := (httpapi.Outbox{}); !done(o); o = document[httpapi.Outbox](s, "outbox", "show") {
			select {
			case <-again.C:
			case <-late:
				t.Fatalf("the outbox shows %+v", o)
			}
		}
	}
	s.must([]string{"trigger", "chain", "refused", "--await"})
	shows(func(o httpapi.Outbox) bool { return o.Parked == 2 && o.Depth == 0 && o.Fault == "" })
	list := document[httpapi.ParkedEventPage](s, "outbox", "parked")
	id := list.Parked[0].ID
	s.must([]string{"outbox", "parked"}, id, "larger than the topic takes")
	s.exits(exitConflict, []string{"outbox", "redrive", id}, "error: event "+id+": the event is refused: larger than the topic takes")
	s.exits(exitNotFound, []string{"outbox", "redrive", id + "9"}, "error: event "+id+"9: there is no parked event \""+id+"9\"", "wfrt outbox parked")
	s.exits(exitUsage, []string{"outbox", "redrive"}, "wfrt outbox parked")
	refuses = false
	s.must([]string{"outbox", "redrive", "--all"}, "2 of 2 events are published")
	s.must([]string{"trigger", "chain", "held", "--await"})
	shows(func(o httpapi.Outbox) bool { return o.Depth == 2 && o.Fault == "topic wfrt.chain: not authorized" })
	s.must([]string{"outbox", "show"}, "WAITING", "topic wfrt.chain: not authorized")
}

// However many events are parked, all are listed, and all are published again.
func TestAllParkedEventsAreListedAndRedriven(t *testing.T) {
	const runs, parked = 510, 1020
	m := &runtimetest.MemStreamer{}
	for range parked {
		m.Script = append(m.Script, func([]runtime.Event) (int, error) {
			return 0, &runtime.RefusedError{Cause: errors.New("larger than the topic takes")}
		})
	}
	engine, err := runtime.New(runtime.Options{Store: runtimetest.NewMemStore(1), Streamer: m})
	if err != nil {
		t.Fatal(err)
	}
	engine.SetCatalog(runtime.NewCatalog(runtimetest.Chain("chain", 1)))
	s := shellOf(t, engine)
	for i := range runs {
		if _, err := engine.Trigger(t.Context(), runtime.Trigger{Workflow: "chain", ForeignID: strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for engine.Stats().Shards[0].Parked < parked {
		<-again.C
	}
	ids := map[string]bool{}
	for _, p := range document[httpapi.ParkedEventPage](s, "outbox", "parked").Parked {
		ids[p.ID] = true
	}
	if len(ids) != parked {
		t.Errorf("%d events are listed, want %d", len(ids), parked)
	}
	s.must([]string{"outbox", "redrive", "--all"}, "1020 of 1020 events are published")
	if left := document[httpapi.ParkedEventPage](s, "outbox", "parked").Parked; len(left) > 0 || len(m.Taken()) != parked {
		t.Errorf("%d events are parked still, %d were published", len(left), len(m.Taken()))
	}
}
