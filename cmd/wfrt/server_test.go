package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is a `wfrt serve` of its own process. The zero server is not running.
type server struct {
	command string // that serves; "": wfrt
	address string // http://127.0.0.1:12345
	process *exec.Cmd
	ended   chan struct{} // closed when the log has ended

	mu    sync.Mutex // guards log
	added *sync.Cond // a line came, or the log has ended
	log   []string
	over  bool
}

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// start begins to serve in a folder, on a free port unless args say otherwise, and returns once requests are answered.
func (s *server) start(dir string, env []string, args ...string) error {
	s.added = sync.NewCond(&s.mu)
	s.ended, s.over, s.log = make(chan struct{}), false, nil
	args = append([]string{"serve", "--output", "json", "--listen", "127.0.0.1:0"}, args...)
	s.process = exec.Command(cmp.Or(s.command, "wfrt"), args...)
	s.process.Dir, s.process.Env = dir, env
	out, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	log, err := s.process.StderrPipe()
	if err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	go s.readLog(log)
	var banner struct{ Address string }
	if err := json.NewDecoder(out).Decode(&banner); err != nil {
		<-s.ended
		return fmt.Errorf("the server did not start: %w: %s", s.process.Wait(), strings.Join(s.log, "\n"))
	}
	s.address = banner.Address
	return nil
}

// readLog keeps what the server logs.
func (s *server) readLog(from io.Reader) {
	defer close(s.ended)
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		s.mu.Lock()
		s.log = append(s.log, lines.Text())
		s.mu.Unlock()
		s.added.Broadcast()
	}
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.added.Broadcast()
}

// waitFor returns once a line with all of the words was logged.
func (s *server) waitFor(words ...string) error {
	late := false
	alarm := time.AfterFunc(patience, func() {
		s.mu.Lock()
		late = true
		s.mu.Unlock()
		s.added.Broadcast()
	})
	defer alarm.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for seen := 0; ; s.added.Wait() {
		for ; seen < len(s.log); seen++ {
			if holdsAll(s.log[seen], words) {
				return nil
			}
		}
		if late || s.over {
			return fmt.Errorf("the server never logged %q, but\n%s", words, strings.Join(s.log, "\n"))
		}
	}
}

func holdsAll(line string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(line, word) {
			return false
		}
	}
	return true
}

// stop ends the server in good order. A server that is not running is stopped already.
func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	if err := s.end(syscall.SIGTERM); err != nil {
		return fmt.Errorf("the server did not stop in good order: %w\n%s", err, strings.Join(s.log, "\n"))
	}
	return nil
}

// kill ends the server at once.
func (s *server) kill() error {
	if err := s.end(syscall.SIGKILL); err == nil {
		return errors.New("the server had ended before it was killed")
	}
	return nil
}

// end signals the process and waits until it is gone.
func (s *server) end(signal os.Signal) error {
	process := s.process
	s.process = nil
	if err := process.Process.Signal(signal); err != nil {
		return err
	}
	<-s.ended
	return process.Wait()
}
