package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// countingStore counts how often tasks are looked for, and how many are found.
type countingStore struct {
	*runtimetest.MemStore
	looks, rows atomic.Int64
}

func (s *countingStore) DueTasks(
	shard runtime.Shard, now time.Time, after *runtime.Task, limit int, dst []runtime.Task,
) ([]runtime.Task, time.Time, error) {
	tasks, next, err := s.MemStore.DueTasks(shard, now, after, limit, dst)
	s.looks.Add(1)
	s.rows.Add(int64(len(tasks) - len(dst)))
	return tasks, next, err
}

// since returns what was counted since it was called last.
func (s *countingStore) since() (looks, rows int64) { return s.looks.Swap(0), s.rows.Swap(0) }

// finely is a clock on which no two moments are the same.
type finely struct {
	runtime.SystemClock
	asked atomic.Int64
}

func (c *finely) Now() time.Time {
	return c.SystemClock.Now().Add(time.Duration(c.asked.Add(1)))
}

// shipping is a workflow of one step with a hook on its completion.
func shipping(name string, hook runtimetest.Func) *runtime.Workflow {
	return runtimetest.Workflow(name,
		runtimetest.Step{Status: "received", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
		runtimetest.Hook{On: runtime.HookComplete, Func: hook},
	)
}

// blocking returns a hook that does not return until open is closed, and counts then.
func blocking(open <-chan struct{}, called *atomic.Int64) runtimetest.Func {
	return func(ctx context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
		select {
		case <-open:
			called.Add(1)
			out.Kind = runtime.OutcomeDone
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// However many hooks of a workflow wait for those that block, a run that ends, a hook of another workflow and a hook that is let
// through have the same few tasks looked at.
func TestHookBacklogIsNotLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const block, blocks = 100, 4
		store := &countingStore{MemStore: runtimetest.NewMemStore(1)}
		open := make(chan struct{})
		var slow, quick atomic.Int64
		free := make(chan struct{})
		close(free)
		e := start(t, runtime.Options{Store: store, Clock: &finely{}, StepTimeout: 24 * time.Hour},
			shipping("slow", blocking(open, &slow)), shipping("quick", blocking(free, &quick)),
		)
		want := func(what string, tasks int) {
			t.Helper()
			// A task is looked at when it has come due, and once more where its lane has gone on from, or where one was added behind
			// others; and a task that is let through may have a page looked at.
			looks, rows := store.since()
			if looks > int64(4*tasks) || rows > int64(3*tasks) {
				t.Errorf("%s: %d looks, %d tasks looked at for %d", what, looks, rows, tasks)
			}
		}
		for i := range blocks {
			for j := range block {
				settle(t, e, trigger(t, e, "slow", fmt.Sprint(i, "-", j)))
				synctest.Wait()
			}
			want(fmt.Sprintf("behind %d, runs that end", i*block), block)
			for j := range block {
				settle(t, e, trigger(t, e, "quick", fmt.Sprint(i, "-", j)))
				synctest.Wait()
			}
			want(fmt.Sprintf("behind %d, hooks of another workflow", (i+1)*block), block)
			if n := quick.Load(); n != int64((i+1)*block) {
				t.Fatalf("%d hooks of the other workflow were called; want all %d", n, (i+1)*block)
			}
		}
		for range 100 { // one is let through at a time
			open <- struct{}{}
			synctest.Wait()
		}
		if looks, rows := store.since(); looks > 400 || rows > 100*100 {
			t.Errorf("%d looks, %d tasks looked at to let 100 through", looks, rows)
		}
		close(open)
		synctest.Wait()
		if n := slow.Load(); n != block*blocks {
			t.Errorf("%d hooks were called once they could be; want %d, each once", n, block*blocks)
		}
	})
}

// Hooks that block, as many as there are places and many more, delay no step, no timer, no slot and no hook of another workflow in
// their shard: all come at the moment at which they are due.
func TestBlockingHookDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const backlog = 300
		open := make(chan struct{})
		var slow, failing, quick atomic.Int64
		free := make(chan struct{})
		close(free)
		late := shipping("late", func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
			if failing.Add(1) == 1 {
				return errors.New("not yet")
			}
			out.Kind = runtime.OutcomeDone
			return nil
		})
		e := start(t, runtime.Options{Store: runtimetest.NewMemStore(1), StepTimeout: 24 * time.Hour},
			shipping("slow", blocking(open, &slow)), shipping("quick", blocking(free, &quick)), late,
			runtimetest.Workflow("timed", runtimetest.Timeout{
				Status: "waiting", Name: "t", After: time.Minute, To: []string{"over"}, Func: runtimetest.To("over"),
			}),
		)
		for i := range backlog {
			trigger(t, e, "slow", fmt.Sprint(i))
		}
		synctest.Wait()
		began := time.Now()
		create(t, e, runtime.ScheduleSpec{Workflow: "slow", Name: "often", Cron: "@every 1m"})
		timed := trigger(t, e, "timed", "1")
		settle(t, e, trigger(t, e, "slow", "a step"))
		settle(t, e, trigger(t, e, "quick", "1"))
		settle(t, e, trigger(t, e, "late", "1"))
		synctest.Wait()
		if passed := time.Since(began); passed != 0 || quick.Load() != 1 || failing.Load() != 1 {
			t.Errorf("steps and hooks took %v, and %d and %d hooks were called; want no time and one each", passed, quick.Load(), failing.Load())
		}
		settle(t, e, timed)
		if passed := time.Since(began); passed != time.Minute {
			t.Errorf("the timeout of a minute came after %v", passed)
		}
		if n := runsOf(t, e, "often"); n != 1 {
			t.Errorf("%d runs of the schedule within its minute", n)
		}
		if failing.Load() != 2 {
			t.Errorf("the hook that failed was called %d times in a minute; want a second attempt", failing.Load())
		}
		if slow.Load() != 0 {
			t.Fatalf("%d hooks that block are done", slow.Load())
		}
		close(open)
		synctest.Wait()
		if n := slow.Load(); n != backlog+2 {
			t.Errorf("%d hooks were called once they could be; want %d", n, backlog+2)
		}
	})
}

