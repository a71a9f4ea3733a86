package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// told collects what hooks are told.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (h *told) hook(fails int) runtimetest.Func {
	return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lines = append(h.lines, fmt.Sprintf("%s of %s v%d %s", in.Handler.On, in.Record.ForeignID, in.Record.Version, in.Record.Object))
		if len(h.lines) <= fails {
			return errors.New("no answer")
		}
		out.Kind = runtime.OutcomeDone
		return nil
	}
}

func (h *told) want(t *testing.T, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if strings.Join(h.lines, "; ") != strings.Join(want, "; ") {
		t.Errorf("hooks were told\n %s\nwant\n %s", strings.Join(h.lines, "; "), strings.Join(want, "; "))
	}
}

// docs/parity.md, C20: a hook sees the record of the version it is told of, however late it is called.
func TestHooksSeeTheirVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &told{}
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Callback{Status: "received", To: []string{"shipped"}, Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Kind, out.Status, out.Changed, out.Object = runtime.OutcomeTo, "shipped", true, append(out.Object, in.Payload...)
				return nil
			}},
			runtimetest.Hook{On: runtime.HookPause, Func: h.hook(3)},
			runtimetest.Hook{On: runtime.HookResume, Func: h.hook(0)},
			runtimetest.Hook{On: runtime.HookComplete, Func: h.hook(0)},
			runtimetest.Hook{On: runtime.HookErase, Func: h.hook(0)},
		))
		id := trigger(t, e, "orders", "1")
		must := func(rec runtime.Record, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(e.Pause(t.Context(), id, runtime.Note{}))
		synctest.Wait()
		must(e.Resume(t.Context(), id, runtime.Note{}))
		synctest.Wait()
		if _, err := e.Callback(t.Context(), runtime.Callback{Workflow: "orders", Status: "received", ForeignID: "1", Payload: []byte("5"), Wait: time.Minute}); err != nil {
			t.Fatal(err)
		}
		elapse(time.Hour)
		synctest.Wait()
		must(e.Erase(t.Context(), id, runtime.Note{}))
		elapse(time.Hour)
		synctest.Wait()
		h.mu.Lock()
		pauses := 0
		for _, l := range h.lines {
			if strings.HasPrefix(l, "pause") {
				pauses++
				if l != "pause of 1 v2 null" {
					t.Errorf("a pause hook was told %q", l)
				}
			}
		}
		all := strings.Join(h.lines, "; ")
		h.mu.Unlock()
		if pauses < 2 || !strings.Contains(all, "resume of 1 v3 null") || !strings.Contains(all, "complete of 1 v4 5") ||
			!strings.Contains(all, `erase of 1 v6 {"result":"deleted"}`) {
			t.Errorf("hooks were told %s", all)
		}
	})
}

// A hook that fails is tried again with back-off, for as long as it takes, and blocks neither runs nor other hooks.
func TestFailingHookBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := &told{}, &told{}
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
			runtimetest.Hook{On: runtime.HookComplete, Name: "bad", Func: bad.hook(30), Retry: runtime.Retry{Attempts: 3}},
			runtimetest.Hook{On: runtime.HookComplete, Name: "good", Func: good.hook(0)},
		))
		id := trigger(t, e, "orders", "1")
		elapse(time.Second)
		settle(t, e, trigger(t, e, "orders", "2"))
		synctest.Wait()
		good.mu.Lock()
		if len(good.lines) != 2 {
			t.Errorf("the good hook was told %v", good.lines)
		}
		good.mu.Unlock()
		elapse(10 * time.Hour)
		synctest.Wait()
		bad.mu.Lock()
		if n := len(bad.lines); n < 31 || n > 33 {
			t.Errorf("the bad hook was called %d times, want until it succeeds", n)
		}
		bad.mu.Unlock()
		failures := strings.Count(history(t, e, id), "failed: no answer")
		if failures < 1 || failures > 3 {
			t.Errorf("the history tells of %d failures, want at most 3", failures)
		}
	})
}

