package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/compile"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/dev"
	"github.com/wfrt/wfrt/host"
)

func (a *app) newDev() *cobra.Command {
	var plugins string
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Build a plugin at every change, and see the server take it",
		Long: `Build the plugin in the folder DIR (default: this one) into the server's plugins folder, now and at every change of its
sources, until it is interrupted. After each build it shows the module, what has changed in its statuses, and whether the server
serves it. A source that does not compile, and a module that would be refused, never reach the folder: the old one serves on.`,
		Example: `  wfrt dev greet
  wfrt dev ./plugins/orders --plugins /srv/wfrt/plugins`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return a.dev(cmd.Context(), dir, plugins)
		},
	}
	folder := os.Getenv(config.EnvName("plugins.dir"))
	if folder == "" {
		folder = config.Default().Plugins.Dir
	}
	cmd.Flags().StringVar(&plugins, "plugins", folder, "the `folder` from which the server takes its plugins ("+config.EnvName("plugins.dir")+")")
	a.serverFlag(cmd)
	return cmd
}

// dev builds the plugin in dir into the folder of plugins until ctx ends.
func (a *app) dev(ctx context.Context, dir, plugins string) error {
	for path, hint := range map[string]string{
		dir:     "name the folder with the plugin's main.go, or make one with `wfrt new NAME`",
		plugins: "run it where `wfrt serve` runs, or name the server's plugins folder with --plugins",
	} {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			return &failure{exitNotFound, fmt.Errorf("there is no folder %s", path), hint}
		}
	}
	whole, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	watcher, err := dev.Watch(whole)
	if err != nil {
		return err
	}
	defer watcher.Close() //nolint:errcheck // nothing was written
	out := filepath.Join(plugins, filepath.Base(whole)+".wasm")
	var before *host.Report
	dev.Loop(ctx, watcher.Changes(), func(ctx context.Context) {
		a.note("building %s", dir)
		report, err := a.devBuild(ctx, dir, out)
		if ctx.Err() != nil {
			return // another build follows, or none is wanted any more
		}
		watcher.Widen(ctx)
		if err == nil {
			err = a.devShow(ctx, server, out, before, report)
			before = report
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f := explain(err)
			say(a.err, f.Error(), f.hint)
		}
		a.note("waiting for changes of %s (Ctrl-C ends it)\n", dir)
	})
	return nil
}

// devBuild compiles the plugin to out.
func (a *app) devBuild(ctx context.Context, dir, out string) (report *host.Report, err error) {
	err = compile.Module(ctx, compile.Options{
		Dir: dir, Out: out, Messages: a.err,
		Check: func(path string) (err error) {
			report, err = a.checkModule(ctx, path, nil)
			return err
		},
	})
	return report, err
}

// devShow prints a module that was built, how it differs from the one before, and whether the server serves it.
func (a *app) devShow(ctx context.Context, server *client.Client, out string, before, now *host.Report) error {
	if before != nil && before.Digest == now.Digest {
		a.note("the module is as before (digest %s)", shortDigest(now.Digest))
	} else if err := a.printReport(out, now); err != nil {
		return err
	}
	if before != nil {
		for _, line := range dev.Changes(before.Manifest, now.Manifest) {
			a.note("%s", line)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := a.awaitPlugin(ctx, server, filepath.Base(out), now.Digest)
	var unreachable *client.UnreachableError
	if errors.As(err, &unreachable) {
		a.note("no server answers; %s lies ready. Start one with `wfrt serve`, or name another with --server or WFRT_SERVER", out)
		return nil
	}
	return err
}
