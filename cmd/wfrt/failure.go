package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/compile"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/scaffold"
	"github.com/wfrt/wfrt/internal/httpapi"
)

// Exit codes. They are part of the interface (docs/cli.md) and never change their meaning.
const (
	exitOK          = 0
	exitFailure     = 1 // anything that has no code of its own
	exitUsage       = 2 // the command line, the configuration or the request is wrong
	exitNotFound    = 3 // there is no such run, workflow or file
	exitConflict    = 4 // the foreign ID has an active run, or a run's state or status does not allow what was asked
	exitUnreachable = 5 // no server answered
	exitElsewhere   = 6 // the awaited run ended elsewhere
	exitTimeout     = 7 // --timeout passed
	exitForbidden   = 8 // the server wants a token, or another one
	exitRefused     = 9 // the workflow's own handler refused the callback
)

// failure is an error with its exit code and what to do about it.
type failure struct {
	code int
	err  error
	hint string // may be ""
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usage says that a command line is wrong.
func usage(hint, format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...), hint: hint}
}

// report writes `error:` and `hint:` lines and returns the exit code.
func report(w io.Writer, cmd *cobra.Command, err error) int {
	var faults config.Faults
	if errors.As(err, &faults) {
		for _, fault := range faults {
			say(w, fault.String(), fault.Hint)
		}
		return exitUsage
	}
	f := explain(err)
	if f.hint == "" && f.code == exitUsage {
		f.hint = "`" + cmd.CommandPath() + " --help` shows how it is used"
	}
	say(w, f.Error(), f.hint)
	return f.code
}

// say writes an error and, when there is one, its hint.
func say(w io.Writer, wrong, hint string) {
	_, _ = fmt.Fprintf(w, "error: %s\n", plain(wrong)) // nobody is left to be told
	if hint != "" {
		_, _ = fmt.Fprintf(w, "hint:  %s\n", hint)
	}
}

// plain returns an error's text without the names of the packages that its lines begin with, and of those further on that are no words:
// they say nothing to people.
func plain(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = plainLine(lines[i])
	}
	return strings.Join(lines, "\n")
}

func plainLine(text string) string {
	for _, name := range []string{"host", "httpapi", "kafkastreamer", "pebble", "pebblestore", "runtime", "serve", "telemetry"} {
		if rest, cut := strings.CutPrefix(text, name+": "); cut {
			return plainLine(rest)
		}
	}
	return strings.NewReplacer(": httpapi: ", ": ", ": kafkastreamer: ", ": ", ": pebble: ", ": ", ": pebblestore: ", ": ").Replace(text)
}

// explain finds the exit code and the hint of an error.
func explain(err error) *failure {
	var (
		told        *failure
		problem     *httpapi.Problem
		unreachable *client.UnreachableError
		address     *client.AddressError
	)
	switch {
	case errors.As(err, &told):
		return told
	case errors.As(err, &problem):
		return explainProblem(err, problem)
	case errors.As(err, &unreachable):
		return &failure{exitUnreachable, err, "start one with `wfrt serve`, or name another with --server or WFRT_SERVER"}
	case errors.As(err, &address):
		return &failure{exitUsage, err, "write it as http://127.0.0.1:8080, in --server or WFRT_SERVER"}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{exitTimeout, errors.New("the time allowed by --timeout has passed"), "the run goes on; ask again, or allow more with --timeout"}
	case errors.Is(err, context.Canceled):
		return &failure{exitFailure, errors.New("interrupted"), ""}
	case errors.Is(err, compile.ErrNoGo):
		return &failure{exitFailure, err, "install Go " + scaffold.GoVersion + " or newer from https://go.dev/dl and put it on the PATH"}
	case errors.Is(err, compile.ErrOldGo):
		return &failure{exitFailure, err, "install Go " + scaffold.GoVersion + " or newer from https://go.dev/dl"}
	case errors.Is(err, compile.ErrNoPlugin):
		return &failure{exitNotFound, err, "name the folder with the plugin's main.go, or make one with `wfrt new NAME`"}
	case errors.Is(err, compile.ErrSource):
		return &failure{exitFailure, err, "mend what the compiler names above, then build again; the old module, if any, is untouched"}
	case errors.Is(err, scaffold.ErrName):
		return &failure{exitUsage, err, "for example: wfrt new order-mail"}
	case errors.Is(err, scaffold.ErrNotEmpty):
		return &failure{exitConflict, err, "choose another name, or move the folder away"}
	}
	return &failure{exitFailure, err, ""}
}

// explainProblem maps what a server refused.
func explainProblem(err error, p *httpapi.Problem) *failure {
	f := &failure{code: exitFailure, err: err, hint: commandHint(p)}
	switch p.Status {
	case http.StatusNotFound, http.StatusGone:
		f.code = exitNotFound
	case http.StatusConflict:
		f.code = exitConflict
	case http.StatusUnauthorized, http.StatusForbidden:
		f.code = exitForbidden
	case http.StatusUnprocessableEntity:
		f.code = exitUsage
		if p.CallbackID != "" {
			f.code = exitRefused
		}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		f.code = exitUsage
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		f.code = exitUnreachable
	}
	return f
}
