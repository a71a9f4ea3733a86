package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/bulk"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/compile"
	"github.com/wfrt/wfrt/internal/hostile"
	"github.com/wfrt/wfrt/plugins/orders/payments"
)

// The 830 orders of the Northwind database, and what is known of them (plugins/orders/testdata).
const (
	ordersFile    = "../../plugins/orders/testdata/northwind-orders.jsonl"
	orders        = 830
	ordersShipped = 809
	ordersBack    = 21
	ordersInCents = 126_579_329
)

// ordersServer is a server of its own process that serves the orders, which reach a payment service of the test.
type ordersServer struct {
	*server
	t        *testing.T
	dir      string
	env      []string
	client   *client.Client
	payments *payments.Service
}

// serveOrders serves the orders, and guests of the gallery beside them, until the test ends, which wants the server to stop in good
// order. env is more of its environment, as NAME=value.
func serveOrders(t *testing.T, guests []hostile.Guest, env ...string) *ordersServer {
	t.Helper()
	s := &ordersServer{server: &server{}, t: t, dir: t.TempDir(), env: append(os.Environ(), env...)}
	err := compile.Module(t.Context(), compile.Options{
		Dir: "../../plugins/orders", Out: filepath.Join(s.dir, "plugins", "orders.wasm"), Messages: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	service, granted := paymentsFor(t)
	s.payments = service
	if err := os.WriteFile(filepath.Join(s.dir, "config.yaml"), []byte(granted), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, g := range guests {
		if err := os.WriteFile(filepath.Join(s.dir, "plugins", g.Name+".wasm"), g.Binary, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.start(s.dir, s.env); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	if s.client, err = client.New(s.address, ""); err != nil {
		t.Fatal(err)
	}
	return s
}

// restart kills the server and starts it again at its address.
func (s *ordersServer) restart() error {
	if err := s.kill(); err != nil {
		return err
	}
	return s.start(s.dir, s.env, "--listen", strings.TrimPrefix(s.address, "http://"))
}

// send sends all orders, has the fault befall the server when each of the numbers of triggers has been acknowledged (ascending), and waits
// for the runs to end. It wants each order to be sent: a trigger that was durable but not acknowledged is repeated, and how many of them
// there are is chance.
func (s *ordersServer) send(at []int64, fault func() error) bulk.Summary {
	s.t.Helper()
	source, err := bulk.Open(ordersFile)
	if err != nil {
		s.t.Fatal(err)
	}
	to := &struck{
		Server: &sender{client: s.client, workflow: "orders", timeout: patience, away: func() {}}, at: at, fault: fault, failed: s.t.Errorf,
	}
	summary, err := bulk.Run(s.t.Context(), source, bulk.Options{
		Server: to, ForeignIDField: "order_id", Concurrency: 32, Await: true,
		Failed: func(line int, cause error) { s.t.Errorf("line %d: %v", line, cause) },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if summary.Lines != orders || summary.Triggered+summary.Repeated != orders || summary.Elsewhere != 0 {
		s.t.Errorf("sent: %+v", summary)
	}
	return summary
}

// struck is a server that a fault befalls after given numbers of acknowledged triggers.
type struck struct {
	bulk.Server
	at     []int64 // ascending
	fault  func() error
	failed func(format string, args ...any)

	acknowledged atomic.Int64
}

// Trigger implements bulk.Server. Exactly one caller sees each number.
func (s *struck) Trigger(ctx context.Context, line bulk.Line) (string, bulk.Result, error) {
	id, result, err := s.Server.Trigger(ctx, line)
	if err == nil && slices.Contains(s.at, s.acknowledged.Add(1)) {
		if err := s.fault(); err != nil {
			s.failed("fault: %v", err)
		}
	}
	return id, result, err
}

// paymentsFor returns a payment service, and the configuration that lets the orders reach it.
func paymentsFor(t *testing.T) (service *payments.Service, granted string) {
	t.Helper()
	service = payments.New()
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	return service, fmt.Sprintf("plugins: {overrides: {orders: {grants: {http: {payments: {methods: [POST], address: %q}}}}}}\n",
		server.Listener.Addr())
}
