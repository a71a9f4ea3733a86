package runtime_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// handClock is a clock that stands still until it is moved.
type handClock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*handTimer
}

type handTimer struct {
	clock *handClock
	due   time.Time
	call  func()
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) AfterFunc(d time.Duration, f func()) runtime.ClockTimer {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := &handTimer{c, c.now.Add(d), f}
	if d <= 0 {
		go f()
	} else {
		c.timers = append(c.timers, timer)
	}
	return timer
}

// Stop implements runtime.ClockTimer.
func (t *handTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	i := slices.Index(t.clock.timers, t)
	if i >= 0 {
		t.clock.timers = slices.Delete(t.clock.timers, i, i+1)
	}
	return i >= 0
}

// move moves the clock on and calls what has come due.
func (c *handClock) move(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []*handTimer
	c.timers = slices.DeleteFunc(c.timers, func(t *handTimer) bool {
		if t.due.After(c.now) {
			return false
		}
		due = append(due, t)
		return true
	})
	c.mu.Unlock()
	for _, t := range due {
		go t.call()
	}
}

// A step, an hour of waiting and another step, for many runs, five at a time, by a clock of the caller's: the machine's own time
// moves nothing, and the moment of the hour itself counts.
func TestStepTimeoutStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &handClock{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
		opt := onMemory()
		opt.Clock = clock
		step := func(status, to string) runtimetest.Step {
			return runtimetest.Step{Status: status, To: []string{to}, Parallelism: 5, Func: runtimetest.To(to)}
		}
		e := start(t, opt, runtimetest.Workflow("orders", step("received", "waits"),
			runtimetest.Timeout{Status: "waits", After: time.Hour, To: []string{"packed"}, Func: runtimetest.To("packed")},
			step("packed", "shipped"),
		))
		var ids []runtime.RunID
		for i := range 50 {
			ids = append(ids, trigger(t, e, "orders", strconv.Itoa(i)))
		}
		all := func(status string) {
			t.Helper()
			synctest.Wait()
			for _, id := range ids {
				rec, err := e.Run(t.Context(), id)
				if err != nil || rec.Status != status || !rec.UpdatedAt.Equal(clock.Now()) && status == "shipped" {
					t.Fatalf("at %v the run is %+v, %v; want %s", clock.Now(), rec, err, status)
				}
			}
		}
		all("waits")
		elapse(24 * time.Hour) // of the machine
		all("waits")
		clock.move(time.Hour - 1)
		all("waits")
		clock.move(1)
		all("shipped")
	})
}

// A step that skips parks its run: nothing fires again until a resume, a callback, a timeout or a new entry arms it.
func TestSkipParksUntilSomethingArms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"shipped"}, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				calls++
				out.Kind = runtime.OutcomeSkip
				return nil
			}},
			runtimetest.Callback{Status: "received", To: []string{"received"}, Func: runtimetest.To("received")},
			runtimetest.Timeout{Status: "received", After: 1000 * time.Hour, To: []string{"received"}, Func: runtimetest.To("received")},
		))
		id := trigger(t, e, "orders", "1")
		want := func(what string, n int) {
			t.Helper()
			synctest.Wait()
			rec, err := e.Run(t.Context(), id)
			if err != nil || calls != n || !rec.Parked || rec.State != runtime.Running || rec.Status != "received" {
				t.Fatalf("%s: the step ran %d times, want %d: %+v, %v", what, calls, n, rec, err)
			}
		}
		want("at first", 1)
		elapse(100 * time.Hour)
		want("after a long time", 1)
		if _, err := e.Pause(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Resume(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		want("after a resume", 2)
		if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "orders", Status: "received", ForeignID: "1"}); err != nil {
			t.Fatal(err)
		}
		want("after a callback that enters anew", 3)
		elapse(1001 * time.Hour)
		want("after the timeout", 4)
		if _, err := e.Move(t.Context(), id, "received", runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		want("after a move", 5)
	})
}

// Repeat keeps the status and is not bound by the graph; a step may have no destination at all, and then it runs like any other.
func TestStepWithoutDestinations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rounds := 0
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"last"}, Func: runtimetest.To("last")},
			runtimetest.Step{Status: "last", Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				rounds++
				out.Kind, out.Reason = runtime.OutcomeRepeat, ""
				out.Changed, out.Object = true, strconv.AppendInt(out.Object, int64(rounds), 10)
				if rounds == 3 {
					out.Kind, out.Reason = runtime.OutcomeCancel, "enough"
				}
				return nil
			}},
		))
		id := trigger(t, e, "orders", "1")
		if last := settle(t, e, id); rounds != 3 || last.State != runtime.Cancelled || last.Status != "last" || last.Version != 5 ||
			last.Entry != 2 || string(last.Object) != "3" {
			t.Errorf("after %d rounds: %+v", rounds, last)
		}
	})
}

