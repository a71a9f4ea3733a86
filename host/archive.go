package host

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/runtime"
)

// Documents keeps named documents between starts. Document returns what SetDocument wrote last, or an error that is
// runtime.ErrNotFound; what it returns belongs to the caller. What SetDocument wrote is durable on return. Neither is called by
// two goroutines at a time.
type Documents interface {
	Document(name string) ([]byte, error)
	SetDocument(name string, value []byte) error
}

// memoryDocuments forgets everything with the process.
type memoryDocuments map[string][]byte

// Document implements Documents.
func (m memoryDocuments) Document(name string) ([]byte, error) {
	value, ok := m[name]
	if !ok {
		return nil, runtime.ErrNotFound
	}
	return slices.Clone(value), nil
}

// SetDocument implements Documents.
func (m memoryDocuments) SetDocument(name string, value []byte) error {
	m[name] = slices.Clone(value)
	return nil
}

// archive keeps the bytes of modules by their digest, and their signatures, so that a rollback and a pinned run need no file from
// anyone: in a directory, one file "<digest>.wasm" for each and "<digest>.wasm.minisig" beside it, or in memory.
type archive struct {
	dir string // "": in memory

	mu         sync.Mutex
	memory     map[runtime.Digest][]byte // guarded by mu
	signatures map[runtime.Digest][]byte // guarded by mu
}

func (a *archive) path(d runtime.Digest) string { return filepath.Join(a.dir, d.String()+extension) }

// put keeps the bytes of a digest; they are durable on return.
func (a *archive) put(d runtime.Digest, raw []byte) error {
	if a.dir == "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.memory == nil {
			a.memory = make(map[runtime.Digest][]byte)
		}
		a.memory[d] = raw
		return nil
	}
	if _, err := a.get(d); err == nil {
		return nil
	}
	if err := os.MkdirAll(a.dir, 0o750); err != nil {
		return fmt.Errorf("host: keep a module: %w", err)
	}
	if err := a.write(a.path(d), raw); err != nil {
		return fmt.Errorf("host: keep a module in %s: %w", a.dir, err)
	}
	return nil
}

// sign keeps the signature of a digest, in the place of the one before; it is durable on return. An empty one is none, and
// changes nothing.
func (a *archive) sign(d runtime.Digest, sig []byte) error {
	if before, err := a.signature(d); len(sig) == 0 || err == nil && bytes.Equal(before, sig) {
		return nil
	}
	if a.dir == "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.signatures == nil {
			a.signatures = make(map[runtime.Digest][]byte)
		}
		a.signatures[d] = bytes.Clone(sig)
		return nil
	}
	if err := a.write(a.path(d)+signature.Extension, sig); err != nil {
		return fmt.Errorf("host: keep the signature of a module in %s: %w", a.dir, err)
	}
	return nil
}

// signature returns the signature of a digest; nil when there is none.
func (a *archive) signature(d runtime.Digest) ([]byte, error) {
	if a.dir == "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.signatures[d], nil
	}
	return readSignature(a.path(d))
}

// verify returns why the module of a digest is not to be trusted, or nil. raw is what is kept of it.
func (a *archive) verify(d runtime.Digest, raw []byte, keys []signature.Key) error {
	if len(keys) == 0 {
		return nil
	}
	sig, err := a.signature(d)
	if err == nil {
		err = signature.Verify(raw, sig, keys)
	}
	if err != nil && a.dir != "" {
		err = fmt.Errorf("%w; sign it where it is kept, minisign -Sm %s, or deploy it again with a signature", err, a.path(d))
	}
	return err
}

// write writes under another name, syncs, renames and syncs the directory: after a loss of power the file is whole or not there.
func (a *archive) write(path string, raw []byte) (err error) {
	f, err := os.CreateTemp(a.dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(a.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// get returns the bytes of a digest, which nobody changes.
func (a *archive) get(d runtime.Digest) ([]byte, error) {
	if a.dir == "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		if raw, ok := a.memory[d]; ok {
			return raw, nil
		}
		return nil, fmt.Errorf("its module %s is kept nowhere: deploy it again", digestOf(d))
	}
	raw, err := os.ReadFile(a.path(d))
	if err != nil {
		return nil, fmt.Errorf("its module %s cannot be read from where it was kept: put its file back, or deploy it again: %w",
			digestOf(d), err)
	}
	if sha256.Sum256(raw) != d {
		return nil, fmt.Errorf("its module as it was kept, %s, is damaged: deploy it again", a.path(d))
	}
	return raw, nil
}

// sweep removes everything but the given digests. What is not named like a module of ours stays.
func (a *archive) sweep(keep map[runtime.Digest]bool) error {
	if a.dir == "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		for d := range a.memory {
			if !keep[d] {
				delete(a.memory, d)
				delete(a.signatures, d)
			}
		}
		return nil
	}
	entries, err := os.ReadDir(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		stem, ours := strings.CutSuffix(strings.TrimSuffix(e.Name(), signature.Extension), extension)
		d, bad := runtime.ParseDigest(stem)
		if left := strings.HasPrefix(e.Name(), ".new-"); left || ours && bad == nil && !keep[d] {
			err = errors.Join(err, os.Remove(filepath.Join(a.dir, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("host: remove old modules: %w", err)
	}
	return nil
}
