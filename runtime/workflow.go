package runtime

import "time"

// Workflow is a definition: a graph of statuses, and what surrounds it. It is immutable once it is in a Catalog.
type Workflow struct {
	Name           string
	Digest         Digest             // its identity: its module's, or, of one that several modules make, one over theirs; zero for native code
	Start          string             // where a run begins unless its trigger says otherwise
	Statuses       map[string]*Status // every status that the definition names
	Hooks          []*Handler         // of kind HandlerHook, in the order of their registration
	Erase          *Handler           // makes what remains of an erased run's object; nil: DefaultErased remains
	Schedules      []ScheduleSpec     // those that the plugin declares
	Connects       []*Handler         // of kind HandlerConnector: what connectors may have their messages mapped by
	Retention      time.Duration      // how long a run is kept after it has ended; 0: for ever
	EventRetention time.Duration      // how long its events are kept after they were published; 0: as the engine's, negative: for ever
	Pinned         bool               // a run that begins is pinned to the definition that it begins with
	Keeps          bool               // of an earlier definition: the runs that are pinned to it stay with it

	// The other definitions of the workflow, of one that a Catalog is made of; theirs are not looked at.

	Canary *Canary     // on which a share of the new runs begins; nil: none
	Older  []*Workflow // that runs may still need, the newest first
	Closed bool        // nothing carries the workflow any more: no run begins, and Older has what those under way need
}

// Definitions returns the workflow itself, its canary and its older definitions, in this order; nil of nil.
func (w *Workflow) Definitions() []*Workflow {
	if w == nil {
		return nil
	}
	all := []*Workflow{w}
	if w.Canary != nil {
		all = append(all, w.Canary.Workflow)
	}
	return append(all, w.Older...)
}

// Canary is a definition on trial.
type Canary struct {
	Workflow *Workflow
	Share    float64 // of the new runs, in (0, 1); they stay on it while the trial lasts
}

// Status is one node of the graph.
type Status struct {
	Name      string
	Step      *Handler   // runs when a run enters; nil for a status that only waits, and for a terminal one
	Callbacks []*Handler // take outside input while a run is here, in order
	Timeouts  []*Handler // run when a run has been here for long enough
	Terminal  bool       // entering it completes the run
}

