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
	"strings"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/serve"
	"github.com/wfrt/wfrt/host/signature"
)

func (a *app) newCheck() *cobra.Command {
	var trusted []string
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a module or a configuration file as a server would",
		Long: `Check a module or a configuration file as a server would. With --key a module must also have a signature of one of the
keys beside it, FILE.minisig, as a server with plugins.trusted_keys wants it (docs/signatures.md).`,
		Example: `  wfrt check plugins/orders.wasm
  wfrt check plugins/orders.wasm --key release.pub
  wfrt check config.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.check(cmd.Context(), args[0], trusted)
		},
	}
	cmd.Flags().StringSliceVar(&trusted, "key", nil, "a trusted `key` of minisign, or the path of its .pub file; may be repeated")
	return cmd
}

// check tells a module from a configuration by its name or its first bytes.
func (a *app) check(ctx context.Context, path string, trusted []string) error {
	keys, err := config.ParseTrustedKeys(strings.Join(trusted, ","))
	if err != nil {
		what, hint, _ := strings.Cut(err.Error(), "; ")
		return usage(hint, "--key %s", what)
	}
	module, err := looksLikeModule(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &failure{exitNotFound, fmt.Errorf("there is no file %s", path), "name a module (*.wasm) or a configuration file (*.yaml)"}
	case err != nil:
		return &failure{exitNotFound, err, "name a module (*.wasm) or a configuration file (*.yaml)"}
	case !module && len(trusted) > 0:
		return usage("leave --key out", "%s is a configuration file, which has no signature", path)
	case !module:
		return a.checkConfig(path)
	}
	report, err := a.checkModule(ctx, path, keys)
	switch {
	case untrusted(err):
		return &failure{exitFailure, err, "a server that trusts these keys would refuse it; docs/signatures.md has the steps"}
	case err != nil:
		return &failure{exitFailure, err, "a server would refuse it; `wfrt build` makes modules that serve"}
	}
	if err := a.printReport(path, report); err != nil || len(keys) == 0 || a.json() {
		return err
	}
	a.note("signed with a trusted key (%s)", signature.IDs(keys))
	return nil
}

// untrusted reports whether a module was refused for its signature.
func untrusted(err error) bool {
	return errors.Is(err, signature.ErrUnsigned) || errors.Is(err, signature.ErrMalformed) ||
		errors.Is(err, signature.ErrUntrusted) || errors.Is(err, signature.ErrMismatch)
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
	cfg, err := config.Load(config.Sources{File: path})
	if err != nil {
		return err
	}
	if err := serve.CheckKafka(&cfg); err != nil {
		return usage("a server needs the file when it starts", "%s: %s", path, plain(err.Error()))
	}
	if a.json() {
		return a.printJSON(map[string]any{"file": path, "ok": true})
	}
	a.print("%s is right\n", path)
	return nil
}
