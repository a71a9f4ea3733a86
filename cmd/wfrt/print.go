package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// json reports whether the output is for programs.
func (a *app) json() bool { return a.output == "json" }

// printJSON writes one document, indented.
func (a *app) printJSON(v any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// printJSONLine writes one document of a stream, in one line.
func (a *app) printJSONLine(v any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// table is rows of columns that line up.
type table struct{ w *tabwriter.Writer }

// newTable begins a table with its headings.
func newTable(w io.Writer, headings ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(headings...)
	return t
}

// row adds a row. What came from a server is shown without control characters: it must not steer a terminal.
func (t table) row(columns ...string) {
	for i, c := range columns {
		if columns[i] = oneLine(c); c == "" {
			columns[i] = "-"
		}
	}
	_, _ = fmt.Fprintln(t.w, strings.Join(columns, "\t")) // flush reports it
}

// flush writes the table.
func (t table) flush() error { return t.w.Flush() }

// oneLine replaces control characters by spaces.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// clock shows a time to people, in their zone.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05.000")
}

// took shows a duration with about three digits.
func took(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}

// thousands writes a number in groups of three digits: 1,234,567.
func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// plural counts things: "1 run", "2 runs".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// object shows a JSON value to people, indented.
func indented(raw json.RawMessage) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if len(raw) == 0 || encoder.Encode(raw) != nil {
		return string(raw)
	}
	return strings.TrimSpace(out.String())
}
