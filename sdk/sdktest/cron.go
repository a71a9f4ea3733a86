package sdktest

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// cron says when the slots of a schedule are. It reads what the server reads but for the modifiers L, W and #.
type cron struct {
	every time.Duration // of @every; else 0
	since time.Time     // what @every counts from
	zone  *time.Location
	field [6]uint64 // second, minute, hour, day, month, weekday: the values that match, as bits
	both  bool      // day and weekday are both restricted: one of them has to match
}

// cronFields are the fields of an expression with the names that their values have.
var cronFields = [6]struct {
	low, high int
	names     string
}{
	{0, 59, ""},
	{0, 59, ""},
	{0, 23, ""},
	{1, 31, ""},
	{1, 12, "xxxJANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"},
	{0, 7, "SUNMONTUEWEDTHUFRISAT"},
}

var cronTags = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
	"@hourly": "0 * * * *",
}

func parseCron(expr, zone string, now time.Time) (*cron, error) {
	c := &cron{since: now}
	var err error
	if c.zone, err = time.LoadLocation(zone); err != nil {
		return nil, fmt.Errorf("the zone %q: %w", zone, err)
	}
	if rest, ok := strings.CutPrefix(expr, "@every "); ok {
		if c.every, err = time.ParseDuration(strings.TrimSpace(rest)); err != nil || c.every < time.Second {
			return nil, fmt.Errorf("cron %q: @every takes a duration of at least 1s", expr)
		}
		return c, nil
	}
	if tag := cronTags[strings.ToLower(expr)]; tag != "" {
		expr = tag
	}
	fields := strings.Fields(strings.ToUpper(expr))
	if len(fields) == 5 {
		fields = append([]string{"0"}, fields...)
	}
	if len(fields) != 6 {
		return nil, fmt.Errorf("cron %q has %d fields; it has five, or six with seconds first", expr, len(fields))
	}
	for i, text := range fields {
		if c.field[i], err = parseCronField(text, i); err != nil {
			return nil, fmt.Errorf("cron %q: %w", expr, err)
		}
	}
	c.field[5] |= c.field[5] >> 7 & 1 // 7 is Sunday, too
	c.both = !strings.HasPrefix(fields[3], "*") && !strings.HasPrefix(fields[5], "*") && fields[3] != "?" && fields[5] != "?"
	return c, nil
}

// parseCronField returns the values of one field: a list of *, values and ranges, each perhaps with a step.
func parseCronField(text string, field int) (uint64, error) {
	f := cronFields[field]
	set := uint64(0)
	for part := range strings.SplitSeq(text, ",") {
		span, step, stepped := strings.Cut(part, "/")
		low, high, n := f.low, f.high, 1
		var err error
		if stepped {
			if n, err = strconv.Atoi(step); err != nil || n < 1 {
				return 0, fmt.Errorf("%q: the step is not a number from 1", part)
			}
		}
		if span != "*" && span != "?" {
			from, to, ranged := strings.Cut(span, "-")
			if low, err = cronValue(from, f.names); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if high, err = cronValue(to, f.names); err != nil {
					return 0, err
				}
			case !stepped:
				high = low
			}
		}
		if low < f.low || high > f.high || low > high {
			return 0, fmt.Errorf("%q is not within %d–%d", part, f.low, f.high)
		}
		for v := low; v <= high; v += n {
			set |= 1 << v
		}
	}
	return set, nil
}

func cronValue(text, names string) (int, error) {
	if i := strings.Index(names, text); len(text) == 3 && i >= 0 && i%3 == 0 {
		return i / 3, nil
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a number nor a name", text)
	}
	return v, nil
}

// next returns the first slot after a time; the zero time when there is none within 30 years.
func (c *cron) next(after time.Time) time.Time {
	if c.every > 0 {
		return c.since.Add((after.Sub(c.since)/c.every + 1) * c.every)
	}
	local := after.In(c.zone)
	y, mo, d := local.Date()
	for day := range 30 * 366 {
		date := time.Date(y, mo, d+day, 0, 0, 0, 0, time.UTC) // a date, whatever the zone
		if !c.matches(date) {
			continue
		}
		for hours := c.field[2]; hours != 0; hours &= hours - 1 {
			for minutes := c.field[1]; minutes != 0; minutes &= minutes - 1 {
				for seconds := c.field[0]; seconds != 0; seconds &= seconds - 1 {
					slot := time.Date(date.Year(), date.Month(), date.Day(), bits.TrailingZeros64(hours),
						bits.TrailingZeros64(minutes), bits.TrailingZeros64(seconds), 0, c.zone)
					if slot.After(after) {
						return slot
					}
				}
			}
		}
	}
	return time.Time{}
}

// matches reports whether a date has slots.
func (c *cron) matches(date time.Time) bool {
	day, weekday := c.field[3]>>date.Day()&1 == 1, c.field[5]>>int(date.Weekday())&1 == 1
	if c.field[4]>>int(date.Month())&1 == 0 {
		return false
	}
	if c.both {
		return day || weekday
	}
	return day && weekday
}
