package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/serve"
	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/internal/telemetry"
	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
)

const defaultConfig = "config.yaml"

func (a *app) newServe() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the plugins of a folder",
		Long: `Serve every plugin of the plugins directory, and take new and replaced ones while serving. A flag wins over its WFRT_*
environment variable, that over the configuration file, that over the default. SIGTERM and SIGINT end it in good order:
what is under way ends first. A second signal ends it at once, and loses nothing that was acknowledged. SIGHUP reloads the
configuration, file and environment alike, and looks for new plugins; docs/configuration.md says which keys take effect at once.`,
		Example: `  wfrt serve
  wfrt serve --config /etc/wfrt.yaml --listen 127.0.0.1:9090`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "config", defaultConfig, "the configuration `file`; the default one need not exist")
	bound := map[string]*pflag.Flag{}
	for _, f := range []struct{ key, name, help string }{
		{"data_dir", "data-dir", "`folder` of the store"},
		{"log.format", "log-format", "text or json"},
		{"log.level", "log-level", "debug, info, warn or error"},
		{"plugins.dir", "plugins", "`folder` with the *.wasm files"},
		{"server.listen", "listen", "`address` to listen on; port 0 takes a free one"},
	} {
		flags.String(f.name, "", f.help+" ("+config.EnvName(f.key)+")")
		bound[f.key] = flags.Lookup(f.name)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.serve(cmd.Context(), func() (config.Config, error) {
			return config.Load(config.Sources{File: file, FileOptional: !flags.Changed("config"), Flags: bound})
		})
	}
	return cmd
}

// serve runs a server until ctx ends. load loads its configuration, now and at each SIGHUP.
func (a *app) serve(ctx context.Context, load func() (config.Config, error)) error {
	reload := make(chan os.Signal, 1) // before anything else: a SIGHUP that nobody awaits ends the process
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	cfg, err := load()
	if err != nil {
		return err
	}
	atFirst, err := telemetry.ParseLevel(cfg.Log.Level)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(atFirst)
	logger, err := telemetry.NewLogger(a.err, level, cfg.Log.Format)
	if err != nil {
		return err
	}
	v := buildVersions()
	began := false
	err = serve.Run(ctx, serve.Options{
		Config: cfg, FS: a.disk, Level: level, Load: load, Logger: logger, Reload: reload,
		Version: httpapi.Version{Version: v.Version, Commit: v.Revision, Go: v.Go},
		Ready: func(ready serve.Ready) {
			began = true
			if err := a.banner(&cfg, &ready); err != nil {
				logger.Warn("the banner could not be printed", "error", err)
			}
			logger.LogAttrs(ctx, slog.LevelDebug, "ready", slog.String("address", ready.Address))
		},
	})
	var folder *serve.FolderError
	if errors.As(err, &folder) {
		flag := map[string]string{"data": "--data-dir", "plugins": "--plugins"}[folder.What]
		return &failure{exitFailure, err, "name a folder that is there or can be made, with " + flag}
	}
	if errors.Is(err, pebblestore.ErrInUse) {
		return &failure{
			exitFailure, fmt.Errorf("the data directory %s is in use", cfg.DataDir),
			"stop what uses it (is another wfrt serving?), or take another with --data-dir",
		}
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return &failure{
			exitFailure, fmt.Errorf("the address %s is in use", cfg.Server.Listen),
			"stop what uses it (is another wfrt serving?), or take another with --listen; port 0 takes a free one",
		}
	}
	if errors.Is(err, runtime.ErrStoreFailed) {
		return &failure{
			exitFailure, err, "see whether the disk of " + cfg.DataDir + " is full or failing, and start again: " +
				"what was acknowledged is there, and what was not may be repeated under its idempotency key",
		}
	}
	if err != nil && began { // it may wrap the end of a context, which means nothing to who started the server
		return &failure{exitFailure, err, ""}
	}
	return err
}

// banner says where the server is and what it serves.
func (a *app) banner(cfg *config.Config, ready *serve.Ready) error {
	if a.json() {
		return a.printJSONLine(map[string]any{"address": ready.Address, "data_dir": cfg.DataDir, "plugins_dir": cfg.Plugins.Dir})
	}
	watched := "watched"
	if !cfg.Plugins.Watch {
		watched = "not watched"
	}
	a.print("wfrt serves %s\n", ready.Address)
	t := newTable(a.out, "  data", fmt.Sprintf("%s (%d shards)", cfg.DataDir, ready.Shards))
	t.row("  plugins", fmt.Sprintf("%s (%s)", cfg.Plugins.Dir, watched))
	if err := t.flush(); err != nil {
		return err
	}
	a.print("\n")
	if len(ready.Plugins) == 0 {
		a.print("There are no plugins yet. Make one:\n  wfrt new greet && wfrt build greet -o %s/greet.wasm\n", strings.TrimSuffix(cfg.Plugins.Dir, "/"))
		return nil
	}
	t = newTable(a.out, "  PLUGIN", "STATE", "WORKFLOWS")
	var workflows, troubles []string
	for _, p := range ready.Plugins {
		t.row("  "+p.File, string(p.State), strings.Join(p.Workflows, ", "))
		if p.Error != "" {
			troubles = append(troubles, p.File+": "+oneLine(p.Error))
		}
		if p.State == host.StateServing {
			workflows = append(workflows, p.Workflows...)
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, trouble := range troubles {
		a.print("\n  %s\n", trouble)
	}
	if len(workflows) == 0 {
		return nil
	}
	where := ""
	if ready.Address != defaultServer {
		where = " --server " + ready.Address
	}
	a.print("\nBegin a run:\n  wfrt trigger %s my-id --object '{\"name\":\"Ada\"}' --await%s\n", workflows[0], where)
	return nil
}
