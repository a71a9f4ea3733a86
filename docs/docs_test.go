// Package docs tests what the documentation says about the code.
package docs

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	named    = regexp.MustCompile("`((?:[a-z]+/)*)(?: )?(Test[A-Za-z0-9]+)[^`]*`")
	declared = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(\w+ \*testing\.T\)`)
	commands = flag.String("parity", "", "write the packages and tests that parity.md names to this file, one package a line")
)

// nearby are the folders in which a test that is named without one may be.
func nearby() []string {
	return []string{"runtime", "runtime/runtimetest", "sdk/sdktest", "internal/telemetry", "pebblestore"}
}

// Every test that parity.md names is there: without a folder in one of those nearby, else in the folder.
func TestParityNamesTests(t *testing.T) {
	page, err := os.ReadFile("parity.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]map[string]bool{}
	in := func(folder string) map[string]bool {
		if tests[folder] == nil {
			tests[folder] = declaredIn(t, folder)
		}
		return tests[folder]
	}
	found := map[string][]string{}
	for _, m := range named.FindAllStringSubmatch(string(page), -1) {
		folder, test := strings.TrimSuffix(m[1], "/"), m[2]
		folders := []string{folder}
		if folder == "" {
			folders = nearby()
		}
		there := false
		for _, f := range folders {
			if in(f)[test] {
				there = true
				found[f] = append(found[f], test)
			}
		}
		if !there {
			t.Errorf("parity.md names %s, which is not there", m[0])
		}
	}
	if *commands != "" {
		writeCommands(t, found)
	}
}

// declaredIn returns the tests of a folder.
func declaredIn(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../" + folder + "/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("folder %s: %v", folder, err)
	}
	tests := map[string]bool{}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(code), -1) {
			tests[m[1]] = true
		}
	}
	return tests
}

// writeCommands writes, for `make parity`, a package and the expression for its tests on each line.
func writeCommands(t *testing.T, found map[string][]string) {
	t.Helper()
	var b strings.Builder
	for _, folder := range slices.Sorted(maps.Keys(found)) {
		slices.Sort(found[folder])
		fmt.Fprintf(&b, "./%s ^(%s)$\n", folder, strings.Join(slices.Compact(found[folder]), "|"))
	}
	if err := os.WriteFile(*commands, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
