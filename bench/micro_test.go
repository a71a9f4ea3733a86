package bench

import "testing"

// The benchmarks of this file compare ways to do what a streamer does for each event, to decide how it is written: they measure
// the language, not the product.

// BenchmarkHeaders is the nine headers of an event: in a map that grows, in a map made for nine, and in a slice that is reused.
func BenchmarkHeaders(b *testing.B) {
	type header struct{ key, value string }
	headers := []header{
		{"ce_id", "1"},
		{"ce_type", "run.running"},
		{"ce_source", "wfrt"},
		{"ce_subject", "orders/10248"},
		{"ce_time", "now"},
		{"version", "2"},
		{"state", "Running"},
		{"status", "priced"},
		{"workflow", "orders"},
	}
	total := 0
	fill := func(m map[string]string) {
		for _, h := range headers {
			m[h.key] = h.value
		}
		total += len(m)
	}
	b.Run("map", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fill(map[string]string{})
		}
	})
	b.Run("map with capacity", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fill(make(map[string]string, len(headers)))
		}
	})
	b.Run("reused slice", func(b *testing.B) {
		b.ReportAllocs()
		var reused []header
		for b.Loop() {
			reused = append(reused[:0], headers...)
			total += len(reused)
		}
	})
	if total == 0 {
		b.Fatal("nothing was filled")
	}
}

// BenchmarkTopicNames is the three topics of a workflow's events: composed for each event, and composed once and looked up.
func BenchmarkTopicNames(b *testing.B) {
	compose := func(workflow, status string) [3]string {
		return [3]string{"wfrt." + workflow + "-" + status, "wfrt." + workflow + "-delete", "wfrt." + workflow + "-run-state-change"}
	}
	total := 0
	b.Run("composed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			total += len(compose("orders", "awaiting_shipment")[0])
		}
	})
	b.Run("composed once", func(b *testing.B) {
		b.ReportAllocs()
		names := map[string][3]string{"awaiting_shipment": compose("orders", "awaiting_shipment")}
		for b.Loop() {
			total += len(names["awaiting_shipment"][0])
		}
	})
	if total == 0 {
		b.Fatal("nothing was composed")
	}
}
