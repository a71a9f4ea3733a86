// Package docs tests what the documentation says about the code.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	named    = regexp.MustCompile("`((?:[a-z]+/)*)(?: )?(Test[A-Za-z0-9]+)[^`]*`")
	declared = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
)

// Every test that parity.md names is there: without a folder in runtime/ or its suites, else in the folder.
func TestParityNamesTests(t *testing.T) {
	page, err := os.ReadFile("parity.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]map[string]bool{}
	in := func(folder string) map[string]bool {
		if tests[folder] == nil {
			tests[folder] = map[string]bool{}
			files, err := filepath.Glob("../" + folder + "/*.go")
			if err != nil || len(files) == 0 {
				t.Fatalf("folder %s: %v", folder, err)
			}
			for _, file := range files {
				code, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range declared.FindAllStringSubmatch(string(code), -1) {
					tests[folder][m[1]] = true
				}
			}
		}
		return tests[folder]
	}
	for _, m := range named.FindAllStringSubmatch(string(page), -1) {
		folder, test := strings.TrimSuffix(m[1], "/"), m[2]
		switch {
		case folder != "" && in(folder)[test]:
		case folder == "" && (in("runtime")[test] || in("runtime/runtimetest")[test] || in("sdk/sdktest")[test] ||
			in("internal/telemetry")[test] || in("pebblestore")[test]):
		default:
			t.Errorf("parity.md names %s, which is not there", m[0])
		}
	}
}
