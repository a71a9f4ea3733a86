package dev

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench runs a Loop whose builds take a time, in a synctest bubble.
type bench struct {
	changes chan struct{}
	mu      sync.Mutex      // guards the fields below
	began   []time.Duration // since the start
	ended   int             // builds that were not cut off
}

func start(t *testing.T, takes time.Duration) (*bench, context.CancelFunc) {
	b := &bench{changes: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	zero := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		Loop(ctx, b.changes, func(ctx context.Context) {
			b.mu.Lock()
			b.began = append(b.began, time.Since(zero))
			b.mu.Unlock()
			select {
			case <-time.After(takes):
				b.mu.Lock()
				b.ended++
				b.mu.Unlock()
			case <-ctx.Done():
			}
		})
	}()
	return b, func() {
		cancel()
		<-done
	}
}

func (b *bench) want(t *testing.T, ended int, began ...time.Duration) {
	t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended != ended || len(b.began) != len(began) {
		t.Fatalf("builds began at %v, %d ended; want %v, %d", b.began, b.ended, began, ended)
	}
	for i := range began {
		if b.began[i] != began[i] {
			t.Errorf("builds began at %v, want %v", b.began, began)
		}
	}
}

// after lets d pass and then something change.
func (b *bench) after(d time.Duration) {
	<-time.After(d)
	b.changes <- struct{}{}
	synctest.Wait()
}

func TestChangesCloseToEachOtherAreOneBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := start(t, time.Millisecond)
		defer stop()
		b.want(t, 0, 0) // the first at once
		b.after(time.Second)
		b.after(100 * time.Millisecond)
		b.after(100 * time.Millisecond)
		b.want(t, 1, 0)
		<-time.After(time.Second)
		b.want(t, 2, 0, 1400*time.Millisecond)
	})
}

func TestWhoNeverStopsWritingIsBuiltAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := start(t, time.Millisecond)
		defer stop()
		for range 25 {
			b.after(100 * time.Millisecond)
		}
		b.want(t, 2, 0, 2100*time.Millisecond)
	})
}

func TestAChangeEndsTheBuildUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := start(t, time.Minute)
		defer stop()
		b.after(10 * time.Second)
		<-time.After(time.Second)
		b.want(t, 0, 0, 10200*time.Millisecond)
		<-time.After(time.Hour)
		b.want(t, 1, 0, 10200*time.Millisecond)
	})
}

func TestTheEndWaitsForTheBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, changing := range []bool{false, true} {
			b, stop := start(t, time.Hour)
			synctest.Wait()
			if changing {
				b.after(time.Second) // and it has not settled yet
			}
			stop()
			b.want(t, 0, 0)
		}
	})
}

func TestOnlyWhatCanChangeTheModuleMatters(t *testing.T) {
	for name, want := range map[string]bool{
		"main.go": true, "go.mod": true, "page.html": true, "main_test.go": false, "greet.wasm": false, ".main.go.swp": false,
		"main.go~": false, "#main.go#": false, ".wfrt-build-1": false,
	} {
		if got := matters(fsnotify.Event{Name: filepath.Join("greet", name), Op: fsnotify.Write}); got != want {
			t.Errorf("a write of %s matters: %v, want %v", name, got, want)
		}
	}
	if matters(fsnotify.Event{Name: "main.go", Op: fsnotify.Chmod}) {
		t.Error("other rights matter")
	}
}

func TestWatcherNoticesTheSourcesAndWhatTheyAreMadeFrom(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module m\n")
	write("greet/main.go", "package main\n\nimport \"m/words\"\n\nfunc main() { _ = words.Text }\n")
	write("words/words.go", "package words\n\nimport _ \"embed\"\n\n//go:embed texts/hello.txt\nvar Text string\n")
	write("words/texts/hello.txt", "hello")
	w, err := Watch(filepath.Join(dir, "greet"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // it is only watched
	w.Widen(t.Context())
	for _, name := range []string{"greet/main.go", "words/words.go", "words/texts/hello.txt"} {
		select {
		case <-w.Changes(): // more of the write before
		default:
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(name, string(content)+"\n")
		select {
		case <-w.Changes():
		case <-time.After(time.Minute):
			t.Errorf("a change of %s is not noticed", name)
		}
	}
}

func TestWatchSaysWhatItCannotWatch(t *testing.T) {
	if w, err := Watch(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Errorf("got %v", w.Close())
	}
}

// TestWidenStaysOutOfTheFolderAbove has a plugin that embeds nothing: what lies beside its folder is not watched.
func TestWidenStaysOutOfTheFolderAbove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "greet")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"go.mod": "module example.com/greet\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w, err := Watch(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // nothing was written
	w.Widen(t.Context())
	if watched := w.notifier.WatchList(); len(watched) != 1 || watched[0] != dir {
		t.Errorf("it watches %q; want %s only", watched, dir)
	}
}
