package rewrite_test

import (
	"testing"

	"github.com/wfrt/wfrt/host/internal/rewrite"
)

// call is an export of a guest and its parameter.
type call struct {
	export    string
	parameter uint64
}

// TestRewrittenGoGuest checks that a Go guest computes the same.
func TestRewrittenGoGuest(t *testing.T) {
	sameResults(t, goGuest(t), []call{
		{"json", 20},
		{"spin", 100_000},
		{"words", 500},
		{"fib", 18},
		{"floats", 1000},
		{"channels", 100},
		{"deep", 2000},
		{"bytes", 100_000},
	})
}

// sameResults calls a guest and its rewritten form, and wants the same of both, charged within the bounds.
func sameResults(t *testing.T, raw []byte, calls []call) {
	t.Helper()
	e := newEngine(t)
	e.slice = 1000
	m := mustRewrite(t, raw, rewrite.Limits{MemoryPages: 1024, Depth: 10_000})
	exactly, err := rewrite.RewriteExactly(raw, wide)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes became %d; unrestorable: %q", len(raw), len(m.Binary), m.Unrestorable)
	original, rewritten, exact := e.instantiate(t, raw), e.instantiate(t, m.Binary), e.instantiate(t, exactly.Binary)
	for _, c := range calls {
		want, err := original.ExportedFunction(c.export).Call(t.Context(), c.parameter)
		if err != nil {
			t.Fatal(c.export, err)
		}
		e.reset(rewritten)
		got, err := rewritten.ExportedFunction(c.export).Call(t.Context(), c.parameter)
		if err != nil {
			t.Fatal(c.export, err)
		}
		charged := e.used(rewritten)
		e.reset(exact)
		if _, err := exact.ExportedFunction(c.export).Call(t.Context(), c.parameter); err != nil {
			t.Fatal(c.export, err)
		}
		run := e.used(exact)
		t.Logf("%s(%d) = %x; %d instructions, %d charged", c.export, c.parameter, got[0], run, charged)
		if want[0] != got[0] {
			t.Errorf("%s(%d) = %x, and %x when rewritten", c.export, c.parameter, want[0], got[0])
		}
		if charged < run || charged > run*(1+rewrite.Slack) {
			t.Errorf("%s(%d): %d instructions and %d charged", c.export, c.parameter, run, charged)
		}
	}
}
