package httpapi

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// Run is a run as the API shows it.
type Run struct {
	RunID      string          `json:"run_id" format:"uuid" doc:"The run's name for ever: a UUID of version 7."`
	Workflow   string          `json:"workflow" doc:"The workflow it is a run of."`
	ForeignID  string          `json:"foreign_id" doc:"The client's own name for what the run is about."`
	State      string          `json:"state" doc:"Where it is in its life: a run state."`
	Status     string          `json:"status" doc:"Where it is in its business."`
	Version    uint64          `json:"version" doc:"Counts its changes, from 1."`
	Attempt    uint32          `json:"attempt" doc:"Which attempt of its step is next or under way, from 1."`
	Parked     bool            `json:"parked" doc:"No step waits to run: a resume, a callback or a timer arms the run again."`
	NotBefore  time.Time       `json:"not_before,omitzero" doc:"When its step is tried again."`
	PauseCause string          `json:"pause_cause,omitempty" enum:"error,step,person,limit" doc:"Who paused it."`
	ResumeAt   time.Time       `json:"resume_at,omitzero" doc:"When it resumes by itself."`
	ExpireAt   time.Time       `json:"expire_at,omitzero" doc:"When it is removed, having ended."`
	Reason     string          `json:"reason,omitempty" doc:"Why it is paused or cancelled, or why its last attempt failed."`
	Digest     string          `json:"digest,omitempty" doc:"SHA-256 of the module that made this version."`
	CreatedAt  time.Time       `json:"created_at" doc:"When it was triggered."`
	UpdatedAt  time.Time       `json:"updated_at" doc:"When it last changed."`
	Trace      string          `json:"traceparent,omitempty" doc:"W3C Trace Context: the trace that it was given; absent when it was given none."`
	Object     json.RawMessage `json:"object" doc:"Its object: any JSON value."`

	Timers    []Timer           `json:"timers,omitempty" nullable:"false" doc:"Its timeouts, as they fall due."`
	Callbacks []PendingCallback `json:"pending_callbacks,omitempty" nullable:"false" doc:"What it has yet to handle, in order."`
}

// Timer is a timeout of a run that has not been handled yet.
type Timer struct {
	Name    string    `json:"name" doc:"The timeout's name."`
	Due     time.Time `json:"due" doc:"When it runs; while the run is paused it waits for the resume."`
	Attempt uint32    `json:"attempt" doc:"Which attempt is next or under way, from 1."`
}

// PendingCallback is a callback that was taken in and not handled yet.
type PendingCallback struct {
	CallbackID string    `json:"callback_id"`
	Due        time.Time `json:"due" doc:"Since when it can be handled, or when it is tried again."`
	Attempt    uint32    `json:"attempt" doc:"Which attempt is next or under way, from 1."`
}

func viewRun(r *runtime.Record) Run {
	view := Run{
		RunID: r.RunID.String(), Workflow: r.Workflow, ForeignID: r.ForeignID,
		State: r.State.String(), Status: r.Status, Version: r.Version, Attempt: r.Attempt,
		Parked: r.Parked, NotBefore: r.NotBefore, PauseCause: r.Pause.String(), ResumeAt: r.ResumeAt, ExpireAt: r.ExpireAt,
		Reason: r.Reason, Digest: r.Digest.String(), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		Trace: r.Trace.String(), Object: r.Object,
	}
	for i := range r.Pending {
		switch p := &r.Pending[i]; p.Kind {
		case runtime.PendingTimeout:
			view.Timers = append(view.Timers, Timer{Name: p.Name, Due: p.Due, Attempt: p.Attempt})
		case runtime.PendingCallback:
			id := runtime.CallbackID{RunID: r.RunID, Number: p.Callback}
			view.Callbacks = append(view.Callbacks, PendingCallback{CallbackID: id.String(), Due: p.Due, Attempt: p.Attempt})
		}
	}
	slices.SortFunc(view.Timers, func(a, b Timer) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Name, b.Name)) })
	return view
}

// RunPage is a page of a list of runs.
type RunPage struct {
	Runs       []Run  `json:"runs" nullable:"false"`
	NextCursor string `json:"next_cursor,omitempty" doc:"The parameter cursor of the next page; absent on the last."`
}

// HistoryEntry is one line of a run's history: a version that was made, or something that happened to a version and made none.
type HistoryEntry struct {
	Version  uint64          `json:"version" doc:"The version made, or the version it happened to."`
	Line     uint32          `json:"line,omitempty" doc:"Counts from 1 what happened to a version; absent where it was made."`
	Time     time.Time       `json:"time"`
	Cause    string          `json:"cause" enum:"trigger,step,timer,person,callback,timeout,schedule,intent,hook,erase,connector" doc:"What made it."`
	Handler  string          `json:"handler,omitempty" doc:"The handler that ran, or the schedule; of a person what they did: pause, resume, cancel, erase, move or edit."`
	Attempt  uint32          `json:"attempt,omitempty" doc:"Which attempt it was, from 1."`
	Callback string          `json:"callback_id,omitempty" doc:"Which callback it was."`
	By       string          `json:"by,omitempty" doc:"Of a person who, as they said; of an intent the run that asked."`
	Digest   string          `json:"digest,omitempty" doc:"SHA-256 of the module that ran."`
	Took     float64         `json:"took_seconds,omitempty" doc:"How long it ran, in seconds."`
	Fuel     uint64          `json:"fuel,omitempty" doc:"What it used of its fuel: about one for each instruction of the plugin."`
	Failed   bool            `json:"failed,omitempty" doc:"The attempt failed, or what was asked was refused."`
	State    string          `json:"state" doc:"The run state after it."`
	Status   string          `json:"status" doc:"The status after it."`
	Reason   string          `json:"reason,omitempty" doc:"Of a pause, a cancellation, an error or a refusal."`
	Object   json.RawMessage `json:"object,omitempty" doc:"The new object, when it changed and objects are kept."`
}

