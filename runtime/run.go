package runtime

import (
	"sync"
	"time"
)

// run is a run in memory, queued or executing, with all the room that a step needs: pooled, so that a step allocates nothing.
type run struct {
	shard *shard

	rec       Record // the newest version; while a worker executes the run, only that worker touches it
	next      Record // the version being made
	out       Outcome
	inv       Invocation
	work      Work      // what inv is for
	armed     []Pending // of HandlerTimer: what was computed
	began     time.Time // when the work began
	decision  Decision
	batch     Batch
	queued    time.Time   // when it was queued
	module    *moduleLoad // that executes it; guarded by the dispatcher's lock
	recovered bool        // left by an unclean stop: each attempt is counted and durable before its invocation
	stale     bool        // the record in the store is newer; guarded by shard.mu
}

var runPool = sync.Pool{New: func() any { return new(run) }} //nolint:gochecknoglobals // a pool is shared by design

// newRun returns an empty run of the shard. Its buffers may be warm.
func newRun(s *shard) *run {
	r := runPool.Get().(*run) //nolint:forcetypeassert // the pool holds nothing else
	r.shard = s
	return r
}

// maxKept is the largest object buffer, in bytes, that a pooled run keeps.
const maxKept = 64 << 10

// release returns the run to the pool. Nothing may refer to it any more.
func (r *run) release() {
	record, outcome := r.rec.Object[:0], r.out.Object[:0]
	r.batch.Reset()
	history := r.batch.History
	if cap(record) > maxKept {
		record = nil
	}
	if cap(outcome) > maxKept {
		outcome = nil
	}
	*r = run{rec: Record{Object: record}, out: Outcome{Object: outcome}, batch: Batch{History: history}}
	runPool.Put(r)
}

// adopt makes the committed version the newest. The object that it replaces becomes the buffer of the next outcome.
func (r *run) adopt() {
	if r.out.Changed && len(r.next.Object) > 0 && &r.next.Object[0] == &r.out.Object[0] {
		r.out.Object = r.rec.Object
	}
	r.rec = r.next
	r.next = Record{}
	r.out.Reset()
	r.batch.Reset()
}
