package config

import (
	"maps"
	"reflect"
	"slices"
)

// Change is what becomes of a server's configuration when it is given another while it serves.
type Change struct {
	Config Config   // what holds from now on
	Now    []string // the keys that have another value from now on, in the order of the fields
	Later  []string // the keys whose other value takes effect at the next start
}

// TakeOver returns what becomes of c, the configuration of a server that serves, when it is given next. Keys that are taken over
// at once come from next, all others stay. A combination that is not allowed, such as no token at an address that others can
// reach when the new address is still to come, is reported as Faults, and then nothing may be taken over.
func (c *Config) TakeOver(next *Config) (Change, error) {
	change := Change{Config: *c}
	was, will, result := c.settings(), next.settings(), change.Config.settings()
	for i, s := range result {
		switch {
		case reflect.DeepEqual(was[i].field.Interface(), will[i].field.Interface()):
		case s.atOnce:
			s.field.Set(will[i].field)
			change.Now = append(change.Now, s.key)
		default:
			change.Later = append(change.Later, s.key)
		}
	}
	if !reflect.DeepEqual(c.Plugins.Overrides, next.Plugins.Overrides) {
		change.Later = append(change.Later, overridesGroup)
	}
	if !reflect.DeepEqual(c.Plugins.Secrets, next.Plugins.Secrets) {
		change.Later = append(change.Later, secretsGroup)
	}
	if !reflect.DeepEqual(c.Connectors, next.Connectors) {
		change.Later = append(change.Later, "connectors")
	}
	change.Config.Workflows = next.Workflows
	both := slices.Collect(maps.Keys(c.Workflows))
	both = slices.AppendSeq(both, maps.Keys(next.Workflows))
	slices.Sort(both)
	for _, name := range slices.Compact(both) {
		if !reflect.DeepEqual(c.Workflows[name], next.Workflows[name]) {
			change.Now = append(change.Now, workflowsGroup+"."+name)
		}
	}
	if faults := change.Config.validate(origin{file: parseFile("", nil)}, nil); len(faults) > 0 {
		return Change{}, faults
	}
	return change, nil
}

// AtOnce reports whether a server takes over a new value of a key while it serves.
func AtOnce(key string) bool {
	var c Config
	for _, s := range c.settings() {
		if s.key == key {
			return s.atOnce
		}
	}
	return false
}
