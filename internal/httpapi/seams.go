package httpapi

import (
	"context"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// Engine is what the server asks of *runtime.Engine, whose documentation is the contract. All methods are called from many
// goroutines.
type Engine interface {
	Trigger(ctx context.Context, t runtime.Trigger) (runtime.Triggered, error)
	Await(ctx context.Context, id runtime.RunID, until runtime.Until) (runtime.Awaited, error)
	Run(ctx context.Context, id runtime.RunID) (runtime.Record, error)
	Runs(ctx context.Context, q runtime.Query) ([]runtime.Record, error)
	History(
		ctx context.Context, id runtime.RunID, afterVersion uint64, afterLine uint32, limit int,
	) ([]runtime.HistoryEntry, error)
	Logs(
		ctx context.Context, id runtime.RunID, afterVersion uint64, afterTime time.Time, limit int,
	) ([]runtime.LogEntry, error)

	Pause(ctx context.Context, id runtime.RunID, note runtime.Note) (runtime.Record, error)
	Resume(ctx context.Context, id runtime.RunID, note runtime.Note) (runtime.Record, error)
	Cancel(ctx context.Context, id runtime.RunID, note runtime.Note) (runtime.Record, error)
	Erase(ctx context.Context, id runtime.RunID, note runtime.Note) (runtime.Record, error)
	Move(ctx context.Context, id runtime.RunID, status string, note runtime.Note) (runtime.Record, error)
	SetObject(ctx context.Context, id runtime.RunID, object []byte, note runtime.Note) (runtime.Record, error)
	Callback(ctx context.Context, c runtime.Callback) (runtime.CallbackDone, error)

	Schedules(ctx context.Context) ([]runtime.Schedule, error)
	CreateSchedule(ctx context.Context, spec runtime.ScheduleSpec) (runtime.Schedule, error)
	PauseSchedule(ctx context.Context, workflow, name string) (runtime.Schedule, error)
	ResumeSchedule(ctx context.Context, workflow, name string) (runtime.Schedule, error)
	DeleteSchedule(ctx context.Context, workflow, name string) error
	TriggerSchedule(ctx context.Context, workflow, name string) (runtime.Triggered, error)

	Connectors() []runtime.ConnectorStatus
	Parked(ctx context.Context, connector string, after runtime.Origin, limit int) ([]runtime.Parked, error)
	Redrive(ctx context.Context, o runtime.Origin) error
	DropParked(ctx context.Context, o runtime.Origin) error
	Stats() runtime.Stats
	ParkedEvents(ctx context.Context, after runtime.EventRef, limit int) (page []runtime.ParkedEvent, more bool, err error)
	RedriveEvent(ctx context.Context, id string) (runtime.ParkedEvent, error)

	ParseEventCursor(text string) (runtime.EventCursor, error)
	LatestEvents() runtime.EventCursor
	Events(ctx context.Context, cursor *runtime.EventCursor, follow bool, yield func(*runtime.Event) error) error
	Catalog() *runtime.Catalog
	Err() error
}

// Version says which build serves.
type Version struct {
	Version string `json:"version" doc:"The release, or \"dev\"."`
	Commit  string `json:"commit,omitempty" doc:"The commit it was built from."`
	Date    string `json:"date,omitempty" doc:"When that commit was made."`
	Go      string `json:"go,omitempty" doc:"The Go version it was built with."`
}
