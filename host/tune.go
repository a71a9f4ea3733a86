package host

// Tunable returns the part of the options that may change while a host is used, which Host.Tune takes over; all else is zero.
func (o *Options) Tunable() Options {
	return Options{
		DefaultLagAlert: o.DefaultLagAlert, DefaultParallelism: o.DefaultParallelism, DefaultRetry: o.DefaultRetry,
		Steps: o.Steps, TrustedKeys: o.TrustedKeys,
	}
}

// Tune puts the tunable part of opt in the place of what the host was made with, as a whole, from the next Load on: that makes a
// new catalog with the new defaults, and verifies every file by the new keys. A zero field means its default, as in New. When a
// field is at fault, Tune returns an error and changes nothing. It waits for a Load under way.
//
// A module that serves goes on, even when none of the keys signed it: its plugin then has an error that says so.
func (h *Host) Tune(opt Options) error {
	tuned := opt.Tunable()
	tuned.Dir = h.options.Dir // required, and not looked at
	tuned.EnsureDefaults()
	if err := tuned.Validate(); err != nil {
		return err
	}
	tuned = tuned.Tunable()
	h.change.Lock()
	defer h.change.Unlock()
	h.tuned.Store(&tuned)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retuned = true
	for _, p := range h.plugins {
		p.seen = stamp{} // verified anew, and what waits for its admission too
		h.retire(p.newer)
		p.newer = nil
	}
	return nil
}
