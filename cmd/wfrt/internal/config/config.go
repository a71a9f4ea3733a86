// Package config reads the server's configuration: defaults, config.yaml, WFRT_* environment variables and flags, each
// winning over the one before. It reports every fault at once, with where it is and how to mend it.
//
//	config.go    the settings and their defaults
//	load.go      the four sources brought together
//	file.go      the file, with the line of each key
//	workflows.go what the file says of single workflows
//	overrides.go what the file says of single plugins, and what it grants them
//	value.go     text and YAML values into typed fields
//	reload.go    what of a new configuration a server takes over while it serves
//	validate.go  what a well-typed value must also satisfy
//	faults.go    what is reported
//	size.go      sizes such as 64MiB
//	trusted.go   public keys, as text or in files
package config

import "time"

// Config is the whole configuration of a server. Its keys are those of config.yaml, which documents each of them; a test
// holds the two together. What has the tag reload:"at once" a server takes over while it serves (reload.go); all else at its next
// start.
type Config struct {
	DataDir string  `mapstructure:"data_dir"` // folder of the store, the event log and the compiled modules; made if missing
	Engine  Engine  `mapstructure:"engine"`
	Kafka   Kafka   `mapstructure:"kafka"`
	Log     Log     `mapstructure:"log"`
	Outbox  Outbox  `mapstructure:"outbox"`
	Plugins Plugins `mapstructure:"plugins"`
	Server  Server  `mapstructure:"server"`
	Store   Store   `mapstructure:"store"`
	Tracing Tracing `mapstructure:"tracing"`

	// Connectors is what is read from Kafka, by name. Only the file has it, as Workflows.
	Connectors map[string]Connector `mapstructure:"connectors"`

	// Workflows is what holds for single workflows, by name. Only the file has it: its keys are not known beforehand.
	Workflows map[string]Workflow `mapstructure:"workflows"`
}

// Engine configures how runs are executed.
type Engine struct {
	AutoResume     time.Duration `mapstructure:"auto_resume" reload:"at once"`     // rest of a run paused by an error; 0: it does not resume by itself
	ForgetAfter    time.Duration `mapstructure:"forget_after" reload:"at once"`    // of an idempotency key
	HistoryObjects bool          `mapstructure:"history_objects" reload:"at once"` // keep the object of every version
	Lag            time.Duration `mapstructure:"lag" reload:"at once"`             // of steps that declare none; 0: none
	LagAlert       time.Duration `mapstructure:"lag_alert" reload:"at once"`       // for steps that declare none; 0: never
	MaxObject      Size          `mapstructure:"max_object" reload:"at once"`      // of a run
	MaxVersions    int           `mapstructure:"max_versions" reload:"at once"`    // by a run itself, in a row: then it is paused
	Parallelism    int           `mapstructure:"parallelism" reload:"at once"`     // of steps that declare none; 0: no limit of their own
	Retention      time.Duration `mapstructure:"retention" reload:"at once"`       // of runs that have ended, where nothing else says; 0: for ever
	Retry          Retry         `mapstructure:"retry"`                            // for steps that declare none
	SideWorkers    int           `mapstructure:"side_workers"`                     // tasks beside the runs at a time
	StepTimeout    time.Duration `mapstructure:"step_timeout" reload:"at once"`    // deadline of one invocation
	Window         int           `mapstructure:"window"`                           // ready runs of one status kept in memory
	Workers        int           `mapstructure:"workers"`                          // invocations at a time; 0: 16 for each processor
}

// Retry configures how failed attempts are repeated.
type Retry struct {
	Attempts int           `mapstructure:"attempts" reload:"at once"` // in all, the first included
	Factor   float64       `mapstructure:"factor" reload:"at once"`   // growth of the longest wait, ≥ 1
	Initial  time.Duration `mapstructure:"initial" reload:"at once"`  // the longest wait after the first failure
	Max      time.Duration `mapstructure:"max" reload:"at once"`      // the longest wait after any
}

// Workflow is what holds for one workflow, whatever its plugin declares. What is nil the plugin decides.
type Workflow struct {
	EventRetention *time.Duration  `mapstructure:"event_retention"` // of its published events; 0: for ever
	Retention      *time.Duration  `mapstructure:"retention"`       // of its runs that have ended; 0: for ever
	Steps          map[string]Step `mapstructure:"steps"`           // what holds for the handlers of single statuses, by status
	Versions       *string         `mapstructure:"versions"`        // latest or pinned: what a run goes by after a swap
}

// Step is what holds for the handlers of one status. What is zero their plugin's limits decide.
type Step struct {
	Fuel        uint64        `mapstructure:"fuel"`         // of one invocation
	HostBytes   Size          `mapstructure:"host_bytes"`   // to and from the host in one invocation
	HostCalls   int           `mapstructure:"host_calls"`   // of host functions in one invocation
	LogBytes    Size          `mapstructure:"log_bytes"`    // of one invocation's log
	MemoryBytes Size          `mapstructure:"memory_bytes"` // that the instance may grow to in one invocation
	OutputBytes Size          `mapstructure:"output_bytes"` // object that one invocation writes
	Timeout     time.Duration `mapstructure:"timeout"`      // of one invocation
}

