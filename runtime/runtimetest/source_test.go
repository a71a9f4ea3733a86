package runtimetest_test

import (
	"testing"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// memory makes a Stream of a MemStream.
type memory struct{ *runtimetest.MemStream }

func (m memory) Topic(_ *testing.T, name string, partitions int) { m.MemStream.Topic(name, partitions) }

func (m memory) Remake(_ *testing.T, name string, partitions int) {
	m.MemStream.Topic(name, partitions)
}

func (m memory) Grow(_ *testing.T, name string, partitions int) { m.MemStream.Grow(name, partitions) }

func (m memory) Commit(_ *testing.T, group, topic string, partition int32, offset int64) {
	m.MemStream.Commit(group, topic, partition, offset)
}

func (m memory) Produce(_ *testing.T, topic string, partition int32, value string) {
	m.MemStream.Produce(runtime.Message{Topic: topic, Partition: partition, Value: []byte(value)})
}

func TestMemStream(t *testing.T) {
	runtimetest.TestSource(t, func(*testing.T) runtimetest.Stream { return memory{runtimetest.NewMemStream()} })
}
