package kafkastreamer

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

func event(state, was runtime.RunState, status string) runtime.Event {
	return runtime.Event{
		RunID: runtime.RunID{1}, Version: 2, Workflow: "orders", ForeignID: "a\"\\\n\x01ü", State: state, Was: was, Status: status, Previous: "before",
		Time: time.Unix(1_800_000_000, 5).UTC(), Trace: runtime.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}},
	}
}

// A value is JSON, whatever the foreign ID holds.
func TestBodyIsJSON(t *testing.T) {
	t1 := newTopics(LayoutWorkflow, "")
	p := newPage()
	events := []runtime.Event{event(runtime.Running, runtime.Running, "paid")}
	p.fill(&t1, events)
	var body struct {
		ID        string    `json:"id"`
		ForeignID string    `json:"foreign_id"`
		Time      time.Time `json:"time"`
	}
	if err := json.Unmarshal(p.records[0].Value, &body); err != nil {
		t.Fatalf("%s: %v", p.records[0].Value, err)
	}
	if body.ID != events[0].ID() || body.ForeignID != events[0].ForeignID || !body.Time.Equal(events[0].Time) {
		t.Errorf("%+v", body)
	}
}

// Where the events of a layout go.
func TestTopics(t *testing.T) {
	for _, c := range []struct {
		layout Layout
		event  runtime.Event
		want   []string
	}{
		{LayoutWorkflow, event(runtime.Completed, runtime.Running, "paid"), []string{"p.orders"}},
		{LayoutWorkflow, event(runtime.DataDeleted, runtime.RequestedDataDeleted, "paid"), []string{"p.orders"}},
		{LayoutStatus, event(runtime.Running, runtime.Running, "paid"), []string{"p.orders-paid"}},
		{LayoutStatus, event(runtime.Initiated, 0, "paid"), []string{"p.orders-paid", "p.orders-run-state-change"}},
		{LayoutStatus, event(runtime.Paused, runtime.Running, "paid"), []string{"p.orders-paid", "p.orders-run-state-change"}},
		{LayoutStatus, event(runtime.RequestedDataDeleted, runtime.Completed, "paid"), []string{"p.orders-delete"}},
		{LayoutStatus, event(runtime.DataDeleted, runtime.RequestedDataDeleted, "paid"), []string{"p.orders-delete"}},
	} {
		topics := newTopics(c.layout, "p.")
		p := newPage()
		p.fill(&topics, []runtime.Event{c.event})
		var got []string
		for i := range p.records {
			got = append(got, p.records[i].Topic)
		}
		if len(got) != len(c.want) || got[0] != c.want[0] || got[len(got)-1] != c.want[len(c.want)-1] {
			t.Errorf("layout %s, %s from %s: %v, want %v", c.layout, c.event.State, c.event.Was, got, c.want)
		}
	}
}

// Once its buffers have grown, a page costs no allocation.
func TestPageDoesNotAllocate(t *testing.T) {
	topics := newTopics(LayoutStatus, "p.")
	p := newPage()
	var events []runtime.Event
	for range 100 {
		events = append(events, event(runtime.Running, runtime.Initiated, "paid"))
	}
	if n := testing.AllocsPerRun(100, func() { p.fill(&topics, events) }); n > 0 {
		t.Errorf("%v allocations for a page", n)
	}
}
