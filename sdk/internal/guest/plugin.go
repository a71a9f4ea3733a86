package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/wfrt/wfrt/sdk/abi"
)

// Plugin is what a module registers before it is asked for its manifest: workflows, their handlers, and the mistakes made
// on the way, which are kept for the manifest to report together. It is not for concurrent use while it is being
// registered.
type Plugin struct {
	workflows []*Workflow
	handlers  []Invoke // a handler's ID is its index
	warmers   []Warm   // by the handler's ID
	isolation string   // that the author wishes; "": none
	asks      abi.Capabilities
	selfTest  *int32
	faults    []error // in asks and of the test
}

// Invoke runs one handler: it reads the inputs from the call, writes the outputs to it, and returns the code. What it
// leaves in kept, which begins as nil, it finds there at its next invocation over the same Call.
type Invoke func(c *Call, kept *any) abi.Code

// Default is the plugin of this program, for authors register from package variables and init functions. A module has one,
// and so has the test binary of a plugin.
var Default Plugin

// Workflow is a module's part of one workflow.
type Workflow struct {
	plugin   *Plugin
	part     abi.Workflow
	external []string
	faults   []error
}

// Workflow registers a workflow of that name.
func (p *Plugin) Workflow(name string) *Workflow {
	w := &Workflow{plugin: p, part: abi.Workflow{Name: name}}
	if err := abi.CheckName(name); err != nil {
		w.fault("the workflow's name %w", err)
	}
	if slices.ContainsFunc(p.workflows, func(other *Workflow) bool { return other.part.Name == name }) {
		w.fault("is registered twice; call NewWorkflow once and keep its result")
	}
	p.workflows = append(p.workflows, w)
	return w
}

// SelfTest sets the function by which the plugin tests itself.
func (p *Plugin) SelfTest(invoke Invoke) {
	if p.selfTest != nil || invoke == nil {
		p.faults = append(p.faults, errors.New("sdk: SelfTest is called twice, or with no function; a plugin has one test of itself"))
		return
	}
	p.selfTest = new(int32(len(p.handlers)))
	p.handlers = append(p.handlers, invoke)
}

// Objects sets the version of the objects that the plugin writes, and the others that it reads.
func (w *Workflow) Objects(version int, reads []int) {
	if version < 1 || w.part.ObjectVersion != 0 || slices.ContainsFunc(reads, func(v int) bool { return v < 0 || v == version }) {
		w.fault("Objects(%d, %v): say it once, with a version of 1 or more, and others that are not negative", version, reads)
		return
	}
	w.part.ObjectVersion, w.part.Reads = version, reads
}

// Pinned has runs finish on the version that they began with.
func (w *Workflow) Pinned() { w.part.Versions = abi.VersionsPinned }

// Name returns the workflow's name.
func (w *Workflow) Name() string { return w.part.Name }

// Start sets the status that a run begins in.
func (w *Workflow) Start(status string) {
	w.checkStatus("the start", status)
	if w.part.Start != "" && w.part.Start != status {
		w.fault("has two starts, %q and %q", w.part.Start, status)
	}
	w.part.Start = status
}

// External marks statuses that another module handles.
func (w *Workflow) External(statuses []string) {
	for _, status := range statuses {
		w.checkStatus("the external status", status)
		if !slices.Contains(w.external, status) {
			w.external = append(w.external, status)
		}
	}
}

// Register adds a handler. h says what it is: its kind, status, destinations and what it is told of; its ID is set here, and
// so is its name when it has none: of a step the status, because the author's function may be renamed at any time and the
// name is stored with runs; of any other what is first of "<stem>", "<stem>-2", "<stem>-3" … warm may be nil.
func (w *Workflow) Register(h abi.Handler, stem string, invoke Invoke, warm Warm) *Handler {
	h.ID = int32(len(w.plugin.handlers))
	if h.Name == "" {
		h.Name = w.nthName(&h, stem)
	}
	added := &Handler{workflow: w, index: len(w.part.Handlers)}
	w.part.Handlers = append(w.part.Handlers, h)
	w.plugin.handlers = append(w.plugin.handlers, invoke)
	w.plugin.warmers = append(w.plugin.warmers, warm)
	if h.Kind == abi.KindStep {
		w.checkStep(&h)
	} else if h.Status != "" {
		w.checkStatus("the status", h.Status)
	}
	for i, destination := range h.To {
		if err := abi.CheckName(destination); err != nil {
			added.Fault("the destination %w", err)
		}
		if slices.Contains(h.To[:i], destination) {
			added.Fault("the destination %q is named twice", destination)
		}
	}
	return added
}

