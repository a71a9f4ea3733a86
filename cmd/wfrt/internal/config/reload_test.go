package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestTakeOverChangesOnlyWhatTakesEffectAtOnce(t *testing.T) {
	was, next := Default(), Default()
	day := 24 * time.Hour
	was.Workflows = map[string]Workflow{"kept": {Retention: &day}, "gone": {Retention: &day}}
	next.Workflows = map[string]Workflow{"kept": {Retention: &day}, "new": {Retention: &day}}
	next.Log.Level, next.Server.Token, next.Engine.Retry.Attempts = "debug", "secret", 3
	next.DataDir, next.Server.Listen, next.Store.Shards = "./other", "127.0.0.1:1", 4
	next.Connectors = map[string]Connector{"orders": {}}
	was.Plugins.Overrides = map[string]Override{
		"gone": {Limits: PluginLimits{Fuel: 1e6}}, "hello": {Isolation: "fresh", Limits: PluginLimits{Fuel: 5e6, Instances: 3}}, "kept": {},
	}
	next.Plugins.Overrides = map[string]Override{
		"hello": {Grants: Grants{Metrics: true}, Limits: PluginLimits{Fuel: 6e6, Instances: 4}}, "kept": {}, "new": {Limits: PluginLimits{MemoryBytes: MiB}},
	}
	next.Plugins.Secrets = map[string]Secret{"key": {Env: "KEY"}}
	next.Plugins.Limits.Fuel, next.Plugins.Limits.CallDepth, next.Plugins.Canary.ErrorShare = 7e6, 800, 0.5
	change, err := was.TakeOver(&next)
	if err != nil {
		t.Fatal(err)
	}
	want := was
	want.Log.Level, want.Server.Token, want.Engine.Retry.Attempts = "debug", "secret", 3
	want.Workflows, want.Plugins.Secrets = next.Workflows, next.Plugins.Secrets
	want.Plugins.Limits.Fuel, want.Plugins.Canary.ErrorShare = 7e6, 0.5
	want.Plugins.Overrides = map[string]Override{
		"hello": {Grants: Grants{Metrics: true}, Isolation: "fresh", Limits: PluginLimits{Fuel: 6e6, Instances: 3}}, "kept": {}, "new": {},
	}
	if !reflect.DeepEqual(change.Config, want) {
		t.Errorf("got  %+v\nwant %+v", change.Config, want)
	}
	if got := strings.Join(change.Now, " "); got != "engine.retry.attempts log.level plugins.canary.error_share plugins.limits.fuel server.token "+
		"plugins.overrides.gone plugins.overrides.hello plugins.secrets workflows.gone workflows.new" {
		t.Errorf("taken over: %s", got)
	}
	if got := strings.Join(change.Later, " "); got != "data_dir plugins.limits.call_depth server.listen store.shards plugins.overrides.hello.limits.instances "+
		"plugins.overrides.hello.isolation plugins.overrides.new.limits.memory_bytes connectors" {
		t.Errorf("at the next start: %s", got)
	}
	if was.Log.Level != "info" {
		t.Error("the old configuration was changed")
	}
	again, err := change.Config.TakeOver(&next)
	if err != nil || len(again.Now) > 0 || len(again.Later) != 8 {
		t.Errorf("the same once more: %+v, %v; want only what is still to come", again, err)
	}
}

// TestTakeOverKeepsTheTokenOfAnAddressThatOthersReach: the new file is right by itself, as its address is this machine's own; the
// server goes on listening where others reach it.
func TestTakeOverKeepsTheTokenOfAnAddressThatOthersReach(t *testing.T) {
	was, next := Default(), Default()
	was.Server.Listen, was.Server.Token = "0.0.0.0:8080", "secret"
	for _, insecure := range []bool{false, true} {
		next.Server.Insecure = insecure
		_, err := was.TakeOver(&next)
		var faults Faults
		if !errors.As(err, &faults) || !strings.Contains(err.Error(), "can be reached from other machines") {
			t.Errorf("insecure %v: %v; want it refused", insecure, err)
		}
	}
}
