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
	change.takeOverrides(c.Plugins.Overrides, next.Plugins.Overrides)
	change.Config.Plugins.Secrets = next.Plugins.Secrets
	if !reflect.DeepEqual(c.Plugins.Secrets, next.Plugins.Secrets) {
		change.Now = append(change.Now, secretsGroup)
	}
	if !reflect.DeepEqual(c.Connectors, next.Connectors) {
		change.Later = append(change.Later, "connectors")
	}
	change.Config.Workflows = next.Workflows
	for _, name := range eitherHas(c.Workflows, next.Workflows) {
		if !reflect.DeepEqual(c.Workflows[name], next.Workflows[name]) {
			change.Now = append(change.Now, workflowsGroup+"."+name)
		}
	}
	if faults := change.Config.validate(origin{file: parseFile("", nil)}, nil); len(faults) > 0 {
		return Change{}, faults
	}
	return change, nil
}

// takeOverrides takes over what holds for single plugins: their grants, and their limits as far as those of all are taken over.
func (c *Change) takeOverrides(was, next map[string]Override) {
	if len(was)+len(next) == 0 {
		return
	}
	c.Config.Plugins.Overrides = make(map[string]Override)
	for _, name := range eitherHas(was, next) {
		old, wanted := was[name], next[name]
		result := wanted
		var later []string
		limits := func(o *Override) []setting {
			return appendSettings(nil, overridesGroup+"."+name+".limits.", reflect.ValueOf(&o.Limits).Elem())
		}
		before, after := limits(&old), limits(&wanted)
		for i, s := range limits(&result) {
			if !s.atOnce && !reflect.DeepEqual(before[i].field.Interface(), after[i].field.Interface()) {
				s.field.Set(before[i].field)
				later = append(later, s.key)
			}
		}
		if old.Isolation != wanted.Isolation {
			result.Isolation = old.Isolation
			later = append(later, overridesGroup+"."+name+".isolation")
		}
		if !reflect.DeepEqual(old, result) {
			c.Now = append(c.Now, overridesGroup+"."+name)
		}
		if _, there := next[name]; there || len(later) > 0 {
			c.Config.Plugins.Overrides[name] = result
		}
		c.Later = append(c.Later, later...)
	}
}

// eitherHas returns the keys of both maps, each once, in alphabetical order.
func eitherHas[V any](a, b map[string]V) []string {
	both := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(both)
	return slices.Compact(both)
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
