package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

const repositoryFile = "../../../../config.yaml"

// load reads a configuration file with the given content.
func load(t *testing.T, content string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Sources{File: path})
}

// faultsOf returns the faults of a configuration that must have some.
func faultsOf(t *testing.T, err error) Faults {
	t.Helper()
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("want faults, got %v", err)
	}
	return faults
}

func TestRepositoryFileHoldsEveryKeyWithItsDefault(t *testing.T) {
	content, err := os.ReadFile(repositoryFile)
	if err != nil {
		t.Fatal(err)
	}
	f := parseFile("config.yaml", content)
	if len(f.faults) > 0 {
		t.Fatal(f.faults)
	}
	want := Default()
	payments := defaultHTTPGrant() // of the example
	payments.Methods, payments.Address = []string{"POST"}, "127.0.0.1:8081"
	want.Plugins.Overrides = map[string]Override{"orders": {Grants: Grants{HTTP: map[string]HTTPGrant{"payments": payments}}}}
	for _, s := range want.settings() {
		if _, ok := f.values[s.key]; !ok {
			t.Errorf("config.yaml does not hold %s", s.key)
		}
	}
	if got, err := Load(Sources{File: repositoryFile}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("config.yaml says\n%+v, %v; the defaults are\n%+v", got, err, want)
	}
}

func TestRepositoryFileDocumentsEachKeyWithItsDefaultInOrder(t *testing.T) {
	content, err := os.ReadFile(repositoryFile)
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	var walk func(prefix string, group *yaml.Node)
	walk = func(prefix string, group *yaml.Node) {
		before := ""
		for i := 0; i < len(group.Content); i += 2 {
			name, value := group.Content[i], group.Content[i+1]
			if name.Value < before {
				t.Errorf("%s%s comes after %s; keys are in alphabetical order", prefix, name.Value, before)
			}
			before = name.Value
			if key := prefix + name.Value; key == overridesGroup || key == secretsGroup {
				continue // an example, of which a default is nothing
			}
			if value.Kind == yaml.MappingNode {
				walk(prefix+name.Value+".", value)
				continue
			}
			written := value.Value
			if written == "" {
				written = `""`
			}
			comment := strings.ReplaceAll(name.HeadComment, "\n# ", " ")
			if !strings.HasSuffix(comment, "Defaults to "+written+".") {
				t.Errorf("the comment of %s%s does not end with its default: %q", prefix, name.Value, comment)
			}
		}
	}
	walk("", document.Content[0])
}

