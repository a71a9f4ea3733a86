package runtime

import (
	"cmp"
	"context"
	"strings"
	"time"
)

// LSN is a shard's position: the number of a batch that was applied to it, ascending, with gaps where a store was opened
// again. Zero is the position before the first.
type LSN uint64

// Epoch counts the owners of a shard. A writer with an old epoch is refused.
type Epoch uint64

// Base is the position that an owner's LSNs come after: higher than those of the owners before it, who have a trillion each.
func (e Epoch) Base() LSN { return LSN(e) << 40 }

// Batch is one atomic change of a shard: of one run, and of what hangs on it. Everything in it is written or nothing is.
//
// The rows that follow from a record (its index rows, its timers and, when the version rose, its event) are not listed: the
// store writes those of Next and removes those of Prev that Next no longer has. So it does with the payload of a callback that
// Prev holds pending and Next does not.
type Batch struct {
	Prev    *Record        // as the store holds it; nil when the run is new
	Next    *Record        // as it is to be; nil when the batch changes no record
	Emits   []Emit         // events that a handler emitted, to be written with the event of Next's version; nil for none
	History []HistoryEntry // lines to write, in the place of those with the same version and line
	Log     *LogEntry      // what a handler logged; nil for nothing
	Payload []byte         // of the callback that Next has taken in last, number Next.Callbacks; nil for none

	// Erase, with Next: removes what the store holds of the run's data besides the record: the objects and reasons in its
	// history, but for the reason of the line that asks for it; its logs, its payloads; the object in each of its tasks becomes that of Next.
	Erase bool
	// Remove, with Prev and without Next: removes everything of the run but its events, its tasks and the keys that led to it.
	Remove bool

	AddTasks []Task // tasks to write; one that is there with the same Due is replaced
	DropTask *Task  // a task to remove, before the others are added; nil for none. One that is not there is not missed.

	// PrevSchedule is a schedule as the store holds it, nil when it is new; NextSchedule as it is to be, nil to remove it. With other runs
	// than before it may move here from another shard: the caller is the writer of both then.
	PrevSchedule, NextSchedule *Schedule

	Remember *Idempotency // a key to keep, with its TimerForget; nil for none
	Forget   *Timer       // an idempotency key to remove with this timer of it; nil for none

	Receipt      *Origin // a message whose effect the batch is; nil for none
	DropReceipt  *Origin // a receipt to remove; nil for none. One that is not there is not missed.
	TrimReceipts *Origin // everything of its partition before its offset is done: the receipts of that go; nil for none
	Park         *Parked // a message to park; nil for none
	Unpark       *Origin // a parked message to remove; nil for none. One that is not there is not missed.
}

// Reset empties the batch and keeps its buffers.
func (b *Batch) Reset() {
	clear(b.History)
	clear(b.AddTasks)
	*b = Batch{History: b.History[:0], AddTasks: b.AddTasks[:0]}
}

// LogEntry is what was logged for one piece of work: by one handler, or by the several that a callback or the timers of a status have.
type LogEntry struct {
	RunID   RunID
	Version uint64    // that it ran on
	Time    time.Time // when it ended; entries order by (Version, Time): the store moves one on whose place is taken
	Handler string    // "<kind>/<name>"
	Attempt uint32
	Lines   []LogLine
}

// TaskKind says what a task does. The numbers are part of the durable format.
type TaskKind uint8

// Task kinds.
const (
	TaskHook     TaskKind = 1 // calls a hook
	TaskIntent   TaskKind = 2 // delivers an intent
	TaskErase    TaskKind = 3 // erases a run's data
	TaskSchedule TaskKind = 4 // triggers the run of a schedule's next slot
)

// Task is a durable unit of work beside the runs: it blocks none of them, and none blocks it. What identifies it is (RunID,
// Version, Kind, Name) or, of TaskSchedule, (Workflow, Name, Slot).
type Task struct {
	Due     time.Time // when it may be done; while an attempt is made, when the next would be
	Kind    TaskKind
	RunID   RunID  // zero of TaskSchedule
	Version uint64 // of the run that made it; 0 of TaskSchedule
	Name    string // at most MaxTaskName bytes: of TaskHook the handler's; of TaskIntent its number, of a hook's after "hook/<name>/"; of TaskSchedule the schedule's
	Attempt uint32 // attempts that have begun

	On       HookEvent    // of TaskHook
	Record   *Record      // of TaskHook: as of Version
	Intent   *Intent      // of TaskIntent
	Workflow string       // of TaskSchedule
	Slot     time.Time    // of TaskSchedule
	Trace    TraceContext // of TaskIntent: of the invocation that asked; zero for none
}

// Idempotency is what is kept of a request that carried an idempotency key. A key is scoped to a workflow and a foreign ID.
type Idempotency struct {
	Workflow  string
	ForeignID string
	Key       string   // 1–256 bytes
	Request   [32]byte // SHA-256 of the request, to tell a repetition from another request under the same key
	RunID     RunID    // the run that the request began or went to
	Callback  uint64   // the callback that the request was; 0 of a trigger
	ExpiresAt time.Time
}

