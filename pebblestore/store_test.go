package pebblestore_test

import (
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

func TestMain(m *testing.M) {
	flag.Bool("rewrite", false, "put the bytes that the store writes into docs/formats.md")
	goleak.VerifyTestMain(m)
}

func TestStore(t *testing.T) {
	runtimetest.TestStore(t, func(t *testing.T) func() runtime.Store {
		fs := vfs.NewMem()
		return func() runtime.Store {
			return open(t, pebblestore.Options{Dir: "data", FS: fs, Shards: runtimetest.StoreShards, MemTableBytes: 64 << 10})
		}
	})
}

// open opens a store that the test closes.
func open(t testing.TB, o pebblestore.Options) *pebblestore.Store {
	t.Helper()
	s, err := pebblestore.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOpenRefusesADirectoryInUse(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			o := pebblestore.Options{Dir: t.TempDir() + "/data", FS: fs}
			s := open(t, o)
			_, err := pebblestore.Open(o)
			if err == nil || !strings.Contains(err.Error(), o.Dir) || !strings.Contains(err.Error(), "stop that one") {
				t.Fatalf("the second opener got %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := open(t, o).Close(); err != nil {
				t.Fatalf("after Close: %v", err)
			}
		})
	}
}

func TestOpenKeepsTheShardCount(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, pebblestore.Options{Dir: "data", FS: fs})
	if s.Shards() != 16 {
		t.Fatalf("%d shards by default, want 16", s.Shards())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, pebblestore.Options{Dir: "data", FS: fs, Shards: 7})
	if s.Shards() != 16 {
		t.Fatalf("%d shards after opening with 7, want the 16 it was made with", s.Shards())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenReportsAllFaultsAtOnce(t *testing.T) {
	_, err := pebblestore.Open(pebblestore.Options{Shards: 5000, CacheBytes: -1})
	for _, want := range []string{"Dir", "Shards is 5000: want 1 to 4096", "CacheBytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %q", err, want)
		}
	}
}

// put writes a row into a closed store.
func put(t *testing.T, fs vfs.FS, key, value string) {
	t.Helper()
	db, err := pebble.Open("data", &pebble.Options{FS: fs, Logger: quiet{t}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte(key), []byte(value), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
}

type quiet struct{ testing.TB }

func (quiet) Infof(string, ...any) {}

func TestOpenRefusesANewerFormat(t *testing.T) {
	fs := vfs.NewMem()
	if err := open(t, pebblestore.Options{Dir: "data", FS: fs}).Close(); err != nil {
		t.Fatal(err)
	}
	put(t, fs, "\xff\xffst", "\x08\x07\x10\x10") // format 7, 16 shards
	_, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: fs})
	if err == nil || !strings.Contains(err.Error(), "version 7") || !strings.Contains(err.Error(), "up to 1") {
		t.Fatalf("error %v does not name both versions", err)
	}
}

func TestOpenRefusesAnotherDatabase(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, fs, "something", "else")
	_, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: fs})
	if err == nil || !strings.Contains(err.Error(), "not wfrt's") {
		t.Fatalf("error is %v", err)
	}
}

func TestDocumentsAreThereAfterAPowerLoss(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, pebblestore.Options{Dir: "data", FS: fs})
	if _, err := s.Document("plugins"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("a document that nobody wrote: %v", err)
	}
	for _, value := range []string{"first", "second"} {
		if err := s.SetDocument("plugins", []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetDocument("plugin", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SetDocument("large", make([]byte, 17<<20)); err == nil {
		t.Error("a document of 17 MiB is taken")
	}
	after := open(t, pebblestore.Options{Dir: "data", FS: fs.CrashClone(vfs.CrashCloneCfg{})})
	for name, want := range map[string]string{"plugins": "second", "plugin": ""} {
		if got, err := after.Document(name); err != nil || string(got) != want {
			t.Errorf("document %s is %q, %v; want %q", name, got, err, want)
		}
	}
	if err := errors.Join(s.Close(), after.Close()); err != nil {
		t.Fatal(err)
	}
}
