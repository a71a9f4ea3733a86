package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wfrt/wfrt/runtime"
)

// PluginStats is a moment of one plugin.
type PluginStats struct {
	Plugin      string            // its file's name
	Instances   int               // instances that live
	Invocations uint64            // since the process began, over all its modules
	Traps       uint64            // invocations that ended in a trap, likewise
	Fuel        uint64            // that it used, likewise
	Exceeded    map[string]uint64 // invocations that exceeded a limit, likewise, by the limit
	Swaps       uint64            // times that its module was replaced, likewise
	Untrusted   bool              // a module of it is in use that would not be trusted now
}

// reading is one metric that is read at the time of a scrape from a T.
type reading[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(T) float64
}

func gauge[T any](name, help string, value func(T) float64, labels ...string) reading[T] {
	return reading[T]{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, value}
}

func counter[T any](name, help string, value func(T) float64, labels ...string) reading[T] {
	return reading[T]{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue, value}
}

type engineCollector struct {
	stats func() runtime.Stats
	descs []reading[*runtime.Stats]
}

func newEngineDescs() []reading[*runtime.Stats] {
	return []reading[*runtime.Stats]{
		gauge("wfrt_runs_in_memory", "Runs that are queued or executing.",
			func(s *runtime.Stats) float64 { return float64(s.InMemory) }),
		gauge("wfrt_runs_queued", "Runs that wait in memory for a worker.",
			func(s *runtime.Stats) float64 { return float64(s.Queued) }),
		gauge("wfrt_runs_executing", "Invocations under way.",
			func(s *runtime.Stats) float64 { return float64(s.Executing) }),
		gauge("wfrt_awaits", "Callers that wait for a run.",
			func(s *runtime.Stats) float64 { return float64(s.Waiting) }),
		gauge("wfrt_store_applied_position", "Position up to which batches are applied, summed over the shards.",
			func(s *runtime.Stats) float64 {
				return sum(s, func(p runtime.ShardStats) uint64 { return uint64(p.Applied) })
			}),
		gauge("wfrt_store_durable_position", "Position up to which batches are durable, summed over the shards.",
			func(s *runtime.Stats) float64 {
				return sum(s, func(p runtime.ShardStats) uint64 { return uint64(p.Durable) })
			}),
		gauge("wfrt_outbox_published_position", "Position up to which the relay has published, summed over the shards.",
			func(s *runtime.Stats) float64 {
				return sum(s, func(p runtime.ShardStats) uint64 { return uint64(p.Published) })
			}),
		gauge("wfrt_outbox_depth", "Events that wait to be published, over all shards.",
			func(s *runtime.Stats) float64 {
				return sum(s, func(p runtime.ShardStats) uint64 { return uint64(p.Unpublished) })
			}),
		gauge("wfrt_outbox_age_seconds", "How long the oldest event has waited to be published; 0 when none waits.",
			func(s *runtime.Stats) float64 { return s.OutboxAge.Seconds() }),
		gauge("wfrt_outbox_lag_alert", "1 while the oldest event has waited longer than outbox.lag_alert.",
			func(s *runtime.Stats) float64 { return flag(s.OutboxLate) }),
		gauge("wfrt_outbox_fault", "1 while events wait because Kafka cannot be reached or does not take them, else 0.",
			func(s *runtime.Stats) float64 { return flag(s.OutboxFault != "") }),
		gauge("wfrt_outbox_parked", "Events that Kafka refused and that are parked, over all shards.",
			func(s *runtime.Stats) float64 {
				return sum(s, func(p runtime.ShardStats) uint64 { return uint64(p.Parked) })
			}),
		gauge("wfrt_store_disk_free_bytes", "Free space on the store's disk when it was looked at last; 0 before.",
			func(s *runtime.Stats) float64 { return float64(s.Disk.Free) }),
		gauge("wfrt_store_disk_mark", "The mark that the disk has reached: 0 none, 1 high (no new runs), 2 hard (no steps).",
			func(s *runtime.Stats) float64 { return float64(s.Disk.Mark) }),
	}
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func sum(s *runtime.Stats, of func(runtime.ShardStats) uint64) float64 {
	var total uint64
	for _, shard := range s.Shards {
		total += of(shard)
	}
	return float64(total)
}

// Describe implements prometheus.Collector.
func (c engineCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d.desc
	}
}

// Collect implements prometheus.Collector.
func (c engineCollector) Collect(ch chan<- prometheus.Metric) {
	stats := c.stats()
	for _, d := range c.descs {
		ch <- prometheus.MustNewConstMetric(d.desc, d.kind, d.value(&stats))
	}
}

type pluginCollector struct {
	plugins  func() []PluginStats
	descs    []reading[*PluginStats]
	exceeded *prometheus.Desc
}

func newPluginDescs() []reading[*PluginStats] {
	return []reading[*PluginStats]{
		gauge("wfrt_plugin_instances", "Instances of a plugin that live.",
			func(p *PluginStats) float64 { return float64(p.Instances) }, "plugin"),
		counter("wfrt_plugin_invocations_total", "Invocations of a plugin's handlers.",
			func(p *PluginStats) float64 { return float64(p.Invocations) }, "plugin"),
		counter("wfrt_plugin_traps_total", "Invocations of a plugin's handlers that ended in a trap.",
			func(p *PluginStats) float64 { return float64(p.Traps) }, "plugin"),
		counter("wfrt_fuel_total", "Fuel that a plugin used: about one for each of its instructions.",
			func(p *PluginStats) float64 { return float64(p.Fuel) }, "plugin"),
		counter("wfrt_plugin_swaps_total", "Times that a plugin's module was replaced.",
			func(p *PluginStats) float64 { return float64(p.Swaps) }, "plugin"),
		gauge("wfrt_plugin_untrusted", "1 while a module of a plugin is in use that would not be trusted now, else 0.",
			func(p *PluginStats) float64 {
				if p.Untrusted {
					return 1
				}
				return 0
			}, "plugin"),
	}
}

// Describe implements prometheus.Collector.
func (c pluginCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d.desc
	}
	ch <- c.exceeded
}

// Collect implements prometheus.Collector.
func (c pluginCollector) Collect(ch chan<- prometheus.Metric) {
	plugins := c.plugins()
	for i := range plugins {
		for _, d := range c.descs {
			ch <- prometheus.MustNewConstMetric(d.desc, d.kind, d.value(&plugins[i]), plugins[i].Plugin)
		}
		for limit, n := range plugins[i].Exceeded {
			ch <- prometheus.MustNewConstMetric(c.exceeded, prometheus.CounterValue, float64(n), plugins[i].Plugin, limit)
		}
	}
}
