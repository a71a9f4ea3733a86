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

func wantOneEach(t *testing.T, runs map[string]int, want int) {
	t.Helper()
	for id, n := range runs {
		if n != 1 {
			t.Errorf("order %s has %d runs", id, n)
		}
	}
	if len(runs) != want {
		t.Errorf("%d orders have runs, want %d", len(runs), want)
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
			e, err := runtime.New(opt)
			if err != nil {
				t.Fatal(err)
			}
			e.SetCatalog(runtime.NewCatalog(orders()))
			if err := e.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
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
		e, err := runtime.New(runtime.Options{Store: store, Connectors: []runtime.Connector{c}})
		if err != nil {
			t.Fatal(err)
		}
		e.SetCatalog(runtime.NewCatalog(orders()))
		if err := e.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		elapse(time.Minute)
		if err := e.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
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

// TestConnectorRebalances is of fault C5: members come and go while messages come, nobody hangs, and each message takes effect in one
// of the members, once.
func TestConnectorRebalances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 4)
		stores := []*runtimetest.MemStore{runtimetest.NewMemStore(2), runtimetest.NewMemStore(2), runtimetest.NewMemStore(2)}
		engines := make([]*runtime.Engine, len(stores))
		join := func(i int) {
			var err error
			engines[i], err = runtime.New(runtime.Options{Store: stores[i], Connectors: []runtime.Connector{triggers(t, stream)}})
			if err != nil {
				t.Fatal(err)
			}
			engines[i].SetCatalog(runtime.NewCatalog(orders()))
			if err := engines[i].Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		leave := func(i int) {
			if err := engines[i].Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
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
			e, err := runtime.New(runtime.Options{Store: store, Connectors: []runtime.Connector{c}})
			if err != nil {
				t.Fatal(err)
			}
			e.SetCatalog(runtime.NewCatalog(orders()))
			if err := e.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			elapse(time.Minute)
			if n := e.Connectors()[0].Counts; n.Received != 50 || n.Triggered != 50 {
				t.Errorf("with parallelism %d: %+v", parallelism, n)
			}
			if err := e.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
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
			e, err := runtime.New(runtime.Options{Store: store, Connectors: []runtime.Connector{c}})
			if err != nil {
				t.Fatal(err)
			}
			e.SetCatalog(runtime.NewCatalog(orders()))
			if err := e.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
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
		e, err := runtime.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		e.SetCatalog(runtime.NewCatalog(orders()))
		if err := e.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
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
		if err := e.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
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
		e, err := runtime.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Start(t.Context()); err != nil { // there is no workflow
			t.Fatal(err)
		}
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
