package runtime_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// unpublished sums what waits over all shards.
func unpublished(e *runtime.Engine) (n int) {
	for _, s := range e.Stats().Shards {
		n += s.Unpublished
	}
	return n
}

// A backlog that is far beyond what memory holds is counted, aged, kept over a restart, and drains in order.
func TestBacklogDrainsInOrder(t *testing.T) {
	const runs = 3000 // of 3 events each, in one shard: more than four times what memory holds
	synctest.Test(t, func(t *testing.T) {
		away := &runtimetest.MemStreamer{}
		for range 10_000 {
			away.Script = append(away.Script, func([]runtime.Event) (int, error) { return 0, errAway })
		}
		store := runtimetest.NewMemStore(1)
		opt := runtime.Options{Store: store, Streamer: away, Relay: runtime.RelayOptions{LagAlert: time.Hour}}
		e := start(t, opt, runtimetest.Chain("chain", 2))
		for i := range runs {
			trigger(t, e, "chain", fmt.Sprint(i))
		}
		synctest.Wait()
		if n := unpublished(e); n != 3*runs {
			t.Errorf("%d events wait, want %d", n, 3*runs)
		}
		if e.Stats().OutboxLate {
			t.Error("the lag alert is given at once")
		}
		elapse(2 * time.Hour)
		if s := e.Stats(); !s.OutboxLate || s.OutboxAge < 2*time.Hour || s.OutboxAge > 3*time.Hour {
			t.Errorf("after two hours the oldest event is %v old, late %v", s.OutboxAge, s.OutboxLate)
		}
		store = crash(t, e, store)
		back := &runtimetest.MemStreamer{}
		opt.Store, opt.Streamer = store, back
		e = start(t, opt, runtimetest.Chain("chain", 2))
		trigger(t, e, "chain", "after")
		elapse(time.Minute)
		if n, age := unpublished(e), e.Stats().OutboxAge; n != 0 || age != 0 {
			t.Errorf("%d events wait, the oldest for %v", n, age)
		}
		taken := back.Taken()
		if !slices.IsSortedFunc(taken, func(a, b runtime.Event) int { return int(a.LSN) - int(b.LSN) }) || len(taken) != 3*(runs+1) {
			t.Errorf("%d events, want %d in order", len(taken), 3*(runs+1))
		}
	})
}

// A page holds no more events and bytes than it may, and yet all come.
func TestPagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		largest, count := 0, 0
		m := &runtimetest.MemStreamer{}
		for range 10_000 {
			m.Script = append(m.Script, func(events []runtime.Event) (int, error) {
				size := 0
				for i := range events {
					size += events[i].Size()
				}
				largest, count = max(largest, size), max(count, len(events))
				return len(events), nil
			})
		}
		opt := runtime.Options{
			Store: runtimetest.NewMemStore(1), Streamer: m, Relay: runtime.RelayOptions{Batch: 20, BatchBytes: 4000, Linger: time.Second},
		}
		e := start(t, opt, runtimetest.Chain("chain", 2))
		for i := range 200 {
			trigger(t, e, "chain", fmt.Sprintf("%0100d", i))
		}
		elapse(time.Minute)
		if largest > 4000 || count > 20 || largest < 3000 {
			t.Errorf("the largest page has %d bytes, the longest %d events", largest, count)
		}
		if n := len(m.Taken()); n != 600 {
			t.Errorf("%d events of 600", n)
		}
	})
}

// An event that is refused is parked with its cause, and those after it go on. It can be published again once what stood in its way
// is gone.
func TestRefusedEventIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		m := &runtimetest.MemStreamer{}
		for range 1000 {
			m.Script = append(m.Script, func(events []runtime.Event) (int, error) {
				i := slices.IndexFunc(events, func(e runtime.Event) bool { return refuse && e.ForeignID == "3" && e.Version == 2 })
				if i < 0 {
					return len(events), nil
				}
				return i, &runtime.RefusedError{Cause: errors.New("larger than the topic takes")}
			})
		}
		store := runtimetest.NewMemStore(2)
		opt := runtime.Options{Store: store, Streamer: m}
		e := start(t, opt, runtimetest.Chain("chain", 3))
		for i := range 10 {
			trigger(t, e, "chain", fmt.Sprint(i))
		}
		elapse(time.Minute)
		parked := parkedEvents(t, e)
		if len(parked) != 1 || parked[0].Event.ForeignID != "3" || parked[0].Event.Version != 2 ||
			parked[0].Cause != "the event is refused: larger than the topic takes" {
			t.Fatalf("parked %+v", parked)
		}
		id := parked[0].Event.ID()
		versions := func() (v []uint64) {
			for _, ev := range m.Taken() {
				if ev.ForeignID == "3" {
					v = append(v, ev.Version)
				}
			}
			return v
		}
		if v := versions(); !slices.Equal(v, []uint64{1, 3, 4}) || len(m.Taken()) != 39 || unpublished(e) != 0 {
			t.Errorf("versions %v of the run, %d events in all; %d wait", v, len(m.Taken()), unpublished(e))
		}
		var refused *runtime.RefusedError
		if _, err := e.RedriveEvent(t.Context(), id); !errors.As(err, &refused) {
			t.Errorf("it is refused again, and the answer is %v", err)
		}
		if _, err := e.RedriveEvent(t.Context(), id+"0"); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("an unknown event: %v", err)
		}
		// It is durable: another owner finds it.
		e = start(t, runtime.Options{Store: crash(t, e, store), Streamer: m}, runtimetest.Chain("chain", 3))
		elapse(time.Second)
		count := func() (n int) {
			for _, s := range e.Stats().Shards {
				n += s.Parked
			}
			return n
		}
		if n := count(); n != 1 {
			t.Errorf("%d parked events after a crash", n)
		}
		refuse = false
		if _, err := e.RedriveEvent(t.Context(), id); err != nil {
			t.Error(err)
		}
		parked = parkedEvents(t, e)
		if len(parked) != 0 || count() != 0 || !slices.Contains(versions(), 2) {
			t.Errorf("after it was published %+v are parked", parked)
		}
	})
}

