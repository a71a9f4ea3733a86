package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Callback is outside input for a run that waits.
type Callback struct {
	Workflow       string
	Status         string        // the status in which the run takes it
	ForeignID      string        // of the run: its newest is meant
	RunID          RunID         // the run, instead of the foreign ID; zero: the foreign ID says
	Payload        []byte        // raw: each handler of the status gets all of it, in order, until one answers otherwise than skip
	IdempotencyKey string        // a repetition under the same key answers as the first; empty: none
	Trace          TraceContext  // the trace that its handling belongs to; zero: none
	Wait           time.Duration // how long to wait until it is handled; 0: only until it is durable

	origin *Origin   // of a connector: the message that it is; nil: none
	cause  CauseKind // CauseConnector or CauseIntent; zero: a request
	by     string    // of CauseConnector the message's place, for people; of CauseIntent the run that asked
}

// CallbackID names a callback.
type CallbackID struct {
	RunID  RunID
	Number uint64 // of the run's callbacks, from 1
}

// String returns "<run_id>/<number>".
func (id CallbackID) String() string {
	b, _ := id.RunID.AppendText(make([]byte, 0, 57))
	return string(appendUint(append(b, '/'), id.Number))
}

// CallbackDone is the answer to a callback.
type CallbackDone struct {
	ID      CallbackID
	Record  Record // the run as it is now
	Pending bool   // the callback is durable and not yet handled: the run is busy, or paused, or the handler is to be tried again
	Reason  string // of a callback that was handled: "" or "skipped"
}

// CallbackRefusedError says that a callback was taken in and not accepted: its handler refused it for good, or the run left
// the status first.
type CallbackRefusedError struct {
	ID     CallbackID
	Reason string
	Record Record // the run as it is now
}

func (e *CallbackRefusedError) Error() string {
	return fmt.Sprintf("callback %s was refused: %s", e.ID, e.Reason)
}

// TooManyCallbacksError says that a run has as many callbacks to handle as it may.
type TooManyCallbacksError struct {
	RunID   RunID
	Waiting int // how many wait
}

func (e *TooManyCallbacksError) Error() string {
	return fmt.Sprintf("%d callbacks wait for run %s already", e.Waiting, e.RunID)
}

// WrongStatusError says that a run is not where a callback is for.
type WrongStatusError struct {
	Record Record
	Want   string // the status that the callback is for
}

func (e *WrongStatusError) Error() string {
	if !e.Record.State.Active() {
		return fmt.Sprintf("run %s is %s in status %s: it takes no callbacks", e.Record.RunID, e.Record.State, e.Record.Status)
	}
	return fmt.Sprintf("run %s is in status %s, and the callback is for status %s", e.Record.RunID, e.Record.Status, e.Want)
}

// Callback hands outside input to a run. The payload is durable before a handler sees it, so the answer may be that it is
// pending. It returns ErrNotFound, *UnknownWorkflowError, *UnknownStatusError, *InvalidError, *WrongStatusError,
// *TooManyCallbacksError, *KeyReusedError, *RemovedError, *CallbackRefusedError, ErrStopping, ErrStoreFailed or ctx's error.
func (e *Engine) Callback(ctx context.Context, c Callback) (CallbackDone, error) {
	if err := errors.Join(e.accepting(), e.DiskLow(DiskHard)); err != nil {
		return CallbackDone{}, err
	}
	if err := e.checkCallback(&c); err != nil {
		return CallbackDone{}, err
	}
	s := e.shards[ShardOf(SlotOf(c.Workflow, c.ForeignID), len(e.shards))]
	if !c.RunID.IsZero() {
		s = e.shardOf(c.RunID)
	}
	handled := make(chan HistoryEntry, 1)
	id, line, err := s.takeIn(&c, handled)
	if err != nil {
		return CallbackDone{}, e.afterObserved(ctx, s, err)
	}
	defer s.uncall(id, handled)
	if err := e.observed(ctx, s); err != nil {
		return CallbackDone{}, err
	}
	if line == nil {
		line = e.awaitCallback(ctx, handled, c.Wait)
	}
	done := CallbackDone{ID: id, Pending: line == nil}
	if err := e.store.Record(id.RunID, &done.Record); err != nil {
		return CallbackDone{}, e.afterObserved(ctx, s, fmt.Errorf("runtime: callback %s: %w", id, err))
	}
	if line != nil && line.Line > 0 {
		done.Reason = line.Reason
	}
	if line != nil && line.Failed {
		return done, e.afterObserved(ctx, s, &CallbackRefusedError{ID: id, Reason: line.Reason, Record: done.Record})
	}
	return done, e.observed(ctx, s)
}

