package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

const (
	maxManifestFaults = 10  // how many faults of one manifest are told; a person corrects those first
	maxSchedules      = 256 // of one manifest
	maxCron           = 256 // bytes of a cron expression or the name of a time zone
)

// parseManifest reads what a module wrote in wfrt_manifest and checks all that can be checked without other modules:
// docs/abi.md, section 6; the rules of single handlers are in handlers.go. Its error names every fault, up to
// maxManifestFaults.
func parseManifest(raw []byte) (*abi.Manifest, error) {
	// The version is read first and by itself: what a later version adds must not be reported as a misspelt member.
	var version struct {
		ABI *int `json:"abi"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, fmt.Errorf("its manifest is not a JSON object of the expected form: %w", err)
	}
	switch {
	case version.ABI == nil:
		return nil, fmt.Errorf(`its manifest has no member "abi"; this server speaks version %d`, abi.Version)
	case *version.ABI != abi.Version:
		return nil, fmt.Errorf("it speaks version %d of the plugin interface and this server version %d: build it with the SDK "+
			"of this server (wfrt build)", *version.ABI, abi.Version)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	m := new(abi.Manifest)
	if err := decoder.Decode(m); err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("its manifest is more than one JSON value")
	}
	c := manifestCheck{ids: make(map[int32]bool)}
	c.manifest(m)
	c.capabilities(m.Capabilities)
	if len(c.faults) > 0 {
		return nil, fmt.Errorf("its manifest: %w", errors.Join(c.faults...))
	}
	return m, nil
}

// manifestCheck collects the faults of one manifest.
type manifestCheck struct {
	faults []error
	ids    map[int32]bool
}

// full says that no further fault is told.
func (c *manifestCheck) full() bool { return len(c.faults) >= maxManifestFaults }

func (c *manifestCheck) fault(format string, args ...any) {
	if !c.full() {
		c.faults = append(c.faults, fmt.Errorf(format, args...))
	}
}

func (c *manifestCheck) name(what, name string) {
	if err := abi.CheckName(name); err != nil {
		c.fault("the %s %w", what, err)
	}
}

func (c *manifestCheck) manifest(m *abi.Manifest) {
	if len(m.Workflows) == 0 {
		c.fault("it has no workflow; register at least one")
	}
	if m.Isolation != "" && m.Isolation != abi.IsolationFresh && m.Isolation != abi.IsolationPooled {
		c.fault("it wishes the isolation %.32q; say fresh or pooled", m.Isolation)
	}
	seen := make(map[string]bool)
	handlers, schedules := 0, 0
	for i := range m.Workflows {
		w := &m.Workflows[i]
		if seen[w.Name] {
			c.fault("workflow %q occurs twice; merge the two", w.Name)
		}
		seen[w.Name] = true
		handlers, schedules = handlers+len(w.Handlers), schedules+len(w.Schedules)
		c.workflow(w)
	}
	if id := m.SelfTest; id != nil && (*id < 0 || c.ids[*id]) {
		c.fault("its self_test has the ID %d, which is negative or another handler's", *id)
	}
	if handlers > abi.MaxHandlers {
		c.fault("it has %d handlers; the limit is %d: spread them over several modules", handlers, abi.MaxHandlers)
	}
	if schedules > maxSchedules {
		c.fault("it has %d schedules; the limit is %d: spread them over several modules", schedules, maxSchedules)
	}
}

// workflow checks the part of one workflow: its handlers, the graph that they make, and its schedules.
func (c *manifestCheck) workflow(w *abi.Workflow) {
	c.name("workflow's name", w.Name)
	if len(w.Handlers) == 0 {
		c.fault("workflow %q has no handler", w.Name)
	}
	for i := range w.Handlers {
		c.handler(w.Name, &w.Handlers[i])
	}
	c.versions(w)
	c.unique(w)
	known := c.graph(w)
	used := make(map[int32]bool) // timers and filters that something refers to
	c.timers(w, used)
	c.schedules(w, known, used)
	for i := range w.Handlers {
		h := &w.Handlers[i]
		if (h.Kind == abi.KindTimer || h.Kind == abi.KindFilter) && !used[h.ID] {
			c.fault("workflow %q: %s belongs to nothing; name its ID %d where it is to be used, or remove it",
				w.Name, describe(h), h.ID)
		}
	}
}

// versions checks what a module says of the versions of its objects and of what runs go by.
func (c *manifestCheck) versions(w *abi.Workflow) {
	if w.ObjectVersion < 0 {
		c.fault("workflow %q: object_version is %d; it is 0 or more", w.Name, w.ObjectVersion)
	}
	for _, v := range w.Reads {
		if v < 0 || v == w.ObjectVersion {
			c.fault("workflow %q: reads has %d; it names other versions of objects than object_version, 0 or more", w.Name, v)
		}
	}
	switch w.Versions {
	case "", abi.VersionsLatest, abi.VersionsPinned:
	default:
		c.fault("workflow %q: versions is %.32q; say latest or pinned", w.Name, w.Versions)
	}
}

// unique checks what there may be only one of in a workflow.
func (c *manifestCheck) unique(w *abi.Workflow) {
	type identity struct{ kind, status, name string }
	seen := make(map[identity]bool)
	stepped := make(map[string]bool)
	erase := false
	for i := range w.Handlers {
		h := &w.Handlers[i]
		id := identity{h.Kind, h.Status, h.Name}
		switch {
		case h.Kind == abi.KindStep && stepped[h.Status]:
			c.fault("workflow %q: status %.80q has two steps; a status has one", w.Name, h.Status)
		case h.Kind == abi.KindErase && erase:
			c.fault("workflow %q has two erase functions; a workflow has one", w.Name)
		case seen[id]:
			c.fault("workflow %q: there are two handlers that are %s; give them different names", w.Name, describe(h))
		}
		seen[id] = true
		stepped[h.Status] = stepped[h.Status] || h.Kind == abi.KindStep
		erase = erase || h.Kind == abi.KindErase
	}
}

// How a module knows a status.
const (
	handled  = "handled"
	terminal = "terminal"
	external = "external"
)

// graph checks that every destination and the start are statuses that the module knows, each in one way. It returns how the
// module knows each.
func (c *manifestCheck) graph(w *abi.Workflow) map[string]string {
	known := make(map[string]string)
	for i := range w.Handlers {
		if h := &w.Handlers[i]; handlesStatus(h) {
			known[h.Status] = handled
		}
	}
	declare := func(statuses []string, how string) {
		for _, s := range statuses {
			c.name(how+" status", s)
			switch known[s] {
			case "":
				known[s] = how
			case how:
			default:
				c.fault("workflow %q: status %q is both %s and %s; it can be one of them", w.Name, s, known[s], how)
			}
		}
	}
	declare(w.Terminal, terminal)
	declare(w.External, external)
	for i := range w.Handlers {
		h := &w.Handlers[i]
		for _, to := range h.To {
			if known[to] == "" {
				c.fault("workflow %q: %s may move to %.80q, which nothing handles and is neither terminal nor external",
					w.Name, describe(h), to)
			}
		}
	}
	if w.Start != "" && !canBegin(known, w.Start) {
		c.fault("workflow %q: its start %.80q is handled by nothing", w.Name, w.Start)
	}
	return known
}

// canBegin says that a run may begin in a status.
func canBegin(known map[string]string, status string) bool {
	return known[status] == handled || known[status] == external
}

// handlesStatus says that the handler makes its status one that a run stays in.
func handlesStatus(h *abi.Handler) bool {
	return h.Kind == abi.KindStep || h.Kind == abi.KindCallback || h.Kind == abi.KindTimeout
}

// timers checks that each timeout is due somehow.
func (c *manifestCheck) timers(w *abi.Workflow, used map[int32]bool) {
	for i := range w.Handlers {
		h := &w.Handlers[i]
		if h.Kind != abi.KindTimeout {
			continue
		}
		if (h.Timer != nil) == (h.AfterMS != 0) {
			c.fault("workflow %q: %s has to say when it is due, by either after_ms or timer", w.Name, describe(h))
		}
		if h.Timer == nil {
			continue
		}
		used[*h.Timer] = true
		timer := handlerOf(w, *h.Timer)
		if timer == nil || timer.Kind != abi.KindTimer || timer.Status != h.Status {
			c.fault("workflow %q: %s has the timer %d, which is no handler of the kind %q and the same status",
				w.Name, describe(h), *h.Timer, abi.KindTimer)
		}
	}
}

func handlerOf(w *abi.Workflow, id int32) *abi.Handler {
	at := slices.IndexFunc(w.Handlers, func(h abi.Handler) bool { return h.ID == id })
	if at < 0 {
		return nil
	}
	return &w.Handlers[at]
}

func (c *manifestCheck) schedules(w *abi.Workflow, known map[string]string, used map[int32]bool) {
	seen := make(map[string]bool)
	for i := range w.Schedules {
		if c.full() || i > maxSchedules {
			return // an expression that names no time takes milliseconds to see through
		}
		s := &w.Schedules[i]
		who := fmt.Sprintf("workflow %q: the schedule %.80q", w.Name, s.Name)
		c.name("schedule's name", s.Name)
		if seen[s.Name] {
			c.fault("%s occurs twice; give each its own name", who)
		}
		seen[s.Name] = true
		if len(s.Cron) > maxCron || len(s.Zone) > maxCron {
			c.fault("%s has a cron expression or zone of more than %d bytes", who, maxCron)
		} else if spec := scheduleSpec(w.Name, s); abi.CheckName(s.Name) == nil {
			if err := spec.Check(); err != nil {
				c.fault("%s: %w", who, err)
			}
		}
		if len(s.ForeignID) > runtime.MaxForeignID {
			c.fault("%s has a foreign ID of %d bytes; at most %d are allowed", who, len(s.ForeignID), runtime.MaxForeignID)
		}
		if s.StartAt != "" && !canBegin(known, s.StartAt) {
			c.fault("%s starts at %.80q, which nothing handles and is not external", who, s.StartAt)
		}
		if s.Filter == nil {
			continue
		}
		used[*s.Filter] = true
		if h := handlerOf(w, *s.Filter); h == nil || h.Kind != abi.KindFilter {
			c.fault("%s has the filter %d, which is no handler of the kind %q", who, *s.Filter, abi.KindFilter)
		}
	}
}

// scheduleSpec makes the runtime's form of a schedule, without its filter.
func scheduleSpec(workflow string, s *abi.Schedule) runtime.ScheduleSpec {
	return runtime.ScheduleSpec{
		Workflow: workflow, Name: s.Name, Cron: s.Cron, Zone: s.Zone, ForeignID: s.ForeignID, Object: s.Object,
		StartAt: s.StartAt, CatchUp: runtime.CatchUp(s.CatchUp),
	}
}
