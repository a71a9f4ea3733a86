package main

import (
	"bytes"
	"strings"
	"testing"

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
