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
	// Adjust, when set, changes what the manifests say of a definition before it is used: its Retention, its Pinned. It is
	// called for every definition that is made, again and again, and must not call the host. Defaults to nil: nothing changes.
	Adjust func(*runtime.Workflow)
	// ArchiveDir is where the bytes of modules are kept by their digests, so that a rollback and a pinned run need no file from
	// anyone; it is made when missing. Files of versions that are no longer in the ledger are removed, other files left alone. One
	// host at a time uses it. Defaults to "": in memory.
	ArchiveDir string
	// CacheDir is where compiled modules are kept for the next start, each in a folder named after the digest of its file;
	// it is made when missing. Folders of digests that are not loaded are removed, damaged ones made anew, and other files
	// left alone. One host at a time uses it, and while none does it may be removed. Defaults to "": every start compiles
	// anew.
	CacheDir string
	// Canary says when a canary is rolled back by itself.
	Canary CanaryRules
	// Clock tells guests the time and ends their sleeps. Defaults to runtime.SystemClock.
	Clock runtime.Clock
	// DefaultLag is how long a run waits in a status before its step runs, of steps whose manifest does not say. Defaults to 0: it
	// does not wait.
	DefaultLag time.Duration
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
	// Documents keeps the ledger: which module of each plugin serves, and those that served before. Defaults to memory: every
	// start begins with what lies in Dir.
	Documents Documents
	// Engine takes each catalog, and knows of the runs that a change would leave behind. Defaults to one that has none.
	Engine Engine
	// Grants is what plugins may do beyond their own memory, by the plugin's name: its file's without ".wasm". Defaults to
	// nothing.
	Grants map[string]Grants
	// Limits bound what a plugin may use of which Overrides does not say more.
	Limits Limits
	// Logger takes the host's own lines and, with the attributes plugin, workflow, handler, status, run_id, foreign_id,
	// version and attempt, those of the guests, which are also in runtime.Outcome.Logs. Defaults to one that discards
	// everything.
	Logger *slog.Logger
	// Meter takes measurements. Defaults to NoMeter.
	Meter Meter
	// Overrides is what holds for single plugins, by name, that is the file's without ".wasm". Defaults to nil.
	Overrides map[string]Override
	// Random is what guests get for randomness. It is read from many goroutines. Defaults to crypto/rand.Reader.
	Random io.Reader
	// Rescan is how often Watch looks at the directory without being notified of a change. Defaults to 3 seconds.
	Rescan time.Duration
	// Secrets are those that plugins may be granted, by name. Defaults to none.
	Secrets map[string]Secret
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
	// instances are closed to keep to it, but for the last of each plugin; then memory.grow fails, and an invocation that needs a
	// new instance is refused with an error, which is no attempt. Defaults to 4 GiB; at least the MemoryBytes of any plugin.
	TotalMemoryBytes int64
}

// Engine is what a host asks of the engine whose catalog it makes: *runtime.Engine, whose documentation is the contract.
type Engine interface {
	Swap(c *runtime.Catalog, leaving []runtime.Queue, keep func() error) error
	ActiveRuns(q runtime.Queue, limit int) (int, error)
	PinnedRuns(workflow string, d runtime.Digest, limit int) (int, error)
	ActiveQueues() ([]runtime.Queue, error)
}

// noEngine has no runs.
type noEngine struct{}

// Swap implements Engine.
func (noEngine) Swap(_ *runtime.Catalog, _ []runtime.Queue, keep func() error) error { return keep() }

// ActiveRuns implements Engine.
func (noEngine) ActiveRuns(runtime.Queue, int) (int, error) { return 0, nil }

// PinnedRuns implements Engine.
func (noEngine) PinnedRuns(string, runtime.Digest, int) (int, error) { return 0, nil }

// ActiveQueues implements Engine.
func (noEngine) ActiveQueues() ([]runtime.Queue, error) { return nil, nil }

// EnsureDefaults gives every field that is zero its default.
func (o *Options) EnsureDefaults() {
	if o.Clock == nil {
		o.Clock = runtime.SystemClock{}
	}
	if o.Canary.ErrorShare == 0 {
		o.Canary.ErrorShare = 0.1
	}
	orDefault(&o.Canary.MinInvocations, 20)
	orDefault(&o.Canary.Window, 5*time.Minute)
	if o.Documents == nil {
		o.Documents = memoryDocuments{}
	}
	if o.Engine == nil {
		o.Engine = noEngine{}
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

func orDefault[T int | int64 | time.Duration](field *T, value T) {
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
	fault(o.Canary.ErrorShare < 0 || o.Canary.ErrorShare > 1, "canary: an error share of %v is not in (0, 1]", o.Canary.ErrorShare)
	fault(o.Canary.MinInvocations < 0, "canary: %d invocations are negative", o.Canary.MinInvocations)
	fault(o.Canary.Window < 0, "canary: the window %v is negative", o.Canary.Window)
	fault(o.DefaultLag < 0, "default lag: %v is negative", o.DefaultLag)
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
