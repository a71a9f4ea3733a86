package runtime

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/adhocore/gronx"
)

// cron says when the slots of a schedule are. The grammar of expressions is gronx's; what happens where a zone changes its
// clock is ours:
//
//   - An expression whose hour field begins with "*" means a rhythm: it follows the clock as it runs. Where an hour is repeated
//     its slots are too, and where one is missing so are they.
//   - Any other names times of day, each of which is one slot a day. A time that is repeated is its first occurrence; one that
//     is missing is the moment the clock jumps.
//   - "@every d" counts from when the schedule was made, and knows no zone.
type cron struct {
	expr   string
	zone   *time.Location
	every  time.Duration // of @every; else 0
	rhythm bool
}

// minEvery is the shortest rhythm of @every.
const minEvery = time.Second

// parseCron reads a cron expression and the name of a zone of the IANA database; "" is UTC.
func parseCron(expr, zone string) (*cron, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return nil, &InvalidError{Field: "zone", Cause: fmt.Sprintf("%q is not in the IANA time zone database; write one like Europe/Berlin", zone)}
	}
	c := &cron{expr: expr, zone: location}
	if rest, ok := strings.CutPrefix(expr, "@every "); ok {
		c.every, err = time.ParseDuration(strings.TrimSpace(rest))
		if err != nil || c.every < minEvery {
			return nil, &InvalidError{Field: "cron", Cause: fmt.Sprintf("%q: @every takes a duration of at least %v, like @every 90s", expr, minEvery)}
		}
		return c, nil
	}
	fields, err := gronx.Segments(expr)
	if err != nil || !gronx.IsValid(expr) {
		return nil, &InvalidError{Field: "cron", Cause: fmt.Sprintf(
			"%q is not a cron expression%s; write five fields (minute hour day month weekday), six with seconds first, @every 90s, or @daily",
			expr, wrongField(fields))}
	}
	c.rhythm = strings.HasPrefix(fields[2], "*")
	return c, nil
}

// wrongField says which of the fields of an expression is none: ": its minute is \"61\"". It returns "" when it cannot be told.
func wrongField(fields []string) string {
	names := [...]string{"second", "minute", "hour", "day", "month", "weekday", "year"}
	for i, field := range fields {
		alone := []string{"*", "*", "*", "*", "*", "*", "*"}
		if i < len(names) && !gronx.IsValid(strings.Join(append(append(alone[:i:i], field), alone[i+1:]...), " ")) {
			return fmt.Sprintf(": its %s is %q", names[i], field)
		}
	}
	return ""
}

// next returns the first slot after a time, in UTC; since is when the schedule was made. It returns the zero time when there
// is none.
func (c *cron) next(after, since time.Time) time.Time {
	if c.every > 0 {
		if after.Before(since) {
			after = since
		}
		return since.Add((after.Sub(since)/c.every + 1) * c.every).UTC()
	}
	if c.rhythm {
		return c.nextOfRhythm(after)
	}
	wall := wallClock(after.In(c.zone))
	for {
		var ok bool
		if wall, ok = c.tick(wall, false); !ok {
			return time.Time{}
		}
		if slot := c.occurrence(wall); slot.After(after) {
			return slot.UTC()
		}
	}
}

// last returns the last of a slot and those that follow it up to now. It begins to look shortly before now: a month has thousands of slots
// of some schedules, and each takes a moment to be found.
func (c *cron) last(slot, now, since time.Time) time.Time {
	for back := time.Second; slot.Before(now.Add(-back)); back *= 2 {
		if next := c.next(now.Add(-back), since); !next.IsZero() && !next.After(now) {
			slot = next
			break
		}
	}
	for {
		next := c.next(slot, since)
		if next.IsZero() || next.After(now) {
			return slot
		}
		slot = next
	}
}

// nextOfRhythm steps through the stretches of time between two changes of the clock.
func (c *cron) nextOfRhythm(after time.Time) time.Time {
	local, inclusive := after.In(c.zone), false
	for {
		_, offset := local.Zone()
		wall, ok := c.tick(wallClock(local), inclusive)
		if !ok {
			return time.Time{}
		}
		slot := wall.Add(-time.Duration(offset) * time.Second)
		_, change := local.ZoneBounds()
		if change.IsZero() || slot.Before(change) {
			return slot
		}
		local, inclusive = change, true
	}
}

// wallClock returns what a clock shows, as if it were UTC.
func wallClock(local time.Time) time.Time {
	_, offset := local.Zone()
	return local.UTC().Add(time.Duration(offset) * time.Second)
}

// tick returns the first time after wall, or at it, that the expression names; false for none.
func (c *cron) tick(wall time.Time, inclusive bool) (time.Time, bool) {
	next, err := gronx.NextTickAfter(c.expr, wall, inclusive)
	return next, err == nil
}

// occurrence returns when a clock in the zone first shows wall, or the moment at which it jumps over it.
func (c *cron) occurrence(wall time.Time) time.Time {
	y, mo, d := wall.Date()
	h, mi, s := wall.Clock()
	at := time.Date(y, mo, d, h, mi, s, 0, c.zone)
	start, end := at.ZoneBounds()
	switch shown := wallClock(at); {
	case shown.After(wall):
		return start
	case shown.Before(wall):
		return end
	case start.IsZero():
		return at
	}
	_, before := start.Add(-time.Nanosecond).Zone()
	if earlier := wall.Add(-time.Duration(before) * time.Second); earlier.Before(start) && wallClock(earlier.In(c.zone)).Equal(wall) {
		return earlier
	}
	return at
}

// Check returns an error that says what is wrong with the schedule, or nil.
func (s *ScheduleSpec) Check() error {
	_, err := s.cron()
	switch {
	case err != nil:
		return err
	case s.Name == "" || len(s.Name) > MaxName:
		return &InvalidError{Field: "name", Cause: fmt.Sprintf("has %d bytes; want 1 to %d", len(s.Name), MaxName)}
	}
	switch s.CatchUp {
	case "", CatchUpOne, CatchUpAll, CatchUpNone:
		return nil
	default:
		return &InvalidError{Field: "catch_up", Cause: fmt.Sprintf("%q is none of one, all, none", s.CatchUp)}
	}
}

var errNever = errors.New("names a time that never comes")

func (s *ScheduleSpec) cron() (*cron, error) {
	c, err := parseCron(s.Cron, s.Zone)
	if err != nil {
		return nil, err
	}
	if epoch := time.Unix(0, 0); c.next(epoch, epoch).IsZero() {
		return nil, &InvalidError{Field: "cron", Cause: fmt.Sprintf("%q %v", s.Cron, errNever)}
	}
	return c, nil
}
