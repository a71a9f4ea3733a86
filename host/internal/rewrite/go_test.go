package rewrite_test

import (
	"testing"
	"time"
)

// calls are exports of the guests, each with a parameter.
type call struct {
	export    string
	parameter uint64
}

var goCalls = []call{
	{"json", 20}, {"spin", 100_000}, {"words", 500}, {"fib", 18}, {"floats", 1000}, {"channels", 100}, {"deep", 2000}, {"bytes", 100_000},
}

// TestGoGuest checks that a Go guest computes the same.
func TestGoGuest(t *testing.T) {
	raw := goGuest(t)
	began := time.Now()
	m := mustRewrite(t, raw, wide)
	t.Logf("%d bytes became %d in %v", len(raw), len(m.Binary), time.Since(began))
	e := newEngine(t)
	original, rewritten := e.instantiate(t, raw), e.instantiate(t, m.Binary)
	for range 2 {
		for _, c := range goCalls {
			want, err := original.ExportedFunction(c.export).Call(t.Context(), c.parameter)
			if err != nil {
				t.Fatal(err)
			}
			e.reset(rewritten)
			got, err := rewritten.ExportedFunction(c.export).Call(t.Context(), c.parameter)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s(%d) = %x, fuel %d, %d yields", c.export, c.parameter, got[0], e.used(rewritten), e.yields)
			if want[0] != got[0] {
				t.Errorf("%s(%d) = %x, and %x when rewritten", c.export, c.parameter, want[0], got[0])
			}
		}
	}
}
