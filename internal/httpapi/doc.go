// Package httpapi serves the engine over HTTP: JSON in and out, problems as application/problem+json (RFC 9457), events as
// server-sent events, and an OpenAPI 3.1 document that is generated from the Go types and committed as docs/openapi.json.
//
// The way of one request through the files:
//
//	server.go    the server: its options, its limits in time, its end
//	guard.go     what every request passes: panics, the access log, the Host, the origin, the token
//	query.go     query parameters: the unknown, the empty and the repeated are refused
//	body.go      JSON bodies: the unknown member is refused
//	runs.go      trigger, get, list, await
//	past.go      history and logs
//	control.go   pause, resume, cancel, erase, move, edit; bulk.go the first four for all runs that a filter selects
//	callbacks.go outside input for a run that waits
//	schedules.go what triggers by the clock
//	workflows.go the catalog, and graph.go its pure Mermaid renderer
//	events.go    the event log as server-sent events
//	system.go    plugins, version, health, readiness
//	problems.go  the one place where an error becomes an answer
//	views.go     what the answers look like, and definitions.go those about workflows; the command line decodes into the same
//
// What it needs of the engine and of the plugins it declares in seams.go.
package httpapi
