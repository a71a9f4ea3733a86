package pebblestore

import (
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wfrt/wfrt/runtime"
)

// Values are protobuf messages, written and read by hand: docs/formats.md has their .proto. Fields may be added; a reader
// skips the numbers it does not know. Zero values are left out, except where "none" and "empty" differ: objects and times.

var errMalformed = errors.New("malformed value")

// appendRecordHead appends everything of a record's value but the object's bytes, which the writer copies behind it: the
// object is the last field, so it goes from the engine's buffer into the batch without a stop.
func appendRecordHead(dst []byte, r *runtime.Record) []byte {
	dst = appendString(dst, 1, r.Workflow)
	dst = appendString(dst, 2, r.ForeignID)
	dst = appendUint(dst, 3, uint64(r.State))
	dst = appendString(dst, 4, r.Status)
	dst = appendUint(dst, 5, r.Version)
	dst = appendUint(dst, 6, r.Entry)
	dst = appendUint(dst, 7, uint64(r.Attempt))
	dst = appendTime(dst, 8, r.NotBefore)
	dst = appendUint(dst, 9, protowire.EncodeBool(r.Parked))
	dst = appendUint(dst, 10, uint64(r.Pause))
	dst = appendTime(dst, 11, r.ResumeAt)
	dst = appendString(dst, 12, r.Reason)
	dst = appendTime(dst, 13, r.CreatedAt)
	dst = appendTime(dst, 14, r.UpdatedAt)
	dst = appendDigest(dst, 16, r.Digest)
	dst = appendUint(dst, 17, r.Task)
	dst = appendUint(dst, 18, uint64(r.Owner))
	for i := range r.Pending {
		dst = protowire.AppendTag(dst, 20, protowire.BytesType)
		at := len(dst)
		dst = closeMessage(appendPending(dst, &r.Pending[i]), at, 0)
	}
	dst = appendUint(dst, 21, r.Callbacks)
	dst = appendUint(dst, 22, uint64(r.Lines))
	dst = appendTime(dst, 23, r.ExpireAt)
	dst = appendDigest(dst, 24, r.Pinned)
	dst = appendTrace(dst, 25, r.Trace)
	dst = appendUint(dst, 26, r.Alone)
	for _, name := range r.Arming {
		dst = protowire.AppendTag(dst, 27, protowire.BytesType)
		dst = protowire.AppendString(dst, name)
	}
	return appendObjectHead(dst, 15, r.Object)
}

func appendPending(dst []byte, p *runtime.Pending) []byte {
	dst = appendUint(dst, 1, uint64(p.Kind))
	dst = appendString(dst, 2, p.Name)
	dst = appendUint(dst, 3, p.Callback)
	dst = appendTime(dst, 4, p.Due)
	dst = appendUint(dst, 5, uint64(p.Attempt))
	dst = appendUint(dst, 6, protowire.EncodeBool(p.Taken))
	return appendTrace(dst, 7, p.Trace)
}

func (n *names) decodePending(b []byte, p *runtime.Pending) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			p.Kind = runtime.PendingKind(d.uint(8))
		case 2:
			p.Name = n.get(d.bytes())
		case 3:
			p.Callback = d.uint(64)
		case 4:
			p.Due = d.time()
		case 5:
			p.Attempt = uint32(d.uint(32))
		case 6:
			p.Taken = d.uint(1) == 1
		case 7:
			p.Trace = d.trace()
		}
	}
	return d.err
}

