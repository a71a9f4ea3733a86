package main

import (
	"slices"
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

	intents := askedOf(c, "refund")
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
	if hooks, intents := invalid.Hooks(), askedOf(invalid, "refund"); len(hooks) != 2 || hooks[0].Failed || len(intents) != 0 {
		t.Errorf("an order that was not charged: hooks %+v, intents %+v", hooks, intents)
	}
	waiting := flow.Trigger("2", order("2"))
	waiting.Pause("the customer calls")
	waiting.Cancel("changed their mind")
	intents := askedOf(waiting, "refund")
	if len(intents) != 1 || !strings.Contains(string(intents[0].Object), `"reason":"changed their mind"`) {
		t.Errorf("a charged order that a person cancels asks for %s", intents)
	}
}

// askedOf returns what a run asked of a workflow's runs.
func askedOf(c *sdktest.Case[Order, Status], workflow string) []sdktest.Intent {
	return slices.DeleteFunc(c.Intents(), func(i sdktest.Intent) bool { return i.Workflow != workflow })
}
