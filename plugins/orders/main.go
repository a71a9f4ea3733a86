// Orders takes a shop's order from its receipt to its delivery:
//
//	received → validated → priced → charged → shipped
//	                                        → in_delivery → delivered
//	                                        → awaiting_shipment → shipped | in_delivery | backordered
//
// An order that is not valid is cancelled with every fault in its reason, and not paused: no later attempt would find it
// valid, and a cancelled run lets the shop trigger the corrected order under the same foreign ID. A cancelled order that has
// been charged is paid back by the workflow refund (refund.go). The workflow report (report.go) adds up a day's orders.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/wfrt/wfrt/sdk"
)

// Status is where an order stands.
type Status string

// Statuses. An order ends as Shipped, Delivered or Backordered, or cancelled.
const (
	Received         Status = "received"
	Validated        Status = "validated"
	Priced           Status = "priced"
	Charged          Status = "charged"
	AwaitingShipment Status = "awaiting_shipment" // until the warehouse reports, or the time is up
	InDelivery       Status = "in_delivery"       // until the customer confirms the receipt
	Shipped          Status = "shipped"
	Delivered        Status = "delivered"
	Backordered      Status = "backordered"
)

type run = sdk.Run[Order, Status]

type outcome = sdk.Outcome[Status]

var orders = sdk.NewWorkflow[Order, Status]("orders")

func init() {
	orders.Start(Received)
	orders.Step(Received, validate, Validated)
	orders.Step(Validated, price, Priced)
	orders.Step(Priced, charge, Charged).Retry(sdk.Exponential(time.Second, time.Minute), 8)
	orders.Step(Charged, ship, Shipped, InDelivery, AwaitingShipment)

	orders.Callback(AwaitingShipment, hasShipped, Shipped, InDelivery).Name("shipped")
	orders.Timeout(AwaitingShipment, sdk.At(shipBy), backorder, Backordered).Name("ship-by")
	orders.Callback(InDelivery, confirm, Delivered).Name("receipt")
	orders.Timeout(InDelivery, sdk.After(assumeAfter), assumeDelivered, Delivered).Name("unconfirmed")
	orders.OnCancel(payBack).Name("refund")
}

func validate(ctx context.Context, r *run) (outcome, error) {
	if err := r.Object.check(); err != nil {
		sdk.Log(ctx).Warn("the order is not valid", "order", r.Object.OrderID, "cause", err.Error())
		return r.Cancel("the order is not valid: " + err.Error()), nil
	}
	return r.To(Validated), nil
}

func price(_ context.Context, r *run) (outcome, error) {
	total := int64(0)
	for i := range r.Object.Lines {
		line := &r.Object.Lines[i]
		cents, err := line.price()
		if err != nil {
			return outcome{}, sdk.Permanent(err)
		}
		line.LineTotalCents = &cents
		total += cents
	}
	r.Object.TotalCents = &total
	return r.To(Priced), nil
}

// charge has the payment service charge the order: under the key of this task, so once, however often it is attempted.
func charge(ctx context.Context, r *run) (outcome, error) {
	if r.Object.TotalCents == nil { // a person has moved it here
		return outcome{}, sdk.Permanent(errors.New("the order has no price: move it to validated"))
	}
	cost := struct {
		OrderID     string `json:"order_id"`
		AmountCents int64  `json:"amount_cents"`
	}{r.Object.OrderID, *r.Object.TotalCents}
	var charged struct {
		ChargeID string `json:"charge_id"`
	}
	if err := pay(ctx, "charges", cost, &charged); err != nil {
		return outcome{}, err
	}
	r.Object.ChargeID = charged.ChargeID
	return r.To(Charged), nil
}

func ship(_ context.Context, r *run) (outcome, error) {
	if r.Object.ShippedDate == nil {
		return r.To(AwaitingShipment), nil
	}
	return onTheWay(r), nil
}

// onTheWay goes where an order goes that has left the house.
func onTheWay(r *run) outcome {
	if r.Object.ConfirmReceipt {
		return r.To(InDelivery)
	}
	return r.To(Shipped)
}

func main() {}
