package runtime

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Slots is the number of slots that foreign IDs hash to. It is part of every run ID and never changes.
const Slots = 4096

// Slot is a hash of a workflow's name and a foreign ID, 0 ≤ Slot < Slots. Runs of one foreign ID share it.
type Slot uint16

// SlotOf returns the slot of a foreign ID of a workflow: the low 12 bits of a 64-bit FNV-1a hash, mixed by the 64-bit
// finalizer of MurmurHash3, over the workflow's length as one uvarint, the workflow, and the foreign ID. The value is part of
// the durable format: see docs/formats.md.
func SlotOf(workflow, foreignID string) Slot {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	n := uint64(len(workflow))
	for n >= 0x80 {
		h = (h ^ (n&0x7f | 0x80)) * prime
		n >>= 7
	}
	h = (h ^ n) * prime
	for i := range len(workflow) {
		h = (h ^ uint64(workflow[i])) * prime
	}
	for i := range len(foreignID) {
		h = (h ^ uint64(foreignID[i])) * prime
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return Slot(h % Slots)
}

// Shard is the unit of order and ownership: the number of a single writer, 0 ≤ Shard < the store's shard count.
type Shard uint16

// ShardOf returns the shard that holds a slot when the store has count shards.
func ShardOf(slot Slot, count int) Shard { return Shard(int(slot) % count) }

// RunID names a run for ever. It is a UUID version 7 (RFC 9562, section 5.7): 48 bits of milliseconds since 1970, the slot in
// the 12 bits of rand_a, and 62 random bits. IDs order by creation time, and an ID alone says which shard holds its run.
type RunID [16]byte

// NewRunID returns an ID for a run created at now with the slot of its foreign ID. random supplies the 62 random bits, of
// which the top two are ignored.
func NewRunID(now time.Time, slot Slot, random uint64) RunID {
	var id RunID
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = 0x70 | byte(slot>>8)
	id[7] = byte(slot)
	for i := range 8 {
		id[8+i] = byte(random >> (56 - 8*i))
	}
	id[8] = id[8]&0x3f | 0x80
	return id
}

// After returns id if it orders after prev, else the ID that follows prev by step (≥ 1) random units, carrying into its
// milliseconds. It keeps the runs of one foreign ID in creation order when two begin within one millisecond or the clock goes
// back. Both IDs must be of one slot.
func (id RunID) After(prev RunID, step uint32) RunID {
	if bytes.Compare(id[:], prev[:]) > 0 {
		return id
	}
	const randomBits = 1<<62 - 1
	next := (prev.random() + 1 + uint64(step)) & randomBits
	at := prev.Time()
	if next <= prev.random() {
		at = at.Add(time.Millisecond)
	}
	return NewRunID(at, prev.Slot(), next)
}

func (id RunID) random() uint64 {
	var v uint64
	for _, b := range id[8:] {
		v = v<<8 | uint64(b)
	}
	return v & (1<<62 - 1)
}

// Slot returns the slot that the ID carries.
func (id RunID) Slot() Slot { return Slot(id[6]&0x0f)<<8 | Slot(id[7]) }

// Time returns the creation time that the ID carries, in UTC, to the millisecond.
func (id RunID) Time() time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}

// IsZero reports whether the ID is the zero value, which names no run.
func (id RunID) IsZero() bool { return id == RunID{} }

// String returns the ID in the form of RFC 9562, section 4: 36 lower-case characters.
func (id RunID) String() string {
	text, _ := id.MarshalText()
	return string(text)
}

// MarshalText implements encoding.TextMarshaler in the form of String.
func (id RunID) MarshalText() ([]byte, error) { return id.AppendText(make([]byte, 0, 36)) }

// AppendText implements encoding.TextAppender in the form of String. It never fails.
func (id RunID) AppendText(dst []byte) ([]byte, error) {
	dst = hex.AppendEncode(dst, id[0:4])
	dst = hex.AppendEncode(append(dst, '-'), id[4:6])
	dst = hex.AppendEncode(append(dst, '-'), id[6:8])
	dst = hex.AppendEncode(append(dst, '-'), id[8:10])
	return hex.AppendEncode(append(dst, '-'), id[10:16]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler with ParseRunID.
func (id *RunID) UnmarshalText(text []byte) error {
	parsed, err := ParseRunID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

var errNotUUIDv7 = errors.New("want a UUID of version 7, as 8-4-4-4-12 hexadecimal digits")

// ParseRunID reads the form that String writes, in either case.
func ParseRunID(text string) (RunID, error) {
	var id RunID
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return RunID{}, fmt.Errorf("runtime: run ID %.40q: %w", text, errNotUUIDv7)
	}
	digits := text[0:8] + text[9:13] + text[14:18] + text[19:23] + text[24:36]
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil || id[6]>>4 != 7 || id[8]>>6 != 2 {
		return RunID{}, fmt.Errorf("runtime: run ID %q: %w", text, errNotUUIDv7)
	}
	return id, nil
}