// limits returns what is said of them as limits of a plugin are.
func (s Step) limits() PluginLimits {
	return PluginLimits{
		Fuel: s.Fuel, HostBytes: s.HostBytes, HostCalls: s.HostCalls, LogBytes: s.LogBytes, MemoryBytes: s.MemoryBytes,
		OutputBytes: s.OutputBytes, Timeout: s.Timeout,
	}
}

// What a run goes by after a swap.
const (
	VersionsLatest = "latest" // the newest version
	VersionsPinned = "pinned" // the version that it began with
)

// Kafka configures where events go to. Without brokers they stay in the event log.
type Kafka struct {
	BatchBytes       Size     `mapstructure:"batch_bytes"`       // of one batch, and so of one event
	Brokers          string   `mapstructure:"brokers"`           // "host:port, host:port"; empty: no Kafka
	ClientID         string   `mapstructure:"client_id"`         // our name for ourselves
	Compression      string   `mapstructure:"compression"`       // of batches
	SASL             SASL     `mapstructure:"sasl"`              // who we are
	TLS              KafkaTLS `mapstructure:"tls"`               // how connections are encrypted
	TopicCreate      bool     `mapstructure:"topic_create"`      // make topics that are missing
	TopicLayout      string   `mapstructure:"topic_layout"`      // workflow or status
	TopicPartitions  int      `mapstructure:"topic_partitions"`  // of topics that are made; 0: the broker's default
	TopicPrefix      string   `mapstructure:"topic_prefix"`      // before the workflow's name
	TopicReplication int      `mapstructure:"topic_replication"` // of topics that are made; 0: the broker's default
}

// SASL says who we are to Kafka.
type SASL struct {
	Mechanism    string `mapstructure:"mechanism"`     // empty: none
	Password     string `mapstructure:"password"`      // of the user
	PasswordFile string `mapstructure:"password_file"` // holds it instead
	TokenFile    string `mapstructure:"token_file"`    // of OAUTHBEARER
	User         string `mapstructure:"user"`          // of the other mechanisms
}

// KafkaTLS says how connections to Kafka are encrypted.
type KafkaTLS struct {
	CAFile     string `mapstructure:"ca_file"`     // of the authorities of the brokers
	CertFile   string `mapstructure:"cert_file"`   // our own certificate
	Enabled    bool   `mapstructure:"enabled"`     // also without any file
	KeyFile    string `mapstructure:"key_file"`    // the key of our certificate
	ServerName string `mapstructure:"server_name"` // that the brokers' certificates have
}

// Log configures the server's log, which goes to stderr.
type Log struct {
	Format string `mapstructure:"format"`                 // text or json
	Level  string `mapstructure:"level" reload:"at once"` // debug, info, warn or error
}

// Outbox configures the relay and the event log.
type Outbox struct {
	Backoff    time.Duration `mapstructure:"backoff" reload:"at once"`     // the longest pause while the streamer fails
	Batch      int           `mapstructure:"batch" reload:"at once"`       // events in one publication at most
	BatchBytes Size          `mapstructure:"batch_bytes" reload:"at once"` // of the events in one publication
	LagAlert   time.Duration `mapstructure:"lag_alert" reload:"at once"`   // for the oldest event that waits; 0: never
	Linger     time.Duration `mapstructure:"linger" reload:"at once"`      // wait for a batch to fill
	Retention  time.Duration `mapstructure:"retention" reload:"at once"`   // of published events; 0: for ever
}

// Plugins configures where plugins are found and what they may use.
type Plugins struct {
	Canary Canary `mapstructure:"canary"` // when a canary is rolled back by itself
	Dir    string `mapstructure:"dir"`    // folder with *.wasm files; made if missing
	Limits Limits `mapstructure:"limits"` // of each plugin
	// Overrides is what holds for single plugins, by name. Only the file has it: its keys are not known beforehand.
	Overrides map[string]Override `mapstructure:"overrides"`
	// Secrets is where the secrets are that plugins may be granted, by name. Only the file has it, as above.
	Secrets map[string]Secret `mapstructure:"secrets"`
	// TrustedKeys are the keys of which one must have signed a module; none: every module is taken.
	TrustedKeys TrustedKeys `mapstructure:"trusted_keys" reload:"at once"`
	Watch       bool        `mapstructure:"watch"` // take new and replaced modules while serving
}

// Canary says when a version that only a share of the new runs begins on is taken back.
type Canary struct {
	ErrorShare     float64       `mapstructure:"error_share" reload:"at once"`     // of the invocations in the window
	MinInvocations int           `mapstructure:"min_invocations" reload:"at once"` // before that is looked at
	Window         time.Duration `mapstructure:"window" reload:"at once"`          // how far back errors count
}

// Limits bounds what plugins use.
type Limits struct {
	PluginLimits
	TotalMemoryBytes Size `mapstructure:"total_memory_bytes"` // of all instances of all plugins
}

