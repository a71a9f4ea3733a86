package kafkastreamer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
)

// limits sets how large a batch small.orders takes.
type limits struct {
	t      *testing.T
	client *kgo.Client
	admin  *kadm.Client
}

func newLimits(t *testing.T, brokers []string) *limits {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	l := &limits{t, client, kadm.NewClient(client)}
	for _, topic := range []string{"probe", "small.orders"} {
		if _, err := l.admin.CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// set returns when the broker applies it: to all topics at once, after the controller has answered.
func (l *limits) set(bytes int) {
	l.t.Helper()
	value := strconv.Itoa(bytes)
	if _, err := l.admin.AlterTopicConfigs(l.t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &value}}, "probe", "small.orders"); err != nil {
		l.t.Fatal(err)
	}
	produce := func(bytes int) error {
		return l.client.ProduceSync(l.t.Context(), &kgo.Record{Topic: "probe", Value: make([]byte, bytes)}).FirstErr()
	}
	for under, over := errors.New("not yet"), error(nil); under != nil || over == nil; {
		under, over = produce(bytes-200), produce(bytes+1)
		for _, err := range []error{under, over} {
			if err != nil && !errors.Is(err, kerr.MessageTooLarge) {
				l.t.Fatal(err)
			}
		}
	}
}

// toSmall returns a streamer to small.orders.
func toSmall(t *testing.T, brokers []string, compression string) *kafkastreamer.Streamer {
	return open(t, kafkastreamer.Options{
		Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "small.", Compression: compression, BatchBytes: 1 << 20,
	})
}

// notices returns events of as many runs.
func notices(n int) []runtime.Event {
	page := make([]runtime.Event, n)
	for i := range page {
		page[i] = notice("orders", uint64(i))
	}
	return page
}

// large returns an event of more bytes than some.
func large(number uint64, bytes int) runtime.Event {
	e := notice("orders", number)
	e.ForeignID = strings.Repeat("x", bytes)
	return e
}

func wantAll(t *testing.T, s *kafkastreamer.Streamer, events []runtime.Event, when string) {
	t.Helper()
	if n, err := s.Publish(t.Context(), events); n != len(events) || err != nil {
		t.Fatalf("%s: published %d of %d: %v", when, n, len(events), err)
	}
}

// testLimitRaised has an event be refused that is published once its topic's limit is raised, without another start.
func testLimitRaised(t *testing.T, brokers []string) {
	l := newLimits(t, brokers)
	l.set(2000)
	s := toSmall(t, brokers, "none")
	n, err := s.Publish(t.Context(), []runtime.Event{large(1, 3000)})
	var refused *runtime.RefusedError
	if n != 0 || !errors.As(err, &refused) {
		t.Fatalf("published %d: %v, want it refused", n, err)
	}
	l.set(1_000_000)
	wantAll(t, s, []runtime.Event{large(1, 3000)}, "once the limit is raised")
}

func TestLimitRaised(t *testing.T) {
	_, brokers := fake(t)
	testLimitRaised(t, brokers)
}

// A limit that is raised counts for batches, too, once it was seen at an event.
func TestBatchesGrow(t *testing.T) {
	cluster, brokers := fake(t)
	l := newLimits(t, brokers)
	l.set(2000)
	s := toSmall(t, brokers, "none")
	page := notices(1000)
	requests := func() int {
		seen := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1})
		defer seen.Remove()
		wantAll(t, s, page, "a page")
		return int(seen.Hits())
	}
	small := requests()
	l.set(1_000_000)
	wantAll(t, s, []runtime.Event{large(1, 3000)}, "once the limit is raised")
	if grown := requests(); small < 200 || grown > 20 {
		t.Errorf("a page took %d requests at a limit of 2,000 bytes and %d once it was raised", small, grown)
	}
}

// What is too large for its topic is sent and refused, and what is only before compression is sent and taken; for neither is the topic
// asked for its limit each time.
func TestLimitIsNotAskedForEach(t *testing.T) {
	cluster, brokers := fake(t)
	l := newLimits(t, brokers)
	l.set(20_000)
	s := toSmall(t, brokers, "zstd")
	wantAll(t, s, notices(1), "an event") // asks
	asked := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Observe: true, Count: -1})
	random := rand.NewChaCha8([32]byte{})
	for i := range uint64(30) {
		poison := large(i, 1)
		noise := make([]byte, 30_000)
		_, _ = random.Read(noise)
		poison.ForeignID = fmt.Sprintf("%x", noise)
		var refused *runtime.RefusedError
		if n, err := s.Publish(t.Context(), []runtime.Event{notice("orders", i), poison, notice("orders", i)}); n != 1 || !errors.As(err, &refused) {
			t.Fatalf("published %d: %v, want the second refused", n, err)
		}
		wantAll(t, s, []runtime.Event{notice("orders", i), large(i, 30_000), notice("orders", i)}, "what compresses")
	}
	if n := asked.Hits(); n > 1 {
		t.Errorf("asked %d times", n)
	}
}

