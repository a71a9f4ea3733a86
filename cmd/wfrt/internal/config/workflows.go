package config

import (
	"maps"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// workflowsGroup is the group of the file whose keys are names of workflows.
const workflowsGroup = "workflows"

// settings returns what can be said of the workflow of that name. Setting a field changes w.
func (w *Workflow) settings(name string) []setting {
	return appendSettings(nil, workflowsGroup+"."+name+".", reflect.ValueOf(w).Elem())
}

// WorkflowKeys returns every key of a single workflow, as "retention".
func WorkflowKeys() []string {
	var keys []string
	for _, s := range (&Workflow{}).settings("") {
		keys = append(keys, s.key[len(workflowsGroup+".."):])
	}
	return keys
}

// workflowGroups reads the group of single workflows.
func (f *file) workflowGroups(node *yaml.Node) {
	names := f.mapping(workflowsGroup+".", node)
	for _, name := range names {
		prefix := workflowsGroup + "." + name.key.Value + "."
		f.workflows = append(f.workflows, name.key.Value)
		for _, entry := range f.mapping(prefix, name.value) {
			if known := WorkflowKeys(); slices.Contains(known, entry.key.Value) {
				f.value(prefix+entry.key.Value, entry.value)
			} else {
				f.fault(entry.key.Line, "there is no key "+prefix+entry.key.Value, didYouMean(entry.key.Value, known))
			}
		}
	}
}

// loadWorkflows takes over what the file says of single workflows.
func (c *Config) loadWorkflows(f *file, where origin) Faults {
	var faults Faults
	for _, name := range f.workflows {
		var w Workflow
		for _, s := range w.settings(name) {
			if raw, ok := f.values[s.key]; ok {
				faults = append(faults, s.load(raw, where)...)
			}
		}
		if c.Workflows == nil {
			c.Workflows = map[string]Workflow{}
		}
		c.Workflows[name] = w
	}
	return faults
}

// workflowNames returns the names of the workflows of which something is said, in alphabetical order.
func (c *Config) workflowNames() []string { return slices.Sorted(maps.Keys(c.Workflows)) }
