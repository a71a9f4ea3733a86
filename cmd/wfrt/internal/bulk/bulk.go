// Package bulk triggers a run for every line of a file, many at a time, in a way that may be interrupted and repeated: each
// line carries an idempotency key made of the file's content and the line's number, so that no line begins two runs.
package bulk

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Result says what became of one line.
type Result int

// Results.
const (
	Triggered      Result = iota // a run has begun
	Repeated                     // this line had begun its run before: nothing was begun
	AlreadyRunning               // the foreign ID has an active run of another origin: nothing was begun
)

// Line is one line of the file, ready to be sent.
type Line struct {
	ForeignID      string
	Object         []byte
	IdempotencyKey string
}

// Place is where a run is.
type Place struct {
	State  string `json:"state"`
	Status string `json:"status"`
}

// Ended says where an awaited run is.
type Ended struct {
	Place
	Reached bool // it is where it was awaited; false: it ended elsewhere
}

// Server is what Run needs of a client. It repeats what fails for want of a server by itself. Both methods are called from many
// goroutines.
type Server interface {
	// Trigger begins a run and returns its ID, or that of the run that is active already.
	Trigger(ctx context.Context, line Line) (runID string, result Result, err error)
	// Await waits until a run is where it is awaited, or has ended elsewhere.
	Await(ctx context.Context, runID string) (Ended, error)
}

// Options says how to send a file.
type Options struct {
	Server         Server
	ForeignIDField string                      // where in an object its foreign ID is: "order_id", "order.id"
	Concurrency    int                         // lines under way at a time, ≥ 1
	Await          bool                        // wait for every run
	Done           func()                      // told of every line that is done, one at a time; may be nil
	Failed         func(line int, cause error) // told of every line that failed, one at a time; may be nil
	Hopeless       func(cause error) bool      // says that no other line can fare better, which ends the sending; may be nil
}

// Summary counts what became of the lines.
type Summary struct {
	Lines          int       `json:"lines"` // fewer than the file has when the context ended
	Triggered      int       `json:"triggered"`
	Repeated       int       `json:"repeated"`
	AlreadyRunning int       `json:"already_running"`
	Failed         int       `json:"failed"`
	Elsewhere      int       `json:"ended_elsewhere"`   // of the awaited ones
	Awaited        []Arrived `json:"awaited,omitempty"` // by state, then status
	Seconds        float64   `json:"seconds"`           // from the first line to the last
	PerSecond      float64   `json:"runs_per_second"`   // lines that have a run, over Seconds
}

// Arrived counts the awaited runs at one place.
type Arrived struct {
	Place
	Runs int `json:"runs"`
}

// Run sends every line of the source. A line that fails is counted and reported, and does not stop the others. Its error is
// that of reading the file, the hopeless one, or the cause of the context's end; the summary counts what was done until then.
func Run(ctx context.Context, source *Source, opt Options) (Summary, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &sender{opt: opt, source: source, cancel: cancel, arrived: map[Place]int{}}
	began := time.Now()
	lines := make(chan numbered)
	var workers sync.WaitGroup
	for range opt.Concurrency {
		workers.Go(func() {
			for line := range lines {
				r.send(ctx, line)
			}
		})
	}
	err := source.lines(func(number int, text []byte) error {
		select {
		case lines <- numbered{number: number, text: append([]byte(nil), text...)}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(lines)
	workers.Wait()
	s := r.summary
	for place, runs := range r.arrived {
		s.Awaited = append(s.Awaited, Arrived{Place: place, Runs: runs})
	}
	slices.SortFunc(s.Awaited, func(a, b Arrived) int {
		return cmp.Or(strings.Compare(a.State, b.State), strings.Compare(a.Status, b.Status))
	})
	s.Seconds = time.Since(began).Seconds()
	if s.Seconds > 0 {
		s.PerSecond = float64(s.Triggered+s.Repeated+s.AlreadyRunning) / s.Seconds
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx) // it ended after the last line was read
	}
	return s, err
}

// numbered is a line on its way to a worker.
type numbered struct {
	number int
	text   []byte
}

type sender struct {
	opt    Options
	source *Source
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards the fields below, and calls of opt.Done and opt.Failed
	summary Summary
	arrived map[Place]int
}

// send does all that is to be done for one line.
func (r *sender) send(ctx context.Context, line numbered) {
	result, ended, err := r.trigger(ctx, line)
	if ctx.Err() != nil && err != nil {
		return // interrupted: neither done nor failed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.summary
	s.Lines++
	switch {
	case err != nil:
		s.Failed++
		if r.opt.Failed != nil {
			r.opt.Failed(line.number, err)
		}
		if r.opt.Hopeless != nil && r.opt.Hopeless(err) {
			r.cancel(err)
		}
	case result == Repeated:
		s.Repeated++
	case result == AlreadyRunning:
		s.AlreadyRunning++
	default:
		s.Triggered++
	}
	if ended != nil {
		r.arrived[ended.Place]++
		if !ended.Reached {
			s.Elsewhere++
		}
	}
	if r.opt.Done != nil {
		r.opt.Done()
	}
}

// trigger begins the line's run and, when asked to, waits for it.
func (r *sender) trigger(ctx context.Context, line numbered) (Result, *Ended, error) {
	id, err := foreignID(line.text, r.opt.ForeignIDField)
	if err != nil {
		return 0, nil, err
	}
	runID, result, err := r.opt.Server.Trigger(ctx, Line{
		ForeignID: id, Object: line.text, IdempotencyKey: r.source.key(line.number),
	})
	if err != nil || !r.opt.Await {
		return result, nil, err
	}
	ended, err := r.opt.Server.Await(ctx, runID)
	if err != nil {
		return result, nil, fmt.Errorf("run %s: %w", runID, err)
	}
	return result, &ended, nil
}
