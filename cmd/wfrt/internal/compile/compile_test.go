package compile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/scaffold"
)

// plugin writes a new plugin and returns its folder.
func plugin(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "greet")
	if err := scaffold.New(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWithoutGo(t *testing.T) {
	dir := plugin(t)
	t.Setenv("PATH", t.TempDir())
	if err := Module(t.Context(), Options{Dir: dir, Out: "greet.wasm", Messages: io.Discard}); !errors.Is(err, ErrNoGo) {
		t.Errorf("got %v", err)
	}
}

func TestARefusedModuleLeavesTheOldOne(t *testing.T) {
	dir := plugin(t)
	out := filepath.Join(t.TempDir(), "greet.wasm")
	if err := os.WriteFile(out, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	err := Module(t.Context(), Options{Dir: dir, Out: out, Messages: io.Discard, Check: func(path string) error {
		if module, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(module), "\x00asm") {
			t.Errorf("%s is no module: %v", path, err)
		}
		return refused
	}})
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if content, err := os.ReadFile(out); err != nil || string(content) != "old" {
		t.Errorf("the old module is now %d bytes, %v", len(content), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".wfrt-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestTheSDKOfThePluginIsBroughtUpToDate(t *testing.T) {
	dir := plugin(t)
	stale := filepath.Join(dir, scaffold.SDKDir, "sdk", "doc.go")
	if err := os.WriteFile(stale, []byte("package broken!"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "greet.wasm")
	if err := Module(t.Context(), Options{Dir: dir, Out: out, Messages: t.Output()}); err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(out); err != nil {
		t.Error(err)
	}
}
