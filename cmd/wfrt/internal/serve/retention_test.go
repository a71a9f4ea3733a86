package serve

import (
	"testing"
	"time"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/runtime"
)

func TestWhatWinsAboutRetention(t *testing.T) {
	day, forEver := 24*time.Hour, time.Duration(0)
	cfg := &config.Config{
		Engine:    config.Engine{Retention: time.Hour},
		Workflows: map[string]config.Workflow{"own": {Retention: &day}, "kept": {Retention: &forEver}, "nothing said": {}},
	}
	statuses := map[string]*runtime.Status{"s": {Name: "s"}}
	var declared []*runtime.Workflow
	for name, retention := range map[string]time.Duration{
		"own": time.Minute, "kept": time.Minute, "declared": time.Minute, "nothing said": time.Minute, "plain": 0,
	} {
		declared = append(declared, &runtime.Workflow{Name: name, Start: "s", Statuses: statuses, Retention: retention})
	}
	before := runtime.NewCatalog(declared...)
	after := withRetention(before, cfg)
	for name, want := range map[string]time.Duration{
		"own": day, "kept": 0, "declared": time.Minute, "nothing said": time.Minute, "plain": time.Hour,
	} {
		w := after.Workflow(name)
		if w == nil || w.Retention != want || w.Start != "s" || w.Statuses["s"] != statuses["s"] {
			t.Errorf("%s is %+v, want a retention of %v and else what was declared", name, w, want)
		}
	}
	if before.Workflow("own").Retention != time.Minute || len(after.Names()) != len(declared) {
		t.Error("the declared catalog was changed, or a workflow is lost")
	}
}