// Hooks survive a crash, whenever it comes.
func TestHooksAreCalledAtLeastOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &told{}
		store := runtimetest.NewMemStore(2)
		w := runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
			runtimetest.Hook{On: runtime.HookComplete, Func: func(ctx context.Context, _ *runtime.Invocation, _ *runtime.Outcome) error {
				<-ctx.Done() // the process is gone before the hook ends
				return ctx.Err()
			}},
		)
		e := start(t, runtime.Options{Store: store}, w)
		settle(t, e, trigger(t, e, "orders", "1"))
		synctest.Wait()
		store = crash(t, e, store)
		w.Hooks[0].Invoker = h.hook(0)
		start(t, runtime.Options{Store: store}, w)
		elapse(time.Hour)
		synctest.Wait()
		h.want(t, "complete of 1 v2 null")
	})
}

// A hook of a workflow whose module is missing waits for it.
func TestHookOfAMissingModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &told{}
		w := runtimetest.Workflow("orders",
			runtimetest.Callback{Status: "received", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
			runtimetest.Hook{On: runtime.HookCancel, Name: "a", Func: h.hook(0)},
			runtimetest.Hook{On: runtime.HookCancel, Name: "b", Func: h.hook(0)},
		)
		e := start(t, onMemory(), w)
		id := trigger(t, e, "orders", "1")
		e.SetCatalog(runtime.NewCatalog())
		if _, err := e.Cancel(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		elapse(time.Hour)
		synctest.Wait()
		h.want(t)
		e.SetCatalog(runtime.NewCatalog(w))
		elapse(time.Hour)
		synctest.Wait()
		h.want(t, "cancel of 1 v2 null", "cancel of 1 v2 null")
	})
}

func TestIntents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := func(fail bool) runtimetest.Func {
			return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Intents = append(out.Intents,
					runtime.Intent{Workflow: "bills", ForeignID: "b" + in.Record.ForeignID, Object: []byte("7")},
					runtime.Intent{Workflow: "bills", ForeignID: "same"},
					runtime.Intent{Workflow: "nothing", ForeignID: "1"},
				)
				if out.Kind, out.Status = runtime.OutcomeTo, "shipped"; fail && in.Attempt == 1 {
					out.Kind, out.Reason = runtime.OutcomeError, "no answer"
				}
				return nil
			}
		}
		e := start(t, onMemory(),
			runtimetest.Workflow("orders", runtimetest.Step{Status: "received", To: []string{"shipped"}, Func: ask(true)}),
			runtimetest.Workflow("bills", runtimetest.Callback{Status: "open", To: []string{"paid"}, Func: runtimetest.To("paid")}),
		)
		first, second := trigger(t, e, "orders", "1"), trigger(t, e, "orders", "2")
		elapse(time.Hour)
		synctest.Wait()
		bills, err := e.Runs(t.Context(), runtime.Query{Workflows: []string{"bills"}, Limit: 10})
		if err != nil || len(bills) != 3 {
			t.Fatalf("%d bills, %v; want b1, b2 and same", len(bills), err)
		}
		both := history(t, e, first) + history(t, e, second)
		if strings.Count(both, "intent: triggered run") != 3 || strings.Count(both, "intent: already in progress") != 1 {
			t.Errorf("histories:\n%s", both)
		}
		if strings.Count(both, `there is no workflow "nothing"`) != 2 {
			t.Errorf("histories:\n%s", both)
		}
		cause, err := e.History(t.Context(), bills[0].RunID, 0, 0, 1)
		if err != nil || cause[0].Cause != runtime.CauseIntent || cause[0].By == "" {
			t.Errorf("the bill's history: %+v, %v", cause, err)
		}
	})
}

