package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// A schedule that gets another object while its filter is asked triggers its slot with that, and at once, whatever is caught up with.
func TestScheduleGetsAnObjectWhileItsFilterIsAsked(t *testing.T) {
	for _, policy := range []runtime.CatchUp{runtime.CatchUpNone, runtime.CatchUpOne, runtime.CatchUpAll} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, proceed := make(chan struct{}), make(chan struct{})
				part := func(object string) runtimetest.Schedule {
					return runtimetest.Schedule{
						Spec: runtime.ScheduleSpec{Name: "daily", Cron: "@daily", CatchUp: policy, Object: []byte(object)},
						Filter: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
							asked <- struct{}{}
							<-proceed
							out.Kind = runtime.OutcomeDone
							return nil
						},
					}
				}
				e := start(t, onMemory(), reports(nil, part(`"old"`)))
				<-asked
				slot := time.Now()
				e.SetCatalog(runtime.NewCatalog(reports(nil, part(`"new"`))))
				synctest.Wait()
				proceed <- struct{}{}
				<-asked
				proceed <- struct{}{}
				synctest.Wait()
				all, err := e.Runs(t.Context(), runtime.Query{Limit: 10})
				if err != nil || len(all) != 1 || string(all[0].Object) != `"new"` || all[0].CreatedAt.Sub(slot) > time.Second {
					t.Errorf("the runs are %+v, %v; want one with the new object, at %v", all, err, slot)
				}
				elapse(23 * time.Hour)
				if n := runsOf(t, e, "daily"); n != 1 {
					t.Errorf("there are %d runs a day later; want the slot to have triggered once", n)
				}
			})
		})
	}
}

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

// losing is a store that loses, in a crash, whatever comes after a number of batches with a schedule.
type losing struct {
	*runtimetest.MemStore
	after atomic.Int64
}

func (s *losing) Apply(shard runtime.Shard, epoch runtime.Epoch, b *runtime.Batch) (runtime.LSN, error) {
	lsn, err := s.MemStore.Apply(shard, epoch, b)
	if (b.PrevSchedule != nil || b.NextSchedule != nil) && s.after.Add(-1) == 0 {
		s.Hold()
	}
	return lsn, err
}

// A crash amid the move of a schedule to another shard, wherever it leaves the store, does not forget that the schedule is paused.
func TestPauseOutlivesACrashDuringAMove(t *testing.T) {
	ids := elsewhere(2)
	for batches := int64(1); batches <= 3; batches++ {
		t.Run(fmt.Sprint("after ", batches, " batches"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &losing{MemStore: runtimetest.NewMemStore(4)}
				e := start(t, runtime.Options{Store: store}, movable("@every 1h", ids[0], nil))
				elapse(90 * time.Minute)
				before, err := e.PauseSchedule(t.Context(), "report", "moves")
				if err != nil || before.LastRun.IsZero() {
					t.Fatalf("%+v, %v", before, err)
				}
				store.after.Store(batches)
				e.SetCatalog(runtime.NewCatalog(movable("@every 1h", ids[1], nil)))
				synctest.Wait()
				e = start(t, runtime.Options{Store: crash(t, e, store.MemStore)}, movable("@every 1h", ids[1], nil))
				elapse(10 * time.Hour)
				if s := only(t, e); s.ForeignID != ids[1] || !s.Paused || s.LastRun != before.LastRun {
					t.Errorf("after the crash: %+v", s)
				}
				if n := runsOf(t, e, ids[1]); n != 0 {
					t.Errorf("%d runs while paused", n)
				}
			})
		})
	}
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

// movable is a workflow with a schedule of a plugin whose runs have a foreign ID that is to be changed.
func movable(cron, foreignID string, filter runtimetest.Func) *runtime.Workflow {
	return reports(nil, runtimetest.Schedule{
		Spec: runtime.ScheduleSpec{Name: "moves", Cron: cron, ForeignID: foreignID}, Filter: filter,
	})
}

