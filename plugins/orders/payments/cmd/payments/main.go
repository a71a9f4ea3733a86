//go:build !wasip1

// Command payments serves the payment service of the example while a command runs, and ends with it:
//
//	payments 127.0.0.1:8081 wfrt serve --config config.yaml
//
// Signals go on to the command, and its exit code comes back.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/wfrt/wfrt/plugins/orders/payments"
)

func main() {
	if len(os.Args) < 3 {
		_, _ = fmt.Fprintln(os.Stderr, "usage: payments ADDRESS COMMAND [ARG]...")
		os.Exit(2)
	}
	code, err := run(os.Args[1], os.Args[2:])
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "error: payments:", err)
	}
	os.Exit(code)
}

// run serves until the command has ended, and returns its exit code.
func run(address string, command []string) (int, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return 1, fmt.Errorf("%w: something else uses the address of the example's payment service; end it", err)
	}
	server := &http.Server{Handler: payments.New(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	child := exec.Command(command[0], command[1:]...) //nolint:gosec,noctx // the person names the command, and it ends by itself
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		return 1, err
	}
	go func() {
		for s := range signals {
			_ = child.Process.Signal(s) // it may have had it from the terminal, or have ended
		}
	}()
	err = child.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}
