package rewrite_test

import (
	"testing"

	"github.com/wfrt/wfrt/host/internal/rewrite"
)

// BenchmarkMetering runs exports of a Go guest as they are and rewritten.
func BenchmarkMetering(b *testing.B) {
	raw := goGuest(b)
	forms := []struct {
		name   string
		binary []byte
	}{{"plain", raw}, {"metered", mustRewrite(b, raw, wide).Binary}}
	for _, c := range []call{{"json", 10}, {"spin", 1_000_000}, {"words", 500}, {"fib", 20}, {"floats", 10_000}} {
		for _, form := range forms {
			b.Run(c.export+"/"+form.name, func(b *testing.B) {
				guest := newEngine(b).instantiate(b, form.binary)
				f := guest.ExportedFunction(c.export)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := f.Call(b.Context(), c.parameter); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkRewrite rewrites a Go guest.
func BenchmarkRewrite(b *testing.B) {
	raw := goGuest(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rewrite.Rewrite(raw, wide); err != nil {
			b.Fatal(err)
		}
	}
}