func TestLaterSourcesWin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	content := "server: {listen: '127.0.0.1:1', max_body: 3MiB}\nengine: {window: 7, workers: 8}\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WFRT_SERVER_LISTEN", "127.0.0.1:2")
	t.Setenv("WFRT_ENGINE_WINDOW", "9")
	t.Setenv("WFRT_PLUGINS_LIMITS_MEMORY_BYTES", "32MiB") // a key that only the environment has
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.String("listen", "", "")
	flags.String("data-dir", "unused", "")
	if err := flags.Parse([]string{"--listen", "127.0.0.1:3"}); err != nil {
		t.Fatal(err)
	}
	got, err := Load(Sources{File: path, Flags: map[string]*pflag.Flag{
		"server.listen": flags.Lookup("listen"), "data_dir": flags.Lookup("data-dir"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Server.Listen = "127.0.0.1:3"                  // the flag
	want.Engine.Window = 9                              // the environment
	want.Plugins.Limits.MemoryBytes = 32 * MiB          // the environment
	want.Server.MaxBody, want.Engine.Workers = 3*MiB, 8 // the file
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAllFaultsAreReportedAtOnceWithPlaceAndRemedy(t *testing.T) {
	t.Setenv("WFRT_LOG_LEVELS", "debug")
	t.Setenv("WFRT_OUTBOX_BATCH", "many")
	t.Setenv("WFRT_SERVER", "http://elsewhere") // the client's own, not a fault
	_, err := load(t, `
server:
  lisen: 127.0.0.1:1
  max_body: 12MB
engine:
  step_timeout: 30
  retry: {initial: 10s, max: 5s}
  workers: -1
log: loud
plugins:
  watch: perhaps
store:
  cache_bytes: 1MiB
  cache_bytes: 2MiB
  shards: 5000
servre: {}
data_dir: [a, b]
`)
	type place struct{ where, what, hint string }
	want := []place{
		{":3", "there is no key server.lisen", "did you mean server.listen?"},
		{":9", "log is a group of keys", "key: value"},
		{":14", "store.cache_bytes is set twice", "line 13"},
		{":16", "there is no key servre", "did you mean server?"},
		{":17", "data_dir must be one value", "data_dir: value"},
		{"WFRT_LOG_LEVELS", "there is no such setting", "did you mean WFRT_LOG_LEVEL?"},
		{":6", `engine.step_timeout "30" is not a duration`, `"1.5s"`},
		{"WFRT_OUTBOX_BATCH", `outbox.batch "many" is not a whole number`, ""},
		{":11", `plugins.watch "perhaps" is neither true nor false`, ""},
		{":4", `server.max_body "12MB" is not a size`, "MiB"},
		{":7", "engine.retry.max is 5s, below engine.retry.initial, 10s", "shorter"},
		{":8", "engine.workers is -1", "from 0"},
		{":15", "store.shards is 5000", "from 1 to 4096"},
	}
	got := faultsOf(t, err)
	if len(got) != len(want) {
		t.Fatalf("%d faults, want %d:\n%v", len(got), len(want), err)
	}
	for i, w := range want {
		g := got[i]
		if !strings.HasSuffix(g.Where, w.where) || !strings.Contains(g.What, w.what) || !strings.Contains(g.Hint, w.hint) {
			t.Errorf("fault %d is %q / %q / %q, want %q / %q / %q", i, g.Where, g.What, g.Hint, w.where, w.what, w.hint)
		}
	}
}

func TestSingleWorkflows(t *testing.T) {
	got, err := load(t, `
workflows:
  orders: {retention: 720h, versions: pinned}
  a.b: {retention: 0}
  report:
`)
	if err != nil {
		t.Fatal(err)
	}
	month, forEver, pinned := 720*time.Hour, time.Duration(0), VersionsPinned
	want := map[string]Workflow{"orders": {Retention: &month, Versions: &pinned}, "a.b": {Retention: &forEver}, "report": {}}
	if !reflect.DeepEqual(got.Workflows, want) {
		t.Errorf("got %+v", got.Workflows)
	}
}

func TestFaultsOfSingleWorkflows(t *testing.T) {
	_, err := load(t, `workflows:
  orders: {retentoin: 1h}
  b: {retention: -1h, versions: newest}
  c: {retention: 30}
  d: 720h
  e: {retention: [1h]}
  e: {}
  ""  : {retention: 1h}
workflow: {}
`)
	type place struct{ where, what, hint string }
	want := []place{
		{":7", "workflows.e is set twice", "line 6"},
		{":2", "there is no key workflows.orders.retentoin", "did you mean retention?"},
		{":5", "workflows.d is a group of keys", "key: value"},
		{":6", "workflows.e.retention must be one value", "retention: value"},
		{":9", "there is no key workflow", "did you mean workflows?"},
		{":4", `workflows.c.retention "30" is not a duration`, `"1.5s"`},
		{":8", "workflows. is not the name of a workflow", "1 to 64 bytes"},
		{":3", "workflows.b.retention is -1h", "use 0 or more"},
		{":3", `workflows.b.versions "newest" is not known`, "latest, pinned"},
	}
	got := faultsOf(t, err)
	if len(got) != len(want) {
		t.Fatalf("%d faults, want %d:\n%v", len(got), len(want), err)
	}
	for i, w := range want {
		g := got[i]
		if !strings.HasSuffix(g.Where, w.where) || !strings.Contains(g.What, w.what) || !strings.Contains(g.Hint, w.hint) {
			t.Errorf("fault %d is %q / %q / %q, want %q / %q / %q", i, g.Where, g.What, g.Hint, w.where, w.what, w.hint)
		}
	}
}

func TestWhatIsNotYAMLIsRefusedWithItsLine(t *testing.T) {
	_, err := load(t, "data_dir: ./data\nserver:\n\tlisten: x\n")
	faults := faultsOf(t, err)
	if len(faults) != 1 || !strings.Contains(faults[0].What, "is not YAML") || !strings.Contains(faults[0].Where, "config.yaml:") {
		t.Errorf("got %q", faults)
	}
}

func TestAFileThatWasNamedMustExist(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	if _, err := Load(Sources{File: missing}); len(faultsOf(t, err)) != 1 {
		t.Errorf("got %v", err)
	}
	if got, err := Load(Sources{File: missing, FileOptional: true}); err != nil || !reflect.DeepEqual(got, Default()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAnAddressThatOthersReachNeedsATokenOrConsent(t *testing.T) {
	for _, c := range []struct {
		server string
		ok     bool
	}{
		{"{listen: '127.0.0.1:0'}", true},
		{"{listen: '127.3.2.1:80'}", true},
		{"{listen: 'localhost:80'}", true},
		{"{listen: '[::1]:80'}", true},
		{"{listen: ':8080'}", false},
		{"{listen: '0.0.0.0:8080'}", false},
		{"{listen: '[::]:8080'}", false},
		{"{listen: '10.0.0.1:8080'}", false},
		{"{listen: 'example.org:8080'}", false},
		{"{listen: '0.0.0.0:8080', token: secret}", true},
		{"{listen: '0.0.0.0:8080', insecure: true}", true},
		{"{listen: '127.0.0.1'}", false},
		{"{listen: '127.0.0.1:65536'}", false},
		{"{listen: '127.0.0.1:http'}", false},
	} {
		_, err := load(t, "server: "+c.server)
		if (err == nil) != c.ok {
			t.Errorf("%s: got %v", c.server, err)
		}
	}
}

func TestATokenIsNeverShown(t *testing.T) {
	_, err := load(t, "server: {token: 12345678}")
	faults := faultsOf(t, err)
	if len(faults) != 1 || strings.Contains(faults.Error(), "1234") {
		t.Errorf("got %v", faults)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "17": 17, "64KiB": 64 * KiB, "3 MiB": 3 * MiB, "1GiB": GiB, "8388607TiB": 8388607 * TiB} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "64MB", "64kib", "8388608TiB", "9223372036854775808", "1 2"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is accepted as %d", text, got)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"64MiB", "0", "9223372036854775807", "1 TiB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseSize(text)
		if err != nil {
			return
		}
		if again, err := ParseSize(size.String()); err != nil || again != size || size < 0 {
			t.Errorf("%q reads as %d, which is written %s and reads as %d, %v", text, size, size, again, err)
		}
	})
}

func FuzzLoadFile(f *testing.F) {
	f.Add([]byte("server: {listen: '127.0.0.1:1'}\nlog:\n  level: debug\n"))
	f.Add([]byte("workflows: {a: {retention: 1h}, b: }"))
	f.Add([]byte("a: &x [*x]\n? {b: c}\n: d"))
	f.Fuzz(func(t *testing.T, content []byte) {
		for key := range parseFile("config.yaml", content).values {
			if EnvName(key) == envPrefix+"_" {
				t.Errorf("an empty key was read from %q", content)
			}
		}
	})
}

func TestEveryFieldIsOfATypeThatCanBeSet(t *testing.T) {
	c := Default()
	for _, s := range c.settings() {
		if err := s.set(s.String()); err != nil {
			t.Errorf("%s: its own default %q %v", s.key, s, err)
		}
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("writing and reading every value changed the defaults to %+v", c)
	}
}

func TestDurationsAreShownShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Hour: "1h", 90 * time.Minute: "1h30m", 5 * time.Minute: "5m", 30 * time.Second: "30s", 10 * time.Minute: "10m",
		time.Hour + time.Second: "1h0m1s", 20 * time.Second: "20s", 0: "0s", 2 * time.Millisecond: "2ms",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%d is shown as %s, want %s", d, got, want)
		}
	}
}
