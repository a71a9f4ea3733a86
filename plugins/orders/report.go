package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/wfrt/wfrt/sdk"
)

// Report is the object of a run of the workflow report: the orders that ended on a day, added up.
type Report struct {
	Day         string `json:"day"` // YYYY-MM-DD, UTC
	Orders      int    `json:"orders"`
	Shipped     int    `json:"shipped"`
	Delivered   int    `json:"delivered"`
	Backordered int    `json:"backordered"`
	Cancelled   int    `json:"cancelled"`
	TotalCents  int64  `json:"total_cents"` // of those that are not cancelled
}

// ReportStatus is where a report stands.
type ReportStatus string

// Statuses. A report ends as Written.
const (
	Collecting ReportStatus = "collecting"
	Written    ReportStatus = "written"
)

// nightly is the schedule that opens the day's report, and the foreign ID of its runs: one is open at a time.
const nightly = "nightly"

type reportRun = sdk.Run[Report, ReportStatus]

type reportOutcome = sdk.Outcome[ReportStatus]

var reports = sdk.NewWorkflow[Report, ReportStatus]("report")

// Each order that ends brings its total to the open report by a callback. The end of the day closes it; the next is opened by the
// schedule, or by the first order that ends before it.
func init() {
	reports.Callback(Collecting, add).Name("ended")
	reports.Timeout(Collecting, sdk.At(endOfDay), write, Written).Name("end-of-day")
	reports.Schedule(nightly, "5 0 * * *").Filter(today)

	orders.OnComplete(tell).Name("report")
	orders.OnCancel(tell).Name("report-cancelled")
}

// dayOf returns the empty report of a moment's day.
func dayOf(at time.Time) Report { return Report{Day: at.UTC().Format(time.DateOnly)} }

// today gives the report its day.
func today(_ context.Context, slot time.Time, report *Report) (bool, error) {
	*report = dayOf(slot)
	return true, nil
}

// endOfDay says when the report is complete. A report without a day, which a person has triggered, is of the day of its trigger.
func endOfDay(r *reportRun) (time.Time, bool) {
	day, err := time.Parse(time.DateOnly, r.Object.Day)
	if err != nil {
		day = r.CreatedAt().UTC().Truncate(24 * time.Hour)
	}
	return day.AddDate(0, 0, 1), true
}

// ended is what an order brings to the report.
type ended struct {
	OrderID    string    `json:"order_id"`
	State      sdk.State `json:"state"`
	Status     Status    `json:"status"`
	TotalCents int64     `json:"total_cents"`
}

// tell is told of an order that has ended, and tells the open report. Of an order that ends while the day does, the next report is
// told, as the one before takes no more.
func tell(ctx context.Context, r *run) error {
	word := ended{OrderID: r.Object.OrderID, State: r.State(), Status: r.Status()}
	if r.Object.TotalCents != nil {
		word.TotalCents = *r.Object.TotalCents
	}
	if err := sdk.Trigger(ctx, reports.Name(), nightly, dayOf(r.Now())); err != nil { // unless one is open
		return err
	}
	return sdk.Callback(ctx, reports.Name(), nightly, Collecting, word)
}

// add adds an order to the report.
func add(_ context.Context, r *reportRun, payload []byte) (reportOutcome, error) {
	var word ended
	if err := json.Unmarshal(payload, &word); err != nil {
		return reportOutcome{}, sdk.Permanent(fmt.Errorf("the payload is not the word of an order: %w", err))
	}
	report := &r.Object
	switch {
	case word.State == sdk.StateCancelled:
		report.Cancelled++
	case word.State == sdk.StateCompleted && word.Status == Shipped:
		report.Shipped++
	case word.State == sdk.StateCompleted && word.Status == Delivered:
		report.Delivered++
	case word.State == sdk.StateCompleted && word.Status == Backordered:
		report.Backordered++
	default:
		return reportOutcome{}, sdk.Permanent(fmt.Errorf("the payload is not the word of an order that has ended: it is %q in %q", word.State, word.Status))
	}
	report.Orders++
	if word.State != sdk.StateCancelled {
		report.TotalCents += word.TotalCents
	}
	return r.Repeat(), nil
}

func write(ctx context.Context, r *reportRun) (reportOutcome, error) {
	sdk.Log(ctx).Info("the day's orders", "day", r.Object.Day, "orders", r.Object.Orders, "total_cents", r.Object.TotalCents)
	return r.To(Written), nil
}
