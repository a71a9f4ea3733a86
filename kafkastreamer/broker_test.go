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

func TestLimitRaisedOnApacheKafka(t *testing.T) {
	testLimitRaised(t, []string{kafkatest.Run(t, "").Addr})
}

func TestLimitsUnderLoadOnApacheKafka(t *testing.T) {
	testLimitsUnderLoad(t, []string{kafkatest.Run(t, "").Addr})
}

func TestLayoutStatusOnApacheKafka(t *testing.T) {
	testLayoutStatus(t, []string{kafkatest.Run(t, "").Addr})
}

func TestLimitLoweredOnApacheKafka(t *testing.T) {
	testLimitLowered(t, []string{kafkatest.Run(t, "").Addr}, func(publish func()) { publish() })
}

func TestTopicRemovedOnApacheKafka(t *testing.T) {
	testTopicRemoved(t, []string{kafkatest.Run(t, "").Addr})
}