// What a run's handlers emitted and the streamer refused goes with the run's data: what is parked, what is refused afterwards, and
// what a redrive under way would park again. The notices that the run changed hold none, and stay.
func TestEraseDropsParkedEmits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		redriven := make(chan struct{})
		m := &runtimetest.MemStreamer{}
		var await atomic.Bool
		for range 10_000 {
			m.Script = append(m.Script, func(events []runtime.Event) (int, error) {
				if await.Load() {
					<-redriven
				}
				i := slices.IndexFunc(events, func(e runtime.Event) bool { return e.Number > 0 || e.Version == 2 })
				if i < 0 {
					return len(events), nil
				}
				return i, &runtime.RefusedError{Cause: errors.New("larger than the topic takes")}
			})
		}
		opt := onMemory()
		opt.Streamer = m
		e := start(t, opt, runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"done"}, Func: emits(runtimetest.To("done"), "a", "b")}))
		id, other := trigger(t, e, "orders", "1"), trigger(t, e, "orders", "2")
		elapse(time.Minute)
		parked := func() (ids []string) {
			all := parkedEvents(t, e)
			for i := range all {
				ids = append(ids, all[i].Event.ID())
			}
			slices.Sort(ids)
			counted := 0
			for _, s := range e.Stats().Shards {
				counted += s.Parked
			}
			if counted != len(ids) {
				t.Errorf("%d events are counted as parked, want %d", counted, len(ids))
			}
			return ids
		}
		if ids := parked(); len(ids) != 6 {
			t.Fatalf("parked: %q", ids)
		}
		await.Store(true)
		answered := make(chan error)
		go func() {
			_, err := e.RedriveEvent(t.Context(), id.String()+"/2/1")
			answered <- err
		}()
		synctest.Wait()
		if _, err := e.Erase(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		elapse(time.Second)
		await.Store(false)
		close(redriven)
		if err := <-answered; err == nil {
			t.Error("the redrive was not refused")
		}
		elapse(time.Minute)
		want := []string{id.String() + "/2", other.String() + "/2", other.String() + "/2/1", other.String() + "/2/2"}
		slices.Sort(want)
		if ids := parked(); !slices.Equal(ids, want) {
			t.Errorf("parked are %q, want %q", ids, want)
		}
	})
}

// faultyStreamer blocks, and knows why.
type faultyStreamer struct{ runtimetest.MemStreamer }

func (*faultyStreamer) Fault() error { return errors.New("broker kafka:9092: no route") }

// Why events wait is told: what the streamer answered, or what it knows while it does not answer. Once all is well nothing is.
func TestOutboxFault(t *testing.T) {
	for _, blocks := range []bool{false, true} {
		t.Run(fmt.Sprint("blocks ", blocks), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				m := &faultyStreamer{}
				var well atomic.Bool
				for range 10_000 {
					m.Script = append(m.Script, func(events []runtime.Event) (int, error) {
						switch {
						case well.Load():
							return len(events), nil
						case blocks:
							<-gate
							return len(events), nil
						default:
							return 0, errAway
						}
					})
				}
				opt := runtime.Options{Store: runtimetest.NewMemStore(1), Streamer: m}
				e := start(t, opt, runtimetest.Chain("chain", 2))
				elapse(time.Minute)
				if fault := e.Stats().OutboxFault; fault != "" {
					t.Errorf("nothing waits, and the fault is %q", fault)
				}
				trigger(t, e, "chain", "1")
				elapse(time.Minute)
				want := map[bool]string{false: errAway.Error(), true: "broker kafka:9092: no route"}[blocks]
				if fault := e.Stats().OutboxFault; fault != want {
					t.Errorf("the fault is %q, want %q", fault, want)
				}
				well.Store(true)
				close(gate)
				elapse(time.Minute)
				if s := e.Stats(); s.OutboxFault != "" || unpublished(e) != 0 {
					t.Errorf("%d events wait, and the fault is %q", unpublished(e), s.OutboxFault)
				}
			})
		})
	}
}
