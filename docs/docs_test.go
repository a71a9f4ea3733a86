// Package docs tests what the documentation says about the code.
package docs

import (
	"bytes"
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
	named    = regexp.MustCompile("`((?:[a-z]+/)*)(?: )?(Test[A-Za-z0-9]+)(?:/([^`]+))?`")
	declared = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(\w+ \*testing\.T\)`)
	list     = flag.String("parity", "", "write the packages and tests that parity.md names to this file, for make parity")
)

// nearby are the folders in which a test that is named without one may be.
func nearby() []string {
	return []string{"runtime", "runtime/runtimetest", "sdk/sdktest", "internal/telemetry", "pebblestore"}
}

// testsOf are the tests of a package that are named: each with its cases, or nil for the whole test.
type testsOf map[string][]string

func (t testsOf) add(test, subtest string) {
	if cases, known := t[test]; subtest == "" || known && cases == nil {
		t[test] = nil
		return
	}
	t[test] = append(t[test], subtest)
}

// Every test that parity.md names is there: without a folder in one of those nearby, else in the folder.
func TestParityNamesTests(t *testing.T) {
	page, err := os.ReadFile("parity.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]map[string]bool{}
	found := map[string]testsOf{}
	for _, m := range named.FindAllStringSubmatch(string(page), -1) {
		folders := []string{strings.TrimSuffix(m[1], "/")}
		if m[1] == "" {
			folders = nearby()
		}
		there := false
		for _, folder := range folders {
			if tests[folder] == nil {
				tests[folder], found[folder] = declaredIn(t, folder), testsOf{}
			}
			runs, known := tests[folder][m[2]]
			there = there || known
			if runs {
				found[folder].add(m[2], m[3])
			}
		}
		if !there {
			t.Errorf("parity.md names %s, which is not there", m[0])
		}
	}
	if *list != "" {
		if err := os.WriteFile(*list, lines(found), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// declaredIn returns the tests of a folder, and whether they run without an outside server.
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
		for _, m := range declared.FindAllSubmatch(code, -1) {
			tests[string(m[1])] = !bytes.HasPrefix(code, []byte("//go:build kafka")) && !bytes.HasPrefix(code, []byte("//go:build browser"))
		}
	}
	return tests
}

// lines returns a package and the pattern of its tests on each line, and one more for each test of which only cases are named.
func lines(found map[string]testsOf) []byte {
	var b bytes.Buffer
	for _, folder := range slices.Sorted(maps.Keys(found)) {
		var whole []string
		for _, test := range slices.Sorted(maps.Keys(found[folder])) {
			cases := found[folder][test]
			if cases == nil {
				whole = append(whole, test)
				continue
			}
			fmt.Fprintf(&b, "./%s ^%s$/^(%s)$\n", folder, test, strings.Join(cases, "|"))
		}
		if len(whole) > 0 {
			fmt.Fprintf(&b, "./%s ^(%s)$\n", folder, strings.Join(whole, "|"))
		}
	}
	return b.Bytes()
}
