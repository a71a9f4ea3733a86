package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/internal/hostile"
	"github.com/wfrt/wfrt/internal/httpapi"
)

// TestHostilePluginsStopNoOrder serves some of the gallery beside the orders, from one folder: what is no module is refused, the runs of
// the others end Paused, the orders complete, and the commands say why.
func TestHostilePluginsStopNoOrder(t *testing.T) {
	guests := galleryOf(t, "loop", "memory", "noise", "trap")
	s := serveOrders(t, guests, "WFRT_PLUGINS_LIMITS_FUEL=200000000")
	begin := func(workflow, foreignID string, object []byte) string {
		t.Helper()
		begun, err := s.client.Trigger(t.Context(), workflow, httpapi.TriggerRequest{ForeignID: foreignID, Object: object}, "")
		if err != nil {
			t.Fatalf("%s %s: %v", workflow, foreignID, err)
		}
		return begun.Run.RunID
	}
	bad := map[string]string{} // runs of guests, by name
	for _, g := range guests {
		if !g.Refused {
			bad[g.Name] = begin(g.Name, "1", nil)
		}
	}
	var good []string
	for _, order := range orderMessages(t)[:10] {
		good = append(good, begin("orders", string(order.Key), order.Value))
	}
	says := func(want []string, args ...string) {
		t.Helper()
		command := exec.Command("wfrt", append(args, "--server", s.address)...)
		out, _ := command.CombinedOutput() // awaiting a run that ends otherwise is a failure, with a code of its own
		for _, word := range want {
			if !strings.Contains(string(out), word) {
				t.Errorf("wfrt %s does not say %q:\n%s", strings.Join(args, " "), word, out)
			}
		}
	}
	for _, id := range good {
		says([]string{"Completed", "shipped"}, "runs", "await", id)
	}
	for _, g := range guests {
		if g.Refused {
			says([]string{"refused", g.Reason}, "plugins", "inspect", g.Name)
			continue
		}
		says([]string{"Paused", g.Reason}, "runs", "await", bad[g.Name])
		if run, err := s.client.Run(t.Context(), bad[g.Name]); err != nil || run.State != "Paused" || !strings.Contains(run.Reason, g.Reason) {
			t.Errorf("%s, which %s: %v, %+v; want it Paused for %q", g.Name, g.Does, err, run, g.Reason)
		}
	}
}

// galleryOf returns the guests of these names.
func galleryOf(t *testing.T, names ...string) []hostile.Guest {
	t.Helper()
	var all []hostile.Guest
	for _, g := range hostile.Gallery() {
		for _, name := range names {
			if g.Name == name {
				all = append(all, g)
			}
		}
	}
	if len(all) != len(names) {
		t.Fatalf("of %q the gallery has %d", names, len(all))
	}
	return all
}
