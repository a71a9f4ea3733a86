package telemetry

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wfrt/wfrt/runtime"
)

// used returns metrics in which every series has been used.
func used(t *testing.T) *Metrics {
	t.Helper()
	m := New("1.2.3", "abc")
	if err := m.WatchEngine(func() runtime.Stats {
		return runtime.Stats{OutboxAge: 1500 * time.Millisecond, InMemory: 7, Executing: 3, Queued: 4, Waiting: 2, Shards: []runtime.ShardStats{
			{Applied: 10, Durable: 9, Published: 5, Unpublished: 4}, {Applied: 20, Durable: 20, Published: 21},
		}}
	}); err != nil {
		t.Fatal(err)
	}
	if err := m.WatchPlugins(func() []PluginStats {
		return []PluginStats{{Plugin: "orders.wasm", Instances: 2, Invocations: 5, Traps: 1, Swaps: 3, Fuel: 9, Exceeded: map[string]uint64{"fuel": 4}}}
	}); err != nil {
		t.Fatal(err)
	}
	step := m.Step("orders", "received")
	step.Lag(time.Millisecond, false)
	step.Lag(time.Minute, true)
	step.Invoked(runtime.OutcomeTo, time.Millisecond)
	step.Invoked(runtime.OutcomeError, time.Second)
	step.Invoked(runtime.OutcomePermanent, time.Second)
	step.Discarded()
	states := m.RunStates("orders")
	states.Changed(0, runtime.Initiated)
	states.Changed(runtime.Initiated, runtime.Running)
	return m
}

func TestValues(t *testing.T) {
	m := used(t)
	const want = `
# HELP wfrt_fuel_total Fuel that a plugin used: about one for each of its instructions.
# TYPE wfrt_fuel_total counter
wfrt_fuel_total{plugin="orders.wasm"} 9
# HELP wfrt_limit_exceeded_total Invocations of a plugin's handlers that exceeded a limit.
# TYPE wfrt_limit_exceeded_total counter
wfrt_limit_exceeded_total{limit="fuel",plugin="orders.wasm"} 4
# HELP wfrt_outbox_age_seconds How long the oldest event has waited to be published; 0 when none waits.
# TYPE wfrt_outbox_age_seconds gauge
wfrt_outbox_age_seconds 1.5
# HELP wfrt_outbox_depth Events that wait to be published, over all shards.
# TYPE wfrt_outbox_depth gauge
wfrt_outbox_depth 4
# HELP wfrt_plugin_swaps_total Times that a plugin's module was replaced.
# TYPE wfrt_plugin_swaps_total counter
wfrt_plugin_swaps_total{plugin="orders.wasm"} 3
# HELP wfrt_process_errors_total Invocations that failed, for good or for now.
# TYPE wfrt_process_errors_total counter
wfrt_process_errors_total{status="received",workflow="orders"} 2
# HELP wfrt_process_lag_alerts_total Tasks that waited for a worker longer than their step's lag alert allows.
# TYPE wfrt_process_lag_alerts_total counter
wfrt_process_lag_alerts_total{status="received",workflow="orders"} 1
# HELP wfrt_process_skipped_events_total Outcomes that came too late: the run had changed during the invocation.
# TYPE wfrt_process_skipped_events_total counter
wfrt_process_skipped_events_total{status="received",workflow="orders"} 1
# HELP wfrt_runs_queued Runs that wait in memory for a worker.
# TYPE wfrt_runs_queued gauge
wfrt_runs_queued 4
# HELP wfrt_store_applied_position Position up to which batches are applied, summed over the shards.
# TYPE wfrt_store_applied_position gauge
wfrt_store_applied_position 30
`
	err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), "wfrt_fuel_total", "wfrt_limit_exceeded_total",
		"wfrt_outbox_age_seconds", "wfrt_outbox_depth", "wfrt_plugin_swaps_total",
		"wfrt_process_errors_total", "wfrt_process_lag_alerts_total", "wfrt_process_skipped_events_total", "wfrt_runs_queued", "wfrt_store_applied_position")
	if err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		counter prometheus.Counter
		want    float64
	}{
		{m.outcomes.WithLabelValues("orders", "received", "to"), 1},
		{m.outcomes.WithLabelValues("orders", "received", "skip"), 0},
		{m.runStates.WithLabelValues("orders", "", "Initiated"), 1},
		{m.runStates.WithLabelValues("orders", "Initiated", "Running"), 1},
	} {
		if got := testutil.ToFloat64(c.counter); got != c.want {
			t.Errorf("%s is %v, want %v", c.counter.Desc(), got, c.want)
		}
	}
}

