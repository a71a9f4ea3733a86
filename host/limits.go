package host

import (
	"cmp"
	"errors"
	"fmt"
	goruntime "runtime"
	"strconv"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
)

// Limits bound what the invocations of one plugin may use of the host. The initialisation of an instance and the call for the
// manifest are bound as an invocation is.
type Limits struct {
	// CallDepth is how many calls within each other there may be in the guest. Defaults to 10,000; at most 100,000.
	CallDepth int
	// Fuel is how much one invocation may compute: about one for each instruction of the guest, what host functions cost in
	// proportion. Defaults to 2,000,000,000, about a second of computing.
	Fuel uint64
	// HostBytes is how many bytes may go between the guest and host functions in one invocation, either way. Defaults to
	// 64 MiB.
	HostBytes int64
	// HostCalls is how many host functions one invocation may call. Defaults to 100,000.
	HostCalls int
	// InstanceBytes retires an instance whose memory has grown beyond it, after the invocation. Defaults to three quarters of
	// MemoryBytes.
	InstanceBytes int64
	// InstanceCalls retires an instance after as many invocations. Defaults to 1,000,000.
	InstanceCalls int
	// Instances is how many invocations of one module there are at a time for the handlers of runs: steps, callbacks,
	// timeouts and timers. It is also runtime.Module.Instances, so the engine does not ask for more. Hooks, erase functions
	// and filters wait for none of these and have as many again, but at most 4, for which they wait. A module has no more
	// instances than both. Defaults to 4 × GOMAXPROCS.
	Instances int
	// Invocation is the longest time of one invocation; runtime.Handler.Timeout wins, and a shorter time from
	// runtime.Invocation.Now to Deadline over both. It begins when there is an instance for the invocation. Defaults to 30
	// seconds.
	Invocation time.Duration
	// LogBytes is how much of one invocation's log is kept, in bytes of message and attributes, and 16 for each line.
	// Defaults to 64 KiB.
	LogBytes int
	// ManifestBytes is the longest manifest. Defaults to, and is at most, abi.MaxManifestBytes (1 MiB).
	ManifestBytes int
	// MemoryBytes is the largest memory of one instance, rounded down to pages of 64 KiB. Defaults to 64 MiB; at most 4
	// GiB.
	MemoryBytes int64
	// ModuleBytes is the largest module file. Defaults to 256 MiB.
	ModuleBytes int64
	// ObjectBytes is the longest object that a guest may write. Defaults to 1 MiB.
	ObjectBytes int
}

const (
	pageBytes    = 64 << 10
	minMemory    = 1 << 20
	maxMemory    = 4 << 30
	maxInstance  = 1 << 16
	maxCallDepth = 100_000
	maxFuel      = 1 << 62
)

// or returns the limits with those of defaults in the place of fields that are zero.
func (l Limits) or(defaults Limits) Limits {
	return Limits{
		CallDepth:     cmp.Or(l.CallDepth, defaults.CallDepth),
		Fuel:          cmp.Or(l.Fuel, defaults.Fuel),
		HostBytes:     cmp.Or(l.HostBytes, defaults.HostBytes),
		HostCalls:     cmp.Or(l.HostCalls, defaults.HostCalls),
		InstanceBytes: cmp.Or(l.InstanceBytes, defaults.InstanceBytes),
		InstanceCalls: cmp.Or(l.InstanceCalls, defaults.InstanceCalls),
		Instances:     cmp.Or(l.Instances, defaults.Instances),
		Invocation:    cmp.Or(l.Invocation, defaults.Invocation),
		LogBytes:      cmp.Or(l.LogBytes, defaults.LogBytes),
		ManifestBytes: cmp.Or(l.ManifestBytes, defaults.ManifestBytes),
		MemoryBytes:   cmp.Or(l.MemoryBytes, defaults.MemoryBytes),
		ModuleBytes:   cmp.Or(l.ModuleBytes, defaults.ModuleBytes),
		ObjectBytes:   cmp.Or(l.ObjectBytes, defaults.ObjectBytes),
	}
}

// tunable returns the limits that may change while a module is used; all others are zero.
func (l Limits) tunable() Limits {
	l.CallDepth, l.Instances, l.ManifestBytes, l.MemoryBytes, l.ModuleBytes = 0, 0, 0, 0, 0
	return l
}

