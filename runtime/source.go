package runtime

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// TopicID identifies a topic for as long as it exists: one that is deleted and made again under its name has another. Zero where
// the broker tells none.
type TopicID [16]byte

// String returns 32 lower-case hexadecimal digits.
func (id TopicID) String() string { return hex.EncodeToString(id[:]) }

// Origin is where a message lay in an outside stream, as one connector read it. It identifies the message: what a connector does
// with a message is done once for each origin.
type Origin struct {
	Connector string // 1–64 bytes
	TopicID   TopicID
	Partition int32 // Kafka's
	Offset    int64
	Redriven  bool // of a receipt: it is of a parked message's redrive, whose parking has left a receipt of its own
}

// String returns "<connector>/<topic ID>/<partition>/<offset>".
func (o Origin) String() string {
	return fmt.Sprintf("%s/%s/%d/%d", o.Connector, o.TopicID, o.Partition, o.Offset)
}

// Compare orders origins by connector (a shorter name first), topic ID, partition and offset.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(
		cmp.Compare(len(o.Connector), len(p.Connector)), strings.Compare(o.Connector, p.Connector), bytes.Compare(o.TopicID[:], p.TopicID[:]),
		cmp.Compare(o.Partition, p.Partition), cmp.Compare(o.Offset, p.Offset),
	)
}

// Home returns the shard, of so many, that holds the parked messages of the origin's partition.
func (o Origin) Home(shards int) Shard {
	return ShardOf(SlotOf(o.Connector, fmt.Sprintf("%s/%d", o.TopicID, o.Partition)), shards)
}

// Message is one record of an outside stream. (A record, in wfrt, is the durable form of a run.)
type Message struct {
	Topic     string
	TopicID   TopicID
	Partition int32
	Offset    int64
	Key       []byte // nil: none
	Value     []byte // nil: none
	Headers   []Header
	Time      time.Time // as the stream has it
}

// Header is one header of a message. A name may occur more than once.
type Header struct {
	Name  string
	Value []byte
}

// place names a message for people: "northwind.orders, partition 2, offset 17".
func (m *Message) place() string {
	return fmt.Sprintf("%s, partition %d, offset %d", m.Topic, m.Partition, m.Offset)
}

// Position is a place in a partition of a topic: that of the next message to be read.
type Position struct {
	Topic     string
	TopicID   TopicID
	Partition int32
	Offset    int64
}

// Source reads the topics of one connector, as one member of a group that shares their partitions.
//
// Receive waits for messages and returns them, or an error. Those of a partition come in the order of their offsets. It returns
// soon after ctx ends, with ctx's error. Any other error is for people to read; the source goes on as soon as it can when Receive
// is called again, which returns without messages when what the error said is over. The caller owns what it gets.
//
// Commit tells the group that everything before the positions is done; they are of partitions that are assigned. It returns soon
// after ctx ends.
//
// A partition that goes back, because its log lost messages, or because its topic was deleted and made again, is revoked, as lost, and
// assigned anew, before its next message comes.
//
// Pause lets no more messages of a partition come, but for those that are on their way, until Resume. A partition that is assigned
// anew is not paused.
//
// Ends returns, of each of the given partitions that it can, where it ends: the position of the next message to be written.
//
// Close leaves the group and frees everything. It is called once, when no Receive is under way; what it interrupts fails.
//
// Receive is called from one goroutine; the other methods may be called from others at the same time.
type Source interface {
	Receive(ctx context.Context) ([]Message, error)
	Commit(ctx context.Context, positions []Position) error
	Pause(topic string, partition int32)
	Resume(topic string, partition int32)
	Ends(ctx context.Context, partitions []Position) ([]Position, error)
	Close()
}

// SourceReader is told which partitions its Source reads. Its methods are called one at a time, and never between the return of one
// Receive and the call of the next: a message that Receive returned is of a partition that is still assigned.
//
// Assigned is told of a partition before its first message comes: at is where the group has committed. When it has not, or only for
// a topic of that name before, or beyond the end of the log, committed is false, and at is where the source was told to start, as an
// offset that will not change by itself, if the partition was there when the group began with the topic, and else its start.
// Assigned returns where to begin: there, further on when more is known to be done, or further back when nothing was committed and it had
// begun before. An error refuses the partition for now.
//
// Revoked is told of partitions that go to another member when it returns. Until then they may be committed, unless lost says
// that they are gone already. It returns soon after ctx ends, which the end of a Receive's context does not do.
type SourceReader interface {
	Assigned(ctx context.Context, at Position, committed bool) (int64, error)
	Revoked(ctx context.Context, partitions []Position, lost bool)
}

// OpenSource makes the source of a reader. It need not reach anything yet: what cannot be reached, found or read, Receive says.
type OpenSource func(r SourceReader) (Source, error)
