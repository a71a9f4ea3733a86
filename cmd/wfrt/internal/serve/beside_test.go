package serve

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/cmd/wfrt/internal/config"
)

// TestAServerEndsBesideWhatDoesNot ends a server while a reload does not end, as one that compiles a module: it ends all the same, and
// says what was left.
func TestAServerEndsBesideWhatDoesNot(t *testing.T) {
	begun, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	cfg := empty(t)
	cfg.Server.ShutdownTimeout = 50 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	reload := make(chan os.Signal, 1)
	opt := Options{
		Config: cfg, Level: new(slog.LevelVar), Logger: slog.New(slog.DiscardHandler), Reload: reload,
		Load: func() (config.Config, error) {
			close(begun)
			<-goOn
			defer close(ended)
			return cfg, errors.New("it is too late")
		},
		Ready: func(Ready) {
			reload <- syscall.SIGHUP
			go func() {
				<-begun
				stop()
			}()
		},
	}
	err := Run(ctx, opt)
	if err == nil || !strings.Contains(err.Error(), "server.shutdown_timeout is over, and this has not ended: a reload") {
		t.Errorf("Run returned %v; want what was left", err)
	}
	if err != nil && strings.Contains(err.Error(), "abandoned") {
		t.Errorf("Run returned %v; nothing else was under way", err)
	}
	close(goOn)
	<-ended
}

// TestAServerEndsBeforeItServes as it does afterwards.
func TestAServerEndsBeforeItServes(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	opt := Options{
		Config: empty(t), Level: new(slog.LevelVar), Logger: slog.New(&stopper{slog.DiscardHandler, stop}),
		Ready: func(Ready) { t.Error("it served") },
	}
	if err := os.WriteFile(filepath.Join(opt.Config.Plugins.Dir, "none.wasm"), []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Run(ctx, opt); err != nil {
		t.Errorf("Run returned %v; want nil", err)
	}
}

// stopper ends a server at the first line of its log: here, that it could not load a plugin.
type stopper struct {
	slog.Handler
	stop func()
}

func (s *stopper) Enabled(context.Context, slog.Level) bool { return true }

func (s *stopper) Handle(context.Context, slog.Record) error {
	s.stop()
	return nil
}

func (s *stopper) WithAttrs([]slog.Attr) slog.Handler { return s }

// empty returns a configuration with empty folders.
func empty(t *testing.T) config.Config {
	cfg := config.Default()
	cfg.DataDir, cfg.Plugins.Dir, cfg.Server.Listen = t.TempDir(), t.TempDir(), "127.0.0.1:0"
	return cfg
}

// TestLateComesAWhileAfterTheEnd checks when what is under way is no longer waited for, and that nothing is left of the wait.
func TestLateComesAWhileAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		late, cancel := lateAfter(ctx, func() time.Duration { return time.Minute })
		time.AfterFunc(time.Hour, stop)
		began := time.Now()
		<-late.Done()
		if took := time.Since(began); took != time.Hour+time.Minute || !errors.Is(context.Cause(late), errLate) {
			t.Errorf("late after %v: %v; want a minute after the hour", took, context.Cause(late))
		}
		cancel()

		_, cancel = lateAfter(ctx, func() time.Duration { return time.Hour }) // ctx has ended already
		cancel()
		synctest.Wait()
	})
}
