package serve

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/runtime"
)

func TestWhatWinsAboutAWorkflow(t *testing.T) {
	day, forEver, pinned, latest := 24*time.Hour, time.Duration(0), config.VersionsPinned, config.VersionsLatest
	cfg := &config.Config{
		Engine: config.Engine{Retention: time.Hour},
		Workflows: map[string]config.Workflow{
			"own": {Retention: &day, EventRetention: &day, Versions: &pinned}, "kept": {Retention: &forEver, EventRetention: &forEver, Versions: &latest}, "nothing said": {},
		},
	}
	for _, c := range []struct {
		name       string
		declared   time.Duration
		asks       bool // that its runs be pinned
		want       time.Duration
		events     time.Duration
		wantPinned bool
	}{
		{"own", time.Minute, false, day, day, true},
		{"kept", time.Minute, true, 0, -1, false},
		{"declared", time.Minute, true, time.Minute, 0, true},
		{"nothing said", time.Minute, false, time.Minute, 0, false},
		{"plain", 0, false, time.Hour, 0, false},
	} {
		w := runtime.Workflow{Name: c.name, Start: "s", Retention: c.declared, Pinned: c.asks}
		adjust(&w, cfg)
		if w.Retention != c.want || w.EventRetention != c.events || w.Pinned != c.wantPinned || w.Start != "s" {
			t.Errorf("%s is %+v, want a retention of %v and pinned: %v, and else what was declared", c.name, w, c.want, c.wantPinned)
		}
	}
}

func TestLimitsOfAStatusReachTheHost(t *testing.T) {
	said := config.Step{
		Fuel: 1, HostBytes: 2, HostCalls: 3, LogBytes: 4, MemoryBytes: 5, OutputBytes: 6, Timeout: 7,
	}
	cfg := &config.Config{Workflows: map[string]config.Workflow{"orders": {Steps: map[string]config.Step{"invoiced": said}}}}
	want := host.StepLimits{Fuel: 1, HostBytes: 2, HostCalls: 3, LogBytes: 4, MemoryBytes: 5, ObjectBytes: 6, Timeout: 7}
	if got := steps(cfg)["orders"]["invoiced"]; got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

func TestWhatNobodyServesIsWarnedOf(t *testing.T) {
	step := &runtime.Handler{}
	catalog := runtime.NewCatalog(&runtime.Workflow{Name: "orders", Start: "a", Statuses: map[string]*runtime.Status{
		"a": {Name: "a", Step: step}, "b": {Name: "b", Callbacks: []*runtime.Handler{step}}, "c": {Name: "c", Timeouts: []*runtime.Handler{step}},
		"end": {Name: "end", Terminal: true},
	}})
	limits := map[string]config.Step{"a": {}, "b": {}, "c": {}, "end": {}, "misspelt": {}}
	cfg := &config.Config{Workflows: map[string]config.Workflow{"orders": {Steps: limits}, "ordres": {}}}
	var said bytes.Buffer
	warnOfUnserved(slog.New(slog.NewTextHandler(&said, nil)), cfg, catalog)
	for _, want := range []string{"workflow=ordres", "status=end", "status=misspelt"} {
		if !strings.Contains(said.String(), want+"\n") {
			t.Errorf("no line ends with %s of\n%s", want, &said)
		}
	}
	if lines := strings.Count(said.String(), "\n"); lines != 3 {
		t.Errorf("%d lines; want 3 of\n%s", lines, &said)
	}
}
