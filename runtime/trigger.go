package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// Limits of what a trigger may carry.
const (
	MaxName           = 64  // bytes, of a workflow, a status, a handler and a schedule
	MaxForeignID      = 256 // bytes
	MaxIdempotencyKey = 256 // bytes
)

// Trigger asks for a new run.
type Trigger struct {
	Workflow       string
	ForeignID      string       // the client's own name for what the run is about; at most one active run has it
	Object         []byte       // one JSON value; empty: null. The engine keeps a copy
	StartAt        string       // the status to begin in; empty: the workflow's start
	IdempotencyKey string       // a repetition under the same key answers with the same run; empty: none
	Trace          TraceContext // the trace that the run continues; zero: none

	cause    CauseKind // zero: CauseTrigger
	by       string    // of CauseIntent: the run that asked
	schedule string    // of CauseSchedule: its name
}

// Triggered is the answer to a Trigger.
type Triggered struct {
	Record   Record // the run's first version; of a repetition the run as it is now
	Repeated bool   // the idempotency key was known: nothing was begun
}

// Trigger begins a run. When it returns nil, the run is durable and will be executed.
//
// It returns *InvalidError, *UnknownWorkflowError, *UnknownStatusError, *InProgressError, *KeyReusedError, *RemovedError, *DiskError,
// ErrStopping, ErrStoreFailed or ctx's error. In the last two cases the run may or may not have begun: repeat under the same idempotency key.
func (e *Engine) Trigger(ctx context.Context, t Trigger) (Triggered, error) {
	s, done, err := e.trigger(&t, nil)
	if s == nil {
		return Triggered{}, err
	}
	if derr := e.observed(ctx, s); derr != nil {
		return Triggered{}, derr
	}
	return done, err
}

// TriggerAndAwait begins a run and waits as Await does, at the price of one wait for durability instead of two.
func (e *Engine) TriggerAndAwait(ctx context.Context, t Trigger, until Until) (Awaited, error) {
	w := newWaiter(until)
	s, done, err := e.trigger(&t, w)
	if s == nil {
		return Awaited{}, err
	}
	if err != nil {
		return Awaited{}, errors.Join(err, e.observed(ctx, s))
	}
	return e.await(ctx, s, done.Record.RunID, w)
}

