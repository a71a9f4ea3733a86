package serve

import (
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/internal/telemetry"
	"github.com/wfrt/wfrt/runtime"
)

// engineOptions is the engine's part of the configuration.
func engineOptions(
	opt Options, metrics *telemetry.Metrics, tracing *telemetry.Tracing, store runtime.Store, streamer runtime.Streamer,
) runtime.Options {
	cfg := &opt.Config
	e := &cfg.Engine
	o := runtime.Options{
		AutoResume: orNever(e.AutoResume), ForgetAfter: e.ForgetAfter, Logger: opt.Logger, MaxObject: int(e.MaxObject), MaxVersions: uint64(e.MaxVersions),
		Meter: metrics, NoHistoryObjects: !e.HistoryObjects, SideWorkers: e.SideWorkers, StepTimeout: e.StepTimeout, Store: store,
		Streamer: streamer, Window: e.Window, Workers: e.Workers,
		Relay: runtime.RelayOptions{
			Backoff: cfg.Outbox.Backoff, Batch: cfg.Outbox.Batch, Linger: cfg.Outbox.Linger, Retention: orNever(cfg.Outbox.Retention),
		},
	}
	if tracing != nil {
		o.Tracer = tracing
	}
	return o
}

// orNever turns the 0 of the configuration, which says never or for ever, into the negative number that says so in Go.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// hostOptions is the plugins' part of the configuration. What ties the host to others is not in it.
func hostOptions(cfg *config.Config, logger *slog.Logger) host.Options {
	l, r := &cfg.Plugins.Limits, &cfg.Engine.Retry
	return host.Options{
		CacheDir:        filepath.Join(cfg.DataDir, "modules"),
		DefaultLagAlert: cfg.Engine.LagAlert, DefaultParallelism: cfg.Engine.Parallelism,
		DefaultRetry: runtime.Retry{
			Initial: r.Initial, Max: r.Max, Factor: r.Factor, Attempts: uint32(r.Attempts),
		},
		Dir:    cfg.Plugins.Dir,
		Grants: grants(cfg),
		Limits: host.Limits{
			Instances: l.Instances, Invocation: l.Timeout, LogBytes: int(l.LogBytes), MemoryBytes: int64(l.MemoryBytes),
			TotalMemoryBytes: int64(l.TotalMemoryBytes),
			ObjectBytes:      int(l.OutputBytes),
		},
		Logger:      logger,
		TrustedKeys: cfg.Plugins.TrustedKeys,
	}
}

// httpOptions is the HTTP interface's part of the configuration.
func httpOptions(opt Options, engine *runtime.Engine, plugins *host.Host, metrics *telemetry.Metrics) httpapi.Options {
	s := &opt.Config.Server
	return httpapi.Options{
		AwaitMax: s.AwaitMax, Engine: engine, Hosts: names(s.Hosts), Logger: opt.Logger, MaxBody: int64(s.MaxBody),
		Metrics: metrics.Handler(), Plugins: pluginList{plugins}, StopTimeout: s.ShutdownTimeout, Token: s.Token, Version: opt.Version,
	}
}

// names splits "a, b" into its names, in lower case.
func names(list string) []string {
	return strings.FieldsFunc(strings.ToLower(list), func(r rune) bool { return r == ',' || r == ' ' })
}

// grants is what the configuration lets single plugins do.
func grants(cfg *config.Config) map[string]host.Grants {
	all := make(map[string]host.Grants, len(cfg.Plugins.Overrides))
	for plugin, override := range cfg.Plugins.Overrides {
		g := host.Grants{HTTP: make(map[string]host.HTTPGrant), Trigger: override.Grants.Trigger}
		for name, rule := range override.Grants.HTTP {
			networks, private, _ := rule.Private() // it has been checked
			g.HTTP[name] = host.HTTPGrant{
				Address: rule.Address, AllowPrivate: private, Networks: networks, Methods: rule.Methods,
				RequestBytes: int64(rule.RequestBytes), ResponseBytes: int64(rule.ResponseBytes), Timeout: rule.Timeout,
			}
		}
		all[plugin] = g
	}
	return all
}
