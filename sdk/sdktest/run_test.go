package sdktest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

type object struct {
	Next string `json:"next"`
}

var flow = sdk.NewWorkflow[object, string]("flow")

var rawFlow = sdk.NewWorkflow[sdk.Raw, string]("raw")

var tracedFlow = sdk.NewWorkflow[object, string]("traced")

func init() {
	tracedFlow.Step("a", func(ctx context.Context, r *sdk.Run[object, string]) (sdk.Outcome[string], error) {
		r.Object.Next = sdk.TraceParent(ctx)
		return r.To("b"), nil
	}, "b")
	flow.Step("a", func(_ context.Context, r *sdk.Run[object, string]) (sdk.Outcome[string], error) {
		return r.To(r.Object.Next), nil
	}, "b", "c")
	rawFlow.Step("a", func(_ context.Context, r *sdk.Run[sdk.Raw, string]) (sdk.Outcome[string], error) {
		r.Object = sdk.Raw("not JSON")
		return r.To("b"), nil
	}, "b")
}

func TestRun(t *testing.T) {
	got := sdktest.Run(t, flow, "a", object{Next: "c"})
	if got.Kind != sdktest.To || got.To != "c" || got.Object.Next != "c" || got.Changed {
		t.Errorf("got %v", got)
	}
	if s := got.String(); s != `to "c" with {"next":"c"}` {
		t.Errorf("it describes itself as %s", s)
	}
}

func TestRunInParallel(t *testing.T) {
	for _, next := range []string{"b", "c", "b", "c"} {
		t.Run(next, func(t *testing.T) {
			t.Parallel()
			for range 100 {
				if got := sdktest.Run(t, flow, "a", object{Next: next}); got.To != next || got.Object.Next != next {
					t.Fatalf("got %v; want to go to %s", got, next)
				}
			}
		})
	}
}

func TestRunFailsWhereTheServerWouldRefuse(t *testing.T) {
	for name, test := range map[string]struct {
		run  func(t testing.TB)
		want string
	}{
		"destination": {
			func(t testing.TB) { sdktest.Run(t, flow, "a", object{Next: "d"}) },
			`step of "a" goes to "d", but is registered to go to ["b" "c"] only`,
		},
		"status": {
			func(t testing.TB) { sdktest.Run(t, flow, "b", object{}) },
			`workflow "flow" has no step for the status "b"; it has steps for ["a"]`,
		},
		"object": {
			func(t testing.TB) { sdktest.Run(t, rawFlow, "a", sdk.Raw("1")) },
			`the new object is not JSON: not JSON`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := failure(test.run); !strings.Contains(got, test.want) {
				t.Errorf("the test fails with %q; want %q", got, test.want)
			}
		})
	}
}

func TestManifest(t *testing.T) {
	m := sdktest.Manifest(t)
	i := slices.IndexFunc(m.Workflows, func(w abi.Workflow) bool { return w.Name == flow.Name() })
	if i < 0 || fmt.Sprint(m.Workflows[i].Terminal) != "[b c]" {
		t.Errorf("the manifest is %+v", m)
	}
}

// failure runs a test that is to fail and returns how it did.
func failure(run func(testing.TB)) (message string) {
	defer func() {
		if p := recover(); p != nil && p != (stopped{}) {
			panic(p)
		}
	}()
	run(&failing{message: &message})
	return message
}

// failing is a test that only fails.
type failing struct {
	testing.TB
	message *string
}

type stopped struct{}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	*f.message = fmt.Sprintf(format, args...)
	panic(stopped{})
}

func TestTraceParent(t *testing.T) {
	const header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for want, opts := range map[string][]sdktest.Option{"": nil, header: {sdktest.TraceParent(header)}} {
		if got := sdktest.Run(t, tracedFlow, "a", object{}, opts...); got.Object.Next != want {
			t.Errorf("sdk.TraceParent answers %q, want %q", got.Object.Next, want)
		}
	}
	if got := sdk.TraceParent(t.Context()); got != "" {
		t.Errorf("of a context of nothing that runs it answers %q", got)
	}
}
