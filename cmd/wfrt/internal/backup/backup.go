// Package backup copies a data directory while it is served, and makes one from a copy.
//
// A backup is a folder with the store and, beside it, the modules that the store speaks of.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/wfrt/wfrt/pebblestore"
)

// What a data directory holds that a backup has. All else can be made anew.
const (
	storeDir   = "store"
	modulesDir = "archive" // modules by digest
)

// ErrNotEmpty says that there is something where a backup or a data directory is to be made.
var ErrNotEmpty = errors.New("it is there already, and no empty folder")

// ErrNoBackup says that a folder holds no backup.
var ErrNoBackup = errors.New("it is no backup of wfrt: there is no store in it")

// Write makes a backup of an open store and of the modules in its data directory. dir must not exist, or be empty. On an error
// nothing is left.
func Write(store *pebblestore.Store, dataDir, dir string) (err error) {
	part, err := begin(dir)
	if err != nil {
		return err
	}
	defer func() { err = finish(part, dir, err) }()
	if err := store.Checkpoint(filepath.Join(part, storeDir)); err != nil {
		return err
	}
	// After the store: it has no module yet that the store does not speak of.
	return copyModules(dataDir, part)
}

// Restore makes a data directory from a backup, whose store it checks. dataDir must not exist, or be empty. On an error nothing is
// left.
func Restore(ctx context.Context, dir, dataDir string) (report pebblestore.Report, err error) {
	if _, err := os.ReadDir(filepath.Join(dir, storeDir)); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return report, fmt.Errorf("%s: %w", dir, ErrNoBackup)
	}
	part, err := begin(dataDir)
	if err != nil {
		return report, err
	}
	defer func() { err = finish(part, dataDir, err) }()
	if err := os.CopyFS(filepath.Join(part, storeDir), os.DirFS(filepath.Join(dir, storeDir))); err != nil {
		return report, fmt.Errorf("copy the backup: %w", err)
	}
	if err := copyModules(dir, part); err != nil {
		return report, err
	}
	store, err := Open(part)
	if errors.Is(err, pebblestore.ErrNoStore) {
		return report, fmt.Errorf("%s: %w", dir, ErrNoBackup)
	}
	if err != nil {
		return report, err
	}
	report, err = store.Check(ctx)
	return report, errors.Join(err, store.Close())
}

// Open opens the store of a data directory for inspection.
func Open(dataDir string) (*pebblestore.Store, error) {
	return pebblestore.Open(pebblestore.Options{
		Dir: filepath.Join(dataDir, storeDir), Inspect: true, Logger: slog.New(slog.DiscardHandler),
	})
}

// begin returns a new folder beside one that is to be made.
func begin(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	isFile := errors.Is(err, syscall.ENOTDIR)
	if err != nil && !isFile && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if isFile || len(entries) > 0 {
		return "", fmt.Errorf("%s: %w", dir, ErrNotEmpty)
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return "", err
	}
	return os.MkdirTemp(parent, ".wfrt-*")
}

// finish puts the folder where it belongs, durably, or removes it.
func finish(part, dir string, err error) error {
	if err == nil {
		err = os.Remove(dir) // it is empty
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(part, dir)
	}
	if err == nil {
		return syncDir(filepath.Dir(filepath.Clean(dir)))
	}
	return errors.Join(err, os.RemoveAll(part))
}

// copyModules copies the modules of a data directory or backup. They lie under their digests and never change.
func copyModules(from, to string) error {
	source := filepath.Join(from, modulesDir)
	if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.CopyFS(filepath.Join(to, modulesDir), os.DirFS(source)); err != nil {
		return fmt.Errorf("copy the modules: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // a folder that the operator named
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
