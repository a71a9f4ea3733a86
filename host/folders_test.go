package host

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// compiledFiles returns the files below a cache directory with their contents.
func compiledFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// wantFolders fails the test unless the directory holds just these entries.
func wantFolders(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("the cache directory holds %q; want %q", names, want)
	}
}

func TestADamagedCompiledModuleIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	use := func(o *Options) { o.CacheDir = dir }
	serveGuest(t, doorGuest(), use)
	whole := compiledFiles(t, dir)
	if len(whole) != 1 {
		t.Fatalf("%d files in the cache; want 1", len(whole))
	}
	for damage, damaged := range map[string]func(whole string) string{
		"emptied":  func(string) string { return "" },
		"nonsense": func(string) string { return "nonsense of another length" },
		"cut off":  func(whole string) string { return whole[:len(whole)/2] },
		"changed":  func(whole string) string { return whole[:200] + string(whole[200]^1) + whole[201:] },
	} {
		for path, content := range whole {
			if err := os.WriteFile(path, []byte(damaged(content)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r := serveGuest(t, doorGuest(), use)
		if lines := r.logs.find("WARN", "was damaged; it was made anew", "file=door.wasm"); len(lines) != 1 {
			t.Errorf("%s: %d warnings; want 1: %q", damage, len(lines), r.logs.find("WARN"))
		}
		if again := compiledFiles(t, dir); len(again) != 1 {
			t.Errorf("%d files in the cache; want 1", len(again))
		}
		if r := serveGuest(t, doorGuest(), use); len(r.logs.find("WARN")) > 0 {
			t.Errorf("the start after that warns of %q", r.logs.find("WARN"))
		}
	}
}

func TestACacheThatCannotBeWrittenIsNoFault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := serveGuest(t, doorGuest(), func(o *Options) { o.CacheDir = file })
	if lines := r.logs.find("WARN", "cannot be kept on disk", "make the cache directory writable"); len(lines) != 1 {
		t.Errorf("%d warnings; want 1", len(lines))
	}
}

func TestTheCacheHoldsWhatIsLoaded(t *testing.T) {
	dir := t.TempDir()
	stray := strings.Repeat("ab", 32)
	for _, path := range []string{stray + "/of-an-earlier-start", "notes/other"} {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	use := func(o *Options) { o.CacheDir = dir }
	r := newRig(t, use)
	r.put("door.wasm", generation(1))
	r.put("bad.wasm", guest{manifest: `{}`}.bytes())
	r.load()
	r.refused("bad")
	first := r.plugin("door").Digest
	wantFolders(t, dir, "notes", first)

	// What is replaced stays: it may serve again. What is removed stays as long as it drains.
	r.put("gate.wasm", guest{manifest: workflowPart("gate", "", []string{"closed>b"}, []string{"b"}, nil)}.bytes())
	r.put("door.wasm", generation(2))
	r.load()
	second, gate := r.plugin("door").Digest, r.plugin("gate").Digest
	r.draining.Wait()
	wantFolders(t, dir, "notes", first, second, gate)
	m, held := r.hold("gate", 1)
	if err := r.Remove(context.Background(), "gate", Order{}); err != nil {
		t.Fatal(err)
	}
	wantFolders(t, dir, "notes", first, second, gate)
	m.pool.put(held[0], m.pool.runs)
	r.draining.Wait()
	wantFolders(t, dir, "notes", first, second)

	// A check leaves nothing behind, and the end everything.
	path := filepath.Join(t.TempDir(), "x.wasm")
	if err := os.WriteFile(path, generation(3), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Check(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	r.folders.sweep()
	wantFolders(t, dir, "notes", first, second)
	before := compiledFiles(t, dir)
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for path := range before {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the end removed what the next start needs: %v", err)
		}
	}
}
