package serve

import (
	"time"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/runtime"
)

// adjust makes of a definition, as its plugins declare it, what the configuration wants: what is said of the single workflow
// wins over its plugins, and its plugins over what is said of all.
func adjust(w *runtime.Workflow, cfg *config.Config) {
	w.Retention = retention(w, cfg)
	if own := cfg.Workflows[w.Name].EventRetention; own != nil {
		w.EventRetention = orNever(*own)
	}
	if own := cfg.Workflows[w.Name].Versions; own != nil {
		w.Pinned = *own == config.VersionsPinned
	}
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
