package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// field parses the name of a part of a message.
func field(t *testing.T, text string) runtime.Field {
	t.Helper()
	f, err := runtime.ParseField(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// triggers returns a connector whose messages trigger runs of the workflow orders, by their keys.
func triggers(t *testing.T, stream *runtimetest.MemStream) runtime.Connector {
	t.Helper()
	return runtime.Connector{
		Name: "orders", Topics: []string{"northwind.orders"}, Open: stream.Open("wfrt", false, "northwind.orders"),
		Mapping: runtime.Mapping{Kind: runtime.ActionTrigger, Workflow: "orders", ForeignID: field(t, "key")},
	}
}

func order(partition int32, key, value string) runtime.Message {
	return runtime.Message{Topic: "northwind.orders", Partition: partition, Key: []byte(key), Value: []byte(value)}
}

// runsEach returns how many runs each foreign ID has.
func runsEach(t *testing.T, e *runtime.Engine) map[string]int {
	t.Helper()
	found, err := e.Runs(t.Context(), runtime.Query{Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	runs := map[string]int{}
	for i := range found {
		runs[found[i].ForeignID]++
	}
	return runs
}

// wantOneEach checks that each of a number of things was done once.
func wantOneEach(t *testing.T, done map[string]int, want int) {
	t.Helper()
	for id, n := range done {
		if n != 1 {
			t.Errorf("%s was done %d times", id, n)
		}
	}
	if len(done) != want {
		t.Errorf("%d were done, want %d", len(done), want)
	}
}

// TestConnectorTriggersEachOnce is of faults C1 and C2 too: whatever their keys hash to, and with any parallelism, messages are taken.
func TestConnectorTriggersEachOnce(t *testing.T) {
	for _, parallelism := range []int{1, 2, 64} {
		synctest.Test(t, func(t *testing.T) {
			stream := runtimetest.NewMemStream()
			stream.Topic("northwind.orders", 3)
			const orderCount = 300
			for i := range orderCount {
				stream.Produce(order(int32(i%3), fmt.Sprintf("order-%d", i), "{}"))
			}
			c := triggers(t, stream)
			c.Parallelism, c.Window = parallelism, 16
			opt := onMemory()
			opt.Connectors = []runtime.Connector{c}
			e := start(t, opt, orders())
			elapse(time.Minute)
			wantOneEach(t, runsEach(t, e), orderCount)
			for partition := range int32(3) {
				if at := stream.Committed("wfrt", "northwind.orders", partition); at != orderCount/3 {
					t.Errorf("partition %d is committed up to %d", partition, at)
				}
			}
			status := e.Connectors()[0]
			if n := status.Counts; n.Triggered != orderCount || n.Parked+n.Repeated+n.Skipped+n.Retried > 0 || status.Fault != "" {
				t.Errorf("status: %+v", status)
			}
			for _, p := range status.Partitions {
				if p.Lag != 0 || p.UnderWay != 0 || p.Next != orderCount/3 {
					t.Errorf("partition: %+v", p)
				}
			}
		})
	}
}

func TestConnectorLeavesItsMarkInTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		stream.Produce(order(0, "10248", `{"n":1}`))
		opt := onMemory()
		opt.Connectors = []runtime.Connector{triggers(t, stream)}
		e := start(t, opt, orders())
		elapse(time.Second)
		runs, err := e.Runs(t.Context(), runtime.Query{Limit: 10})
		if err != nil || len(runs) != 1 {
			t.Fatalf("%d runs, %v", len(runs), err)
		}
		lines, err := e.History(t.Context(), runs[0].RunID, 0, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if h := lines[0]; h.Cause != runtime.CauseConnector || h.By != "orders/northwind.orders/0/0" {
			t.Errorf("the first line: %+v", h)
		}
	})
}

// TestConnectorSurvivesItsBroker has a broker go away and come back.
func TestConnectorSurvivesItsBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		opened, closed := 0, 0
		c := triggers(t, stream)
		open := c.Open
		c.Open = func(r runtime.SourceReader) (runtime.Source, error) {
			opened++
			source, err := open(r)
			return closing{source, &closed}, err
		}
		opt := onMemory()
		opt.Connectors = []runtime.Connector{c}
		e := start(t, opt, orders())
		elapse(time.Second)
		for i := range 3 {
			stream.Fail(errors.New("kafka at 127.0.0.1:9092: connection refused"))
			stream.Produce(order(0, fmt.Sprint(i), "{}"))
			elapse(time.Minute)
			if fault := e.Connectors()[0].Fault; !strings.Contains(fault, "127.0.0.1:9092: connection refused") {
				t.Errorf("while the broker is away the fault is %q", fault)
			}
			wantOneEach(t, runsEach(t, e), i)
			stream.Fail(nil)
			elapse(time.Minute)
			if fault := e.Connectors()[0].Fault; fault != "" {
				t.Errorf("when the broker is back the fault is %q", fault)
			}
			wantOneEach(t, runsEach(t, e), i+1)
		}
		stream.Fail(errors.New("away for good"))
		stop(t, e)
		if opened != 1 || closed != 1 { // fault C6
			t.Errorf("%d sources were opened and %d closed", opened, closed)
		}
	})
}

