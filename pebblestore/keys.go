package pebblestore

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// A key is the shard (two bytes, big-endian), the kind (two printable bytes) and the rest. Shard numbers stay below
// runtime.Slots, so storeShard can never be one. A kind once assigned is never reused. docs/formats.md has the bytes.
const (
	kindRecord      = "rc" // run ID
	kindIndex       = "ix" // workflow, status, ready, state, run ID
	kindForeign     = "fi" // workflow, foreign ID, run ID
	kindTimer       = "ti" // due, timer kind, run ID, name or callback
	kindHistory     = "hi" // run ID, version, line
	kindLog         = "lg" // run ID, version, time
	kindPayload     = "pl" // run ID, callback
	kindTask        = "ta" // due, run ID, version, task kind, slot, workflow, name
	kindRunTask     = "rt" // run ID, due, and the rest of the task's key
	kindSchedule    = "sc" // workflow, name
	kindEvent       = "ev" // LSN
	kindCursor      = "cu" // name
	kindTrim        = "tm" // nothing: one row a shard
	kindParkedEvent = "ba" // LSN, event ID
	kindIdempotency = "id" // workflow, foreign ID, key
	kindPinned      = "pn" // workflow, digest, run ID
	kindReceipt     = "re" // connector, topic ID, partition, and of a receipt the offset; without it, up to where they are trimmed
	kindParked      = "pk" // connector, topic ID, partition, offset

	kindStore = "st" // under storeShard: format version and shard count
	kindOpen  = "op" // under storeShard: there while the store is open
	kindEpoch = "ep" // under storeShard: shard

	kindDocument = "dc" // under storeShard: name

	storeShard runtime.Shard = 0xffff

	prefixLen = 4
	idLen     = 16
)

// The ready byte of an index row. Ready runs sort first, so that the tasks of a status are one seek away.
const (
	indexReady   = 0
	indexWaiting = 1
)

func appendPrefix(dst []byte, shard runtime.Shard, kind string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(shard)), kind...)
}

// appendName appends a name of at most 255 bytes with its length in one byte before it, so that no name is a prefix of
// another.
func appendName(dst []byte, name string) []byte {
	return append(append(dst, byte(len(name))), name...)
}

// appendForeign appends a foreign ID with its length in two bytes before it.
func appendForeign(dst []byte, id string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(id))), id...)
}

func appendRecordKey(dst []byte, shard runtime.Shard, id runtime.RunID) []byte {
	return appendOfRun(dst, shard, kindRecord, id)
}

func appendIndexKey(dst []byte, shard runtime.Shard, r *runtime.Record) []byte {
	dst = appendIndexRange(dst, shard, r.Workflow, r.Status)
	ready := byte(indexWaiting)
	if r.Ready() {
		ready = indexReady
	}
	dst = append(dst, ready, byte(r.State))
	return append(dst, r.RunID[:]...)
}

// appendIndexRange appends the prefix that the index rows of one status share.
func appendIndexRange(dst []byte, shard runtime.Shard, workflow, status string) []byte {
	return appendName(appendName(appendPrefix(dst, shard, kindIndex), workflow), status)
}

// indexRow is an index row's key, taken apart. Its byte slices are views of the key.
type indexRow struct {
	workflow, status []byte
	ready            byte
	state            runtime.RunState
	id               runtime.RunID
	statusLen        int // length of the key up to and with the status
	rangeLen         int // length of the key up to and with the state
}

func parseIndexKey(key []byte) (row indexRow, ok bool) {
	rest := key[min(prefixLen, len(key)):]
	if row.workflow, rest, ok = cutName(rest); !ok {
		return row, false
	}
	if row.status, rest, ok = cutName(rest); !ok {
		return row, false
	}
	if len(rest) != 2+idLen {
		return row, false
	}
	row.ready, row.state = rest[0], runtime.RunState(rest[1])
	row.id = runtime.RunID(rest[2:])
	row.rangeLen = len(key) - idLen
	row.statusLen = row.rangeLen - 2
	return row, true
}

func cutName(b []byte) (name, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}

func cutForeign(b []byte) (id, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, nil, false
	}
	return b[2:n], b[n:], true
}

func appendForeignKey(dst []byte, shard runtime.Shard, workflow, foreignID string, id runtime.RunID) []byte {
	return append(appendForeignRange(dst, shard, workflow, foreignID), id[:]...)
}

// appendForeignRange appends the prefix that the runs of one foreign ID share.
func appendForeignRange(dst []byte, shard runtime.Shard, workflow, foreignID string) []byte {
	return appendForeign(appendName(appendPrefix(dst, shard, kindForeign), workflow), foreignID)
}

func parseForeignKey(key []byte) (workflow, foreignID []byte, id runtime.RunID, ok bool) {
	rest := key[min(prefixLen, len(key)):]
	if workflow, rest, ok = cutName(rest); !ok {
		return nil, nil, id, false
	}
	if foreignID, rest, ok = cutForeign(rest); !ok || len(rest) != idLen {
		return nil, nil, id, false
	}
	return workflow, foreignID, runtime.RunID(rest), true
}

