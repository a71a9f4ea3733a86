package host

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/runtime"
)

// Options are what a Host is made with. The zero value of every field but Dir is usable.
type Options struct {
	// CacheDir is where compiled modules are kept for the next start, each in a folder named after the digest of its file;
	// it is made when missing. Folders of digests that are not loaded are removed, damaged ones made anew, and other files
	// left alone. One host at a time uses it, and while none does it may be removed. Defaults to "": every start compiles
	// anew.
	CacheDir string
	// Clock tells guests the time and ends their sleeps. Defaults to runtime.SystemClock.
	Clock runtime.Clock
	// DefaultLagAlert holds for steps whose manifest does not say otherwise: a task that waits longer for a worker is
	// counted as late. Defaults to 0: never.
	DefaultLagAlert time.Duration
	// DefaultParallelism is how many invocations of a step run at a time, of steps whose manifest does not say. Defaults to 0: as
	// many as there are instances.
	DefaultParallelism int
	// DefaultRetry holds for handlers whose manifest does not say otherwise. Zero fields default to those of
	// runtime.DefaultRetry.
	DefaultRetry runtime.Retry
	// Dir is the plugins directory: each file in it whose name ends in ".wasm" and does not begin with "." is a plugin.
	// Required. It need not exist before Load.
	Dir string
	// Grants is what plugins may do beyond their own memory, by the plugin's name: its file's without ".wasm". Defaults to
	// nothing.
	Grants map[string]Grants
	// InUse reports whether runs that have not ended are in a status of a workflow. A module that would leave such a status
	// without handlers, or without its step, is refused until InUse says otherwise: every Load asks again. It is asked
	// within Load, seldom, about such statuses only; it must not call Load or Close. A run that enters the status between
	// the answer and the swap is not seen. Defaults to nil: nothing is in use.
	InUse func(workflow, status string) bool
	// Limits bound what a plugin may use of which Overrides does not say more.
	Limits Limits
	// Logger takes the host's own lines and, with the attributes plugin, workflow, handler, status, run_id, foreign_id,
	// version and attempt, those of the guests, which are also in runtime.Outcome.Logs. Defaults to one that discards
	// everything.
	Logger *slog.Logger
	// Meter takes measurements. Defaults to NoMeter.
	Meter Meter
	// OnCatalog, when set, is told of every new catalog, one at a time and in order, before the modules that it no longer
	// holds are retired. It must not call Load or Close.
	OnCatalog func(*runtime.Catalog)
	// Overrides is what holds for single plugins, by name, that is the file's without ".wasm". Defaults to nil.
	Overrides map[string]Override
	// Random is what guests get for randomness. It is read from many goroutines. Defaults to crypto/rand.Reader.
	Random io.Reader
	// Rescan is how often Watch looks at the directory without being notified of a change. Defaults to 3 seconds.
	Rescan time.Duration
	// Settle is how long Watch waits after the last notification of a change, so that a copy in progress can end. Defaults
	// to 100 milliseconds.
	Settle time.Duration
	// Steps is what holds for the handlers of single statuses, by workflow and status. It is not changed afterwards. Defaults to
	// nil.
	Steps map[string]map[string]StepLimits
	// TrustedKeys are the public keys of whom the operator trusts: a module is loaded only when one of them signed its file, by
	// the signature beside it (FILE.wasm.minisig). The slice is not changed afterwards. Defaults to none: every module is.
	TrustedKeys []signature.Key
	// TotalMemoryBytes is how much memory the instances of all plugins have together, each counted with 64 KiB more. Idle
	// instances are closed to keep to it; then memory.grow fails, and an invocation that needs a new instance is a failed
	// attempt. Defaults to 4 GiB; at least the MemoryBytes of any plugin.
	TotalMemoryBytes int64
}

// EnsureDefaults gives every field that is zero its default.
func (o *Options) EnsureDefaults() {
	if o.Clock == nil {
		o.Clock = runtime.SystemClock{}
	}
	o.DefaultRetry = o.DefaultRetry.OrDefaults(runtime.DefaultRetry())
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Meter == nil {
		o.Meter = NoMeter{}
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	orDefault(&o.Rescan, 3*time.Second)
	orDefault(&o.Settle, 100*time.Millisecond)
	orDefault(&o.TotalMemoryBytes, 4<<30)
	o.Limits = o.Limits.or(defaultLimits())
}

func orDefault[T int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Validate returns an error that names every fault of the options, or nil. EnsureDefaults comes first.
func (o *Options) Validate() error {
	var faults []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf("host: "+format, args...))
		}
	}
	fault(o.Dir == "", "plugins directory: is not set; name the directory that holds the *.wasm files")
	fault(o.DefaultParallelism < 0, "default parallelism: %d is negative", o.DefaultParallelism)
	fault(o.DefaultLagAlert < 0, "default lag alert: %v is negative", o.DefaultLagAlert)
	fault(o.Rescan < 0, "rescan interval: %v is negative", o.Rescan)
	fault(o.Settle < 0, "settle time: %v is negative", o.Settle)
	faults = append(faults, o.Limits.faults("")...)
	for _, plugin := range slices.Sorted(maps.Keys(o.Overrides)) {
		own := o.Overrides[plugin]
		if plugin == "" {
			faults = append(faults, errNoName)
		}
		own.Limits = own.Limits.or(o.Limits)
		faults = append(faults, own.faults(plugin)...)
		fault(o.TotalMemoryBytes < own.Limits.MemoryBytes, "plugin %s: limit of all plugins' memory: %d bytes is less than the limit "+
			"of one instance, %d", plugin, o.TotalMemoryBytes, own.Limits.MemoryBytes)
	}
	fault(o.TotalMemoryBytes < o.Limits.MemoryBytes,
		"limit of all plugins' memory: %d bytes is less than the limit of one instance, %d", o.TotalMemoryBytes, o.Limits.MemoryBytes)
	for _, plugin := range slices.Sorted(maps.Keys(o.Grants)) {
		grants := o.Grants[plugin]
		if err := grants.validate(plugin); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// override returns what holds for the plugin of that name, with every limit.
func (o *Options) override(plugin string) Override {
	own := o.Overrides[plugin]
	own.Limits = own.Limits.or(o.Limits)
	if own.Limits.InstanceBytes == 0 {
		own.Limits.InstanceBytes = own.Limits.MemoryBytes / 4 * 3
	}
	return own
}
