package dev

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wfrt/wfrt/sdk/abi"
)

// Changes says what differs between the statuses of two manifests, a line for each, in alphabetical order: what is new ("+"), what
// is gone ("-"), and what is handled or leads elsewhere than before ("~"). A nil manifest has no statuses.
func Changes(before, after *abi.Manifest) []string {
	was, is := statuses(before), statuses(after)
	all := slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(is))
	slices.Sort(all)
	var lines []string
	for _, status := range slices.Compact(all) {
		old, had := was[status]
		now, has := is[status]
		switch {
		case !had:
			lines = append(lines, fmt.Sprintf("+ %s  %s", status, now))
		case !has:
			lines = append(lines, fmt.Sprintf("- %s  %s", status, old))
		case old != now:
			lines = append(lines, fmt.Sprintf("~ %s  %s, before %s", status, now, old))
		}
	}
	return lines
}

// statuses describes every status of a manifest, by "workflow status".
func statuses(m *abi.Manifest) map[string]string {
	described := make(map[string]string)
	if m == nil {
		return described
	}
	for i := range m.Workflows {
		w := &m.Workflows[i]
		handled := make(map[string][]string)
		for j := range w.Handlers {
			if h := &w.Handlers[j]; h.Status != "" {
				what := h.Kind
				if h.Kind != abi.KindStep {
					what += " " + h.Name
				}
				handled[h.Status] = append(handled[h.Status], what+" to "+strings.Join(h.To, " | "))
			}
		}
		for status, handlers := range handled {
			slices.Sort(handlers)
			described[w.Name+" "+status] = strings.Join(handlers, ", ")
		}
		for _, status := range w.Terminal {
			described[w.Name+" "+status] = "(end)"
		}
		for _, status := range w.External {
			described[w.Name+" "+status] = "(another plugin)"
		}
	}
	return described
}