// Writer applies batches.
//
// Apply writes b to the shard as one atomic batch and returns its LSN, which is one more than the last; the first after a
// shard was opened follows the epoch's Base, and so is higher than any that the shard ever returned, also for batches that a
// crash has lost: a cursor in a client's hand never points past an event it has not seen. When Apply returns, reads see the
// batch; it is durable once Durable(shard) has reached the LSN. Batches of a shard become durable in order: after a
// crash the shard holds a prefix of what was applied. Apply must not keep b or anything in it. The caller allows one Apply at a
// time per shard; different shards run side by side. It returns ErrFenced for an epoch that is not the shard's newest, and
// ErrStoreFailed, wrapping the cause, when the store accepts nothing more; any other error refuses a malformed batch, as
// Batch.CheckLengths does, of which nothing is written.
//
// OpenShard makes the caller the owner of a shard: it raises the epoch durably, and returns it. The shard's position is then the
// epoch's Base.
//
// Durable returns the highest LSN up to which the shard is durable. It never falls and never waits.
//
// WaitDurable returns nil once Durable(shard) ≥ lsn, and sees to it that this comes soon. It returns ctx's error if that ends
// first, and ErrStoreFailed, wrapping the cause, when the store could not make it durable; then no later call succeeds.
//
// Applied returns the LSN of the last batch applied to the shard. It is raised before the batch is visible. A reader that reads first and asks afterwards knows a
// position that covers whatever it read.
type Writer interface {
	OpenShard(ctx context.Context, shard Shard) (Epoch, error)
	Apply(shard Shard, epoch Epoch, b *Batch) (LSN, error)
	Applied(shard Shard) LSN
	Durable(shard Shard) LSN
	WaitDurable(ctx context.Context, shard Shard, lsn LSN) error
}

// Query selects records. The zero Query selects all, oldest first.
type Query struct {
	Workflows     []string   // any of them; empty: all
	States        []RunState // any of them; empty: all
	Statuses      []string   // any of them; empty: all
	ForeignIDs    []string   // any of them; empty: all
	CreatedAfter  time.Time  // only runs created at or after it, to the millisecond; zero: no bound
	CreatedBefore time.Time  // only runs created before it, to the millisecond; zero: no bound
	Descending    bool       // newest first
	After         RunID      // only runs beyond this one in the order asked for: the last of the page before; zero: from the start
	Limit         int        // records at most, ≥ 1
}

// Reader answers questions about runs. All methods may be called from many goroutines. What they return belongs to the caller.
//
// Record reads the record of a run into dst, reusing its object's buffer. It returns ErrNotFound when there is none.
//
// Latest returns the newest created run of a foreign ID, or ErrNotFound.
//
// List returns the records that match the query, ordered by run ID, that is by creation; at most q.Limit. It reads indexes
// only, never all runs.
//
// History returns the lines of a run's history in the order of (version, line) that come after the given pair, at most limit.
//
// Logs returns what the run's handlers logged, in the order of (version, time), after the given pair, at most limit.
//
// Payload returns the payload of a pending callback, or ErrNotFound.
//
// Schedule returns a schedule, or ErrNotFound. Schedules returns all, ordered by workflow and name.
//
// Remembered returns the kept request of an idempotency key, or ErrNotFound.
//
// ActiveRuns counts the runs of a queue, or without a status of a whole workflow, whose state is Active, up to limit. PinnedRuns
// counts those of a workflow whose state is Active and whose Pinned is the digest, which is not zero, up to limit. ActiveQueues
// returns the queues that have runs whose state is Active, each once, in the order of their names. All read indexes only.
type Reader interface {
	Record(id RunID, dst *Record) error
	Latest(workflow, foreignID string) (RunID, error)
	List(ctx context.Context, q *Query) ([]Record, error)
	History(id RunID, afterVersion uint64, afterLine uint32, limit int) ([]HistoryEntry, error)
	Logs(id RunID, afterVersion uint64, afterTime time.Time, limit int) ([]LogEntry, error)
	Payload(id RunID, callback uint64) ([]byte, error)
	Schedule(workflow, name string) (Schedule, error)
	Schedules() ([]Schedule, error)
	Remembered(workflow, foreignID, key string) (Idempotency, error)
	ActiveRuns(q Queue, limit int) (int, error)
	PinnedRuns(workflow string, d Digest, limit int) (int, error)
	ActiveQueues() ([]Queue, error)
}

// Queue names the runs that wait for the step of one status.
type Queue struct {
	Workflow string
	Status   string
}

// Compare orders queues by workflow, then by status.
func (q Queue) Compare(other Queue) int {
	return cmp.Or(strings.Compare(q.Workflow, other.Workflow), strings.Compare(q.Status, other.Status))
}

