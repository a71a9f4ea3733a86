package main

import (
	"net/url"

	"github.com/spf13/pflag"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// runFilter selects runs: those that all that is given holds for.
type runFilter struct {
	workflows, states, statuses, foreignIDs []string
	after, before                           string // of their creation; RFC 3339
}

// flags adds the flags of a filter.
func (f *runFilter) flags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.workflows, "workflow", nil, "only runs of this `workflow`; may be given several times")
	flags.StringArrayVar(&f.states, "state", nil, "only runs in this run `state`; may be given several times")
	flags.StringArrayVar(&f.statuses, "status", nil, "only runs in this `status`; may be given several times")
	flags.StringArrayVar(&f.foreignIDs, "foreign-id", nil, "only runs of this foreign `ID`; may be given several times")
	flags.StringVar(&f.after, "created-after", "", "only runs created at this `time` or later (RFC 3339)")
	flags.StringVar(&f.before, "created-before", "", "only runs created before this `time` (RFC 3339)")
}

// query returns the parameters of a list.
func (f *runFilter) query() url.Values {
	query := url.Values{}
	for name, values := range map[string][]string{
		"workflow": f.workflows, "state": f.states, "status": f.statuses, "foreign_id": f.foreignIDs,
	} {
		if len(values) > 0 {
			query[name] = values
		}
	}
	for name, value := range map[string]string{"created_after": f.after, "created_before": f.before} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// bulk returns the filter of a bulk action.
func (f *runFilter) bulk() httpapi.BulkFilter {
	return httpapi.BulkFilter{
		Workflows: f.workflows, States: f.states, Statuses: f.statuses, ForeignIDs: f.foreignIDs,
		CreatedAfter: httpapi.Timestamp(f.after), CreatedBefore: httpapi.Timestamp(f.before),
	}
}
