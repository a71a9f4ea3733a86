package pebblestore_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
)

// lives is a load of random batches and a model of it: what each shard holds after each of its positions.
type lives struct {
	*testing.T
	store  *pebblestore.Store
	random *rand.Rand
	epochs []runtime.Epoch
	now    time.Time
	runs   [crashShards][]runtime.Record
	sums   [crashShards][]uint64        // by position: of all that is there but the events, whatever its order
	events [crashShards][]runtime.Event // all that ever were
	keys   [crashShards][]runtime.Timer // idempotency keys that are kept
	tasks  [crashShards][]runtime.Task
	beside map[runtime.RunID]uint64 // the sum of a run's history, logs and payloads
	tops   [crashShards]runtime.LSN // up to where events were trimmed
}

func newLives(t *testing.T, s *pebblestore.Store, seed uint64) *lives {
	l := &lives{T: t, store: s, random: rand.New(rand.NewPCG(seed, 1)), now: time.UnixMilli(1_760_000_000_000).UTC()}
	l.beside = map[runtime.RunID]uint64{}
	for i := range crashShards {
		epoch, err := s.OpenShard(t.Context(), runtime.Shard(i))
		if err != nil {
			t.Fatal(err)
		}
		l.epochs = append(l.epochs, epoch)
		l.sums[i] = []uint64{0}
	}
	return l
}

// first is where the positions of these tests begin: they have one owner.
const first = runtime.LSN(1) << 40

// position counts from first, for a shard that may not have an owner yet.
func position(lsn runtime.LSN) runtime.LSN { return max(lsn, first) - first }

// sum is a hash of a row; rows of a shard are added up with exclusive or.
func sum(row any) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%+v", row)
	return h.Sum64()
}

// live does one random thing.
func (l *lives) live() {
	shard := runtime.Shard(l.random.IntN(crashShards))
	l.now = l.now.Add(time.Millisecond)
	var err error
	switch n := l.random.IntN(20); {
	case n < 14:
		err = l.step(shard)
	case n < 15:
		err = l.store.SetCursor(shard, "relay", l.store.Applied(shard))
	case n < 16:
		if l.random.IntN(4) == 0 {
			l.tops[shard] = l.store.Applied(shard)
			err = l.store.TrimEvents(shard, l.tops[shard])
		}
	default:
		lsn := first + runtime.LSN(1+l.random.IntN(int(position(l.store.Applied(shard)))+1))
		if lsn <= l.store.Applied(shard) {
			err = l.store.WaitDurable(l.Context(), shard, lsn)
		}
	}
	if err != nil {
		l.Fatal(err)
	}
}

// step applies a batch to the shard: a new run, or a change of one.
func (l *lives) step(shard runtime.Shard) error {
	var b runtime.Batch
	var next runtime.Record
	runs := l.runs[shard]
	at := len(runs)
	if at > 0 && l.random.IntN(5) > 0 {
		at = l.random.IntN(at)
	}
	total := l.sums[shard][len(l.sums[shard])-1]
	total ^= l.taskOf(shard, &b)
	if at < len(runs) && runs[at].State == runtime.Completed && l.random.IntN(2) == 0 {
		gone := runs[at]
		b.Prev, b.Remove = &gone, true
		total ^= sum(gone) ^ l.beside[gone.RunID]
		l.runs[shard] = slices.Delete(runs, at, at+1)
		delete(l.beside, gone.RunID)
		return l.apply(shard, total, &b)
	}
	if at == len(runs) {
		next = l.create(shard)
		l.runs[shard] = append(runs, next)
		if l.random.IntN(2) == 0 {
			key := runtime.Timer{Due: l.now.Add(time.Hour), Kind: runtime.TimerForget, RunID: next.RunID, Name: next.RunID.String()}
			b.Remember = &runtime.Idempotency{
				Workflow: next.Workflow, ForeignID: next.ForeignID, Key: key.Name, RunID: next.RunID, ExpiresAt: key.Due,
			}
			l.keys[shard] = append(l.keys[shard], key)
		}
	} else {
		prev := runs[at]
		b.Prev, next = &prev, prev.Clone()
		l.alter(&next)
		total ^= sum(prev)
		if keys := l.keys[shard]; len(keys) > 0 && l.random.IntN(10) == 0 {
			b.Forget, l.keys[shard] = &keys[0], keys[1:]
		}
	}
	b.Next = &next
	total ^= l.callback(&b) ^ sum(next)
	if l.random.IntN(3) == 0 {
		b.Log = &runtime.LogEntry{RunID: next.RunID, Version: next.Version, Time: l.now, Lines: []runtime.LogLine{{Text: "said"}}}
		total ^= l.addBeside(next.RunID, sum(*b.Log))
	}
	if b.Prev == nil || next.Version != b.Prev.Version {
		b.History = []runtime.HistoryEntry{
			{RunID: next.RunID, Version: next.Version, Time: next.UpdatedAt, Cause: runtime.CauseStep},
		}
		total ^= l.addBeside(next.RunID, sum(b.History[0]))
		l.events[shard] = append(l.events[shard], runtime.NewEvent(first+runtime.LSN(len(l.sums[shard])), b.Prev, &next))
	}
	l.runs[shard][at] = next.Clone()
	return l.apply(shard, total, &b)
}

