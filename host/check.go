package host

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// Report is what Check found out about a module file.
type Report struct {
	File        string // its name without the directory
	Digest      string // 64 hexadecimal digits
	Size        int64  // of the file, in bytes
	MemoryBytes int64  // of an instance that has just been initialised
	Manifest    *abi.Manifest
	// Workflows are the definitions that the module makes by itself, by name. One that leaves statuses to other modules is
	// not among them. They are for looking at; they cannot be invoked.
	Workflows []*runtime.Workflow
	Handlers  []Handlers // what the module carries, by workflow and kind
	// Capabilities are what the module asks for, and whether the host that checks it grants them.
	Capabilities []Capability
	Warnings     []string // what is allowed and yet looks like a mistake
}

// Handlers are the handlers of one kind that a module carries for one workflow.
type Handlers struct {
	Workflow string
	Kind     string // one of abi.KindStep …
	// Names are in the order of the manifest, after what they belong to: "paid/late" is the timeout late of the status paid,
	// "cancel/refund" the hook refund that is told of cancellations. A name that is equal to it stands alone.
	Names []string
}

// Check takes a module file through every stage that a load does, and serves nothing. Its error says why the file would be
// refused.
func (h *Host) Check(ctx context.Context, path string) (*Report, error) {
	file := filepath.Base(path)
	src, err := readSource(path, file, h.options.override(nameOf(file)).Limits.ModuleBytes)
	if err != nil {
		return nil, fmt.Errorf("host: check %s: %w", file, err)
	}
	if err := src.verify(path, h.tuned.Load().TrustedKeys); err != nil {
		return nil, fmt.Errorf("host: check %s: %w", file, err)
	}
	m, err := h.prepare(ctx, src, new(totals), false)
	if err != nil {
		return nil, fmt.Errorf("host: check %s: %w", file, err)
	}
	report := &Report{
		File: file, Digest: m.digest.String(), Size: m.size, Manifest: m.manifest,
		MemoryBytes: m.initialized, Capabilities: m.caps.Load().list(),
	}
	m.retire()
	m.freeWhenDrained()
	alone := merge([]part{{
		file: file, digest: m.digest, manifest: m.manifest,
		invoker: func(int32, StepLimits) runtime.Invoker { return nil },
	}}, h.defaults())
	report.Workflows, report.Handlers = alone.workflows, handlersByKind(m.manifest)
	for _, w := range alone.workflows {
		report.Warnings = append(report.Warnings, warnings(w)...)
	}
	return report, nil
}

// handlersByKind lists the handlers of a manifest: workflows in the order of the manifest, kinds in that of runtime.HandlerKind.
func handlersByKind(m *abi.Manifest) []Handlers {
	var lists []Handlers
	for i := range m.Workflows {
		w := &m.Workflows[i]
		for kind := runtime.HandlerStep; kind <= runtime.HandlerConnector; kind++ {
			list := Handlers{Workflow: w.Name, Kind: kind.String()}
			for j := range w.Handlers {
				if h := &w.Handlers[j]; h.Kind == list.Kind {
					list.Names = append(list.Names, fullName(h))
				}
			}
			if len(list.Names) > 0 {
				lists = append(lists, list)
			}
		}
	}
	return lists
}

func fullName(h *abi.Handler) string {
	if of := h.Status + h.On; of != "" && of != h.Name { // a handler has one of them at most
		return of + "/" + h.Name
	}
	return h.Name
}

// warnings names the statuses of a complete workflow that no run can reach, and those from which no run gets to an end.
func warnings(w *runtime.Workflow) []string {
	next := make(map[string][]string)     // status → where its handlers may move a run
	previous := make(map[string][]string) // the other way round
	begins, ends := []string{w.Start}, []string(nil)
	for name, status := range w.Statuses {
		for _, h := range movers(status) {
			next[name] = append(next[name], h.To...)
			for _, to := range h.To {
				previous[to] = append(previous[to], name)
			}
		}
		if status.Terminal {
			ends = append(ends, name)
		}
	}
	for i := range w.Schedules {
		if at := w.Schedules[i].StartAt; at != "" {
			begins = append(begins, at)
		}
	}
	reached, finite := reach(begins, next), reach(ends, previous)
	var found []string
	for name := range w.Statuses {
		if !reached[name] {
			found = append(found, fmt.Sprintf("workflow %s: no run that begins in %q reaches the status %q", w.Name, w.Start, name))
		}
		switch {
		case finite[name]:
		case len(next[name]) == 0:
			found = append(found, fmt.Sprintf("workflow %s: nothing that handles %q has a destination, so no run gets out of it "+
				"to an end", w.Name, name))
		default:
			found = append(found, fmt.Sprintf("workflow %s: no way leads from %q to a terminal status, so no run gets from there "+
				"to an end", w.Name, name))
		}
	}
	slices.Sort(found)
	return found
}

// movers returns the handlers that move runs out of a status.
func movers(s *runtime.Status) []*runtime.Handler {
	handlers := slices.Concat(s.Callbacks, s.Timeouts)
	if s.Step != nil {
		handlers = append(handlers, s.Step)
	}
	return handlers
}

// reach returns what can be reached from some statuses along the edges, themselves included.
func reach(from []string, edges map[string][]string) map[string]bool {
	reached := make(map[string]bool)
	for queue := from; len(queue) > 0; {
		status := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if !reached[status] {
			reached[status] = true
			queue = append(queue, edges[status]...)
		}
	}
	return reached
}