// trigger decides under the writer of the shard, and has w, unless it is nil, watch the run from then on. Its answer and its refusal
// may leave only after the shard it returns is durable; a nil shard means that nothing was observed.
func (e *Engine) trigger(t *Trigger, w *waiter) (*shard, Triggered, error) {
	if err := errors.Join(e.accepting(), e.DiskLow(DiskHigh)); err != nil {
		return nil, Triggered{}, err
	}
	if len(t.Object) == 0 {
		t.Object = []byte("null")
	}
	if err := e.checkTrigger(t); err != nil {
		return nil, Triggered{}, err
	}
	slot := SlotOf(t.Workflow, t.ForeignID)
	s := e.shards[ShardOf(slot, len(e.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	done, err := s.trigger(t, nil)
	if err == nil && w != nil {
		s.watch(&done.Record, w)
	}
	return s, done, err
}

// trigger begins a run, unless its idempotency key is known or its foreign ID has an active run. alongside, if any, completes
// the batch that begins it.
// REQUIRES: s.mu
func (s *shard) trigger(t *Trigger, alongside func(id RunID, b *Batch)) (Triggered, error) {
	e := s.engine
	began := e.now()
	request := t.digest()
	known, err := s.remembered(t.Workflow, t.ForeignID, t.IdempotencyKey, request)
	switch {
	case err != nil:
		return Triggered{}, err
	case known != nil && known.Callback != 0:
		return Triggered{}, &KeyReusedError{Key: t.IdempotencyKey, RunID: known.RunID}
	case known != nil:
		done := Triggered{Repeated: true}
		return done, s.known(known, &done.Record)
	}
	id := NewRunID(began, SlotOf(t.Workflow, t.ForeignID), e.opt.Random())
	latest, err := e.store.Latest(t.Workflow, t.ForeignID)
	switch {
	case err == nil:
		var last Record
		if err := e.store.Record(latest, &last); err != nil {
			return Triggered{}, err
		}
		if last.State.Active() {
			return Triggered{}, &InProgressError{Workflow: t.Workflow, ForeignID: t.ForeignID, RunID: latest}
		}
		id = id.After(latest, uint32(e.opt.Random()))
	case !errors.Is(err, ErrNotFound):
		return Triggered{}, err
	}
	at, err := e.entry(t) // here, where no swap can come in between
	if err != nil {
		return Triggered{}, err
	}
	r := newRun(s)
	s.first(r, id, t, at)
	if t.IdempotencyKey != "" {
		r.batch.Remember = s.remember(t.Workflow, t.ForeignID, t.IdempotencyKey, request)
		r.batch.Remember.RunID = id
	}
	if alongside != nil {
		alongside(id, &r.batch)
	}
	cause := r.batch.History[0].Cause
	done, err := s.begin(r)
	if err == nil {
		e.traceTriggered(&done.Record, cause, t.Trace, began)
	}
	return done, err
}

// first fills r.next and r.batch with the first version of a run.
func (s *shard) first(r *run, id RunID, t *Trigger, at entry) {
	now := id.Time()
	r.next = Record{
		RunID: id, Workflow: t.Workflow, ForeignID: t.ForeignID, State: Initiated, Version: 1, Owner: s.epoch, Pinned: at.pinned,
		CreatedAt: now, UpdatedAt: now, Trace: s.engine.keepTrace(id, t.Trace), Object: append(r.rec.Object[:0], t.Object...),
	}
	r.next.enter(at.status, now)
	line := HistoryEntry{
		RunID: id, Version: 1, Time: now, Cause: t.cause, By: t.by, Handler: t.schedule, State: r.next.State, Status: at.status.Name,
	}
	if line.Cause == 0 {
		line.Cause = CauseTrigger
	}
	if !s.engine.tuned.Load().NoHistoryObjects {
		line.Object = r.next.Object
	}
	r.batch.Next = &r.next
	r.batch.History = append(r.batch.History, line)
}

// begin commits the first version of a run and queues its step.
// REQUIRES: s.mu
func (s *shard) begin(r *run) (Triggered, error) {
	if err := s.commit(&r.batch); err != nil {
		r.release()
		return Triggered{}, err
	}
	r.adopt()
	done := Triggered{Record: r.rec.Clone()}
	if r.rec.Ready() {
		s.enqueue(r)
	} else {
		r.release()
	}
	return done, nil
}

// remembered returns what is kept of a request under an idempotency key, nil for nothing or for no key, or a *KeyReusedError
// when it was another request.
// REQUIRES: s.mu
func (s *shard) remembered(workflow, foreignID, key string, request [32]byte) (*Idempotency, error) {
	if key == "" {
		return nil, nil
	}
	known, err := s.engine.store.Remembered(workflow, foreignID, key)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case known.Request != request:
		return nil, &KeyReusedError{Key: key, RunID: known.RunID}
	}
	return &known, nil
}

// remember returns what is to be kept of a request.
func (s *shard) remember(workflow, foreignID, key string, request [32]byte) *Idempotency {
	return &Idempotency{
		Workflow: workflow, ForeignID: foreignID, Key: key, Request: request,
		ExpiresAt: s.engine.now().Add(s.engine.tuned.Load().ForgetAfter),
	}
}

// checkTrigger says what is wrong with a trigger, or nil.
func (e *Engine) checkTrigger(t *Trigger) error {
	if _, err := e.entry(t); err != nil {
		return err
	}
	if err := checkForeignID(t.ForeignID); err != nil {
		return err
	}
	if err := checkKey(t.IdempotencyKey); err != nil {
		return err
	}
	return e.checkObject(t.Object)
}

// entry returns where the run of a trigger begins. It holds until the next swap.
func (e *Engine) entry(t *Trigger) (entry, error) {
	catalog := e.catalog.Load()
	w := catalog.Workflow(t.Workflow)
	if w == nil || w.Closed {
		return entry{}, &UnknownWorkflowError{Name: t.Workflow, Known: catalog.Names()}
	}
	share := 1.0
	if w.Canary != nil {
		share = e.share()
	}
	return w.enter(t.StartAt, share)
}

func checkForeignID(id string) error {
	switch {
	case id == "":
		return &InvalidError{Field: "foreign_id", Cause: "is empty; give your own name for what the run is about"}
	case len(id) > MaxForeignID:
		return &InvalidError{Field: "foreign_id", Cause: fmt.Sprintf("has %d bytes; at most %d are allowed", len(id), MaxForeignID)}
	case !utf8.ValidString(id):
		return &InvalidError{Field: "foreign_id", Cause: "is not UTF-8"}
	}
	return nil
}

func checkKey(key string) error {
	if len(key) > MaxIdempotencyKey {
		return &InvalidError{
			Field: "Idempotency-Key", Cause: fmt.Sprintf("has %d bytes; at most %d are allowed", len(key), MaxIdempotencyKey),
		}
	}
	return nil
}

func (e *Engine) checkObject(object []byte) error {
	switch {
	case len(object) > e.tuned.Load().MaxObject:
		return &InvalidError{
			Field: "object", Cause: fmt.Sprintf("has %d bytes; at most %d are allowed (engine.max_object)", len(object), e.tuned.Load().MaxObject),
		}
	case !json.Valid(object):
		return &InvalidError{Field: "object", Cause: "is not one JSON value"}
	}
	return nil
}

// statusNames returns the names of the statuses in alphabetical order, the terminal ones if asked for.
func (w *Workflow) statusNames(terminal bool) []string {
	names := slices.Sorted(maps.Keys(w.Statuses))
	return slices.DeleteFunc(names, func(s string) bool { return w.Statuses[s].Terminal && !terminal })
}

// digest tells requests under one idempotency key apart.
func (t *Trigger) digest() [32]byte {
	if t.IdempotencyKey == "" {
		return [32]byte{}
	}
	return requestDigest("trigger", t.StartAt, t.Object)
}

// requestDigest is the SHA-256 of a request: its kind, a status and a body, each of the first two with its length before it.
func requestDigest(kind, status string, body []byte) [32]byte {
	h := sha256.New()
	for _, s := range []string{kind, status} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	h.Write(body)
	return [32]byte(h.Sum(nil))
}
