package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/client"
	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/internal/httpapi"
)

// caller is a plugin whose step sends a request with the secret key in a header, and is done.
func caller() []byte {
	const (
		manifest = `{"abi":1,"capabilities":{"http":[{"host":"there","methods":["GET"]}],"secrets":["key"]},"workflows":[{"name":"caller",` +
			`"handlers":[{"id":1,"kind":"step","name":"asked","status":"asked","to":["done"]}],"terminal":["done"]}]}`
		head                                = "GET http://there/\nAuthorization: Bearer {{secret:key}}\n"
		status                              = "done"
		fieldWrite, httpSend                = 0, 1
		fieldNewStatus, fieldManifest       = 65, 68
		codeTo                              = 1
		manifestAt, headAt, statusAt  int32 = 1024, 4096, 8192
	)
	m := asm.Module{
		Imports: []asm.Import{
			{From: "wfrt_v1", Name: "field_write", Parameters: "iii"},
			{From: "wfrt_v1", Name: "http_send", Parameters: "iiiii", Results: "i"},
		},
		Functions: []asm.Function{
			{Exports: []string{"wfrt_invoke"}, Parameters: "i", Results: "i", Code: asm.Code(
				asm.I32(headAt), asm.I32(int32(len(head))), asm.I32(0), asm.I32(0), asm.I32(0), asm.Call(httpSend), asm.Drop,
				asm.I32(fieldNewStatus), asm.I32(statusAt), asm.I32(int32(len(status))), asm.Call(fieldWrite),
				asm.I32(codeTo),
			)},
			{Exports: []string{"wfrt_manifest"}, Code: asm.Code(
				asm.I32(fieldManifest), asm.I32(manifestAt), asm.I32(int32(len(manifest))), asm.Call(fieldWrite),
			)},
		},
		Memory: 1, MemoryAs: "memory",
		Data: []asm.Data{{At: manifestAt, Content: manifest}, {At: headAt, Content: head}, {At: statusAt, Content: status}},
	}
	return m.Bytes()
}

// TestSecretsChangeWhileServing has a plugin send a secret: a new content of its file counts at once, and stays after a reload; another
// file counts with the reload that names it, and not before.
func TestSecretsChangeWhileServing(t *testing.T) {
	seen := make(chan string, 1)
	there := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") }))
	defer there.Close()
	dir := t.TempDir()
	put := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure := func(secret string) {
		t.Helper()
		put("config.yaml", fmt.Sprintf(`plugins:
  watch: false
  overrides:
    caller:
      grants:
        http: {there: {methods: [GET], address: %q}}
        secrets: {key: {inject: true, hosts: [there]}}
  secrets: {key: {file: %q}}
`, there.Listener.Addr(), filepath.Join(dir, secret)))
	}
	put("one", "first\n")
	put("other", "third\n")
	configure("one")
	if err := os.Mkdir(filepath.Join(dir, "plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	put("plugins/caller.wasm", string(caller()))
	s := &server{}
	if err := s.start(dir, os.Environ(), "--config", "config.yaml"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	c, err := client.New(s.address, "")
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	sends := func(want string) {
		t.Helper()
		runs++
		if _, err := c.Trigger(t.Context(), "caller", httpapi.TriggerRequest{ForeignID: fmt.Sprint(runs)}, ""); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != "Bearer "+want {
			t.Errorf("run %d sends %q; want the secret %q", runs, got, want)
		}
	}
	reload := func(changed string) {
		t.Helper()
		if err := s.process.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if err := s.waitFor("the configuration was reloaded", changed); err != nil {
			t.Fatal(err)
		}
	}
	sends("first")
	put("one", "second\n")
	sends("second")
	reload("changed=[]")
	sends("second")
	configure("other")
	sends("second")
	reload("plugins.secrets")
	sends("third")
}
