package host

import (
	"maps"
	"reflect"
)

// Tunable returns the part of the options that may change while a host is used, which Host.Tune takes over; all else is zero.
func (o *Options) Tunable() Options {
	t := Options{
		Adjust: o.Adjust, Canary: o.Canary, DefaultLag: o.DefaultLag, DefaultLagAlert: o.DefaultLagAlert,
		DefaultParallelism: o.DefaultParallelism, DefaultRetry: o.DefaultRetry, Grants: o.Grants, Limits: o.Limits.tunable(),
		Overrides: make(map[string]Override), Secrets: o.Secrets, Steps: o.Steps, TrustedKeys: o.TrustedKeys,
	}
	for plugin, own := range o.Overrides {
		if limits := own.Limits.tunable(); limits != (Limits{}) {
			t.Overrides[plugin] = Override{Limits: limits}
		}
	}
	return t
}

// tunedBy returns the options with what is tunable from opt.
func (o *Options) tunedBy(opt *Options) Options {
	tuned, t := *o, opt.Tunable()
	tuned.Adjust, tuned.Canary, tuned.DefaultRetry = t.Adjust, t.Canary, t.DefaultRetry
	tuned.DefaultLag, tuned.DefaultLagAlert, tuned.DefaultParallelism = t.DefaultLag, t.DefaultLagAlert, t.DefaultParallelism
	tuned.Grants, tuned.Secrets, tuned.Steps, tuned.TrustedKeys = t.Grants, t.Secrets, t.Steps, t.TrustedKeys
	tuned.Limits = t.Limits.or(o.Limits.fixed())
	tuned.Overrides = t.Overrides
	for plugin, own := range maps.All(o.Overrides) {
		tuned.Overrides[plugin] = Override{Isolation: own.Isolation, Limits: t.Overrides[plugin].Limits.or(own.Limits.fixed())}
	}
	return tuned
}

// Tune puts the tunable part of opt in the place of what the host was made with, as a whole. Limits and grants hold from the next
// invocation on, those under way end with the limits that they began with; the rest holds from the next Load on: that makes a new
// catalog with the new defaults, and verifies every file by the new keys. A zero field means its default, as in New. When a field
// is at fault, Tune returns an error and changes nothing. It waits for a Load under way.
//
// A module that serves goes on, even when none of the keys signed it: its plugin then has an error that says so.
func (h *Host) Tune(opt Options) error {
	tuned := h.options.tunedBy(&opt)
	tuned.EnsureDefaults()
	if err := tuned.Validate(); err != nil {
		return err
	}
	h.change.Lock()
	defer h.change.Unlock()
	before := h.tuned.Swap(&tuned)
	h.mu.Lock()
	h.retuned = true
	for _, p := range h.plugins {
		p.seen = stamp{} // verified anew, and what waits for its admission too
		h.retire(p.newer)
		p.newer = nil
		if p.trial != nil {
			p.trial.tune(tuned.Canary)
		}
	}
	for _, m := range h.modules {
		m.tune(before, &tuned)
	}
	h.mu.Unlock()
	h.distrust()
	return nil
}

// tune has a module keep to other options from its next invocation on.
func (m *module) tune(before, now *Options) {
	own := now.override(m.name)
	m.limits.Store(&own.Limits)
	if reflect.DeepEqual(before.Grants[m.name], now.Grants[m.name]) && reflect.DeepEqual(before.Secrets, now.Secrets) {
		return // its connections stay
	}
	old := m.caps.Swap(newCapabilities(m.name, m.manifest, now.Grants[m.name], now.Secrets))
	old.close()
	m.unmeasured.Store(false)
	m.caps.Load().warn(m.host.options.Logger.With("file", m.file))
}

// tune has a trial go by other rules, for what it has counted too.
func (t *trial) tune(rules CanaryRules) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rules = rules
}
