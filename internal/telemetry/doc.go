// Package telemetry is what the server says about itself: metrics for Prometheus, spans for OpenTelemetry, and its log.
//
// metrics.go holds the registry and the handler, meter.go the engine's runtime.Meter, collectors.go what is read at the time
// of a scrape, plugins.go what plugins measure, trace.go the engine's runtime.Tracer, and log.go the logger. Names of metrics begin with wfrt_ and do not change once released.
package telemetry
