package telemetry

import (
	"fmt"
	"net/http/httptest"
	"regexp"
	"slices"
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
		`wfrt_plugin_stock{plugin="orders"} 6`, `wfrt_plugin_weight_observed_sum{plugin="orders"} 0.5`, `wfrt_plugin_weight_observed_count{plugin="orders"} 1`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	for want, err := range map[string]error{
		`first measured with the labels ["card"]`: m.Measure("orders", MeasureCount, "charged", nil, 1),
		"the server's own":                        m.Measure("orders", MeasureSet, "instances", nil, 1),
		"invocations_total is the server's own":   m.Measure("orders", MeasureCount, "invocations", nil, 1),
		"loads_total is the server's own":         m.Measure("orders", MeasureCount, "loads", nil, 1),
		"no such kind":                            m.Measure("orders", 7, "stock", nil, 1),
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

// TestNoPluginSpoilsTheMetrics: whatever others measure under the same names, in any order, the metrics can be read and each
// plugin's are what it measured; and they do not grow without end.
func TestNoPluginSpoilsTheMetrics(t *testing.T) {
	kinds := []MeasureKind{MeasureCount, MeasureSet, MeasureObserve}
	names := []string{"wait", "wait_count", "wait_sum", "wait_bucket", "wait_total", "wait_observed", "wait_observed_count", "wait_total_total"}
	labels := [][]string{nil, {"a", "1"}, {"a", "1", "b", "2"}}
	measureAll := func(m *Metrics, plugin string, shift int) {
		for i, name := range names {
			for k := range kinds {
				_ = m.Measure(plugin, kinds[(k+shift)%3], name, labels[(i+k+shift)%3], float64(shift+1))
			}
		}
	}
	read := func(m *Metrics, plugin string) (own []string) {
		t.Helper()
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatalf("the metrics cannot be read: %v", err)
		}
		for _, f := range families {
			for _, metric := range f.GetMetric() {
				if strings.Contains(metric.String(), fmt.Sprintf("value:%q", plugin)) {
					own = append(own, f.GetName()+" "+strings.Join(strings.Fields(metric.String()), " "))
				}
			}
		}
		return own
	}
	for shift := range 3 {
		alone, among := New("v", "c"), New("v", "c")
		measureAll(alone, "good", shift)
		for other := range 3 {
			measureAll(among, fmt.Sprint("bad", other), other)
			if other == 1 {
				measureAll(among, "good", shift)
			}
		}
		if a, b := read(alone, "good"), read(among, "good"); len(a) < 10 || !slices.Equal(withoutTime(a), withoutTime(b)) {
			t.Errorf("alone the plugin has\n%s\nand among others\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	}
	m := New("v", "c")
	for n := range 2 * maxSeries {
		if err := m.Measure("b", MeasureSet, fmt.Sprintf("m%d", n), nil, 1); (err == nil) != (n < maxSeries) {
			t.Fatalf("metric %d: %v", n, err)
		}
	}
	if got := len(m.plugins.owns["b"].vecs); got != maxSeries {
		t.Errorf("there are %d metrics; want %d", got, maxSeries)
	}
	m.PluginRemoved("b")
	if left := read(m, "b"); len(left) != 0 {
		t.Errorf("of a plugin that was removed there is %q", left)
	}
}

// withoutTime removes when metrics were made.
func withoutTime(metrics []string) []string {
	var stripped []string
	for _, m := range metrics {
		stripped = append(stripped, created.ReplaceAllString(m, ""))
	}
	return stripped
}

var created = regexp.MustCompile(`created_timestamp:\{[^}]*\}`)

// TestTheServersMetricsAreReserved so that no plugin's can have the name of one.
func TestTheServersMetricsAreReserved(t *testing.T) {
	m := New("v", "c")
	if err := m.WatchPlugins(func() []PluginStats { return []PluginStats{{Plugin: "p"}} }); err != nil {
		t.Fatal(err)
	}
	m.PluginLoaded("p", "served")
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range families {
		if name, ours := strings.CutPrefix(f.GetName(), "wfrt_plugin_"); ours {
			if found++; !slices.Contains(reserved(), name) {
				t.Errorf("%s is not reserved", name)
			}
		}
	}
	if found != len(reserved()) {
		t.Errorf("there are %d such metrics of the server; %d are reserved", found, len(reserved()))
	}
}
