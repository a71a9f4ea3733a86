package bench

import (
	"context"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
)

// relayedRuns is how many runs of 6 events each BenchmarkRelay relays.
const relayedRuns = 30_000

// BenchmarkRelay relays a backlog from the log on disk to a sink that takes everything at once. One operation is all of it; CPU-µs/event
// is that of the whole process meanwhile.
func BenchmarkRelay(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		live(b, dir, native(), 0, func(e *runtime.Engine) {
			var clients sync.WaitGroup
			work := make(chan int)
			for range concurrent {
				clients.Go(func() {
					for i := range work {
						if _, err := e.TriggerAndAwait(b.Context(), runtime.Trigger{Workflow: "lean5", ForeignID: strconv.Itoa(i)}, runtime.Until{}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := range relayedRuns {
				work <- i
			}
			close(work)
			clients.Wait()
		})
		sink := &countingSink{want: 6 * relayedRuns, all: make(chan struct{})}
		store, err := pebblestore.Open(pebblestore.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		e, err := runtime.New(runtime.Options{Store: store, Streamer: sink})
		if err != nil {
			b.Fatal(err)
		}
		e.SetCatalog(native())
		began, cpu := time.Now(), processCPU(b)
		if err := e.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		<-sink.all
		b.ReportMetric(float64((processCPU(b)-cpu).Microseconds())/(6*relayedRuns), "CPU-µs/event")
		b.ReportMetric(6*relayedRuns/time.Since(began).Seconds(), "events/s")
		if err := e.Stop(context.Background()); err != nil {
			b.Fatal(err)
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// countingSink takes every event at once, and tells when it has all.
type countingSink struct {
	mu   sync.Mutex
	got  int
	want int
	all  chan struct{}
}

// Publish implements runtime.Streamer.
func (s *countingSink) Publish(_ context.Context, events []runtime.Event) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.got
	if s.got += len(events); before < s.want && s.got >= s.want {
		close(s.all)
	}
	return len(events), nil
}

// processCPU is what the process has used so far.
func processCPU(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
