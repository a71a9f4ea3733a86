package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// At the high mark no run begins; at the hard mark nothing is executed either, but events leave, runs are controlled and data is
// erased. What was held goes on when there is space.
func TestDiskMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		free.Store(10_000)
		m := &runtimetest.MemStreamer{}
		opt := runtime.Options{
			Store: runtimetest.NewMemStore(4), Streamer: m,
			Disk: runtime.DiskOptions{Free: func() (int64, error) { return free.Load(), nil }, Hard: 100, High: 1000},
		}
		e := start(t, opt, runtimetest.Chain("chain", 2), runtimetest.Workflow("slow",
			runtimetest.Timeout{Status: "waiting", After: time.Minute, To: []string{"done"}, Func: runtimetest.To("done")},
			runtimetest.Callback{Status: "waiting", To: []string{"done"}, Func: runtimetest.To("done")}))
		spec := runtime.ScheduleSpec{Workflow: "chain", Name: "often", Cron: "@every 10s", ForeignID: "scheduled"}
		if _, err := e.CreateSchedule(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		ended := trigger(t, e, "chain", "ended")
		waits := trigger(t, e, "slow", "waits")
		paused := trigger(t, e, "slow", "paused")
		elapse(5 * time.Second)
		runs := func() int {
			all, err := e.Runs(t.Context(), runtime.Query{Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		refused := func(what string, err error) {
			t.Helper()
			var low *runtime.DiskError
			if !errors.As(err, &low) {
				t.Errorf("%s: %v, want a DiskError", what, err)
			}
		}
		begin := func(id string) error {
			_, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "chain", ForeignID: id})
			return err
		}

		free.Store(999)
		elapse(2 * time.Second)
		refused("a trigger at the high mark", begin("a"))
		before := runs()
		elapse(30 * time.Second)
		if n := runs(); n != before {
			t.Errorf("a schedule began %d runs at the high mark", n-before)
		}

		free.Store(99)
		elapse(time.Hour) // the timeout of "waits" is long due
		if s := e.Stats().Disk; s.Mark != runtime.DiskHard || s.Free != 99 {
			t.Errorf("the disk is %+v", s)
		}
		if rec, err := e.Run(t.Context(), waits); err != nil || rec.Status != "waiting" {
			t.Errorf("at the hard mark a timeout was done: %s, %v", rec.Status, err)
		}
		_, err := e.Callback(t.Context(), runtime.Callback{Workflow: "slow", Status: "waiting", ForeignID: "waits"})
		refused("a callback at the hard mark", err)
		if _, err := e.Cancel(t.Context(), paused, runtime.Note{}); err != nil {
			t.Errorf("control at the hard mark: %v", err)
		}
		if _, err := e.Erase(t.Context(), ended, runtime.Note{}); err != nil {
			t.Errorf("erase at the hard mark: %v", err)
		}
		elapse(time.Minute)
		if rec, err := e.Run(t.Context(), ended); err != nil || rec.State != runtime.DataDeleted {
			t.Errorf("an erasure at the hard mark has left the run %v, %v", rec.State, err)
		}
		if n := unpublished(e); n != 0 {
			t.Errorf("%d events wait at the hard mark", n)
		}

		free.Store(1100) // more than the mark, but not a quarter more
		elapse(time.Minute)
		refused("a trigger just above the mark", begin("a"))
		if rec, err := e.Run(t.Context(), waits); err != nil || rec.Status != "done" {
			t.Errorf("above the hard mark the timeout is not done: %s, %v", rec.Status, err)
		}
		free.Store(1250)
		elapse(time.Minute)
		if err := begin("a"); err != nil {
			t.Error(err)
		}
		if n := runs(); n <= before+1 {
			t.Errorf("%d runs, was %d: the schedule does not go on", n, before)
		}
	})
}

