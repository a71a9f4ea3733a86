package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wfrt/wfrt/runtime"
)

// connectorsGroup is the group of the file whose keys are names of connectors.
const connectorsGroup = "connectors"

// Connector configures one connector: a Kafka topic whose messages trigger runs or are callbacks of them.
type Connector struct {
	Action         string        `mapstructure:"action"`          // trigger or callback
	Busy           string        `mapstructure:"busy"`            // skip, retry or park: a trigger whose foreign ID has an active run
	ForeignID      string        `mapstructure:"foreign_id"`      // a part of the message
	Group          string        `mapstructure:"group"`           // consumer group; "": wfrt-NAME
	Object         string        `mapstructure:"object"`          // a part of the message: the run's object, or the callback's payload
	Parallelism    int           `mapstructure:"parallelism"`     // messages worked on at a time
	Patience       time.Duration `mapstructure:"patience"`        // how long a refused message is tried again
	Plugin         string        `mapstructure:"plugin"`          // WORKFLOW/FUNCTION that decides, instead of action, foreign_id, object, status and workflow
	SessionTimeout time.Duration `mapstructure:"session_timeout"` // without a sign of life a member of the group loses its partitions
	Start          string        `mapstructure:"start"`           // earliest, latest or a time (RFC 3339), where the group has committed nothing
	Status         string        `mapstructure:"status"`          // that takes the callback, or that the run begins in
	StatusField    string        `mapstructure:"status_field"`    // a part of the message that says the status
	Topics         string        `mapstructure:"topics"`          // "a, b"
	Window         int           `mapstructure:"window"`          // messages of a partition under way
	Workflow       string        `mapstructure:"workflow"`
}

// DefaultConnector returns what holds for a connector of which nothing is said.
func DefaultConnector() Connector {
	return Connector{
		Busy: string(runtime.BusySkip), Object: "value", Parallelism: 64, Patience: time.Minute, SessionTimeout: 10 * time.Second, Start: "earliest", Window: 1024,
	}
}

// settings returns what can be said of the connector of that name. Setting a field changes c.
func (c *Connector) settings(name string) []setting {
	return appendSettings(nil, connectorsGroup+"."+name+".", reflect.ValueOf(c).Elem())
}

// ConnectorKeys returns every key of a connector, as "topics".
func ConnectorKeys() []string {
	var keys []string
	for _, s := range (&Connector{}).settings("") {
		keys = append(keys, s.key[len(connectorsGroup+".."):])
	}
	return keys
}

// connectorGroups reads the group of connectors.
func (f *file) connectorGroups(node *yaml.Node) {
	for _, name := range f.mapping(connectorsGroup+".", node) {
		prefix := connectorsGroup + "." + name.key.Value + "."
		f.connectors = append(f.connectors, name.key.Value)
		for _, entry := range f.mapping(prefix, name.value) {
			if known := ConnectorKeys(); slices.Contains(known, entry.key.Value) {
				f.value(prefix+entry.key.Value, entry.value)
			} else {
				f.fault(entry.key.Line, "there is no key "+prefix+entry.key.Value, didYouMean(entry.key.Value, known))
			}
		}
	}
}

// loadConnectors takes over what the file says of connectors.
func (c *Config) loadConnectors(f *file, where origin) Faults {
	var faults Faults
	for _, name := range f.connectors {
		one := DefaultConnector()
		for _, s := range one.settings(name) {
			if raw, ok := f.values[s.key]; ok {
				faults = append(faults, s.load(raw, where)...)
			}
		}
		if c.Connectors == nil {
			c.Connectors = map[string]Connector{}
		}
		c.Connectors[name] = one
	}
	return faults
}

// ConnectorNames returns the names of the connectors in alphabetical order.
func (c *Config) ConnectorNames() []string { return slices.Sorted(maps.Keys(c.Connectors)) }

// TopicNames returns the topics that the connector reads.
func (c *Connector) TopicNames() []string { return listOf(c.Topics) }

// listOf splits "a, b" into its names.
func listOf(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// check is validate's: it reports what is wrong with the value of a key, and what to do.
type check func(key string, ok bool, what, hint string)

// validate reports what is wrong with the connector of that name.
func (c *Connector) validate(name string, check check) {
	prefix := connectorsGroup + "." + name
	check(prefix, name != "" && len(name) <= runtime.MaxName, "is not the name of a connector",
		fmt.Sprintf("a name has 1 to %d bytes", runtime.MaxName))
	want := func(key string, ok bool, what, hint string) { check(prefix+"."+key, ok, what, hint) }
	want("topics", len(c.TopicNames()) > 0, "names no topic", "name what is read, as in topics: northwind.orders")
	want("busy", slices.Contains([]string{"skip", "retry", "park"}, c.Busy), fmt.Sprintf("%.80q is not known", c.Busy),
		"use one of: skip, retry, park")
	want("parallelism", 1 <= c.Parallelism && c.Parallelism <= 100_000, fmt.Sprintf("is %d", c.Parallelism), "use a number from 1 to 100000")
	want("window", 1 <= c.Window && c.Window <= 1_000_000, fmt.Sprintf("is %d", c.Window), "use a number from 1 to 1000000")
	want("patience", c.Patience >= time.Millisecond, "is "+shortDuration(c.Patience), "use 1ms or more")
	want("session_timeout", time.Second <= c.SessionTimeout && c.SessionTimeout <= 30*time.Minute, "is "+shortDuration(c.SessionTimeout),
		"use 1s to 30m, within group.min.session.timeout.ms and group.max.session.timeout.ms of the brokers")
	_, err := time.Parse(time.RFC3339, c.Start)
	want("start", c.Start == "earliest" || c.Start == "latest" || err == nil, fmt.Sprintf("%.80q is no place to start", c.Start),
		"use earliest, latest, or a time as in 2026-01-02T15:04:05Z")
	if c.Plugin != "" {
		c.validatePlugin(want)
		return
	}
	want("action", c.Action == "trigger" || c.Action == "callback", fmt.Sprintf("%.80q is not known", c.Action),
		"use trigger or callback, or let a plugin decide: plugin: WORKFLOW/FUNCTION")
	want("workflow", c.Workflow != "", "is missing", "name the workflow whose runs the messages are for")
	want("status", c.Action != "callback" || c.Status != "" || c.StatusField != "", "is missing", "name the status that takes the callbacks")
	for key, field := range map[string]string{"foreign_id": c.ForeignID, "object": c.Object, "status_field": c.StatusField} {
		if key == "status_field" && field == "" {
			continue
		}
		if _, err := runtime.ParseField(field); err != nil {
			want(key, false, err.Error(), "as in value.order_id")
		}
	}
}

// validatePlugin reports what a connector whose messages a plugin decides on should not say.
func (c *Connector) validatePlugin(want check) {
	workflow, function, ok := strings.Cut(c.Plugin, "/")
	want("plugin", ok && workflow != "" && function != "", fmt.Sprintf("%.80q names no function", c.Plugin), "write WORKFLOW/FUNCTION")
	for key, value := range map[string]string{
		"action": c.Action, "foreign_id": c.ForeignID, "status": c.Status, "status_field": c.StatusField, "workflow": c.Workflow,
	} {
		want(key, value == "", "has no effect: the plugin decides", "remove it, or remove plugin")
	}
}