// elsewhere returns n foreign IDs, each in another shard of four than the one before.
func elsewhere(n int) []string {
	ids := []string{"0"}
	shard := func(id string) runtime.Shard { return runtime.ShardOf(runtime.SlotOf("report", id), 4) }
	for i := 1; len(ids) < n; i++ {
		if id := strconv.Itoa(i); shard(id) != shard(ids[len(ids)-1]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// only returns the one schedule that there is.
func only(t *testing.T, e *runtime.Engine) runtime.Schedule {
	t.Helper()
	all, err := e.Schedules(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("schedules %+v, %v", all, err)
	}
	return all[0]
}

// onMove is an afterRead that tells of each schedule that is written.
type onMove struct {
	*afterRead
	written chan string // foreign IDs
}

func (s *onMove) Apply(shard runtime.Shard, epoch runtime.Epoch, b *runtime.Batch) (runtime.LSN, error) {
	next := b.NextSchedule
	lsn, err := s.MemStore.Apply(shard, epoch, b)
	if err == nil && next != nil {
		s.written <- next.ForeignID
	}
	return lsn, err
}

// Whatever is done to a schedule while it moves to another shard is done to it where it is then.
func TestScheduleMovesWhileItIsChanged(t *testing.T) {
	ids := elsewhere(2)
	changes := map[string]func(e *runtime.Engine) error{
		"pause": func(e *runtime.Engine) error {
			_, err := e.PauseSchedule(t.Context(), "report", "moves")
			return err
		},
		"resume": func(e *runtime.Engine) error {
			_, err := e.ResumeSchedule(t.Context(), "report", "moves")
			return err
		},
		"delete": func(e *runtime.Engine) error { return e.DeleteSchedule(t.Context(), "report", "moves") },
		"create": func(e *runtime.Engine) error {
			_, err := e.CreateSchedule(t.Context(), spec("moves", "@daily"))
			return err
		},
	}
	wanted := map[string]error{"delete": runtime.ErrPluginSchedule, "create": runtime.ErrScheduleExists}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			store := &onMove{afterRead: &afterRead{MemStore: runtimetest.NewMemStore(4)}, written: make(chan string, 10)}
			e := start(t, runtime.Options{Store: store}, movable("@yearly", ids[0], nil))
			if first := <-store.written; first != ids[0] {
				t.Fatalf("the schedule begins with %s", first)
			}
			move := func() {
				e.SetCatalog(runtime.NewCatalog(movable("@yearly", ids[1], nil)))
				select {
				case id := <-store.written:
					store.written <- id
				case <-time.After(50 * time.Millisecond): // whoever reads holds all shards: it moves after that
				case <-e.Failed():
				}
			}
			store.call.Store(&move)
			if err := change(e); !errors.Is(err, wanted[name]) {
				t.Error(err)
			}
			for moved := false; !moved; {
				select {
				case id := <-store.written:
					moved = id == ids[1]
				case <-e.Failed():
					t.Fatal(e.Err())
				}
			}
			if s := only(t, e); s.ForeignID != ids[1] || s.Paused != (name == "pause") || e.Err() != nil {
				t.Errorf("%+v, %v", s, e.Err())
			}
		})
	}
}

// A schedule that moves to another shard leaves no slot behind there that triggers, whenever it moves.
func TestScheduleThatMovedTriggersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := elsewhere(10)
		e := start(t, onMemory(), movable("@hourly", ids[0], nil))
		elapse(10 * time.Minute)
		for i, id := range ids {
			e.SetCatalog(runtime.NewCatalog(movable("@hourly", id, nil)))
			elapse(time.Hour)
			if n := runsOf(t, e, id); n != 1 || e.Err() != nil {
				t.Fatalf("%d runs in the hour of %s, %v", n, id, e.Err())
			}
			if all, err := e.Runs(t.Context(), runtime.Query{Limit: 100}); err != nil || len(all) != i+1 {
				t.Errorf("%d runs after %d hours, %v", len(all), i+1, err)
			}
		}
	})
}