// addBeside adds a row to those that lie beside a run, and returns its sum.
func (l *lives) addBeside(id runtime.RunID, row uint64) uint64 {
	l.beside[id] ^= row
	return row
}

// taskOf adds a task to the batch or drops one, or both, and returns the sum of it.
func (l *lives) taskOf(shard runtime.Shard, b *runtime.Batch) (total uint64) {
	if tasks := l.tasks[shard]; len(tasks) > 0 && l.random.IntN(4) == 0 {
		at := l.random.IntN(len(tasks))
		gone := tasks[at]
		b.DropTask, total = &gone, sum(gone)
		l.tasks[shard] = slices.Delete(tasks, at, at+1)
	}
	if runs := l.runs[shard]; len(runs) > 0 && l.random.IntN(4) == 0 {
		t := runtime.Task{Due: l.now, Kind: runtime.TaskErase, RunID: runs[l.random.IntN(len(runs))].RunID, Version: 1}
		b.AddTasks, total = []runtime.Task{t}, total^sum(t)
		l.tasks[shard] = append(l.tasks[shard], t)
	}
	return total
}

// callback settles the callbacks that wait for the run of a batch, or has it take one in, and returns the sum of what
// changes beside the run.
func (l *lives) callback(b *runtime.Batch) (total uint64) {
	next := b.Next
	switch {
	case len(next.Pending) > 0 && (!next.State.Active() || l.random.IntN(3) == 0):
		for _, p := range next.Pending {
			total ^= l.addBeside(next.RunID, sum(payloadOf(next.RunID, p.Callback)))
		}
		next.Pending = nil
	case next.State.Active() && l.random.IntN(4) == 0:
		next.Callbacks++
		next.Pending = append(next.Pending, runtime.Pending{
			Kind: runtime.PendingCallback, Callback: next.Callbacks, Due: l.now, Attempt: 1, Taken: l.random.IntN(2) == 0,
		})
		b.Payload = payloadOf(next.RunID, next.Callbacks)
		total = l.addBeside(next.RunID, sum(b.Payload))
	}
	return total
}

func payloadOf(id runtime.RunID, callback uint64) []byte {
	return fmt.Appendf(nil, "%s/%d", id, callback)
}

func (l *lives) apply(shard runtime.Shard, total uint64, b *runtime.Batch) error {
	l.sums[shard] = append(l.sums[shard], total)
	lsn, err := l.store.Apply(shard, l.epochs[shard], b)
	if err == nil && int(position(lsn)) != len(l.sums[shard])-1 {
		l.Fatalf("position %d, want %d", position(lsn), len(l.sums[shard])-1)
	}
	return err
}

func (l *lives) create(shard runtime.Shard) runtime.Record {
	for {
		foreignID := strconv.Itoa(l.random.IntN(1000))
		slot := runtime.SlotOf("orders", foreignID)
		if runtime.ShardOf(slot, crashShards) != shard {
			continue
		}
		return runtime.Record{
			RunID: runtime.NewRunID(l.now, slot, l.random.Uint64()), Workflow: "orders", ForeignID: foreignID,
			State: runtime.Initiated, Status: "s0", Version: 1, Entry: 1, Attempt: 1, CreatedAt: l.now, UpdatedAt: l.now,
			Object: []byte(strings.Repeat("x", l.random.IntN(600))),
		}
	}
}

