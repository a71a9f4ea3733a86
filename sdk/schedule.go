package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// Schedule registers a trigger by the clock, under a name that is unique in the workflow. cron has five fields (minute,
// hour, day of the month, month, weekday), with names, ranges, steps and lists, or six with seconds first; or is @hourly,
// @daily, @weekly, @monthly, @yearly, or @every and a duration of at least 1s. While the run of an earlier slot goes on, a
// slot is skipped.
//
//	w.Schedule("nightly", "5 0 * * *").Zone("Europe/Berlin")
func (w *Workflow[O, S]) Schedule(name, cron string) *Schedule[O, S] {
	s := &Schedule[O, S]{workflow: w, part: w.part.Schedule(abi.Schedule{Name: name, Cron: cron})}
	if cron == "" {
		s.part.Fault("it has no cron expression")
	}
	return s
}

// Schedule is a registered schedule; its methods set options.
type Schedule[O any, S ~string] struct {
	workflow *Workflow[O, S]
	part     *guest.Schedule
}

// Zone sets the time zone of the cron expression, of the IANA database. Defaults to UTC.
func (s *Schedule[O, S]) Zone(zone string) *Schedule[O, S] {
	s.part.Line().Zone = zone
	return s
}

// ForeignID sets the foreign ID of the schedule's runs. Defaults to the schedule's name.
func (s *Schedule[O, S]) ForeignID(id string) *Schedule[O, S] {
	s.part.Line().ForeignID = id
	return s
}

// Object sets the object that the schedule's runs begin with. Defaults to null.
func (s *Schedule[O, S]) Object(object O) *Schedule[O, S] {
	doc, err := codecOf[O]().encode(new(guest.Call), &object)
	if err == nil && !json.Valid(doc) {
		err = errNotJSON
	}
	if err != nil {
		s.part.Fault("Object: %w", err)
		return s
	}
	s.part.Line().Object = bytes.Clone(doc)
	return s
}

// StartAt sets the status that the schedule's runs begin in. Defaults to the workflow's start.
func (s *Schedule[O, S]) StartAt(status S) *Schedule[O, S] {
	s.part.Line().StartAt = string(status)
	return s
}

// CatchUp says what becomes of slots that were missed, because the server was down or the schedule was paused.
type CatchUp string

// Catch-up policies.
const (
	CatchUpOne  CatchUp = "one"  // the latest of them triggers
	CatchUpAll  CatchUp = "all"  // all of them trigger, one after the end of another
	CatchUpNone CatchUp = "none" // none of them does
)

// CatchUp sets what becomes of missed slots. Defaults to CatchUpOne.
func (s *Schedule[O, S]) CatchUp(policy CatchUp) *Schedule[O, S] {
	switch policy {
	case CatchUpOne, CatchUpAll, CatchUpNone:
	default:
		s.part.Fault("CatchUp: %q; it is CatchUpOne, CatchUpAll or CatchUpNone", string(policy))
	}
	s.part.Line().CatchUp = string(policy)
	return s
}

// FilterFunc decides whether a slot, a time in UTC, triggers. object is the schedule's own; what the function makes of it is
// the object that the run begins with. With an error the slot is kept and tried again, with back-off.
type FilterFunc[O any] func(ctx context.Context, slot time.Time, object *O) (bool, error)

// Filter sets a function that decides on each slot. Defaults to none: every slot triggers.
func (s *Schedule[O, S]) Filter(filter FilterFunc[O]) *Schedule[O, S] {
	if filter == nil {
		s.part.Fault("Filter: the function is nil")
	}
	if s.part.Line().Filter != nil {
		s.part.Fault("Filter: it has one already")
		return s
	}
	line := abi.Handler{Kind: abi.KindFilter, Name: s.part.Line().Name}
	s.part.Line().Filter = new(s.workflow.register(line, "", lets[O, S](filter)).Line().ID)
	return s
}
