package sdktest

import (
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
)

// schedule is a schedule with its next slot.
type schedule struct {
	*abi.Schedule
	cron    *cron
	next    time.Time // the slot; zero: there is none
	due     time.Time // when it is to be done: the slot itself, or a later attempt
	attempt uint32
}

func newSchedule(t testing.TB, line *abi.Schedule, now time.Time) *schedule {
	t.Helper()
	c, err := parseCron(line.Cron, line.Zone, now)
	if err != nil {
		t.Fatalf("sdktest: schedule %q: %v", line.Name, err)
	}
	s := &schedule{Schedule: line, cron: c}
	s.plan(now)
	return s
}

func (s *schedule) plan(after time.Time) {
	s.next = s.cron.next(after)
	s.due, s.attempt = s.next, 0
}

// slot does the slot of a schedule that is due.
func (e *engine) slot(s *schedule) {
	e.t.Helper()
	result := func(text string) {
		e.slots = append(e.slots, Slot{Schedule: s.Name, Time: s.next.UTC(), Result: text})
	}
	foreignID, status, object := s.ForeignID, s.StartAt, []byte(s.Object)
	if foreignID == "" {
		foreignID = s.Name
	}
	if status == "" {
		status = e.start
	}
	if len(object) == 0 {
		object = []byte("null")
	}
	if s.Filter != nil {
		h := handlerByID(&e.workflow, *s.Filter)
		s.attempt++
		a := e.invoke(nil, &record{foreignID: foreignID, object: object}, h, s.attempt, 0, instant(abi.FieldSlot, s.next))
		switch {
		case a.failed():
			result("failed: " + a.reason)
			s.due = e.now.Add(backoff(h, s.attempt))
			return
		case a.code == abi.CodeSkip:
			result("skipped: the filter said so")
			s.plan(s.next)
			return
		case a.changed:
			object = a.object
		}
	}
	if last := e.latest(foreignID); last != nil && !last.ended() {
		result("skipped: the run before it goes on")
	} else {
		result("triggered")
		e.begin(foreignID, object, status, "schedule", s.Name)
	}
	s.plan(s.next)
}
