// Package host runs plugins: WebAssembly modules in a directory, each of which carries handlers of one or more workflows.
//
// A Host takes modules from the directory and from operators through the stages of build (module.go), and makes of all their
// manifests one immutable runtime.Catalog. A new module makes a new catalog, which takes the place of the old one by one pointer
// swap; the modules that are in no catalog any more drain and are freed. Whatever goes wrong on the way leaves the old module
// serving, and Plugins says why. What serves is in the ledger, and the bytes of modules in the archive: both outlive the process.
//
// The way through the files:
//
//	options.go     what a host is made with
//	limits.go      what a plugin may use, and the error that says it used more
//	host.go        New, Load, Close
//	ledger.go      which module of each plugin serves, and which did
//	archive.go     the bytes of modules, by digest
//	scan.go        new and replaced files become modules that wait for their admission
//	deploy.go      what operators ask for: deploy, promote, roll back, remove
//	change.go      one change: admission, ledger, swap
//	definitions.go the ledger's modules become a catalog
//	missing.go     what should be loaded and cannot be: its runs are not forgotten
//	canary.go      a module on trial, and when it fails
//	tune.go        other options while modules are in use
//	distrust.go    modules in use whose key is no longer trusted
//	tend.go        failing canaries are rolled back, earlier definitions let go
//	source.go      a file becomes bytes with a digest, or an error when it is not whole
//	module.go      the stages from bytes to a module that can be called
//	manifest.go    what a module says of itself, checked
//	handlers.go    the rules of single handlers
//	merge.go       the parts of a workflow that several modules carry become one definition
//	admit.go       which modules serve when not all of them can
//	invoke.go      one invocation, from runtime.Invocation to runtime.Outcome
//	pool.go        instances wait here between invocations
//	folders.go     compiled modules lie on disk from one start to the next
//	fuel.go        what a guest computes is counted, and bounded
//	turns.go       guests that compute for long take turns
//	memory.go      the memory of all instances together is bounded
//	snapshot.go    with the isolation fresh every invocation begins with the same state
//	freeze_*.go    how a snapshot of memory is kept, by system
//	instance.go    one memory, and what host functions know of the call under way
//	fields.go      the host functions of sdk/abi: field_read, field_write, log
//	trigger.go     the host function by which a handler asks for a run, or a callback to one
//	wasi.go        the small stateless part of WASI that toolchains expect
//	logs.go        guest output becomes log lines, within limits
//	meter.go       what is measured
//	watch.go       new and replaced files are noticed
//	plugins.go     what people see of all this
//	check.go       a module is examined without serving it
//
// Invariants that hold everywhere: only the goroutine that owns an instance closes it, after its call returned; no view of
// guest memory outlives the host function that took it; the host never calls into a guest from within a host function; an
// instance that trapped is never used again.
package host
