package host

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
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
	Name         string // the file's name without ".wasm"
	File         string // the file's name
	State        State
	Error        string    // what is wrong, and what to do; "" when nothing is
	Note         string    // what is worth knowing and not wrong; may be ""
	Digest       string    // of the module that serves, else of the one that was refused; 64 hexadecimal digits, or ""
	FileDigest   string    // of what was last read of the file, whether it serves or not; "" when it could not be read or is not trusted
	Loading      bool      // a module is being made of the file, or of what is deployed under its name
	Size         int64     // of that module's file, in bytes
	Version      string    // of that module, as its author says; may be ""
	SDK          string    // what that module was made with; may be ""
	Workflows    []string  // that the module carries a part of, in alphabetical order
	LoadedAt     time.Time // when it began to serve; zero when nothing does
	How          How       // in what way it came to serve
	By           string    // who had it serve, as they said; may be ""
	Instances    int       // that exist now, of all its modules
	Isolation    Isolation // of that module
	Unrestorable string    // why each of its invocations makes an instance of its own, with IsolationFresh; "": it does not
	Invocations  uint64    // since the process began, by all modules that the plugin has had
	Traps        uint64    // those of them that the guest did not survive
	Fuel         uint64    // used since the process began, likewise
	Canary       *Canary   // what is on trial; nil: nothing
	Ended        *Ended    // the last trial that ended without a promotion; nil: none did
	Versions     []Version // that can serve again, the newest first

	// Exceeded is how often an invocation exceeded a limit, likewise, by the name of its key in plugins.limits. It has every limit.
	Exceeded map[string]uint64
	// Capabilities are what the module asks for.
	Capabilities []Capability
	// Untrusted says that a module of the plugin is in use which would not be trusted now; Error says more.
	Untrusted bool
}

// Canary is a module on trial.
type Canary struct {
	Digest      string
	Share       float64 // of the new runs, in (0, 1)
	Since       time.Time
	By          string
	Invocations int // of its module within the window of the trial
	Errors      int // those of them that failed
}

// Ended is a trial that ended without a promotion.
type Ended struct {
	Digest string
	At     time.Time
	Cause  string
}

// Version is a module that a plugin has had.
type Version struct {
	Digest     string
	Size       int64
	Version    string // as its author says; may be ""
	SDK        string // may be ""
	DeployedAt time.Time
	How        How
	By         string
	Serves     bool
	Needed     bool // runs go by it although it does not serve
}

// Plugins returns every plugin, by name. It never waits for a load under way.
func (h *Host) Plugins() []Plugin {
	h.mu.Lock()
	defer h.mu.Unlock()
	plugins := make([]Plugin, 0, len(h.plugins))
	for _, file := range slices.Sorted(maps.Keys(h.plugins)) {
		p := h.plugins[file]
		if e := h.ledger.Plugins[nameOf(file)]; p.newer == nil && p.err == nil && (e == nil || e.Active == (activation{})) {
			continue // its first load is under way, or an operator has removed it
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

// Plugin returns one plugin, and false when there is none of that name.
func (h *Host) Plugin(name string) (Plugin, bool) {
	for _, p := range h.Plugins() {
		if p.Name == name {
			return p, true
		}
	}
	return Plugin{}, false
}

// view makes the view of the plugin of a file.
func (h *Host) view(file string) Plugin {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.plugins[file]
	if p == nil {
		return Plugin{Name: nameOf(file), File: file, State: StateRefused}
	}
	return h.describe(p)
}

// describe makes the view of one plugin. REQUIRES: h.mu.
func (h *Host) describe(p *plugin) Plugin {
	name := nameOf(p.file)
	view := Plugin{Name: name, File: p.file, State: StateRefused, Loading: h.building[p.file] > 0}
	if p.tried != (runtime.Digest{}) {
		view.FileDigest = p.tried.String()
	}
	serving := h.serving(p.file)
	m := serving
	if m == nil {
		m = p.newer
	}
	if m != nil {
		view.Digest, view.Size = m.digest.String(), m.size
		view.Version, view.SDK = m.manifest.Version, m.manifest.SDK
		view.Workflows = workflowNames(m.manifest)
		view.Capabilities = m.caps.Load().list()
		if view.Isolation = m.isolation; m.isolation == IsolationFresh {
			view.Unrestorable = m.unrestorable
		}
	}
	for key, loaded := range h.modules {
		if key.Plugin == name {
			view.Instances += loaded.pool.count()
		}
	}
	view.Invocations, view.Traps, view.Fuel = p.totals.invocations.Load(), p.totals.traps.Load(), p.totals.fuel.Load()
	view.Exceeded = make(map[string]uint64, numLimits)
	for l := range numLimits {
		view.Exceeded[l.String()] = p.totals.exceeded[l].Load()
	}
	if e := h.ledger.Plugins[name]; e != nil {
		h.describeLedger(&view, p, e)
	}
	var troubles []string
	if p.err != nil {
		trouble := p.err.Error()
		if serving != nil {
			trouble = "the file as it is now does not serve, the module before it does: " + trouble
		}
		troubles = append(troubles, trouble)
	}
	for _, p := range slices.SortedFunc(maps.Keys(h.distrusted), partOf.compare) {
		if _, used := h.modules[p]; used && p.Plugin == name {
			view.Untrusted = true
			troubles = append(troubles, fmt.Sprintf("version %s, which is in use, would not be loaded now, and goes on until the next start: %v",
				digestOf(p.Digest), h.distrusted[p]))
		}
	}
	if serving != nil {
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

// describeLedger adds what the ledger has of a plugin.
func (h *Host) describeLedger(view *Plugin, p *plugin, e *entry) {
	view.LoadedAt, view.How, view.By = e.Active.At, e.Active.How, e.Active.By
	switch {
	case p.gone && e.Active.How == HowFile:
		view.Note = "the file was removed; the module serves on until wfrt plugins remove " + view.Name
	case p.tried != (runtime.Digest{}) && p.newer == nil && p.tried != e.Active.Digest && p.tried == e.Seen:
		view.Note = fmt.Sprintf("the file in the plugins directory holds version %s, and an operator had another serve since; it is "+
			"loaded when it changes", digestOf(p.tried))
	}
	if k := e.Canary; k != nil {
		view.Canary = &Canary{Digest: k.Digest.String(), Share: k.Share, Since: k.At, By: k.By}
		if p.trial != nil {
			c := p.trial.tally()
			view.Canary.Invocations, view.Canary.Errors = c.all, c.errors
		}
	}
	if end := e.Ended; end != nil {
		view.Ended = &Ended{Digest: end.Digest.String(), At: end.At, Cause: end.Cause}
	}
	for i := len(e.Versions) - 1; i >= 0; i-- {
		v := &e.Versions[i]
		view.Versions = append(view.Versions, Version{
			Digest: v.Digest.String(), Size: v.Size, Version: v.Version, SDK: v.SDK, DeployedAt: v.DeployedAt, How: v.How, By: v.By,
			Serves: v.Digest == e.Active.Digest, Needed: h.ledger.needs(view.Name, v.Digest),
		})
	}
}

func workflowNames(m *abi.Manifest) []string {
	names := make([]string, len(m.Workflows))
	for i := range m.Workflows {
		names[i] = m.Workflows[i].Name
	}
	slices.Sort(names)
	return names
}
