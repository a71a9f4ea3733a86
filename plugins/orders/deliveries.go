package main

import (
	"context"
	"errors"

	"github.com/wfrt/wfrt/sdk"
)

func init() { orders.Connector("deliveries", deliveries) }

// deliveries takes what others say of an order from one topic: the key is the order, the header type says who speaks. Of what
// is not for us nothing becomes.
func deliveries(_ context.Context, m *sdk.Message) (sdk.Action, error) {
	if len(m.Key) == 0 {
		return sdk.Action{}, sdk.Permanent(errors.New("the message has no key, which is the order's ID"))
	}
	switch m.Header("type") {
	case "shipped": // the warehouse
		return orders.Call(AwaitingShipment, string(m.Key), m.Value), nil
	case "receipt": // the customer
		return orders.Call(InDelivery, string(m.Key), m.Value), nil
	default:
		return sdk.Ignore(), nil
	}
}
