package telemetry

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMeasurementsOfPlugins(t *testing.T) {
	m := New("v", "c")
	take := func(plugin string, kind MeasureKind, name string, value float64, labels ...string) {
		t.Helper()
		if err := m.Measure(plugin, kind, name, labels, value); err != nil {
			t.Error(err)
		}
	}
	take("orders", MeasureCount, "charged", 2, "card", "visa")
	take("orders", MeasureCount, "charged", 1.5, "card", "visa")
	take("other", MeasureCount, "charged", 1, "card", "")
	take("orders", MeasureSet, "stock", 7)
	take("orders", MeasureSet, "stock", 6)
	take("orders", MeasureObserve, "weight", 0.5)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`wfrt_plugin_charged_total{card="visa",plugin="orders"} 3.5`, `wfrt_plugin_charged_total{card="",plugin="other"} 1`,
		`wfrt_plugin_stock{plugin="orders"} 6`, `wfrt_plugin_weight_sum{plugin="orders"} 0.5`, `wfrt_plugin_weight_count{plugin="orders"} 1`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	for want, err := range map[string]error{
		"as another kind or with the labels card": m.Measure("orders", MeasureCount, "charged", nil, 1),
		"as another kind":                         m.Measure("orders", MeasureObserve, "stock", nil, 1),
		"the server's own":                        m.Measure("orders", MeasureSet, "instances", nil, 1),
		"invocations_total is the server's own":   m.Measure("orders", MeasureCount, "invocations", nil, 1),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

func TestSeriesOfPluginsAreBounded(t *testing.T) {
	m := New("v", "c")
	for i := range maxSeries {
		if err := m.Measure("orders", MeasureSet, "stock", []string{"product", fmt.Sprint(i)}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Measure("orders", MeasureSet, "stock", []string{"product", "one more"}, 1); err == nil || !strings.Contains(err.Error(), "1000 series") {
		t.Errorf("one more series: %v", err)
	}
	if err := m.Measure("orders", MeasureSet, "stock", []string{"product", "7"}, 2); err != nil {
		t.Errorf("a series that is there: %v", err)
	}
	if err := m.Measure("other", MeasureSet, "stock", []string{"product", "one more"}, 1); err != nil {
		t.Errorf("another plugin: %v", err)
	}
}

// TestNoPluginSpoilsTheMetrics: what one measures neither keeps the others from being read, nor grows without end.
func TestNoPluginSpoilsTheMetrics(t *testing.T) {
	m := New("v", "c")
	if err := m.Measure("a", MeasureObserve, "wait", nil, 1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"wait_count", "wait_sum", "wait_bucket"} {
		if err := m.Measure("b", MeasureSet, name, nil, 1); err == nil || !strings.Contains(err.Error(), "choose another name") {
			t.Errorf("%s beside the histogram wait: %v", name, err)
		}
	}
	for n := range 2 * maxSeries {
		err := m.Measure("b", MeasureSet, fmt.Sprintf("m%d", n), nil, 1)
		if (err == nil) != (n < maxSeries) {
			t.Fatalf("metric %d: %v", n, err)
		}
	}
	if got := len(m.plugins.vecs); got != maxSeries+1 {
		t.Errorf("there are %d metrics; want %d", got, maxSeries+1)
	}
	if _, err := m.registry.Gather(); err != nil {
		t.Errorf("the metrics cannot be read: %v", err)
	}
}
