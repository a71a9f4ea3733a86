package host

import "time"

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
	// Waited is one invocation that found no idle instance: how long it waited for one, or for a new one.
	Waited(d time.Duration)
	// LogsCut is one invocation that wrote more log than its limit.
	LogsCut()
	// Measured is a measurement that the plugin takes. An error says why it is not taken, as when there are too many series.
	Measured(m Measurement) error
	// Loaded is one attempt to have a module of the plugin serve, or the end of one that did.
	Loaded(result LoadResult)
}

// LoadResult is what became of an attempt to have a module serve.
type LoadResult string

// Load results.
const (
	LoadServed     LoadResult = "served"      // new runs begin on it
	LoadCanary     LoadResult = "canary"      // a share of the new runs begins on it
	LoadRefused    LoadResult = "refused"     // what served before goes on
	LoadRolledBack LoadResult = "rolled_back" // a canary was taken back, by a person or because it failed
	LoadRemoved    LoadResult = "removed"     // an operator had it serve no longer
)

// NoMeter is a Meter that measures nothing.
type NoMeter struct{}

// Plugin implements Meter.
func (NoMeter) Plugin(string) PluginMeter { return NoMeter{} }

// Trapped implements PluginMeter.
func (NoMeter) Trapped() {}

// Instances implements PluginMeter.
func (NoMeter) Instances(int) {}

// Waited implements PluginMeter.
func (NoMeter) Waited(time.Duration) {}

// LogsCut implements PluginMeter.
func (NoMeter) LogsCut() {}

// Loaded implements PluginMeter.
func (NoMeter) Loaded(LoadResult) {}

// Measured implements PluginMeter.
func (NoMeter) Measured(Measurement) error { return nil }
