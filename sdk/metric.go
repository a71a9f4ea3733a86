package sdk

import (
	"context"
	"strings"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// AskMetrics asks the operator to let this plugin take measurements. Call it from init.
func AskMetrics() { guest.Default.AskMetrics() }

// Label is a label of a measurement. Its value is one of few: every combination of values is a series of its own, and the server
// bounds how many a plugin has.
type Label struct{ Name, Value string }

// Count adds to the counter wfrt_plugin_<name>_total; n is not negative. Names are lower-case letters, digits and '_'.
//
// Measurements are taken at once: those of an attempt that fails count too, and they wait for no durability. What is not granted
// is not taken; the server's log says so.
func Count(ctx context.Context, name string, n float64, labels ...Label) {
	measure(ctx, abi.MeasureCount, name, n, labels)
}

// Set sets the gauge wfrt_plugin_<name>: see Count.
func Set(ctx context.Context, name string, value float64, labels ...Label) {
	measure(ctx, abi.MeasureSet, name, value, labels)
}

// Observe adds an observation to the histogram wfrt_plugin_<name>_observed, as of seconds or bytes: see Count.
func Observe(ctx context.Context, name string, value float64, labels ...Label) {
	measure(ctx, abi.MeasureObserve, name, value, labels)
}

func measure(ctx context.Context, kind int32, name string, value float64, labels []Label) {
	host, ok := ctx.Value(hostKey{}).(guest.Host)
	if !ok {
		return
	}
	var lines strings.Builder
	for _, l := range labels {
		lines.WriteString(l.Name + "=" + strings.ReplaceAll(l.Value, "\n", " ") + "\n")
	}
	host.Measure(kind, name, lines.String(), value)
}
