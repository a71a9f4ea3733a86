package host

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/wfrt/wfrt/runtime"
)

// folders are where compiled modules lie on disk from one start to the next: Options.CacheDir has one for each digest, named
// after it. What is in a folder is wazero's. One whose digest is no version's any more is removed by the next sweep.
type folders struct {
	dir    string // "": nothing is kept on disk
	logger *slog.Logger

	mu   sync.Mutex              // guards the fields below; held by sweep, so that a folder that is entered is there to stay
	used map[runtime.Digest]int  // by how many modules
	held map[runtime.Digest]bool // of versions that may serve again
	kept bool                    // no sweep removes anything any more
}

// path returns the folder of a digest, or "" when nothing is kept on disk.
func (f *folders) path(d runtime.Digest) string {
	if f.dir == "" {
		return ""
	}
	return filepath.Join(f.dir, d.String())
}

// enter says that there is one more module of a digest, which may use the folder until leave.
func (f *folders) enter(d runtime.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used == nil {
		f.used = make(map[runtime.Digest]int)
	}
	f.used[d]++
}

// leave says that there is one module less of a digest.
func (f *folders) leave(d runtime.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used[d]--; f.used[d] == 0 {
		delete(f.used, d)
	}
}

// hold says of which versions the folders stay, whether a module uses them or not, until the next hold.
func (f *folders) hold(versions map[runtime.Digest]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = versions
}

// keep leaves the folders as they are from now on: the host closes, and its modules are those of the next start.
func (f *folders) keep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = true
}

// sweep removes the folders that no module uses. What is not named like a digest is not ours and stays.
func (f *folders) sweep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dir == "" || f.kept {
		return
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.logger.Warn("old compiled modules cannot be looked for", "cache_dir", f.dir, "error", err)
	}
	for _, entry := range entries {
		var digest runtime.Digest
		if len(entry.Name()) != hex.EncodedLen(len(digest)) || !entry.IsDir() {
			continue
		}
		if _, err := hex.Decode(digest[:], []byte(entry.Name())); err != nil || f.used[digest] > 0 || f.held[digest] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(f.dir, entry.Name())); err != nil {
			f.logger.Warn("an old compiled module cannot be removed: remove its folder", "cache_dir", f.dir, "error", err)
		}
	}
}
