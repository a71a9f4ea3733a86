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
	cfg := config.Default()
	cfg.DataDir, cfg.Plugins.Dir = filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "plugins")
	cfg.Server.Listen, cfg.Server.ShutdownTimeout = "127.0.0.1:0", 50*time.Millisecond
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
