package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
)

func (a *app) newPlugins() *cobra.Command {
	cmd := &cobra.Command{Use: "plugins", Short: "Deploy, roll back and look at the plugins of a server"}
	cmd.AddCommand(a.newPluginsAwait(), a.newPluginsDeploy(), a.newPluginsInspect(), a.newPluginsPromote(), a.newPluginsRemove(),
		a.newPluginsRollback(), &cobra.Command{
			Use:   "list",
			Short: "List the plugins, and why one does not serve",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := a.client()
				if err != nil {
					return err
				}
				list, err := c.Plugins(cmd.Context())
				if err != nil {
					return err
				}
				if a.json() {
					return a.printJSON(list)
				}
				t := newTable(a.out, "PLUGIN", "STATE", "WORKFLOWS", "MODULE", "CANARY", "SIZE", "INSTANCES", "INVOCATIONS", "ERROR")
				for i := range list.Plugins {
					p := &list.Plugins[i]
					t.row(p.File, p.State, strings.Join(p.Workflows, ", "), shortDigest(p.Digest), canaryOf(p), mebibytes(p.Size),
						strconv.Itoa(p.Instances), strconv.FormatUint(p.Invocations, 10), p.Error)
				}
				return t.flush()
			},
		})
	return cmd
}

// pluginName returns the name of a plugin that was given as its name or as its file's.
func pluginName(arg string) string { return strings.TrimSuffix(filepath.Base(arg), ".wasm") }

// newPluginsAwait returns the command that waits until a copied module serves.
func (a *app) newPluginsAwait() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     "await FILE",
		Short:   "Wait until the server serves a module, or says why it does not",
		Example: "  cp greet.wasm plugins/ && wfrt plugins await greet.wasm",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			module, err := os.ReadFile(args[0])
			if err != nil {
				return &failure{exitNotFound, err, "name the module that was built, as in greet.wasm"}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return a.awaitPlugin(ctx, c, filepath.Base(args[0]), fmt.Sprintf("%x", sha256.Sum256(module)))
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "give up after this `time`")
	return cmd
}

// awaitPlugin asks, a few times a second, until the server serves the module with the digest, or refuses the file.
func (a *app) awaitPlugin(ctx context.Context, c *client.Client, file, digest string) error {
	const settled = 5 * time.Second // an error that stands as long is not of the file before, nor of one half copied
	var fault string
	var since time.Time
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		list, err := c.Plugins(ctx)
		if err != nil {
			return err
		}
		for i := range list.Plugins {
			p := &list.Plugins[i]
			switch {
			case p.File != file:
			case p.Digest == digest && p.State == "serving":
				a.print("%s serves %s\n", p.File, strings.Join(p.Workflows, ", "))
				return nil
			case p.Error == "":
			case p.Error != fault:
				fault, since = p.Error, time.Now()
			case time.Since(since) > settled:
				return &failure{exitFailure, errors.New(p.Error), p.Hint}
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return &failure{
				exitTimeout, fmt.Errorf("the server does not serve %s (digest %s) yet", file, shortDigest(digest)),
				"is it in the server's plugins directory? `wfrt plugins list` shows what serves; a file that was removed or rolled back " +
					"counts again when its content changes, or `wfrt plugins deploy` has it serve at once",
			}
		}
	}
}

// mebibytes shows the size of a file.
func mebibytes(size int64) string {
	const kib, mib = 1 << 10, 1 << 20
	if size == 0 { // of a module that was not taken
		return "-"
	}
	if size < mib {
		return fmt.Sprintf("%.1f KiB", float64(size)/kib)
	}
	return fmt.Sprintf("%.1f MiB", float64(size)/mib)
}
