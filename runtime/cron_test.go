package runtime

import (
	"strings"
	"testing"
	"time"
)

func TestCronSlots(t *testing.T) {
	const layout = "2006-01-02 15:04:05 -0700"
	for _, c := range []struct{ name, expr, zone, after, want string }{
		{"every quarter", "*/15 * * * *", "", "2026-01-01 00:01:00 +0000", "2026-01-01 00:15:00 +0000, 2026-01-01 00:30:00 +0000"},
		{"names, ranges, lists, steps", "0 9-17/4 * JAN,MAR MON-FRI", "", "2026-01-02 10:00:00 +0000", "2026-01-02 13:00:00 +0000, 2026-01-02 17:00:00 +0000, 2026-01-05 09:00:00 +0000"},
		{"seconds", "30 0 12 * * *", "", "2026-01-01 12:00:30 +0000", "2026-01-02 12:00:30 +0000"},
		{"daily", "@daily", "Asia/Kolkata", "2026-01-01 00:00:00 +0530", "2026-01-02 00:00:00 +0530"},
		{"29 February", "0 0 29 2 *", "", "2026-03-01 00:00:00 +0000", "2028-02-29 00:00:00 +0000, 2032-02-29 00:00:00 +0000"},
		{"29 February over a century", "0 0 29 2 *", "", "2096-02-29 00:00:00 +0000", "2104-02-29 00:00:00 +0000"},
		{"Sunday is 0 and 7", "0 0 * * 7", "", "2026-01-01 00:00:00 +0000", "2026-01-04 00:00:00 +0000"},
		{"a time in the gap is the jump", "30 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00 +0100", "2026-03-29 03:00:00 +0200, 2026-03-30 02:30:00 +0200"},
		{"several times in the gap are one slot", "0,20,40 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00 +0100", "2026-03-29 03:00:00 +0200, 2026-03-30 02:00:00 +0200"},
		{"a time in the fold is its first occurrence", "30 2 * * *", "Europe/Berlin", "2026-10-24 12:00:00 +0200", "2026-10-25 02:30:00 +0200, 2026-10-26 02:30:00 +0100"},
		{"from between the two occurrences", "30 2 * * *", "Europe/Berlin", "2026-10-25 02:10:00 +0100", "2026-10-26 02:30:00 +0100"},
		{"a rhythm goes on through the fold", "30 * * * *", "Europe/Berlin", "2026-10-25 01:45:00 +0200", "2026-10-25 02:30:00 +0200, 2026-10-25 02:30:00 +0100, 2026-10-25 03:30:00 +0100"},
		{"a rhythm leaves the gap out", "30 * * * *", "Europe/Berlin", "2026-03-29 01:00:00 +0100", "2026-03-29 01:30:00 +0100, 2026-03-29 03:30:00 +0200"},
		{"a gap at midnight", "0 0 * * *", "America/Sao_Paulo", "2018-11-03 12:00:00 -0300", "2018-11-04 01:00:00 -0200, 2018-11-05 00:00:00 -0200"},
		{"a half hour of change", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00:00 +1030", "2026-10-04 02:30:00 +1100, 2026-10-05 02:15:00 +1100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cron, err := parseCron(c.expr, c.zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(layout, c.after)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for range strings.Split(c.want, ", ") {
				at = cron.next(at, time.Time{})
				got = append(got, at.In(cron.zone).Format(layout))
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("slots\n %s, want\n %s", strings.Join(got, ", "), c.want)
			}
		})
	}
}

func TestCronEvery(t *testing.T) {
	c, err := parseCron("@every 90s", "")
	if err != nil {
		t.Fatal(err)
	}
	since := time.Date(2026, 1, 1, 0, 0, 7, 0, time.UTC)
	for after, want := range map[time.Duration]time.Duration{
		-time.Hour: 90 * time.Second, 0: 90 * time.Second, 89 * time.Second: 90 * time.Second, 90 * time.Second: 180 * time.Second,
	} {
		if got := c.next(since.Add(after), since); !got.Equal(since.Add(want)) {
			t.Errorf("after %v: %v, want %v", after, got.Sub(since), want)
		}
	}
}

