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
	"github.com/wfrt/wfrt/internal/httpapi"
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

// awaitPlugin asks, a few times a second, until the server serves the module with the digest, or says why not.
func (a *app) awaitPlugin(ctx context.Context, c *client.Client, file, digest string) error {
	wait := pluginWait{file: file, digest: digest}
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		list, err := c.Plugins(ctx)
		if err != nil {
			return err
		}
		for i := range list.Plugins {
			p := &list.Plugins[i]
			switch served, err := wait.look(p, time.Now()); {
			case err != nil:
				return err
			case served:
				a.print("%s serves %s\n", p.File, strings.Join(p.Workflows, ", "))
				return nil
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return &failure{
				exitTimeout, fmt.Errorf("the server does not serve %s (digest %s) yet", file, shortDigest(digest)),
				"is it in the server's plugins directory? `wfrt plugins list` shows what serves; a file that was removed counts again " +
					"when its content changes, or `wfrt plugins deploy` has it serve at once",
			}
		}
	}
}

// pluginWait waits for the module with a digest to serve from a file.
type pluginWait struct {
	file, digest string
	fault        string // what is wrong with the file
	since        time.Time
}

// look takes one look at a plugin: whether it serves the module, or why it does not and will not.
func (w *pluginWait) look(p *httpapi.Plugin, now time.Time) (served bool, err error) {
	const settled = 5 * time.Second // an error that stands as long is not of a file that is half copied
	switch {
	case p.File != w.file:
		return false, nil
	case p.Digest == w.digest && p.State == "serving":
		return true, nil
	case p.Error == "" && p.Note != "" && p.FileDigest == w.digest: // an operator had another serve since
		return false, &failure{exitFailure, errors.New(p.Note), "`wfrt plugins rollback " + p.Name + " --to " + shortDigest(w.digest) + "` has it serve again"}
	case p.Error == "", p.Loading, p.FileDigest != "" && p.FileDigest != w.digest && p.Digest != w.digest:
		w.fault = "" // nothing is wrong with it, as far as the server has looked at it
	case p.Error != w.fault:
		w.fault, w.since = p.Error, now
	case now.Sub(w.since) > settled:
		return false, &failure{exitFailure, errors.New(p.Error), p.Hint}
	}
	return false, nil
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
