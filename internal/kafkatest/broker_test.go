//go:build kafka

package kafkatest_test

import (
	"testing"

	"github.com/wfrt/wfrt/internal/kafkatest"
)

// A broker keeps its data and its address over every end there is.
func TestBrokerComesBack(t *testing.T) {
	b := kafkatest.Run(t, "")
	addr := b.Addr
	for _, end := range []func() error{b.Stop, b.Kill} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := b.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := b.Ready(t.Context()); err != nil || b.Addr != addr {
		t.Errorf("at %s, was at %s: %v", b.Addr, addr, err)
	}
}
