package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/asm"
)

// compilesForLong is a module of many functions, which take one processor some ten seconds to compile.
func compilesForLong() []byte {
	const functions = 8_000
	code := bytes.Repeat(asm.Code(asm.I32(8), asm.I32(8), asm.I32Load, asm.I32Store), 200)
	body := slices.Concat([]byte{0}, code, asm.End)
	return slices.Concat([]byte(asm.Header), asm.Section(1, []byte{1, 0x60, 0, 0}),
		asm.Section(3, slices.Concat(asm.Uleb(functions), make([]byte, functions))), asm.Section(5, []byte{1, 0, 1}),
		asm.Section(10, slices.Concat(asm.Uleb(functions), bytes.Repeat(asm.Text(string(body)), functions))))
}

// TestAServerThatCompilesEndsInTime sends SIGTERM to a server that compiles a module for longer than server.shutdown_timeout. The
// process ends with the code 1, and says what was left.
func TestAServerThatCompilesEndsInTime(t *testing.T) {
	dir := t.TempDir()
	plugins := filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o750); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "GOMAXPROCS=1", "WFRT_LOG_LEVEL=debug", "WFRT_SERVER_SHUTDOWN_TIMEOUT=1s")
	s := &server{}
	if err := s.start(dir, env); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "slow"), compilesForLong(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "slow"), filepath.Join(plugins, "slow.wasm")); err != nil {
		t.Fatal(err)
	}
	if err := s.waitFor("a plugin is compiled", "slow.wasm"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err := s.end(syscall.SIGTERM)
	t.Logf("it ended after %v", time.Since(began))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailure {
		t.Errorf("%v; want the exit code %d", err, exitFailure)
	}
	said := strings.Join(s.log, "\n")
	for _, want := range []string{
		"error: server.shutdown_timeout is over, and this has not ended: a look at the plugins",
		"\nclose: the server still compiles slow.wasm",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it said\n%s\nwant %q", said, want)
		}
	}
}
