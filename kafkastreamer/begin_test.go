package kafkastreamer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
)

// told is a reader that remembers what it is told.
type told struct {
	atLeast int64 // where it begins
	refuses int   // which time it refuses; 0: never

	mu       sync.Mutex
	assigned []string // "partition 0 at 3, committed", in the order in which they came
	gone     int
}

func (r *told) Assigned(_ context.Context, at runtime.Position, committed bool) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.assigned = append(r.assigned, fmt.Sprintf("partition %d at %d, committed: %t", at.Partition, at.Offset, committed))
	if len(r.assigned) == r.refuses {
		return 0, errors.New("not now")
	}
	return max(at.Offset, r.atLeast), nil
}

func (r *told) Revoked(_ context.Context, gone []runtime.Position, _ bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone += len(gone)
}

// logged holds what was logged, and waits for it.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func newLogged() *logged { return &logged{more: make(chan struct{}, 1)} }

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

// want waits until a line has all the parts.
func (l *logged) want(t *testing.T, parts ...string) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		l.mu.Lock()
		text := l.text.String()
		l.mu.Unlock()
		for line := range strings.Lines(text) {
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
				return
			}
		}
		select {
		case <-l.more:
		case <-late:
			t.Fatalf("no line of the log says all of %q: %s", parts, text)
		}
	}
}

