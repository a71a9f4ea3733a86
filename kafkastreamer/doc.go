// Package kafkastreamer publishes events to Kafka and reads messages from it. It implements runtime.Streamer and runtime.Source over
// franz-go.
//
// The way through the files:
//
//	options.go   how Kafka is reached: brokers, TLS, SASL; shared by all clients
//	logger.go    what the client library says, into our log
//	streamer.go  a page of events is produced, and its outcome told
//	producer.go  the client in use, and those before it
//	alone.go     one record at a time, when it is too large or a batch was refused
//	page.go      the records of one call, and their outcomes
//	encode.go    events become records: keys, headers, bodies
//	topics.go    which topics an event goes to, and their making
//	limit.go     how large a batch of a topic may be, and how that is learned
//	source.go    a connector's messages, as a member of a consumer group
//	begin.go     where its partitions begin
//	place.go     how far they were read, and those that go or go back
//	commit.go    what the group is told
//	mark.go      what that says of a topic besides the offset
//	absent.go    partitions that it is assigned and that are not there
//	reach.go     whether the brokers are reached, for errors that name them
//
// Invariants, each of which a bug would break silently:
//
//   - Publish returns only when each of its records is acknowledged or failed, unless its context ended: what it reports as
//     failed is not under way any more, so the next call cannot be overtaken by it.
//   - A page goes back to its pool only then, too: the client reads it until it has told the last outcome.
//   - Nothing but the end of the context, the client's or the broker's verdict ends a record: there is no timeout and no limit of
//     retries, which could fail one record and let a later one of the same run pass.
package kafkastreamer
