// Package pebblestore keeps runs in an embedded Pebble store. It implements runtime.Store: records, histories, logs, step
// tasks, timers, the tasks beside the runs, schedules and the event log, which is the outbox.
//
// The way through the files:
//
//	options.go     what can be chosen, and how Pebble is tuned for this load
//	store.go       open, own, fail, close
//	keys.go        every key, byte by byte
//	values.go      the values of a run's rows: protobuf messages, written and read by hand
//	sidevalues.go  those of the rows beside the runs
//	wire.go        protobuf wire format
//	names.go       names that repeat in every row share one string
//	apply.go       a batch of the engine becomes one batch of Pebble
//	rows.go        a record, a task or a schedule becomes rows
//	keep.go        idempotency keys are kept and forgotten
//	erase.go       a run's data is erased, a run is removed
//	sync.go        one goroutine makes everything durable, for everyone who waits
//	read.go        a record, a history, an idempotency key
//	logs.go        what handlers logged, what callbacks brought
//	schedules.go   schedules, which lie in any shard
//	count.go       how many runs are in a status, or pinned
//	list.go        which key ranges hold the runs of a query
//	merge.go       key ranges, merged by run ID
//	tasks.go       ready runs
//	due.go         due timers and due tasks
//	events.go      the event log, its cursors and its trimming
//	documents.go   what is kept that is no run's
//	check.go       every derived row against its record, and the repair
//
// The format is specified in docs/formats.md and held by golden tests.
//
// Invariants, each of which a bug would break silently:
//
//   - An index row or a timer row is set once before it is deleted once: they are removed with SingleDelete.
//   - A shard's position is raised before its batch is visible (Applied), and again after it is in the log (the syncer's
//     view). A reader may thus wait for too much, never for too little; a sync never covers what is not in the log.
//   - What is removed together with a record's change is computed from Batch.Prev, not read: Prev must be what the store
//     holds.
package pebblestore
