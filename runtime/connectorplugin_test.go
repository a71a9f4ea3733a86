package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// intake triggers an order by the message's key; what fails says so in its value: "fails 2" fails twice, "fails" always,
// "permanent" for good, "ignore" is ignored, "panic" panics.
func intake(attempts *atomic.Int64) runtimetest.Func {
	return func(_ context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
		attempts.Add(1)
		out.Kind = runtime.OutcomeDone
		out.Action = runtime.Action{Kind: runtime.ActionTrigger, Workflow: "orders", ForeignID: string(in.Message.Key)}
		times := uint32(1000)
		if _, err := fmt.Sscanf(string(in.Message.Value), "fails %d", &times); err == nil || string(in.Message.Value) == "fails" {
			if in.Attempt <= times {
				return errors.New("the rates are not there")
			}
		}
		switch string(in.Message.Value) {
		case "permanent":
			out.Kind, out.Reason = runtime.OutcomePermanent, "no such customer"
		case "ignore":
			out.Kind = runtime.OutcomeSkip
		case "panic":
			panic("oh")
		case "wrong":
			out.Kind = runtime.OutcomeTo
		}
		return nil
	}
}

// TestConnectorAsksItsPlugin is of fault C6 too: an error of the function opens nothing, and blocks neither its partition nor others.
func TestConnectorAsksItsPlugin(t *testing.T) {
	for _, c := range []struct {
		value    string
		runs     int
		parked   string
		attempts int64
	}{
		{"{}", 1, "", 1},
		{"fails 2", 1, "", 3},
		{"fails", 0, "the rates are not there", 4},
		{"permanent", 0, "no such customer", 1},
		{"ignore", 0, "", 1},
		{"panic", 0, "panic: oh", 4},
		{"wrong", 0, "answered outcome 1, which is not for a connector", 4},
	} {
		t.Run(c.value, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stream := runtimetest.NewMemStream()
				stream.Topic("northwind.orders", 1)
				opened := 0
				open := stream.Open("wfrt", false, "northwind.orders")
				opt := onMemory()
				opt.Connectors = []runtime.Connector{{
					Name: "orders", Plugin: "orders", Function: "intake",
					Open: func(r runtime.SourceReader) (runtime.Source, error) {
						opened++
						return open(r)
					},
				}}
				var attempts atomic.Int64
				w := orders()
				w.Connects = runtimetest.Workflow("orders", runtimetest.Connector{
					Name: "intake", Func: intake(&attempts), Retry: runtime.Retry{Attempts: 4},
				}).Connects
				e := start(t, opt)
				stream.Produce(order(0, "7", c.value))
				elapse(time.Hour) // the plugin is not there yet
				e.SetCatalog(runtime.NewCatalog(w))
				elapse(time.Hour)
				stream.Produce(order(0, "good", "{}"))
				elapse(time.Hour)
				runs := runsEach(t, e)
				parked, err := e.Parked(t.Context(), "orders", runtime.Origin{}, 10)
				if err != nil {
					t.Fatal(err)
				}
				if runs["7"] != c.runs || runs["good"] != 1 || attempts.Load() != c.attempts+1 || opened != 1 {
					t.Errorf("runs %v, %d attempts, %d sources opened", runs, attempts.Load(), opened)
				}
				switch {
				case c.parked == "" && len(parked) > 0:
					t.Errorf("parked: %+v", parked)
				case c.parked != "" && (len(parked) != 1 || !strings.Contains(parked[0].Cause, c.parked) || int64(parked[0].Attempts) != c.attempts):
					t.Errorf("parked: %+v, want the cause %q after %d attempts", parked, c.parked, c.attempts)
				}
			})
		})
	}
}

// TestConnectorRedrivesThroughItsPlugin parks a message of a plugin that fails, replaces the plugin, and redrives.
func TestConnectorRedrivesThroughItsPlugin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := runtimetest.NewMemStream()
		stream.Topic("northwind.orders", 1)
		opt := onMemory()
		opt.Connectors = []runtime.Connector{{
			Name: "orders", Plugin: "orders", Function: "intake", Open: stream.Open("wfrt", false, "northwind.orders"),
		}}
		var attempts atomic.Int64
		broken := true
		w := orders()
		w.Connects = runtimetest.Workflow("orders", runtimetest.Connector{
			Name: "intake", Func: func(ctx context.Context, in *runtime.Invocation, out *runtime.Outcome) error {
				if broken {
					return errors.New("broken")
				}
				return intake(&attempts)(ctx, in, out)
			},
		}).Connects
		e := start(t, opt, w)
		stream.Produce(order(0, "7", "{}"))
		elapse(time.Hour)
		parked, err := e.Parked(t.Context(), "orders", runtime.Origin{}, 10)
		if err != nil || len(parked) != 1 {
			t.Fatalf("parked: %+v, %v", parked, err)
		}
		var mapping *runtime.MappingError
		if err := e.Redrive(t.Context(), parked[0].Origin); !errors.As(err, &mapping) || !strings.Contains(err.Error(), "broken") {
			t.Errorf("redriven to a broken plugin: %v", err)
		}
		broken = false
		if err := e.Redrive(t.Context(), parked[0].Origin); err != nil {
			t.Error(err)
		}
		wantOneEach(t, runsEach(t, e), 1)
		if err := e.Redrive(t.Context(), parked[0].Origin); !errors.Is(err, runtime.ErrNotParked) {
			t.Errorf("redriven again: %v", err)
		}
	})
}
