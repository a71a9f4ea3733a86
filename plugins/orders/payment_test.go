package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/plugins/orders/payments"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

// paid lets a payment service answer.
func paid() sdktest.Option { return sdktest.HTTP(payments.New()) }

// TestChargedOnce has the answer of the payment service lost: the second attempt finds the charge of the first.
func TestChargedOnce(t *testing.T) {
	service, calls := payments.New(), 0
	flow := sdktest.New(t, orders).With(sdktest.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service.ServeHTTP(w, r)
		if calls++; calls == 1 {
			panic(http.ErrAbortHandler)
		}
	})))
	c := flow.Trigger("1", order("1"))
	c.RequireStatus(Priced)
	flow.Advance(shipTimeout)
	c.RequireStatus(AwaitingShipment)
	if done := service.Totals(); done.Requests != 2 || done.Charges != 1 || done.ChargedCents != 300 || !strings.HasPrefix(c.Object().ChargeID, "ch_") {
		t.Errorf("%+v, and the order has the charge %q", done, c.Object().ChargeID)
	}
}

func TestFailuresOfPayment(t *testing.T) {
	for status, want := range map[int]sdktest.Kind{
		http.StatusPaymentRequired: sdktest.Permanent, http.StatusServiceUnavailable: sdktest.Error, http.StatusOK: sdktest.Error,
	} {
		priced := order("1")
		priced.TotalCents = new(int64(300))
		got := sdktest.Run(t, orders, Priced, priced, sdktest.HTTP(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no", status)
		})))
		if got.Kind != want {
			t.Errorf("%d: %v; want %s", status, got, want)
		}
	}
}
