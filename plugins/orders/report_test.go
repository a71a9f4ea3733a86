package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

// reported delivers what all orders ask of the report, and closes the day.
func reported(t *testing.T, flow *sdktest.Flow[Order, Status]) *sdktest.Case[Report, ReportStatus] {
	t.Helper()
	days := sdktest.New(t, reports)
	var report *sdktest.Case[Report, ReportStatus]
	for _, c := range flow.Runs() {
		for _, intent := range askedOf(c, "report") {
			switch {
			case intent.ForeignID != "nightly":
				t.Fatalf("an order asks the report %q", intent.ForeignID)
			case intent.Status == "" && report == nil:
				report = days.TriggerJSON(intent.ForeignID, intent.Object)
			case intent.Status != "":
				if got := report.Callback(ReportStatus(intent.Status), intent.Object); got != (sdktest.Answer{}) {
					t.Fatalf("%s is answered with %+v", intent.Object, got)
				}
			}
		}
	}
	report.RequireStatus(Collecting)
	days.Advance(24 * time.Hour)
	report.RequireStatus(Written)
	return report
}

// TestOrdersTellTheReport has orders end in every way.
func TestOrdersTellTheReport(t *testing.T) {
	flow := sdktest.New(t, orders).With(paid())
	shipped, delivered := order("1"), order("2")
	shipped.ShippedDate = new("1998-05-06")
	delivered.ShippedDate, delivered.ConfirmReceipt = new("1998-05-06"), true
	flow.Trigger("1", shipped)
	flow.Trigger("2", delivered).Callback(InDelivery, []byte(`{"received":true}`))
	flow.Trigger("3", order("3"))
	flow.Advance(shipTimeout) // which makes it a backorder
	flow.Trigger("4", Order{OrderID: "4"})
	flow.Trigger("5", order("5")).Cancel("changed their mind")
	flow.Trigger("6", order("6")) // which is under way
	report := reported(t, flow)
	report.RequireObject(Report{Day: report.Object().Day, Orders: 5, Shipped: 1, Delivered: 1, Backordered: 1, Cancelled: 2, TotalCents: 900})
}

func TestReportRefuses(t *testing.T) {
	report := sdktest.New(t, reports).Trigger("nightly", Report{})
	for _, payload := range []string{``, `[]`, `{}`, `{"state":"Running","status":"priced"}`, `{"state":"Completed","status":"priced"}`} {
		if got := report.Callback(Collecting, []byte(payload)); !got.Refused || !strings.Contains(got.Reason, "the payload is not the word of an order") {
			t.Errorf("%q is answered with %+v; want a refusal", payload, got)
		}
	}
	report.RequireObject(Report{})
}

// TestADayHasOneReport lets nights pass: the end of a day closes its report, and the schedule opens the next.
func TestADayHasOneReport(t *testing.T) {
	flow := sdktest.NewAt(t, reports, time.Date(2026, time.March, 1, 23, 0, 0, 0, time.UTC))
	first := flow.Trigger(nightly, dayOf(time.Date(2026, time.March, 1, 23, 0, 0, 0, time.UTC))) // as the first order does
	flow.Advance(time.Hour - 1)
	first.RequireStatus(Collecting)
	flow.Advance(1)
	first.RequireState(sdk.StateCompleted)
	flow.Advance(48 * time.Hour)
	var days []string
	for _, report := range flow.Runs() {
		days = append(days, report.Object().Day+" "+string(report.Status()))
	}
	if got := strings.Join(days, ", "); got != "2026-03-01 written, 2026-03-02 written, 2026-03-03 written" {
		t.Errorf("after two nights there are the reports %s, after the slots %v", got, flow.Slots())
	}
}
