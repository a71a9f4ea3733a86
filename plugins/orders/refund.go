package main

import (
	"context"
	"time"

	"github.com/wfrt/wfrt/sdk"
)

// Refund is the object of a run of the workflow refund, whose foreign ID is the charge: what was charged once is paid back
// in one run.
type Refund struct {
	OrderID    string `json:"order_id"`
	ChargeID   string `json:"charge_id"`
	TotalCents int64  `json:"total_cents"`
	Reason     string `json:"reason"`

	RefundID string `json:"refund_id,omitempty"`
}

// RefundStatus is where a refund stands.
type RefundStatus string

// Statuses. A refund ends as PaidBack.
const (
	Requested RefundStatus = "requested"
	PaidBack  RefundStatus = "paid_back"
)

var refunds = sdk.NewWorkflow[Refund, RefundStatus]("refund")

func init() {
	refunds.Step(Requested, refund, PaidBack).Retry(sdk.Exponential(time.Second, time.Minute), 8)
}

// payBack is told of a cancelled order, and has it refunded if it was charged.
func payBack(ctx context.Context, r *run) error {
	log := sdk.Log(ctx).With("order", r.Object.OrderID, "cause", r.Reason())
	if r.Object.ChargeID == "" {
		log.Info("cancelled before it was charged: there is nothing to pay back")
		return nil
	}
	owed := Refund{OrderID: r.Object.OrderID, ChargeID: r.Object.ChargeID, Reason: r.Reason()}
	if r.Object.TotalCents != nil {
		owed.TotalCents = *r.Object.TotalCents
	}
	log.Info("cancelled after it was charged: it is paid back", "charge", owed.ChargeID, "cents", owed.TotalCents)
	return sdk.Trigger(ctx, refunds.Name(), owed.ChargeID, owed)
}

// refund has the payment service pay back a charge.
func refund(ctx context.Context, r *sdk.Run[Refund, RefundStatus]) (sdk.Outcome[RefundStatus], error) {
	owed := struct {
		ChargeID    string `json:"charge_id"`
		AmountCents int64  `json:"amount_cents"`
	}{r.Object.ChargeID, r.Object.TotalCents}
	var paid struct {
		RefundID string `json:"refund_id"`
	}
	if err := pay(ctx, "refunds", owed, &paid); err != nil {
		return sdk.Outcome[RefundStatus]{}, err
	}
	r.Object.RefundID = paid.RefundID
	return r.To(PaidBack), nil
}
