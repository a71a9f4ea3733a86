package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
)

func (a *app) newCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a module or a configuration file as a server would",
		Example: `  wfrt check plugins/orders.wasm
  wfrt check config.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.check(cmd.Context(), args[0])
		},
	}
}

// check tells a module from a configuration by its name or its first bytes.
func (a *app) check(ctx context.Context, path string) error {
	module, err := looksLikeModule(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &failure{exitNotFound, fmt.Errorf("there is no file %s", path), "name a module (*.wasm) or a configuration file (*.yaml)"}
	case err != nil:
		return err
	case !module:
		return a.checkConfig(path)
	}
	report, err := a.checkModule(ctx, path)
	if err != nil {
		return &failure{exitFailure, err, "a server would refuse it; `wfrt build` makes modules that serve"}
	}
	return a.printReport(path, report)
}

// looksLikeModule reports whether a file is meant to be a WebAssembly module.
func looksLikeModule(path string) (bool, error) {
	file, err := os.Open(path) //nolint:gosec // the person names the file
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	magic := make([]byte, 4)
	if _, err := io.ReadFull(file, magic); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return bytes.Equal(magic, []byte("\x00asm")) || filepath.Ext(path) == ".wasm", nil
}

// checkConfig reports the faults of a configuration file together with the environment.
func (a *app) checkConfig(path string) error {
	if _, err := config.Load(config.Sources{File: path}); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(map[string]any{"file": path, "ok": true})
	}
	a.print("%s is right\n", path)
	return nil
}