// testLimitLowered has a topic take less than the streamer has learned: pages go on in batches, which are smaller.
func testLimitLowered(t *testing.T, brokers []string, during func(publish func())) {
	l := newLimits(t, brokers)
	s := toSmall(t, brokers, "none")
	page := notices(2000)
	wantAll(t, s, page, "before")
	l.set(100_000)
	for range 3 {
		during(func() { wantAll(t, s, page, "after") })
	}
	got, err := consume(t.Context(), t, brokers, "small.orders", 4*len(page))
	if err != nil {
		t.Fatal(err)
	}
	if n := kafkastreamer.Replaced(s); n > 0 {
		t.Errorf("%d clients are left", n)
	}
	for i := range got {
		if want := page[i%len(page)].RunID; got[i].RunID != want {
			t.Fatalf("record %d is of run %s, want %s", i, got[i].RunID, want)
		}
	}
}

func TestLimitLowered(t *testing.T) {
	for name, known := range map[string]bool{"learned": true, "not to be learned": false} {
		t.Run(name, func(t *testing.T) {
			cluster, brokers := fake(t)
			if !known {
				cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
			}
			seen := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1})
			testLimitLowered(t, brokers, func(publish func()) {
				before := seen.Hits()
				publish()
				if n := seen.Hits() - before; n > 50 { // some are refused, and the rest hold a tenth of the page or less
					t.Errorf("a page of 2,000 events took %d requests", n)
				}
			})
		})
	}
}

// testLimitsUnderLoad lowers and raises the limit while many shards publish: all events arrive, and those of each run in order.
func testLimitsUnderLoad(t *testing.T, brokers []string) {
	const shards, versions = 8, 1500
	l := newLimits(t, brokers)
	l.set(100_000)
	s := toSmall(t, brokers, "none")
	wantAll(t, s, notices(1), "an event")
	half := make(chan struct{}, 2*shards)
	var calls sync.WaitGroup
	for shard := range shards {
		id := runtime.NewRunID(time.UnixMilli(1_800_000_000_000), runtime.Slot(shard), 77)
		var events []runtime.Event
		var prev *runtime.Record
		for v := uint64(1); v <= versions; v++ {
			next := &runtime.Record{RunID: id, Workflow: "orders", ForeignID: "1", Version: v, State: runtime.Running, Status: "priced", UpdatedAt: time.Now()}
			events = append(events, runtime.NewEvent(0, prev, next))
			prev = next
		}
		for i := range events {
			if i%500 == 499 { // too large for a lowered limit's batches, or for all before it
				events[i].ForeignID = strings.Repeat("x", 30_000) // twice
			}
		}
		calls.Go(func() {
			defer func() { half <- struct{}{} }()
			random := rand.New(rand.NewPCG(1, uint64(shard)))
			for told := false; len(events) > 0; {
				n, err := s.Publish(t.Context(), events[:min(len(events), 1+random.IntN(400))])
				if err != nil {
					t.Errorf("shard %d: published %d: %v", shard, n, err)
					return
				}
				if events = events[n:]; !told && len(events) < versions/2 {
					told = true
					half <- struct{}{}
				}
			}
		})
	}
	l.set(70_000)
	<-half
	l.set(1_000_000)
	calls.Wait()
	got, err := consume(t.Context(), t, brokers, "small.orders", 1+shards*versions)
	if err != nil {
		t.Fatal(err)
	}
	last := map[runtime.RunID]uint64{}
	for _, e := range got[1:] {
		if v := last[e.RunID]; e.Version > v+1 {
			t.Fatalf("run %s: version %d after %d", e.RunID, e.Version, v)
		}
		last[e.RunID] = max(last[e.RunID], e.Version)
	}
	for id, v := range last {
		if v != versions {
			t.Errorf("run %s: versions up to %d", id, v)
		}
	}
	if n := kafkastreamer.Replaced(s); n > 0 || len(last) != shards {
		t.Errorf("%d clients are left; events of %d runs", n, len(last))
	}
}

func TestLimitsUnderLoad(t *testing.T) {
	_, brokers := fake(t)
	testLimitsUnderLoad(t, brokers)
}

// TestNobodyWaitsForASlowBroker has the broker not answer the one who asks it: those who want to ask about the same topic can give up, and
// need not wait at all for the client that is to take another's place.
func TestNobodyWaitsForASlowBroker(t *testing.T) {
	for name, c := range map[string]struct {
		key   kmsg.Key
		waits bool
	}{
		"a topic's limit": {kmsg.DescribeConfigs, true},
		"a producer's ID": {kmsg.InitProducerID, false},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, brokers := fake(t)
			l := newLimits(t, brokers)
			s := toSmall(t, brokers, "none")
			wantAll(t, s, notices(1000), "before")
			l.set(20_000)
			asked, answer := make(chan struct{}), make(chan struct{})
			var once sync.Once
			cluster.ControlKey(int16(c.key), func(kmsg.Request) (kmsg.Response, error, bool) {
				once.Do(func() {
					close(asked)
					cluster.SleepControl(func() { <-answer })
				})
				return nil, nil, false
			})
			published := make(chan error, 1)
			go func() {
				_, err := s.Publish(t.Context(), notices(1000))
				published <- err
			}()
			<-asked
			ctx, cancel := context.WithCancel(t.Context())
			if c.waits {
				cancel()
			}
			if err := kafkastreamer.Ask(ctx, s, "orders"); (err != nil) != c.waits {
				t.Errorf("who asks besides gets: %v", err)
			}
			cancel()
			close(answer)
			if err := <-published; err != nil {
				t.Error(err)
			}
		})
	}
}