// closesSlowly is a source that takes its time to close.
type closesSlowly struct{ runtime.Source }

func (c closesSlowly) Close() {
	<-time.After(6 * time.Second)
	c.Source.Close()
}

// While connectors are given time to stop, a task that the stop refuses is not tried over and over.
func TestAStopTriesRefusedTasksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countingStore{MemStore: runtimetest.NewMemStore(1)}
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		c := triggers(t, stream)
		open := c.Open
		c.Open = func(r runtime.SourceReader) (runtime.Source, error) {
			source, err := open(r)
			return closesSlowly{source}, err
		}
		e := start(t, runtime.Options{Store: store, Connectors: []runtime.Connector{c}}, runtimetest.Workflow("orders", runtimetest.Step{
			Status: "received", To: []string{"done"}, Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Intents = append(out.Intents, runtime.Intent{Workflow: "nobody's", ForeignID: "1"})
				return runtimetest.To("done")(ctx, in, out)
			},
		}))
		settle(t, e, trigger(t, e, "orders", "1"))
		synctest.Wait()
		store.since()
		stop(t, e)
		if looks, _ := store.since(); looks > 10 {
			t.Errorf("%d looks at tasks during the stop", looks)
		}
	})
}

// While the clock of the machine is set back, a hook that fails is tried again after its wait, not at once and over and over.
func TestRetriesWaitWhenTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &shiftedClock{}
		var called atomic.Int64
		half := func() uint64 { return 1 << 63 } // of the longest wait: half a second, one, two
		e := start(t, runtime.Options{Store: runtimetest.NewMemStore(1), Clock: clock, Random: half}, shipping("orders",
			func(ctx context.Context, _ *runtime.Invocation, _ *runtime.Outcome) error {
				switch called.Add(1) {
				case 1:
					clock.shift.Store(-int64(time.Hour))
				case 10:
					<-ctx.Done() // not for ever
				}
				return errors.New("no answer")
			},
		))
		settle(t, e, trigger(t, e, "orders", "1"))
		synctest.Wait()
		if n := called.Load(); n != 1 {
			t.Errorf("the hook was called %d times in no time", n)
		}
		elapse(3 * time.Second)
		if n := called.Load(); n != 3 {
			t.Errorf("the hook was called %d times in three seconds", n)
		}
	})
}

