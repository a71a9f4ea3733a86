package config

import (
	"fmt"
	"net"
	"regexp"
	"strings"
)

// BrokerList returns the addresses of Kafka's brokers.
func (k *Kafka) BrokerList() []string {
	return strings.FieldsFunc(k.Brokers, func(r rune) bool { return r == ',' || r == ' ' })
}

// validateKafka reports what is wrong with the group kafka.
func (c *Config) validateKafka(
	check func(key string, ok bool, what, hint string), oneOf func(key, value string, allowed ...string),
	between func(key string, n, low, high int), size func(key string, s, low, high Size),
) {
	k := &c.Kafka
	size("kafka.batch_bytes", k.BatchBytes, 1*KiB, 512*MiB)
	for _, broker := range k.BrokerList() {
		_, port, err := net.SplitHostPort(broker)
		check("kafka.brokers", err == nil && port != "", fmt.Sprintf("holds %.80q, which is not an address", broker),
			"write host:port, as in kafka-1.example:9092, and commas between several")
	}
	check("kafka.client_id", k.ClientID != "", "is empty", "name the server, as in wfrt")
	oneOf("kafka.compression", k.Compression, "none", "gzip", "lz4", "snappy", "zstd")

	s := &k.SASL
	mechanism := strings.ToLower(s.Mechanism)
	oneOf("kafka.sasl.mechanism", mechanism, "", "plain", "scram-sha-256", "scram-sha-512", "oauthbearer")
	switch mechanism {
	case "":
		check("kafka.sasl.user", s.User == "", "is set without kafka.sasl.mechanism", "name the mechanism too, as in scram-sha-512")
	case "oauthbearer":
		check("kafka.sasl.token_file", s.TokenFile != "", "is empty", "oauthbearer needs a file with the token")
	case "plain", "scram-sha-256", "scram-sha-512":
		check("kafka.sasl.user", s.User != "", "is empty", "kafka.sasl.mechanism "+mechanism+" needs a user")
		check("kafka.sasl.password", s.Password != "" || s.PasswordFile != "", "is empty",
			"set WFRT_KAFKA_SASL_PASSWORD, or kafka.sasl.password_file")
		check("kafka.sasl.password", s.Password == "" || s.PasswordFile == "", "is set, and kafka.sasl.password_file too", "keep one")
	}
	check("kafka.tls.cert_file", (k.TLS.CertFile == "") == (k.TLS.KeyFile == ""), "and kafka.tls.key_file go together", "set both, or none")

	oneOf("kafka.topic_layout", k.TopicLayout, "workflow", "status")
	between("kafka.topic_partitions", k.TopicPartitions, 0, 100_000)
	check("kafka.topic_prefix", legalPrefix.MatchString(k.TopicPrefix), fmt.Sprintf("is %.80q", k.TopicPrefix),
		"use up to 100 of a–z, A–Z, 0–9, '.', '_' and '-', as in wfrt.")
	between("kafka.topic_replication", k.TopicReplication, 0, 100)
}

// legalPrefix is what may begin the name of a topic, so that the name of a workflow and of a status still have room.
var legalPrefix = regexp.MustCompile(`^[a-zA-Z0-9._-]{0,100}$`)
