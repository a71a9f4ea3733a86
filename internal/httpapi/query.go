package httpapi

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/wfrt/wfrt/runtime"
)

// strictQuery refuses a query that names what the operation does not have, names it twice where it takes one value, or gives
// it no value. So a mistyped filter never passes as no filter.
func strictQuery(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if r.URL.RawQuery != "" {
		if p := checkQuery(r.URL.RawQuery, ctx.Operation().Parameters); p != nil {
			p.write(w)
			return
		}
	}
	next(ctx)
}

func checkQuery(raw string, params []*huma.Param) *Problem {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return invalid("the query", "cannot be read: "+err.Error(), "percent-encode its values")
	}
	var known []string
	for _, p := range params {
		if p.In == "query" {
			known = append(known, p.Name)
		}
	}
	for name, values := range query {
		at := slices.IndexFunc(params, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
		switch {
		case at < 0:
			hint := "this request has none"
			if len(known) > 0 {
				hint = knownHint("query parameters", name, known)
			}
			p := invalid(fmt.Sprintf("%.80q", name), "is not a query parameter of this request", hint, known...)
			p.Field = name
			return p
		case slices.Contains(values, ""):
			return invalid(name, "is empty", "give it a value, or leave it out")
		case len(values) > 1 && params[at].Schema.Type != huma.TypeArray:
			return invalid(name, fmt.Sprintf("is given %d times", len(values)), "give it once")
		}
	}
	return nil
}

// The types of the parameters are strings that say in the OpenAPI document what they mean. They are read by the operations,
// so that what is wrong with them is answered as everything else that is wrong.

// limit is how many entries a page holds at most.
type limit string

const (
	defaultLimit = 50
	maxLimit     = 1000
)

// Schema implements huma.SchemaProvider.
func (limit) Schema(huma.Registry) *huma.Schema {
	least, most := 1.0, float64(maxLimit)
	return &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: defaultLimit}
}

func (l limit) value() (int, error) {
	if l == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(string(l))
	if err != nil || n < 1 || n > maxLimit {
		return 0, invalidLimit(string(l))
	}
	return n, nil
}

func invalidLimit(limit any) *Problem {
	return invalid("limit", fmt.Sprintf("is %.40q", fmt.Sprint(limit)), fmt.Sprintf("give a number from 1 to %d", maxLimit))
}

// Timestamp is a moment as of RFC 3339, as a client writes it; "" is none.
type Timestamp string

// Schema implements huma.SchemaProvider.
func (Timestamp) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}

func (t Timestamp) value(field string) (time.Time, error) {
	if t == "" {
		return time.Time{}, nil
	}
	v, err := time.Parse(time.RFC3339Nano, string(t))
	if err != nil {
		return time.Time{}, invalid(field, fmt.Sprintf("is %.40q", string(t)),
			"give an RFC 3339 time such as 2026-01-31T09:30:00Z, with + in the offset percent-encoded as %2B")
	}
	return v, nil
}

// duration is a length of time as Go writes it.
type duration string

// Schema implements huma.SchemaProvider.
func (duration) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`, Examples: []any{"30s"}}
}

func (d duration) value(field string, otherwise, most time.Duration) (time.Duration, error) {
	if d == "" {
		return min(otherwise, most), nil
	}
	v, err := time.ParseDuration(string(d))
	if err != nil || v < 0 {
		return 0, invalid(field, fmt.Sprintf("is %.40q", string(d)), "give a duration such as 30s or 2m")
	}
	if v > most {
		return 0, invalid(field, "is "+v.String(),
			fmt.Sprintf("at most %s is allowed (server.await_max); ask again when it has passed", most))
	}
	return v, nil
}

// boolean is true or false.
type boolean string

// Schema implements huma.SchemaProvider.
func (boolean) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeBoolean} }

func (b boolean) value(field string, otherwise bool) (bool, error) {
	switch b {
	case "":
		return otherwise, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, invalid(field, fmt.Sprintf("is %.40q", string(b)), "give true or false", "true", "false")
	}
}

// order is how a list is sorted.
type order string

// Schema implements huma.SchemaProvider.
func (order) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: []any{"asc", "desc"}, Default: "desc"}
}

func (o order) descending() (bool, error) {
	switch o {
	case "", "desc":
		return true, nil
	case "asc":
		return false, nil
	default:
		return false, invalid("order", fmt.Sprintf("is %.40q", string(o)),
			"give asc (oldest first) or desc (newest first)", "asc", "desc")
	}
}

// stateName is the name of a run state.
type stateName string

func stateNames() []string {
	var names []string
	for _, s := range runtime.RunStates() {
		names = append(names, s.String())
	}
	return names
}

// Schema implements huma.SchemaProvider.
func (stateName) Schema(huma.Registry) *huma.Schema {
	schema := &huma.Schema{Type: huma.TypeString}
	for _, name := range stateNames() {
		schema.Enum = append(schema.Enum, name)
	}
	return schema
}

func (s stateName) value() (runtime.RunState, error) {
	if s == "" {
		return 0, nil
	}
	state, err := runtime.ParseRunState(string(s))
	if err != nil {
		p := unknown("state", "run states", string(s), stateNames())
		p.Type, p.Title = "urn:wfrt:problem:unknown-state", "There is no such run state"
		return 0, p
	}
	return state, nil
}

// quoted shows a name that a client gave, cut when it is long.
func quoted(name string) string { return fmt.Sprintf("%.80q", name) }

// escaped writes a name as one segment of a path, also one that consists of dots.
func escaped(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// runID reads a run ID from a path.
func runID(text string) (runtime.RunID, error) {
	id, err := runtime.ParseRunID(text)
	if err != nil {
		return id, invalid("run_id", fmt.Sprintf("is %.60q, which is no run ID", text),
			"give a UUID of version 7, as the trigger answered it")
	}
	return id, nil
}
