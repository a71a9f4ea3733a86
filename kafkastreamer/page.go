package kafkastreamer

import (
	"slices"
	"sync"
	"sync/atomic"

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
	failed int // the first event of which a record failed; for none, how many the page carries
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
		if p.events[i] == 0 {
			return topic
		}
		p.cutOff(p.events[i])
		break
	}
	return ""
}

// cutOff leaves an event and those behind it for another page.
func (p *page) cutOff(event int) {
	p.failed = event
	p.records = p.records[:slices.Index(p.events, event)]
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
