package telemetry

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/wfrt/wfrt/runtime"
)

// TracingOptions says where spans go.
type TracingOptions struct {
	// Endpoint is the URL of an OTLP/HTTP receiver: "http://127.0.0.1:4318", to which /v1/traces is added if it has no path.
	Endpoint string
	// Headers are sent with each request, as for a token. Defaults to none.
	Headers map[string]string
	// Logger takes what goes wrong. Required.
	Logger *slog.Logger
	// Sample is the share, from 0 to 1, of the traces that begin here which is recorded.
	Sample float64
	// Service is how the server calls itself.
	Service string
	// Version is the server's.
	Version string
}

// maxWaiting is how many spans wait to be sent; more are dropped.
const maxWaiting = 16_384

// Tracing sends the engine's spans to an OpenTelemetry receiver. It is a runtime.Tracer.
type Tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	below    uint64 // a trace is recorded whose last 56 bits are below
}

var _ runtime.Tracer = (*Tracing)(nil)

// NewTracing returns a Tracing that sends in the background until it is closed, whatever becomes of ctx. It does not connect yet: a
// receiver that is missing is logged and costs spans, nothing else. The caller closes it.
func NewTracing(ctx context.Context, o TracingOptions) (*Tracing, error) {
	endpoint := o.Endpoint
	if _, path, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(endpoint, "http://"), "https://"), "/"); path == "" {
		endpoint = strings.TrimSuffix(endpoint, "/") + "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint), otlptracehttp.WithHeaders(o.Headers))
	if err != nil {
		return nil, fmt.Errorf("telemetry: tracing: %w", err)
	}
	told := &tellingExporter{SpanExporter: exporter, logger: o.Logger, endpoint: endpoint}
	return newTracing(o, sdktrace.WithBatcher(told, sdktrace.WithMaxQueueSize(maxWaiting))), nil
}

func newTracing(o TracingOptions, processor sdktrace.TracerProviderOption) *Tracing {
	provider := sdktrace.NewTracerProvider(processor,
		sdktrace.WithIDGenerator(givenIDs{}), sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", o.Service), attribute.String("service.version", o.Version),
		)))
	return &Tracing{provider: provider, tracer: provider.Tracer("wfrt"), below: uint64(o.Sample * (1 << 56))}
}

// Close sends what waits, until ctx ends.
func (t *Tracing) Close(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("telemetry: tracing: the last spans were not sent: %w", err)
	}
	return nil
}

// Sample implements runtime.Tracer. The last seven bytes of a trace's ID are random, as W3C Trace Context level 2 wants it.
func (t *Tracing) Sample(id [16]byte) bool {
	return binary.BigEndian.Uint64(id[8:])&(1<<56-1) < t.below
}

// Record implements runtime.Tracer.
func (t *Tracing) Record(s *runtime.Span) {
	ctx := context.WithValue(context.Background(), spanKey{}, s.Trace)
	if s.Parent != [8]byte{} {
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: s.Trace.TraceID, SpanID: s.Parent, TraceFlags: trace.FlagsSampled, Remote: s.Remote,
		}))
	}
	opts := []trace.SpanStartOption{
		trace.WithTimestamp(s.Began), trace.WithSpanKind(spanKind(s)), trace.WithAttributes(attributes(s)...),
	}
	if !s.Link.IsZero() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: s.Link.TraceID, SpanID: s.Link.SpanID, TraceFlags: trace.TraceFlags(s.Link.Flags), Remote: true,
		})}))
	}
	_, span := t.tracer.Start(ctx, spanName(s), opts...)
	if s.Failed {
		span.SetStatus(codes.Error, s.Reason)
	}
	span.End(trace.WithTimestamp(s.Ended))
}

// spanName is short and has no name of a run in it: "trigger orders", "step orders/received", "intent refunds".
func spanName(s *runtime.Span) string {
	switch s.Kind {
	case runtime.SpanTrigger:
		return "trigger " + s.Workflow
	case runtime.SpanIntent:
		return "intent " + s.Target
	default:
		return s.Handler.Kind.String() + " " + s.Workflow + "/" + s.Handler.Name
	}
}

func spanKind(s *runtime.Span) trace.SpanKind {
	switch {
	case s.Kind == runtime.SpanIntent:
		return trace.SpanKindProducer
	case s.Kind == runtime.SpanTrigger && s.Cause == runtime.CauseTrigger:
		return trace.SpanKindServer
	case s.Kind == runtime.SpanTrigger:
		return trace.SpanKindConsumer
	default:
		return trace.SpanKindInternal
	}
}

// attributes are those that docs/tracing.md lists.
func attributes(s *runtime.Span) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, 8)
	text := func(key, value string) {
		if value != "" {
			all = append(all, attribute.String(key, value))
		}
	}
	text("wfrt.workflow", s.Workflow)
	if !s.RunID.IsZero() {
		text("wfrt.run_id", s.RunID.String())
	}
	text("wfrt.status", s.Status)
	if s.Attempt > 0 {
		all = append(all, attribute.Int("wfrt.attempt", int(s.Attempt)))
	}
	switch s.Kind {
	case runtime.SpanTrigger:
		text("wfrt.cause", s.Cause.String())
	case runtime.SpanIntent:
		text("wfrt.target", s.Target)
		text("wfrt.outcome", s.Reason)
	case runtime.SpanInvocation:
		text("wfrt.handler", s.Handler.Kind.String()+"/"+s.Handler.Name)
		text("wfrt.digest", s.Handler.Digest.String())
		outcome := "refused"
		if int(s.Outcome) < numOutcomes && s.Outcome > 0 {
			outcome = outcomeNames()[s.Outcome]
		}
		text("wfrt.outcome", outcome)
	}
	return all
}

// spanKey is the context key of the IDs that a span is to have.
type spanKey struct{}

// givenIDs gives a span the IDs that the engine chose.
type givenIDs struct{}

func (givenIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	c, _ := ctx.Value(spanKey{}).(runtime.TraceContext)
	return c.TraceID, c.SpanID
}

func (givenIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	c, _ := ctx.Value(spanKey{}).(runtime.TraceContext)
	return c.SpanID
}

// tellingExporter logs when sending begins to fail, and when it works again.
type tellingExporter struct {
	sdktrace.SpanExporter
	logger   *slog.Logger
	endpoint string
	failing  atomic.Bool
}

// ExportSpans sends spans. A failure is logged here, so that OpenTelemetry's own handler, which is the process's, has nothing to say.
func (e *tellingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !e.failing.Swap(true):
		e.logger.Warn("spans cannot be sent and are dropped", "endpoint", e.endpoint, "error", err)
	case err == nil && e.failing.Swap(false):
		e.logger.Info("spans are sent again", "endpoint", e.endpoint)
	}
	return nil
}