// No task beside the runs is forgotten or done twice, whatever hooks fail, block for a while or go on at once, while the disk is short
// of space and has some again, and while the clock is set back and forth.
func TestNoTaskIsForgotten(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { noTaskIsForgotten(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func noTaskIsForgotten(t *testing.T, random *rand.Rand) {
	const runs = 120
	var mu sync.Mutex // guards random and done
	done := map[string]int{}
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	workflow := func(name string, slow int) *runtime.Workflow {
		return shipping(name, func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			select {
			case <-time.After(time.Duration(draw(slow+1)) * time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
			if draw(4) == 0 {
				return errors.New("not this time")
			}
			mu.Lock()
			defer mu.Unlock()
			done[name+in.Record.ForeignID]++
			out.Kind = runtime.OutcomeDone
			return nil
		})
	}
	var free atomic.Int64
	free.Store(10_000)
	clock := &shiftedClock{}
	e := start(t, runtime.Options{
		Store: runtimetest.NewMemStore(1), Clock: clock, AutoResume: time.Second, StepTimeout: time.Hour,
		Disk: runtime.DiskOptions{Free: func() (int64, error) { return free.Load(), nil }, Hard: 100, High: 1000},
	}, workflow("quick", 0), workflow("slow", 20), workflow("slower", 60))
	for i := range runs {
		_, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: []string{"quick", "slow", "slower"}[i%3], ForeignID: fmt.Sprint(i)})
		if low := (*runtime.DiskError)(nil); errors.As(err, &low) {
			free.Store(10_000)
			elapse(5 * time.Second)
			trigger(t, e, []string{"quick", "slow", "slower"}[i%3], fmt.Sprint(i))
		} else if err != nil {
			t.Fatal(err)
		}
		switch draw(20) {
		case 0:
			free.Store(99)
		case 1:
			free.Store(500)
		case 2:
			free.Store(10_000)
		case 3:
			clock.shift.Add(-int64(draw(300)) * int64(time.Second))
		case 4:
			clock.shift.Add(int64(draw(300)) * int64(time.Second))
		case 5, 6, 7:
			elapse(time.Duration(draw(3000)) * time.Millisecond)
		}
	}
	free.Store(10_000)
	elapse(3 * time.Hour)
	mu.Lock()
	defer mu.Unlock()
	wantOneEach(t, done, runs)
}

// What is due by the machine's clock is done soon after that is set forward, or goes on while the machine sleeps, whatever was due next.
func TestWhatIsDueWhenTheClockIsSetForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &shiftedClock{}
		e := start(t, runtime.Options{Store: runtimetest.NewMemStore(1), Clock: clock}, reports(nil), runtimetest.Workflow("timed", runtimetest.Timeout{
			Status: "waiting", Name: "t", After: 24 * time.Hour, To: []string{"over"}, Func: runtimetest.To("over"),
		}))
		create(t, e, spec("daily", "@every 24h"))
		timed := trigger(t, e, "timed", "1")
		synctest.Wait()
		clock.shift.Store(int64(24 * time.Hour))
		began := time.Now()
		settle(t, e, timed)
		if passed := time.Since(began); passed > time.Minute {
			t.Errorf("the timeout came after %v", passed)
		}
		elapse(time.Until(began.Add(time.Minute)))
		if n := runsOf(t, e, "daily"); n != 1 {
			t.Errorf("%d runs of the schedule a minute after its slot was due", n)
		}
	})
}