// decodeRecord reuses the buffer of the object in r. It does not reuse Pending and Arming: the engine shares them between versions.
func (n *names) decodeRecord(b []byte, r *runtime.Record) error {
	old := *r
	*r = runtime.Record{RunID: old.RunID, Object: old.Object[:0]}
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			r.Workflow = n.get(d.bytes())
		case 2:
			r.ForeignID = reuse(old.ForeignID, d.bytes())
		case 3:
			r.State = runtime.RunState(d.uint(8))
		case 4:
			r.Status = n.get(d.bytes())
		case 5:
			r.Version = d.uint(64)
		case 6:
			r.Entry = d.uint(64)
		case 7:
			r.Attempt = uint32(d.uint(32))
		case 8:
			r.NotBefore = d.time()
		case 9:
			r.Parked = d.uint(1) == 1
		case 10:
			r.Pause = runtime.PauseCause(d.uint(8))
		case 11:
			r.ResumeAt = d.time()
		case 12:
			r.Reason = reuse(old.Reason, d.bytes())
		case 13:
			r.CreatedAt = d.time()
		case 14:
			r.UpdatedAt = d.time()
		case 15:
			r.Object = append(r.Object[:0], d.bytes()...)
		case 16:
			d.fixed(r.Digest[:])
		case 17:
			r.Task = d.uint(64)
		case 18:
			r.Owner = runtime.Epoch(d.uint(64))
		case 20:
			var p runtime.Pending
			d.take(n.decodePending(d.bytes(), &p))
			r.Pending = append(r.Pending, p)
		case 21:
			r.Callbacks = d.uint(64)
		case 22:
			r.Lines = uint32(d.uint(32))
		case 23:
			r.ExpireAt = d.time()
		case 24:
			d.fixed(r.Pinned[:])
		case 25:
			r.Trace = d.trace()
		case 26:
			r.Alone = d.uint(64)
		case 27:
			r.Arming = append(r.Arming, n.get(d.bytes()))
		}
	}
	if r.Object == nil {
		r.Object = []byte{}
	}
	return d.err
}

func appendHistoryHead(dst []byte, h *runtime.HistoryEntry) []byte {
	dst = appendTime(dst, 1, h.Time)
	dst = appendUint(dst, 2, uint64(h.Cause))
	dst = appendString(dst, 3, h.Handler)
	dst = appendUint(dst, 4, uint64(h.Attempt))
	dst = appendDigest(dst, 5, h.Digest)
	dst = appendUint(dst, 6, uint64(h.Took))
	dst = appendUint(dst, 7, uint64(h.State))
	dst = appendString(dst, 8, h.Status)
	dst = appendString(dst, 9, h.Reason)
	dst = appendUint(dst, 10, protowire.EncodeBool(h.Failed))
	dst = appendUint(dst, 11, h.Callback)
	dst = appendString(dst, 12, h.By)
	dst = appendUint(dst, 13, h.Fuel)
	if h.Object == nil {
		return dst
	}
	return appendObjectHead(dst, 15, h.Object)
}

func (n *names) decodeHistory(b []byte, h *runtime.HistoryEntry) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			h.Time = d.time()
		case 2:
			h.Cause = runtime.CauseKind(d.uint(8))
		case 3:
			h.Handler = n.get(d.bytes())
		case 4:
			h.Attempt = uint32(d.uint(32))
		case 5:
			d.fixed(h.Digest[:])
		case 6:
			h.Took = time.Duration(d.uint(64))
		case 7:
			h.State = runtime.RunState(d.uint(8))
		case 8:
			h.Status = n.get(d.bytes())
		case 9:
			h.Reason = string(d.bytes())
		case 10:
			h.Failed = d.uint(1) == 1
		case 11:
			h.Callback = d.uint(64)
		case 12:
			h.By = string(d.bytes())
		case 13:
			h.Fuel = d.uint(64)
		case 15:
			h.Object = append([]byte{}, d.bytes()...)
		}
	}
	return d.err
}

// appendEvent appends the value of an event. Its LSN is in its key.
func appendEvent(dst []byte, e *runtime.Event) []byte {
	dst = protowire.AppendTag(dst, 1, protowire.BytesType)
	dst = protowire.AppendBytes(dst, e.RunID[:])
	dst = appendUint(dst, 2, e.Version)
	dst = appendString(dst, 3, e.Workflow)
	dst = appendString(dst, 4, e.ForeignID)
	dst = appendUint(dst, 5, uint64(e.State))
	dst = appendString(dst, 6, e.Status)
	dst = appendString(dst, 7, e.Previous)
	dst = appendTime(dst, 8, e.Time)
	dst = appendUint(dst, 9, uint64(e.Was))
	for i := range e.Emits {
		dst = protowire.AppendTag(dst, 20, protowire.BytesType)
		at, emit := len(dst), &e.Emits[i]
		dst = appendString(dst, 1, emit.Type)
		dst = appendString(dst, 2, emit.ContentType)
		dst = closeMessage(appendBytes(dst, 3, emit.Data), at, 0)
	}
	return appendTrace(dst, 30, e.Trace)
}

