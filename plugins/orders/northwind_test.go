package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/wfrt/wfrt/plugins/orders/payments"
	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

// TestNorthwind takes all 830 orders of testdata through the whole workflow: what has a shipped date is shipped at once, the
// rest becomes a backorder when its time is up.
func TestNorthwind(t *testing.T) {
	service := payments.New()
	flow := sdktest.New(t, orders).With(sdktest.HTTP(service))
	all := northwind(t)
	for _, order := range all {
		flow.TriggerJSON(tree(t, order)["order_id"].(string), order)
	}
	if waiting := statuses(flow)[AwaitingShipment]; waiting != 21 {
		t.Errorf("%d orders wait for their shipment; want 21", waiting)
	}
	flow.Advance(shipTimeout)

	total := int64(0)
	for i, c := range flow.Runs() {
		c.RequireState(sdk.StateCompleted)
		object := c.Object()
		total += *object.TotalCents
		if object.ChargeID == "" {
			t.Errorf("order %s has no charge", object.OrderID)
		}
		sameButForAdditions(t, all[i], c.JSON())
	}
	if ends := statuses(flow); ends[Shipped] != 809 || ends[Backordered] != 21 {
		t.Errorf("the orders end as %v; want 809 shipped and 21 backordered", ends)
	}
	if total != 126_579_329 {
		t.Errorf("the orders come to %d cents; want 126579329", total)
	}
	report := reported(t, flow)
	report.RequireObject(Report{Day: report.Object().Day, Orders: 830, Shipped: 809, Backordered: 21, TotalCents: 126_579_329})
	if done := service.Totals(); done.Charges != len(all) || done.ChargedCents != total || len(done.PerOrder) != len(all) {
		t.Errorf("%d charges of %d cents for %d orders; want each charged once", done.Charges, done.ChargedCents, len(done.PerOrder))
	}
}

// statuses counts the runs by status.
func statuses(flow *sdktest.Flow[Order, Status]) map[Status]int {
	count := map[Status]int{}
	for _, c := range flow.Runs() {
		count[c.Status()]++
	}
	return count
}

// sameButForAdditions fails the test unless after is before with a charge, a total, and a total for every line that sum up
// to it.
func sameButForAdditions(t *testing.T, before, after []byte) {
	t.Helper()
	want, got := tree(t, before), tree(t, after)
	sum := int64(0)
	for _, line := range got["lines"].([]any) {
		cents, err := line.(map[string]any)["line_total_cents"].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		sum += cents
		delete(line.(map[string]any), "line_total_cents")
	}
	if total, err := got["total_cents"].(json.Number).Int64(); err != nil || total != sum {
		t.Errorf("the total is %d, %v; the lines come to %d", total, err, sum)
	}
	delete(got, "total_cents")
	delete(got, "charge_id")
	if !reflect.DeepEqual(want, got) {
		t.Errorf("the order changed on its way:\n%s\n%s", before, after)
	}
}

// northwind returns the orders of testdata.
func northwind(t *testing.T) [][]byte {
	t.Helper()
	data, err := os.ReadFile("testdata/northwind-orders.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		all = append(all, bytes.Clone(lines.Bytes()))
	}
	if len(all) != 830 {
		t.Fatalf("testdata has %d orders; want 830", len(all))
	}
	return all
}

// tree decodes an object with its numbers as they are written.
func tree(t *testing.T, doc []byte) map[string]any {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}