// checkStep looks at a step that has been registered last.
func (w *Workflow) checkStep(h *abi.Handler) {
	w.checkStatus("the status", h.Status)
	steps := w.part.Handlers[:len(w.part.Handlers)-1]
	if slices.ContainsFunc(steps, func(o abi.Handler) bool { return o.Kind == abi.KindStep && o.Status == h.Status }) {
		w.fault("handles the status %q twice", h.Status)
	}
}

// nthName returns the name of a handler that was given none.
func (w *Workflow) nthName(h *abi.Handler, stem string) string {
	n := 1
	for i := range w.part.Handlers {
		if o := &w.part.Handlers[i]; o.Kind == h.Kind && o.Status == h.Status && o.On == h.On {
			n++
		}
	}
	if n == 1 {
		return stem
	}
	return stem + "-" + strconv.Itoa(n)
}

// Handler is a registered handler, for its options.
type Handler struct {
	workflow *Workflow
	index    int
}

// Line returns the handler's line of the manifest, to be changed in place.
func (h *Handler) Line() *abi.Handler { return &h.workflow.part.Handlers[h.index] }

// Fault reports a mistake in the handler's options.
func (h *Handler) Fault(format string, args ...any) {
	h.workflow.fault("%s: %w", describe(h.Line()), fmt.Errorf(format, args...))
}

// describe says which handler of a workflow a line is about.
func describe(h *abi.Handler) string {
	switch {
	case h.Kind == abi.KindStep:
		return fmt.Sprintf("step of %q", h.Status)
	case h.Status != "":
		return fmt.Sprintf("%s %q of %q", h.Kind, h.Name, h.Status)
	default:
		return fmt.Sprintf("%s %q", h.Kind, h.Name)
	}
}

// Schedule adds a schedule.
func (w *Workflow) Schedule(s abi.Schedule) *Schedule {
	added := &Schedule{workflow: w, index: len(w.part.Schedules)}
	known := slices.ContainsFunc(w.part.Schedules, func(other abi.Schedule) bool { return other.Name == s.Name })
	w.part.Schedules = append(w.part.Schedules, s)
	if err := abi.CheckName(s.Name); err != nil {
		w.fault("the schedule's name %w", err)
	}
	if known {
		added.Fault("is registered twice")
	}
	return added
}

// Schedule is a registered schedule, for its options.
type Schedule struct {
	workflow *Workflow
	index    int
}

// Line returns the schedule's line of the manifest, to be changed in place.
func (s *Schedule) Line() *abi.Schedule { return &s.workflow.part.Schedules[s.index] }

// Fault reports a mistake in the schedule's options.
func (s *Schedule) Fault(format string, args ...any) {
	s.workflow.fault("schedule %q: %w", s.Line().Name, fmt.Errorf(format, args...))
}

// Invoke runs the handler with that ID.
func (p *Plugin) Invoke(c *Call, id int32) abi.Code {
	if id < 0 || int(id) >= len(p.handlers) {
		c.WriteText(abi.FieldReason, fmt.Sprintf("sdk: the plugin has no handler %d", id))
		return abi.CodePermanent
	}
	c.keepFor(p)
	return p.handlers[id](c, &c.kept[id])
}

// Isolate has the author's wish of an isolation.
func (p *Plugin) Isolate(isolation string) { p.isolation = isolation }

// Warm does once for a handler what its first invocation would: it makes the tables and buffers that invocations reuse. It must have
// no effect but in memory.
type Warm func(c *Call, kept *any)

// Warm warms all handlers.
func (p *Plugin) Warm(c *Call) {
	c.keepFor(p)
	for id, do := range p.warmers {
		if do != nil {
			do(c, &c.kept[id])
		}
	}
}

