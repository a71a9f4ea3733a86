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
	next.Plugins.Overrides = map[string]Override{"hello": {}}
	change, err := was.TakeOver(&next)
	if err != nil {
		t.Fatal(err)
	}
	want := was
	want.Log.Level, want.Server.Token, want.Engine.Retry.Attempts = "debug", "secret", 3
	want.Workflows = next.Workflows
	if !reflect.DeepEqual(change.Config, want) {
		t.Errorf("got  %+v\nwant %+v", change.Config, want)
	}
	if got := strings.Join(change.Now, " "); got != "engine.retry.attempts log.level server.token workflows.gone workflows.new" {
		t.Errorf("taken over: %s", got)
	}
	if got := strings.Join(change.Later, " "); got != "data_dir server.listen store.shards plugins.overrides connectors" {
		t.Errorf("at the next start: %s", got)
	}
	if was.Log.Level != "info" {
		t.Error("the old configuration was changed")
	}
	again, err := change.Config.TakeOver(&next)
	if err != nil || len(again.Now) > 0 || len(again.Later) != 5 {
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
