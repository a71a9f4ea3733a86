package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wfrt/wfrt/sdk"
)

// shipTimeout is how long an unshipped order waits unless it says otherwise: seconds, as this is a demonstration.
const shipTimeout = 2 * time.Second

// assumeAfter is when an order counts as delivered although its customer has said nothing.
const assumeAfter = 14 * 24 * time.Hour

// maxShipTimeoutMS is the longest that an order may wait: a year.
const maxShipTimeoutMS = 366 * 24 * 60 * 60 * 1000

// shipBy says when an unshipped order becomes a backorder.
func shipBy(r *run) (time.Time, bool) {
	wait := shipTimeout
	if ms := r.Object.ShipTimeoutMS; ms > 0 {
		wait = time.Duration(min(ms, maxShipTimeoutMS)) * time.Millisecond
	}
	return r.Now().Add(wait), true
}

func backorder(ctx context.Context, r *run) (outcome, error) {
	sdk.Log(ctx).Info("not shipped in time", "order", r.Object.OrderID)
	return r.To(Backordered), nil
}

// hasShipped takes the warehouse's word, {"shipped_date":"1998-05-06"}.
func hasShipped(_ context.Context, r *run, payload []byte) (outcome, error) {
	var word struct {
		ShippedDate string `json:"shipped_date"`
	}
	if err := json.Unmarshal(payload, &word); err != nil {
		return outcome{}, sdk.Permanent(fmt.Errorf("the payload is not the warehouse's word: %w", err))
	}
	if _, err := time.Parse(time.DateOnly, word.ShippedDate); err != nil {
		return outcome{}, sdk.Permanent(fmt.Errorf("the payload has no shipped_date of the form 1998-05-06: %w", err))
	}
	r.Object.ShippedDate = &word.ShippedDate
	return onTheWay(r), nil
}

// confirm takes the customer's word, {"received":true}. An order that was not received is cancelled, and so paid back.
func confirm(_ context.Context, r *run, payload []byte) (outcome, error) {
	var word struct {
		Received *bool `json:"received"`
	}
	if err := json.Unmarshal(payload, &word); err != nil {
		return outcome{}, sdk.Permanent(fmt.Errorf("the payload is not the customer's word: %w", err))
	}
	switch {
	case word.Received == nil:
		return outcome{}, sdk.Permanent(errors.New(`the payload does not say whether it was received; send {"received":true}`))
	case !*word.Received:
		return r.Cancel("the customer has not received it"), nil
	default:
		return r.To(Delivered), nil
	}
}

func assumeDelivered(ctx context.Context, r *run) (outcome, error) {
	sdk.Log(ctx).Info("the customer has not confirmed the receipt; it counts as delivered", "order", r.Object.OrderID)
	return r.To(Delivered), nil
}
