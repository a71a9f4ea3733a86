package kafkastreamer

import (
	"bytes"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/runtime"
)

// page is the records of one Publish, in buffers that are used again. A record's key, headers and body lie in bytes, from which
// they are cut as it grows; what was cut before stays where it is.
type page struct {
	by      *producer // that takes them
	records []kgo.Record
	events  []int // of each record: which event it carries
	topics  []*topic
	headers []kgo.RecordHeader
	bytes   []byte

	left    atomic.Int32 // records that have no outcome yet, and one until all are handed over
	settled chan struct{}
	told    func(*kgo.Record, error) // p.tell, bound once

	mu     sync.Mutex
	failed int // the first event of which a record failed; how many there are for none
	bad    *kgo.Record
	err    error
}

func newPage() *page {
	p := &page{settled: make(chan struct{}, 1)}
	p.told = p.tell
	return p
}

// fill makes the records of events.
func (p *page) fill(t *topics, events []runtime.Event) {
	p.records, p.events, p.topics, p.headers, p.bytes = p.records[:0], p.events[:0], p.topics[:0], p.headers[:0], p.bytes[:0]
	var w *workflow
	for i := range events {
		e := &events[i]
		if w == nil || w.name != e.Workflow {
			w = t.of(e.Workflow)
		}
		first := len(p.topics)
		p.topics = w.appendTopics(p.topics, t.prefix, e)
		r := p.encode(w, e)
		for _, to := range p.topics[first:] {
			r.Topic = to.name
			p.records = append(p.records, r)
			p.events = append(p.events, i)
		}
	}
	p.failed, p.bad, p.err = len(events), nil, nil
}

// fit cuts off what begins with an event that is too large for the batches of its topic: the client would refuse it and take those behind
// it, and it may be published yet. If that is the first, fit returns its topic instead.
func (p *page) fit(limit func(topic string) int32) string {
	topic, most := "", int32(0)
	for i := range p.records {
		r := &p.records[i]
		if r.Topic != topic {
			topic, most = r.Topic, limit(r.Topic)
		}
		if fits(r, most) {
			continue
		}
		if p.failed = p.events[i]; p.failed == 0 {
			return topic
		}
		p.records = p.records[:slices.Index(p.events, p.failed)]
		break
	}
	return ""
}

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

// begin readies the page for its outcomes.
func (p *page) begin(by *producer) {
	p.by = by
	p.left.Store(int32(len(p.records)) + 1)
}

// end takes n records, or the one for the handing over, off those without an outcome.
func (p *page) end(n int) {
	if p.left.Add(-int32(n)) == 0 {
		p.settled <- struct{}{}
	}
}

// record returns one to hand over. It is not sent once its producer has ended.
func (p *page) record(i int) *kgo.Record {
	r := &p.records[i]
	r.Context = p.by.alive
	return r
}

// tell takes the outcome of a record, from the client's goroutine.
func (p *page) tell(r *kgo.Record, err error) {
	if err != nil {
		if tooLarge(err) {
			p.by.end()
		}
		p.fail(r, err)
	}
	p.end(1)
}

// fail notes the failure of a record if no earlier event's is known.
func (p *page) fail(r *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.records {
		if &p.records[i] == r {
			if p.events[i] < p.failed {
				p.failed, p.bad, p.err = p.events[i], r, err
			}
			return
		}
	}
}

// broken reports whether a record is known to have failed.
func (p *page) broken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}
