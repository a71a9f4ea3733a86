package telemetry

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/wfrt/wfrt/runtime"
)

// receiver is an OpenTelemetry receiver that keeps what it is sent.
type receiver struct {
	t *testing.T

	mu      sync.Mutex
	service string
	spans   []*otlp.Span
	headers http.Header
	path    string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(req.Body)
		if err != nil {
			r.t.Error(err)
			return
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		r.t.Error(err)
	}
	var sent coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &sent); err != nil {
		r.t.Errorf("what was sent: %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.path, r.headers = req.URL.Path, req.Header
	for _, rs := range sent.GetResourceSpans() {
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				r.service = a.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			r.spans = append(r.spans, ss.GetSpans()...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// Spans arrive at a receiver with the IDs that the engine chose, their parent, link, times, attributes and status.
func TestSpansAreSent(t *testing.T) {
	to := &receiver{t: t}
	server := httptest.NewServer(to)
	defer server.Close()
	tracing, err := NewTracing(t.Context(), TracingOptions{
		Endpoint: server.URL, Headers: map[string]string{"Authorization": "Bearer x"}, Logger: slog.New(slog.DiscardHandler), Sample: 1,
		Service: "shop", Version: "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Unix(1_767_323_045, 7).UTC()
	id := runtime.NewRunID(began, 9, 1)
	trace := runtime.TraceContext{TraceID: id, SpanID: [8]byte{1}, Flags: 1}
	link := runtime.TraceContext{TraceID: [16]byte{9}, SpanID: [8]byte{8}, Flags: 1}
	handler := &runtime.Handler{Kind: runtime.HandlerStep, Name: "received", Digest: runtime.Digest{0xab}}
	tracing.Record(&runtime.Span{
		Kind: runtime.SpanTrigger, Trace: trace, Began: began, Ended: began, Workflow: "orders", RunID: id, Status: "received",
		Cause: runtime.CauseTrigger,
	})
	own := trace
	own.SpanID = [8]byte{2}
	tracing.Record(&runtime.Span{
		Kind: runtime.SpanInvocation, Trace: own, Parent: trace.SpanID, Link: link, Began: began, Ended: began.Add(time.Second),
		Workflow: "orders", RunID: id, Status: "received", Handler: handler, Attempt: 3, Outcome: runtime.OutcomeError, Failed: true, Reason: "no answer",
	})
	asked := trace
	asked.SpanID = [8]byte{3}
	tracing.Record(&runtime.Span{
		Kind: runtime.SpanIntent, Trace: asked, Parent: own.SpanID, Began: began, Ended: began, RunID: id, Attempt: 1, Target: "bills",
		Reason: "triggered run x",
	})
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	if to.path != "/v1/traces" || to.service != "shop" || to.headers.Get("Authorization") != "Bearer x" || len(to.spans) != 3 {
		t.Fatalf("path %s, service %s, headers %v, %d spans", to.path, to.service, to.headers, len(to.spans))
	}
	run := id.String()
	want := []string{
		"trigger orders, SPAN_KIND_SERVER, 0100000000000000 in , 0 links, 0s, STATUS_CODE_UNSET: " +
			"wfrt.workflow=orders wfrt.run_id=" + run + " wfrt.status=received wfrt.cause=trigger",
		"step orders/received, SPAN_KIND_INTERNAL, 0200000000000000 in 0100000000000000, 1 links, 1s, STATUS_CODE_ERROR no answer: " +
			"wfrt.workflow=orders wfrt.run_id=" + run + " wfrt.status=received wfrt.attempt=3 wfrt.handler=step/received wfrt.digest=ab" +
			strings.Repeat("0", 62) + " wfrt.outcome=error",
		"intent bills, SPAN_KIND_PRODUCER, 0300000000000000 in 0200000000000000, 0 links, 0s, STATUS_CODE_UNSET: " +
			"wfrt.run_id=" + run + " wfrt.attempt=1 wfrt.target=bills wfrt.outcome=triggered run x",
	}
	for i, s := range to.spans {
		if got := told(s); got != want[i] || hex.EncodeToString(s.GetTraceId()) != trace.ID() || s.GetStartTimeUnixNano() != uint64(began.UnixNano()) {
			t.Errorf("span %d of trace %x at %d:\n%s\nwant\n%s", i, s.GetTraceId(), s.GetStartTimeUnixNano(), got, want[i])
		}
	}
	if links := to.spans[1].GetLinks(); len(links) == 1 && hex.EncodeToString(links[0].GetTraceId()) != link.ID() {
		t.Errorf("the link is to trace %x", links[0].GetTraceId())
	}
}

// told writes a span as text.
func told(s *otlp.Span) string {
	var b strings.Builder
	took := time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano())
	b.WriteString(s.GetName() + ", " + s.GetKind().String() + ", " + hex.EncodeToString(s.GetSpanId()) + " in " +
		hex.EncodeToString(s.GetParentSpanId()) + ", " + string(rune('0'+len(s.GetLinks()))) + " links, " + took.String() + ", " +
		strings.TrimSpace(s.GetStatus().GetCode().String()+" "+s.GetStatus().GetMessage()) + ":")
	for _, a := range s.GetAttributes() {
		value := a.GetValue().GetStringValue()
		if n := a.GetValue().GetIntValue(); n != 0 {
			value = string(rune('0' + n))
		}
		b.WriteString(" " + a.GetKey() + "=" + value)
	}
	return b.String()
}

// A receiver that is missing is told of in the log, once, and nothing else comes of it.
func TestMissingReceiver(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer refusing.Close()
	var log strings.Builder
	tracing, err := NewTracing(t.Context(), TracingOptions{
		Endpoint: refusing.URL + "/my/path", Logger: slog.New(slog.NewTextHandler(&log, nil)), Sample: 1, Service: "wfrt",
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		tracing.Record(&runtime.Span{Kind: runtime.SpanTrigger, Trace: runtime.TraceContext{TraceID: [16]byte{1}, SpanID: [8]byte{1}, Flags: 1}})
		if err := tracing.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "spans cannot be sent"); n != 1 || !strings.Contains(log.String(), "/my/path") {
		t.Errorf("the log tells of it %d times:\n%s", n, log.String())
	}
}

// The share of traces that is sampled is that of the option, also among IDs that are run IDs, whose first bits are not random.
func TestSampleRatio(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, ratio := range []float64{0, 0.1, 0.5, 1} {
		tracing := &Tracing{below: uint64(ratio * (1 << 56))}
		const n = 20_000
		sampled := 0
		for range n {
			if tracing.Sample(runtime.NewRunID(time.Unix(1_767_323_045, 0), 5, random.Uint64())) {
				sampled++
			}
		}
		if share := float64(sampled) / n; share < ratio-0.02 || share > ratio+0.02 || (ratio == 1) != (sampled == n) || (ratio == 0) != (sampled == 0) {
			t.Errorf("ratio %v: %v", ratio, share)
		}
	}
}
