package runtime_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// TestEffectsWaitForDurability has handlers of every kind of work with an effect outside, in a store that holds durability back:
// a step begins before the one before it is durable, its effect does not happen before.
func TestEffectsWaitForDurability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(2)
		var reached, effects []string
		outside := func(name string, then runtimetest.Func) runtimetest.Func {
			return func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				reached = append(reached, name)
				if err := in.Settle(ctx); err != nil {
					return err
				}
				effects = append(effects, name)
				return then(ctx, in, out)
			}
		}
		e := start(t, runtime.Options{Store: store}, runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"priced"}, Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				store.Hold() // what this step leads to is applied and not durable
				return runtimetest.To("priced")(ctx, in, out)
			}},
			runtimetest.Step{Status: "priced", To: []string{"charged"}, Func: outside("charge", runtimetest.To("charged"))},
		))
		trigger(t, e, "orders", "1")
		synctest.Wait()
		if len(reached) != 1 || len(effects) != 0 {
			t.Errorf("handlers were called: %q, effects happened: %q; want the charge to wait", reached, effects)
		}
		store.Release()
		synctest.Wait()
		if len(effects) != 1 {
			t.Errorf("effects that happened once all was durable: %q", effects)
		}
	})
}

// TestEffectsOfAFailedStoreDoNotHappen lets the store fail while a handler waits for durability.
func TestEffectsOfAFailedStoreDoNotHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := runtimetest.NewMemStore(1)
		var settled error
		e := start(t, runtime.Options{Store: store}, runtimetest.Workflow("orders",
			runtimetest.Step{Status: "received", To: []string{"priced"}, Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				store.Hold()
				return runtimetest.To("priced")(ctx, in, out)
			}},
			runtimetest.Step{Status: "priced", To: []string{"charged"}, Func: func(ctx context.Context, in *runtime.Invocation, _ *runtime.Outcome) error {
				settled = in.Settle(ctx)
				return settled
			}},
		))
		trigger(t, e, "orders", "1")
		synctest.Wait()
		store.Fail(errors.New("disk gone"))
		synctest.Wait()
		if settled == nil {
			t.Error("the effect was let go of")
		}
		if e.Err() == nil {
			t.Error("the engine goes on")
		}
	})
}
