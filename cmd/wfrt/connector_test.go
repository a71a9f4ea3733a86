package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
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

// connectorsFile is the configuration of a server that takes the orders of a topic.
const connectorsFile = `
kafka: {brokers: %q}
connectors:
  orders: {topics: northwind.orders, action: trigger, workflow: orders, foreign_id: value.order_id, window: 4, parallelism: 1}
`

// TestKilledServerTakesEachMessageOnce produces the orders to a topic while the server that takes them is killed again and again.
func TestKilledServerTakesEachMessageOnce(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, ordersTopic))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	takeOrders(t, cluster.ListenAddrs(), 2, nil, nil)
}

// takeOrders produces the orders to a topic that is there, kills the server so many times in between, calls between (nil: nothing)
// after each part, and checks what has become of the orders. At the end it calls published (nil: nothing) with their runs, while
// the server still serves.
func takeOrders(t *testing.T, brokers []string, kills int, between func(part int), published func(runs []httpapi.Run)) {
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
	producer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	lines := orderMessages(t)
	part := (len(lines) + kills) / (kills + 1)
	hit := 0 // kills with messages under way
	for i := 0; i*part < len(lines); i++ {
		upTo := min((i+1)*part, len(lines))
		if err := producer.ProduceSync(t.Context(), lines[i*part:upTo]...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if between != nil {
			between(i)
		}
		if i == kills {
			break
		}
		waitForRuns(t, s.address, i*part+1, "")
		if err := s.kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.start(dir, os.Environ(), "--listen", listen); err != nil {
			t.Fatal(err)
		}
		if left := upTo - waitForRuns(t, s.address, 0, ""); left > 0 { // nothing is assigned to it yet
			hit++
		}
	}
	t.Logf("%d of %d kills came while messages were under way", hit, kills)
	waitForRuns(t, s.address, orders, "Completed")
	c, err := client.New(s.address, "")
	if err != nil {
		t.Fatal(err)
	}
	checkOrders(t, c)
	checkCharges(t, service)
	if published != nil {
		page, err := listRuns(t.Context(), c, url.Values{"workflow": {"orders"}}, 10*orders)
		if err != nil {
			t.Fatal(err)
		}
		published(page.Runs)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
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
