//go:build kafka

package kafkastreamer_test

import (
	"testing"

	"github.com/wfrt/wfrt/internal/kafkatest"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

func TestStreamerOnApacheKafka(t *testing.T) {
	broker := kafkatest.Run(t, "")
	runtimetest.TestStreamer(t, func(t *testing.T) runtimetest.StreamerUnderTest { return underTest(t, []string{broker.Addr}) })
}

func TestTooLargeForTheTopicOfApacheKafka(t *testing.T) {
	testTooLarge(t, []string{kafkatest.Run(t, "").Addr})
}

func TestRecordOnApacheKafka(t *testing.T) {
	testRecord(t, []string{kafkatest.Run(t, "").Addr})
}