// Runs that are ready, in memory and in the store, are not taken at the hard mark, and all are after it.
func TestHardMarkHoldsReadyRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free, invoked atomic.Int64
		free.Store(1000)
		gate := make(chan struct{})
		opt := runtime.Options{
			Store: runtimetest.NewMemStore(2), Window: 4, Workers: 2,
			Disk: runtime.DiskOptions{Free: func() (int64, error) { return free.Load(), nil }, Hard: 100, High: 100},
		}
		step := func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
			invoked.Add(1)
			<-gate
			out.Kind, out.Status = runtime.OutcomeTo, "done"
			return nil
		}
		e := start(t, opt, runtimetest.Workflow("w", runtimetest.Step{Status: "a", To: []string{"done"}, Func: step}))
		var ids []runtime.RunID
		for i := range 20 {
			ids = append(ids, trigger(t, e, "w", fmt.Sprint(i)))
		}
		synctest.Wait()
		free.Store(10)
		elapse(2 * time.Second)
		close(gate)
		elapse(time.Minute)
		if n := invoked.Load(); n != 2 {
			t.Errorf("%d invocations, want the 2 that were under way", n)
		}
		free.Store(1000)
		elapse(time.Minute)
		for _, id := range ids {
			if rec, err := e.Run(t.Context(), id); err != nil || rec.State != runtime.Completed {
				t.Errorf("run %s is %v, %v", rec.ForeignID, rec.State, err)
			}
		}
		if n := invoked.Load(); n != 20 {
			t.Errorf("%d invocations of 20 runs", n)
		}
	})
}

// At the high mark a connector begins nothing, takes no more than its window, gives partitions up to others, and parks nothing.
// A redrive is refused. When there is space each message takes effect once.
func TestConnectorHoldsAtTheHighMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		free.Store(10_000)
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 2)
		disk := runtime.DiskOptions{Free: func() (int64, error) { return free.Load(), nil }, High: 1000}
		const messages, window = 100, 8
		connector := func() []runtime.Connector {
			c := triggers(t, stream)
			c.Window, c.Patience = window, time.Second
			return []runtime.Connector{c}
		}
		e := start(t, runtime.Options{Store: runtimetest.NewMemStore(2), Disk: disk, Connectors: connector()}, orders())
		stream.Produce(runtime.Message{Topic: "northwind.orders", Value: []byte("{}")}) // without a key it is parked
		elapse(time.Minute)
		parked, err := e.Parked(t.Context(), "orders", runtime.Origin{}, 10)
		if err != nil || len(parked) != 1 {
			t.Fatalf("parked: %v, %v", parked, err)
		}
		free.Store(999)
		elapse(time.Minute)
		for i := range messages {
			stream.Produce(order(int32(i%2), fmt.Sprint(i), "{}"))
			synctest.Wait()
		}
		elapse(time.Hour)
		if n := len(runsEach(t, e)); n != 0 {
			t.Errorf("%d runs began at the high mark", n)
		}
		for _, p := range e.Connectors()[0].Partitions {
			if p.UnderWay != window {
				t.Errorf("partition %d holds %d messages", p.Partition, p.UnderWay)
			}
		}
		var low *runtime.DiskError
		if err := e.Redrive(t.Context(), parked[0].Origin); !errors.As(err, &low) {
			t.Errorf("a redrive at the high mark: %v", err)
		}

		// Another server, whose disk is well, takes over a partition.
		roomy := start(t, runtime.Options{Store: runtimetest.NewMemStore(2), Connectors: connector()}, orders())
		elapse(time.Minute)
		if n := len(runsEach(t, roomy)); n != messages/2 {
			t.Errorf("the other server began %d runs, want those of one partition, %d", n, messages/2)
		}
		free.Store(2000)
		elapse(time.Minute)
		all := runsEach(t, e)
		for id, n := range runsEach(t, roomy) {
			all[id] += n
		}
		wantOneEach(t, all, messages)
		if n := e.Connectors()[0].Counts; n.Parked != 1 || n.Retried != 0 {
			t.Errorf("counts: %+v", n)
		}
	})
}

// What a message waits for at the high mark is not its patience: one that is refused after that is tried again as long as any.
func TestTheHighMarkCostsNoPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		free.Store(2000)
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		c := triggers(t, stream)
		c.Patience, c.Busy = time.Minute, runtime.BusyRetry
		e := start(t, runtime.Options{
			Store: runtimetest.NewMemStore(1), Connectors: []runtime.Connector{c},
			Disk: runtime.DiskOptions{Free: func() (int64, error) { return free.Load(), nil }, High: 1000},
		}, runtimetest.Workflow("orders", runtimetest.Timeout{
			Status: "waiting", After: time.Hour + 30*time.Second, To: []string{"done"}, Func: runtimetest.To("done"),
		}))
		trigger(t, e, "orders", "10248")
		free.Store(999)
		elapse(2 * time.Second)
		stream.Produce(order(0, "10248", "{}"))
		elapse(time.Hour)
		free.Store(2000)
		elapse(time.Minute) // the run that is in the way ends
		if n := e.Connectors()[0].Counts; n.Parked != 0 || n.Triggered != 1 {
			t.Errorf("counts: %+v", n)
		}
	})
}
