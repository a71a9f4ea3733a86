package httpapi

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// Cursors are opaque to clients: base64 (URL alphabet, no padding) of a letter that says what it is a position in, and of
// the position. A cursor of one list is refused by another.
const (
	newestFirst = 'd' // runs, newest first: the last run's ID
	oldestFirst = 'a' // runs, oldest first: the last run's ID
	ofHistory   = 'h' // a history: version and line of the last entry, as uvarints
	ofLogs      = 'l' // logs: version and time (Unix, in nanoseconds) of the last entry, as uvarints
)

const cursorHint = "give next_cursor of the page before, with the same order; or leave it out to begin"

func runCursor(after runtime.RunID, descending bool) string {
	kind := byte(oldestFirst)
	if descending {
		kind = newestFirst
	}
	return base64.RawURLEncoding.EncodeToString(append([]byte{kind}, after[:]...))
}

func parseRunCursor(text string, descending bool) (runtime.RunID, error) {
	var id runtime.RunID
	if text == "" {
		return id, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	switch {
	case err != nil || len(raw) != 1+len(id) || (raw[0] != newestFirst && raw[0] != oldestFirst):
		return id, invalid("cursor", "is not a cursor of a list of runs", cursorHint)
	case (raw[0] == newestFirst) != descending:
		return id, invalid("cursor", "is of a list in the other order", cursorHint)
	}
	copy(id[:], raw[1:])
	return id, nil
}

func historyCursor(last *runtime.HistoryEntry) string {
	return pairCursor(ofHistory, last.Version, uint64(last.Line))
}

func parseHistoryCursor(text string) (version uint64, line uint32, err error) {
	version, second, ok := parsePairCursor(ofHistory, text)
	if !ok || second > math.MaxUint32 {
		return 0, 0, invalid("cursor", "is not a cursor of a history", cursorHint)
	}
	return version, uint32(second), nil
}

func logsCursor(last *runtime.LogEntry) string {
	return pairCursor(ofLogs, last.Version, uint64(last.Time.UnixNano()))
}

func parseLogsCursor(text string) (version uint64, at time.Time, err error) {
	if text == "" {
		return 0, time.Time{}, nil
	}
	version, second, ok := parsePairCursor(ofLogs, text)
	if !ok || second > math.MaxInt64 {
		return 0, time.Time{}, invalid("cursor", "is not a cursor of logs", cursorHint)
	}
	return version, time.Unix(0, int64(second)).UTC(), nil
}

func pairCursor(kind byte, first, second uint64) string {
	raw := binary.AppendUvarint([]byte{kind}, first)
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(raw, second))
}

// parsePairCursor reads what pairCursor wrote; the empty text is the beginning.
func parsePairCursor(kind byte, text string) (first, second uint64, ok bool) {
	if text == "" {
		return 0, 0, true
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 || raw[0] != kind {
		return 0, 0, false
	}
	first, n := binary.Uvarint(raw[1:])
	if n <= 0 {
		return 0, 0, false
	}
	second, m := binary.Uvarint(raw[1+n:])
	return first, second, m > 0 && 1+n+m == len(raw)
}

// The bounds of a page besides its limit: a thousand entries with objects of a megabyte must not fill the memory.
const (
	pageBytes  = 8 << 20 // the objects of a page: the entry that reaches it is the last
	pageAtOnce = 32      // entries read at a time, and, while they are small,
	pageAtMost = 128     // up to so many: each reading seeks in every shard
	shortPages = "A page also ends when its objects reach 8 MiB: only a missing next_cursor says that it is the last."
)

// page collects at most limit entries from fetch, which returns at most n that come after the given one (nil: from where the
// request begins), and reports whether more follow. size is what an entry counts towards pageBytes.
func page[T any](
	limit int, fetch func(n int, after *T) ([]T, error), size func(*T) int,
) (entries []T, more bool, err error) {
	var after *T
	total, atOnce := 0, pageAtOnce
	for {
		n := min(atOnce, limit+1-len(entries)) // one beyond the page tells whether more follow
		some, err := fetch(n, after)
		if err != nil {
			return nil, false, err
		}
		for i := range some {
			if len(entries) == limit || total >= pageBytes {
				return entries, true, nil
			}
			total += size(&some[i])
			entries = append(entries, some[i])
		}
		if len(some) < n {
			return entries, false, nil
		}
		after = &some[n-1]
		if total < pageBytes/pageAtMost {
			atOnce = min(2*atOnce, pageAtMost)
		}
	}
}
