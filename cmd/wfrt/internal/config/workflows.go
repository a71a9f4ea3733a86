package config

import (
	"maps"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// workflowsGroup is the group of the file whose keys are names of workflows.
const workflowsGroup = "workflows"

// stepsGroup is the group of a workflow whose keys are names of statuses.
const stepsGroup = "steps"

// workflow is what the file says of a workflow: the names below its group whose keys are not known beforehand.
type workflow struct {
	name     string
	statuses []string
}

// WorkflowKeys returns every key of a single workflow, as "retention"; STATUS stands for a name.
func WorkflowKeys() []string {
	keys := membersOf(new(Workflow))
	for _, key := range membersOf(new(Step)) {
		keys = append(keys, stepsGroup+".STATUS."+key)
	}
	return keys
}

// workflowGroups reads the group of single workflows.
func (f *file) workflowGroups(node *yaml.Node) {
	names := f.mapping(workflowsGroup+".", node)
	for _, name := range names {
		prefix := workflowsGroup + "." + name.key.Value + "."
		w := workflow{name: name.key.Value}
		for _, entry := range f.mapping(prefix, name.value) {
			if entry.key.Value != stepsGroup {
				f.member(prefix, entry, append(membersOf(new(Workflow)), stepsGroup))
				continue
			}
			for _, status := range f.mapping(prefix+stepsGroup+".", entry.value) {
				w.statuses = append(w.statuses, status.key.Value)
				below := prefix + stepsGroup + "." + status.key.Value + "."
				for _, entry := range f.mapping(below, status.value) {
					f.member(below, entry, membersOf(new(Step)))
				}
			}
		}
		f.workflows = append(f.workflows, w)
	}
}

// member reads one value, whose key is one of those known.
func (f *file) member(prefix string, e entry, known []string) {
	if !slices.Contains(known, e.key.Value) {
		f.fault(e.key.Line, "there is no key "+prefix+e.key.Value, didYouMean(e.key.Value, known))
		return
	}
	f.value(prefix+e.key.Value, e.value)
}

// loadWorkflows takes over what the file says of single workflows.
func (c *Config) loadWorkflows(f *file, where origin) Faults {
	var faults Faults
	load := func(prefix string, into any) {
		for _, s := range appendSettings(nil, prefix, reflect.ValueOf(into).Elem()) {
			if raw, ok := f.values[s.key]; ok {
				faults = append(faults, s.load(raw, where)...)
			}
		}
	}
	for _, said := range f.workflows {
		var w Workflow
		prefix := workflowsGroup + "." + said.name + "."
		load(prefix, &w)
		for _, status := range said.statuses {
			var step Step
			load(prefix+stepsGroup+"."+status+".", &step)
			if w.Steps == nil {
				w.Steps = map[string]Step{}
			}
			w.Steps[status] = step
		}
		if c.Workflows == nil {
			c.Workflows = map[string]Workflow{}
		}
		c.Workflows[said.name] = w
	}
	return faults
}

// workflowNames returns the names of the workflows of which something is said, in alphabetical order.
func (c *Config) workflowNames() []string { return slices.Sorted(maps.Keys(c.Workflows)) }
