package kafkastreamer

import (
	"bytes"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/runtime"
)

// The names of the headers: CloudEvents 1.0, Kafka protocol binding, binary content mode. Those after ce_time are extensions.
const (
	headerVersion     = "ce_specversion"
	headerID          = "ce_id"
	headerType        = "ce_type"
	headerSource      = "ce_source"
	headerSubject     = "ce_subject"
	headerTime        = "ce_time"
	headerRunVersion  = "ce_runversion"
	headerRunState    = "ce_runstate"
	headerStatus      = "ce_status"
	headerPrevious    = "ce_previous"
	headerWas         = "ce_previousrunstate"
	headerTrace       = "ce_traceparent" // of the extension Distributed Tracing
	headerContentType = "content-type"
)

// encode makes a record without a topic. Its timestamp will be that of its publication: brokers refuse one that is far from their own
// clock, and remove records by it. ce_time is that of the event.
func (p *page) encode(w *workflow, e *runtime.Event) kgo.Record {
	first := len(p.headers)
	header := func(key string, value []byte) {
		p.headers = append(p.headers, kgo.RecordHeader{Key: key, Value: value})
	}
	id := p.cut(func(b []byte) []byte { return e.AppendID(b) })
	version := p.cut(func(b []byte) []byte { return strconv.AppendUint(b, e.Version, 10) })
	at := p.cut(func(b []byte) []byte { return e.Time.AppendFormat(b, time.RFC3339Nano) })
	header(headerVersion, w.fixed.version)
	header(headerID, id)
	kind := e.Type // of one that a handler emitted
	if e.Number == 0 {
		kind = eventType(e.State)
	}
	header(headerType, p.cut(func(b []byte) []byte { return append(b, kind...) }))
	header(headerSource, w.source)
	header(headerSubject, p.cut(func(b []byte) []byte { return append(b, e.ForeignID...) }))
	header(headerTime, at)
	header(headerRunVersion, version)
	header(headerRunState, p.cut(func(b []byte) []byte { return append(b, e.State.String()...) }))
	header(headerStatus, p.cut(func(b []byte) []byte { return append(b, e.Status...) }))
	if e.Previous != "" {
		header(headerPrevious, p.cut(func(b []byte) []byte { return append(b, e.Previous...) }))
		header(headerWas, p.cut(func(b []byte) []byte { return append(b, e.Was.String()...) }))
	}
	if !e.Trace.IsZero() {
		header(headerTrace, p.cut(func(b []byte) []byte { b, _ = e.Trace.AppendText(b); return b }))
	}
	key := id[:bytes.IndexByte(id, '/'):bytes.IndexByte(id, '/')] // the run ID
	if e.Number > 0 {
		if e.ContentType != "" {
			header(headerContentType, p.cut(func(b []byte) []byte { return append(b, e.ContentType...) }))
		}
		return kgo.Record{
			Key: key, Headers: p.headers[first:len(p.headers):len(p.headers)],
			Value: p.cut(func(b []byte) []byte { return append(b, e.Data...) }),
		}
	}
	header(headerContentType, w.fixed.contentType)
	return kgo.Record{
		Key: key, Headers: p.headers[first:len(p.headers):len(p.headers)],
		Value: p.cut(func(b []byte) []byte { return appendBody(b, e, key, at) }),
	}
}

// cut returns what write appended to the page's bytes.
func (p *page) cut(write func([]byte) []byte) []byte {
	first := len(p.bytes)
	p.bytes = write(p.bytes)
	return p.bytes[first:len(p.bytes):len(p.bytes)]
}

// eventType is ce_type: what happened to the run, by the run state after it.
func eventType(s runtime.RunState) string {
	switch s {
	case runtime.Initiated:
		return "wfrt.run.initiated"
	case runtime.Running:
		return "wfrt.run.running"
	case runtime.Paused:
		return "wfrt.run.paused"
	case runtime.Cancelled:
		return "wfrt.run.cancelled"
	case runtime.Completed:
		return "wfrt.run.completed"
	case runtime.RequestedDataDeleted:
		return "wfrt.run.requested_data_deleted"
	case runtime.DataDeleted:
		return "wfrt.run.data_deleted"
	default:
		return "wfrt.run.changed"
	}
}

// appendBody appends the event as JSON, with the members that the HTTP interface gives it. Only a foreign ID can hold what JSON
// must escape.
func appendBody(b []byte, e *runtime.Event, runID, at []byte) []byte {
	b = e.AppendID(append(b, `{"id":"`...))
	b = append(append(b, `","run_id":"`...), runID...)
	b = strconv.AppendUint(append(b, `","version":`...), e.Version, 10)
	b = append(append(b, `,"workflow":"`...), e.Workflow...)
	b = appendText(append(b, `","foreign_id":`...), e.ForeignID)
	b = append(append(b, `,"state":"`...), e.State.String()...)
	b = append(append(b, `","status":"`...), e.Status...)
	if e.Previous != "" {
		b = append(append(b, `","previous":"`...), e.Previous...)
	}
	b = append(append(b, `","time":"`...), at...)
	return append(b, `"}`...)
}

// appendText appends valid UTF-8 as a JSON string.
func appendText(b []byte, text string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"', c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
