package runtime

import "time"

// CatchUp says what happens to the slots that a schedule missed while the server was down or the schedule held.
type CatchUp string

// Catch-up policies.
const (
	CatchUpOne  CatchUp = "one"  // the latest of them triggers
	CatchUpAll  CatchUp = "all"  // all of them trigger, one after the end of another
	CatchUpNone CatchUp = "none" // none of them does
)

// ScheduleSpec is a schedule as a plugin or a client writes it.
type ScheduleSpec struct {
	Workflow  string
	Name      string   // 1–64 bytes; unique in the workflow
	Cron      string   // five fields, six with seconds, or @every 90s, @hourly, @daily …
	Zone      string   // of the IANA database; "": UTC
	ForeignID string   // of its runs; "": the schedule's name
	Object    []byte   // one JSON value; empty: null
	StartAt   string   // "": the workflow's start
	CatchUp   CatchUp  // "": CatchUpOne
	Filter    *Handler // of a plugin's schedule: decides on each slot; nil: every slot triggers
}

// Schedule is a schedule as the store keeps it.
type Schedule struct {
	ScheduleSpec           // Filter is nil: the catalog has it
	Plugin       bool      // a plugin declares it; else a client made it
	Paused       bool      // no slot is due until it is resumed
	Next         time.Time // the slot that its task is for; zero: there is none
	Since        time.Time // when it was made or changed: what @every counts from
	LastSlot     time.Time // the last slot that is done
	LastRun      RunID     // the run that a slot began last
	LastResult   string    // what became of the last slot: "triggered", "skipped: …", "failed: …"
	LastAt       time.Time // when that was
}

// Shard returns the slot of the shard in which the schedule lives: that of its foreign ID.
func (s *ScheduleSpec) slot() Slot { return SlotOf(s.Workflow, s.foreignID()) }

func (s *ScheduleSpec) foreignID() string {
	if s.ForeignID != "" {
		return s.ForeignID
	}
	return s.Name
}
