package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/bulk"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/plugins/orders/payments"
)

// wayOf returns the statuses of an order that ended in one: an unshipped order waits until its time is up.
func wayOf(end string) []string {
	way := []string{"received", "validated", "priced", "charged"}
	if end == "backordered" {
		way = append(way, "awaiting_shipment")
	}
	return append(way, end)
}

// TestKilledServerLosesAndDoublesNothing sends the orders to a server that is killed, and started again, each time that a
// number of triggers has been acknowledged: while others are under way, and while steps run.
func TestKilledServerLosesAndDoublesNothing(t *testing.T) {
	s := serveOrders(t, nil)
	summary := s.send([]int64{1, 150, 400, 650, orders}, s.restart)
	want := []bulk.Arrived{
		{Place: bulk.Place{State: "Completed", Status: "backordered"}, Runs: ordersBack},
		{Place: bulk.Place{State: "Completed", Status: "shipped"}, Runs: ordersShipped},
	}
	if !slices.Equal(summary.Awaited, want) {
		t.Errorf("awaited %v, want %v", summary.Awaited, want)
	}
	checkOrders(t, s.client)
	checkCharges(t, s.payments)
	checkReport(t, s.client)
}

// checkOrders looks at every run: there is one for each order, it went each way once, and the totals add up.
func checkOrders(t *testing.T, c *client.Client) {
	t.Helper()
	page, err := listRuns(t.Context(), c, url.Values{"workflow": {"orders"}, "order": {"asc"}}, 10*orders)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	cents := 0
	for i := range page.Runs {
		run := &page.Runs[i]
		if seen[run.ForeignID] {
			t.Errorf("order %s has two runs", run.ForeignID)
		}
		seen[run.ForeignID] = true
		if run.State != "Completed" || run.Version != uint64(len(wayOf(run.Status))) {
			t.Errorf("order %s is %s in %s, version %d", run.ForeignID, run.State, run.Status, run.Version)
		}
		var order struct {
			TotalCents int `json:"total_cents"`
		}
		if err := json.Unmarshal(run.Object, &order); err != nil {
			t.Errorf("order %s: %v", run.ForeignID, err)
		}
		cents += order.TotalCents
		checkHistory(t, c, run)
	}
	if len(page.Runs) != orders || cents != ordersInCents {
		t.Errorf("%d runs come to %d cents, want %d and %d", len(page.Runs), cents, orders, ordersInCents)
	}
}

// checkCharges wants every order charged once, though the kills had some of them sent twice.
func checkCharges(t *testing.T, service *payments.Service) {
	t.Helper()
	done := service.Totals()
	if done.Charges != orders || len(done.PerOrder) != orders || done.ChargedCents != ordersInCents {
		t.Errorf("%d charges for %d orders come to %d cents; want %d, one for each, and %d",
			done.Charges, len(done.PerOrder), done.ChargedCents, orders, ordersInCents)
	}
	t.Logf("%d requests for %d charges", done.Requests, done.Charges)
}

// checkReport wants the report to be told of each order once. The orders tell it after they have ended; should the day end meanwhile,
// there are two.
func checkReport(t *testing.T, c *client.Client) {
	t.Helper()
	type report struct {
		Orders      int `json:"orders"`
		Shipped     int `json:"shipped"`
		Backordered int `json:"backordered"`
		TotalCents  int `json:"total_cents"`
	}
	told := errors.New("the report is told of all orders")
	var sum report
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := c.Events(ctx, &client.EventQuery{Follow: true, Workflows: []string{"report"}}, func(*client.Event) error {
		page, err := c.Runs(ctx, url.Values{"workflow": {"report"}})
		if err != nil {
			return err
		}
		sum = report{}
		for i := range page.Runs {
			var r report
			if err := json.Unmarshal(page.Runs[i].Object, &r); err != nil {
				return err
			}
			sum = report{sum.Orders + r.Orders, sum.Shipped + r.Shipped, sum.Backordered + r.Backordered, sum.TotalCents + r.TotalCents}
		}
		if sum.Orders >= orders {
			return told
		}
		return nil
	})
	if want := (report{orders, ordersShipped, ordersBack, ordersInCents}); !errors.Is(err, told) || sum != want {
		t.Errorf("the report says %+v, want %+v: %v", sum, want, err)
	}
}

// checkHistory wants every version once, and no attempt that failed for another reason than the kills.
func checkHistory(t *testing.T, c *client.Client, run *httpapi.Run) {
	t.Helper()
	page, err := c.History(t.Context(), run.RunID, "")
	if err != nil {
		t.Fatal(err)
	}
	var statuses []string
	for _, e := range page.History {
		switch {
		case e.Line == 0:
			statuses = append(statuses, e.Status)
		case e.Failed && !strings.Contains(e.Reason, "stopped without warning"):
			t.Errorf("order %s: %+v", run.ForeignID, e)
		}
	}
	if want := wayOf(run.Status); !slices.Equal(statuses, want) {
		t.Errorf("order %s went %v, want %v", run.ForeignID, statuses, want)
	}
}