// A schedule that moves to another shard while the filter of its slot is asked triggers the slot there, and only there.
func TestScheduleMovesWhileItsFilterIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := elsewhere(2)
		asked, proceed := make(chan struct{}), make(chan struct{})
		holds := func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
			asked <- struct{}{}
			<-proceed
			return runtimetest.Answer(runtime.OutcomeDone, "")(ctx, in, out)
		}
		e := start(t, onMemory(), movable("@hourly", ids[0], holds))
		<-asked
		e.SetCatalog(runtime.NewCatalog(movable("@hourly", ids[1], runtimetest.Answer(runtime.OutcomeDone, ""))))
		synctest.Wait()
		proceed <- struct{}{}
		elapse(2 * time.Hour)
		if old, n := runsOf(t, e, ids[0]), runsOf(t, e, ids[1]); old != 0 || n != 3 || e.Err() != nil {
			t.Errorf("%d runs of the old foreign ID, %d of the new one, %v", old, n, e.Err())
		}
	})
}

// However slow the disk is, and however fast one catalog follows another: the schedules end as the last of them declares.
func TestLastCatalogDecidesOnSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(4)
		e := start(t, runtime.Options{Store: store}, reports(nil))
		var parts []runtimetest.Part
		for i := range 5 {
			parts = append(parts, runtimetest.Schedule{Spec: spec(strconv.Itoa(i), "@every 1h")})
		}
		declare := func(parts []runtimetest.Part) {
			e.SetCatalog(runtime.NewCatalog(reports(nil, slices.Clone(parts)...)))
			synctest.Wait()
		}
		for _, n := range []int{5, 2} { // growing, and then shrinking
			store.Hold()
			for i := range 4 {
				declare(parts[i : i+1])
			}
			declare(parts[:n])
			store.Release()
			synctest.Wait()
			all, err := e.Schedules(t.Context())
			if err != nil || len(all) != n {
				t.Errorf("%d schedules of %d: %+v, %v", len(all), n, all, err)
			}
		}
	})
}

// The schedules of a workflow whose module is missing stay as they are, and their slots wait for it.
func TestScheduleOutlivesItsModule(t *testing.T) {
	served := func() *runtime.Workflow {
		part := func(name string) runtimetest.Part {
			return runtimetest.Schedule{Spec: runtime.ScheduleSpec{Name: name, Cron: "@hourly", CatchUp: runtime.CatchUpAll}}
		}
		return reports(nil, part("goes on"), part("is paused"))
	}
	closed := &runtime.Workflow{Name: "report", Closed: true, Older: []*runtime.Workflow{served()}}
	for name, without := range map[string]*runtime.Catalog{
		"no workflow": runtime.NewCatalog(), "a closed workflow": runtime.NewCatalog(closed),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := start(t, onMemory(), served())
				elapse(90 * time.Minute)
				paused, err := e.PauseSchedule(t.Context(), "report", "is paused")
				if err != nil || paused.LastRun.IsZero() {
					t.Fatalf("%+v, %v", paused, err)
				}
				e.SetCatalog(without)
				elapse(5 * time.Hour)
				if n := runsOf(t, e, "goes on"); n != 1 {
					t.Errorf("%d runs before the module went and while it was missing, want 1", n)
				}
				e.SetCatalog(runtime.NewCatalog(served()))
				elapse(10 * time.Minute)
				if n := runsOf(t, e, "goes on"); n != 6 {
					t.Errorf("%d runs once the module is back, want one for each hour", n)
				}
				all, err := e.Schedules(t.Context())
				if err != nil || len(all) != 2 || !runtimetest.EqualSchedules(&all[1], &paused) {
					t.Errorf("%+v, %v: want the paused one as it was: %+v", all, err, paused)
				}
				if n := runsOf(t, e, "is paused"); n != 1 {
					t.Errorf("%d runs of the one that is paused, want 1", n)
				}
			})
		})
	}
}

