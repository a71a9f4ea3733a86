package serve

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/internal/telemetry"
)

// pluginHost is the host as the HTTP interface sees it.
type pluginHost struct{ host *host.Host }

var _ httpapi.Plugins = pluginHost{}

// List implements httpapi.Plugins.
func (h pluginHost) List() []httpapi.Plugin {
	var list []httpapi.Plugin
	for _, p := range h.host.Plugins() {
		list = append(list, viewPlugin(&p))
	}
	return list
}

// Get implements httpapi.Plugins.
func (h pluginHost) Get(name string) (httpapi.PluginDetail, error) {
	p, ok := h.host.Plugin(name)
	if !ok {
		return httpapi.PluginDetail{}, httpapi.ErrUnknownPlugin
	}
	return viewDetail(&p), nil
}

// Deploy implements httpapi.Plugins.
func (h pluginHost) Deploy(ctx context.Context, d *httpapi.PluginDeployment) (httpapi.PluginDetail, error) {
	p, err := h.host.Deploy(ctx, &host.Deployment{
		Plugin: d.Name, Module: d.Module, Signature: d.Signature, Canary: d.Canary, Order: host.Order(d.PluginOrder),
	})
	return viewDetail(&p), pluginError(err)
}

// Rollback implements httpapi.Plugins.
func (h pluginHost) Rollback(ctx context.Context, name, to string, o httpapi.PluginOrder) (httpapi.PluginDetail, error) {
	p, err := h.host.Rollback(ctx, name, to, host.Order(o))
	return viewDetail(&p), pluginError(err)
}

// Promote implements httpapi.Plugins.
func (h pluginHost) Promote(ctx context.Context, name string, o httpapi.PluginOrder) (httpapi.PluginDetail, error) {
	p, err := h.host.Promote(ctx, name, host.Order(o))
	return viewDetail(&p), pluginError(err)
}

// Remove implements httpapi.Plugins.
func (h pluginHost) Remove(ctx context.Context, name string, o httpapi.PluginOrder) error {
	return pluginError(h.host.Remove(ctx, name, host.Order(o)))
}

// pluginError says in the words of the HTTP interface what the host refused.
func pluginError(err error) error {
	var refused *host.RefusedError
	switch {
	case errors.Is(err, host.ErrUnknownPlugin):
		return httpapi.ErrUnknownPlugin
	case errors.As(err, &refused):
		told := &httpapi.PluginRefusedError{Detail: refused.Error()}
		for _, l := range refused.Left {
			told.Left = append(told.Left, httpapi.RunsLeft(l))
		}
		return told
	default:
		return err
	}
}

func viewPlugin(p *host.Plugin) httpapi.Plugin {
	view := httpapi.Plugin{
		Name: p.Name, File: p.File, Digest: p.Digest, FileDigest: p.FileDigest, Loading: p.Loading, Version: p.Version, SDK: p.SDK, Workflows: p.Workflows,
		State: string(p.State), Error: p.Error, Note: p.Note, Size: p.Size, LoadedAt: p.LoadedAt, How: string(p.How), By: p.By,
		Instances: p.Instances, Invocations: p.Invocations, Traps: p.Traps,
		Isolation: string(p.Isolation), Unrestorable: p.Unrestorable,
	}
	for _, c := range p.Capabilities {
		view.Capabilities = append(view.Capabilities, httpapi.Capability{What: c.What, Granted: c.Granted, Key: c.Key})
	}
	if k := p.Canary; k != nil {
		view.Canary = &httpapi.PluginCanary{
			Digest: k.Digest, Percent: k.Share * 100, Since: k.Since, By: k.By, Invocations: k.Invocations, Errors: k.Errors,
		}
	}
	return view
}

func viewDetail(p *host.Plugin) httpapi.PluginDetail {
	view := httpapi.PluginDetail{Plugin: viewPlugin(p)}
	if p.Ended != nil {
		view.Ended = &httpapi.PluginTrial{Digest: p.Ended.Digest, At: p.Ended.At, Cause: p.Ended.Cause}
	}
	for i := range p.Versions {
		v := &p.Versions[i]
		shown := httpapi.PluginVersion{
			Digest: v.Digest, Version: v.Version, SDK: v.SDK, Size: v.Size, State: "kept", DeployedAt: v.DeployedAt, How: string(v.How), By: v.By,
		}
		switch {
		case v.Serves:
			shown.State = "serving"
		case p.Canary != nil && p.Canary.Digest == v.Digest:
			shown.State = "canary"
		case v.Needed:
			shown.State = "needed"
		}
		view.Versions = append(view.Versions, shown)
	}
	return view
}

// swapCounter counts how often each plugin's module was replaced. Everything else that is measured of a plugin, the host counts
// itself.
type swapCounter struct {
	host.NoMeter
	metrics *telemetry.Metrics // takes what plugins measure, and times

	mu    sync.Mutex
	loads map[string]uint64 // by plugin, those that served
}

// Plugin implements host.Meter.
func (c *swapCounter) Plugin(name string) host.PluginMeter {
	return pluginMeter{counter: c, name: name}
}

type pluginMeter struct {
	host.NoMeter
	counter *swapCounter
	name    string
}

// Loaded implements host.PluginMeter.
func (m pluginMeter) Loaded(result host.LoadResult) {
	m.counter.metrics.PluginLoaded(m.name, string(result))
	if result == host.LoadRemoved {
		m.counter.metrics.PluginRemoved(m.name)
	}
	if result != host.LoadServed {
		return
	}
	m.counter.mu.Lock()
	defer m.counter.mu.Unlock()
	if m.counter.loads == nil {
		m.counter.loads = make(map[string]uint64)
	}
	m.counter.loads[m.name]++
}

// Waited implements host.PluginMeter.
func (m pluginMeter) Waited(d time.Duration) { m.counter.metrics.PoolWaited(m.name, d) }

// Measured implements host.PluginMeter.
func (m pluginMeter) Measured(one host.Measurement) error {
	return m.counter.metrics.Measure(m.name, telemetry.MeasureKind(one.Kind), one.Name, one.Labels, one.Value)
}

// stats returns a function that reads a moment of all plugins.
func (c *swapCounter) stats(h *host.Host) func() []telemetry.PluginStats {
	return func() []telemetry.PluginStats {
		c.mu.Lock()
		defer c.mu.Unlock()
		var all []telemetry.PluginStats
		for _, p := range h.Plugins() {
			s := telemetry.PluginStats{
				Plugin: p.File, Instances: p.Instances, Invocations: p.Invocations, Traps: p.Traps, Fuel: p.Fuel, Exceeded: p.Exceeded,
				Untrusted: p.Untrusted,
			}
			if loads := c.loads[p.Name]; loads > 0 {
				s.Swaps = loads - 1
			}
			all = append(all, s)
		}
		return all
	}
}
