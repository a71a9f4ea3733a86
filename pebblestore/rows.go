package pebblestore

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/wfrt/wfrt/runtime"
)

// rowWriter turns records into rows of a batch. It owns its buffers and allocates nothing once they have grown.
type rowWriter struct {
	batch *pebble.Batch
	key   []byte
	old   []byte
	value []byte
	gone  []runtime.Timer
	due   []runtime.Timer

	timersFrom horizon
	tasksFrom  horizon
}

// change writes next in the place of prev, with every row that follows from it. Of a step's transition these are four: the
// record, the event, the index row that goes and the one that comes. The history row is the fifth.
func (w *rowWriter) change(number runtime.Shard, lsn runtime.LSN, prev, next *runtime.Record, emits []runtime.Emit) error {
	w.key = appendRecordKey(w.key[:0], number, next.RunID)
	w.value = appendRecordHead(w.value[:0], next)
	if err := w.setWithObject(next.Object); err != nil {
		return err
	}
	if err := w.index(number, prev, next); err != nil {
		return err
	}
	if err := w.timers(number, prev, next); err != nil {
		return err
	}
	if err := w.pinned(number, prev, next); err != nil {
		return err
	}
	if prev != nil {
		if err := w.payloads(number, prev, next); err != nil {
			return err
		}
	} else {
		w.key = appendForeignKey(w.key[:0], number, next.Workflow, next.ForeignID, next.RunID)
		if err := w.batch.Set(w.key, nil, nil); err != nil {
			return err
		}
	}
	if prev != nil && prev.Version == next.Version {
		return nil
	}
	e := runtime.NewEvent(lsn, prev, next)
	e.Emits = emits
	w.key = appendEventKey(w.key[:0], number, lsn)
	w.value = appendEvent(w.value[:0], &e)
	return w.batch.Set(w.key, w.value, nil)
}

func (w *rowWriter) index(number runtime.Shard, prev, next *runtime.Record) error {
	w.key = appendIndexKey(w.key[:0], number, next)
	if prev != nil {
		w.old = appendIndexKey(w.old[:0], number, prev)
		if string(w.old) == string(w.key) {
			return nil
		}
		if err := w.batch.SingleDelete(w.old, nil); err != nil {
			return err
		}
	}
	return w.batch.Set(w.key, nil, nil)
}

// isPinned reports whether the record has a row among the pinned. r may be nil.
func isPinned(r *runtime.Record) bool {
	return r != nil && r.Pinned != (runtime.Digest{}) && r.State.Active()
}

// pinned writes the row of a pinned run with its first version and removes it with the one that ends it: what a run is pinned
// to never changes.
func (w *rowWriter) pinned(number runtime.Shard, prev, next *runtime.Record) error {
	switch was, is := isPinned(prev), isPinned(next); {
	case is && !was:
		w.key = appendPinnedKey(w.key[:0], number, next)
		return w.batch.Set(w.key, nil, nil)
	case was && !is:
		w.key = appendPinnedKey(w.key[:0], number, prev)
		return w.batch.Delete(w.key, nil)
	default:
		return nil
	}
}

// timers moves the timers of prev to those of next. Most runs have none; one that was handed many callbacks which fail may
// have a thousand, nearly all of them in the same order as before.
func (w *rowWriter) timers(number runtime.Shard, prev, next *runtime.Record) error {
	w.gone = w.gone[:0]
	if prev != nil {
		w.gone = prev.Timers(w.gone)
	}
	w.due = next.Timers(w.due[:0])
	at := -1
	for i := range w.gone {
		if at = findTimer(w.due, &w.gone[i], at+1); at >= 0 {
			continue
		}
		w.key = appendTimerKey(w.key[:0], number, &w.gone[i])
		if err := w.batch.SingleDelete(w.key, nil); err != nil {
			return err
		}
	}
	at = -1
	for i := range w.due {
		if at = findTimer(w.gone, &w.due[i], at+1); at >= 0 {
			continue
		}
		w.key = appendTimerKey(w.key[:0], number, &w.due[i])
		w.timersFrom.add(w.key)
		if err := w.batch.Set(w.key, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// findTimer returns where timers of the same run hold t, looking at index from first, and −1 when they do not.
func findTimer(timers []runtime.Timer, t *runtime.Timer, from int) int {
	for i := range timers {
		at := (from + i) % len(timers)
		u := &timers[at]
		if u.Kind == t.Kind && u.Due.Equal(t.Due) && u.Callback == t.Callback && u.Name == t.Name {
			return at
		}
	}
	return -1
}

// payloads removes those of the callbacks that prev holds pending and next does not.
func (w *rowWriter) payloads(number runtime.Shard, prev, next *runtime.Record) error {
	for i := range prev.Pending {
		p := &prev.Pending[i]
		if p.Kind != runtime.PendingCallback || hasCallback(next, p.Callback) {
			continue
		}
		w.key = appendPayloadKey(w.key[:0], number, next.RunID, p.Callback)
		if err := w.batch.Delete(w.key, nil); err != nil {
			return err
		}
	}
	return nil
}

func hasCallback(r *runtime.Record, number uint64) bool {
	for i := range r.Pending {
		if r.Pending[i].Kind == runtime.PendingCallback && r.Pending[i].Callback == number {
			return true
		}
	}
	return false
}

// payload writes the payload of the callback that next has taken in last.
func (w *rowWriter) payload(number runtime.Shard, next *runtime.Record, payload []byte) error {
	w.key = appendPayloadKey(w.key[:0], number, next.RunID, next.Callbacks)
	w.value = appendPayloadHead(w.value[:0], payload)
	return w.setWithObject(payload)
}

func (w *rowWriter) history(number runtime.Shard, h *runtime.HistoryEntry) error {
	w.key = appendHistoryKey(w.key[:0], number, h.RunID, h.Version, h.Line)
	w.value = appendHistoryHead(w.value[:0], h)
	return w.setWithObject(h.Object)
}

// setWithObject sets w.key to w.value followed by object, which is copied once: from its owner into the batch.
func (w *rowWriter) setWithObject(object []byte) error {
	op := w.batch.SetDeferred(len(w.key), len(w.value)+len(object))
	copy(op.Key, w.key)
	copy(op.Value[copy(op.Value, w.value):], object)
	return op.Finish()
}

// addTask writes a task, and the row by which it is found from its run.
func (w *rowWriter) addTask(number runtime.Shard, t *runtime.Task) error {
	w.key = appendTaskKey(w.key[:0], number, t)
	w.tasksFrom.add(w.key)
	var object []byte
	w.value, object = appendTaskHead(w.value[:0], t)
	if err := w.setWithObject(object); err != nil || t.RunID.IsZero() {
		return err
	}
	w.old = appendRunTaskKey(w.old[:0], w.key)
	return w.batch.Set(w.old, nil, nil)
}

// dropTask removes a task: plainly, since one that is added again replaces the one before.
func (w *rowWriter) dropTask(number runtime.Shard, t *runtime.Task) error {
	w.key = appendTaskKey(w.key[:0], number, t)
	if err := w.batch.Delete(w.key, nil); err != nil || t.RunID.IsZero() {
		return err
	}
	w.old = appendRunTaskKey(w.old[:0], w.key)
	return w.batch.Delete(w.old, nil)
}
