package telemetry

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wfrt/wfrt/runtime"
)

// The lag of a partition is told once it is known, a fault as long as there is one, and of each message what became of it.
func TestConnectorMetrics(t *testing.T) {
	m := New("", "")
	fault := "no broker"
	if err := m.WatchConnectors(func() []runtime.ConnectorStatus {
		return []runtime.ConnectorStatus{{
			Name: "orders", Fault: fault, Partitions: []runtime.PartitionStatus{
				{Topic: "in", Partition: 0, UnderWay: 3, Lag: 17}, {Topic: "in", Partition: 1, Lag: -1},
			},
			Counts: runtime.ConnectorCounts{Received: 22, Triggered: 7, Called: 6, Nothing: 5, Skipped: 1, Repeated: 2, Retried: 9, Parked: 4},
		}}
	}); err != nil {
		t.Fatal(err)
	}
	const want = `
# HELP wfrt_connector_fault 1 while a connector receives nothing because of an error, else 0.
# TYPE wfrt_connector_fault gauge
wfrt_connector_fault{connector="orders"} 1
# HELP wfrt_connector_lag Messages of a partition that are not done, as of a quarter of a minute ago at most.
# TYPE wfrt_connector_lag gauge
wfrt_connector_lag{connector="orders",partition="0",topic="in"} 17
# HELP wfrt_connector_messages_total Messages, by what became of them.
# TYPE wfrt_connector_messages_total counter
wfrt_connector_messages_total{connector="orders",result="called"} 6
wfrt_connector_messages_total{connector="orders",result="ignored"} 5
wfrt_connector_messages_total{connector="orders",result="parked"} 4
wfrt_connector_messages_total{connector="orders",result="repeated"} 2
wfrt_connector_messages_total{connector="orders",result="skipped"} 1
wfrt_connector_messages_total{connector="orders",result="triggered"} 7
# HELP wfrt_connector_retries_total Attempts that were put off.
# TYPE wfrt_connector_retries_total counter
wfrt_connector_retries_total{connector="orders"} 9
# HELP wfrt_connector_under_way Messages of a partition that are received and not done.
# TYPE wfrt_connector_under_way gauge
wfrt_connector_under_way{connector="orders",partition="0",topic="in"} 3
wfrt_connector_under_way{connector="orders",partition="1",topic="in"} 0
`
	names := []string{
		"wfrt_connector_fault", "wfrt_connector_lag", "wfrt_connector_messages_total", "wfrt_connector_retries_total", "wfrt_connector_under_way",
	}
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	fault = ""
	well := "# HELP wfrt_connector_fault 1 while a connector receives nothing because of an error, else 0.\n# TYPE wfrt_connector_fault gauge\n" +
		"wfrt_connector_fault{connector=\"orders\"} 0\n"
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(well), "wfrt_connector_fault"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(m.registry, names...)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
