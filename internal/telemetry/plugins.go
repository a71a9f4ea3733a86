package telemetry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// MeasureKind says what a plugin's measurement is.
type MeasureKind int

// Kinds of measurements.
const (
	MeasureCount   MeasureKind = iota + 1 // adds to wfrt_plugin_<name>_total
	MeasureSet                            // sets wfrt_plugin_<name>
	MeasureObserve                        // an observation of the histogram wfrt_plugin_<name>_observed
)

// How the names of counters and histograms end.
const (
	countSuffix   = "_total"
	observeSuffix = "_observed"
)

// maxSeries is how many series one plugin has at most, over all its metrics.
const maxSeries = 1000

// reserved are what plugins' metrics may not be called, for the server's own are.
func reserved() []string {
	return []string{"instances", "invocations_total", "loads_total", "swaps_total", "traps_total", "untrusted"}
}

// pluginMetrics are the metrics that plugins make. Each plugin has its own: what one measures decides nothing for another. A name
// stands for the same kind of metric everywhere, so that all can be written out together, whatever their labels.
type pluginMetrics struct {
	mu   sync.Mutex // guards what follows
	owns map[string]*ownMetrics
}

// ownMetrics are the metrics of one plugin, by name. What the labels of a metric are called, its first measurement decides.
type ownMetrics struct {
	plugin string
	vecs   map[string]*pluginVec
	series map[string]bool
}

// pluginVec is one metric of one plugin; one of the vectors is set.
type pluginVec struct {
	labels  []string // their names
	count   *prometheus.CounterVec
	gauge   *prometheus.GaugeVec
	observe *prometheus.HistogramVec
}

// Measure takes a measurement of a plugin's own; labels are names and values in turn. Its error says why it is not taken: a name
// that is the server's, other labels than the plugin gave it before, or too many series. It may be called from many goroutines.
func (m *Metrics) Measure(plugin string, kind MeasureKind, name string, labels []string, value float64) error {
	return m.plugins.measure(plugin, kind, name, labels, value)
}

// Describe implements prometheus.Collector: nothing is known beforehand.
func (p *pluginMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (p *pluginMetrics) Collect(ch chan<- prometheus.Metric) {
	p.mu.Lock()
	var all []prometheus.Collector
	for _, own := range p.owns {
		for _, v := range own.vecs {
			all = append(all, v.collector())
		}
	}
	p.mu.Unlock()
	for _, c := range all {
		c.Collect(ch)
	}
}

func (v *pluginVec) collector() prometheus.Collector {
	switch {
	case v.count != nil:
		return v.count
	case v.gauge != nil:
		return v.gauge
	default:
		return v.observe
	}
}

func (p *pluginMetrics) measure(plugin string, kind MeasureKind, name string, labels []string, value float64) error {
	name, err := metricName(kind, name)
	if err != nil {
		return err
	}
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.owns[plugin]
	if own == nil {
		own = &ownMetrics{plugin: plugin, vecs: map[string]*pluginVec{}, series: map[string]bool{}}
		p.owns[plugin] = own
	}
	key := name + "\x00" + strings.Join(values, "\x00")
	if !own.series[key] && len(own.series) >= maxSeries { // before a metric is made, which would stay without a series
		return fmt.Errorf("the plugin has %d series, as many as there may be: give its labels fewer values", maxSeries)
	}
	v, err := own.vec(kind, name, names)
	if err != nil {
		return err
	}
	own.series[key] = true
	switch {
	case v.count != nil:
		v.count.WithLabelValues(values...).Add(value)
	case v.gauge != nil:
		v.gauge.WithLabelValues(values...).Set(value)
	default:
		v.observe.WithLabelValues(values...).Observe(value)
	}
	return nil
}

// metricName returns what a metric is called behind wfrt_plugin_, which tells its kind, or why it cannot be called so.
func metricName(kind MeasureKind, name string) (string, error) {
	switch kind {
	case MeasureCount:
		name = strings.TrimSuffix(name, countSuffix) + countSuffix
	case MeasureObserve:
		name = strings.TrimSuffix(name, observeSuffix) + observeSuffix
	case MeasureSet:
		for _, suffix := range []string{countSuffix, observeSuffix, "_bucket", "_count", "_sum"} {
			if strings.HasSuffix(name, suffix) {
				return "", fmt.Errorf("the metric %s ends in %s, as counters or the parts of histograms do: choose another name", name, suffix)
			}
		}
	default:
		return "", errors.New("there is no such kind of measurements")
	}
	if slices.Contains(reserved(), name) {
		return "", fmt.Errorf("the metric %s is the server's own: choose another name", name)
	}
	return name, nil
}

// vec returns the metric of a name, made at its first measurement.
func (o *ownMetrics) vec(kind MeasureKind, name string, labels []string) (*pluginVec, error) {
	if v := o.vecs[name]; v != nil {
		if !slices.Equal(v.labels, labels) {
			return nil, fmt.Errorf("the metric %s was first measured with the labels %q", name, v.labels)
		}
		return v, nil
	}
	opts := prometheus.Opts{
		Name: "wfrt_plugin_" + name, Help: "A plugin's own.", ConstLabels: prometheus.Labels{"plugin": o.plugin},
	}
	v := &pluginVec{labels: labels}
	switch kind {
	case MeasureCount:
		v.count = prometheus.NewCounterVec(prometheus.CounterOpts(opts), labels)
	case MeasureSet:
		v.gauge = prometheus.NewGaugeVec(prometheus.GaugeOpts(opts), labels)
	case MeasureObserve:
		v.observe = prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: opts.Name, Help: opts.Help, ConstLabels: opts.ConstLabels, Buckets: prometheus.ExponentialBuckets(0.001, 4, 12),
		}, labels)
	}
	o.vecs[name] = v
	return v, nil
}

// forget drops the metrics of a plugin.
func (p *pluginMetrics) forget(plugin string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.owns, plugin)
}
