package runtime

// Tunable returns the part of the options that may change while an engine runs, which Engine.Tune takes over; all else is zero.
func (o *Options) Tunable() Options {
	return Options{
		AutoResume: o.AutoResume, ForgetAfter: o.ForgetAfter, MaxObject: o.MaxObject, MaxVersions: o.MaxVersions,
		NoHistoryObjects: o.NoHistoryObjects, Relay: o.Relay, StepTimeout: o.StepTimeout,
	}
}

// Tune puts the tunable part of opt in the place of what the engine was made with, as a whole: from its return on, whatever
// begins uses it, and what is under way may end with what it began with. A zero field means its default, as in New. When a field
// is at fault, Tune returns an error and changes nothing. The retention of events holds from the next trim on, within the hour.
func (e *Engine) Tune(opt Options) error {
	tuned := opt.Tunable()
	tuned.Store = e.store // required, and not looked at
	tuned.EnsureDefaults()
	if err := tuned.Validate(); err != nil {
		return err
	}
	tuned = tuned.Tunable()
	e.tuned.Store(&tuned)
	return nil
}
