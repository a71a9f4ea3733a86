package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// connected is a server whose connector orders has read so many messages, all parked: their values are not JSON. The store has another
// one, of the connector gone, which is configured no more.
func connected(t *testing.T, messages int) *Server {
	t.Helper()
	field, err := runtime.ParseField("value.id")
	if err != nil {
		t.Fatal(err)
	}
	stream, store := runtimetest.NewMemStream(), runtimetest.NewMemStore(2)
	stream.Topic("in", 1)
	serves := func(name string, parked uint64) *runtime.Engine {
		e, err := runtime.New(runtime.Options{Store: store, Connectors: []runtime.Connector{{
			Name: name, Topics: []string{"in"}, Open: stream.Open(name, false, "in"),
			Mapping: runtime.Mapping{Kind: runtime.ActionTrigger, Workflow: "quick", ForeignID: field},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		e.SetCatalog(runtime.NewCatalog(runtimetest.Chain("quick", 1)))
		if err := e.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := time.NewTicker(time.Millisecond)
		defer again.Stop()
		for e.Connectors()[0].Counts.Parked < parked {
			<-again.C
		}
		return e
	}
	produce := func() {
		stream.Produce(runtime.Message{
			Topic: "in", Key: []byte("k\xff"), Value: []byte("no\x00json"), Headers: []runtime.Header{{Name: "a", Value: []byte("1")}, {Name: "a", Value: []byte("2")}},
		})
	}
	produce()
	if err := serves("gone", 1).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range messages - 1 {
		produce()
	}
	e := serves("orders", uint64(messages))
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return newServer(t, Options{Engine: e})
}

func TestConnectorsAreListed(t *testing.T) {
	s := connected(t, 3)
	list := decode[ConnectorList](t, ask(t, s, "GET", "/v1/connectors", ""), http.StatusOK)
	if len(list.Connectors) != 1 {
		t.Fatalf("%+v", list)
	}
	c := list.Connectors[0]
	if c.Name != "orders" || len(c.Topics) != 1 || c.Topics[0] != "in" || c.Received != 3 || c.Parked != 3 || c.Triggered != 0 || c.Fault != "" {
		t.Errorf("%+v", c)
	}
	if len(c.Partitions) != 1 || c.Partitions[0].Topic != "in" || c.Partitions[0].Lag != -1 {
		t.Errorf("%+v", c.Partitions)
	}
}

func TestParkedMessagesPage(t *testing.T) {
	const messages = 7
	s := connected(t, messages)
	var all []ParkedMessage
	cursor := ""
	for pages := 1; ; pages++ {
		target := "/v1/connectors/orders/parked?limit=3"
		if cursor != "" {
			target += "&cursor=" + cursor
		}
		page := decode[ParkedPage](t, ask(t, s, "GET", target, ""), http.StatusOK)
		all = append(all, page.Parked...)
		if cursor = page.NextCursor; cursor == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if len(all) != messages {
		t.Fatalf("%d messages, want %d", len(all), messages)
	}
	for i := range all {
		m := &all[i]
		if m.Connector != "orders" || m.Topic != "in" || m.Partition != 0 || m.Offset != int64(i) || !strings.Contains(m.Cause, "JSON") ||
			m.Key != "k\uFFFD" || m.Value != "no\x00json" || m.Headers["a"] != "2" || m.Attempts != 1 {
			t.Errorf("message %d: %+v", i, m)
		}
	}
	gone := decode[ParkedPage](t, ask(t, s, "GET", "/v1/connectors/gone/parked", ""), http.StatusOK)
	if len(gone.Parked) != 1 || gone.Parked[0].Connector != "gone" {
		t.Errorf("of a connector that is configured no more: %+v", gone)
	}
}

func TestWhatIsDoneWithParkedMessages(t *testing.T) {
	s := connected(t, 2)
	parked := func(connector string) []ParkedMessage {
		t.Helper()
		return decode[ParkedPage](t, ask(t, s, "GET", "/v1/connectors/"+connector+"/parked", ""), http.StatusOK).Parked
	}
	one := func(connector string, offset int64) string {
		return fmt.Sprintf("/v1/connectors/%s/parked/%s/0/%d", connector, parked("orders")[0].TopicID, offset)
	}
	p := refused(t, ask(t, s, "POST", one("orders", 0)+"/redrive", ""), http.StatusUnprocessableEntity, "message-refused")
	if !strings.Contains(p.Detail, "in, partition 0, offset 0") || !strings.Contains(p.Detail, "JSON") {
		t.Errorf("the refusal says %q", p.Detail)
	}
	refused(t, ask(t, s, "POST", one("gone", 0)+"/redrive", ""), http.StatusConflict, "unconfigured-connector")
	refused(t, ask(t, s, "DELETE", one("orders", 5), ""), http.StatusNotFound, "not-parked")
	refused(t, ask(t, s, "POST", "/v1/connectors/orders/parked/x/0/0/redrive", ""), http.StatusNotFound, "not-parked")
	for _, target := range []string{one("orders", 0), one("gone", 0)} {
		if a := ask(t, s, "DELETE", target, ""); a.StatusCode != http.StatusNoContent {
			t.Errorf("drop: %d %s", a.StatusCode, a.body)
		}
		refused(t, ask(t, s, "DELETE", target, ""), http.StatusNotFound, "not-parked")
	}
	if left := parked("orders"); len(left) != 1 || left[0].Offset != 1 {
		t.Errorf("left: %+v", left)
	}
}

func TestConnectorRefusals(t *testing.T) {
	s := connected(t, 1)
	p := refused(t, ask(t, s, "GET", "/v1/connectors/order/parked", ""), http.StatusNotFound, "unknown-connector")
	if !strings.Contains(p.Hint, "orders") || len(p.Known) != 1 {
		t.Errorf("hint %q, known %v", p.Hint, p.Known)
	}
	for _, cursor := range []string{"x", "a/b", "a/b/c", "00/0/0", strings.Repeat("0", 32) + "/-1/0", strings.Repeat("0", 32) + "/0/x"} {
		refused(t, ask(t, s, "GET", "/v1/connectors/orders/parked?cursor="+cursor, ""), http.StatusBadRequest, "invalid-request")
	}
	for _, limit := range []string{"0", "1001", "x"} {
		refused(t, ask(t, s, "GET", "/v1/connectors/orders/parked?limit="+limit, ""), http.StatusBadRequest, "invalid-request")
	}
}
