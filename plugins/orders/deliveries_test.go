package main

import (
	"testing"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

func TestDeliveries(t *testing.T) {
	for _, c := range []struct {
		kind, key string
		want      sdktest.Connected
	}{
		{"shipped", "10248", sdktest.Connected{Kind: sdktest.Calls, Status: string(AwaitingShipment), ForeignID: "10248"}},
		{"receipt", "10249", sdktest.Connected{Kind: sdktest.Calls, Status: string(InDelivery), ForeignID: "10249"}},
		{"weather", "10250", sdktest.Connected{Kind: sdktest.Ignores}},
		{"shipped", "", sdktest.Connected{Kind: sdktest.Permanent}},
	} {
		m := sdk.Message{
			Topic: "northwind.deliveries", Value: []byte(`{"received":true}`), Headers: []sdk.Header{{Name: "type", Value: []byte(c.kind)}},
		}
		if c.key != "" {
			m.Key = []byte(c.key)
		}
		got := sdktest.Connect(t, orders, "deliveries", m)
		if got.Kind != c.want.Kind || got.Status != c.want.Status || got.ForeignID != c.want.ForeignID {
			t.Errorf("%s of %q: %+v, want %+v", c.kind, c.key, got, c.want)
		}
		if got.Kind == sdktest.Calls && (string(got.Object) != string(m.Value) || got.Workflow != "orders") {
			t.Errorf("%s: %+v", c.kind, got)
		}
	}
}
