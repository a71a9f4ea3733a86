package kafkastreamer_test

import (
	"errors"
	"maps"
	"strings"
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

// emitted is an event that a handler emitted with the change that another notices.
func emitted(change runtime.Event) runtime.Event {
	change.Number, change.Emit = 1, runtime.Emit{Type: "northwind.order.priced", ContentType: "text/plain", Data: []byte("12.50")}
	return change
}

// testRecord publishes changes and emitted events that happened hours from now, in both directions, to a topic that takes records of one
// hour: the headers are those of CloudEvents with the event's time, the timestamp is that of publication.
func testRecord(t *testing.T, brokers []string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	hour := "3600000"
	limits := map[string]*string{"message.timestamp.before.max.ms": &hour, "message.timestamp.after.max.ms": &hour}
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, limits, "rec.orders"); err != nil {
		t.Fatal(err)
	}
	s := open(t, kafkastreamer.Options{Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "rec."})
	began := time.Now().Truncate(time.Millisecond)
	var events []runtime.Event
	for i, off := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		change := notice("orders", uint64(i))
		change.Time = began.Add(off).UTC()
		events = append(events, change, emitted(change))
	}
	for i := range events { // each in a batch of its own: a refusal is of that one
		if n, err := s.Publish(t.Context(), events[i:i+1]); n != 1 || err != nil {
			t.Fatalf("event %d: published %d: %v", i, n, err)
		}
	}
	ended := time.Now()
	got, err := records(t.Context(), brokers, "rec.orders", len(events))
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		want := map[string]string{
			"ce_specversion": "1.0", "ce_id": e.ID(), "ce_type": "wfrt.run.initiated", "ce_source": "/wfrt/workflows/orders", "ce_subject": "1",
			"ce_time": e.Time.Format(time.RFC3339Nano), "ce_runversion": "1", "ce_runstate": "Initiated", "ce_status": "received",
			"content-type": "application/json",
		}
		if e.Number > 0 {
			want["ce_type"], want["content-type"] = e.Type, e.ContentType
			if string(got[i].Value) != string(e.Data) {
				t.Errorf("event %d: the value is %q", i, got[i].Value)
			}
		}
		headers := map[string]string{}
		for _, h := range got[i].Headers {
			headers[h.Key] = string(h.Value)
		}
		if !maps.Equal(headers, want) || len(got[i].Headers) != len(want) {
			t.Errorf("event %d: headers\n%v, want\n%v", i, headers, want)
		}
		if string(got[i].Key) != e.RunID.String() {
			t.Errorf("event %d: the key is %q, want %s", i, got[i].Key, e.RunID)
		}
		if at := got[i].Timestamp; at.Before(began) || at.After(ended) {
			t.Errorf("event %d: the timestamp is %v, published between %v and %v", i, at, began, ended)
		}
	}
}

func TestRecord(t *testing.T) {
	_, brokers := fake(t)
	testRecord(t, brokers)
}

// A broker that does not take the time of publication refuses none of the events for it: they are published when it does.
func TestBrokerRefusesTheTime(t *testing.T) {
	cluster, brokers := fake(t)
	s := open(t, kafkastreamer.Options{Connection: kafkastreamer.Connection{Brokers: brokers}, Prefix: "late.", Partitions: 1})
	produce := []kmsg.Key{kmsg.Produce}
	want := func(why string) {
		t.Helper()
		n, err := s.Publish(t.Context(), []runtime.Event{notice("orders", 1), emitted(notice("orders", 1))})
		var refused *runtime.RefusedError
		if n != 0 || err == nil || errors.As(err, &refused) {
			t.Fatalf("%s: published %d: %v, want none and none refused", why, n, err)
		}
		for _, part := range []string{"topic late.orders, partition 0", "broker " + brokers[0], "clock", "INVALID_TIMESTAMP"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", why, err, part)
			}
		}
	}
	fault := cluster.Fault(kfake.Fault{Keys: produce, Err: kerr.InvalidTimestamp, Count: -1})
	want("a batch")
	fault.Remove()
	cluster.Fault(kfake.Fault{Keys: produce, Err: kerr.InvalidRecord}, kfake.Fault{Keys: produce, Err: kerr.InvalidTimestamp})
	want("a record alone")
	if n, err := s.Publish(t.Context(), []runtime.Event{notice("orders", 1), emitted(notice("orders", 1))}); n != 2 || err != nil {
		t.Errorf("published %d: %v", n, err)
	}
}
