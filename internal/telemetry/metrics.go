package telemetry

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wfrt/wfrt/runtime"
)

// Metrics is a registry of the server's metrics, and the engine's Meter. All its methods may be called from many goroutines.
type Metrics struct {
	registry *prometheus.Registry
	plugins  *pluginMetrics

	lag       *prometheus.HistogramVec
	late      *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	errors    *prometheus.CounterVec
	skipped   *prometheus.CounterVec
	outcomes  *prometheus.CounterVec
	runStates *prometheus.CounterVec
	loads     *prometheus.CounterVec
	waits     *prometheus.HistogramVec
	commits   prometheus.Histogram
	syncs     prometheus.Histogram
}

var _ runtime.Meter = (*Metrics)(nil)

// New returns metrics of this process, of the Go runtime, and of an engine that is given it as its Meter. version and commit
// say which build runs.
func New(version, commit string) *Metrics {
	step := []string{"workflow", "status"}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "wfrt_process_lag_seconds",
			Help:    "Time from when a step task became ready until a worker took it.",
			Buckets: buckets(),
		}, step),
		late: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wfrt_process_lag_alerts_total",
			Help: "Tasks that waited for a worker longer than their step's lag alert allows.",
		}, step),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "wfrt_process_latency_seconds",
			Help:    "Time that one invocation of a step took.",
			Buckets: buckets(),
		}, step),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wfrt_process_errors_total",
			Help: "Invocations that failed, for good or for now.",
		}, step),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wfrt_process_skipped_events_total",
			Help: "Outcomes that came too late: the run had changed during the invocation.",
		}, step),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wfrt_invocations_total",
			Help: "Invocations by what the handler decided.",
		}, append(step, "outcome")),
		runStates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wfrt_run_state_changes_total",
			Help: "Changes of run states; from is empty for a new run.",
		}, []string{"workflow", "from", "to"}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wfrt_plugin_loads_total",
			Help: "Attempts to have a module serve, and ends of ones that did, by what became of them.",
		}, []string{"plugin", "result"}),
	}
	m.waits = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "wfrt_pool_wait_seconds",
		Help:    "Time that an invocation which found no idle instance waited for one, or for a new one.",
		Buckets: buckets(),
	}, []string{"plugin"})
	m.plugins = &pluginMetrics{owns: map[string]*ownMetrics{}}
	m.commits = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "wfrt_store_commit_seconds",
		Help:    "Time to write one batch to the log and make it visible, not yet durably.",
		Buckets: prometheus.ExponentialBuckets(1e-6, 4, 12),
	})
	m.syncs = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "wfrt_store_sync_seconds",
		Help:    "Time of one sync of the log, which makes all batches before it durable.",
		Buckets: buckets(),
	})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "wfrt_build_info",
		Help:        "Always 1; the labels say which build runs.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit},
	})
	build.Set(1)
	m.registry.MustRegister(
		m.lag, m.late, m.latency, m.errors, m.skipped, m.outcomes, m.runStates, m.loads, m.waits, m.commits, m.syncs, build, m.plugins,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// buckets are the upper bounds of the histograms: from 10 µs to 168 s, each four times the last.
func buckets() []float64 { return prometheus.ExponentialBuckets(10e-6, 4, 13) }

// PluginLoaded counts one attempt to have a module of a plugin serve, by what became of it.
func (m *Metrics) PluginLoaded(plugin, result string) { m.loads.WithLabelValues(plugin, result).Inc() }

// PluginRemoved forgets what a plugin has measured.
func (m *Metrics) PluginRemoved(plugin string) { m.plugins.forget(plugin) }

// PoolWaited takes how long an invocation of a plugin waited for an instance.
func (m *Metrics) PoolWaited(plugin string, d time.Duration) {
	m.waits.WithLabelValues(plugin).Observe(d.Seconds())
}

// WatchEngine adds gauges of the engine's moment, which stats returns at each scrape. Call it once.
func (m *Metrics) WatchEngine(stats func() runtime.Stats) error {
	if err := m.registry.Register(engineCollector{stats: stats, descs: newEngineDescs()}); err != nil {
		return fmt.Errorf("telemetry: watch the engine: %w", err)
	}
	return nil
}

// WatchPlugins adds metrics of the plugins, which plugins returns at each scrape, every name once. Call it once.
func (m *Metrics) WatchPlugins(plugins func() []PluginStats) error {
	if err := m.registry.Register(pluginCollector{
		plugins: plugins, descs: newPluginDescs(),
		exceeded: prometheus.NewDesc("wfrt_limit_exceeded_total", "Invocations of a plugin's handlers that exceeded a limit.",
			[]string{"plugin", "limit"}, nil),
	}); err != nil {
		return fmt.Errorf("telemetry: watch the plugins: %w", err)
	}
	return nil
}

// Registry is where others register what they measure themselves.
func (m *Metrics) Registry() prometheus.Registerer { return m.registry }

// Handler serves the metrics in the text format of Prometheus, not in that of OpenMetrics: there a counter is called by its name
// without _total, and the counter of one plugin could have the name of another's gauge.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
