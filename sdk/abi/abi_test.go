package abi_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/sdk/abi"
)

// TestSpecification holds docs/abi.md to the numbers of this package.
func TestSpecification(t *testing.T) {
	doc, err := os.ReadFile("../../docs/abi.md")
	if err != nil {
		t.Fatal(err)
	}
	spec := string(doc)
	fields := 0
	for f := abi.Field(0); f < 128; f++ {
		if strings.HasPrefix(f.String(), "field(") {
			continue
		}
		fields++
		wantRow(t, spec, fmt.Sprintf("| %d | `%s` |", f, f))
	}
	row := regexp.MustCompile("(?m)^\\| \\d+ \\| `[a-z_]+` \\| (json|text|integer|time|bytes) \\|")
	if rows := row.FindAllString(spec, -1); len(rows) != fields {
		t.Errorf("docs/abi.md lists %d fields; there are %d", len(rows), fields)
	}
	for code, name := range map[abi.Code]string{
		abi.CodeTo: "to", abi.CodeRepeat: "repeat", abi.CodeSkip: "skip", abi.CodePause: "pause", abi.CodeCancel: "cancel",
		abi.CodeError: "error", abi.CodePermanent: "permanent", abi.CodeDone: "done",
	} {
		wantRow(t, spec, fmt.Sprintf("| %d | `%s` |", code, name))
	}
	for _, kind := range kinds {
		wantRow(t, spec, "| `"+kind+"` |")
	}
	for level, name := range map[int32]string{
		abi.LevelDebug: "debug", abi.LevelInfo: "info", abi.LevelWarn: "warn", abi.LevelError: "error",
	} {
		wantRow(t, spec, strings.Replace(fmt.Sprintf("| %d | `%s` |", level, name), "-", "−", 1))
	}
	for _, name := range []string{abi.FuncFieldRead, abi.FuncFieldWrite, abi.FuncLog, abi.FuncTrigger, abi.FuncCallback, abi.FuncHTTPSend, abi.FuncSecretRead, abi.FuncEmit, abi.FuncMeasure} {
		wantRow(t, spec, "| `"+name+"` |")
	}
	for _, name := range []string{abi.ExportMemory, abi.ExportInitialize, abi.ExportManifest, abi.ExportInvoke, abi.ExportWarm} {
		wantRow(t, spec, "| `"+strings.TrimSpace(name)+"` |")
	}
	wantRow(t, spec, fmt.Sprintf("| a name | %d bytes |", abi.MaxNameBytes))
	wantRow(t, spec, "| a manifest | 1,048,576 bytes |")
	wantRow(t, spec, "| handlers in a module | 4,096 |")
	if abi.MaxManifestBytes != 1_048_576 || abi.MaxHandlers != 4096 {
		t.Error("the limits of docs/abi.md are not those of this package")
	}
}

var kinds = []string{
	abi.KindStep, abi.KindCallback, abi.KindTimeout, abi.KindTimer, abi.KindHook, abi.KindErase, abi.KindFilter,
}

// TestSpecifiedKinds holds the second example of docs/abi.md to having a handler of each kind, and every member of the
// manifest to being in the list of members.
func TestSpecifiedKinds(t *testing.T) {
	doc, err := os.ReadFile("../../docs/abi.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(doc), "```json\n")
	if len(parts) != 3 {
		t.Fatalf("docs/abi.md has %d examples in JSON; want 2", len(parts)-1)
	}
	example, _, _ := strings.Cut(parts[2], "```")
	var m abi.Manifest
	d := json.NewDecoder(strings.NewReader(example))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, h := range m.Workflows[0].Handlers {
		seen[h.Kind] = true
	}
	for _, kind := range kinds {
		if !seen[kind] {
			t.Errorf("the example has no handler of the kind %q", kind)
		}
	}
	for prefix, of := range map[string]reflect.Type{
		"": reflect.TypeFor[abi.Manifest](), "workflows[].": reflect.TypeFor[abi.Workflow](),
		"….schedules[].": reflect.TypeFor[abi.Schedule](), "….retry.": reflect.TypeFor[abi.Retry](),
		"capabilities.": reflect.TypeFor[abi.Capabilities](), "….http[].": reflect.TypeFor[abi.HTTPAsk](),
	} {
		wantMembers(t, string(doc), of, prefix)
	}
	wantMembers(t, string(doc), reflect.TypeFor[abi.Handler](), "workflows[].handlers[].", "….")
}

// wantMembers fails the test unless the page has a row for every member of a type, under one of the prefixes.
func wantMembers(t *testing.T, spec string, of reflect.Type, prefixes ...string) {
	t.Helper()
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if !slices.ContainsFunc(prefixes, func(prefix string) bool {
			return strings.Contains(spec, "\n| `"+prefix+name+"` |")
		}) {
			t.Errorf("docs/abi.md lacks the member %s of %v", name, of)
		}
	}
}

// TestSpecifiedManifest decodes the manifest that docs/abi.md gives as an example, which its C guest repeats, and counts
// its bytes.
func TestSpecifiedManifest(t *testing.T) {
	doc, err := os.ReadFile("../../docs/abi.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```json\n")
	example, rest, _ := strings.Cut(rest, "```")
	var m abi.Manifest
	d := json.NewDecoder(strings.NewReader(example))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	if m.ABI != abi.Version || len(m.Workflows) != 1 || m.Workflows[0].Handlers[0].Kind != abi.KindStep {
		t.Errorf("the example is %+v", m)
	}
	line, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(rest, fmt.Sprintf("field_write(68, 0x0400, %d)", len(line))) {
		t.Errorf("the example has %d bytes in one line, and docs/abi.md counts otherwise", len(line))
	}
	var inC strings.Builder
	_, rest, _ = strings.Cut(rest, "manifest[] =\n")
	rest, _, _ = strings.Cut(rest, ";\n")
	for _, part := range strings.Split(rest, "\n") {
		inC.WriteString(strings.ReplaceAll(strings.Trim(part, ` "`), `\"`, `"`))
	}
	if got := inC.String(); got != string(line) {
		t.Errorf("the manifest of the C guest is\n%s; want\n%s", got, line)
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "Order-2_v1.0", strings.Repeat("n", abi.MaxNameBytes)} {
		if err := abi.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "a b", "a/b", "ä", "a\x00", "a\xff", strings.Repeat("n", abi.MaxNameBytes+1)} {
		if abi.CheckName(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func wantRow(t *testing.T, spec, prefix string) {
	t.Helper()
	if !strings.Contains(spec, "\n"+prefix) {
		t.Errorf("docs/abi.md lacks the row %q", prefix)
	}
}