// The last slot up to now is that which is reached one by one from the first, in any zone and at any distance.
func TestCronLast(t *testing.T) {
	since := time.Date(2026, 3, 27, 0, 0, 7, 0, time.UTC)
	for _, c := range []struct{ expr, zone string }{
		{"@every 90s", ""},
		{"* * * * *", ""},
		{"30 2 * * *", "Europe/Berlin"},
		{"30 * * * *", "Europe/Berlin"},
		{"*/7 2-4 * * *", "Europe/Berlin"},
		{"0 0 29 2 *", ""},
		{"0 12 * * MON", "America/Sao_Paulo"},
	} {
		cron, err := parseCron(c.expr, c.zone)
		if err != nil {
			t.Fatal(err)
		}
		first := cron.next(since, since)
		want := first
		for now := first; now.Before(since.AddDate(0, 0, 3)); now = now.Add(3637 * time.Second) {
			for next := cron.next(want, since); !next.IsZero() && !next.After(now); next = cron.next(want, since) {
				want = next
			}
			if got := cron.last(first, now, since); !got.Equal(want) {
				t.Fatalf("%s in zone %q: the last slot up to %v is %v, want %v", c.expr, c.zone, now, got, want)
			}
		}
	}
}

// After years without a look the last slot of a schedule that has one every second is found all the same: there are too many to go through.
func TestCronLastAfterYears(t *testing.T) {
	cron, err := parseCron("* * * * * *", "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2006, 1, 1, 0, 0, 0, 0, time.UTC)
	if now := first.AddDate(20, 0, 0); !cron.last(first, now, first).Equal(now) {
		t.Errorf("%v", cron.last(first, now, first))
	}
}

func TestCronRefusals(t *testing.T) {
	for _, c := range [][3]string{
		{"", "", "cron"},
		{"* * * *", "", "cron"},
		{"60 * * * *", "", "cron"},
		{"@every", "", "cron"},
		{"@every 10ms", "", "cron"},
		{"@daily", "Mars/Olympus", "zone"},
		{"@daily", "Local", "zone"},
		{"0 0 31 2 *", "", "cron"},
	} {
		s := ScheduleSpec{Name: "s", Cron: c[0], Zone: c[1]}
		err := s.Check()
		invalid, ok := err.(*InvalidError) //nolint:errorlint // Check returns it as it is
		if !ok || invalid.Field != c[2] {
			t.Errorf("%q in %q: %v, want what is wrong with the %s", c[0], c[1], err, c[2])
		}
	}
}

// What is wrong is named where one field alone is, and nothing is named where it cannot be told.
func TestCronNamesTheWrongField(t *testing.T) {
	for expr, want := range map[string]string{
		"61 * * * *":       `: its minute is "61"`,
		"0 25 * * *":       `: its hour is "25"`,
		"0 6 32 * *":       `: its day is "32"`,
		"0 6 * FOO *":      `: its month is "FOO"`,
		"0 6 * * FUNDAY":   `: its weekday is "FUNDAY"`,
		"60 0 6 * * *":     `: its second is "60"`,
		"10-5 */0 * * MON": `: its minute is "10-5"`,
		"* *":              "",
		"never":            "",
	} {
		err := (&ScheduleSpec{Name: "s", Cron: expr}).Check()
		if err == nil || !strings.Contains(err.Error(), "is not a cron expression"+want+"; write five fields") {
			t.Errorf("%q: %v; want %q", expr, err, want)
		}
	}
}

// Slots ascend strictly, whatever the zone and the moment.
func FuzzCron(f *testing.F) {
	f.Add("30 2 * * *", "Europe/Berlin", int64(1774746000))
	f.Add("*/7 */3 * * 1-5", "America/New_York", int64(1793491200))
	f.Fuzz(func(t *testing.T, expr, zone string, at int64) {
		if at < 0 || at > 1<<33 {
			return
		}
		c, err := parseCron(expr, zone)
		if err != nil {
			return
		}
		slot := time.Unix(at, 0)
		for range 4 {
			next := c.next(slot, time.Unix(at, 0))
			if next.IsZero() {
				return
			}
			if !next.After(slot) {
				t.Fatalf("%q in %q: %v follows %v", expr, zone, next, slot)
			}
			slot = next
		}
	})
}