func TestEveryOutcomeAndTransitionHasASeries(t *testing.T) {
	m := New("", "")
	step := m.Step("w", "s").(*stepMeter)
	for kind := runtime.OutcomeTo; kind <= runtime.OutcomeDone; kind++ {
		if step.outcomes[kind] == nil {
			t.Errorf("outcome %d has no series", kind)
		}
	}
	step.Invoked(200, time.Second) // a kind of a later version must not panic
	states := m.RunStates("w").(*runStateMeter)
	for _, from := range runtime.RunStates() {
		for _, to := range runtime.RunStates() {
			if allowed := slices.Contains(from.Next(), to); allowed != (states.changes[from][to] != nil) {
				t.Errorf("%s to %s: a series is %v, want %v", from, to, !allowed, allowed)
			}
		}
	}
	states.Changed(runtime.Running, runtime.Running) // no change of state must not panic
}

func TestNamesPassTheLinter(t *testing.T) {
	problems, err := testutil.GatherAndLint(used(t).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "wfrt_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestHandlerServesThem(t *testing.T) {
	w := httptest.NewRecorder()
	used(t).Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`wfrt_build_info{commit="abc",version="1.2.3"} 1`, `wfrt_process_lag_seconds_count{status="received",workflow="orders"} 2`,
		"go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
}

func TestAWatcherIsRegisteredOnce(t *testing.T) {
	m := used(t)
	if m.WatchEngine(nil) == nil || m.WatchPlugins(nil) == nil {
		t.Error("a second watcher was taken")
	}
}

func TestRecordingDoesNotAllocate(t *testing.T) {
	m := New("", "")
	step, states := m.Step("w", "s"), m.RunStates("w")
	if n := testing.AllocsPerRun(100, func() {
		step.Lag(time.Millisecond, true)
		step.Invoked(runtime.OutcomeTo, time.Millisecond)
		states.Changed(runtime.Initiated, runtime.Running)
	}); n != 0 {
		t.Errorf("recording allocates %v times", n)
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	var level slog.LevelVar
	for format, want := range map[string]string{
		FormatText: "level=INFO msg=shown", FormatJSON: `"level":"INFO","msg":"shown"`,
	} {
		out.Reset()
		log, err := NewLogger(&out, &level, format)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("hidden")
		log.Info("shown")
		if got := out.String(); !strings.Contains(got, want) || strings.Contains(got, "hidden") {
			t.Errorf("%s: the log is %q, want it to contain %q and nothing of level debug", format, got, want)
		}
	}
	if _, err := NewLogger(&out, &level, "xml"); err == nil || !strings.Contains(err.Error(), `"xml" is none of text, json`) {
		t.Errorf("the format xml gives the error %v", err)
	}
	for name, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "INFO": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("level %q is %v, %v", name, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("the level loud was taken")
	}
}

// BenchmarkLabels compares a series that is looked up at every call with one that was resolved once.
func BenchmarkLabels(b *testing.B) {
	m := New("", "")
	b.Run("lookup", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.errors.WithLabelValues("orders", "received").Inc()
		}
	})
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		c := m.errors.WithLabelValues("orders", "received")
		for b.Loop() {
			c.Inc()
		}
	})
}

// BenchmarkInvoked is all that one invocation records.
func BenchmarkInvoked(b *testing.B) {
	step := New("", "").Step("orders", "received")
	b.ReportAllocs()
	for b.Loop() {
		step.Lag(time.Microsecond, false)
		step.Invoked(runtime.OutcomeTo, time.Millisecond)
	}
}