// fixed returns the others: what a module is rewritten for, and what its pool and its memories are made for.
func (l Limits) fixed() Limits {
	return Limits{
		CallDepth: l.CallDepth, Instances: l.Instances, ManifestBytes: l.ManifestBytes, MemoryBytes: l.MemoryBytes, ModuleBytes: l.ModuleBytes,
	}
}

// defaultLimits are those of Options.Limits where it says nothing. InstanceBytes is not among them: it follows from
// MemoryBytes, of whichever plugin.
func defaultLimits() Limits {
	return Limits{
		CallDepth: 10_000, Fuel: 2_000_000_000, HostBytes: 64 << 20, HostCalls: 100_000, InstanceCalls: 1_000_000,
		Instances: 4 * goruntime.GOMAXPROCS(0), Invocation: 30 * time.Second, LogBytes: 64 << 10,
		ManifestBytes: abi.MaxManifestBytes, MemoryBytes: 64 << 20, ModuleBytes: 256 << 20, ObjectBytes: 1 << 20,
	}
}

// faults returns what is wrong with limits that have their defaults. of says whose they are, as "plugin orders: ", or "".
func (l *Limits) faults(of string) (faults []error) {
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf("host: "+of+"limit of "+format, args...))
		}
	}
	fault(l.CallDepth < 1 || l.CallDepth > maxCallDepth, "call depth: %d is not in 1–%d", l.CallDepth, maxCallDepth)
	fault(l.Fuel > maxFuel, "fuel: %d is more than %d", l.Fuel, uint64(maxFuel))
	fault(l.HostBytes < 0, "host bytes: %d is negative", l.HostBytes)
	fault(l.HostCalls < 0, "host calls: %d is negative", l.HostCalls)
	fault(l.InstanceBytes < 0, "an instance's bytes: %d is negative", l.InstanceBytes)
	fault(l.InstanceCalls < 0, "an instance's calls: %d is negative", l.InstanceCalls)
	fault(l.Instances < 1 || l.Instances > maxInstance, "instances: %d is not in 1–%d", l.Instances, maxInstance)
	fault(l.Invocation < 0, "an invocation's time: %v is negative", l.Invocation)
	fault(l.LogBytes < 0, "log bytes: %d is negative", l.LogBytes)
	fault(l.ManifestBytes < 0 || l.ManifestBytes > abi.MaxManifestBytes, "manifest bytes: %d is not in 1–%d", l.ManifestBytes,
		abi.MaxManifestBytes)
	fault(l.MemoryBytes < minMemory || l.MemoryBytes > maxMemory, "memory: %d bytes is not in 1 MiB–4 GiB", l.MemoryBytes)
	fault(l.ModuleBytes < 0, "module bytes: %d is negative", l.ModuleBytes)
	fault(l.ObjectBytes < 0, "object bytes: %d is negative", l.ObjectBytes)
	return faults
}

// Limit is something that an invocation can use too much of.
type Limit uint8

// Limits that an invocation can exceed. All but LimitLog end it.
const (
	LimitFuel Limit = iota
	LimitTime
	LimitMemory
	LimitTotalMemory
	LimitDepth
	LimitOutput
	LimitLog
	LimitHostCalls
	LimitHostBytes
	numLimits
)

// String returns the name of the key in plugins.limits that sets the limit.
func (l Limit) String() string {
	return [numLimits]string{
		LimitFuel: "fuel", LimitTime: "timeout", LimitMemory: "memory_bytes", LimitTotalMemory: "total_memory_bytes",
		LimitDepth: "call_depth", LimitOutput: "output_bytes", LimitLog: "log_bytes", LimitHostCalls: "host_calls",
		LimitHostBytes: "host_bytes",
	}[l]
}

// LimitError says that a guest used more than a limit allows.
type LimitError struct {
	Limit Limit
	Used  uint64 // or asked for; of LimitTime in nanoseconds
	Max   uint64 // in the same unit
	Of    string // what was too much, where the limit's name does not say it: "new_object"; may be ""
	Raise string // the key of the configuration that raises the limit; "": that of plugins.limits
	Fixed bool   // no key raises it: docs/abi.md, section 10
}

