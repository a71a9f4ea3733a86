package main

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/sdk/sdktest"
)

func TestLinePrice(t *testing.T) {
	for _, test := range []struct {
		cents, quantity int64
		discount        json.Number
		want            int64
	}{
		{1400, 12, "0.0", 16800},
		{1400, 12, "", 16800},
		{1400, 12, "0", 16800},
		{0, 1, "0.5", 0},
		{1, 1, "0.5", 1},     // 0.5: half goes up
		{1, 1, "0.51", 0},    // 0.49
		{30, 1, "0.15", 26},  // 25.5; in floats 30 × 0.85 is 25.5 too
		{110, 1, "0.15", 94}, // 93.5; in floats 110 × 0.85 is 93.5 too
		{105, 1, "0.9", 11},  // 10.5; in floats 105 × (1 − 0.9) is 10.499999999999998
		{333, 3, "0.3333", 666},
		{maxUnitPriceCents, maxQuantity, "0.0001", 99_990_000_000_000},
	} {
		line := Line{UnitPriceCents: test.cents, Quantity: test.quantity, Discount: test.discount}
		if got, err := line.price(); err != nil || got != test.want {
			t.Errorf("%d × %d less %q: %d, %v; want %d", test.cents, test.quantity, test.discount, got, err, test.want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := `{"product_id":1,"unit_price_cents":100,"quantity":1,"discount":0.1}`
	for name, test := range map[string]struct{ object, reason string }{
		"no lines":          {`{"lines":[]}`, "it has no lines"},
		"lines missing":     {`{}`, "it has no lines"},
		"no quantity":       {`{"lines":[` + good + `,{"unit_price_cents":1,"quantity":0}]}`, "line 2: the quantity is 0"},
		"negative price":    {`{"lines":[{"unit_price_cents":-1,"quantity":1}]}`, "line 1: the unit price is -1"},
		"negative discount": {`{"lines":[{"quantity":1,"discount":-0.1}]}`, "line 1: the discount is -0.1"},
		"full discount":     {`{"lines":[{"quantity":1,"discount":1.0}]}`, "line 1: the discount is 1.0"},
		"exponent":          {`{"lines":[{"quantity":1,"discount":1e-999999999}]}`, "line 1: the discount is 1e-999999999"},
		"fine discount":     {`{"lines":[{"quantity":1,"discount":0.00001}]}`, "at most 4 places"},
		"huge quantity":     {`{"lines":[{"quantity":1000001}]}`, "line 1: the quantity is 1000001"},
		"two faults":        {`{"lines":[{"quantity":0},{"quantity":-5}]}`, "line 1: the quantity is 0; it is 1–1000000; line 2:"},
	} {
		t.Run(name, func(t *testing.T) {
			got := sdktest.RunJSON(t, orders, Received, []byte(test.object))
			if got.Kind != sdktest.Cancel || !strings.Contains(got.Reason, test.reason) {
				t.Fatalf("validate: %v; want a cancellation for %q", got, test.reason)
			}
		})
	}
	if got := sdktest.RunJSON(t, orders, Received, []byte(`{"lines":[`+good+`]}`)); got.To != Validated {
		t.Fatalf("validate a good order: %v", got)
	}
}

func TestMalformedOrderIsPermanent(t *testing.T) {
	got := sdktest.RunJSON(t, orders, Received, []byte(`{"order_id":"1","lines":[{"quantity":"three"}]}`))
	if got.Kind != sdktest.Permanent || !strings.Contains(got.Reason, `"lines.quantity"`) {
		t.Fatalf("validate: %v; want a permanent error that names the field", got)
	}
}

func TestPriceRefusesWhatValidateWould(t *testing.T) {
	got := sdktest.Run(t, orders, Validated, Order{Lines: []Line{{UnitPriceCents: 1, Quantity: -1, Discount: "0"}}})
	if got.Kind != sdktest.Permanent || got.Changed {
		t.Fatalf("price: %v; want a permanent error and no change", got)
	}
}

func TestChargeIsTheSameForEveryAttempt(t *testing.T) {
	service := paid()
	priced := order("1")
	priced.TotalCents = new(int64(300))
	charge := func(key string, attempt uint32) string {
		got := sdktest.Run(t, orders, Priced, priced, sdktest.IdempotencyKey(key), sdktest.Attempt(attempt), service)
		if got.To != Charged || !strings.HasPrefix(got.Object.ChargeID, "ch_") {
			t.Fatalf("charge: %v", got)
		}
		return got.Object.ChargeID
	}
	if first, second := charge("run/3/priced", 1), charge("run/3/priced", 2); first != second {
		t.Errorf("two attempts of one task are charged as %s and %s", first, second)
	}
	if one, other := charge("run/3/priced", 1), charge("run/7/priced", 1); one == other {
		t.Errorf("two tasks are charged as one: %s", one)
	}
}

// FuzzLinePrice compares the price of a line with the same in rational numbers.
func FuzzLinePrice(f *testing.F) {
	f.Add(int64(1400), int64(12), "0.15")
	f.Add(int64(maxUnitPriceCents), int64(maxQuantity), "0.9999")
	f.Add(int64(1), int64(1), "0.")
	f.Add(int64(1), int64(1), "-0.5")
	f.Fuzz(func(t *testing.T, cents, quantity int64, discount string) {
		line := Line{UnitPriceCents: cents, Quantity: quantity, Discount: json.Number(discount)}
		got, err := line.price()
		if err != nil || discount == "" {
			return
		}
		off, ok := new(big.Rat).SetString(discount)
		if !ok || off.Sign() < 0 || off.Cmp(big.NewRat(1, 1)) >= 0 {
			t.Fatalf("the discount %q is accepted", discount)
		}
		// Half up: the whole part of the exact price plus one half.
		exact := new(big.Rat).Sub(big.NewRat(1, 1), off)
		exact.Mul(exact, big.NewRat(cents, 1)).Mul(exact, big.NewRat(quantity, 1)).Add(exact, big.NewRat(1, 2))
		want := new(big.Int).Quo(exact.Num(), exact.Denom())
		if !want.IsInt64() || want.Int64() != got {
			t.Fatalf("%d × %d less %s is %d; want %s", cents, quantity, discount, got, want)
		}
	})
}
