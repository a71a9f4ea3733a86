package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/compile"
	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/sdk/abi"
)

func (a *app) newBuild() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "build [DIR]",
		Short: "Compile a plugin to WebAssembly and check it",
		Long: `Compile the plugin in the folder DIR (default: this one) to DIR.wasm beside it, check it as a server would, and print
its workflows. The module takes the place of an old one in one step, so a server that watches it never sees half of one.`,
		Example: `  wfrt build ./plugins/orders          writes plugins/orders.wasm
  wfrt build greet -o plugins/greet.wasm`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return a.build(cmd.Context(), dir, out)
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "the `file` to write (default: DIR.wasm, beside DIR)")
	return cmd
}

// build compiles the plugin in dir to out; "" is beside dir.
func (a *app) build(ctx context.Context, dir, out string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("%s %w: it is no folder", dir, compile.ErrNoPlugin)
	}
	if out == "" {
		whole, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		out = filepath.Join(dir, "..", filepath.Base(whole)+".wasm")
		if filepath.Base(dir) == filepath.Base(whole) {
			out = filepath.Clean(dir) + ".wasm" // as the person wrote it
		}
	}
	var report *host.Report
	err := compile.Module(ctx, compile.Options{
		Dir: dir, Out: out, Messages: a.err,
		Check: func(path string) (err error) {
			report, err = a.checkModule(ctx, path, nil)
			return err
		},
	})
	if err != nil {
		return err
	}
	return a.printReport(out, report)
}

// checkModule examines a module as a server would, without its configuration besides the keys that it trusts.
func (a *app) checkModule(ctx context.Context, path string, trusted []signature.Key) (*host.Report, error) {
	h, err := host.New(host.Options{Dir: filepath.Dir(path), TrustedKeys: trusted})
	if err != nil {
		return nil, err
	}
	report, err := h.Check(ctx, path)
	if cerr := h.Close(ctx); err == nil {
		err = cerr
	}
	return report, err
}

// moduleView is a report in JSON.
type moduleView struct {
	File        string        `json:"file"`
	Digest      string        `json:"digest"`
	Size        int64         `json:"size"`         // bytes
	MemoryBytes int64         `json:"memory_bytes"` // of a fresh instance
	Manifest    *abi.Manifest `json:"manifest"`
	Warnings    []string      `json:"warnings"`
}

// printReport prints what a module is: its size, each status with what leads out of it and where, and what else it carries.
func (a *app) printReport(path string, r *host.Report) error {
	if a.json() {
		view := moduleView{File: path, Digest: r.Digest, Size: r.Size, MemoryBytes: r.MemoryBytes, Manifest: r.Manifest, Warnings: r.Warnings}
		if view.Warnings == nil {
			view.Warnings = []string{}
		}
		return a.printJSON(view)
	}
	a.print("%s  %s, %s of memory, digest %s\n\n", path, mebibytes(r.Size), mebibytes(r.MemoryBytes), shortDigest(r.Digest))
	t := newTable(a.out, "WORKFLOW", "STATUS", "LEADS TO", "BY")
	for i := range r.Manifest.Workflows {
		w := &r.Manifest.Workflows[i]
		for j := range w.Handlers {
			switch h := &w.Handlers[j]; h.Kind {
			case abi.KindStep:
				t.row(w.Name, h.Status, strings.Join(h.To, ", "), h.Kind)
			case abi.KindCallback, abi.KindTimeout:
				t.row(w.Name, h.Status, strings.Join(h.To, ", "), h.Kind+" "+h.Name)
			}
		}
		for _, status := range slices.Sorted(slices.Values(w.Terminal)) {
			t.row(w.Name, status, "(end)", "")
		}
		for _, status := range slices.Sorted(slices.Values(w.External)) {
			t.row(w.Name, status, "(another plugin)", "")
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := a.printBeside(r.Manifest); err != nil {
		return err
	}
	if len(r.Capabilities) > 0 {
		t := newTable(a.out, "ASKS FOR", "GRANTED WITH")
		a.print("\n")
		for _, c := range r.Capabilities {
			t.row(c.What, c.Key)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	for _, warning := range r.Warnings {
		a.note("warning: %s", warning)
	}
	return nil
}

// printBeside prints what of a module belongs to no status, if there is anything.
func (a *app) printBeside(m *abi.Manifest) error {
	t := newTable(a.out, "WORKFLOW", "BESIDE", "NAME", "WHEN")
	found := false
	for i := range m.Workflows {
		w := &m.Workflows[i]
		for j := range w.Handlers {
			if h := &w.Handlers[j]; h.Kind == abi.KindHook || h.Kind == abi.KindErase {
				found = true
				t.row(w.Name, h.Kind, h.Name, h.On)
			}
		}
		for j := range w.Schedules {
			s := &w.Schedules[j]
			found = true
			t.row(w.Name, "schedule", s.Name, strings.TrimSpace(s.Cron+" "+s.Zone))
		}
	}
	if !found {
		return nil
	}
	a.print("\n")
	return t.flush()
}