func (l *lives) alter(r *runtime.Record) {
	r.UpdatedAt = l.now
	r.NotBefore, r.ResumeAt, r.Parked = time.Time{}, time.Time{}, false
	switch l.random.IntN(8) {
	case 0:
		r.Attempt++
		return
	case 1:
		r.NotBefore = l.now.Add(time.Minute)
	case 2:
		r.Parked = true
	case 3:
		r.State, r.ResumeAt = runtime.Paused, l.now.Add(time.Hour)
	case 4:
		r.State, r.ExpireAt = runtime.Completed, l.now.Add(time.Hour)
	default:
		r.State, r.Status = runtime.Running, fmt.Sprint("s", l.random.IntN(4))
	}
	r.Version++
}

// check opens what a crash left and compares it with the model.
func (l *lives) check(k crash) {
	l.Helper()
	s, err := pebblestore.Open(crashOptions(k.fs))
	if err != nil {
		l.Fatalf("%s: %v", k.where, err)
	}
	if !s.Unclean() {
		l.Errorf("%s: the stop counts as clean", k.where)
	}
	report, err := s.Check(l.Context())
	if err != nil || report.Count > 0 {
		l.Errorf("%s: check: %v, %d problems: %v", k.where, err, report.Count, report.Problems)
	}
	for shard := range runtime.Shard(crashShards) {
		if err := l.checkShard(s, shard, k.durable[shard]); err != nil {
			l.Errorf("%s: shard %d: %v", k.where, shard, err)
		}
	}
	if err := s.Close(); err != nil {
		l.Errorf("%s: close: %v", k.where, err)
	}
}

// checkShard finds the prefix of batches that the shard holds, which must reach at least to what was acknowledged.
func (l *lives) checkShard(s *pebblestore.Store, shard runtime.Shard, durable runtime.LSN) error {
	records, err := s.List(l.Context(), &runtime.Query{Limit: 100_000})
	if err != nil {
		return err
	}
	var total uint64
	for _, r := range records {
		if runtime.ShardOf(r.RunID.Slot(), crashShards) != shard {
			continue
		}
		total ^= sum(r)
		history, err := s.History(r.RunID, 0, 0, 10_000)
		if err != nil {
			return err
		}
		for _, h := range history {
			total ^= sum(h)
		}
		logs, err := s.Logs(r.RunID, 0, time.Time{}, 10_000)
		if err != nil {
			return err
		}
		for _, entry := range logs {
			total ^= sum(entry)
		}
		for _, p := range r.Pending {
			payload, err := s.Payload(r.RunID, p.Callback)
			if err != nil {
				return err
			}
			total ^= sum(payload)
		}
	}
	tasks, _, err := s.DueTasks(shard, l.now, nil, 100_000, nil)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		total ^= sum(t)
	}
	held := durable
	for int(held) < len(l.sums[shard]) && l.sums[shard][held] != total {
		held++
	}
	if int(held) == len(l.sums[shard]) {
		return fmt.Errorf("holds no prefix of its batches that reaches position %d, which was acknowledged", durable)
	}
	events, err := s.Events(shard, 0, 100_000, nil)
	if err != nil {
		return err
	}
	if err := l.checkEvents(shard, held, events); err != nil {
		return err
	}
	// What comes next is beyond every cursor, or its reader would skip it.
	cursor, err := s.Cursor(shard, "relay")
	if err != nil {
		return err
	}
	if s.Applied(shard) < cursor || len(events) > 0 && s.Applied(shard) < events[len(events)-1].LSN {
		return fmt.Errorf("goes on after position %d, and a cursor is at %d", s.Applied(shard), cursor)
	}
	return nil
}

// checkEvents compares the events with those of the batches up to held, of which a trim may have removed the first.
func (l *lives) checkEvents(shard runtime.Shard, held runtime.LSN, events []runtime.Event) error {
	want := l.events[shard]
	for len(want) > 0 && want[len(want)-1].LSN > first+held {
		want = want[:len(want)-1]
	}
	if len(events) > len(want) {
		return fmt.Errorf("%d events, want at most %d", len(events), len(want))
	}
	missing := want[:len(want)-len(events)]
	if n := len(missing); n > 0 && missing[n-1].LSN > l.tops[shard] {
		return fmt.Errorf("the event of position %d is missing", missing[n-1].LSN)
	}
	for i, e := range want[len(missing):] {
		if !reflect.DeepEqual(events[i], e) {
			return fmt.Errorf("event %+v, want %+v", events[i], e)
		}
	}
	return nil
}