// A run may come back to the status in which it began, and into the one in which it is.
func TestCycleThroughTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered := map[string]int{}
		next := func(to ...string) runtimetest.Func {
			return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				status := in.Record.Status
				entered[status]++
				out.Kind, out.Status = runtime.OutcomeTo, to[min(entered[status], len(to))-1]
				return nil
			}
		}
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"received", "paid"}, Func: next("received", "paid")},
			runtimetest.Step{Status: "paid", To: []string{"received", "shipped"}, Func: next("received", "received", "shipped")},
		))
		id := trigger(t, e, "orders", "1")
		if last := settle(t, e, id); last.Status != "shipped" || fmt.Sprint(entered) != "map[paid:3 received:4]" {
			t.Errorf("entered %v, then %+v", entered, last)
		}
	})
}

// lateness counts the tasks that waited for a worker, and those that were late.
type lateness struct {
	runtime.NoMeter
	mu         sync.Mutex
	began      int
	lateStatus []string
	status     string
	all        *lateness
}

func (l *lateness) Step(_, status string) runtime.StepMeter { return &lateness{status: status, all: l} }

func (l *lateness) Lag(_ time.Duration, late bool) {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	l.all.began++
	if late {
		l.all.lateStatus = append(l.all.lateStatus, l.status)
	}
}

// A task that waits for a worker beyond its step's lag alert is counted, also when it waits in the store; the step's own lag is not waiting.
func TestLagAlert(t *testing.T) {
	for _, window := range []int{1, 100} {
		t.Run(fmt.Sprint("window ", window), func(t *testing.T) { testLagAlert(t, window) })
	}
}

func testLagAlert(t *testing.T, window int) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
			elapse(time.Minute)
			out.Kind, out.Status = runtime.OutcomeTo, "end"
			return nil
		}
		meter := &lateness{}
		opt := onMemory()
		opt.Workers, opt.Window, opt.Meter = 1, window, meter
		e := start(t, opt, runtimetest.Workflow("orders",
			runtimetest.Step{Status: "alerts", To: []string{"end"}, Func: slow, Lag: time.Hour, LagAlert: 90 * time.Second},
			runtimetest.Step{Status: "never", To: []string{"end"}, Func: slow},
		))
		for _, at := range []string{"alerts", "never"} {
			for i := range 4 { // one after the other: they wait for 0, 1, 2 and 3 minutes
				if _, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: fmt.Sprint(at, i), StartAt: at}); err != nil {
					t.Fatal(err)
				}
			}
			elapse(2 * time.Hour)
		}
		synctest.Wait()
		meter.mu.Lock()
		defer meter.mu.Unlock()
		if meter.began != 8 || fmt.Sprint(meter.lateStatus) != "[alerts alerts]" {
			t.Errorf("%d tasks began, late were those of %v", meter.began, meter.lateStatus)
		}
	})
}

// Who sets one field of a retry rule keeps the defaults of the others.
func TestOneRetrySettingKeepsTheOthers(t *testing.T) {
	defaults := runtime.DefaultRetry()
	for _, c := range []struct {
		set  runtime.Retry
		want func(*runtime.Retry)
	}{
		{runtime.Retry{}, func(*runtime.Retry) {}},
		{runtime.Retry{Attempts: 3}, func(r *runtime.Retry) { r.Attempts = 3 }},
		{runtime.Retry{Initial: time.Minute}, func(r *runtime.Retry) { r.Initial = time.Minute }},
		{runtime.Retry{Max: time.Hour}, func(r *runtime.Retry) { r.Max = time.Hour }},
		{runtime.Retry{Factor: 1.5}, func(r *runtime.Retry) { r.Factor = 1.5 }},
	} {
		want := defaults
		c.want(&want)
		if got := c.set.OrDefaults(defaults); got != want {
			t.Errorf("%+v becomes %+v, want %+v", c.set, got, want)
		}
	}
}

// A schedule keeps its zone through a restart on a machine of another.
func TestScheduleKeepsItsZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := time.Local
		defer func() { time.Local = local }()
		store := runtimetest.NewMemStore(4)
		e := start(t, runtime.Options{Store: store}, reports(nil))
		s := spec("morning", "0 9 * * *")
		s.Zone = "America/New_York"
		create(t, e, s)
		for day, zone := range []string{"Asia/Tokyo", "Europe/Berlin", "UTC"} {
			store = crash(t, e, store)
			var err error
			if time.Local, err = time.LoadLocation(zone); err != nil {
				t.Fatal(err)
			}
			e = start(t, runtime.Options{Store: store}, reports(nil))
			elapse(24 * time.Hour)
			if n := runsOf(t, e, "morning"); n != day+1 {
				t.Fatalf("%d runs after %d days", n, day+1)
			}
			known, err := e.Schedules(t.Context())
			if err != nil || known[0].LastSlot.UTC().Format(time.TimeOnly) != "14:00:00" { // 09:00 in New York, in winter
				t.Errorf("in %s the slot was %v, %v", zone, known[0].LastSlot.UTC(), err)
			}
		}
	})
}
