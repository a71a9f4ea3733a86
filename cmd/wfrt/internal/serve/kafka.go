package serve

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
)

// kafka is the server's use of Kafka; of a server without it, nil.
type kafka struct {
	stream *kafkastreamer.Streamer
	logger *slog.Logger
}

// openKafka returns what the configuration says of Kafka. It reaches for no broker: a server starts without them.
func openKafka(cfg *config.Config, logger *slog.Logger, registry prometheus.Registerer) (*kafka, error) {
	k := &cfg.Kafka
	if len(k.BrokerList()) == 0 {
		return nil, nil
	}
	stream, err := kafkastreamer.New(kafkastreamer.Options{
		BatchBytes: int(k.BatchBytes), Compression: k.Compression, Connection: kafkaConnection(cfg, logger, registry),
		Layout: kafkastreamer.Layout(k.TopicLayout), NoTopicCreation: !k.TopicCreate, Partitions: k.TopicPartitions, Prefix: k.TopicPrefix,
		Replication: k.TopicReplication,
	})
	if err != nil {
		return nil, err
	}
	return &kafka{stream, logger}, nil
}

// CheckKafka reports what is wrong with the files that kafka.* names, as a server does when it starts. It reaches for no broker.
func CheckKafka(cfg *config.Config) error {
	if cfg.Kafka.Brokers == "" {
		return nil
	}
	connection := kafkaConnection(cfg, slog.New(slog.DiscardHandler), nil)
	return connection.Check()
}

// kafkaConnection is how the configuration says that Kafka is reached.
func kafkaConnection(cfg *config.Config, logger *slog.Logger, registry prometheus.Registerer) kafkastreamer.Connection {
	k := &cfg.Kafka
	return kafkastreamer.Connection{
		Brokers: k.BrokerList(), ClientID: k.ClientID, Logger: logger, Registry: registry,
		SASL: kafkastreamer.SASL{
			Mechanism: k.SASL.Mechanism, User: k.SASL.User, Password: k.SASL.Password, PasswordFile: k.SASL.PasswordFile, TokenFile: k.SASL.TokenFile,
		},
		TLS: kafkastreamer.TLS{
			Enabled: k.TLS.Enabled, CAFile: k.TLS.CAFile, CertFile: k.TLS.CertFile, KeyFile: k.TLS.KeyFile, ServerName: k.TLS.ServerName,
		},
	}
}

// streamer is what the engine publishes by; nil for nothing.
func (k *kafka) streamer() runtime.Streamer {
	if k == nil {
		return nil
	}
	return k.stream
}

// check warns when Kafka does not answer. Nothing but the publishing of events waits for it.
func (k *kafka) check(ctx context.Context) {
	if k == nil {
		return
	}
	if err := k.stream.Check(ctx); err != nil && ctx.Err() == nil {
		k.logger.Warn("Kafka does not answer; events wait in the outbox until it does", "error", err)
	}
}

// close ends the connections, once the engine has stopped.
func (k *kafka) close() {
	if k != nil {
		k.stream.Close()
	}
}
