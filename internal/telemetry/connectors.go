package telemetry

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wfrt/wfrt/runtime"
)

// WatchConnectors adds metrics of the connectors, which connectors returns at each scrape. Call it once.
func (m *Metrics) WatchConnectors(connectors func() []runtime.ConnectorStatus) error {
	if err := m.registry.Register(newConnectorCollector(connectors)); err != nil {
		return fmt.Errorf("telemetry: watch the connectors: %w", err)
	}
	return nil
}

type connectorCollector struct {
	connectors func() []runtime.ConnectorStatus
	lag        *prometheus.Desc
	underWay   *prometheus.Desc
	fault      *prometheus.Desc
	messages   *prometheus.Desc
	retries    *prometheus.Desc
}

func newConnectorCollector(connectors func() []runtime.ConnectorStatus) *connectorCollector {
	partition := []string{"connector", "topic", "partition"}
	return &connectorCollector{
		connectors: connectors,
		lag: prometheus.NewDesc("wfrt_connector_lag",
			"Messages of a partition that are not done, as of a quarter of a minute ago at most.", partition, nil),
		underWay: prometheus.NewDesc("wfrt_connector_under_way", "Messages of a partition that are received and not done.", partition, nil),
		fault: prometheus.NewDesc("wfrt_connector_fault", "1 while a connector receives nothing because of an error, else 0.",
			[]string{"connector"}, nil),
		messages: prometheus.NewDesc("wfrt_connector_messages_total", "Messages, by what became of them.",
			[]string{"connector", "result"}, nil),
		retries: prometheus.NewDesc("wfrt_connector_retries_total", "Attempts that were put off.", []string{"connector"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *connectorCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.lag, c.underWay, c.fault, c.messages, c.retries} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *connectorCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, s := range c.connectors() {
		for _, p := range s.Partitions {
			number := strconv.Itoa(int(p.Partition))
			gauge(c.underWay, float64(p.UnderWay), s.Name, p.Topic, number)
			if p.Lag >= 0 {
				gauge(c.lag, float64(p.Lag), s.Name, p.Topic, number)
			}
		}
		faulty := 0.0
		if s.Fault != "" {
			faulty = 1
		}
		gauge(c.fault, faulty, s.Name)
		n := &s.Counts
		for result, v := range map[string]uint64{
			"triggered": n.Triggered, "called": n.Called, "ignored": n.Nothing, "skipped": n.Skipped, "repeated": n.Repeated, "parked": n.Parked,
		} {
			counter(c.messages, v, s.Name, result)
		}
		counter(c.retries, n.Retried, s.Name)
	}
}
