package kafkastreamer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A connection that failed is a fault until one succeeds, or until answers come and none has failed for some time: the client does not
// try again what it has no more use for.
func TestFaultFades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := kgo.BrokerMetadata{NodeID: 1, Host: "127.0.0.1", Port: 9092}
		refused := errors.New("refused")
		r := &reach{}
		want := func(when string, fault bool) {
			t.Helper()
			if got := r.fault(); (got != nil) != fault {
				t.Errorf("%s the fault is %v", when, got)
			}
		}
		answer := func(err error) { r.OnBrokerRead(broker, 0, 0, 0, 0, err) }
		wait := func(d time.Duration) { <-time.After(d) }

		r.OnBrokerConnect(broker, 0, nil, refused)
		answer(nil)
		want("after an answer on another connection", true)
		wait(faultFades)
		r.OnBrokerConnect(broker, 0, nil, refused)
		answer(nil)
		want("as long as connections fail", true)
		wait(faultFades + 1)
		want("without answers", true)
		answer(refused)
		want("after an answer that could not be read", true)
		answer(nil)
		want("after an answer long after", false)
		r.OnBrokerConnect(broker, 0, nil, refused)
		r.OnBrokerConnect(broker, 0, nil, nil)
		want("after a connection", false)
		r.OnBrokerConnect(broker, 0, nil, context.Canceled)
		want("at our own end", false)
	})
}
