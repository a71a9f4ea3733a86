package host

// Meter takes the host's measurements. Invocations and their times are the engine's to measure: runtime.Meter.
type Meter interface {
	// Plugin returns the meter of the plugin of that name. What it returns is kept and called from many goroutines; it must
	// not block.
	Plugin(name string) PluginMeter
}

// PluginMeter measures one plugin.
type PluginMeter interface {
	// Trapped is one invocation that the guest did not survive: a trap, an exit, a limit.
	Trapped()
	// Instances is a change of the number of instances by delta.
	Instances(delta int)
	// LogsCut is one invocation that wrote more log than its limit.
	LogsCut()
	// Loaded is one attempt to load the plugin's file; it served afterwards, or was refused.
	Loaded(served bool)
}

// NoMeter is a Meter that measures nothing.
type NoMeter struct{}

// Plugin implements Meter.
func (NoMeter) Plugin(string) PluginMeter { return NoMeter{} }

// Trapped implements PluginMeter.
func (NoMeter) Trapped() {}

// Instances implements PluginMeter.
func (NoMeter) Instances(int) {}

// LogsCut implements PluginMeter.
func (NoMeter) LogsCut() {}

// Loaded implements PluginMeter.
func (NoMeter) Loaded(bool) {}
