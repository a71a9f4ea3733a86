package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/httpapi"
)

// order is who asks for a change of a plugin, and how firmly.
type order struct {
	by    string
	force bool
}

func (o *order) flags(cmd *cobra.Command, force bool) {
	cmd.Flags().StringVar(&o.by, "by", "", "`who` asks, for the record; by default the user who runs this")
	if force {
		cmd.Flags().BoolVar(&o.force, "force", false, "although runs are left behind: they go on with the version before")
	}
}

// who returns who asks: as the flag says, else as the operating system does.
func (o *order) who() string {
	if o.by != "" {
		return o.by
	}
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

func (a *app) newPluginsDeploy() *cobra.Command {
	var o order
	var name string
	var canary float64
	cmd := &cobra.Command{
		Use:   "deploy FILE",
		Short: "Have the server serve a module, at once or for a share of the new runs",
		Long: `Send a module to the server, which checks, compiles and tests it, keeps it, and has it serve. A module that cannot serve is
refused, and what served before goes on. FILE.minisig, if it is there, is sent along.`,
		Example: `  wfrt plugins deploy orders.wasm
  wfrt plugins deploy orders.wasm --canary 10`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			module, err := os.ReadFile(args[0])
			if err != nil {
				return &failure{exitNotFound, err, "name the module that was built, as in orders.wasm"}
			}
			if len(module) == 0 {
				return usage("`wfrt build` makes modules that serve", "%s is empty", args[0])
			}
			signature, err := os.ReadFile(args[0] + ".minisig")
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if name == "" {
				name = pluginName(args[0])
			}
			if cmd.Flags().Changed("canary") && !(canary > 0 && canary < 100) {
				return usage("give the percentage of the new runs that begin on it, as in --canary 10", "--canary is %g", canary)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.Deploy(cmd.Context(), &client.Deployment{
				Name: name, Module: module, Signature: signature, Canary: canary, By: o.who(), Force: o.force,
			})
			return a.changed(&p, err)
		},
	}
	o.flags(cmd, true)
	cmd.Flags().StringVar(&name, "name", "", "the plugin's `name`; by default the file's without .wasm")
	cmd.Flags().Float64Var(&canary, "canary", 0, "only this `percentage` of the new runs begins on it, until it is promoted")
	return cmd
}

func (a *app) newPluginsRollback() *cobra.Command {
	var o order
	var to string
	cmd := &cobra.Command{
		Use:   "rollback NAME",
		Short: "Take back a canary, or have an earlier version serve again",
		Long: `End the trial of the plugin's canary, if it has one; else have the version before serve again, or with --to any that the
server keeps. The module need not lie anywhere: the server has it. The file in the plugins directory is loaded again when it
changes.`,
		Example: `  wfrt plugins rollback orders
  wfrt plugins rollback orders --to 3f9a0c21`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" && cmd.Flags().Changed("to") { // as a variable that holds nothing
				return usage("give the beginning of a digest, which `wfrt plugins inspect` lists; or leave it out for the version before", "--to is empty")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.Rollback(cmd.Context(), pluginName(args[0]), httpapi.RollbackRequest{To: to, By: o.who(), Force: o.force})
			return a.changed(&p, err)
		},
	}
	o.flags(cmd, true)
	cmd.Flags().StringVar(&to, "to", "", "the beginning of the `digest` of the version")
	return cmd
}

func (a *app) newPluginsPromote() *cobra.Command {
	var o order
	cmd := &cobra.Command{
		Use:   "promote NAME",
		Short: "Have the canary of a plugin serve every run",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.Promote(cmd.Context(), pluginName(args[0]), httpapi.OrderRequest{By: o.who(), Force: o.force})
			return a.changed(&p, err)
		},
	}
	o.flags(cmd, true)
	return cmd
}

func (a *app) newPluginsRemove() *cobra.Command {
	var o order
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Have a plugin serve no longer; refused while runs need it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.RemovePlugin(cmd.Context(), pluginName(args[0]), o.who()); err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]string{"removed": args[0]})
			}
			a.print("%s is removed\n", oneLine(args[0]))
			return nil
		},
	}
	o.flags(cmd, false)
	return cmd
}

// changed shows a plugin after a change.
func (a *app) changed(p *httpapi.PluginDetail, err error) error {
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(p)
	}
	version := shortDigest(p.Digest)
	if p.Version != "" {
		version += " (" + oneLine(p.Version) + ")"
	}
	a.print("%s serves %s: %s\n", oneLine(p.Name), oneLine(strings.Join(p.Workflows, ", ")), version)
	if p.Canary != nil {
		a.print("%s of the new runs begin on the canary %s\n", percent(p.Canary.Percent), shortDigest(p.Canary.Digest))
	}
	if p.Error != "" {
		a.print("%s\n", oneLine(p.Error))
	}
	return nil
}

func (a *app) newPluginsInspect() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect NAME",
		Short: "Show a plugin: its versions, its canary, what it asks for and what is granted",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := c.Plugin(cmd.Context(), pluginName(args[0]))
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(p)
			}
			return a.printPlugin(&p)
		},
	}
}

func (a *app) printPlugin(p *httpapi.PluginDetail) error {
	t := newTable(a.out, "plugin", p.Name)
	t.row("state", p.State)
	t.row("workflows", strings.Join(p.Workflows, ", "))
	t.row("module", shortDigest(p.Digest))
	t.row("version", p.Version)
	since := clock(p.LoadedAt)
	if p.How != "" {
		since += " (" + p.How + by(p.By) + ")"
	}
	t.row("serves since", since)
	isolation := p.Isolation
	if p.Unrestorable != "" {
		isolation += "; every invocation makes an instance, since its state cannot be restored: " + p.Unrestorable
	}
	t.row("isolation", isolation)
	t.row("instances", strconv.Itoa(p.Instances))
	t.row("invocations", thousands(p.Invocations))
	t.row("traps", thousands(p.Traps))
	if k := p.Canary; k != nil {
		t.row("canary", fmt.Sprintf("%s: %s of the new runs since %s; %d of its last %d invocations failed",
			shortDigest(k.Digest), percent(k.Percent), clock(k.Since), k.Errors, k.Invocations))
	}
	if p.Ended != nil {
		t.row("last canary", fmt.Sprintf("%s, rolled back %s: %s", shortDigest(p.Ended.Digest), clock(p.Ended.At), p.Ended.Cause))
	}
	for i, k := range p.Capabilities {
		heading, granted := "", "granted"
		if i == 0 {
			heading = "asks for"
		}
		if !k.Granted {
			granted = "not granted: " + k.Key
		}
		t.row(heading, k.What+" ("+granted+")")
	}
	if p.Error != "" {
		t.row("error", p.Error)
	}
	if p.Note != "" {
		t.row("note", p.Note)
	}
	if err := t.flush(); err != nil || len(p.Versions) == 0 {
		return err
	}
	a.print("\n")
	t = newTable(a.out, "MODULE", "STATE", "VERSION", "SIZE", "CAME", "HOW")
	for i := range p.Versions {
		v := &p.Versions[i]
		t.row(shortDigest(v.Digest), v.State, v.Version, mebibytes(v.Size), clock(v.DeployedAt), v.How+by(v.By))
	}
	return t.flush()
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

// canaryOf shows what of a plugin is on trial.
func canaryOf(p *httpapi.Plugin) string {
	if p.Canary == nil {
		return ""
	}
	return shortDigest(p.Canary.Digest) + " " + percent(p.Canary.Percent)
}

func percent(p float64) string { return strconv.FormatFloat(p, 'g', 4, 64) + " %" }
