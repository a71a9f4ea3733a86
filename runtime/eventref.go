package runtime

import (
	"bytes"
	"cmp"
	"errors"
	"strconv"
	"strings"
)

// EventRef names an event: it is what it is found by. The zero EventRef names none and comes before all.
type EventRef struct {
	LSN     LSN // the batch that wrote it
	RunID   RunID
	Version uint64
	Number  int // of one that a handler emitted with the change: from 1; 0: of the change itself
}

// ID returns the event's ID, as Event.ID does.
func (r EventRef) ID() string { return string(r.AppendID(make([]byte, 0, 57))) }

// AppendID appends the event's ID to dst.
func (r EventRef) AppendID(dst []byte) []byte {
	dst, _ = r.RunID.AppendText(dst)
	dst = appendUint(append(dst, '/'), r.Version)
	if r.Number > 0 {
		dst = appendUint(append(dst, '/'), uint64(r.Number))
	}
	return dst
}

// Compare orders events of a shard by their LSN, then by their ID as text.
func (r EventRef) Compare(other EventRef) int {
	return cmp.Or(cmp.Compare(r.LSN, other.LSN), bytes.Compare(r.AppendID(nil), other.AppendID(nil)))
}

// sameID reports whether both name the same event, wherever it lies.
func (r EventRef) sameID(other EventRef) bool {
	return r.RunID == other.RunID && r.Version == other.Version && r.Number == other.Number
}

var errNoEventID = errors.New("it is not <run_id>/<version> or <run_id>/<version>/<number>")

// ParseEventID takes an event's ID apart. The EventRef it returns has no LSN. It returns an error for a text that no event has as its ID.
func ParseEventID(id string) (EventRef, error) {
	parts := strings.Split(id, "/")
	if len(parts) != 2 && len(parts) != 3 {
		return EventRef{}, errNoEventID
	}
	var r EventRef
	var err, versionErr, numberErr error
	r.RunID, err = ParseRunID(parts[0])
	r.Version, versionErr = strconv.ParseUint(parts[1], 10, 64)
	if len(parts) == 3 {
		r.Number, numberErr = strconv.Atoi(parts[2])
	}
	if errors.Join(err, versionErr, numberErr) != nil || r.ID() != id { // there is one way to write it
		return EventRef{}, errNoEventID
	}
	return r, nil
}
