package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

// order returns an order of 300 cents that has not been shipped.
func order(id string) Order {
	return Order{OrderID: id, Lines: []Line{{ProductID: 1, UnitPriceCents: 100, Quantity: 3, Discount: "0"}}}
}

func TestShipTimeout(t *testing.T) {
	for name, test := range map[string]struct {
		ms   int64
		want time.Duration
	}{
		"default":  {0, 2 * time.Second},
		"its own":  {90_000, 90 * time.Second},
		"too long": {1 << 62, 366 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			flow := sdktest.New(t, orders).With(paid())
			late := order("1")
			late.ShipTimeoutMS = test.ms
			c := flow.Trigger("1", late)
			flow.Advance(test.want - 1)
			c.RequireStatus(AwaitingShipment)
			flow.Advance(1)
			c.RequireStatus(Backordered)
			c.RequireState(sdk.StateCompleted)
		})
	}
}

func TestWarehouseShips(t *testing.T) {
	flow := sdktest.New(t, orders).With(paid())
	c := flow.Trigger("1", order("1"))
	for _, payload := range []string{``, `[]`, `{}`, `{"shipped_date":"yesterday"}`} {
		if got := c.Callback(AwaitingShipment, []byte(payload)); !got.Refused || !strings.Contains(got.Reason, "the payload") {
			t.Errorf("%q is answered with %+v; want a refusal", payload, got)
		}
	}
	c.RequireStatus(AwaitingShipment)
	if got := c.Callback(AwaitingShipment, []byte(`{"shipped_date":"1998-05-06"}`)); got != (sdktest.Answer{}) {
		t.Errorf("the shipment is answered with %+v", got)
	}
	c.RequireStatus(Shipped)
	if date := c.Object().ShippedDate; date == nil || *date != "1998-05-06" {
		t.Errorf("the order was shipped on %v", date)
	}
	flow.Advance(shipTimeout)
	c.RequireStatus(Shipped)
}

func TestCustomerConfirms(t *testing.T) {
	flow := sdktest.New(t, orders).With(paid())
	shipped := order("1")
	shipped.ShippedDate, shipped.ConfirmReceipt = new("1998-05-06"), true
	c := flow.Trigger("1", shipped)
	c.RequireStatus(InDelivery)
	for _, payload := range []string{`"yes"`, `{}`} {
		if got := c.Callback(InDelivery, []byte(payload)); !got.Refused {
			t.Errorf("%q is answered with %+v; want a refusal", payload, got)
		}
	}
	c.Callback(InDelivery, []byte(`{"received":true}`))
	c.RequireStatus(Delivered)
	c.RequireState(sdk.StateCompleted)

	silent := flow.Trigger("1", shipped)
	flow.Advance(assumeAfter)
	silent.RequireStatus(Delivered)
}

// TestNotReceived follows the money: the customer has not received an order, which cancels it, and it is paid back.
func TestNotReceived(t *testing.T) {
	flow := sdktest.New(t, orders).With(paid())
	shipped := order("1")
	shipped.ShippedDate, shipped.ConfirmReceipt = new("1998-05-06"), true
	c := flow.Trigger("1", shipped)
	c.Callback(InDelivery, []byte(`{"received":false}`))
	c.RequireState(sdk.StateCancelled)

	intents := c.Intents()
	if len(intents) != 1 || intents[0].Workflow != "refund" || intents[0].ForeignID != c.Object().ChargeID {
		t.Fatalf("the cancelled order asks for %+v", intents)
	}
	refund := sdktest.New(t, refunds).With(paid()).TriggerJSON(intents[0].ForeignID, intents[0].Object)
	refund.RequireStatus(PaidBack)
	got := refund.Object()
	if !strings.HasPrefix(got.RefundID, "re_") {
		t.Errorf("the refund is %q", got.RefundID)
	}
	got.RefundID = ""
	want := Refund{OrderID: "1", ChargeID: c.Object().ChargeID, TotalCents: 300, Reason: "the customer has not received it"}
	if got != want {
		t.Errorf("the refund is of %+v; want %+v", got, want)
	}
}

func TestOnlyAChargedOrderIsPaidBack(t *testing.T) {
	flow := sdktest.New(t, orders).With(paid())
	invalid := flow.Trigger("1", Order{OrderID: "1"})
	invalid.RequireState(sdk.StateCancelled)
	if hooks, intents := invalid.Hooks(), invalid.Intents(); len(hooks) != 1 || hooks[0].Failed || len(intents) != 0 {
		t.Errorf("an order that was not charged: hooks %+v, intents %+v", hooks, intents)
	}
	waiting := flow.Trigger("2", order("2"))
	waiting.Pause("the customer calls")
	waiting.Cancel("changed their mind")
	intents := waiting.Intents()
	if len(intents) != 1 || !strings.Contains(string(intents[0].Object), `"reason":"changed their mind"`) {
		t.Errorf("a charged order that a person cancels asks for %s", intents)
	}
}

func TestNightlyReport(t *testing.T) {
	flow := sdktest.NewAt(t, reports, time.Date(2026, time.March, 1, 23, 0, 0, 0, time.UTC))
	flow.Advance(2 * time.Hour)
	c := flow.Run("nightly")
	c.RequireStatus(Collecting)
	c.RequireObject(Report{Day: "2026-03-01"})

	c.Callback(Collecting, []byte(`{"next_cursor":"abc","runs":[`+strings.Join([]string{
		runOf("orders", "Completed", Shipped, "2026-03-01T00:00:00Z", 1000),
		runOf("orders", "Completed", Backordered, "2026-03-01T12:00:00Z", 200),
		runOf("orders", "Cancelled", Received, "2026-03-01T12:00:00Z", 40),
		runOf("orders", "Completed", Shipped, "2026-02-28T23:59:59Z", 8),
		runOf("report", "Completed", "written", "2026-03-01T12:00:00Z", 4),
	}, ",")+`]}`))
	c.RequireStatus(Collecting)
	if got := c.Callback(Collecting, []byte(`{"run_id":"1"}`)); !got.Refused {
		t.Errorf("what is no page is answered with %+v", got)
	}
	c.Callback(Collecting, []byte(`{"runs":[`+
		runOf("orders", "Completed", Delivered, "2026-03-01T23:59:59Z", 30)+`,`+
		runOf("orders", "Running", AwaitingShipment, "2026-03-01T23:59:59Z", 5)+`]}`))
	c.RequireStatus(Written)
	c.RequireObject(Report{Day: "2026-03-01", Pages: 2, Orders: 5, Completed: 3, Cancelled: 1, TotalCents: 1030})
}

// TestReportsDoNotBlockEachOther lets two nights pass in which no one brings the orders.
func TestReportsDoNotBlockEachOther(t *testing.T) {
	flow := sdktest.NewAt(t, reports, time.Date(2026, time.March, 1, 23, 0, 0, 0, time.UTC))
	flow.Advance(48 * time.Hour)
	all := flow.Runs()
	if len(all) != 2 || all[0].Status() != Missed || all[1].Object().Day != "2026-03-02" {
		t.Fatalf("after two nights there are %d reports, after the slots %v", len(all), flow.Slots())
	}
}

func runOf(workflow, state string, status Status, created string, cents int) string {
	doc, _ := json.Marshal(status)
	return fmt.Sprintf(`{"workflow":%q,"state":%q,"status":%s,"created_at":%q,"object":{"total_cents":%d}}`,
		workflow, state, doc, created, cents)
}
