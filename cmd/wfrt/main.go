// Command wfrt serves workflows whose steps are WebAssembly plugins, builds the plugins, and talks to a server.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func main() {
	// The first signal ends the work under way in good order; a second one ends the process, as stop gives it its default back.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// streams are where a command reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer // what was asked for
	err io.Writer // progress, errors and hints

	disk vfs.FS // where a server's store lies; nil: on the machine's. Tests give one that fails
}

// run executes one command and returns the exit code of the process.
func run(ctx context.Context, args []string, std streams) int {
	root := newRoot(std) //nolint:contextcheck // commands take the context that ExecuteContextC gives them
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	return report(std.err, cmd, err)
}
