package wfrt_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wfrt/wfrt"
)

// TestPluginOutsideOfThisRepository builds and tests a plugin with nothing but Go and what WriteSDK wrote.
func TestPluginOutsideOfThisRepository(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"main.go", "main_test.go"} {
		content, err := os.ReadFile(filepath.Join("plugins", "hello", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(content))
	}
	write(t, filepath.Join(dir, "go.mod"), "module hello\n\ngo 1.26.0\n\nrequire "+wfrt.Module+" v0.0.0\n\nreplace "+
		wfrt.Module+" => ./.wfrt\n")
	sdk := filepath.Join(dir, ".wfrt")
	if err := wfrt.WriteSDK(sdk); err != nil {
		t.Fatal(err)
	}

	runGo(t, sdk, nil, "vet", "./...")
	runGo(t, dir, nil, "vet", "./...")
	if out := runGo(t, dir, nil, "test", "-v", "./..."); !strings.Contains(out, "--- PASS: TestGreet") {
		t.Errorf("the plugin's test did not run:\n%s", out)
	}
	wasip1 := []string{"GOOS=wasip1", "GOARCH=wasm"}
	runGo(t, sdk, wasip1, "build", "./...")
	runGo(t, dir, wasip1, "build", "-buildmode=c-shared", "-o", "hello.wasm", ".")
	module, err := os.ReadFile(filepath.Join(dir, "hello.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x00asm", "wfrt_v1", "wfrt_invoke", "wfrt_manifest"} {
		if !strings.Contains(string(module), want) {
			t.Errorf("the module lacks %q", want)
		}
	}
}

func TestWriteSDKBringsUpToDate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sdk")
	if err := wfrt.WriteSDK(dir); err != nil {
		t.Fatal(err)
	}
	want := files(t, dir)
	if want["LICENSE"] == "" || want["sdk/doc.go"] == "" || want["sdk/internal/guest/host.go"] == "" {
		t.Fatalf("the SDK is not whole: %d files", len(want))
	}
	for name := range want {
		if strings.HasSuffix(name, "_test.go") {
			t.Errorf("the SDK carries the test %s", name)
		}
	}

	write(t, filepath.Join(dir, "sdk", "doc.go"), "package sdk // changed")
	write(t, filepath.Join(dir, "sdk", "stale.go"), "package sdk // of an older version")
	write(t, filepath.Join(dir, "sdk", "name_test.go"), "package sdk")
	if err := wfrt.WriteSDK(dir); err != nil {
		t.Fatal(err)
	}
	got := files(t, dir)
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s is not as it was", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("there are %d files; want %d", len(got), len(want))
	}
}

func TestWriteSDKRefusesAnotherFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module mine\n")
	write(t, filepath.Join(dir, "sdk", "mine.go"), "package mine\n")
	before := files(t, dir)
	err := wfrt.WriteSDK(dir)
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Fatalf("WriteSDK: %v; want a refusal that names the folder", err)
	}
	if after := files(t, dir); len(after) != len(before) || after["go.mod"] != before["go.mod"] {
		t.Errorf("the folder was changed: %v", after)
	}
}

// runGo runs the go tool in dir without a network and returns what it printed.
func runGo(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s go %s: %v\n%s", strings.Join(env, " "), strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files returns the contents of all files below dir by their names.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
