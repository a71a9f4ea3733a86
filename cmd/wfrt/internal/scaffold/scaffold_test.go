package scaffold

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNewNamesEverythingAfterTheFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "greet")
	if err := New(dir); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"go.mod": "module example.com/greet\n", "main.go": `("greet")`, "main_test.go": "sdktest", "README.md": "# greet\n",
		".gitignore": "*.wasm", ".wfrt/sdk/doc.go": "package sdk", ".wfrt/go.mod": "module github.com/wfrt/wfrt\n",
	} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(string(content), want) {
			t.Errorf("%s does not hold %q: %s %v", file, want, content, err)
		}
	}
}

func TestNewRefusesBadNames(t *testing.T) {
	for _, name := range []string{"Greet", "1st", "greet me", "größe", "-x", strings.Repeat("a", 65)} {
		dir := filepath.Join(t.TempDir(), name)
		if err := New(dir); !errors.Is(err, ErrName) {
			t.Errorf("%q: got %v", name, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%q: the folder was made", name)
		}
	}
}

func TestNewRefusesAFolderThatHoldsSomething(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "greet")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := New(dir); err != nil {
		t.Errorf("an empty folder was refused: %v", err)
	}
	if err := New(dir); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("got %v", err)
	}
}