// nanos returns nanoseconds since 1970. A time beyond what they can say, of the years 1678 to 2262, becomes the nearest.
func nanos(t time.Time) int64 {
	switch first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64); {
	case t.Before(first):
		return math.MinInt64
	case t.After(last):
		return math.MaxInt64
	default:
		return t.UnixNano()
	}
}

const signBit = 1 << 63

// appendInstant appends nanoseconds since 1970 so that they sort: with the sign bit turned over.
func appendInstant(dst []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(nanos(t))^signBit)
}

func instant(b []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(b)^signBit)).UTC()
}

func appendTimerKey(dst []byte, shard runtime.Shard, t *runtime.Timer) []byte {
	dst = appendInstant(appendPrefix(dst, shard, kindTimer), t.Due)
	dst = append(dst, byte(t.Kind))
	dst = append(dst, t.RunID[:]...)
	if t.Kind == runtime.TimerCallback {
		return binary.BigEndian.AppendUint64(dst, t.Callback)
	}
	return append(dst, t.Name...)
}

func parseTimerKey(key []byte) (t runtime.Timer, ok bool) {
	const fixed = prefixLen + 8 + 1 + idLen
	if len(key) < fixed {
		return t, false
	}
	t.Due = instant(key[prefixLen:])
	t.Kind = runtime.TimerKind(key[prefixLen+8])
	t.RunID = runtime.RunID(key[prefixLen+9 : fixed])
	if t.Kind != runtime.TimerCallback {
		t.Name = string(key[fixed:])
		return t, true
	}
	if len(key) != fixed+8 {
		return t, false
	}
	t.Callback = binary.BigEndian.Uint64(key[fixed:])
	return t, true
}

// appendOfRun appends the prefix that the rows of a run share, of a kind whose keys begin with the run ID.
func appendOfRun(dst []byte, shard runtime.Shard, kind string, id runtime.RunID) []byte {
	return append(appendPrefix(dst, shard, kind), id[:]...)
}

func appendHistoryKey(dst []byte, shard runtime.Shard, id runtime.RunID, version uint64, line uint32) []byte {
	dst = appendOfRun(dst, shard, kindHistory, id)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, version), line)
}

func parseHistoryKey(key []byte) (id runtime.RunID, version uint64, line uint32, ok bool) {
	if len(key) != prefixLen+idLen+12 {
		return id, 0, 0, false
	}
	id = runtime.RunID(key[prefixLen : prefixLen+idLen])
	key = key[prefixLen+idLen:]
	return id, binary.BigEndian.Uint64(key), binary.BigEndian.Uint32(key[8:]), true
}

func appendLogKey(dst []byte, shard runtime.Shard, id runtime.RunID, version uint64, at time.Time) []byte {
	dst = appendOfRun(dst, shard, kindLog, id)
	return appendInstant(binary.BigEndian.AppendUint64(dst, version), at)
}

func parseLogKey(key []byte) (id runtime.RunID, version uint64, at time.Time, ok bool) {
	if len(key) != prefixLen+idLen+16 {
		return id, 0, at, false
	}
	id = runtime.RunID(key[prefixLen : prefixLen+idLen])
	key = key[prefixLen+idLen:]
	return id, binary.BigEndian.Uint64(key), instant(key[8:]), true
}

func appendPayloadKey(dst []byte, shard runtime.Shard, id runtime.RunID, callback uint64) []byte {
	return binary.BigEndian.AppendUint64(appendOfRun(dst, shard, kindPayload, id), callback)
}

func parsePayloadKey(key []byte) (id runtime.RunID, callback uint64, ok bool) {
	if len(key) != prefixLen+idLen+8 {
		return id, 0, false
	}
	return runtime.RunID(key[prefixLen : prefixLen+idLen]), binary.BigEndian.Uint64(key[prefixLen+idLen:]), true
}

// A slot of 0 stands for none.
func appendTaskKey(dst []byte, shard runtime.Shard, t *runtime.Task) []byte {
	dst = appendInstant(appendPrefix(dst, shard, kindTask), t.Due)
	dst = append(dst, t.RunID[:]...)
	dst = append(binary.BigEndian.AppendUint64(dst, t.Version), byte(t.Kind))
	if t.Slot.IsZero() {
		dst = binary.BigEndian.AppendUint64(dst, 0)
	} else {
		dst = appendInstant(dst, t.Slot)
	}
	return append(appendName(dst, t.Workflow), t.Name...)
}

func parseTaskKey(key []byte) (t runtime.Task, ok bool) {
	const fixed = prefixLen + 8 + idLen + 8 + 1 + 8
	if len(key) < fixed {
		return t, false
	}
	t.Due = instant(key[prefixLen:])
	rest := key[prefixLen+8:]
	t.RunID = runtime.RunID(rest[:idLen])
	t.Version = binary.BigEndian.Uint64(rest[idLen:])
	t.Kind = runtime.TaskKind(rest[idLen+8])
	if slot := rest[idLen+9:]; binary.BigEndian.Uint64(slot) != 0 {
		t.Slot = instant(slot)
	}
	workflow, name, ok := cutName(key[fixed:])
	t.Workflow, t.Name = string(workflow), string(name)
	return t, ok
}

