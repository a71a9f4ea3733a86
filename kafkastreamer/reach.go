package kafkastreamer

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reach remembers whether the brokers are reached. The client retries by itself and for long; people want to know why meanwhile.
type reach struct {
	seeds string // the configured brokers, for people

	mu     sync.Mutex
	broker string // that could not be reached last
	err    error  // why; nil: the last could
}

var _ kgo.HookBrokerConnect = (*reach)(nil)

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (r *reach) OnBrokerConnect(b kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.broker = err, net.JoinHostPort(b.Host, fmt.Sprint(b.Port))
}

// fault returns why the broker that was tried last was not reached; nil when it was.
func (r *reach) fault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("kafka at %s: %w", r.broker, r.err)
}

// explain says what a request failed of: where no broker is reached, of that, and not of the time that ran out.
func (r *reach) explain(err error) error {
	if fault := r.fault(); fault != nil {
		return fault
	}
	return fmt.Errorf("kafka at %s: %w", r.seeds, err)
}

// seeds returns the brokers that a client was told of.
func seeds(client *kgo.Client) string {
	brokers, _ := client.OptValue(kgo.SeedBrokers).([]string)
	return strings.Join(brokers, ", ")
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
