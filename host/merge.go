package host

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// defaults hold for handlers whose manifest says nothing.
type defaults struct {
	retry    runtime.Retry
	lag      time.Duration
	lagAlert time.Duration
	parallel int
	steps    map[string]map[string]StepLimits // by workflow and status
	adjust   func(*runtime.Workflow)          // changes what the manifests say of a whole definition; nil: nothing does
}

// part is what one module brings to the merge.
type part struct {
	file     string
	digest   runtime.Digest
	manifest *abi.Manifest
	module   *runtime.Module // the bound of its handlers; may be nil
	invoker  invokers
}

// merged is what a list of parts makes together.
type merged struct {
	workflows  []*runtime.Workflow // the complete ones, by name
	parts      map[string][]partOf // what each of them is made of
	conflicts  []conflict          // of two parts that cannot serve at the same time
	incomplete map[string]error    // workflow → what it lacks
}

// conflict says that a part contradicts one that comes before it in the list.
type conflict struct {
	part  int // the index of the later part
	cause error
}

// merge makes definitions of parts. A part that contradicts one before it brings nothing of that workflow and is reported;
// a workflow that lacks something is not made, and what it lacks is reported. It is a pure function: equal lists give equal
// results.
func merge(parts []part, d defaults) merged {
	result := merged{incomplete: make(map[string]error), parts: make(map[string][]partOf)}
	byName := make(map[string]*assembly)
	var names []string
	for index := range parts {
		p := &parts[index]
		for w := range p.manifest.Workflows {
			declared := &p.manifest.Workflows[w]
			a := byName[declared.Name]
			if a == nil {
				a = newAssembly(declared.Name)
				byName[declared.Name] = a
				names = append(names, declared.Name)
			}
			if err := a.add(p, declared); err != nil {
				result.conflicts = append(result.conflicts, conflict{part: index, cause: err})
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		w, err := byName[name].finish(d)
		if err != nil {
			result.incomplete[name] = err
			continue
		}
		for _, p := range byName[name].pieces {
			result.parts[name] = append(result.parts[name], partOf{nameOf(p.part.file), p.part.digest})
		}
		w.Digest = digestOfParts(result.parts[name])
		if d.adjust != nil {
			d.adjust(w)
		}
		result.workflows = append(result.workflows, w)
	}
	return result
}

// assembly collects the parts of one workflow. All handlers of one status are in one part.
type assembly struct {
	name      string
	pieces    []piece
	owners    map[string]*part // status → who handles it
	terminal  map[string]*part // status → who declared it terminal first
	hooks     map[string]*part // name → whose it is
	schedules map[string]*part // name → whose it is
	connects  map[string]*part // name of a connector's function → whose it is
	eraser    *part            // who has the erase function
	start     string           // as a part declares it
	starter   *part            // that part
}

type piece struct {
	part     *part
	declared *abi.Workflow
}

func newAssembly(workflow string) *assembly {
	return &assembly{
		name: workflow, owners: make(map[string]*part), terminal: make(map[string]*part), hooks: make(map[string]*part),
		schedules: make(map[string]*part), connects: make(map[string]*part),
	}
}

// add takes a part in, or says what it contradicts and takes nothing of it.
func (a *assembly) add(p *part, w *abi.Workflow) error {
	if other, cause := a.contradiction(w); other != nil {
		return fmt.Errorf("workflow %s: %s", a.name, cause)
	}
	for i := range w.Handlers {
		switch h := &w.Handlers[i]; {
		case handlesStatus(h):
			a.owners[h.Status] = p
		case h.Kind == abi.KindHook:
			a.hooks[h.Name] = p
		case h.Kind == abi.KindErase:
			a.eraser = p
		case h.Kind == abi.KindConnector:
			a.connects[h.Name] = p
		}
	}
	for _, status := range w.Terminal {
		if a.terminal[status] == nil {
			a.terminal[status] = p
		}
	}
	for i := range w.Schedules {
		a.schedules[w.Schedules[i].Name] = p
	}
	if w.Start != "" && a.starter == nil {
		a.start, a.starter = w.Start, p
	}
	a.pieces = append(a.pieces, piece{part: p, declared: w})
	return nil
}

// contradiction returns the part that a further one contradicts, and how; nil when it fits.
func (a *assembly) contradiction(w *abi.Workflow) (other *part, cause string) {
	if other = a.starter; other != nil && w.Start != "" && w.Start != a.start {
		return other, fmt.Sprintf("it starts in %q, and in %s it starts in %q: let both say the same, or only one",
			w.Start, other.file, a.start)
	}
	for i := range w.Handlers {
		if other, cause = a.handlerContradiction(&w.Handlers[i]); other != nil {
			return other, cause
		}
	}
	for _, status := range w.Terminal {
		if other = a.owners[status]; other != nil {
			return other, fmt.Sprintf("status %q, which it calls terminal, is handled by %s: make it external here",
				status, other.file)
		}
	}
	for i := range w.Schedules {
		name := w.Schedules[i].Name
		if other = a.schedules[name]; other != nil {
			return other, fmt.Sprintf("the schedule %q is already in %s: give one of the two another name", name, other.file)
		}
	}
	return nil, ""
}

func (a *assembly) handlerContradiction(h *abi.Handler) (other *part, cause string) {
	switch {
	case handlesStatus(h):
		if other = a.owners[h.Status]; other != nil {
			return other, fmt.Sprintf("status %q is already handled by %s: remove it from one of the two", h.Status, other.file)
		}
		if other = a.terminal[h.Status]; other != nil {
			return other, fmt.Sprintf("status %q, which it handles, is terminal in %s: make it external there",
				h.Status, other.file)
		}
	case h.Kind == abi.KindHook:
		if other = a.hooks[h.Name]; other != nil {
			return other, fmt.Sprintf("the hook %q is already in %s: give one of the two another name", h.Name, other.file)
		}
	case h.Kind == abi.KindConnector:
		if other = a.connects[h.Name]; other != nil {
			return other, fmt.Sprintf("the connector %q is already in %s: give one of the two another name", h.Name, other.file)
		}
	case h.Kind == abi.KindErase:
		if other = a.eraser; other != nil {
			return other, other.file + " already has an erase function, of which there is one: remove it from one of the two"
		}
	}
	return nil, ""
}

// finish makes the definition, or says what the workflow lacks.
func (a *assembly) finish(d defaults) (*runtime.Workflow, error) {
	if len(a.pieces) == 0 {
		return nil, fmt.Errorf("workflow %s: no module that carries it can serve", a.name)
	}
	if err := a.complete(); err != nil {
		return nil, err
	}
	start, err := a.findStart()
	if err != nil {
		return nil, err
	}
	w := &runtime.Workflow{Name: a.name, Start: start, Statuses: make(map[string]*runtime.Status)}
	for status := range a.terminal {
		w.Statuses[status] = &runtime.Status{Name: status, Terminal: true}
	}
	for status := range a.owners {
		w.Statuses[status] = &runtime.Status{Name: status}
	}
	for _, p := range a.pieces {
		p.join(w, d)
		w.Pinned = w.Pinned || p.declared.Versions == abi.VersionsPinned
	}
	return w, nil
}

// complete says which status that a part relies on is nobody's, or nil.
func (a *assembly) complete() error {
	for _, p := range a.pieces {
		for _, status := range p.declared.External {
			if a.owners[status] == nil && a.terminal[status] == nil {
				return fmt.Errorf("workflow %s: status %q, which %s leaves to another module, is handled by none: add the "+
					"module that handles it, or declare it terminal", a.name, status, p.part.file)
			}
		}
		for i := range p.declared.Schedules {
			s := &p.declared.Schedules[i]
			if s.StartAt != "" && a.owners[s.StartAt] == nil {
				return fmt.Errorf("workflow %s: the schedule %q of %s starts at %q, which is handled by no module: add the "+
					"module that handles it, or let it start elsewhere", a.name, s.Name, p.part.file, s.StartAt)
			}
		}
	}
	return nil
}

// findStart returns the declared start; else the only handled status that no other leads to; else, of a workflow in one
// module, the status of its first handler that has one.
func (a *assembly) findStart() (string, error) {
	if a.starter != nil {
		if a.owners[a.start] == nil {
			return "", fmt.Errorf("workflow %s: its start %q, which %s declares, is handled by no module: add the module that "+
				"handles it", a.name, a.start, a.starter.file)
		}
		return a.start, nil
	}
	reached := make(map[string]bool)
	first := ""
	for _, p := range a.pieces {
		for i := range p.declared.Handlers {
			h := &p.declared.Handlers[i]
			if first == "" && handlesStatus(h) {
				first = h.Status
			}
			for _, to := range h.To {
				if to != h.Status {
					reached[to] = true
				}
			}
		}
	}
	var candidates []string
	for status := range a.owners {
		if !reached[status] {
			candidates = append(candidates, status)
		}
	}
	slices.Sort(candidates)
	switch {
	case first == "":
		return "", fmt.Errorf("workflow %s: no module handles a status of it: add the module with its steps", a.name)
	case len(candidates) == 1:
		return candidates[0], nil
	case len(a.pieces) == 1:
		return first, nil
	case len(candidates) == 0:
		return "", fmt.Errorf("workflow %s: every status is led to by another, so its start is not plain: say w.Start in one "+
			"module", a.name)
	default:
		return "", fmt.Errorf("workflow %s: its start could be any of %s: say w.Start in one module",
			a.name, strings.Join(candidates, ", "))
	}
}

// join enters everything that a part carries into the definition, which has the statuses already.
func (p *piece) join(w *runtime.Workflow, d defaults) {
	byID := make(map[int32]*runtime.Handler, len(p.declared.Handlers))
	for i := range p.declared.Handlers {
		h := &p.declared.Handlers[i]
		made := p.part.handler(w.Name, h, d)
		byID[h.ID] = made
		switch status := w.Statuses[h.Status]; made.Kind {
		case runtime.HandlerStep:
			status.Step = made
		case runtime.HandlerCallback:
			status.Callbacks = append(status.Callbacks, made)
		case runtime.HandlerTimeout:
			status.Timeouts = append(status.Timeouts, made)
		case runtime.HandlerHook:
			w.Hooks = append(w.Hooks, made)
		case runtime.HandlerErase:
			w.Erase = made
		case runtime.HandlerConnector:
			w.Connects = append(w.Connects, made)
		case runtime.HandlerTimer, runtime.HandlerFilter: // what they belong to has them
		case runtime.HandlerSelfTest: // it is in no workflow
		}
	}
	for i := range p.declared.Handlers {
		if h := &p.declared.Handlers[i]; h.Timer != nil {
			byID[h.ID].Timer = byID[*h.Timer]
		}
	}
	for i := range p.declared.Schedules {
		s := &p.declared.Schedules[i]
		spec := scheduleSpec(w.Name, s)
		if s.Filter != nil {
			spec.Filter = byID[*s.Filter]
		}
		w.Schedules = append(w.Schedules, spec)
	}
}

// handler makes the runtime's form of a handler, without its timer.
func (p *part) handler(workflow string, h *abi.Handler, d defaults) *runtime.Handler {
	milliseconds := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	own := d.steps[workflow][h.Status]
	made := &runtime.Handler{
		Workflow: workflow, Status: h.Status, Name: h.Name, To: slices.Clone(h.To), Retry: d.retry, Parallelism: h.Parallelism,
		Lag: milliseconds(h.LagMS), After: milliseconds(h.AfterMS), Digest: p.digest, Plugin: p.file,
		Module: p.module, Invoker: p.invoker(h.ID, own), Timeout: own.Timeout,
	}
	made.Kind, _ = handlerKind(h.Kind)
	made.On, _ = hookEvent(h.On)
	if r := h.Retry; r != nil {
		made.Retry = runtime.Retry{
			Initial: milliseconds(r.InitialMS), Max: milliseconds(r.MaxMS), Factor: r.Factor, Attempts: uint32(r.Attempts),
		}.OrDefaults(d.retry)
	}
	if made.Kind == runtime.HandlerStep {
		if made.Lag == 0 {
			made.Lag = d.lag
		}
		if made.LagAlert = milliseconds(h.LagAlertMS); made.LagAlert == 0 {
			made.LagAlert = d.lagAlert
		}
		if made.Parallelism == 0 {
			made.Parallelism = d.parallel
		}
	}
	return made
}