// appendRunTaskKey appends the key of the row by which a task is found from its run: that of the task with the run before
// the time.
func appendRunTaskKey(dst, task []byte) []byte {
	const due, run = prefixLen + 8, prefixLen + 8 + idLen
	dst = append(append(dst, task[:2]...), kindRunTask...)
	dst = append(append(dst, task[due:run]...), task[prefixLen:due]...)
	return append(dst, task[run:]...)
}

// appendTaskKeyOf appends the key of the task that a row of its run stands for, which is at least as long as its fixed
// parts.
func appendTaskKeyOf(dst, runTask []byte) []byte {
	const run, due = prefixLen + idLen, prefixLen + idLen + 8
	dst = append(append(dst, runTask[:2]...), kindTask...)
	dst = append(append(dst, runTask[run:due]...), runTask[prefixLen:run]...)
	return append(dst, runTask[due:]...)
}

func appendScheduleKey(dst []byte, shard runtime.Shard, workflow, name string) []byte {
	return append(appendName(appendPrefix(dst, shard, kindSchedule), workflow), name...)
}

func parseScheduleKey(key []byte) (workflow, name []byte, ok bool) {
	return cutName(key[min(prefixLen, len(key)):])
}

func appendEventKey(dst []byte, shard runtime.Shard, lsn runtime.LSN) []byte {
	return binary.BigEndian.AppendUint64(appendPrefix(dst, shard, kindEvent), uint64(lsn))
}

func parseEventKey(key []byte) (lsn runtime.LSN, ok bool) {
	if len(key) != prefixLen+8 {
		return 0, false
	}
	return runtime.LSN(binary.BigEndian.Uint64(key[prefixLen:])), true
}

func appendParkedEventKey(dst []byte, shard runtime.Shard, ref runtime.EventRef) []byte {
	dst = binary.BigEndian.AppendUint64(appendPrefix(dst, shard, kindParkedEvent), uint64(ref.LSN))
	return ref.AppendID(dst)
}

func parseParkedEventKey(key []byte) (ref runtime.EventRef, ok bool) {
	if len(key) <= prefixLen+8 {
		return ref, false
	}
	ref, err := runtime.ParseEventID(string(key[prefixLen+8:]))
	ref.LSN = runtime.LSN(binary.BigEndian.Uint64(key[prefixLen:]))
	return ref, err == nil
}

func appendCursorKey(dst []byte, shard runtime.Shard, name string) []byte {
	return append(appendPrefix(dst, shard, kindCursor), name...)
}

func appendIdempotencyKey(dst []byte, shard runtime.Shard, workflow, foreignID, key string) []byte {
	dst = appendForeign(appendName(appendPrefix(dst, shard, kindIdempotency), workflow), foreignID)
	return append(dst, key...)
}

func parseIdempotencyKey(key []byte) (workflow, foreignID, name []byte, ok bool) {
	rest := key[min(prefixLen, len(key)):]
	if workflow, rest, ok = cutName(rest); !ok {
		return nil, nil, nil, false
	}
	if foreignID, rest, ok = cutForeign(rest); !ok {
		return nil, nil, nil, false
	}
	return workflow, foreignID, rest, true
}

// appendPinnedKey appends the key of the row that a run has while it is active and pinned.
func appendPinnedKey(dst []byte, shard runtime.Shard, r *runtime.Record) []byte {
	return append(appendPinnedRange(dst, shard, r.Workflow, r.Pinned), r.RunID[:]...)
}

// appendPinnedRange appends the prefix that the rows of one definition share.
func appendPinnedRange(dst []byte, shard runtime.Shard, workflow string, d runtime.Digest) []byte {
	return append(appendName(appendPrefix(dst, shard, kindPinned), workflow), d[:]...)
}

func parsePinnedKey(key []byte) (workflow []byte, d runtime.Digest, id runtime.RunID, ok bool) {
	workflow, rest, ok := cutName(key[min(prefixLen, len(key)):])
	if !ok || len(rest) != len(d)+idLen {
		return nil, d, id, false
	}
	return workflow, runtime.Digest(rest[:len(d)]), runtime.RunID(rest[len(d):]), true
}

func documentKey(name string) []byte { return append(storeKey(kindDocument), name...) }

func storeKey(kind string) []byte { return appendPrefix(nil, storeShard, kind) }

func epochKey(shard runtime.Shard) []byte {
	return binary.BigEndian.AppendUint16(appendPrefix(nil, storeShard, kindEpoch), uint16(shard))
}

// appendSuccessor appends the least key that is greater than every key with the given prefix. Every prefix here begins
// with a shard and a printable kind, so it holds a byte that can be raised.
func appendSuccessor(dst, prefix []byte) []byte {
	n := len(prefix)
	for prefix[n-1] == 0xff {
		n--
	}
	dst = append(dst, prefix[:n]...)
	dst[len(dst)-1]++
	return dst
}
