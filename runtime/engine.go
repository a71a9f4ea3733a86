package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options configures an Engine. Only Store is required.
type Options struct {
	// AutoResume is how long a run that an error paused rests before it resumes by itself. Negative: never. Defaults to 1 hour.
	AutoResume time.Duration
	// Clock tells the time. Defaults to SystemClock.
	Clock Clock
	// Connectors are read while the engine runs. Defaults to none.
	Connectors []Connector
	// Disk says when the store's disk is short of space. Defaults to never looking.
	Disk DiskOptions
	// ForgetAfter is how long an idempotency key is kept. Defaults to 24 hours.
	ForgetAfter time.Duration
	// Logger takes what an operator should know. Defaults to discarding it.
	Logger *slog.Logger
	// MaxCallbacks is how many callbacks of one run may wait to be handled. Defaults to 1,000.
	MaxCallbacks int
	// MaxObject is the largest object of a run, in bytes. Defaults to 1 MiB.
	MaxObject int
	// MaxVersions pauses a run that has made so many by itself, with no callback and no person in between: none circles for ever.
	// Defaults to 10,000.
	MaxVersions uint64
	// Meter takes measurements. Defaults to NoMeter.
	Meter Meter
	// NoHistoryObjects leaves the objects of earlier versions out of the history. Defaults to false.
	NoHistoryObjects bool
	// Random returns 64 random bits, from many goroutines. Defaults to math/rand/v2's Uint64.
	Random func() uint64
	// StepTimeout is the deadline of one invocation. Defaults to 30 seconds.
	StepTimeout time.Duration
	// Store keeps everything. The engine is its only writer; the caller closes it after Stop.
	Store Store
	// Streamer takes the events of the outbox. Defaults to none: the events stay in the store's log.
	Streamer Streamer
	// Relay bounds the batches that go to the Streamer.
	Relay RelayOptions
	// Tracer records what is done as spans of distributed traces. Defaults to none.
	Tracer Tracer
	// SideWorkers is how many tasks beside the runs are done at a time: hooks, erasures and schedules of each workflow, and intents.
	// Defaults to 16.
	SideWorkers int
	// Window is how many ready runs of one status are kept in memory; the rest wait in the store. Defaults to 1,024.
	Window int
	// Workers is how many invocations run at a time. Defaults to 16 for each processor.
	Workers int
}

// EnsureDefaults replaces each zero field by its default.
func (o *Options) EnsureDefaults() {
	if o.AutoResume == 0 {
		o.AutoResume = time.Hour
	}
	if o.Clock == nil {
		o.Clock = SystemClock{}
	}
	if o.ForgetAfter == 0 {
		o.ForgetAfter = 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxCallbacks == 0 {
		o.MaxCallbacks = 1000
	}
	if o.MaxObject == 0 {
		o.MaxObject = 1 << 20
	}
	if o.MaxVersions == 0 {
		o.MaxVersions = 10_000
	}
	if o.Meter == nil {
		o.Meter = NoMeter{}
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	if o.StepTimeout == 0 {
		o.StepTimeout = 30 * time.Second
	}
	if o.SideWorkers == 0 {
		o.SideWorkers = 16
	}
	if o.Window == 0 {
		o.Window = 1024
	}
	if o.Workers == 0 {
		o.Workers = 16 * runtime.GOMAXPROCS(0)
	}
	o.Disk.ensureDefaults()
	o.Relay.ensureDefaults()
	o.Connectors = slices.Clone(o.Connectors)
	for i := range o.Connectors {
		o.Connectors[i].ensureDefaults()
	}
}

// Validate reports all faults of the options at once. Call it after EnsureDefaults.
func (o *Options) Validate() error {
	var faults []error
	fault := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New("runtime: options: "+text))
		}
	}
	fault(o.Store == nil, "Store is required")
	fault(o.ForgetAfter < 0, "ForgetAfter must not be negative")
	fault(o.MaxCallbacks < 0, "MaxCallbacks must not be negative")
	fault(o.MaxObject < 0, "MaxObject must not be negative")
	fault(o.StepTimeout < 0, "StepTimeout must not be negative")
	fault(o.SideWorkers < 0, "SideWorkers must not be negative")
	fault(o.Window < 0, "Window must not be negative")
	fault(o.Workers < 0, "Workers must not be negative")
	for i := range o.Connectors {
		faults = append(faults, o.Connectors[i].validate())
		fault(slices.ContainsFunc(o.Connectors[:i], func(c Connector) bool { return c.Name == o.Connectors[i].Name }),
			"two connectors have the name "+o.Connectors[i].Name)
	}
	return errors.Join(append(faults, o.Disk.validate(), o.Relay.validate())...)
}

// Engine moves runs from their triggers to their ends. All its methods may be called from many goroutines.
type Engine struct {
	opt    Options                 // but for what is tunable
	tuned  atomic.Pointer[Options] // what is tunable, as it is now; replaced as a whole
	store  Store
	shards []*shard
	tasks  *dispatcher
	meters meters

	catalog    atomic.Pointer[Catalog]
	ctx        context.Context //nolint:containedctx // the life of the engine's own goroutines, from Start to Stop
	cancel     context.CancelFunc
	resync     chan struct{} // holds a token once the catalog has changed
	redriving  sync.Mutex    // serializes what is done with parked messages
	connectors []*connector
	owned      sync.WaitGroup // relays, refills and tasks beside the runs
	sides      lanes          // the tasks beside the runs
	started    atomic.Bool
	stopping   atomic.Bool
	disk       disk
	postponed  atomic.Int64 // the second in which it was last said that an invocation is put off
	troubleMu  sync.Mutex   // guards trouble and troubleAt: why events could not be published, and when that was last said
	trouble    string
	troubleAt  time.Time
	failed     chan struct{}
	failure    atomic.Pointer[error]
	failOnce   sync.Once
}

