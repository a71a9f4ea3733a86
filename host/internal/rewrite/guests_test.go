//go:build guests

package rewrite_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestGuests checks that guests of other compilers compute the same. `make test-guests` builds them, and says in WFRT_GUESTS where.
func TestGuests(t *testing.T) {
	for file, calls := range map[string][]call{
		"c.wasm":              {{"sort", 2000}, {"hash", 50_000}, {"list", 300}, {"recursion", 40}, {"floats", 2000}, {"indirect", 5000}},
		"rust.wasm":           {{"sort", 2000}, {"strings", 500}, {"maps", 3000}, {"tree", 1000}, {"floats", 500}, {"shapes", 500}},
		"assemblyscript.wasm": {{"sort", 2000}, {"strings", 500}, {"list", 3000}, {"recursion", 40}, {"floats", 2000}},
	} {
		t.Run(file, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join(os.Getenv("WFRT_GUESTS"), file))
			if err != nil {
				t.Fatal(err)
			}
			sameResults(t, raw, calls)
		})
	}
}
