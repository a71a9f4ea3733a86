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
	MeasureObserve                        // an observation of the histogram wfrt_plugin_<name>
)

// maxSeries is how many series one plugin has at most, over all its metrics.
const maxSeries = 1000

// reserved are what plugins' metrics may not be called, for the server's own are.
func reserved() []string {
	return []string{"instances", "invocations_total", "traps_total", "swaps_total"}
}

// pluginMetrics are the metrics that plugins make, by name. What a metric is, its first measurement decides: its kind and the
// names of its labels.
type pluginMetrics struct {
	registry *prometheus.Registry

	mu     sync.Mutex // guards what follows
	vecs   map[string]*pluginVec
	series map[string]map[string]bool // by plugin: the series that it has
}

// pluginVec is one metric; one of the vectors is set.
type pluginVec struct {
	kind    MeasureKind
	labels  []string // their names
	count   *prometheus.CounterVec
	gauge   *prometheus.GaugeVec
	observe *prometheus.HistogramVec
}

// Measure takes a measurement of a plugin's own; labels are names and values in turn. Its error says why it is not taken: a name
// that is the server's, another kind or other labels than before, or too many series. It may be called from many goroutines.
func (m *Metrics) Measure(plugin string, kind MeasureKind, name string, labels []string, value float64) error {
	return m.plugins.measure(plugin, kind, name, labels, value)
}

func (p *pluginMetrics) measure(plugin string, kind MeasureKind, name string, labels []string, value float64) error {
	if kind == MeasureCount && !strings.HasSuffix(name, "_total") {
		name += "_total"
	}
	values := []string{plugin}
	names := []string{"plugin"}
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	own, key := p.series[plugin], name+"\x00"+strings.Join(values, "\x00")
	if !own[key] && len(own) >= maxSeries { // before a metric is made, which would stay without a series
		return fmt.Errorf("the plugin has %d series, as many as there may be: give its labels fewer values", maxSeries)
	}
	vec, err := p.vec(kind, name, names)
	if err != nil {
		return err
	}
	if !own[key] {
		if own == nil {
			own = map[string]bool{}
			p.series[plugin] = own
		}
		own[key] = true
	}
	switch kind {
	case MeasureCount:
		vec.count.WithLabelValues(values...).Add(value)
	case MeasureSet:
		vec.gauge.WithLabelValues(values...).Set(value)
	case MeasureObserve:
		vec.observe.WithLabelValues(values...).Observe(value)
	}
	return nil
}

// vec returns the metric of a name, made at its first measurement. REQUIRES: p.mu
func (p *pluginMetrics) vec(kind MeasureKind, name string, labels []string) (*pluginVec, error) {
	if v := p.vecs[name]; v != nil {
		if v.kind != kind || !slices.Equal(v.labels, labels) {
			return nil, fmt.Errorf("the metric %s was first measured as another kind or with the labels %s", name, strings.Join(v.labels[1:], ", "))
		}
		return v, nil
	}
	if slices.Contains(reserved(), name) {
		return nil, fmt.Errorf("the metric %s is the server's own: choose another name", name)
	}
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if strings.HasSuffix(name, suffix) { // with a histogram of the rest of the name, no metric at all could be read
			return nil, fmt.Errorf("the metric %s ends in %s, as the parts of a histogram do: choose another name", name, suffix)
		}
	}
	const help = "A plugin's own."
	v := &pluginVec{kind: kind, labels: labels}
	var c prometheus.Collector
	switch kind {
	case MeasureCount:
		v.count = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "wfrt_plugin_" + name, Help: help}, labels)
		c = v.count
	case MeasureSet:
		v.gauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "wfrt_plugin_" + name, Help: help}, labels)
		c = v.gauge
	case MeasureObserve:
		v.observe = prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "wfrt_plugin_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 4, 12),
		}, labels)
		c = v.observe
	default:
		return nil, errors.New("there is no such kind of measurements")
	}
	if err := p.registry.Register(c); err != nil {
		return nil, fmt.Errorf("the metric %s cannot be: %w", name, err)
	}
	p.vecs[name] = v
	return v, nil
}
