//go:build kafka

package kafkastreamer_test

import (
	"testing"

	"github.com/wfrt/wfrt/internal/kafkatest"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// TestApacheKafkaSource runs the suite against a real broker.
func TestApacheKafkaSource(t *testing.T) {
	broker := kafkatest.Run(t, "")
	runtimetest.TestSource(t, func(t *testing.T) runtimetest.Stream { return newStream(t, []string{broker.Addr}) })
}