// New returns an engine that is not yet running and knows no workflow.
func New(opt Options) (*Engine, error) {
	opt.EnsureDefaults()
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{opt: opt, store: opt.Store, failed: make(chan struct{}), resync: make(chan struct{}, 1), meters: meters{meter: opt.Meter}}
	tuned := opt.Tunable()
	e.tuned.Store(&tuned)
	e.catalog.Store(NewCatalog())
	e.tasks = newDispatcher(e)
	e.sides = lanes{limit: opt.SideWorkers, places: map[lane]chan struct{}{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	for i := range opt.Store.Shards() {
		e.shards = append(e.shards, newShard(e, Shard(i)))
	}
	for _, c := range opt.Connectors {
		e.connectors = append(e.connectors, newConnector(e, c))
	}
	return e, nil
}

// Start takes ownership of the store's shards, finds the work that was left, and begins. It returns when the engine is ready.
// ctx bounds the start alone.
func (e *Engine) Start(ctx context.Context) error {
	var left []Queue
	for _, s := range e.shards {
		queues, err := s.open(ctx)
		if err != nil {
			return fmt.Errorf("runtime: start: %w", err)
		}
		left = append(left, queues...)
	}
	e.tasks.found(left)
	e.startRelay()
	e.owned.Go(e.guard)
	e.started.Store(true)
	for _, s := range e.shards {
		s.startTimers()
	}
	e.owned.Go(e.keepSchedules)
	for _, c := range e.connectors {
		if err := c.start(); err != nil {
			return err
		}
	}
	return nil
}

// Stop refuses new work, lets the invocations under way end and commits them, and waits until all is durable. When ctx ends
// first, invocations that still run are abandoned: their attempts do not count. The engine cannot be started again; stopping
// it again does nothing.
func (e *Engine) Stop(ctx context.Context) error {
	if e.stopping.Swap(true) {
		return nil
	}
	e.stopConnectors(ctx)
	for _, s := range e.shards {
		s.stopTimers()
	}
	err := e.tasks.stop(ctx)
	e.cancel()
	e.tasks.wait()
	e.owned.Wait()
	if err != nil {
		err = fmt.Errorf("runtime: stop: invocations were abandoned: %w", err)
	}
	if failure := e.Err(); failure != nil {
		return errors.Join(err, failure)
	}
	for _, s := range e.shards {
		s.close()
	}
	return errors.Join(err, e.observedAll(context.WithoutCancel(ctx)))
}

// stopConnectors stops all of them at the same time, before anything else: what they have done can still be made durable.
func (e *Engine) stopConnectors(ctx context.Context) {
	var stopped sync.WaitGroup
	for _, c := range e.connectors {
		stopped.Go(func() { c.stop(ctx) })
	}
	stopped.Wait()
}

// Catalog returns what new invocations use.
func (e *Engine) Catalog() *Catalog { return e.catalog.Load() }

// Failed is closed when the store has failed: the engine accepts nothing more and the process must stop.
func (e *Engine) Failed() <-chan struct{} { return e.failed }

// Err returns why the engine failed, or nil.
func (e *Engine) Err() error {
	if p := e.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// fail records the first failure of the store. Nothing is acknowledged after it.
func (e *Engine) fail(err error) {
	e.failOnce.Do(func() {
		e.failure.Store(&err)
		close(e.failed)
		e.opt.Logger.Error("the store failed; nothing more is accepted", "error", err)
		e.tasks.halt()
		e.cancel()
	})
}

// accepting returns why the engine takes no new work, or nil.
func (e *Engine) accepting() error {
	if err := e.Err(); err != nil {
		return err
	}
	if e.stopping.Load() || !e.started.Load() {
		return ErrStopping
	}
	return nil
}

// Stats returns a moment of the engine.
func (e *Engine) Stats() Stats {
	stats := e.tasks.stats()
	for _, s := range e.shards {
		inMemory, waiting := s.counts()
		stats.InMemory += inMemory
		stats.Waiting += waiting
		stats.Shards = append(stats.Shards, s.stats())
	}
	stats.OutboxAge, stats.OutboxLate = e.outboxAge()
	stats.OutboxFault = e.outboxFault(stats.OutboxAge)
	stats.Disk = e.disk.state()
	return stats
}

// share returns a random share in [0, 1).
func (e *Engine) share() float64 { return float64(e.opt.Random()>>11) / (1 << 53) }

// now is the present time in the form that records keep.
func (e *Engine) now() time.Time { return e.opt.Clock.Now().UTC().Round(0) }

// shardOf returns the shard that holds a run.
func (e *Engine) shardOf(id RunID) *shard { return e.shards[ShardOf(id.Slot(), len(e.shards))] }

// observed waits until all that the caller can have read of the shard so far is durable.
func (e *Engine) observed(ctx context.Context, s *shard) error {
	return e.durable(ctx, s, e.store.Applied(s.id))
}

// observedAll waits until all that the caller can have read so far is durable.
func (e *Engine) observedAll(ctx context.Context) error {
	applied := make([]LSN, len(e.shards))
	for i, s := range e.shards {
		applied[i] = e.store.Applied(s.id)
	}
	for i, s := range e.shards {
		if err := e.durable(ctx, s, applied[i]); err != nil {
			return err
		}
	}
	return nil
}

// durable waits until the shard is durable up to lsn. If it never will be, the engine has failed.
func (e *Engine) durable(ctx context.Context, s *shard, lsn LSN) error {
	err := e.store.WaitDurable(ctx, s.id, lsn)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("runtime: wait until durable: %w", err)
	if errors.Is(err, ErrStoreFailed) {
		e.fail(err)
	}
	return err
}
