package bench

import (
	"context"
	"errors"
	"flag"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
)

// backlogged is about how many events wait in BenchmarkBacklog before the sink is there.
var backlogged = flag.Int("backlog", 120_000, "events that wait in BenchmarkBacklog")

// awaySink is Kafka that is down for the whole run: it takes nothing.
type awaySink struct{}

func (awaySink) Publish(context.Context, []runtime.Event) (int, error) {
	return 0, errors.New("no broker")
}

// BenchmarkOutage is what an absent Kafka costs the steps: 5-step runs, a thousand at a time, with a sink that takes everything and with
// one that takes nothing, in turn. One operation is a round of both; ratio is the rate without the sink over that with it.
func BenchmarkOutage(b *testing.B) {
	const runs = 10_000
	catalog := newHost(b).Catalog()
	var up, down time.Duration
	round := func(sink runtime.Streamer) time.Duration {
		var took time.Duration
		publishing(b, catalog, sink, func(e *runtime.Engine) { took = runAll(b, e, runs) })
		return took
	}
	rounds := 0
	for b.Loop() {
		if rounds%2 == 0 {
			up += round(nullSink{})
			down += round(awaySink{})
		} else {
			down += round(awaySink{})
			up += round(nullSink{})
		}
		rounds++
	}
	steps := float64(rounds * runs * 5)
	b.ReportMetric(steps/up.Seconds(), "up-steps/s")
	b.ReportMetric(steps/down.Seconds(), "down-steps/s")
	b.ReportMetric(up.Seconds()/down.Seconds(), "ratio")
}

// BenchmarkBacklog has events wait (-backlog) while the sink is away, lets the sink come, and checks that each run's are complete and in
// order. One operation is all of it; peak-MB is the most memory of the process that was resident meanwhile.
func BenchmarkBacklog(b *testing.B) {
	const perRun = 6 // the first version, and one for each step
	runs := *backlogged / perRun
	for b.Loop() {
		resetPeak(b)
		sink := &checkingSink{b: b, want: int64(runs * perRun), all: make(chan struct{})}
		publishing(b, native(), sink, func(e *runtime.Engine) {
			made := runAll(b, e, runs)
			waits := 0
			for _, s := range e.Stats().Shards {
				waits += s.Unpublished
			}
			if waits != runs*perRun {
				b.Errorf("%d events wait, want %d", waits, runs*perRun)
			}
			b.ReportMetric(float64(runs*perRun)/made.Seconds(), "made/s")
			began := time.Now()
			sink.there.Store(true)
			select {
			case <-sink.all:
			case <-b.Context().Done():
				b.Fatal(b.Context().Err())
			}
			b.ReportMetric(float64(runs*perRun)/time.Since(began).Seconds(), "drained/s")
			b.ReportMetric(float64(runs*perRun), "events")
		})
		b.ReportMetric(memoryMB(b, "VmHWM"), "peak-MB")
	}
}

// publishing has f use an engine over a new store on disk that publishes to a sink.
func publishing(b *testing.B, catalog *runtime.Catalog, sink runtime.Streamer, f func(*runtime.Engine)) {
	b.Helper()
	store, err := pebblestore.Open(pebblestore.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	e, err := runtime.New(runtime.Options{Store: store, Streamer: sink, Relay: runtime.RelayOptions{Backoff: time.Second}})
	if err != nil {
		b.Fatal(err)
	}
	e.SetCatalog(catalog)
	if err := e.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	f(e)
	if err := e.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
}

// runAll takes so many 5-step runs to their end, a thousand at a time, and returns how long that took.
func runAll(b *testing.B, e *runtime.Engine, runs int) time.Duration {
	b.Helper()
	began := time.Now()
	var next atomic.Int64
	var clients sync.WaitGroup
	for range min(concurrent, runs) {
		clients.Go(func() {
			for i := next.Add(1); i <= int64(runs); i = next.Add(1) {
				t := runtime.Trigger{Workflow: "lean5", ForeignID: strconv.FormatInt(i, 10), Object: []byte(`{"order_id":"10248"}`)}
				if done, err := e.TriggerAndAwait(b.Context(), t, runtime.Until{}); err != nil || done.Record.State != runtime.Completed {
					b.Errorf("run %d: %+v, %v", i, done.Record, err)
					return
				}
			}
		})
	}
	clients.Wait()
	return time.Since(began)
}

// checkingSink takes nothing until it is there, and then wants the events of each run in order, without a gap. It keeps little: a run's
// next version while the run is not complete.
type checkingSink struct {
	b     *testing.B
	want  int64
	all   chan struct{}
	there atomic.Bool

	mu   sync.Mutex
	got  int64
	next map[runtime.RunID]uint64
}

// Publish implements runtime.Streamer.
func (s *checkingSink) Publish(_ context.Context, events []runtime.Event) (int, error) {
	if !s.there.Load() {
		return 0, errors.New("no broker")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = map[runtime.RunID]uint64{}
	}
	for i := range events {
		e := &events[i]
		if want := s.next[e.RunID] + 1; e.Version != want {
			s.b.Errorf("run %s: event of version %d, want %d", e.RunID, e.Version, want)
		}
		if s.next[e.RunID] = e.Version; e.State == runtime.Completed {
			delete(s.next, e.RunID)
		}
	}
	if s.got += int64(len(events)); s.got == s.want {
		close(s.all)
	}
	return len(events), nil
}