// timeout returns the timeout of that name, or nil.
func (s *Status) timeout(name string) *Handler {
	for _, h := range s.Timeouts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// HandlerKind says when a handler is called and what it may answer.
type HandlerKind uint8

// Handler kinds. The numbers are not durable: names are.
const (
	HandlerStep      HandlerKind = iota // runs when a run is in its status; any outcome but OutcomeDone
	HandlerCallback                     // takes a callback's payload; any outcome but OutcomeDone; OutcomeSkip passes it to the next
	HandlerTimeout                      // runs when its timer is due; any outcome but OutcomeDone
	HandlerTimer                        // says when a timeout is due: OutcomeDone with Outcome.Due, or OutcomeSkip for never
	HandlerHook                         // sees a record that was made; OutcomeDone
	HandlerErase                        // says what remains of an object: OutcomeDone with Outcome.Object
	HandlerFilter                       // says whether a schedule's slot triggers: OutcomeDone, perhaps with Outcome.Object, or OutcomeSkip
	HandlerConnector                    // says what becomes of a message: OutcomeDone with Outcome.Action, or OutcomeSkip for nothing
	HandlerSelfTest                     // says whether its module is fit to serve: OutcomeDone; it belongs to no workflow
)

// String returns the kind's name as manifests write it.
func (k HandlerKind) String() string {
	switch k {
	case HandlerStep:
		return "step"
	case HandlerCallback:
		return "callback"
	case HandlerTimeout:
		return "timeout"
	case HandlerTimer:
		return "timer"
	case HandlerHook:
		return "hook"
	case HandlerErase:
		return "erase"
	case HandlerFilter:
		return "filter"
	case HandlerSelfTest:
		return "self-test"
	case HandlerConnector:
		return "connector"
	default:
		return "unknown"
	}
}

// Moves reports whether a handler of the kind decides where a run goes.
func (k HandlerKind) Moves() bool {
	return k == HandlerStep || k == HandlerCallback || k == HandlerTimeout
}

// HookEvent is what a hook is told of.
type HookEvent uint8

// Hook events. The numbers are part of the durable format.
const (
	HookPause    HookEvent = 1
	HookCancel   HookEvent = 2
	HookComplete HookEvent = 3
	HookResume   HookEvent = 4
	HookErase    HookEvent = 5
)

// String returns the event's name as manifests write it.
func (e HookEvent) String() string {
	switch e {
	case HookPause:
		return "pause"
	case HookCancel:
		return "cancel"
	case HookComplete:
		return "complete"
	case HookResume:
		return "resume"
	case HookErase:
		return "erase"
	default:
		return "unknown"
	}
}

// hookEvent returns what a change of state means to hooks; zero for nothing.
func hookEvent(from, to RunState) HookEvent {
	switch {
	case from == to:
		return 0
	case to == Paused:
		return HookPause
	case to == Cancelled:
		return HookCancel
	case to == Completed:
		return HookComplete
	case from == Paused && to == Running:
		return HookResume
	case to == DataDeleted:
		return HookErase
	default:
		return 0
	}
}

// Handler is a function of a module, as the module declares it.
type Handler struct {
	Kind        HandlerKind
	Workflow    string
	Status      string        // "" for what belongs to no status
	Name        string        // unique among the workflow's handlers of one kind and status; persisted, unlike any number
	To          []string      // the statuses it may move a run to
	Retry       Retry         // complete: no field is zero
	Parallelism int           // of a step: concurrent invocations at most; 0: no limit but the engine's
	Timeout     time.Duration // of one invocation; 0: Options.StepTimeout
	Lag         time.Duration // of a step: how long a run waits in the status before the step runs
	LagAlert    time.Duration // of a step: a task that waits longer than this, beyond Lag, for a worker is counted as late; 0: never
	After       time.Duration // of a timeout: how long after the entry it is due, unless Timer says
	Timer       *Handler      // of a timeout: computes when it is due; nil: After
	On          HookEvent     // of a hook
	Digest      Digest        // of the module; zero for native code
	Plugin      string        // the module's file name, for people; "" for native code
	Module      *Module       // bounds the invocations of all that share it; nil: no bound but the engine's
	Invoker     Invoker       // runs it
}

// title names a handler for people: "callback/shipped".
func (h *Handler) title() string { return h.Kind.String() + "/" + h.Name }

// Module is the bound that the handlers of one module share. It is told apart by its address.
type Module struct {
	Instances int // invocations at a time, at most; ≥ 1
}

// Retry is how failed attempts of a step are repeated.
type Retry struct {
	Initial  time.Duration // the longest wait after the first failure; default 1 s
	Max      time.Duration // the longest wait after any; default 5 min
	Factor   float64       // by which the longest wait grows, ≥ 1; default 2
	Attempts uint32        // in all, the first included; default 10
}

// DefaultRetry returns the retry rule of a step that declares none.
func DefaultRetry() Retry {
	return Retry{Initial: time.Second, Max: 5 * time.Minute, Factor: 2, Attempts: 10}
}

// OrDefaults returns r with each zero field replaced by that of defaults.
func (r Retry) OrDefaults(defaults Retry) Retry {
	if r.Initial <= 0 {
		r.Initial = defaults.Initial
	}
	if r.Max <= 0 {
		r.Max = defaults.Max
	}
	if r.Factor < 1 {
		r.Factor = defaults.Factor
	}
	if r.Attempts == 0 {
		r.Attempts = defaults.Attempts
	}
	return r
}

// Wait returns how long to wait after the given failed attempt (from 1): full jitter, that is a share, random in [0, 1), of
// min(Max, Initial × Factor^(attempt−1)).
func (r Retry) Wait(attempt uint32, share float64) time.Duration {
	longest := float64(r.Initial)
	for range attempt - 1 {
		if longest >= float64(r.Max) {
			break
		}
		longest *= r.Factor
	}
	return time.Duration(share * min(longest, float64(r.Max)))
}
