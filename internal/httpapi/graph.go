package httpapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wfrt/wfrt/runtime"
)

// directions of a Mermaid diagram: top to bottom, left to right, and their reverses.
func directions() []string { return []string{"TB", "LR", "RL", "BT"} }

// Mermaid draws a workflow as a Mermaid stateDiagram-v2 (https://mermaid.js.org/syntax/stateDiagram.html) in one of the
// directions TB, LR, RL and BT. A step with several destinations leads to a choice node; callbacks and timeouts are labelled. Every status has an alias of its own, so
// that no name of a status can be taken for a word of the language.
func Mermaid(w *runtime.Workflow, direction string) string {
	statuses := inOrder(w)
	alias := make(map[string]string, len(statuses))
	for i, s := range statuses {
		alias[s.Name] = aliasOf(s.Name, i)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "stateDiagram-v2\n    direction %s\n", direction)
	for _, s := range statuses {
		fmt.Fprintf(&b, "    state \"%s\" as %s\n", labelOf(s.Name), alias[s.Name])
	}
	for _, s := range statuses {
		if s.Step != nil && len(s.Step.To) > 1 {
			fmt.Fprintf(&b, "    state choice_%s <<choice>>\n", alias[s.Name])
		}
	}
	if start, ok := alias[w.Start]; ok {
		fmt.Fprintf(&b, "    [*] --> %s\n", start)
	}
	for _, s := range statuses {
		drawExits(&b, s, alias)
	}
	return b.String()
}

// drawExits draws what leads out of a status: its end, its step, and with a label its callbacks and timeouts.
func drawExits(b *strings.Builder, s *runtime.Status, alias map[string]string) {
	from := alias[s.Name]
	if s.Terminal {
		fmt.Fprintf(b, "    %s --> [*]\n", from)
		return
	}
	draw := func(from string, to []string, label string) {
		for _, name := range to {
			if target, ok := alias[name]; ok {
				fmt.Fprintf(b, "    %s --> %s%s\n", from, target, label)
			}
		}
	}
	switch {
	case s.Step == nil:
	case len(s.Step.To) > 1:
		fmt.Fprintf(b, "    %s --> choice_%s\n", from, from)
		draw("choice_"+from, s.Step.To, "")
	default:
		draw(from, s.Step.To, "")
	}
	for _, h := range s.Callbacks {
		draw(from, h.To, ": callback "+labelOf(h.Name))
	}
	for _, h := range s.Timeouts {
		after := "computed"
		if h.Timer == nil {
			after = h.After.String()
		}
		draw(from, h.To, ": timeout "+labelOf(h.Name)+" ("+after+")")
	}
}

// inOrder returns the statuses in the order a run can meet them: breadth first from the start, and then, by name, those that
// only a trigger with start_at can reach, each with what follows from it.
func inOrder(w *runtime.Workflow) []*runtime.Status {
	var all []*runtime.Status
	seen := make(map[string]bool, len(w.Statuses))
	add := func(name string) {
		if s := w.Statuses[name]; s != nil && !seen[name] {
			seen[name] = true
			all = append(all, s)
		}
	}
	next := 0
	for _, root := range append([]string{w.Start}, slices.Sorted(maps.Keys(w.Statuses))...) {
		add(root)
		for ; next < len(all); next++ {
			for _, h := range exits(all[next]) {
				for _, to := range h.To {
					add(to)
				}
			}
		}
	}
	return all
}

// aliasOf returns an identifier: s_<name> when the name consists of letters, digits and underscores, else x<i>.
func aliasOf(name string, i int) string {
	for _, c := range name {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return fmt.Sprintf("x%d", i)
		}
	}
	return "s_" + name
}

// labelOf writes what has a meaning in the language as a numeric entity code, and controls as a space.
func labelOf(name string) string {
	var b strings.Builder
	for _, c := range name {
		switch {
		case c < ' ' || c == 0x7f || c == 0x85 || c == 0x2028 || c == 0x2029:
			b.WriteByte(' ')
		case strings.ContainsRune("\"#;<>&:{}%`\\", c):
			fmt.Fprintf(&b, "#%d;", c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
