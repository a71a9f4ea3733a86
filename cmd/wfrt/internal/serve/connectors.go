package serve

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
)

// connectors is what the configuration has read from Kafka.
func connectors(cfg *config.Config, logger *slog.Logger, registry prometheus.Registerer) ([]runtime.Connector, error) {
	var all []runtime.Connector
	connection := kafkaConnection(cfg, logger, registry)
	if len(cfg.Connectors) > 0 {
		if err := connection.Check(); err != nil {
			return nil, err
		}
	}
	for _, name := range cfg.ConnectorNames() {
		c := cfg.Connectors[name]
		made, err := connector(connection, name, &c)
		if err != nil {
			return nil, fmt.Errorf("serve: connector %s: %w", name, err)
		}
		all = append(all, made)
	}
	return all, nil
}

func connector(connection kafkastreamer.Connection, name string, c *config.Connector) (runtime.Connector, error) {
	made := runtime.Connector{
		Name: name, Topics: c.TopicNames(), Busy: runtime.Busy(c.Busy), Patience: c.Patience, Parallelism: c.Parallelism, Window: c.Window,
		Open: kafkastreamer.OpenSource(kafkastreamer.SourceOptions{
			Connection: connection, Purpose: "connector " + name, Group: cmp.Or(c.Group, "wfrt-"+name), Start: startOf(c.Start),
			Topics: c.TopicNames(), SessionTimeout: c.SessionTimeout,
		}),
	}
	if c.Plugin != "" {
		made.Plugin, made.Function, _ = strings.Cut(c.Plugin, "/")
		return made, nil
	}
	m := &made.Mapping
	m.Kind, m.Workflow, m.Status = runtime.ActionTrigger, c.Workflow, c.Status
	if c.Action == "callback" {
		m.Kind = runtime.ActionCallback
	}
	for _, field := range []struct {
		to   *runtime.Field
		text string
	}{{&m.ForeignID, c.ForeignID}, {&m.Object, c.Object}, {&m.StatusFrom, c.StatusField}} {
		if field.text == "" {
			continue
		}
		var err error
		if *field.to, err = runtime.ParseField(field.text); err != nil {
			return made, err
		}
	}
	return made, nil
}

// startOf turns the configuration's word for a place to begin, which it has checked, into that place.
func startOf(text string) kafkastreamer.Start {
	if text == "latest" {
		return kafkastreamer.Latest()
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return kafkastreamer.At(at)
	}
	return kafkastreamer.Earliest()
}
