package serve

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/internal/telemetry"
	"github.com/wfrt/wfrt/internal/webui"
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
			Backoff: cfg.Outbox.Backoff, Batch: cfg.Outbox.Batch, BatchBytes: int(cfg.Outbox.BatchBytes), LagAlert: orNever(cfg.Outbox.LagAlert),
			Linger: cfg.Outbox.Linger, Retention: orNever(cfg.Outbox.Retention),
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

// hostOptions is the plugins' part of the configuration, which it holds on to. What ties the host to others is not in it.
func hostOptions(cfg *config.Config, logger *slog.Logger) host.Options {
	r := &cfg.Engine.Retry
	return host.Options{
		Adjust:          func(w *runtime.Workflow) { adjust(w, cfg) },
		ArchiveDir:      filepath.Join(cfg.DataDir, "archive"),
		Canary:          host.CanaryRules(cfg.Plugins.Canary),
		CacheDir:        filepath.Join(cfg.DataDir, "modules"),
		DefaultLag:      cfg.Engine.Lag,
		DefaultLagAlert: cfg.Engine.LagAlert, DefaultParallelism: cfg.Engine.Parallelism,
		DefaultRetry: runtime.Retry{
			Initial: r.Initial, Max: r.Max, Factor: r.Factor, Attempts: uint32(r.Attempts),
		},
		Dir:              cfg.Plugins.Dir,
		Grants:           grants(cfg),
		Limits:           limits(&cfg.Plugins.Limits.PluginLimits),
		Logger:           logger,
		Overrides:        overrides(cfg),
		Secrets:          secrets(cfg),
		Steps:            steps(cfg),
		TotalMemoryBytes: int64(cfg.Plugins.Limits.TotalMemoryBytes),
		TrustedKeys:      cfg.Plugins.TrustedKeys,
	}
}

// limits is what bounds one plugin, or all.
func limits(l *config.PluginLimits) host.Limits {
	return host.Limits{
		CallDepth: l.CallDepth, Fuel: l.Fuel, HostBytes: int64(l.HostBytes), HostCalls: l.HostCalls, InstanceBytes: int64(l.InstanceBytes),
		InstanceCalls: l.InstanceCalls, Instances: l.Instances, Invocation: l.Timeout, LogBytes: int(l.LogBytes),
		MemoryBytes: int64(l.MemoryBytes), ObjectBytes: int(l.OutputBytes),
	}
}

// steps is what the configuration says of single statuses.
func steps(cfg *config.Config) map[string]map[string]host.StepLimits {
	all := make(map[string]map[string]host.StepLimits)
	for name, w := range cfg.Workflows {
		of := make(map[string]host.StepLimits)
		for status, step := range w.Steps {
			of[status] = host.StepLimits{
				Fuel: step.Fuel, HostBytes: int64(step.HostBytes), HostCalls: step.HostCalls, LogBytes: int(step.LogBytes),
				MemoryBytes: int64(step.MemoryBytes), ObjectBytes: int(step.OutputBytes), Timeout: step.Timeout,
			}
		}
		all[name] = of
	}
	return all
}

// overrides is what the configuration says of single plugins, besides what it grants them.
func overrides(cfg *config.Config) map[string]host.Override {
	all := make(map[string]host.Override, len(cfg.Plugins.Overrides))
	for name, o := range cfg.Plugins.Overrides {
		all[name] = host.Override{Isolation: host.Isolation(o.Isolation), Limits: limits(&o.Limits)}
	}
	return all
}

// httpOptions is the HTTP interface's part of the configuration.
func httpOptions(opt Options, engine *runtime.Engine, plugins *host.Host, metrics *telemetry.Metrics) httpapi.Options {
	s := &opt.Config.Server
	return httpapi.Options{
		AwaitMax: s.AwaitMax, Engine: engine, Hosts: names(s.Hosts), Logger: opt.Logger, MaxBody: int64(s.MaxBody),
		Metrics: metrics.Handler(), Page: webui.Handler(), Plugins: pluginHost{plugins}, StopTimeout: s.ShutdownTimeout / 2, Token: s.Token, Version: opt.Version,
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
		g := host.Grants{
			HTTP: make(map[string]host.HTTPGrant), Trigger: override.Grants.Trigger, Emit: override.Grants.Emit,
			Metrics: override.Grants.Metrics, Secrets: make(map[string]host.SecretGrant),
		}
		for name, rule := range override.Grants.Secrets {
			g.Secrets[name] = host.SecretGrant{Hosts: rule.Hosts, Inject: rule.Inject}
		}
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

// secrets is where the configuration has secrets. What it has in variables is taken once.
func secrets(cfg *config.Config) map[string]host.Secret {
	all := make(map[string]host.Secret, len(cfg.Plugins.Secrets))
	for name, s := range cfg.Plugins.Secrets {
		all[name] = host.Secret{File: s.File}
		if s.Env != "" {
			all[name] = host.Secret{Value: os.Getenv(s.Env)}
		}
	}
	return all
}