// A slot that is kept triggers also when the plugin declares the schedule otherwise before it could: once, and as it is declared then.
func TestKeptSlotOutlivesAChange(t *testing.T) {
	ids := elsewhere(2)
	before := runtime.ScheduleSpec{Name: "daily", Cron: "@daily", ForeignID: ids[0], Object: []byte("1")}
	changes := map[string]func(s *runtime.ScheduleSpec){
		"its object":         func(s *runtime.ScheduleSpec) { s.Object = []byte("2") },
		"its catching up":    func(s *runtime.ScheduleSpec) { s.CatchUp = runtime.CatchUpAll },
		"its shard":          func(s *runtime.ScheduleSpec) { s.ForeignID = ids[1] },
		"nothing":            func(*runtime.ScheduleSpec) {},
		"shard and object":   func(s *runtime.ScheduleSpec) { s.ForeignID, s.Object = ids[1], []byte("2") },
		"start and catch-up": func(s *runtime.ScheduleSpec) { s.StartAt, s.CatchUp = "asked", runtime.CatchUpAll },
	}
	for name, change := range changes {
		for _, pause := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, paused %v", name, pause), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					declared := func(s runtime.ScheduleSpec, kind runtime.OutcomeKind) *runtime.Workflow {
						return reports(nil, runtimetest.Schedule{Spec: s, Filter: runtimetest.Answer(kind, "no answer")})
					}
					e := start(t, onMemory(), declared(before, runtime.OutcomeError))
					elapse(24*time.Hour + time.Minute)
					kept := only(t, e)
					if !strings.HasPrefix(kept.LastResult, "failed, and will be tried again: no answer") {
						t.Fatalf("%+v", kept)
					}
					if pause {
						if _, err := e.PauseSchedule(t.Context(), "report", "daily"); err != nil {
							t.Fatal(err)
						}
					}
					after := before
					change(&after)
					e.SetCatalog(runtime.NewCatalog(declared(after, runtime.OutcomeDone)))
					elapse(10 * time.Minute)
					if pause {
						if s := only(t, e); !s.Paused || !s.Next.Equal(kept.Next) || runsOf(t, e, after.ForeignID) != 0 {
							t.Errorf("while it is paused: %+v", s)
						}
						if _, err := e.ResumeSchedule(t.Context(), "report", "daily"); err != nil {
							t.Fatal(err)
						}
						elapse(10 * time.Minute)
					}
					all, err := e.Runs(t.Context(), runtime.Query{Limit: 10})
					if err != nil || len(all) != 1 || all[0].ForeignID != after.ForeignID || string(all[0].Object) != string(after.Object) {
						t.Errorf("runs %+v, %v", all, err)
					}
					s := only(t, e)
					if s.LastResult != "triggered" || !s.LastSlot.Equal(kept.Next) || !s.Next.Equal(kept.Next.Add(24*time.Hour)) || !s.Since.Equal(kept.Since) {
						t.Errorf("%+v", s)
					}
					elapse(24 * time.Hour)
					if n := runsOf(t, e, after.ForeignID); n != 2 {
						t.Errorf("%d runs a day later", n)
					}
				})
			})
		}
	}
}

// A slot that is kept while the plugin gives the schedule other times is none of them, and the schedule says so.
func TestKeptSlotOfOtherTimesIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), movable("@daily", "", runtimetest.Answer(runtime.OutcomeError, "no answer")))
		elapse(24*time.Hour + time.Minute)
		kept := only(t, e)
		e.SetCatalog(runtime.NewCatalog(movable("@hourly", "", nil)))
		elapse(10 * time.Minute)
		s := only(t, e)
		if s.LastResult != "skipped: the schedule has other times since" || !s.LastSlot.Equal(kept.Next) || !s.Next.Equal(kept.Next.Add(time.Hour)) {
			t.Errorf("%+v", s)
		}
		elapse(time.Hour)
		if n := runsOf(t, e, "moves"); n != 1 {
			t.Errorf("%d runs in the first hour", n)
		}
	})
}

