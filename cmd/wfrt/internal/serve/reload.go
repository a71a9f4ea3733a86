package serve

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/internal/httpapi"
	"github.com/wfrt/wfrt/internal/telemetry"
	"github.com/wfrt/wfrt/runtime"
)

// reloader takes a new configuration over into a server that serves: first it is validated as a whole, then each component gets
// its part, which it replaces in one step. What is at fault changes nothing.
type reloader struct {
	opt     Options
	running atomic.Pointer[config.Config] // what holds now

	engine  *runtime.Engine
	plugins *host.Host
	handler *httpapi.Server
	metrics *telemetry.Metrics
}

// follow reloads at each request until ctx ends.
func (r *reloader) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.opt.Reload:
			if err := r.reload(ctx); err != nil && ctx.Err() == nil {
				r.complain(err)
			}
		}
	}
}

// reload loads the configuration once more, and looks at the plugins.
func (r *reloader) reload(ctx context.Context) error {
	next, err := r.opt.Load()
	if err != nil {
		return err
	}
	change, err := r.running.Load().TakeOver(&next)
	if err != nil {
		return err
	}
	level, err := telemetry.ParseLevel(change.Config.Log.Level)
	if err != nil {
		return err
	}
	opt := r.opt
	opt.Config = change.Config
	// The configuration was found right; were a component to find a fault all the same, it would say so and go on as before.
	err = errors.Join(
		r.handler.Tune(httpOptions(opt, r.engine, r.plugins, r.metrics)),
		r.engine.Tune(engineOptions(opt, r.metrics, nil, nil, nil)),
		r.plugins.Tune(hostOptions(&opt.Config, opt.Logger)), //nolint:contextcheck // a module is closed whatever becomes of the caller
	)
	if err != nil {
		return err
	}
	r.running.Store(&change.Config)
	unread := r.plugins.Load(ctx) // before it is said: who reads the line finds the new plugins
	r.opt.Logger.Info("the configuration was reloaded", "changed", change.Now)
	if len(change.Later) > 0 {
		r.opt.Logger.Warn("these keys take effect at the next start", "keys", change.Later)
	}
	if unread != nil && ctx.Err() == nil {
		r.opt.Logger.Error("loading plugins", "error", unread)
	}
	r.opt.Level.Set(level)
	warnOfUnserved(r.opt.Logger, &change.Config, r.engine.Catalog())
	return nil
}

// complain logs why a reload came to nothing, each fault with where it is and what to do.
func (r *reloader) complain(err error) {
	const wrong = "the configuration was not reloaded; the old one holds"
	var faults config.Faults
	if !errors.As(err, &faults) {
		r.opt.Logger.Error(wrong, "error", err)
		return
	}
	for _, fault := range faults {
		r.opt.Logger.Error(wrong, slog.String("error", fault.String()), slog.String("hint", fault.Hint))
	}
}