// begun opens a source of the topic "orders" for the group "wfrt" and receives until it has so many messages, which it returns.
func begun(t *testing.T, brokers []string, start kafkastreamer.Start, r runtime.SourceReader, log *logged, n int) ([]string, runtime.Source) {
	t.Helper()
	conn := kafkastreamer.Connection{Brokers: brokers}
	if log != nil {
		conn.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	source, err := kafkastreamer.OpenSource(kafkastreamer.SourceOptions{Connection: conn, Group: "wfrt", Start: start, Topics: []string{"orders"}})(r)
	if err != nil {
		t.Fatal(err)
	}
	closing := &closedOnce{Source: source}
	t.Cleanup(closing.Close)
	return values(t, source, n), closing
}

// closedOnce is a source that may be closed twice.
type closedOnce struct {
	runtime.Source
	once sync.Once
}

func (s *closedOnce) Close() { s.once.Do(s.Source.Close) }

func values(t *testing.T, source runtime.Source, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < n {
		messages, err := source.Receive(ctx)
		if ctx.Err() != nil {
			t.Fatalf("got %q; the last error: %v", got, err)
		}
		for i := range messages {
			got = append(got, string(messages[i].Value))
		}
	}
	return got
}

func wantValues(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSourceLateCommit has the commit of a topic reach the group after the topic was deleted and made again: it does not count. That of
// the topic does, and so does one of a tool.
func TestSourceLateCommit(t *testing.T) {
	for name, c := range map[string]struct {
		mark  func(id kadm.TopicID) string
		first string
	}{
		"of the topic before": {func(kadm.TopicID) string { return "wfrt topic=000102030405060708090a0b0c0d0e0f partitions=1" }, "0"},
		"of the topic":        {func(id kadm.TopicID) string { return fmt.Sprintf("wfrt topic=%x partitions=1", id[:]) }, "2"},
		"of a tool":           {func(kadm.TopicID) string { return "" }, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, brokers := fake(t)
			s := newStream(t, brokers)
			s.Topic(t, "orders", 1)
			for i := range 4 {
				s.Produce(t, "orders", 0, fmt.Sprint(i))
			}
			admin := kadm.NewClient(s.producer)
			topics, err := admin.ListTopics(t.Context(), "orders")
			if err != nil {
				t.Fatal(err)
			}
			var at kadm.Offsets
			at.Add(kadm.Offset{Topic: "orders", At: 2, LeaderEpoch: -1, Metadata: c.mark(topics["orders"].ID)})
			if err := admin.CommitAllOffsets(t.Context(), "wfrt", at); err != nil {
				t.Fatal(err)
			}
			got, _ := begun(t, brokers, kafkastreamer.Latest(), &told{}, nil, 1)
			if got[0] != c.first {
				t.Errorf("it begins with message %s, want %s", got[0], c.first)
			}
		})
	}
}

// TestSourceStartsAtATime begins with the first message of a time, and with the first of a partition that is added later.
func TestSourceStartsAtATime(t *testing.T) {
	_, brokers := fake(t)
	s := newStream(t, brokers)
	s.Topic(t, "orders", 2)
	noon := time.UnixMilli(1_800_000_000_000)
	at := func(partition int32, minute int) {
		t.Helper()
		r := &kgo.Record{
			Topic: "orders", Partition: partition, Value: fmt.Append(nil, minute), Timestamp: noon.Add(time.Duration(minute) * time.Minute),
		}
		if err := s.producer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for minute := -2; minute < 3; minute++ {
		at(0, minute)
	}
	at(1, -5) // has none of the time
	r := &told{}
	got, source := begun(t, brokers, kafkastreamer.At(noon), r, nil, 3)
	wantValues(t, got, "0", "1", "2")
	if err := source.Commit(t.Context(), []runtime.Position{{Topic: "orders", TopicID: topicID(t, s), Offset: 5}}); err != nil {
		t.Fatal(err)
	}
	source.Close()
	s.Grow(t, "orders", 1)
	at(2, -1)
	got, _ = begun(t, brokers, kafkastreamer.At(noon), r, nil, 1)
	wantValues(t, got, "-1")
}

func topicID(t *testing.T, s *stream) runtime.TopicID {
	t.Helper()
	topics, err := kadm.NewClient(s.producer).ListTopics(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	return runtime.TopicID(topics["orders"].ID)
}

// TestSourceSetBack has the log of a partition become shorter than it was read: brokers that tell no topic's ID, and a topic that is
// made again. The reader hears of it, may refuse it for now, and nothing of what comes is passed over.
func TestSourceSetBack(t *testing.T) {
	_, brokers := fake(t, kfake.MaxVersions(kversion.V2_7_0()))
	s := newStream(t, brokers)
	s.Topic(t, "orders", 1)
	for i := range 5 {
		s.Produce(t, "orders", 0, fmt.Sprint("old ", i))
	}
	r, log := &told{refuses: 2}, newLogged()
	_, source := begun(t, brokers, kafkastreamer.Earliest(), r, log, 5)
	s.Remake(t, "orders", 1)
	for i := range 2 {
		s.Produce(t, "orders", 0, fmt.Sprint("new ", i))
	}
	wantValues(t, values(t, source, 2), "new 0", "new 1")
	source.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	anew := "partition 0 at 0, committed: false"
	if want := []string{anew, anew, anew}; !slices.Equal(r.assigned, want) || r.gone < 2 {
		t.Errorf("it was told of %s, and %d times that it is gone", r.assigned, r.gone)
	}
	log.want(t, "a partition was set back", "group=wfrt", "topic=orders", "partition=0", "from=5", "to=0")
}

// TestSourceBeyondTheLog says of a group that is ahead of its topic where it begins; and of a reader that is.
func TestSourceBeyondTheLog(t *testing.T) {
	_, brokers := fake(t)
	s := newStream(t, brokers)
	s.Topic(t, "orders", 1)
	s.Produce(t, "orders", 0, "0")
	s.Commit(t, "wfrt", "orders", 0, 15)
	log := newLogged()
	got, source := begun(t, brokers, kafkastreamer.Earliest(), &told{}, log, 1)
	wantValues(t, got, "0")
	source.Close()
	log.want(t, "beyond the end of the log", "group=wfrt", "topic=orders", "partition=0", "committed=15", "end=1", "start=0")

	log = newLogged()
	s.Produce(t, "orders", 0, "1")
	_, source = begun(t, brokers, kafkastreamer.Earliest(), &told{atLeast: 7}, log, 0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := make(chan []runtime.Message, 1)
	go func() {
		messages, _ := source.Receive(ctx)
		again <- messages
	}()
	log.want(t, "messages were lost", "done=7", "end=2")
	s.Produce(t, "orders", 0, "2")
	if messages := <-again; len(messages) != 1 || messages[0].Offset != 2 {
		t.Errorf("got %v, want the message of offset 2: the reader decides", messages)
	}
}

// cutAt has the brokers say, once, that the log was cut at an offset after what was read of it.
func cutAt(cluster *kfake.Cluster, offset int64) {
	cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.DropControl()
		answer := r.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, t := range r.(*kmsg.OffsetForLeaderEpochRequest).Topics {
			in := kmsg.NewOffsetForLeaderEpochResponseTopic()
			in.Topic = t.Topic
			for i := range t.Partitions {
				p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				p.Partition, p.LeaderEpoch, p.EndOffset = t.Partitions[i].Partition, t.Partitions[i].LeaderEpoch, offset
				in.Partitions = append(in.Partitions, p)
			}
			answer.Topics = append(answer.Topics, in)
		}
		return answer, nil, true
	})
}

// TestSourceSaysThatALogLostMessages has the log be cut while a source reads it, and while it does not: what is lost is said, and what came
// in its place is read.
func TestSourceSaysThatALogLostMessages(t *testing.T) {
	for name, away := range map[string]bool{"while it reads": false, "while it is away": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, brokers := fake(t, kfake.NumBrokers(2))
			s := newStream(t, brokers)
			s.Topic(t, "orders", 1)
			for i := range 5 {
				s.Produce(t, "orders", 0, fmt.Sprint(i))
			}
			r, log := &told{}, newLogged()
			_, source := begun(t, brokers, kafkastreamer.Earliest(), r, log, 5)
			if err := source.Commit(t.Context(), []runtime.Position{{Topic: "orders", TopicID: topicID(t, s), Offset: 5}}); err != nil {
				t.Fatal(err)
			}
			cutAt(cluster, 3)
			var got []string
			if away {
				source.Close()
				got, _ = begun(t, brokers, kafkastreamer.Earliest(), r, log, 2)
			} else {
				if err := cluster.MoveTopicPartition("orders", 0, 1-cluster.LeaderFor("orders", 0)); err != nil {
					t.Fatal(err)
				}
				got = values(t, source, 2)
			}
			wantValues(t, got, "3", "4")
			log.want(t, "level=ERROR", "lost messages", "another name", "topic=orders", "partition=0", "from=3", "to=5")
			r.mu.Lock()
			defer r.mu.Unlock()
			if last := r.assigned[len(r.assigned)-1]; last != "partition 0 at 3, committed: false" {
				t.Errorf("it was told last of %s", last)
			}
		})
	}
}

