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
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cfg := &opt.Config

	// The address first: it is the likeliest thing not to be had, and costs nothing to give back.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Server.Listen)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	defer listener.Close() //nolint:errcheck // it is closed already when serving has ended
	metrics := telemetry.New(opt.Version.Version, opt.Version.Commit)
	if err := makeFolders(cfg); err != nil {
		return err
	}
	store, err := openStore(opt, metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	kafka, err := openKafka(cfg, opt.Logger, metrics.Registry())
	if err != nil {
		return err
	}
	defer kafka.close()
	tracing, err := openTracing(ctx, opt)
	if err != nil {
		return err
	}
	if tracing != nil {
		defer func() { closeTracing(ctx, opt, tracing) }()
	}
	eopt := engineOptions(opt, metrics, tracing, store, kafka.streamer())
	eopt.Connectors, err = connectors(cfg, opt.Logger, metrics.Registry()) //nolint:contextcheck // a source lives as long as its engine
	if err != nil {
		return err
	}
	eopt.Disk = runtime.DiskOptions{Free: store.FreeBytes, Hard: int64(cfg.Store.Disk.Hard), High: int64(cfg.Store.Disk.High)}
	engine, err := runtime.New(eopt)
	if err != nil {
		return err
	}
	reloads := &reloader{opt: opt, engine: engine, metrics: metrics}
	reloads.running.Store(cfg)
	swaps := &swapCounter{metrics: metrics}
	hopt := hostOptions(cfg, opt.Logger)
	hopt.Documents, hopt.Engine, hopt.Meter = store, engine, swaps
	plugins, err := host.New(hopt)
	if err != nil {
		return err
	}
	api := httpOptions(opt, engine, plugins, metrics)
	api.Backup = backups(cfg, store)
	handler, err := httpapi.New(api)
	if err != nil {
		return err
	}
	reloads.plugins, reloads.handler = plugins, handler
	if err := errors.Join(metrics.WatchEngine(engine.Stats), metrics.WatchConnectors(engine.Connectors), metrics.WatchPlugins(swaps.stats(plugins))); err != nil {
		return err
	}

	late, cancel := lateAfter(ctx, func() time.Duration { return reloads.running.Load().Server.ShutdownTimeout })
	defer cancel()
	beside := newBeside()
	defer func() {
		stop(nil)
		err = errors.Join(err, stopAll(late, engine, beside, plugins))
	}()
	loaded := make(chan error, 1)
	beside.start("the first look at the plugins", func() { loaded <- plugins.Load(ctx) })
	select {
	case err := <-loaded:
		if err != nil {
			return err
		}
	case <-late.Done():
		return nil // beside says what is left
	}
	warnOfUnserved(opt.Logger, cfg, engine.Catalog())
	if err := engine.Start(ctx); err != nil {
		return err
	}
	beside.start("the wait for the store", func() {
		select {
		case <-engine.Failed():
			stop(engine.Err())
		case <-ctx.Done():
		}
	})
	beside.start("the first words with Kafka", func() { kafka.check(ctx) })
	beside.start("a reload", func() { reloads.follow(ctx) })
	beside.start("the care for canaries", func() { plugins.Tend(ctx) })
	if cfg.Plugins.Watch {
		beside.start("a look at the plugins", func() {
			if err := plugins.Watch(ctx); err != nil {
				opt.Logger.Error("plugins are not watched any more: restart the server to take new ones", "error", err)
			}
		})
	}
	// Compiling leaves several times the memory that serving needs; the collector would give it back only much later.
	debug.FreeOSMemory()
	opt.Ready(Ready{Address: "http://" + listener.Addr().String(), Shards: store.Shards(), Plugins: plugins.Plugins()})
	if err := handler.Serve(ctx, listener); err != nil {
		return err
	}
	return engine.Err()
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

// warnOfUnserved names the workflows that the configuration speaks of and no plugin serves: likely they are misspelt.
func warnOfUnserved(logger *slog.Logger, cfg *config.Config, c *runtime.Catalog) {
	for name := range cfg.Workflows {
		if c.Workflow(name) == nil {
			logger.Warn("the configuration speaks of a workflow that no plugin serves", "workflow", name)
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
func stopAll(late context.Context, engine *runtime.Engine, beside *beside, plugins *host.Host) error {
	stopped := make(chan error, 1)
	go func() { stopped <- engine.Stop(late) }()
	left := beside.wait(late)
	err := <-stopped
	if errors.Is(err, engine.Err()) && engine.Err() != nil {
		err = nil // Run reports it
	}
	return errors.Join(err, left, plugins.Close(late))
}
