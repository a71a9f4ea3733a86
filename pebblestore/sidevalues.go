package pebblestore

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/wfrt/wfrt/runtime"
)

// The values of what lies beside the runs.

// appendTaskHead appends what a task's key does not say, but for the bytes of the object in it, which are last: those of its
// record or of its intent.
func appendTaskHead(dst []byte, t *runtime.Task) (head, object []byte) {
	dst = appendUint(dst, 1, uint64(t.Attempt))
	dst = appendUint(dst, 2, uint64(t.On))
	dst = appendTrace(dst, 5, t.Trace)
	switch {
	case t.Record != nil:
		dst = protowire.AppendTag(dst, 3, protowire.BytesType)
		at := len(dst)
		return closeMessage(appendRecordHead(dst, t.Record), at, len(t.Record.Object)), t.Record.Object
	case t.Intent != nil:
		dst = protowire.AppendTag(dst, 4, protowire.BytesType)
		at, i := len(dst), t.Intent
		dst = appendString(dst, 1, i.Workflow)
		dst = appendString(dst, 2, i.ForeignID)
		dst = appendString(dst, 3, i.StartAt)
		dst = appendUint(dst, 4, uint64(i.Kind))
		dst = appendString(dst, 5, i.Status)
		return closeMessage(appendObjectHead(dst, 15, i.Object), at, len(i.Object)), i.Object
	default:
		return dst, nil
	}
}

// decodeTask fills in what the task's key does not say.
func (n *names) decodeTask(b []byte, t *runtime.Task) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			t.Attempt = uint32(d.uint(32))
		case 2:
			t.On = runtime.HookEvent(d.uint(8))
		case 3:
			t.Record = &runtime.Record{RunID: t.RunID}
			d.take(n.decodeRecord(d.bytes(), t.Record))
		case 4:
			t.Intent = &runtime.Intent{}
			d.take(n.decodeIntent(d.bytes(), t.Intent))
		case 5:
			t.Trace = d.trace()
		}
	}
	return d.err
}

func (n *names) decodeIntent(b []byte, i *runtime.Intent) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			i.Workflow = n.get(d.bytes())
		case 2:
			i.ForeignID = string(d.bytes())
		case 3:
			i.StartAt = n.get(d.bytes())
		case 4:
			i.Kind = runtime.IntentKind(d.uint(8))
		case 5:
			i.Status = n.get(d.bytes())
		case 15:
			i.Object = append([]byte{}, d.bytes()...)
		}
	}
	return d.err
}

func appendSchedule(dst []byte, s *runtime.Schedule) []byte {
	dst = appendString(dst, 1, s.Cron)
	dst = appendString(dst, 2, s.Zone)
	dst = appendString(dst, 3, s.ForeignID)
	dst = appendString(dst, 4, s.StartAt)
	dst = appendString(dst, 5, string(s.CatchUp))
	dst = appendUint(dst, 6, protowire.EncodeBool(s.Plugin))
	dst = appendUint(dst, 7, protowire.EncodeBool(s.Paused))
	dst = appendTime(dst, 8, s.Next)
	dst = appendTime(dst, 9, s.Since)
	dst = appendTime(dst, 10, s.LastSlot)
	if !s.LastRun.IsZero() {
		dst = protowire.AppendBytes(protowire.AppendTag(dst, 11, protowire.BytesType), s.LastRun[:])
	}
	dst = appendString(dst, 12, s.LastResult)
	dst = appendTime(dst, 13, s.LastAt)
	return appendString(dst, 15, string(s.Object))
}

// decodeSchedule fills in what the schedule's key does not say.
func (n *names) decodeSchedule(b []byte, s *runtime.Schedule) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			s.Cron = string(d.bytes())
		case 2:
			s.Zone = n.get(d.bytes())
		case 3:
			s.ForeignID = string(d.bytes())
		case 4:
			s.StartAt = n.get(d.bytes())
		case 5:
			s.CatchUp = runtime.CatchUp(n.get(d.bytes()))
		case 6:
			s.Plugin = d.uint(1) == 1
		case 7:
			s.Paused = d.uint(1) == 1
		case 8:
			s.Next = d.time()
		case 9:
			s.Since = d.time()
		case 10:
			s.LastSlot = d.time()
		case 11:
			d.fixed(s.LastRun[:])
		case 12:
			s.LastResult = string(d.bytes())
		case 13:
			s.LastAt = d.time()
		case 15:
			s.Object = append([]byte{}, d.bytes()...)
		}
	}
	return d.err
}

// appendPayloadHead appends everything of a callback's value but the bytes of its payload.
func appendPayloadHead(dst, payload []byte) []byte { return appendObjectHead(dst, 1, payload) }

func decodePayload(b []byte) ([]byte, error) {
	payload := []byte{}
	d := decoder{rest: b}
	for d.next() {
		if d.num == 1 {
			payload = append([]byte{}, d.bytes()...)
		}
	}
	return payload, d.err
}

func appendIdempotency(dst []byte, i *runtime.Idempotency) []byte {
	dst = protowire.AppendTag(dst, 1, protowire.BytesType)
	dst = protowire.AppendBytes(dst, i.Request[:])
	dst = protowire.AppendTag(dst, 2, protowire.BytesType)
	dst = protowire.AppendBytes(dst, i.RunID[:])
	dst = appendTime(dst, 3, i.ExpiresAt)
	return appendUint(dst, 4, i.Callback)
}

func decodeIdempotency(b []byte, i *runtime.Idempotency) error {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			d.fixed(i.Request[:])
		case 2:
			d.fixed(i.RunID[:])
		case 3:
			i.ExpiresAt = d.time()
		case 4:
			i.Callback = d.uint(64)
		}
	}
	return d.err
}

// appendForget appends the value of a TimerForget row: with it the key is found even when the record is gone.
func appendForget(dst []byte, workflow, foreignID string) []byte {
	return appendString(appendString(dst, 1, workflow), 2, foreignID)
}

func decodeForget(b []byte) (workflow, foreignID string, err error) {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			workflow = string(d.bytes())
		case 2:
			foreignID = string(d.bytes())
		}
	}
	return workflow, foreignID, d.err
}

// appendPosition appends the value of a row that holds one number: a cursor, a trim mark, an epoch.
func appendPosition(dst []byte, v uint64) []byte { return appendUint(dst, 1, v) }

func decodePosition(b []byte) (uint64, error) {
	var v uint64
	d := decoder{rest: b}
	for d.next() {
		if d.num == 1 {
			v = d.uint(64)
		}
	}
	return v, d.err
}

func appendStoreRow(dst []byte, format uint64, shards int) []byte {
	return appendUint(appendUint(dst, 1, format), 2, uint64(shards))
}

func decodeStoreRow(b []byte) (format uint64, shards int, err error) {
	d := decoder{rest: b}
	for d.next() {
		switch d.num {
		case 1:
			format = d.uint(64)
		case 2:
			shards = int(d.uint(16))
		}
	}
	return format, shards, d.err
}
