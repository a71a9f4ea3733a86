package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// keepSchedules brings the plugins' schedules up to date with the catalog whenever it changes. It alone does, one catalog after
// another: two at a time could end with what the older catalog says.
func (e *Engine) keepSchedules() {
	for {
		e.syncSchedules()
		select {
		case <-e.resync:
		case <-e.ctx.Done():
			return
		}
	}
}

// syncSchedules makes the plugins' schedules in the store what the catalog says: it adds those that are new, changes those that
// have changed, and removes those that a workflow of the catalog no longer declares.
// A workflow without its module declares nothing: its schedules stay, and their slots wait.
func (e *Engine) syncSchedules() {
	catalog := e.Catalog()
	var faults []error
	for _, name := range catalog.Names() {
		w := catalog.Workflow(name)
		for i := range w.Schedules {
			faults = append(faults, e.syncSchedule(w.Schedules[i]))
		}
	}
	all, err := e.store.Schedules()
	faults = append(faults, err)
	for i := range all {
		w := catalog.Workflow(all[i].Workflow)
		if all[i].Plugin && w != nil && !w.Closed && !w.declares(all[i].Name) {
			_, err := e.changeSchedule(e.ctx, all[i].Workflow, all[i].Name, func(*Schedule) (*Schedule, error) { return nil, nil })
			faults = append(faults, err)
		}
	}
	if err := errors.Join(faults...); err != nil && e.accepting() == nil {
		e.opt.Logger.Error("schedules of plugins could not be brought up to date", "error", err)
	}
}

func (e *Engine) syncSchedule(spec ScheduleSpec) error {
	known, err := e.store.Schedule(spec.Workflow, spec.Name)
	if err == nil && known.Plugin && known.same(&spec) {
		return nil
	}
	if err := e.checkSchedule(&spec); err != nil {
		return fmt.Errorf("schedule %s of workflow %s: %w", spec.Name, spec.Workflow, err)
	}
	_, err = e.changeSchedule(e.ctx, spec.Workflow, spec.Name, func(old *Schedule) (*Schedule, error) {
		next := e.newSchedule(spec, true)
		if old != nil {
			next.inherit(old)
		}
		return next, nil
	})
	return err
}

// inherit takes over from the schedule before what the new one leaves as it was: its pause, its past and, with the same expression
// and zone, its next slot, also one that is kept. Of another expression that slot is none.
func (s *Schedule) inherit(old *Schedule) {
	now := s.Since
	s.Paused = old.Paused
	s.LastSlot, s.LastRun, s.LastResult, s.LastAt = old.LastSlot, old.LastRun, old.LastResult, old.LastAt
	switch {
	case s.Cron == old.Cron && s.Zone == old.Zone:
		s.Next, s.Since = old.Next, old.Since
	case !old.Next.IsZero() && !old.Next.After(now):
		s.LastSlot, s.LastResult, s.LastAt = old.Next, "skipped: the schedule has other times since", now
	}
}

// same reports whether a schedule is as a plugin declares it.
func (s *Schedule) same(spec *ScheduleSpec) bool {
	return s.Cron == spec.Cron && s.Zone == spec.Zone && s.ForeignID == spec.ForeignID && s.StartAt == spec.StartAt &&
		s.CatchUp == spec.CatchUp && bytes.Equal(s.Object, spec.Object)
}

// equal reports whether nothing has become of a schedule.
func (s *Schedule) equal(other *Schedule) bool {
	return s.same(&other.ScheduleSpec) && s.Plugin == other.Plugin && s.Paused == other.Paused && s.Next.Equal(other.Next) &&
		s.Since.Equal(other.Since) && s.LastSlot.Equal(other.LastSlot) && s.LastRun == other.LastRun &&
		s.LastResult == other.LastResult && s.LastAt.Equal(other.LastAt)
}

func (w *Workflow) declares(schedule string) bool {
	return slices.ContainsFunc(w.Schedules, func(s ScheduleSpec) bool { return s.Name == schedule })
}