func viewHistory(h *runtime.HistoryEntry) HistoryEntry {
	view := HistoryEntry{
		Version: h.Version, Line: h.Line, Time: h.Time, Cause: h.Cause.String(), Handler: h.Handler, Attempt: h.Attempt,
		By: h.By, Digest: h.Digest.String(), Took: h.Took.Seconds(), Fuel: h.Fuel, Failed: h.Failed, State: h.State.String(),
		Status: h.Status, Reason: h.Reason, Object: h.Object,
	}
	if h.Callback > 0 {
		view.Callback = runtime.CallbackID{RunID: h.RunID, Number: h.Callback}.String()
	}
	return view
}

// HistoryPage is a page of a run's history, oldest first.
type HistoryPage struct {
	History    []HistoryEntry `json:"history" nullable:"false"`
	NextCursor string         `json:"next_cursor,omitempty" doc:"The parameter cursor of the next page; absent on the last."`
}

// LogEntry is what a handler logged in one invocation.
type LogEntry struct {
	Version uint64    `json:"version" doc:"The version it ran on."`
	Time    time.Time `json:"time" doc:"When it ended."`
	Handler string    `json:"handler" doc:"Its kind and its name, as step/received. Of several handlers in turn, the last."`
	Attempt uint32    `json:"attempt" doc:"Which attempt it was, from 1."`
	Lines   []LogLine `json:"lines" nullable:"false"`
}

// LogLine is one line that a handler logged.
type LogLine struct {
	Time    time.Time `json:"time"`
	Handler string    `json:"handler" doc:"Which handler wrote it: its kind and its name."`
	Level   string    `json:"level" doc:"DEBUG, INFO, WARN or ERROR, or one of them and a difference."`
	Text    string    `json:"text"`
}

func viewLog(l *runtime.LogEntry) LogEntry {
	view := LogEntry{Version: l.Version, Time: l.Time, Handler: l.Handler, Attempt: l.Attempt, Lines: make([]LogLine, len(l.Lines))}
	for i := range l.Lines {
		line := &l.Lines[i]
		view.Lines[i] = LogLine{
			Time: line.Time, Handler: cmp.Or(line.Handler, l.Handler), Level: slog.Level(line.Level).String(), Text: line.Text,
		}
	}
	return view
}

// LogPage is a page of what a run's handlers logged, oldest first.
type LogPage struct {
	Logs       []LogEntry `json:"logs" nullable:"false"`
	NextCursor string     `json:"next_cursor,omitempty" doc:"The parameter cursor of the next page; absent on the last."`
}

// Awaited is the answer to an await.
type Awaited struct {
	Run      Run  `json:"run" doc:"The run as it is now, perhaps further on than what was waited for."`
	Reached  bool `json:"reached" doc:"What was waited for has happened."`
	TimedOut bool `json:"timed_out" doc:"The time was up before anything was decided: ask again."`
}

// PluginList holds every plugin that the host knows.
type PluginList struct {
	Plugins []Plugin `json:"plugins" nullable:"false"`
}

// Health says that the process answers.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

// Readiness says whether the server takes new runs.
type Readiness struct {
	Ready  bool     `json:"ready"`
	Causes []string `json:"causes" nullable:"false" doc:"Why it is not ready."`
}

// Event is the notice that a run changed, as the data of a server-sent event.
type Event struct {
	ID        string    `json:"id" doc:"<run_id>/<version>, and <run_id>/<version>/<number> of one that a plugin emitted: equal for every delivery of the same event."`
	Type      string    `json:"type" doc:"run. and the run state in lower case with underscores; of one that a plugin emitted what the plugin says."`
	RunID     string    `json:"run_id" format:"uuid"`
	Version   uint64    `json:"version"`
	Workflow  string    `json:"workflow"`
	ForeignID string    `json:"foreign_id"`
	State     string    `json:"state" doc:"The run state after the change."`
	Status    string    `json:"status" doc:"The status after the change."`
	Previous  string    `json:"previous,omitempty" doc:"The status before; absent for the first version."`
	Time      time.Time `json:"time"`
	Number    int       `json:"number,omitempty" doc:"Of an event that a plugin emitted with the change: from 1; absent of the change itself."`

	ContentType string          `json:"content_type,omitempty" doc:"Of the data that a plugin emitted."`
	Data        json.RawMessage `json:"data,omitempty" doc:"The data that a plugin emitted, if it is JSON."`
	DataBase64  []byte          `json:"data_base64,omitempty" doc:"The data that a plugin emitted, if it is not JSON."`

	Trace string `json:"traceparent,omitempty" doc:"W3C Trace Context: the trace that the run belongs to; absent when it belongs to none."`
}

func viewEvent(e *runtime.Event) Event {
	view := Event{
		ID: e.ID(), RunID: e.RunID.String(), Version: e.Version, Workflow: e.Workflow, ForeignID: e.ForeignID,
		State: e.State.String(), Status: e.Status, Previous: e.Previous, Time: e.Time, Trace: e.Trace.String(),
		Type: eventType(e), Number: e.Number, ContentType: e.ContentType,
	}
	if isJSON(e.ContentType) {
		view.Data = e.Data
	} else {
		view.DataBase64 = e.Data
	}
	return view
}

// isJSON reports whether a content type is that of JSON, or of a format made of it.
func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	return media == "application/json" || strings.HasSuffix(media, "+json")
}
