package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// lean is a directory that holds the lean guest: steps that read the object and answer the next status, and do nothing else.
var lean = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "wfrt-bench-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w",
		"-o", filepath.Join(dir, "lean.wasm"), "../host/testdata/lean")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	return dir, build.Run()
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := lean(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// newHost returns a host that serves the lean guest.
func newHost(b *testing.B) *host.Host {
	b.Helper()
	dir, err := lean()
	if err != nil {
		b.Fatal(err)
	}
	h, err := host.New(host.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	if err := h.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, p := range h.Plugins() {
		if p.Error != "" {
			b.Fatal(p.Error)
		}
	}
	return h
}

// newEngine returns a running engine over a new store on disk.
func newEngine(b *testing.B, catalog *runtime.Catalog, streamer runtime.Streamer) *runtime.Engine {
	b.Helper()
	store, err := pebblestore.Open(pebblestore.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	e, err := runtime.New(runtime.Options{Store: store, Streamer: streamer})
	if err != nil {
		b.Fatal(err)
	}
	e.SetCatalog(catalog)
	if err := e.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return e
}

// native is the catalog of the lean workflows as Go functions.
func native() *runtime.Catalog {
	return runtime.NewCatalog(runtimetest.Chain("lean5", 5), runtimetest.Chain("lean10", 10), runtimetest.Chain("lean100", 100))
}
