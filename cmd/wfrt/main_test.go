package main

import (
	"bufio"
	"context"
	"encoding"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"aead.dev/minisign"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/wfrt/wfrt/plugins/orders/payments"
)

// TestMain makes this test binary the command wfrt of the scripts, and of the servers that tests start.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"wfrt": main, failingDisk: onFailingDisk})
}

func TestScripts(t *testing.T) {
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	toolchain := goEnv(t, "GOCACHE", "GOMODCACHE", "GOROOT")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Vars = append(env.Vars, toolchain...)
			service := httptest.NewServer(payments.New())
			env.Defer(service.Close)
			env.Vars = append(env.Vars, "GOPROXY=off", "GOFLAGS=", "REPOSITORY="+repository, "PAYMENTS="+service.Listener.Addr().String())
			env.Values[serverKey{}] = &server{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"serve":     scriptServe,
			"terminate": scriptTerminate,
			"crash":     scriptCrash,
			"logged":    scriptLogged,
			"metric":    scriptMetric,
			"field":     field,
			"hangup":    scriptHangup,
			"keypair":   keypair,
			"sign":      sign,
		},
	})
}

// goEnv returns variables of the toolchain as NAME=value, for scripts without a home.
func goEnv(t *testing.T, names ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	values := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, name := range names {
		values[i] = name + "=" + values[i]
	}
	return values
}

// exits runs a command and checks its exit code: `exits 2 wfrt serve --bogus`.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG]...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s exited with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// keypair makes a key pair as `minisign -G -W` does: `keypair release` writes release.pub and release.key.
func keypair(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keypair NAME")
	}
	public, secret, err := minisign.GenerateKey(nil)
	ts.Check(err)
	for name, key := range map[string]encoding.TextMarshaler{args[0] + ".pub": public, args[0] + ".key": secret} {
		text, err := key.MarshalText()
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name), text, 0o600))
	}
}

// sign signs a file as `minisign -S -s release.key -m FILE` does: `sign release.key FILE`.
func sign(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sign KEY FILE")
	}
	var secret minisign.PrivateKey
	ts.Check(secret.UnmarshalText([]byte(ts.ReadFile(args[0]))))
	content, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]+".minisig"), minisign.Sign(secret, content), 0o600))
}

// field sets a variable to the value of a line such as "run  01a2…" of the last output: `field run RUN`.
func field(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: field NAME VARIABLE")
	}
	lines := bufio.NewScanner(strings.NewReader(ts.ReadFile("stdout")))
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) == 2 && words[0] == args[0] {
			ts.Setenv(args[1], words[1])
			return
		}
	}
	ts.Fatalf("the last output has no line %q", args[0])
}

// serverKey finds the server of a script.
type serverKey struct{}

// scriptServe starts a server in the script's folder and sets WFRT_SERVER.
func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("serve cannot be negated")
	}
	s := ts.Value(serverKey{}).(*server)
	env := os.Environ()
	for _, name := range []string{"WFRT_SERVER_TOKEN"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	ts.Check(s.start(ts.MkAbs("."), env, args...))
	ts.Defer(func() { ts.Check(s.stop()) })
	ts.Setenv("WFRT_SERVER", s.address)
	ts.Setenv("LISTEN", strings.TrimPrefix(s.address, "http://"))
}

// scriptTerminate ends the server with SIGTERM and wants it to succeed.
func scriptTerminate(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Value(serverKey{}).(*server).stop())
}

// scriptHangup asks the server to reload, with SIGHUP.
func scriptHangup(ts *testscript.TestScript, neg bool, _ []string) {
	if neg {
		ts.Fatalf("hangup cannot be negated")
	}
	ts.Check(ts.Value(serverKey{}).(*server).process.Process.Signal(syscall.SIGHUP))
}

// scriptCrash ends the server with SIGKILL.
func scriptCrash(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Value(serverKey{}).(*server).kill())
}

// scriptMetric looks for a line in the server's metrics: `metric 'wfrt_plugin_loads_total{…} 3'`.
func scriptMetric(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: metric LINE")
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, ts.Getenv("WFRT_SERVER")+"/metrics", http.NoBody)
	ts.Check(err)
	response, err := http.DefaultClient.Do(request)
	ts.Check(err)
	body, err := io.ReadAll(response.Body)
	ts.Check(errors.Join(err, response.Body.Close()))
	if !strings.Contains("\n"+string(body), "\n"+args[0]+"\n") {
		ts.Fatalf("the metrics have no line %q, but\n%s", args[0], body)
	}
}

// scriptLogged waits until the server has logged a line with all of the words.
func scriptLogged(ts *testscript.TestScript, neg bool, words []string) {
	if neg {
		ts.Fatalf("logged cannot be negated")
	}
	ts.Check(ts.Value(serverKey{}).(*server).waitFor(words...))
}
