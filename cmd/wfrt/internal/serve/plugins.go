package serve

import (
	"sync"

	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/internal/telemetry"
)

// pluginList shows the host's plugins to the HTTP interface.
type pluginList struct{ host *host.Host }

// List implements httpapi.Plugins.
func (l pluginList) List() []httpapi.Plugin {
	var list []httpapi.Plugin
	for _, p := range l.host.Plugins() {
		list = append(list, httpapi.Plugin{
			Name: p.Name, File: p.File, Digest: p.Digest, Version: p.Version, SDK: p.SDK, Workflows: p.Workflows,
			State: string(p.State), Error: p.Error, Size: p.Size, LoadedAt: p.LoadedAt, Instances: p.Instances, Invocations: p.Invocations,
		})
	}
	return list
}

// swapCounter counts how often each plugin's module was replaced. Everything else that is measured of a plugin, the host counts
// itself.
type swapCounter struct {
	host.NoMeter

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
func (m pluginMeter) Loaded(served bool) {
	if !served {
		return
	}
	m.counter.mu.Lock()
	defer m.counter.mu.Unlock()
	if m.counter.loads == nil {
		m.counter.loads = make(map[string]uint64)
	}
	m.counter.loads[m.name]++
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
			}
			if loads := c.loads[p.Name]; loads > 0 {
				s.Swaps = loads - 1
			}
			all = append(all, s)
		}
		return all
	}
}