// Error returns the figures, and what to do.
func (e *LimitError) Error() string {
	figures := "used " + e.figure(e.Used) + " of " + e.figure(e.Max)
	switch e.Limit {
	case LimitTime:
		figures = "it reached the deadline of the invocation, " + e.figure(e.Max)
	case LimitMemory, LimitTotalMemory:
		figures = "it asked for " + e.figure(e.Used) + " of " + e.figure(e.Max)
	case LimitOutput:
		figures = e.figure(e.Used) + " are more than the limit of " + e.figure(e.Max)
	case LimitDepth:
		figures = "more than " + e.figure(e.Max) + " calls within each other"
	case LimitFuel, LimitLog, LimitHostCalls, LimitHostBytes, numLimits:
	}
	text := e.Limit.String() + ": "
	if e.Of != "" {
		text += e.Of + ": "
	}
	if e.Fixed {
		return text + figures + ", which is fixed; let it do less at once"
	}
	return text + figures + "; let it do less at once, or raise " + cmp.Or(e.Raise, "plugins.limits."+e.Limit.String())
}

func (e *LimitError) figure(n uint64) string {
	switch e.Limit {
	case LimitTime:
		return time.Duration(n).String()
	case LimitMemory, LimitTotalMemory, LimitOutput, LimitHostBytes, LimitLog:
		return thousands(n) + " bytes"
	default:
		return thousands(n)
	}
}

// exceed ends the guest's call because it used more than it may of something that no status has limits of.
func exceed(e *LimitError) {
	panic(&fault{text: e.Error(), limit: e})
}

// thousands writes a number in groups of three digits: 1,234,567.
func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// StepLimits are what the operator says of the handlers of one status. What is zero holds as for their plugin. All are of one invocation.
type StepLimits struct {
	Fuel      uint64
	HostBytes int64
	HostCalls int
	LogBytes  int
	// MemoryBytes is what the memory of the instance may grow to meanwhile; the plugin's Limits.MemoryBytes, when smaller, wins. With
	// IsolationPooled it may have grown beyond before.
	MemoryBytes int64
	ObjectBytes int
	Timeout     time.Duration // wins over what the engine says, too
}

// over returns the limits of an invocation: these, and else those of the plugin. Timeout is the engine's to know.
func (l *StepLimits) over(plugin *Limits) Limits {
	both := *plugin
	both.Fuel = cmp.Or(l.Fuel, both.Fuel)
	both.HostBytes = cmp.Or(l.HostBytes, both.HostBytes)
	both.HostCalls = cmp.Or(l.HostCalls, both.HostCalls)
	both.LogBytes = cmp.Or(l.LogBytes, both.LogBytes)
	both.ObjectBytes = cmp.Or(l.ObjectBytes, both.ObjectBytes)
	if l.MemoryBytes > 0 {
		both.MemoryBytes = min(l.MemoryBytes, both.MemoryBytes)
	}
	return both
}

// has reports whether a limit is said of the status.
func (l *StepLimits) has(limit Limit) bool {
	switch limit {
	case LimitFuel:
		return l.Fuel > 0
	case LimitTime:
		return l.Timeout > 0
	case LimitMemory:
		return l.MemoryBytes > 0
	case LimitOutput:
		return l.ObjectBytes > 0
	case LimitLog:
		return l.LogBytes > 0
	case LimitHostCalls:
		return l.HostCalls > 0
	case LimitHostBytes:
		return l.HostBytes > 0
	default: // what a module or all of them have
		return false
	}
}

// Isolation says what one invocation may find of the last in its instance.
type Isolation string

// Isolations.
const (
	// IsolationPooled leaves the memory of an instance as the last invocation left it.
	IsolationPooled Isolation = abi.IsolationPooled
	// IsolationFresh gives every invocation the module's state as it was before the first.
	IsolationFresh Isolation = abi.IsolationFresh
)

// Override is what the operator says of one plugin.
type Override struct {
	Isolation Isolation // "": as the plugin's manifest wishes, else IsolationPooled
	Limits    Limits    // a field that is zero: that of Options.Limits
}

func (o *Override) faults(plugin string) []error {
	faults := o.Limits.faults("plugin " + plugin + ": ")
	if o.Isolation != "" && o.Isolation != IsolationPooled && o.Isolation != IsolationFresh {
		faults = append(faults, fmt.Errorf("host: plugin %s: isolation %q is not known; it is pooled or fresh", plugin, o.Isolation))
	}
	return faults
}

var errNoName = errors.New("host: an override has no plugin's name")