// An intent that was delivered and whose delivery a crash has forgotten is delivered again, to the same run.
func TestIntentIsDeliveredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(8)
		orders := runtimetest.Workflow("orders", runtimetest.Step{
			Status: "received", To: []string{"shipped"}, Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Intents = append(out.Intents, runtime.Intent{Workflow: "bills", ForeignID: in.Record.ForeignID})
				out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				return nil
			},
		})
		bills := runtimetest.Workflow("bills", runtimetest.Step{Status: "open", To: []string{"paid"}, Func: runtimetest.To("paid")})
		for life := range 6 {
			e := start(t, runtime.Options{Store: store}, orders, bills)
			for i := range 10 {
				trigger(t, e, "orders", fmt.Sprint(life, "-", i))
			}
			if life%2 == 0 {
				synctest.Wait()
			}
			store.Hold()
			synctest.Wait()
			store = crash(t, e, store)
		}
		e := start(t, runtime.Options{Store: store}, orders, bills)
		elapse(time.Hour)
		synctest.Wait()
		made, err := e.Runs(t.Context(), runtime.Query{Workflows: []string{"bills"}, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for _, r := range made {
			seen[r.ForeignID]++
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%d bills for order %s", n, id)
			}
		}
		if len(seen) != 60 {
			t.Errorf("%d bills for 60 orders", len(seen))
		}
	})
}

func TestErase(t *testing.T) {
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprint("own function ", own), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &told{}
				parts := []runtimetest.Part{
					runtimetest.Step{Status: "received", To: []string{"shipped"}, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
						out.Kind, out.Status, out.Changed, out.Object = runtime.OutcomeTo, "shipped", true, append(out.Object, `"secret too"`...)
						out.Logs = append(out.Logs, runtime.LogLine{Text: "secret"})
						return nil
					}},
					runtimetest.Hook{On: runtime.HookComplete, Func: h.hook(1000)},
				}
				if own {
					parts = append(parts, runtimetest.Erase{Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
						if in.Attempt == 1 {
							return errors.New("no answer")
						}
						out.Kind, out.Changed, out.Object = runtime.OutcomeDone, true, append(out.Object, `"kept"`...)
						return nil
					}})
				}
				e := start(t, onMemory(), runtimetest.Workflow("orders", parts...))
				done, err := e.Trigger(t.Context(), runtime.Trigger{Workflow: "orders", ForeignID: "1", Object: []byte(`"secret"`), IdempotencyKey: "k"})
				if err != nil {
					t.Fatal(err)
				}
				id := done.Record.RunID
				settle(t, e, id)
				if logs, err := e.Logs(t.Context(), id, 0, time.Time{}, 10); err != nil || len(logs) != 1 || logs[0].Lines[0].Text != "secret" {
					t.Fatalf("logs %+v, %v", logs, err)
				}
				if rec, err := e.Erase(t.Context(), id, runtime.Note{By: "ann", Reason: "asked"}); err != nil || rec.State != runtime.RequestedDataDeleted {
					t.Fatal(rec, err)
				}
				elapse(time.Hour)
				synctest.Wait()
				want := `{"result":"deleted"}`
				if own {
					want = `"kept"`
				}
				now, err := e.Run(t.Context(), id)
				if err != nil || now.State != runtime.DataDeleted || string(now.Object) != want {
					t.Errorf("after the erasing: %+v, %v", now, err)
				}
				entries, err := e.History(t.Context(), id, 0, 0, 100)
				all, _ := json.Marshal(entries)
				if err != nil || strings.Contains(string(all), "c2VjcmV0") { // the base64 of "secret" begins so
					t.Errorf("the history still holds it: %s, %v", all, err)
				}
				for _, h := range entries {
					if h.AsksToErase() && (h.By != "ann" || h.Reason != "asked") {
						t.Errorf("the erasing was asked for by %q, because %q", h.By, h.Reason)
					}
					if strings.Contains(string(h.Object), "secret") {
						t.Errorf("the history's version %d still holds %s", h.Version, h.Object)
					}
				}
				if logs, err := e.Logs(t.Context(), id, 0, time.Time{}, 10); err != nil || len(logs) != 0 {
					t.Errorf("logs are left: %+v, %v", logs, err)
				}
				h.mu.Lock()
				defer h.mu.Unlock()
				if last := h.lines[len(h.lines)-1]; strings.Contains(last, "secret") || !strings.Contains(last, want) {
					t.Errorf("a hook that is still tried was told %s", last)
				}
			})
		})
	}
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, onMemory(), runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"shipped", "waits"}, Func: func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				out.Kind, out.Status = runtime.OutcomeTo, "shipped"
				if in.Record.ForeignID == "active" {
					out.Status = "waits"
				}
				return nil
			}},
			runtimetest.Callback{Status: "waits", To: []string{"shipped"}, Func: runtimetest.To("shipped")},
			runtimetest.Retention(24*time.Hour),
		))
		old := trigger(t, e, "orders", "old")
		active := trigger(t, e, "orders", "active")
		elapse(23 * time.Hour)
		young := trigger(t, e, "orders", "young")
		elapse(2 * time.Hour)
		synctest.Wait()
		if _, err := e.Run(t.Context(), old); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("the old run: %v", err)
		}
		if _, err := e.History(t.Context(), old, 0, 0, 10); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("the old run's history: %v", err)
		}
		for _, id := range []runtime.RunID{active, young} {
			if _, err := e.Run(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
		all, err := e.Runs(t.Context(), runtime.Query{Limit: 10})
		if err != nil || len(all) != 2 {
			t.Errorf("%d runs are listed, %v", len(all), err)
		}
		trigger(t, e, "orders", "old") // its foreign ID is free
	})
}