// PluginLimits bounds what one plugin uses.
type PluginLimits struct {
	CallDepth     int           `mapstructure:"call_depth"`                      // calls within each other
	Fuel          uint64        `mapstructure:"fuel" reload:"at once"`           // of one invocation
	HostBytes     Size          `mapstructure:"host_bytes" reload:"at once"`     // to and from the host in one invocation
	HostCalls     int           `mapstructure:"host_calls" reload:"at once"`     // of one invocation
	InstanceBytes Size          `mapstructure:"instance_bytes" reload:"at once"` // an instance with more is retired; 0: three quarters of MemoryBytes
	InstanceCalls int           `mapstructure:"instance_calls" reload:"at once"` // an instance is retired after as many
	Instances     int           `mapstructure:"instances"`                       // at a time; 0: 4 for each processor
	LogBytes      Size          `mapstructure:"log_bytes" reload:"at once"`      // of one invocation
	MemoryBytes   Size          `mapstructure:"memory_bytes"`                    // of one instance
	OutputBytes   Size          `mapstructure:"output_bytes" reload:"at once"`   // object that one invocation writes
	Timeout       time.Duration `mapstructure:"timeout" reload:"at once"`        // of one call
}

// Server configures the HTTP interface.
type Server struct {
	AwaitMax        time.Duration `mapstructure:"await_max" reload:"at once"`        // the longest that one await request waits
	Hosts           string        `mapstructure:"hosts" reload:"at once"`            // names that clients use on a loopback address: "a, b"
	Insecure        bool          `mapstructure:"insecure"`                          // allow a non-loopback address without a token
	Listen          string        `mapstructure:"listen"`                            // host:port; port 0 takes a free one
	MaxBody         Size          `mapstructure:"max_body" reload:"at once"`         // of a request
	ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout" reload:"at once"` // for all that is under way
	Token           string        `mapstructure:"token" reload:"at once"`            // clients must send it; empty: none is needed
}

// Store configures the data directory.
type Store struct {
	CacheBytes Size `mapstructure:"cache_bytes"` // of the block cache
	Disk       Disk `mapstructure:"disk"`        // when it is short of space
	Shards     int  `mapstructure:"shards"`      // fixed when the data directory is created
}

// Tracing configures where spans of distributed traces go.
type Tracing struct {
	Endpoint    string  `mapstructure:"endpoint"`     // URL of an OTLP/HTTP receiver; empty: no spans
	Headers     string  `mapstructure:"headers"`      // sent with each request: "name=value, name=value"
	SampleRatio float64 `mapstructure:"sample_ratio"` // of the traces that begin here, 0 to 1
	ServiceName string  `mapstructure:"service_name"` // how the server calls itself
}

// Disk configures what goes on when the disk is short of space.
type Disk struct {
	Hard Size `mapstructure:"hard"` // with less free, no steps are done; 0: never
	High Size `mapstructure:"high"` // with less free, no runs begin; 0: never
}

// Default returns the configuration of a server that was told nothing.
func Default() Config {
	return Config{
		DataDir: "./data",
		Engine: Engine{
			AutoResume:     time.Hour,
			ForgetAfter:    24 * time.Hour,
			HistoryObjects: true,
			MaxObject:      1 * MiB,
			MaxVersions:    10_000,
			Retry:          Retry{Attempts: 10, Factor: 2, Initial: time.Second, Max: 5 * time.Minute},
			SideWorkers:    16,
			StepTimeout:    30 * time.Second,
			Window:         1024,
		},
		Kafka:  Kafka{BatchBytes: 1 * MiB, ClientID: "wfrt", Compression: "snappy", TopicCreate: true, TopicLayout: "workflow", TopicPrefix: "wfrt."},
		Log:    Log{Format: "text", Level: "info"},
		Outbox: Outbox{Backoff: 10 * time.Second, Batch: 2048, BatchBytes: 1 * MiB, LagAlert: time.Minute, Linger: 2 * time.Millisecond, Retention: 7 * 24 * time.Hour},
		Plugins: Plugins{
			Canary: Canary{ErrorShare: 0.1, MinInvocations: 20, Window: 5 * time.Minute},
			Dir:    "./plugins",
			Limits: Limits{
				PluginLimits: PluginLimits{
					CallDepth: 10_000, Fuel: 2_000_000_000, HostBytes: 64 * MiB, HostCalls: 100_000, InstanceCalls: 1_000_000,
					LogBytes: 64 * KiB, MemoryBytes: 64 * MiB, OutputBytes: 1 * MiB, Timeout: 30 * time.Second,
				},
				TotalMemoryBytes: 4 * GiB,
			},
			Watch: true,
		},
		Server: Server{
			AwaitMax: time.Minute, Listen: "127.0.0.1:8080", MaxBody: 2 * MiB, ShutdownTimeout: 30 * time.Second,
		},
		Store:   Store{CacheBytes: 64 * MiB, Disk: Disk{Hard: 256 * MiB, High: 512 * MiB}, Shards: 16},
		Tracing: Tracing{SampleRatio: 1, ServiceName: "wfrt"},
	}
}