// awaitCallback waits until a callback is handled, for at most d; nil: it is still pending.
func (e *Engine) awaitCallback(ctx context.Context, handled <-chan HistoryEntry, d time.Duration) *HistoryEntry {
	expired := make(chan struct{})
	timer := e.opt.Clock.AfterFunc(d, func() { close(expired) })
	defer timer.Stop()
	select {
	case line := <-handled:
		return &line
	case <-expired:
	case <-ctx.Done():
	case <-e.failed:
	}
	return nil
}

func (e *Engine) checkCallback(c *Callback) error {
	catalog := e.Catalog()
	w := catalog.Workflow(c.Workflow)
	if w == nil {
		return &UnknownWorkflowError{Name: c.Workflow, Known: catalog.Names()}
	}
	if w.find(c.Status, func(s *Status) bool { return len(s.Callbacks) > 0 }) == nil {
		known := slices.DeleteFunc(w.statusNames(false), func(s string) bool { return len(w.Statuses[s].Callbacks) == 0 })
		return &UnknownStatusError{Workflow: c.Workflow, Status: c.Status, Known: known}
	}
	if c.RunID.IsZero() {
		if err := checkForeignID(c.ForeignID); err != nil {
			return err
		}
	}
	if err := checkKey(c.IdempotencyKey); err != nil {
		return err
	}
	if len(c.Payload) > e.tuned.Load().MaxObject {
		return &InvalidError{Field: "payload", Cause: fmt.Sprintf("has %d bytes; at most %d are allowed (engine.max_object)",
			len(c.Payload), e.tuned.Load().MaxObject)}
	}
	return nil
}

// takeIn writes a callback to its run, and has handled, if it is not nil, told when it has been handled. It returns the line of history instead
// when it was handled before.
func (s *shard) takeIn(c *Callback, handled chan<- HistoryEntry) (CallbackID, *HistoryEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takeInLocked(c, handled)
}

// REQUIRES: s.mu
func (s *shard) takeInLocked(c *Callback, handled chan<- HistoryEntry) (CallbackID, *HistoryEntry, error) {
	var rec Record
	foreignID := c.ForeignID
	none := s.find(c, &rec)
	switch {
	case none == nil:
		foreignID = rec.ForeignID
	case !errors.Is(none, ErrNotFound):
		return CallbackID{}, nil, none
	}
	request := requestDigest("callback", c.Status, c.Payload)
	known, err := s.remembered(c.Workflow, foreignID, c.IdempotencyKey, request)
	if err != nil {
		return CallbackID{}, nil, err
	}
	if known != nil { // also of a run that was removed since
		return s.repeatCallback(known, handled)
	}
	if none != nil {
		return CallbackID{}, nil, none
	}
	if !rec.State.Active() || rec.Status != c.Status {
		return CallbackID{}, nil, &WrongStatusError{Record: rec, Want: c.Status}
	}
	if len(rec.Pending) >= s.engine.opt.MaxCallbacks {
		return CallbackID{}, nil, &TooManyCallbacksError{RunID: rec.RunID, Waiting: len(rec.Pending)}
	}
	id := CallbackID{RunID: rec.RunID, Number: rec.Callbacks + 1}
	if handled != nil {
		s.call(id, handled)
	}
	_, err = s.changeLocked(rec.RunID, func(r *run) error {
		now := s.engine.now()
		r.next = r.rec
		r.next.Owner, r.next.UpdatedAt, r.next.Callbacks = s.epoch, now, id.Number
		r.next.Pending = append(slices.Clone(r.rec.Pending), Pending{
			Kind: PendingCallback, Callback: id.Number, Due: now, Attempt: 1, Taken: true, Trace: c.Trace,
		})
		r.batch.Prev, r.batch.Next, r.batch.Payload = &r.rec, &r.next, c.Payload
		if r.batch.Payload == nil {
			r.batch.Payload = []byte{}
		}
		if c.IdempotencyKey != "" {
			r.batch.Remember = s.remember(rec.Workflow, rec.ForeignID, c.IdempotencyKey, request)
			r.batch.Remember.RunID, r.batch.Remember.Callback = rec.RunID, id.Number
		}
		r.batch.Receipt = c.origin
		if c.cause != 0 {
			r.next.Lines++
			r.batch.History = append(r.batch.History, HistoryEntry{
				RunID: rec.RunID, Version: rec.Version, Line: r.next.Lines, Time: now, Cause: c.cause, By: c.by,
				Callback: id.Number, State: rec.State, Status: rec.Status, Reason: "took in a callback",
			})
		}
		return nil
	})
	return id, nil, err
}

