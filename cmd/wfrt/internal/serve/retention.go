package serve

import (
	"time"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/runtime"
)

// withRetention returns a catalog in which every workflow has its retention as the configuration wants it: what is said of the
// single workflow wins over its plugin, and its plugin over what is said of all. The workflows of c stay as they are.
func withRetention(c *runtime.Catalog, cfg *config.Config) *runtime.Catalog {
	var all []*runtime.Workflow
	for _, name := range c.Names() {
		w := *c.Workflow(name)
		w.Retention = retention(&w, cfg)
		all = append(all, &w)
	}
	return runtime.NewCatalog(all...)
}

func retention(w *runtime.Workflow, cfg *config.Config) time.Duration {
	if own := cfg.Workflows[w.Name].Retention; own != nil {
		return *own
	}
	if w.Retention != 0 {
		return w.Retention
	}
	return cfg.Engine.Retention
}
