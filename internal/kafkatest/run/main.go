// Command run starts and stops the Kafka of `make kafka-up` and `make kafka-down`, on 127.0.0.1:19092.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wfrt/wfrt/internal/kafkatest"
)

const (
	port     = 19092
	patience = 2 * time.Minute
)

func main() {
	dir := filepath.Join(".kafka", "broker")
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "up":
		err = up(dir)
	case len(os.Args) == 2 && os.Args[1] == "down":
		err = down(dir)
	default:
		err = errors.New("usage: run up|down")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func up(dir string) error {
	if pid := running(dir); pid != 0 {
		fmt.Printf("Kafka runs already, on 127.0.0.1:%d (process %d)\n", port, pid)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	b, err := kafkatest.New(ctx, kafkatest.Options{Dir: absolute, Port: port, Detached: true})
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	if err := os.WriteFile(pidFile(dir), []byte(strconv.Itoa(b.Pid())), 0o600); err != nil {
		return err
	}
	fmt.Printf("Kafka runs on %s (process %d)\n", b.Addr, b.Pid())
	return nil
}

func down(dir string) error {
	pid := running(dir)
	if pid == 0 {
		fmt.Println("Kafka does not run")
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for end := time.Now().Add(patience); running(dir) != 0; <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("process %d does not end", pid)
		}
	}
	return os.Remove(pidFile(dir))
}

func pidFile(dir string) string { return filepath.Join(dir, "pid") }

// running returns the process that up has begun and that still is a Kafka, else 0.
func running(dir string) int {
	text, err := os.ReadFile(pidFile(dir))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return 0
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(command), "kafka.Kafka") {
		return 0
	}
	return pid
}
