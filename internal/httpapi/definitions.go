package httpapi

import (
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// Workflow is a definition as the catalog holds it.
type Workflow struct {
	Name      string             `json:"name"`
	Start     string             `json:"start" doc:"Where a run begins unless its trigger says otherwise."`
	Statuses  []Status           `json:"statuses" nullable:"false" doc:"In the order a run can meet them."`
	Hooks     []Hook             `json:"hooks,omitempty" nullable:"false" doc:"What is told of changes, in the order they are told."`
	Schedules []DeclaredSchedule `json:"schedules,omitempty" nullable:"false" doc:"Those that its plugin declares."`
	Retention float64            `json:"retention_seconds,omitempty" doc:"How long a run is kept after its end; absent: for ever."`
}

// Status is one node of a workflow's graph.
type Status struct {
	Name        string    `json:"name"`
	Terminal    bool      `json:"terminal" doc:"Entering it completes the run."`
	To          []string  `json:"to,omitempty" nullable:"false" doc:"The statuses that its step may move a run to."`
	Handler     string    `json:"handler,omitempty" doc:"The name of its step's handler."`
	Plugin      string    `json:"plugin,omitempty" doc:"The file that carries its handlers."`
	Digest      string    `json:"digest,omitempty" doc:"SHA-256 of that file."`
	Parallelism int       `json:"parallelism,omitempty" doc:"Concurrent invocations at most; absent: no limit of its own."`
	Attempts    uint32    `json:"attempts,omitempty" doc:"Attempts in all before the run is paused."`
	Lag         float64   `json:"lag_seconds,omitempty" doc:"How long a run waits here before its step runs."`
	LagAlert    float64   `json:"lag_alert_seconds,omitempty" doc:"A step that waits longer for a worker is counted as late."`
	Callbacks   []Exit    `json:"callbacks,omitempty" nullable:"false" doc:"What takes callbacks here, in the order they are asked."`
	Timeouts    []Timeout `json:"timeouts,omitempty" nullable:"false" doc:"What runs when a run has been here for long enough."`
}

// Exit is a handler that may move a run.
type Exit struct {
	Handler  string   `json:"handler" doc:"Its name."`
	To       []string `json:"to" nullable:"false" doc:"The statuses that it may move a run to."`
	Attempts uint32   `json:"attempts" doc:"Attempts in all before the run is paused."`
}

// Timeout is a handler that runs when a run has been in a status for long enough.
type Timeout struct {
	Exit
	After    float64 `json:"after_seconds,omitempty" doc:"How long after the entry it is due; absent when it is computed."`
	Computed bool    `json:"computed,omitempty" doc:"The plugin computes from each run's object when it is due, if ever."`
}

// Hook is a handler that is told of changes.
type Hook struct {
	On      string `json:"on" enum:"pause,cancel,complete,resume,erase" doc:"What it is told of."`
	Handler string `json:"handler" doc:"Its name."`
}

// DeclaredSchedule is a schedule as a plugin declares it.
type DeclaredSchedule struct {
	Name     string `json:"name"`
	Cron     string `json:"cron"`
	Zone     string `json:"zone" doc:"Of the IANA time zone database."`
	Filtered bool   `json:"filtered,omitempty" doc:"The plugin decides on each slot whether it triggers."`
}

func viewWorkflow(w *runtime.Workflow) Workflow {
	view := Workflow{Name: w.Name, Start: w.Start, Statuses: make([]Status, 0, len(w.Statuses)), Retention: w.Retention.Seconds()}
	for _, s := range inOrder(w) {
		view.Statuses = append(view.Statuses, viewStatus(s))
	}
	for _, h := range w.Hooks {
		view.Hooks = append(view.Hooks, Hook{On: h.On.String(), Handler: h.Name})
	}
	for i := range w.Schedules {
		s := &w.Schedules[i]
		view.Schedules = append(view.Schedules, DeclaredSchedule{Name: s.Name, Cron: s.Cron, Zone: zoneOf(s), Filtered: s.Filter != nil})
	}
	return view
}

func viewStatus(s *runtime.Status) Status {
	view := Status{Name: s.Name, Terminal: s.Terminal}
	if h := s.Step; h != nil {
		view.To, view.Handler, view.Parallelism, view.Attempts = h.To, h.Name, h.Parallelism, h.Retry.Attempts
		view.Lag, view.LagAlert = h.Lag.Seconds(), h.LagAlert.Seconds()
	}
	for _, h := range s.Callbacks {
		view.Callbacks = append(view.Callbacks, viewExit(h))
	}
	for _, h := range s.Timeouts {
		timeout := Timeout{Exit: viewExit(h), Computed: h.Timer != nil}
		if h.Timer == nil {
			timeout.After = h.After.Seconds()
		}
		view.Timeouts = append(view.Timeouts, timeout)
	}
	if all := exits(s); len(all) > 0 { // one module carries all of a status
		view.Plugin, view.Digest = all[0].Plugin, all[0].Digest.String()
	}
	return view
}

// exits returns what may move a run out of a status: its step, its callbacks and its timeouts.
func exits(s *runtime.Status) []*runtime.Handler {
	all := make([]*runtime.Handler, 0, 1+len(s.Callbacks)+len(s.Timeouts))
	if s.Step != nil {
		all = append(all, s.Step)
	}
	return append(append(all, s.Callbacks...), s.Timeouts...)
}

func viewExit(h *runtime.Handler) Exit {
	to := h.To
	if to == nil {
		to = []string{}
	}
	return Exit{Handler: h.Name, To: to, Attempts: h.Retry.Attempts}
}

func zoneOf(s *runtime.ScheduleSpec) string {
	if s.Zone == "" {
		return time.UTC.String()
	}
	return s.Zone
}

// WorkflowList holds every workflow of the catalog, in alphabetical order.
type WorkflowList struct {
	Workflows []Workflow `json:"workflows" nullable:"false"`
}