// A slot that waits for the end of a run waits no longer once the runs of its schedule have another foreign ID.
func TestSlotWaitsForNoRunOfAnotherForeignID(t *testing.T) {
	for _, id := range elsewhere(8) { // in the shard of the first, and in others
		synctest.Test(t, func(t *testing.T) {
			hold := make(chan struct{})
			defer close(hold)
			declared := func(foreignID string) *runtime.Workflow {
				return reports(hold, runtimetest.Schedule{
					Spec: runtime.ScheduleSpec{Name: "hourly", Cron: "@hourly", ForeignID: foreignID, CatchUp: runtime.CatchUpAll},
				})
			}
			store := runtimetest.NewMemStore(4)
			opt := runtime.Options{Store: store, StepTimeout: 100 * time.Hour}
			e := start(t, opt, declared("first"))
			elapse(time.Hour + time.Minute)
			opt.Store = crash(t, e, store)
			elapse(90 * time.Minute) // a slot is missed
			e = start(t, opt, declared("first"))
			elapse(10 * time.Minute)
			if s := only(t, e); !strings.HasPrefix(s.LastResult, "waits: ") {
				t.Fatalf("%+v", s)
			}
			e.SetCatalog(runtime.NewCatalog(declared(id)))
			if n := runsOf(t, e, id); n != 1 {
				t.Errorf("%d runs of %s", n, id)
			}
		})
	}
}

// A slot that comes due while the filter of one before it is asked still, of a schedule that had other times then, triggers once that is over.
func TestSlotComesDueWhileAnotherIsDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proceed := make(chan struct{})
		var asked atomic.Int64
		declared := func(cron string) *runtime.Workflow {
			return movable(cron, "", func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
				if asked.Add(1) == 1 {
					<-proceed
				}
				out.Kind = runtime.OutcomeDone
				return nil
			})
		}
		e := start(t, onMemory(), declared("@every 1h"))
		elapse(time.Hour)
		synctest.Wait()
		e.SetCatalog(runtime.NewCatalog(declared("@every 2h")))
		elapse(2*time.Hour + time.Second)
		if n := runsOf(t, e, "moves"); n != 0 || asked.Load() != 1 {
			t.Fatalf("%d runs, and the filter was asked %d times, while it is asked", n, asked.Load())
		}
		close(proceed)
		if n := runsOf(t, e, "moves"); n != 1 || asked.Load() != 2 {
			t.Errorf("%d runs, and the filter was asked %d times", n, asked.Load())
		}
	})
}

// interrupted is a clock that calls a function once when it is asked for the time, after its store was asked for a schedule.
type interrupted struct {
	runtime.SystemClock
	*runtimetest.MemStore
	call  atomic.Pointer[func()] // what is to be called
	asked atomic.Pointer[func()] // the same, once a schedule was read
}

func (c *interrupted) Now() time.Time {
	if call := c.asked.Swap(nil); call != nil {
		(*call)()
	}
	return c.SystemClock.Now()
}

func (c *interrupted) Schedule(workflow, name string) (runtime.Schedule, error) {
	if call := c.call.Swap(nil); call != nil {
		c.asked.Store(call)
	}
	return c.MemStore.Schedule(workflow, name)
}

// A slot whose schedule is changed after it was read is decided afresh, at once, as the schedule is then.
func TestScheduleIsChangedWhileItsSlotIsDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		declared := func(object string) *runtime.Workflow {
			return reports(nil, runtimetest.Schedule{Spec: runtime.ScheduleSpec{Name: "hourly", Cron: "@every 1h", Object: []byte(object)}})
		}
		store := &interrupted{MemStore: runtimetest.NewMemStore(1)}
		e := start(t, runtime.Options{Store: store, Clock: store}, declared("1"))
		elapse(30 * time.Minute)
		change := func() {
			e.SetCatalog(runtime.NewCatalog(declared("2")))
			for {
				if s, err := store.MemStore.Schedule("report", "hourly"); err != nil || string(s.Object) == "2" {
					return
				}
				elapse(time.Millisecond)
			}
		}
		store.call.Store(&change)
		elapse(31 * time.Minute)
		all, err := e.Runs(t.Context(), runtime.Query{Limit: 10})
		if err != nil || len(all) != 1 || string(all[0].Object) != "2" {
			t.Errorf("the runs are %+v, %v; want one, with the new object", all, err)
		}
	})
}