// Manifest returns what the plugin is, or all mistakes of its registration, one a line.
func (p *Plugin) Manifest(sdk, version string) (*abi.Manifest, error) {
	m := &abi.Manifest{ABI: abi.Version, SDK: sdk, Version: version, Isolation: p.isolation, SelfTest: p.selfTest}
	var faults []error
	if !reflect.ValueOf(p.asks).IsZero() {
		m.Capabilities = &p.asks
	}
	faults = append(faults, p.faults...)
	if len(p.workflows) == 0 {
		faults = append(faults,
			errors.New("sdk: the plugin registers no workflow; call sdk.NewWorkflow from init or a package variable"))
	}
	if n := len(p.handlers); n > abi.MaxHandlers {
		faults = append(faults, fmt.Errorf("sdk: the plugin has %d handlers; a plugin has at most %d", n, abi.MaxHandlers))
	}
	for _, w := range p.workflows {
		part, err := w.manifest()
		if err != nil {
			faults = append(faults, err)
		}
		m.Workflows = append(m.Workflows, part)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return m, nil
}

// Encode returns the manifest as the host reads it.
func Encode(m *abi.Manifest) ([]byte, error) {
	doc, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("sdk: encode the manifest: %w", err)
	}
	if len(doc) > abi.MaxManifestBytes {
		return nil, fmt.Errorf("sdk: the manifest has %d bytes; it has at most %d", len(doc), abi.MaxManifestBytes)
	}
	return doc, nil
}

// manifest returns the workflow's part with what follows from the whole of it: terminal and external statuses.
func (w *Workflow) manifest() (abi.Workflow, error) {
	part, faults := w.part, slices.Clone(w.faults)
	fault := func(format string, args ...any) { faults = append(faults, w.errorf(format, args...)) }
	if len(part.Handlers) == 0 {
		fault("has no step")
	}
	for i := range part.Handlers {
		h := &part.Handlers[i]
		switch h.Kind {
		case abi.KindStep, abi.KindTimer, abi.KindFilter:
			continue // named as their status, their timeout and their schedule, which are checked
		}
		if err := abi.CheckName(h.Name); err != nil {
			fault("%s: the name %w", describe(h), err)
		}
		if slices.ContainsFunc(part.Handlers[:i], func(o abi.Handler) bool {
			return o.Kind == h.Kind && o.Status == h.Status && o.Name == h.Name
		}) {
			fault("%s is there twice; give one another name", describe(h))
		}
	}
	destinations := map[string]bool{}
	for _, h := range part.Handlers {
		for _, to := range h.To {
			if destinations[to] {
				continue
			}
			destinations[to] = true
			if !w.handles(to) && !slices.Contains(w.external, to) {
				part.Terminal = append(part.Terminal, to)
			}
		}
	}
	for _, status := range w.external {
		switch {
		case w.handles(status):
			fault("handles the status %q, which it also calls external", status)
		case !destinations[status] && status != part.Start:
			fault("calls the status %q external, but nothing leads to it", status)
		}
	}
	if part.Start != "" && !w.handles(part.Start) && !slices.Contains(w.external, part.Start) {
		fault("starts in %q, which no step handles; add the step, or External(%q)", part.Start, part.Start)
	}
	for i := range part.Schedules {
		if at := part.Schedules[i].StartAt; at != "" && !w.handles(at) && !slices.Contains(w.external, at) {
			fault("schedule %q: it starts in %q, which no step handles", part.Schedules[i].Name, at)
		}
	}
	part.External = w.external
	return part, errors.Join(faults...)
}

// handles reports whether a run can be in the status without having ended: it has a step, or a callback or timeout to wait
// for.
func (w *Workflow) handles(status string) bool {
	return slices.ContainsFunc(w.part.Handlers, func(h abi.Handler) bool { return h.Status == status })
}

func (w *Workflow) checkStatus(what, status string) {
	if err := abi.CheckName(status); err != nil {
		w.fault("%s %w", what, err)
	}
}

func (w *Workflow) fault(format string, args ...any) {
	w.faults = append(w.faults, w.errorf(format, args...))
}

func (w *Workflow) errorf(format string, args ...any) error {
	return fmt.Errorf("sdk: workflow %q: %w", w.part.Name, fmt.Errorf(format, args...))
}