// TestSourceWaitsForOffsets has the brokers not say where a partition ends, at first: nobody takes that for an end.
func TestSourceWaitsForOffsets(t *testing.T) {
	cluster, brokers := fake(t)
	s := newStream(t, brokers)
	s.Topic(t, "orders", 1)
	for i := range 3 {
		s.Produce(t, "orders", 0, fmt.Sprint(i))
	}
	s.Commit(t, "wfrt", "orders", 0, 2)
	cluster.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.DropControl()
		return r.ResponseKind(), nil, true
	})
	r := &told{}
	got, source := begun(t, brokers, kafkastreamer.Earliest(), r, nil, 1)
	wantValues(t, got, "2")
	source.Close()
	if want := []string{"partition 0 at 2, committed: true"}; !slices.Equal(r.assigned, want) {
		t.Errorf("it was told of %s, want %s", r.assigned, want)
	}
}

// testSourceOfARemovedLog has messages be removed from the start of the log, while nobody reads and while a source does: it goes on with those
// that are left.
func testSourceOfARemovedLog(t *testing.T, s *stream) {
	s.Topic(t, "orders", 1)
	var all []string
	for i := range 20 {
		all = append(all, fmt.Sprint(i))
		s.Produce(t, "orders", 0, all[i])
	}
	remove := func(upTo int64) {
		t.Helper()
		var at kadm.Offsets
		at.AddOffset("orders", 0, upTo, -1)
		if _, err := kadm.NewClient(s.producer).DeleteRecords(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	s.Commit(t, "wfrt", "orders", 0, 2)
	remove(5)
	log := newLogged()
	got, source := begun(t, s.brokers, kafkastreamer.Earliest(), nobody{}, log, 15)
	wantValues(t, got, all[5:]...)
	log.want(t, "removed from the log before they were read", "group=wfrt", "topic=orders", "partition=0", "committed=2", "start=5")

	source.Pause("orders", 0)
	for i := range 10 {
		all = append(all, fmt.Sprint("more ", i))
		s.Produce(t, "orders", 0, all[20+i])
	}
	remove(25)
	source.Resume("orders", 0)
	for got = nil; !slices.Contains(got, all[29]); { // the client may have had some of those that are gone
		got = append(got, values(t, source, 1)...)
	}
	wantValues(t, got[len(got)-5:], all[25:]...)
}

func TestSourceOfARemovedLog(t *testing.T) {
	_, brokers := fake(t)
	testSourceOfARemovedLog(t, newStream(t, brokers))
}
