package host

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
)

// State says what a plugin does.
type State string

// States.
const (
	// StateServing is a plugin whose module takes invocations. Its file may meanwhile hold another module, which was
	// refused.
	StateServing State = "serving"
	// StateWaiting is a plugin whose module would take invocations, but every workflow it carries lacks a part.
	StateWaiting State = "waiting"
	// StateRefused is a plugin of which nothing serves.
	StateRefused State = "refused"
)

// Plugin is what people see of one plugin: a copy, taken at one moment.
type Plugin struct {
	Name        string // the file's name without ".wasm"
	File        string // the file's name
	State       State
	Error       string    // what is wrong, and what to do; "" when nothing is
	Digest      string    // of the module that serves, else of the one that was refused; 64 hexadecimal digits, or ""
	Size        int64     // of that module's file, in bytes
	Version     string    // of that module, as its author says; may be ""
	SDK         string    // what that module was made with; may be ""
	Workflows   []string  // that the module carries a part of, in alphabetical order
	LoadedAt    time.Time // when it began to serve; zero when nothing does
	Instances   int       // that exist now
	Invocations uint64    // since the process began, by all modules that the plugin has had
	Traps       uint64    // those of them that the guest did not survive
	Fuel        uint64    // used since the process began, likewise

	// Exceeded is how often an invocation exceeded a limit, likewise, by the name of its key in plugins.limits. It has every limit.
	Exceeded map[string]uint64
}

// Plugins returns every plugin, by name. It never waits for a load under way.
func (h *Host) Plugins() []Plugin {
	h.mu.Lock()
	defer h.mu.Unlock()
	plugins := make([]Plugin, 0, len(h.plugins))
	for _, file := range slices.Sorted(maps.Keys(h.plugins)) {
		p := h.plugins[file]
		if p.serving == nil && p.newer == nil && p.err == nil {
			continue // its first load is under way
		}
		plugins = append(plugins, h.describe(p))
	}
	return plugins
}

// Waiting returns what the workflows that are not served lack, by workflow.
func (h *Host) Waiting() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	waiting := make(map[string]string, len(h.waiting))
	for workflow, lack := range h.waiting {
		waiting[workflow] = lack.Error()
	}
	return waiting
}

// describe makes the view of one plugin. REQUIRES: h.mu.
func (h *Host) describe(p *plugin) Plugin {
	view := Plugin{Name: nameOf(p.file), File: p.file, State: StateRefused, LoadedAt: p.loadedAt}
	m := p.serving
	if m == nil {
		m = p.newer
	}
	if m != nil {
		view.Digest, view.Size = m.digest.String(), m.size
		view.Version, view.SDK = m.manifest.Version, m.manifest.SDK
		view.Workflows = workflowNames(m.manifest)
		view.Instances = m.pool.count()
	}
	view.Invocations, view.Traps, view.Fuel = p.totals.invocations.Load(), p.totals.traps.Load(), p.totals.fuel.Load()
	view.Exceeded = make(map[string]uint64, numLimits)
	for l := range numLimits {
		view.Exceeded[l.String()] = p.totals.exceeded[l].Load()
	}
	var troubles []string
	if p.err != nil {
		trouble := p.err.Error()
		if p.serving != nil {
			trouble = "the file as it is now does not serve, the module before it does: " + trouble
		}
		troubles = append(troubles, trouble)
	}
	if p.gone {
		troubles = append(troubles,
			"the file was removed; the module serves until the server restarts: put the file back, or restart")
	}
	if p.serving != nil {
		view.State = StateWaiting
		for _, workflow := range view.Workflows {
			if lack := h.waiting[workflow]; lack != nil {
				troubles = append(troubles, lack.Error())
			} else {
				view.State = StateServing
			}
		}
	}
	view.Error = strings.Join(troubles, "; ")
	return view
}

func workflowNames(m *abi.Manifest) []string {
	names := make([]string, len(m.Workflows))
	for i := range m.Workflows {
		names[i] = m.Workflows[i].Name
	}
	slices.Sort(names)
	return names
}
