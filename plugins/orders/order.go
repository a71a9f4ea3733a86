package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Order is the object of a run. What the steps add is absent until they have.
type Order struct {
	OrderID      string  `json:"order_id"`
	CustomerID   string  `json:"customer_id"`
	OrderDate    string  `json:"order_date"`    // dates are YYYY-MM-DD
	RequiredDate string  `json:"required_date"` //
	ShippedDate  *string `json:"shipped_date"`  // null: not yet
	Shipper      string  `json:"shipper"`
	FreightCents int64   `json:"freight_cents"`
	ShipTo       Address `json:"ship_to"`
	Lines        []Line  `json:"lines"`

	ConfirmReceipt bool  `json:"confirm_receipt,omitempty"` // the customer is to confirm the receipt
	ShipTimeoutMS  int64 `json:"ship_timeout_ms,omitempty"` // how long an unshipped order waits; 0: two seconds

	TotalCents *int64 `json:"total_cents,omitempty"` // the goods, without freight: the sum of the lines
	ChargeID   string `json:"charge_id,omitempty"`
}

// Address is where an order goes.
type Address struct {
	Name       string  `json:"name"`
	Address    string  `json:"address"`
	City       string  `json:"city"`
	Region     *string `json:"region"`
	PostalCode *string `json:"postal_code"`
	Country    string  `json:"country"`
}

// Line is one product of an order.
type Line struct {
	ProductID      int64       `json:"product_id"`
	Product        string      `json:"product"`
	UnitPriceCents int64       `json:"unit_price_cents"`
	Quantity       int64       `json:"quantity"`
	Discount       json.Number `json:"discount"` // a decimal in [0, 1), kept as it was written: floats do not hold 0.15

	LineTotalCents *int64 `json:"line_total_cents,omitempty"`
}

// The largest price, quantity and precision of a line: their product fits in 63 bits, so sums are exact.
const (
	maxUnitPriceCents   = 100_000_000
	maxQuantity         = 1_000_000
	maxDiscountDecimals = 4
)

// check returns all that is wrong with the order, or nil.
func (o *Order) check() error {
	if len(o.Lines) == 0 {
		return errors.New("it has no lines")
	}
	var faults []string
	for i := range o.Lines {
		if err := o.Lines[i].check(); err != nil {
			faults = append(faults, fmt.Sprintf("line %d: %v", i+1, err))
		}
	}
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "; "))
	}
	return nil
}

// check returns the first thing that is wrong with the line, or nil.
func (l *Line) check() error {
	switch {
	case l.Quantity < 1 || l.Quantity > maxQuantity:
		return fmt.Errorf("the quantity is %d; it is 1–%d", l.Quantity, maxQuantity)
	case l.UnitPriceCents < 0 || l.UnitPriceCents > maxUnitPriceCents:
		return fmt.Errorf("the unit price is %d cents; it is 0–%d", l.UnitPriceCents, maxUnitPriceCents)
	}
	_, _, err := discount(l.Discount)
	return err
}

// price returns price × quantity × (1 − discount), rounded half up to a cent. It is exact.
func (l *Line) price() (int64, error) {
	if err := l.check(); err != nil {
		return 0, err
	}
	off, unit, err := discount(l.Discount)
	if err != nil {
		return 0, err
	}
	return (l.UnitPriceCents*l.Quantity*(unit-off) + unit/2) / unit, nil
}

// discount returns a discount in [0, 1) as the fraction off/unit, where unit is a power of ten. No discount is 0.
func discount(n json.Number) (off, unit int64, err error) {
	whole, decimals, _ := strings.Cut(n.String(), ".")
	if n == "" {
		return 0, 1, nil
	}
	if whole != "0" || len(decimals) > maxDiscountDecimals || strings.Trim(decimals, "0123456789") != "" {
		return 0, 0, fmt.Errorf("the discount is %s; it is a decimal of at least 0 and below 1, with at most %d places",
			n, maxDiscountDecimals)
	}
	unit = 1
	for _, digit := range decimals {
		off, unit = off*10+int64(digit-'0'), unit*10
	}
	return off, unit, nil
}
