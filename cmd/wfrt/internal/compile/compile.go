// Package compile makes a WebAssembly module of a plugin's Go source, with the Go toolchain on the PATH.
package compile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/wfrt/wfrt"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/scaffold"
)

// Errors that callers tell apart. Their texts are for people.
var (
	// ErrNoGo says that there is no Go toolchain.
	ErrNoGo = errors.New("the go command was not found")
	// ErrOldGo says that the toolchain is too old.
	ErrOldGo = errors.New("the Go toolchain is too old")
	// ErrNoPlugin says that the folder holds no Go program.
	ErrNoPlugin = errors.New("holds no Go program")
	// ErrSource says that the source does not compile; the compiler has said why.
	ErrSource = errors.New("the plugin does not compile")
)

// Options says what to compile.
type Options struct {
	Dir      string                  // the folder with the plugin's package main
	Out      string                  // the module to write; its folder is made if missing
	Messages io.Writer               // takes what the compiler says, as it is
	Check    func(path string) error // examines the compiled module before it takes the place of Out
}

// Module compiles a plugin. Out is replaced in one step, by a module that Check has accepted: a server that watches it never
// sees half of one, and keeps the old one when anything fails.
func Module(ctx context.Context, opt Options) error {
	if sources, err := filepath.Glob(filepath.Join(opt.Dir, "*.go")); err != nil || len(sources) == 0 {
		return fmt.Errorf("%s %w", opt.Dir, ErrNoPlugin)
	}
	if err := checkToolchain(ctx, opt.Dir); err != nil {
		return err
	}
	own, err := refreshSDK(ctx, opt.Dir)
	if err != nil {
		return err
	}
	out, err := filepath.Abs(opt.Out)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil { //nolint:gosec // for everyone who may read the folder above
		return fmt.Errorf("compile: %w", err)
	}
	// Beside Out, as a rename is atomic only within a file system; hidden and not named *.wasm, so that no server takes it.
	temp, err := os.MkdirTemp(filepath.Dir(out), ".wfrt-build-")
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	defer os.RemoveAll(temp) //nolint:errcheck // what is left behind is hidden and small
	module := filepath.Join(temp, filepath.Base(out))

	build := command(ctx, opt.Dir, "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", module, ".")
	build.Env = append(build.Env, "GOOS=wasip1", "GOARCH=wasm")
	if own {
		build.Env = append(build.Env, "GOWORK=off") // a workspace around it need not know the plugin
	}
	build.Stdout, build.Stderr = opt.Messages, opt.Messages
	if err := build.Run(); err != nil {
		return fmt.Errorf("%w (%w)", ErrSource, err)
	}
	if opt.Check != nil {
		if err := opt.Check(module); err != nil {
			return err
		}
	}
	if err := os.Rename(module, out); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	return nil
}

// checkToolchain returns ErrNoGo or ErrOldGo unless the go command can build plugins.
func checkToolchain(ctx context.Context, dir string) error {
	if _, err := exec.LookPath("go"); err != nil {
		return ErrNoGo
	}
	ask := command(ctx, dir, "env", "GOVERSION")
	var said bytes.Buffer
	ask.Stderr = &said
	answer, err := ask.Output()
	have := strings.TrimSpace(string(answer))
	switch {
	case err != nil: // go.mod asks for a newer Go than can be had, or is broken: the go command says which
		return fmt.Errorf("%w: %s", ErrOldGo, strings.TrimSpace(said.String()))
	case version.IsValid(have) && version.Compare(have, "go"+scaffold.GoVersion) < 0:
		return fmt.Errorf("%w: it is %s", ErrOldGo, have)
	}
	return nil
}

// refreshSDK brings the SDK's copy up to date in a plugin that has one, and reports whether it has.
func refreshSDK(ctx context.Context, dir string) (own bool, err error) {
	gomod, err := command(ctx, dir, "env", "GOMOD").Output()
	path := strings.TrimSpace(string(gomod))
	if err != nil || filepath.Base(path) != "go.mod" {
		return false, fmt.Errorf("%s %w: it is in no Go module", dir, ErrNoPlugin)
	}
	described, err := command(ctx, dir, "mod", "edit", "-json", path).Output()
	if err != nil {
		return false, fmt.Errorf("compile: %s cannot be read: %w", path, err)
	}
	var mod struct {
		Replace []struct{ Old, New struct{ Path string } }
	}
	if err := json.Unmarshal(described, &mod); err != nil {
		return false, fmt.Errorf("compile: %s cannot be read: %w", path, err)
	}
	for _, r := range mod.Replace {
		if r.Old.Path == wfrt.Module && r.New.Path == "./"+scaffold.SDKDir {
			return true, wfrt.WriteSDK(filepath.Join(filepath.Dir(path), scaffold.SDKDir))
		}
	}
	return false, nil
}

// command is the go command, run in dir.
func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the arguments are ours
	cmd.Dir = dir
	cmd.Env = os.Environ()
	return cmd
}