func (n *names) decodeEmit(b []byte, e *runtime.Emit) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			e.Type = n.get(d.bytes())
		case 2:
			e.ContentType = n.get(d.bytes())
		case 3:
			e.Data = append([]byte(nil), d.bytes()...)
		}
	}
	return d.err
}

func (n *names) decodeEvent(b []byte, e *runtime.Event) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			d.fixed(e.RunID[:])
		case 2:
			e.Version = d.uint(64)
		case 3:
			e.Workflow = n.get(d.bytes())
		case 4:
			e.ForeignID = string(d.bytes())
		case 5:
			e.State = runtime.RunState(d.uint(8))
		case 6:
			e.Status = n.get(d.bytes())
		case 7:
			e.Previous = n.get(d.bytes())
		case 8:
			e.Time = d.time()
		case 9:
			e.Was = runtime.RunState(d.uint(8))
		case 20:
			var emit runtime.Emit
			d.take(n.decodeEmit(d.bytes(), &emit))
			e.Emits = append(e.Emits, emit)
		case 30:
			e.Trace = d.trace()
		}
	}
	return d.err
}

func appendParkedEvent(dst []byte, p *runtime.ParkedEvent) []byte {
	dst = protowire.AppendTag(dst, 1, protowire.BytesType)
	at, e := len(dst), p.Event
	if e.Number > 0 {
		e.Emits = []runtime.Emit{e.Emit}
	}
	dst = closeMessage(appendEvent(dst, &e), at, 0)
	dst = appendString(dst, 2, p.Cause)
	dst = appendTime(dst, 3, p.At)
	return appendUint(dst, 4, uint64(e.Number))
}

func (n *names) decodeParkedEvent(b []byte, p *runtime.ParkedEvent) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			d.take(n.decodeEvent(d.bytes(), &p.Event))
		case 2:
			p.Cause = string(d.bytes())
		case 3:
			p.At = d.time()
		case 4:
			p.Event.Number = int(d.uint(31))
		}
	}
	if e := &p.Event; e.Number > 0 && len(e.Emits) == 1 {
		e.Emit, e.Emits = e.Emits[0], nil
	}
	return d.err
}

func appendLog(dst []byte, l *runtime.LogEntry) []byte {
	dst = appendString(dst, 1, l.Handler)
	dst = appendUint(dst, 2, uint64(l.Attempt))
	for i := range l.Lines {
		dst = protowire.AppendTag(dst, 3, protowire.BytesType)
		at, line := len(dst), &l.Lines[i]
		dst = appendTime(dst, 1, line.Time)
		dst = appendUint(dst, 2, protowire.EncodeZigZag(int64(line.Level)))
		dst = appendString(dst, 3, line.Text)
		dst = closeMessage(appendString(dst, 4, line.Handler), at, 0)
	}
	return dst
}

func (n *names) decodeLog(b []byte, l *runtime.LogEntry) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			l.Handler = n.get(d.bytes())
		case 2:
			l.Attempt = uint32(d.uint(32))
		case 3:
			var line runtime.LogLine
			d.take(n.decodeLogLine(d.bytes(), &line))
			l.Lines = append(l.Lines, line)
		}
	}
	return d.err
}

func (n *names) decodeLogLine(b []byte, l *runtime.LogLine) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			l.Time = d.time()
		case 2:
			l.Level = int(protowire.DecodeZigZag(d.uint(64)))
		case 3:
			l.Text = string(d.bytes())
		case 4:
			l.Handler = n.get(d.bytes())
		}
	}
	return d.err
}
