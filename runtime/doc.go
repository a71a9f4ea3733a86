// Package runtime is the domain and the engine of wfrt: workflows, runs, records, events, and the machine that moves a run
// from its trigger to its end.
//
// It knows no WebAssembly, no Pebble, no Kafka and no HTTP. What it needs from them it declares here as small interfaces:
//
//   - Invoker runs a handler. The host package implements it over WebAssembly; runtimetest.Native over plain Go functions.
//   - Store keeps records, histories, timers and the event log. pebblestore implements it; runtimetest.MemStore in memory.
//   - Streamer takes the events of the outbox.
//   - Meter counts; Clock tells the time.
//
// The way of one run through the files:
//
//	trigger.go   a trigger becomes a Batch under the writer of its shard
//	shard.go     one shard: its writer, and the runs that are in memory
//	dispatch.go  ready runs wait per (workflow, status), bounded, and workers take them
//	work.go      a worker invokes the handler and commits what Decide made of the outcome
//	decide.go    the pure rule: record + outcome → next record and history
//	timers.go    due rows: retries, automatic resumes, expired idempotency keys
//	await.go     who waits for a run is told by the commit
//	relay.go     the outbox: events in order per run to a Streamer
//	connector.go messages of an outside stream, in lanes; connectorgroup.go its partitions, connectorcommit.go what is done of them
//	deliver.go   one message: its attempts, its effect or its parking
//	read.go      get, list, history, events
//
// Two rules hold everywhere. A shard has one writer: whoever holds its lock; nothing is decided on what was read without it.
// And whatever leaves waits: no answer, refusal, event or wake-up leaves the engine before each shard it observed is durable
// up to the position it saw.
package runtime
