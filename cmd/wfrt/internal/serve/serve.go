// Package serve puts a server together: store, engine, plugins and HTTP, each of which knows nothing of the others.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/backup"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/internal/telemetry"
	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
)

// Options says what to serve.
type Options struct {
	Config  config.Config
	FS      vfs.FS                        // of the store; nil: the machine's
	Level   *slog.LevelVar                // of the Logger; a reload sets it
	Load    func() (config.Config, error) // loads the configuration once more; its Faults are logged
	Logger  *slog.Logger
	Ready   func(Ready)      // told once, when requests are answered
	Reload  <-chan os.Signal // asks for a reload; nil: nobody does
	Version httpapi.Version
}

// Ready is what a server says of itself when it begins to answer.
type Ready struct {
	Address string // http://127.0.0.1:8080
	Shards  int    // of the store
	Plugins []host.Plugin
}

// Run serves until ctx ends, and then returns nil once all that was under way has ended and is durable. It returns early when
// something cannot be had (the address, the data directory), and when the store fails.
func Run(ctx context.Context, opt Options) (err error) {
	// The address first: it is the likeliest thing not to be had, and costs nothing to give back.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", opt.Config.Server.Listen)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	defer listener.Close() //nolint:errcheck // it is closed already when serving has ended
	s := &server{opt: opt, metrics: telemetry.New(opt.Version.Version, opt.Version.Commit)}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := s.assemble(); err != nil { //nolint:contextcheck // what it makes lives as long as the server
		return err
	}
	return s.serve(ctx, listener)
}

// server is what Run puts together.
type server struct {
	opt     Options
	metrics *telemetry.Metrics

	// What open opens; nil: it has not, or there is none.

	store   *pebblestore.Store
	kafka   *kafka
	tracing *telemetry.Tracing

	// What assemble makes.

	engine  *runtime.Engine
	plugins *host.Host
	handler *httpapi.Server
	reloads *reloader
}

// open opens what lies outside of the process. close follows, also after an error.
func (s *server) open(ctx context.Context) (err error) {
	cfg := &s.opt.Config
	if err := makeFolders(cfg); err != nil {
		return err
	}
	if s.store, err = openStore(s.opt, s.metrics); err != nil {
		return err
	}
	if s.kafka, err = openKafka(cfg, s.opt.Logger, s.metrics.Registry()); err != nil {
		return err
	}
	s.tracing, err = openTracing(ctx, s.opt)
	return err
}

// close closes what open opened.
func (s *server) close(ctx context.Context) error {
	if s.tracing != nil {
		closeTracing(ctx, s.opt, s.tracing)
	}
	if s.kafka != nil {
		s.kafka.close()
	}
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}

// assemble makes the engine, the plugins' host and the HTTP interface, and tells each of the others that it needs.
func (s *server) assemble() (err error) {
	opt, cfg, metrics := s.opt, &s.opt.Config, s.metrics
	eopt := engineOptions(opt, metrics, s.tracing, s.store, s.kafka.streamer())
	if eopt.Connectors, err = connectors(cfg, opt.Logger, metrics.Registry()); err != nil {
		return err
	}
	eopt.Disk = runtime.DiskOptions{Free: s.store.FreeBytes, Hard: int64(cfg.Store.Disk.Hard), High: int64(cfg.Store.Disk.High)}
	if s.engine, err = runtime.New(eopt); err != nil {
		return err
	}
	swaps := &swapCounter{metrics: metrics}
	hopt := hostOptions(cfg, opt.Logger)
	hopt.Documents, hopt.Engine, hopt.Meter = s.store, s.engine, swaps
	if s.plugins, err = host.New(hopt); err != nil {
		return err
	}
	api := httpOptions(opt, s.engine, s.plugins, metrics)
	api.Backup = backups(cfg, s.store)
	if s.handler, err = httpapi.New(api); err != nil {
		return err
	}
	s.reloads = &reloader{opt: opt, engine: s.engine, plugins: s.plugins, handler: s.handler, metrics: metrics}
	s.reloads.running.Store(cfg)
	return errors.Join(metrics.WatchEngine(s.engine.Stats), metrics.WatchConnectors(s.engine.Connectors), metrics.WatchPlugins(swaps.stats(s.plugins)))
}