// TaskReader finds the work of a shard.
//
// Queues returns the queues of the shard in which at least one run is Ready, in no order.
//
// Ready appends to dst the IDs of runs of the queue that are Ready, in ascending order, beginning after the given one, at most
// limit, and returns it.
//
// Due appends to dst the timers that are due at or before now, in the order of their time, at most limit; and returns it with
// the time of the shard's first timer that is later than now or beyond the limit, zero when there is none.
//
// DueTasks does for tasks what Due does for timers, beginning after a given one; nil: with the first.
type TaskReader interface {
	Queues(shard Shard) ([]Queue, error)
	Ready(shard Shard, q Queue, after RunID, limit int, dst []RunID) ([]RunID, error)
	Due(shard Shard, now time.Time, limit int, dst []Timer) ([]Timer, time.Time, error)
	DueTasks(shard Shard, now time.Time, after *Task, limit int, dst []Task) ([]Task, time.Time, error)
}

// EventLog is the outbox and the event log in one: the events of each shard in the order they were applied.
//
// Events appends to dst the events of the shard after an LSN, at most limit, and returns it: where those were trimmed, it begins with the
// first that is kept. It returns events that are applied and perhaps not yet durable. It may return fewer, though at least one, when they are large; it MUST NOT part those of
// one batch, also when that makes more than limit.
//
// CountEvents returns how many events there are after an LSN and up to another.
//
// Cursor returns the position a named reader has reached in a shard; zero when it never moved. SetCursor moves it; it is
// durable some time later, so a reader may see events again after a crash. DropCursor forgets the name in all shards.
//
// SetCursor and TrimEvents refuse a position beyond Applied.
//
// ParkEvent keeps an event that the streamer refused, in the place of one that is parked with the same LSN and ID: no later than the next
// SetCursor it is as durable as that. UnparkEvent drops one; it does nothing when there is none.
//
// ParkedEvent returns a parked event, or ErrNotFound. ParkedRefs appends to dst what names the parked events of the shard after one
// (zero: from the first), which need not be there itself, in the order of EventRef.Compare, at most limit, and returns it; it returns
// fewer only when there are no more. Many events may be parked, and large ones: ParkEvent, UnparkEvent and ParkedEvent MUST NOT read
// others, and ParkedRefs MUST NOT read what the events hold.
//
// TrimEvents removes the events of the shard up to and including an LSN, with one range delete. The caller sees to it that
// no cursor needs them.
type EventLog interface {
	Events(shard Shard, after LSN, limit int, dst []Event) ([]Event, error)
	CountEvents(shard Shard, after, upTo LSN) (int, error)
	ParkEvent(shard Shard, p *ParkedEvent) error
	ParkedEvent(shard Shard, ref EventRef) (ParkedEvent, error)
	ParkedRefs(shard Shard, after EventRef, limit int, dst []EventRef) ([]EventRef, error)
	UnparkEvent(shard Shard, ref EventRef) error
	Cursor(shard Shard, name string) (LSN, error)
	SetCursor(shard Shard, name string, lsn LSN) error
	DropCursor(name string) error
	TrimEvents(shard Shard, upTo LSN) error
}

// Parked is a message that no effect could be made of: it waits until a person has it tried again, or drops it.
type Parked struct {
	Origin
	Topic    string
	Key      []byte // nil: none
	Value    []byte // nil: none
	Headers  []Header
	Time     time.Time // of the message
	Cause    string    // why it is parked
	Attempts uint32    // that were made
	ParkedAt time.Time

	Workflow, ForeignID string // of the run that it was for; empty where that could not be found out
}

// ReceiptReader finds what connectors have done. A receipt lies in the shard of its effect; a parked message in the shard of its
// partition (Origin.Home).
//
// Receipt reports whether the shard holds a receipt of the message.
//
// Receipts appends to dst the offsets of the partition's receipts in all shards, in no order, and returns it with the highest offset that receipts were
// trimmed to in any shard: all before it is done. Of the origin the offset is not looked at.
//
// Parked returns the parked messages of a connector ("" for every connector) that come after an origin (zero for the first) in
// the order of Origin.Compare, at most limit.
//
// ParkedMessage returns one of them, or ErrNotFound.
type ReceiptReader interface {
	Receipt(shard Shard, o Origin) (bool, error)
	Receipts(partition Origin, dst []int64) (trimmed int64, offsets []int64, err error)
	Parked(connector string, after Origin, limit int) ([]Parked, error)
	ParkedMessage(o Origin) (Parked, error)
}

// Store is all that the engine asks of a store.
//
// Shards returns the number of shards, fixed when the store was created: 1 to Slots.
//
// Unclean reports whether the owner before this one stopped without Close, so that steps may have been running.
//
// Close makes everything applied durable, marks the stop as clean and frees the store. The engine does not call it.
type Store interface {
	Writer
	Reader
	TaskReader
	EventLog
	ReceiptReader
	Shards() int
	Unclean() bool
	Close() error
}
