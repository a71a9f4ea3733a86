package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/cmd/wfrt/internal/serve"
	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/internal/httpapi"
)

// TestInspectShowsWhatIsGranted and, of what is not, the key that grants it.
func TestInspectShowsWhatIsGranted(t *testing.T) {
	var out bytes.Buffer
	p := httpapi.PluginDetail{Plugin: httpapi.Plugin{Name: "orders", Capabilities: []httpapi.Capability{
		{What: "POST requests to payments", Granted: true, Key: "plugins.overrides.orders.grants.http"},
		{What: "the secret card\x1b[2J", Key: "plugins.overrides.orders.grants.secrets"},
	}}}
	if err := (&app{streams: streams{out: &out}}).printPlugin(&p); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"asks for POST requests to payments (granted)\n", "(not granted: plugins.overrides.orders.grants.secrets)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("a control character of the plugin's reaches the terminal: %q", text)
	}
}

// TestTheBannersExampleEndsWell where it is most likely given: with the example plugin, and with one of `wfrt new`.
func TestTheBannersExampleEndsWell(t *testing.T) {
	var out bytes.Buffer
	cfg := config.Default()
	ready := serve.Ready{Address: defaultServer, Plugins: []host.Plugin{{File: "hello.wasm", State: host.StateServing, Workflows: []string{"hello"}}}}
	if err := (&app{streams: streams{out: &out}}).banner(&cfg, &ready); err != nil {
		t.Fatal(err)
	}
	if want := "\n  wfrt trigger hello my-id --object '{\"name\":\"Ada\"}' --await\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%s\nwant it to end with %s", out.String(), want)
	}
}

// TestAwaitedPluginIsJudgedByItsOwnFaults, and not by those of the file before, however long its compilation takes.
func TestAwaitedPluginIsJudgedByItsOwnFaults(t *testing.T) {
	const awaited, before = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
	refused := httpapi.Plugin{Name: "greet", File: "greet.wasm", State: "refused", Error: "it is empty", FileDigest: before}
	change := func(p httpapi.Plugin, change func(*httpapi.Plugin)) httpapi.Plugin { change(&p); return p }
	for name, c := range map[string]struct {
		seen   httpapi.Plugin // at every look
		served bool
		fault  string // "" when it is waited for
	}{
		"it serves":                 {seen: httpapi.Plugin{File: "greet.wasm", State: "serving", Digest: awaited}, served: true},
		"another plugin":            {seen: httpapi.Plugin{File: "other.wasm", State: "refused", Error: "it is empty"}},
		"the file before":           {seen: refused},
		"its compilation":           {seen: change(refused, func(p *httpapi.Plugin) { p.FileDigest, p.Loading = "", true })},
		"its own fault":             {seen: change(refused, func(p *httpapi.Plugin) { p.FileDigest = awaited }), fault: "it is empty"},
		"a file that is unreadable": {seen: change(refused, func(p *httpapi.Plugin) { p.FileDigest = "" }), fault: "it is empty"},
		"an operator's rollback": {
			seen:  httpapi.Plugin{Name: "greet", File: "greet.wasm", State: "serving", Digest: before, FileDigest: awaited, Note: "an operator had another serve"},
			fault: "an operator had another serve",
		},
	} {
		t.Run(name, func(t *testing.T) {
			wait := pluginWait{file: "greet.wasm", digest: awaited}
			var served bool
			var err error
			for now := (time.Time{}); err == nil && !served && now.Before(time.Time{}.Add(time.Minute)); now = now.Add(time.Second) {
				served, err = wait.look(&c.seen, now)
			}
			switch {
			case served != c.served:
				t.Errorf("serves: %t", served)
			case c.fault == "" && err != nil, c.fault != "" && (err == nil || err.Error() != c.fault):
				t.Errorf("%v; want %q", err, c.fault)
			}
		})
	}
}
