package kafkastreamer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
)

// reach remembers whether the brokers are reached. The client retries by itself and for long; people want to know why meanwhile.
type reach struct {
	seeds string // the configured brokers, for people
	sasl  string // the mechanism by which we say who we are; "": none

	mu     sync.Mutex
	broker string // that could not be reached last
	err    error  // why; nil: the last could
}

var _ kgo.HookBrokerConnect = (*reach)(nil)

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (r *reach) OnBrokerConnect(b kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.broker = err, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
}

// fault returns why the broker that was tried last was not reached; nil when it was.
func (r *reach) fault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return nil
	}
	return r.say(r.broker, r.err)
}

// explain says what a request failed of: where no broker is reached, of that, and not of the time that ran out.
func (r *reach) explain(err error) error {
	if fault := r.fault(); fault != nil {
		return fault
	}
	return r.say(r.seeds, err)
}

// say names the place of an error. A broker that refuses us may say nothing and close the connection.
func (r *reach) say(at string, err error) error {
	if errors.Is(err, io.EOF) && r.sasl != "" {
		return fmt.Errorf("kafka at %s: the broker closed the connection, as it does when it refuses user or password (SASL %s): %w", at, r.sasl, err)
	}
	return fmt.Errorf("kafka at %s: %w", at, err)
}

// of notes what a client was told.
func (r *reach) of(client *kgo.Client) {
	brokers, _ := client.OptValue(kgo.SeedBrokers).([]string)
	r.seeds = strings.Join(brokers, ", ")
	if mechanisms, _ := client.OptValue(kgo.SASL).([]sasl.Mechanism); len(mechanisms) > 0 {
		r.sasl = mechanisms[0].Name()
	}
}

// commitErrors returns what is wrong with single partitions of a commit.
func commitErrors(r *kmsg.OffsetCommitResponse) error {
	if r == nil {
		return nil
	}
	var all []error
	for i := range r.Topics {
		t := &r.Topics[i]
		for j := range t.Partitions {
			if err := kerr.ErrorForCode(t.Partitions[j].ErrorCode); err != nil {
				all = append(all, fmt.Errorf("topic %s, partition %d: %w", t.Topic, t.Partitions[j].Partition, err))
			}
		}
	}
	return errors.Join(all...)
}
