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

	ParseEventCursor(text string) (runtime.EventCursor, error)
	LatestEvents() runtime.EventCursor
	Events(ctx context.Context, cursor *runtime.EventCursor, follow bool, yield func(*runtime.Event) error) error
	Catalog() *runtime.Catalog
	Err() error
}

// Plugins lists what the plugin host knows. List is called from many goroutines; what it returns belongs to the caller.
type Plugins interface {
	List() []Plugin
}

// Plugin is one plugin file as the host sees it.
type Plugin struct {
	Name        string    `json:"name" doc:"The plugin's own name, or its file's when it could not be read."`
	File        string    `json:"file" doc:"The file's name in the plugins directory."`
	Digest      string    `json:"digest,omitempty" doc:"SHA-256 of the file, 64 hexadecimal digits."`
	Version     string    `json:"version,omitempty" doc:"The version that the plugin declares."`
	SDK         string    `json:"sdk,omitempty" doc:"The SDK that built it."`
	Workflows   []string  `json:"workflows" nullable:"false" doc:"The workflows it has steps of."`
	State       string    `json:"state" doc:"Whether it serves."`
	Error       string    `json:"error,omitempty" doc:"Why it does not serve."`
	Hint        string    `json:"hint,omitempty" doc:"What to do about it."`
	Size        int64     `json:"size" doc:"The file's size in bytes."`
	LoadedAt    time.Time `json:"loaded_at,omitzero" doc:"When it began to serve."`
	Instances   int       `json:"instances" doc:"Instances that live."`
	Invocations uint64    `json:"invocations" doc:"Invocations since it was loaded."`
}

// Version says which build serves.
type Version struct {
	Version string `json:"version" doc:"The release, or \"dev\"."`
	Commit  string `json:"commit,omitempty" doc:"The commit it was built from."`
	Date    string `json:"date,omitempty" doc:"When that commit was made."`
	Go      string `json:"go,omitempty" doc:"The Go version it was built with."`
}
