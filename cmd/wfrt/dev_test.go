package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestDevBuildsAtEachChangeAndNeverLetsTheServerSeeAFault follows an author who begins, makes a mistake, mends it and stops.
func TestDevBuildsAtEachChangeAndNeverLetsTheServerSeeAFault(t *testing.T) {
	dir := t.TempDir()
	module, source := filepath.Join(dir, "plugins", "greet.wasm"), filepath.Join(dir, "greet", "main.go")
	if err := os.Mkdir(filepath.Dir(module), 0o700); err != nil {
		t.Fatal(err)
	}
	create := exec.Command("wfrt", "new", "greet")
	create.Dir = dir
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := &server{}
	if err := s.start(dir, os.Environ()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()

	author := &server{ended: make(chan struct{})} // for its transcript
	author.added = sync.NewCond(&author.mu)
	author.process = exec.Command("wfrt", "dev", "greet", "--server", s.address)
	author.process.Dir = dir
	said, err := author.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	author.process.Stdout = author.process.Stderr // both into the one pipe
	if err := author.process.Start(); err != nil {
		t.Fatal(err)
	}
	go author.readLog(said)
	saw := func(of *server, words ...string) {
		t.Helper()
		if err := of.waitFor(words...); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	save := func(from, to string) {
		t.Helper()
		changed := strings.ReplaceAll(string(content), from, to)
		if changed == string(content) {
			t.Fatalf("the plugin has no %q", from)
		}
		if err := os.WriteFile(source, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	saw(author, "greet", "asked", "answered", "step")
	saw(author, "greet.wasm serves greet")
	saw(author, "waiting for changes of greet")
	first, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}

	save("r.Object.Text = ", "r.Object.Txt = ")
	saw(author, "main.go:", "r.Object.Txt undefined")
	saw(author, "error: the plugin does not compile")
	if now, err := os.ReadFile(module); err != nil || !bytes.Equal(first, now) {
		t.Errorf("the module was touched by a build that failed: %v", err)
	}

	save("workflow.Step(Asked, answer, Answered)", "workflow.Step(Asked, answer, Answered, \"thanked\")")
	saw(author, "+ greet thanked  (end)")
	saw(author, "~ greet asked  step to answered | thanked, before step to answered")
	second, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	saw(s, "a plugin serves", fmt.Sprintf("digest=%.6x", sha256.Sum256(second)))

	if err := author.end(syscall.SIGINT); err != nil {
		t.Errorf("Ctrl-C ends it with %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "plugins", ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("it leaves %q behind, %v", left, err)
	}
}