type closing struct {
	runtime.Source
	closed *int
}

func (c closing) Close() {
	*c.closed++
	c.Source.Close()
}

// TestConnectorKeepsOrderByRun has messages for one run wait for each other, and nobody else wait for them.
func TestConnectorKeepsOrderByRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("payments", 1)
		var mu sync.Mutex
		var taken []string
		w := runtimetest.Workflow("orders", runtimetest.Callback{
			Status: "waiting", Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				mu.Lock()
				defer mu.Unlock()
				taken = append(taken, in.Record.ForeignID+string(in.Payload))
				out.Kind = runtime.OutcomeRepeat
				return nil
			},
		})
		c := runtime.Connector{
			Name: "payments", Open: stream.Open("wfrt", false, "payments"), Window: 8,
			Mapping: runtime.Mapping{Kind: runtime.ActionCallback, Workflow: "orders", Status: "waiting", ForeignID: field(t, "header.order")},
		}
		opt := onMemory()
		opt.Connectors = []runtime.Connector{c}
		e := start(t, opt, w)
		pay := func(order, value string) {
			stream.Produce(runtime.Message{
				Topic: "payments", Value: []byte(value), Headers: []runtime.Header{{Name: "order", Value: []byte(order)}},
			})
		}
		trigger(t, e, "orders", "b")
		pay("a", "1") // there is no run a yet
		pay("b", "1")
		pay("a", "2")
		pay("b", "2")
		elapse(time.Second)
		if want := []string{"b1", "b2"}; !slices.Equal(taken, want) {
			t.Errorf("while a message waits for its run, taken %q, want %q", taken, want)
		}
		for i := range 20 { // more than the window: they wait, and none is lost
			pay("b", fmt.Sprint(3+i))
		}
		elapse(10 * time.Second)
		if n := len(taken); n >= 22 {
			t.Errorf("%d were taken past a window of 8", n)
		}
		id := trigger(t, e, "orders", "a")
		elapse(20 * time.Second)
		var a, b []string
		for _, s := range taken {
			if s[0] == 'a' {
				a = append(a, s)
			} else {
				b = append(b, s)
			}
		}
		if len(b) != 22 || !slices.Equal(a, []string{"a1", "a2"}) {
			t.Errorf("taken %q", taken)
		}
		for i := range b {
			if b[i] != fmt.Sprint("b", i+1) {
				t.Errorf("messages for b were taken in the order %q", b)
				break
			}
		}
		if got := history(t, e, id); !strings.Contains(got, "connector: took in a callback") {
			t.Errorf("history:\n%s", got)
		}
	})
}

// TestConnectorWaitsForItsWorkflow has the plugin of a workflow come late: messages wait, however long it takes.
func TestConnectorWaitsForItsWorkflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		stream.Produce(order(0, "1", "{}"))
		opt := onMemory()
		opt.Connectors = []runtime.Connector{triggers(t, stream)}
		e := start(t, opt)
		elapse(time.Hour)
		wantOneEach(t, runsEach(t, e), 0)
		e.SetCatalog(runtime.NewCatalog(orders()))
		elapse(10 * time.Second)
		wantOneEach(t, runsEach(t, e), 1)
		if n := e.Connectors()[0].Counts; n.Parked > 0 {
			t.Errorf("counts: %+v", n)
		}
	})
}

// TestConnectorStopsAtOnce stops an engine whose messages are all being tried again.
func TestConnectorStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		for i := range 100 {
			stream.Produce(order(0, fmt.Sprint(i), "{}"))
		}
		opt := onMemory()
		opt.Connectors = []runtime.Connector{triggers(t, stream)}
		e := start(t, opt) // there is no workflow
		elapse(time.Minute)
		before := time.Now()
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(before); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
		if at := stream.Committed("wfrt", "northwind.orders", 0); at != 0 {
			t.Errorf("committed up to %d, and nothing was done", at)
		}
	})
}