// find reads the run that a callback is for.
// REQUIRES: s.mu
func (s *shard) find(c *Callback, rec *Record) error {
	id := c.RunID
	if id.IsZero() {
		latest, err := s.engine.store.Latest(c.Workflow, c.ForeignID)
		if err != nil {
			return fmt.Errorf("runtime: callback: a run of workflow %s for foreign ID %q: %w", c.Workflow, c.ForeignID, err)
		}
		id = latest
	}
	err := s.engine.store.Record(id, rec)
	if err == nil && rec.Workflow != c.Workflow {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("runtime: callback: run %s of workflow %s: %w", id, c.Workflow, err)
	}
	return nil
}

// repeatCallback answers a repetition under a known key: with what became of the callback, or by waiting for it. Who
// does not wait, with handled nil, learns its ID only.
// REQUIRES: s.mu
func (s *shard) repeatCallback(known *Idempotency, handled chan<- HistoryEntry) (CallbackID, *HistoryEntry, error) {
	if known.Callback == 0 {
		return CallbackID{}, nil, &KeyReusedError{Key: known.Key, RunID: known.RunID}
	}
	id := CallbackID{RunID: known.RunID, Number: known.Callback}
	var rec Record
	if err := s.known(known, &rec); err != nil {
		return id, nil, fmt.Errorf("runtime: callback %s: %w", id, err)
	}
	if slices.ContainsFunc(rec.Pending, func(p Pending) bool { return p.Callback == id.Number }) {
		if handled != nil {
			s.call(id, handled)
		}
		return id, nil, nil
	}
	if handled == nil {
		return id, nil, nil
	}
	line, err := s.lastLine(id)
	return id, line, err
}

// lastLine returns what the history says became of a callback.
func (s *shard) lastLine(id CallbackID) (*HistoryEntry, error) {
	const page = 256
	var last *HistoryEntry
	var version uint64
	var line uint32
	for {
		entries, err := s.engine.store.History(id.RunID, version, line, page)
		if err != nil {
			return nil, fmt.Errorf("runtime: callback %s: %w", id, err)
		}
		for i := range entries {
			if entries[i].Callback == id.Number {
				last = &entries[i]
			}
		}
		if len(entries) < page {
			break
		}
		version, line = entries[page-1].Version, entries[page-1].Line
	}
	if last == nil {
		return nil, fmt.Errorf("runtime: callback %s: %w", id, errors.Join(errNoLine, ErrNotFound))
	}
	return last, nil
}

var errNoLine = errors.New("its line of history is gone")

// call has handled told when the callback has been handled.
// REQUIRES: s.mu
func (s *shard) call(id CallbackID, handled chan<- HistoryEntry) {
	s.callers[id] = append(s.callers[id], handled)
}

func (s *shard) uncall(id CallbackID, handled chan<- HistoryEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callers[id] = slices.DeleteFunc(s.callers[id], func(c chan<- HistoryEntry) bool { return c == handled })
	if len(s.callers[id]) == 0 {
		delete(s.callers, id)
	}
}

// tellCallers tells those who wait for callbacks that these lines say are handled: not those that will be tried again.
// REQUIRES: s.mu
func (s *shard) tellCallers(next *Record, lines []HistoryEntry) {
	if len(s.callers) == 0 {
		return
	}
	for i := range lines {
		h := &lines[i]
		if h.Callback == 0 || slices.ContainsFunc(next.Pending, func(p Pending) bool { return p.Callback == h.Callback }) {
			continue
		}
		id := CallbackID{RunID: h.RunID, Number: h.Callback}
		for _, handled := range s.callers[id] {
			handled <- *h // buffered, and told once
		}
		delete(s.callers, id)
	}
}
