package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/compile"
	"github.com/wfrt/wfrt/internal/httpapi"
)

const ordersTopic = "northwind.orders"

// connectorsFile is the configuration of a server that takes the orders of a topic, one after the other, and does not wait long for the
// partitions of one that was killed.
const connectorsFile = `
kafka: {brokers: %q}
connectors:
  orders:
    {topics: northwind.orders, action: trigger, workflow: orders, foreign_id: value.order_id, window: 4, parallelism: 1, session_timeout: 2s}
`

// TestKilledServerTakesEachMessageOnce produces the orders to a topic while the server that takes them is killed again and again.
func TestKilledServerTakesEachMessageOnce(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, ordersTopic), kfake.BrokerConfigs(map[string]string{"group.min.session.timeout.ms": "1000"}))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	takeOrders(t, cluster.ListenAddrs(), taking{kills: 2, random: rand.New(rand.NewPCG(1, 2))})
}

// taking says what happens while the orders of a topic are taken.
type taking struct {
	kills     int                      // of the server
	random    *rand.Rand               // says how many orders a server has taken when it is killed
	before    func(kill int)           // called before each kill; nil: nothing
	published func(runs []httpapi.Run) // called at the end with the runs, while the server still serves; nil: nothing
}

// takeOrders produces the orders to a topic that is there, a part in the life of each server. A server is killed while its part is being
// produced, when it has taken some of it. At the end every order has had its effect once.
//
// Most kills must hit what they are meant to: messages that have had their effect and receipt, and that the group has not been
// told of, so that the next server gets them again; and orders that are not there or not done yet.
func takeOrders(t *testing.T, brokers []string, with taking) {
	t.Helper()
	dir := t.TempDir()
	err := compile.Module(t.Context(), compile.Options{
		Dir: "../../plugins/orders", Out: filepath.Join(dir, "plugins", "orders.wasm"), Messages: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	service, granted := paymentsFor(t)
	file := granted + fmt.Sprintf(connectorsFile, strings.Join(brokers, ","))
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{}
	if err := s.start(dir, os.Environ()); err != nil {
		t.Fatal(err)
	}
	listen := strings.TrimPrefix(s.address, "http://")
	c, err := client.New(s.address, "")
	if err != nil {
		t.Fatal(err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	var again, open int // kills after which messages came again, and at which orders were open
	part := 0
	for lines := range slices.Chunk(orderMessages(t), (orders+with.kills)/(with.kills+1)) {
		produced := make(chan error, 1)
		go func() { produced <- produce(t.Context(), producer, lines) }()
		if part == with.kills {
			if err := <-produced; err != nil {
				t.Fatal(err)
			}
			if repeated := taken(t, c, 1); repeated > 0 {
				again++
			}
			break
		}
		if repeated := taken(t, c, 1+with.random.Uint64N(uint64(len(lines)/2))); part > 0 && repeated > 0 {
			again++
		}
		if with.before != nil {
			with.before(part)
		}
		if err := s.kill(); err != nil {
			t.Fatal(err)
		}
		if err := <-produced; err != nil {
			t.Fatal(err)
		}
		part++
		if err := s.start(dir, os.Environ(), "--listen", listen); err != nil {
			t.Fatal(err)
		}
		if runs := waitForRuns(t, s.address, 0, ""); runs < min(part*len(lines), orders) { // it has no partitions yet
			open++
		}
	}
	t.Logf("of %d kills %d came between receipts and their commit, %d while orders were open", with.kills, again, open)
	if again < (with.kills+1)/2 || open < (with.kills+1)/2 {
		t.Errorf("too few kills hit messages under way")
	}
	waitForRuns(t, s.address, orders, "Completed")
	checkOrders(t, c)
	checkCharges(t, service)
	if with.published != nil {
		page, err := listRuns(t.Context(), c, url.Values{"workflow": {"orders"}}, 10*orders)
		if err != nil {
			t.Fatal(err)
		}
		with.published(page.Runs)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// produce produces messages one after the other.
func produce(ctx context.Context, producer *kgo.Client, messages []*kgo.Record) error {
	for _, m := range messages {
		if err := producer.ProduceSync(ctx, m).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

// taken waits until the server, since it was started, has begun so many runs, and returns how many messages came that had had their
// effect before.
func taken(t *testing.T, c *client.Client, runs uint64) (repeated uint64) {
	t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	for {
		list, err := c.Connectors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if list.Connectors[0].Triggered >= runs {
			return list.Connectors[0].Repeated
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("%d runs began, want %d: %+v", list.Connectors[0].Triggered, runs, list.Connectors[0])
		}
	}
}

// orderMessages returns the orders as messages, each with its ID as the key.
func orderMessages(t *testing.T) []*kgo.Record {
	t.Helper()
	file, err := os.Open(ordersFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	var all []*kgo.Record
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var order struct {
			OrderID json.Number `json:"order_id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
			t.Fatal(err)
		}
		all = append(all, &kgo.Record{Topic: ordersTopic, Key: []byte(order.OrderID), Value: append([]byte(nil), lines.Bytes()...)})
	}
	return all
}

// waitForRuns waits until there are so many runs, of a state unless that is "", and returns how many there are.
func waitForRuns(t *testing.T, address string, runs int, state string) int {
	t.Helper()
	c, err := client.New(address, "")
	if err != nil {
		t.Fatal(err)
	}
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	late := time.After(patience)
	query := url.Values{"workflow": {"orders"}}
	if state != "" {
		query.Set("state", state)
	}
	for {
		page, err := listRuns(t.Context(), c, query, 10*orders)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Runs) >= runs {
			return len(page.Runs)
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("%d runs, want %d", len(page.Runs), runs)
		}
	}
}
