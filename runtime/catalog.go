package runtime

import "slices"

// Catalog maps each workflow to its definitions, and so each run to the handlers that it goes by. It is immutable: a swap makes
// a new one.
type Catalog struct {
	workflows map[string]*Workflow
	names     []string
}

// NewCatalog returns a catalog of the given definitions, the newest of each workflow, which it keeps and which must not change
// afterwards. Names are unique.
func NewCatalog(workflows ...*Workflow) *Catalog {
	c := &Catalog{workflows: make(map[string]*Workflow, len(workflows))}
	for _, w := range workflows {
		c.workflows[w.Name] = w
		c.names = append(c.names, w.Name)
	}
	slices.Sort(c.names)
	return c
}

// Workflow returns the newest definition of that name, or nil.
func (c *Catalog) Workflow(name string) *Workflow { return c.workflows[name] }

// Names returns the names of all workflows in alphabetical order. The caller must not change it.
func (c *Catalog) Names() []string { return c.names }

// Status returns a status of the newest definition of a workflow, or nil.
func (c *Catalog) Status(workflow, status string) *Status {
	return c.workflows[workflow].status(status)
}

// For returns the definition that a run goes by, and nil when there is none of its workflow:
//
//   - the one that it is pinned to, while that one keeps its runs or is the canary;
//   - else the newest that has the run's status: of an active run one that does not end it;
//   - else the newest.
func (c *Catalog) For(r *Record) *Workflow {
	newest := c.workflows[r.Workflow]
	if newest == nil {
		return nil
	}
	if r.Pinned != (Digest{}) && r.Pinned != newest.Digest {
		if w := newest.pinned(r.Pinned); w != nil && w.takes(r.Status, r.State.Active()) {
			return w
		}
	}
	if w := newest.newestWith(r.Status, r.State.Active()); w != nil {
		return w
	}
	return newest
}

// pinned returns the definition that runs pinned to d go by, or nil when they are as free as others.
func (w *Workflow) pinned(d Digest) *Workflow {
	if w.Canary != nil && w.Canary.Workflow.Digest == d {
		return w.Canary.Workflow
	}
	for _, older := range w.Older {
		if older.Digest == d && older.Keeps {
			return older
		}
	}
	return nil
}

// newestWith returns the newest definition that takes the status, and nil for none.
func (w *Workflow) newestWith(status string, active bool) *Workflow {
	if w.takes(status, active) {
		return w
	}
	for _, older := range w.Older {
		if older.takes(status, active) {
			return older
		}
	}
	return nil
}

// takes reports whether a run can be in the status, active or not.
func (w *Workflow) takes(status string, active bool) bool {
	s := w.Statuses[status]
	return s != nil && (!active || !s.Terminal)
}

// find returns the first status of that name that ok accepts, in the order newest, canary, older; or nil.
func (w *Workflow) find(status string, ok func(*Status) bool) *Status {
	if s := w.Statuses[status]; s != nil && ok(s) {
		return s
	}
	if w.Canary != nil {
		if s := w.Canary.Workflow.Statuses[status]; s != nil && ok(s) {
			return s
		}
	}
	for _, older := range w.Older {
		if s := older.Statuses[status]; s != nil && ok(s) {
			return s
		}
	}
	return nil
}

// queue returns the status by which the runs that are in it are dispatched: that of the newest definition which has it. A run
// that goes by another definition is dispatched with them. nil: no definition takes runs in it.
func (c *Catalog) queue(q Queue) *Status {
	w := c.workflows[q.Workflow]
	if w == nil {
		return nil
	}
	return w.find(q.Status, func(s *Status) bool { return !s.Terminal })
}

// entry is where a run begins.
type entry struct {
	status *Status
	pinned Digest // zero: the run goes by whatever is newest
}

// enter chooses where a run of the workflow begins. share is random in [0, 1): below the canary's share the run begins on the
// canary, if that has the status. It returns an *UnknownStatusError.
func (w *Workflow) enter(startAt string, share float64) (entry, error) {
	if k := w.Canary; k != nil && share < k.Share {
		if s := k.Workflow.start(startAt); s != nil {
			return entry{status: s, pinned: k.Workflow.Digest}, nil
		}
	}
	s := w.start(startAt)
	if s == nil {
		if startAt == "" {
			startAt = w.Start
		}
		return entry{}, &UnknownStatusError{Workflow: w.Name, Status: startAt, Known: w.statusNames(false)}
	}
	e := entry{status: s}
	if w.Pinned {
		e.pinned = w.Digest
	}
	return e, nil
}

// start returns the status that a run begins in, or nil.
func (w *Workflow) start(at string) *Status {
	if at == "" {
		at = w.Start
	}
	if s := w.Statuses[at]; s != nil && !s.Terminal {
		return s
	}
	return nil
}
