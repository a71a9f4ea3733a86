// Package wfrt carries the source of the SDK, so that the wfrt binary and Go alone can build a plugin anywhere, always with
// the SDK that matches the server.
package wfrt

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Module is the path of the Go module that WriteSDK writes, as a plugin imports it.
const Module = "github.com/wfrt/wfrt"

// source is the SDK with its tests, which WriteSDK leaves out.
//
//go:embed LICENSE sdk/*.go sdk/abi/*.go sdk/internal/guest/*.go sdk/sdktest/*.go
var source embed.FS

// sdkGoMod is the go.mod of the written module. Its first line tells WriteSDK that a folder is its own.
const sdkGoMod = sdkMark + "\nmodule " + Module + "\n\ngo 1.26.0\n"

const sdkMark = "// The wfrt SDK, written by wfrt. Changes here are overwritten."

// WriteSDK makes dir a Go module that holds the SDK: the packages sdk, sdk/abi and sdk/sdktest, which need nothing but the
// standard library. A plugin that keeps it in its folder .wfrt, which ./... does not look into, has in its go.mod
//
//	require github.com/wfrt/wfrt v0.0.0
//
//	replace github.com/wfrt/wfrt => ./.wfrt
//
// dir is created when it is absent, and brought up to date when an earlier WriteSDK made it: files that are already equal
// are left alone, files that the SDK no longer has are removed. A folder with other contents is refused and left as it is.
func WriteSDK(dir string) error {
	if err := checkSDKDir(dir); err != nil {
		return fmt.Errorf("write the SDK: %w", err)
	}
	// go.mod comes first: a folder that was written in part is recognised the next time.
	if err := writeFile(filepath.Join(dir, "go.mod"), []byte(sdkGoMod)); err != nil {
		return fmt.Errorf("write the SDK: %w", err)
	}
	err := fs.WalkDir(source, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !inSDK(name) {
			return err
		}
		content, err := source.ReadFile(name)
		if err != nil {
			return err
		}
		return writeFile(filepath.Join(dir, filepath.FromSlash(name)), content)
	})
	if err != nil {
		return fmt.Errorf("write the SDK: %w", err)
	}
	if err := removeStale(dir); err != nil {
		return fmt.Errorf("write the SDK: %w", err)
	}
	return nil
}

// inSDK reports whether a file of source is written.
func inSDK(name string) bool { return !strings.HasSuffix(name, "_test.go") }

// checkSDKDir returns an error unless dir is absent, empty or made by WriteSDK.
func checkSDKDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // dir is the caller's
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.HasPrefix(mod, []byte(sdkMark+"\n")) {
		return fmt.Errorf("%s holds files that wfrt did not write; move them away", dir)
	}
	return nil
}

// writeFile writes a file unless it has that content, so that unchanged files keep their time.
func writeFile(name string, content []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, content) { //nolint:gosec // below the caller's folder
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // source code, for everyone to read
		return err
	}
	return os.WriteFile(name, content, 0o644) //nolint:gosec // source code, for everyone to read
}

// removeStale removes the files below dir/sdk that the SDK does not have.
func removeStale(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), "sdk", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if _, err := fs.Stat(source, name); err == nil && inSDK(name) {
			return nil
		}
		return root.Remove(name)
	})
}