// Hooks of one workflow that are slow, and more than there are workers, in one shard, delay none of another's, nor an intent, a slot
// or an erasure.
func TestSlowHooksStarveNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := runtimetest.Func(func(ctx context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
			select {
			case <-time.After(time.Hour):
			case <-ctx.Done():
				return ctx.Err()
			}
			out.Kind = runtime.OutcomeDone
			return nil
		})
		quick := &told{}
		e := start(t, runtime.Options{Store: runtimetest.NewMemStore(1), SideWorkers: 2, StepTimeout: 2 * time.Hour},
			runtimetest.Workflow("slow",
				runtimetest.Step{Status: "s", To: []string{"done"}, Func: runtimetest.To("done")},
				runtimetest.Hook{On: runtime.HookComplete, Name: "slow", Func: slow},
			),
			runtimetest.Workflow("quick",
				runtimetest.Step{Status: "s", To: []string{"done"}, Func: func(_ context.Context, _ *runtime.Invocation, out *runtime.Outcome) error {
					out.Kind, out.Status = runtime.OutcomeTo, "done"
					out.Intents = append(out.Intents, runtime.Intent{Workflow: "asked", ForeignID: "1"})
					return nil
				}},
				runtimetest.Hook{On: runtime.HookComplete, Name: "quick", Func: quick.hook(0)},
				runtimetest.Schedule{Spec: runtime.ScheduleSpec{Name: "by-the-minute", Cron: "* * * * *"}},
			),
			runtimetest.Workflow("asked", runtimetest.Step{Status: "s", To: []string{"done"}, Func: runtimetest.To("done")}),
		)
		for i := range 300 {
			settle(t, e, trigger(t, e, "slow", fmt.Sprint(i)))
		}
		id := trigger(t, e, "quick", "1")
		settle(t, e, id)
		if _, err := e.Erase(t.Context(), id, runtime.Note{}); err != nil {
			t.Fatal(err)
		}
		elapse(90 * time.Second)
		synctest.Wait()
		if erased := settle(t, e, id); erased.State != runtime.DataDeleted {
			t.Errorf("the erasure waits: %s", erased.State)
		}
		for name, want := range map[string]int{"quick": 2, "asked": 1} { // the slot's run, and what either asks for
			runs, err := e.Runs(t.Context(), runtime.Query{Workflows: []string{name}, Limit: 10})
			if err != nil || len(runs) < want {
				t.Errorf("%d runs of %s, want %d; %v", len(runs), name, want, err)
			}
		}
		quick.mu.Lock()
		defer quick.mu.Unlock()
		if len(quick.lines) < 2 {
			t.Errorf("the quick hook was called %d times while the slow ones go on; want 2", len(quick.lines))
		}
	})
}
