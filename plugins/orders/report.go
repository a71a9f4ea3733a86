package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wfrt/wfrt/sdk"
)

// Report is the object of a run of the workflow report: a day's orders, added up.
type Report struct {
	Day        string `json:"day"` // YYYY-MM-DD, UTC: the day on which the orders were triggered
	Pages      int    `json:"pages"`
	Orders     int    `json:"orders"`
	Completed  int    `json:"completed"`
	Cancelled  int    `json:"cancelled"`
	TotalCents int64  `json:"total_cents"` // of those that are completed and not backordered
}

// ReportStatus is where a report stands.
type ReportStatus string

// Statuses. A report ends as Written or, when no one has brought the day's orders, as Missed.
const (
	Collecting ReportStatus = "collecting"
	Written    ReportStatus = "written"
	Missed     ReportStatus = "missed"
)

// collectFor is how long a report waits for the orders: less than a day, so that the next night finds the one before ended.
const collectFor = 12 * time.Hour

type reportRun = sdk.Run[Report, ReportStatus]

type reportOutcome = sdk.Outcome[ReportStatus]

var reports = sdk.NewWorkflow[Report, ReportStatus]("report")

// A plugin cannot read other runs. So the nightly run waits for the day's orders, which someone who may read them brings:
// each page of the list of runs, as the server gives it, is a callback.
func init() {
	reports.Callback(Collecting, addPage, Written).Name("page")
	reports.Timeout(Collecting, sdk.After(collectFor), giveUp, Missed).Name("collect")
	reports.Schedule("nightly", "5 0 * * *").Filter(yesterday)
}

// yesterday gives the report the day that has ended.
func yesterday(_ context.Context, slot time.Time, report *Report) (bool, error) {
	*report = Report{Day: slot.AddDate(0, 0, -1).Format(time.DateOnly)}
	return true, nil
}

// page is what the report reads of a page of runs.
type page struct {
	Runs []struct {
		Workflow  string    `json:"workflow"`
		State     sdk.State `json:"state"`
		Status    Status    `json:"status"`
		CreatedAt time.Time `json:"created_at"`
		Object    struct {
			TotalCents int64 `json:"total_cents"`
		} `json:"object"`
	} `json:"runs"`
	NextCursor string `json:"next_cursor"`
}

// addPage adds a page of runs to the report. The last page, the one without a cursor for the next, completes it.
func addPage(_ context.Context, r *reportRun, payload []byte) (reportOutcome, error) {
	var p page
	if err := json.Unmarshal(payload, &p); err != nil {
		return reportOutcome{}, sdk.Permanent(fmt.Errorf("the payload is not a page of runs: %w", err))
	}
	if p.Runs == nil {
		return reportOutcome{}, sdk.Permanent(errors.New("the payload is not a page of runs: it has no member runs"))
	}
	report := &r.Object
	for _, run := range p.Runs {
		if run.Workflow != orders.Name() || run.CreatedAt.UTC().Format(time.DateOnly) != report.Day {
			continue
		}
		report.Orders++
		switch run.State {
		case sdk.StateCancelled:
			report.Cancelled++
		case sdk.StateCompleted:
			report.Completed++
			if run.Status != Backordered {
				report.TotalCents += run.Object.TotalCents
			}
		default: // it is under way
		}
	}
	report.Pages++
	if p.NextCursor != "" {
		return r.Repeat(), nil
	}
	return r.To(Written), nil
}

func giveUp(ctx context.Context, r *reportRun) (reportOutcome, error) {
	sdk.Log(ctx).Warn("no one has brought the orders of the day", "day", r.Object.Day, "pages", r.Object.Pages)
	return r.To(Missed), nil
}