// serve loads the plugins, starts the engine and answers requests until ctx ends. What it began it ends before it returns.
func (s *server) serve(ctx context.Context, listener net.Listener) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	late, cancel := lateAfter(ctx, func() time.Duration { return s.reloads.running.Load().Server.ShutdownTimeout })
	defer cancel()
	tasks := newBeside()
	defer func() {
		stop(nil)
		err = errors.Join(err, stopAll(late, s.engine, tasks, s.plugins))
	}()
	loaded := make(chan error, 1)
	tasks.start("the first look at the plugins", func() { loaded <- s.plugins.Load(ctx) })
	select {
	case err := <-loaded:
		if ctx.Err() != nil {
			return nil // it was to end before it served
		}
		if err != nil {
			return err
		}
	case <-late.Done():
		return nil // stopAll says what is left
	}
	logger, cfg := s.opt.Logger, &s.opt.Config
	warnOfUnserved(logger, cfg, s.engine.Catalog())
	if err := s.engine.Start(ctx); err != nil {
		return err
	}
	tasks.start("the wait for the store", func() {
		select {
		case <-s.engine.Failed():
			stop(s.engine.Err())
		case <-ctx.Done():
		}
	})
	tasks.start("the first words with Kafka", func() { s.kafka.check(ctx) })
	tasks.start("a reload", func() { s.reloads.follow(ctx) })
	tasks.start("the care for canaries", func() { s.plugins.Tend(ctx) })
	if cfg.Plugins.Watch {
		tasks.start("a look at the plugins", func() {
			if err := s.plugins.Watch(ctx); err != nil {
				logger.Error("plugins are not watched any more: restart the server to take new ones", "error", err)
			}
		})
	}
	// Compiling leaves several times the memory that serving needs; the collector would give it back only much later.
	debug.FreeOSMemory()
	s.opt.Ready(Ready{Address: "http://" + listener.Addr().String(), Shards: s.store.Shards(), Plugins: s.plugins.Plugins()})
	if err := s.handler.Serve(ctx, listener); err != nil {
		return err
	}
	return s.engine.Err()
}

// backups returns what makes a backup in the folder backups of the data directory.
func backups(cfg *config.Config, store *pebblestore.Store) func(context.Context) (string, error) {
	var one sync.Mutex
	return func(context.Context) (string, error) {
		one.Lock()
		defer one.Unlock()
		dir := filepath.Join(cfg.DataDir, "backups", time.Now().UTC().Format("20060102T150405.000Z"))
		return dir, backup.Write(store, cfg.DataDir, dir)
	}
}

// warnOfUnserved names the workflows that the configuration speaks of and no plugin serves, and the statuses that it gives limits to and
// no handler is of: likely they are misspelt.
func warnOfUnserved(logger *slog.Logger, cfg *config.Config, c *runtime.Catalog) {
	for name, said := range cfg.Workflows {
		w := c.Workflow(name)
		if w == nil {
			logger.Warn("the configuration speaks of a workflow that no plugin serves", "workflow", name)
			continue
		}
		for status := range said.Steps {
			if s := w.Statuses[status]; s == nil || s.Step == nil && len(s.Callbacks)+len(s.Timeouts) == 0 {
				logger.Warn("the configuration has limits for a status that has no handler", "workflow", name, "status", status)
			}
		}
	}
}

// openTracing returns what sends spans; nil when none are to be sent.
func openTracing(ctx context.Context, opt Options) (*telemetry.Tracing, error) {
	t := &opt.Config.Tracing
	if t.Endpoint == "" {
		return nil, nil
	}
	headers, err := t.HeaderMap()
	if err != nil {
		return nil, err
	}
	return telemetry.NewTracing(ctx, telemetry.TracingOptions{
		Endpoint: t.Endpoint, Headers: headers, Logger: opt.Logger, Sample: t.SampleRatio, Service: t.ServiceName, Version: opt.Version.Version,
	})
}

// closeTracing sends the last spans. That some are lost is no reason to fail.
func closeTracing(ctx context.Context, opt Options, tracing *telemetry.Tracing) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := tracing.Close(ctx); err != nil {
		opt.Logger.Warn("tracing did not end well", "error", err)
	}
}

// FolderError says that a folder of the configuration is none and cannot be made.
type FolderError struct {
	What string // "data" or "plugins"
	Err  error  // names the path
}

func (e *FolderError) Error() string { return fmt.Sprintf("make the %s directory: %v", e.What, e.Err) }

func (e *FolderError) Unwrap() error { return e.Err }

// makeFolders makes what is not there of the folders that the server writes to and takes plugins from.
func makeFolders(cfg *config.Config) error {
	if err := os.MkdirAll(cfg.DataDir, 0o750); err != nil {
		return &FolderError{"data", err}
	}
	if err := os.MkdirAll(cfg.Plugins.Dir, 0o750); err != nil {
		return &FolderError{"plugins", err}
	}
	return nil
}

// openStore opens the store in the data directory.
func openStore(opt Options, metrics *telemetry.Metrics) (*pebblestore.Store, error) {
	cfg := &opt.Config
	store, err := pebblestore.Open(pebblestore.Options{
		CacheBytes: int64(cfg.Store.CacheBytes), Dir: filepath.Join(cfg.DataDir, "store"), FS: opt.FS, Logger: opt.Logger, Meter: metrics, Shards: cfg.Store.Shards,
	})
	if err != nil {
		return nil, err
	}
	if store.Shards() != cfg.Store.Shards {
		opt.Logger.Warn("store.shards has no effect: the number was fixed when the data directory was made",
			"configured", cfg.Store.Shards, "is", store.Shards())
	}
	return store, nil
}

// stopAll ends what Run has begun before late ends: the engine at once, whatever goes on beside it.
func stopAll(late context.Context, engine *runtime.Engine, tasks *beside, plugins *host.Host) error {
	stopped := make(chan error, 1)
	go func() { stopped <- engine.Stop(late) }()
	left := tasks.wait(late)
	err := <-stopped
	if errors.Is(err, engine.Err()) && engine.Err() != nil {
		err = nil // Run reports it
	}
	return errors.Join(err, left, plugins.Close(late))
}
