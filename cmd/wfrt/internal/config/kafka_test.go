package config

import (
	"strings"
	"testing"
)

// Each fault of the group kafka names its key, what is wrong, and what to do.
func TestFaultsOfKafka(t *testing.T) {
	for _, c := range []struct{ content, fault, remedy string }{
		{`compression: brotli`, `kafka.compression "brotli" is not known`, "none, gzip, lz4, snappy, zstd"},
		{`brokers: kafka-1.example`, `kafka.brokers holds "kafka-1.example", which is not an address`, "write host:port"},
		{`brokers: "a:9092,b:"`, `kafka.brokers holds "b:", which is not an address`, "commas between several"},
		{`batch_bytes: 10`, `kafka.batch_bytes is 10`, "1KiB"},
		{`client_id: ""`, `kafka.client_id is empty`, "name the server"},
		{`topic_layout: run`, `kafka.topic_layout "run" is not known`, "workflow, status"},
		{`topic_prefix: "orders/"`, `kafka.topic_prefix is "orders/"`, "as in wfrt."},
		{`topic_partitions: -1`, `kafka.topic_partitions is -1`, "100000"},
		{`topic_replication: 101`, `kafka.topic_replication is 101`, "100"},
		{`sasl: {mechanism: digest}`, `kafka.sasl.mechanism "digest" is not known`, "oauthbearer"},
		{`sasl: {user: ada}`, `kafka.sasl.user is set without kafka.sasl.mechanism`, "as in scram-sha-512"},
		{`sasl: {mechanism: plain, password_file: p}`, `kafka.sasl.user is empty`, "plain needs a user"},
		{`sasl: {mechanism: plain, user: ada}`, `kafka.sasl.password is empty`, "WFRT_KAFKA_SASL_PASSWORD"},
		{`sasl: {mechanism: plain, user: ada, password: x, password_file: p}`, `kafka.sasl.password is set, and kafka.sasl.password_file too`, "keep one"},
		{`sasl: {mechanism: oauthbearer}`, `kafka.sasl.token_file is empty`, "a file with the token"},
		{`tls: {cert_file: c.pem}`, `kafka.tls.cert_file and kafka.tls.key_file go together`, "set both, or none"},
	} {
		_, err := load(t, "kafka: {"+c.content+"}\n")
		if err == nil {
			t.Errorf("%s: no fault was found", c.content)
			continue
		}
		faults := faultsOf(t, err)
		if len(faults) != 1 || !strings.Contains(err.Error(), c.fault) || !strings.Contains(faults[0].Hint, c.remedy) {
			t.Errorf("%s: %v (%s); want one fault: %s (%s)", c.content, err, faults[0].Hint, c.fault, c.remedy)
		}
	}
}
