package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/compile"
	"github.com/wfrt/wfrt/internal/httpapi"
)

const (
	failingDisk = "wfrt-on-a-failing-disk" // a command
	diskGone    = "disk-is-gone"           // the file in its folder from which on no sync of its log succeeds
)

// onFailingDisk is the command wfrt on such a disk.
func onFailingDisk() {
	disk := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			if _, err := os.Stat(diskGone); err == nil && strings.HasSuffix(op.Path, ".log") {
				return errors.New("input/output error")
			}
		default:
		}
		return nil
	}))
	os.Exit(run(context.Background(), os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, disk: disk}))
}

// TestAFailedDiskEndsTheServer has a sync fail: what was not made durable is not acknowledged, the process ends with an error and what
// to do, and what had been acknowledged is there after a restart.
func TestAFailedDiskEndsTheServer(t *testing.T) {
	dir := t.TempDir()
	err := compile.Module(t.Context(), compile.Options{
		Dir: "../../plugins/hello", Out: filepath.Join(dir, "plugins", "hello.wasm"), Messages: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{command: failingDisk}
	if err := s.start(dir, os.Environ()); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(s.address, "")
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.Workflows(t.Context())
	if err != nil || len(list.Workflows) != 1 {
		t.Fatal(list, err)
	}
	workflow := list.Workflows[0].Name
	begin := func(foreignID string) (client.Triggered, error) {
		return c.Trigger(t.Context(), workflow, httpapi.TriggerRequest{ForeignID: foreignID, Object: []byte(`{}`)}, "")
	}
	kept, err := begin("before")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, diskGone), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := begin("after"); err == nil {
		t.Errorf("acknowledged without being durable: %+v", got)
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatal("the server goes on: ", s.process.Process.Kill())
	}
	var exit *exec.ExitError
	if err := s.process.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailure {
		t.Errorf("the server ended with %v, want the exit code %d", err, exitFailure)
	}
	log := "\n" + strings.Join(s.log, "\n")
	for _, want := range []string{"\nerror: ", "the store failed", "input/output error", "\nhint:  see whether the disk of "} {
		if !strings.Contains(log, want) {
			t.Errorf("the server does not say %q:%s", want, log)
		}
	}

	s.command = ""
	if err := s.start(dir, os.Environ(), "--listen", strings.TrimPrefix(s.address, "http://")); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Run(t.Context(), kept.Run.RunID); err != nil || got.ForeignID != "before" {
		t.Errorf("what was acknowledged is %+v, %v", got, err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}
