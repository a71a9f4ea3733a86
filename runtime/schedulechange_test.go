package runtime_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// What is done to a schedule while the filter of its slot is asked holds: the slot that was decided on undoes none of it.
func TestScheduleIsChangedWhileItsFilterIsAsked(t *testing.T) {
	const name = "hourly"
	answers := map[string]runtimetest.Func{
		"triggers": runtimetest.Answer(runtime.OutcomeDone, ""),
		"skips":    runtimetest.Answer(runtime.OutcomeSkip, ""),
		"fails":    runtimetest.Answer(runtime.OutcomeError, "no answer"),
	}
	for answer, filter := range answers {
		t.Run(answer, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, proceed := make(chan struct{}), make(chan struct{})
				asks := func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
					asked <- struct{}{}
					<-proceed
					return filter(ctx, in, out)
				}
				part := func(cron string) runtimetest.Schedule {
					return runtimetest.Schedule{Spec: runtime.ScheduleSpec{Name: name, Cron: cron}, Filter: asks}
				}
				e := start(t, onMemory(), reports(nil, part("@every 1h")))
				schedule := func() runtime.Schedule {
					all, err := e.Schedules(t.Context())
					if err != nil || len(all) != 1 {
						t.Fatalf("%+v, %v", all, err)
					}
					return all[0]
				}

				<-asked
				if _, err := e.PauseSchedule(t.Context(), "report", name); err != nil {
					t.Fatal(err)
				}
				proceed <- struct{}{}
				elapse(10 * time.Hour)
				if s := schedule(); !s.Paused || runsOf(t, e, name) != 0 {
					t.Errorf("paused: %d runs began after that, and the schedule is %+v", runsOf(t, e, name), s)
				}
				if _, err := e.ResumeSchedule(t.Context(), "report", name); err != nil {
					t.Fatal(err)
				}

				<-asked
				e.SetCatalog(runtime.NewCatalog(reports(nil, part("@every 2h"))))
				synctest.Wait()
				proceed <- struct{}{}
				synctest.Wait()
				if s := schedule(); s.Cron != "@every 2h" || runsOf(t, e, name) != 0 {
					t.Errorf("changed: %d runs began after that, and the schedule is %+v", runsOf(t, e, name), s)
				}

				<-asked
				e.SetCatalog(runtime.NewCatalog(reports(nil)))
				synctest.Wait()
				proceed <- struct{}{}
				elapse(10 * time.Hour)
				if all, err := e.Schedules(t.Context()); err != nil || len(all) != 0 || runsOf(t, e, name) != 0 {
					t.Errorf("removed: %d runs began after that, and there are %+v, %v", runsOf(t, e, name), all, err)
				}
			})
		})
	}
}

// A schedule that a new version of its plugin has begin runs of another foreign ID, in another shard, stays paused, and its past known.
func TestPausedScheduleMovesToAnotherShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := func(foreignID string) runtimetest.Schedule {
			return runtimetest.Schedule{Spec: runtime.ScheduleSpec{Name: "hourly", Cron: "@every 1h", ForeignID: foreignID}}
		}
		e := start(t, onMemory(), reports(nil, part("a")))
		elapse(90 * time.Minute)
		before, err := e.PauseSchedule(t.Context(), "report", "hourly")
		if err != nil || before.LastRun.IsZero() {
			t.Fatalf("%+v, %v", before, err)
		}
		for _, id := range []string{"b", "c", "d", "e"} { // of which some lie in other shards
			e.SetCatalog(runtime.NewCatalog(reports(nil, part(id))))
			synctest.Wait()
			all, err := e.Schedules(t.Context())
			if err != nil || len(all) != 1 || all[0].ForeignID != id || !all[0].Paused || all[0].LastRun != before.LastRun {
				t.Errorf("for %s: %+v, %v", id, all, err)
			}
		}
		elapse(10 * time.Hour)
		for _, id := range []string{"b", "c", "d", "e"} {
			if n := runsOf(t, e, id); n != 0 {
				t.Errorf("%d runs of %s while paused", n, id)
			}
		}
	})
}

// afterRead is a store that calls a function once after a schedule was read.
type afterRead struct {
	*runtimetest.MemStore
	call atomic.Pointer[func()]
}

func (s *afterRead) Schedule(workflow, name string) (runtime.Schedule, error) {
	found, err := s.MemStore.Schedule(workflow, name)
	if call := s.call.Swap(nil); call != nil {
		(*call)()
	}
	return found, err
}

// A schedule that is resumed in the moment in which its slot is found to be void goes on.
func TestScheduleIsResumedWhileItsSlotIsDropped(t *testing.T) {
	began := make(chan struct{}, 1)
	w := runtimetest.Workflow("report", runtimetest.Step{
		Status: "asked", To: []string{"made"}, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
			select {
			case began <- struct{}{}:
			default:
			}
			out.Kind, out.Status = runtime.OutcomeTo, "made"
			return nil
		},
	})
	store := &afterRead{MemStore: runtimetest.NewMemStore(1)}
	e := start(t, runtime.Options{Store: store}, w)
	create(t, e, spec("often", "@every 1s"))
	if _, err := e.PauseSchedule(t.Context(), "report", "often"); err != nil {
		t.Fatal(err)
	}
	resumed := make(chan error, 1)
	resume := func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err := e.ResumeSchedule(t.Context(), "report", "often")
			resumed <- err
		}()
		select {
		case <-done:
		case <-time.After(50 * time.Millisecond): // whoever reads holds the shard: it is resumed after that
		}
	}
	store.call.Store(&resume)
	if err := <-resumed; err != nil {
		t.Fatal(err)
	}
	select {
	case <-began:
	case <-time.After(10 * time.Second):
		t.Error("no slot has come since")
	}
}
