package sdktest

import (
	"strings"
	"testing"
	"time"
)

func TestCron(t *testing.T) {
	const layout = "2006-01-02 15:04:05 -0700"
	for _, c := range []struct{ expr, zone, after, want string }{
		{"*/15 * * * *", "", "2026-01-01 00:01:00 +0000", "2026-01-01 00:15:00 +0000, 2026-01-01 00:30:00 +0000"},
		{
			"0 9-17/4 * jan,MAR MON-FRI", "", "2026-01-02 10:00:00 +0000",
			"2026-01-02 13:00:00 +0000, 2026-01-02 17:00:00 +0000, 2026-01-05 09:00:00 +0000",
		},
		{"30 0 12 * * *", "", "2026-01-01 12:00:30 +0000", "2026-01-02 12:00:30 +0000"},
		{"@daily", "Asia/Kolkata", "2026-01-01 00:00:00 +0530", "2026-01-02 00:00:00 +0530"},
		{"0 0 29 2 *", "", "2026-03-01 00:00:00 +0000", "2028-02-29 00:00:00 +0000, 2032-02-29 00:00:00 +0000"},
		{"0 0 * * 7", "", "2026-01-01 00:00:00 +0000", "2026-01-04 00:00:00 +0000"},
		{
			"0 0 13 * FRI", "", "2026-01-01 00:00:00 +0000",
			"2026-01-02 00:00:00 +0000, 2026-01-09 00:00:00 +0000, 2026-01-13 00:00:00 +0000",
		},
		{"0 0 ? * MON", "", "2026-01-01 00:00:00 +0000", "2026-01-05 00:00:00 +0000"},
		{"@every 90s", "", "2026-01-01 00:00:00 +0000", "2026-01-01 00:01:30 +0000, 2026-01-01 00:03:00 +0000"},
	} {
		at, err := time.Parse(layout, c.after)
		if err != nil {
			t.Fatal(err)
		}
		cron, err := parseCron(c.expr, c.zone, at)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		var got []string
		for range strings.Split(c.want, ", ") {
			at = cron.next(at)
			got = append(got, at.In(cron.zone).Format(layout))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: slots\n %s, want\n %s", c.expr, strings.Join(got, ", "), c.want)
		}
	}
	for _, expr := range []string{
		"", "* * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "* * * * XYZ", "* * L * *", "@every 10ms", "@monday",
	} {
		if _, err := parseCron(expr, "", time.Time{}); err == nil {
			t.Errorf("%q is accepted", expr)
		}
	}
	if _, err := parseCron("@daily", "Mars/Olympus", time.Time{}); err == nil {
		t.Error("a zone of Mars is accepted")
	}
	never, err := parseCron("0 0 31 2 *", "", time.Time{})
	if err != nil || !never.next(time.Unix(0, 0)).IsZero() {
		t.Errorf("31 February comes: %v", err)
	}
}
