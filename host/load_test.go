package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/host/internal/rewrite"
	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

func TestATruncatedFileIsRefusedAtEveryLength(t *testing.T) {
	r := newRig(t)
	whole := doorGuest().bytes()
	for n := range len(whole) {
		r.put("door.wasm", whole[:n])
		r.load()
		if p := r.plugin("door"); p.State != StateRefused || p.Error == "" {
			t.Fatalf("%d of %d bytes: %+v; want it refused", n, len(whole), p)
		}
	}
	r.put("door.wasm", whole)
	r.load()
	r.serves("door")
}

func TestATruncatedReplacementLeavesTheOldServing(t *testing.T) {
	r := serveGuest(t, doorGuest())
	digest := r.plugin("door").Digest
	whole := echoGuest().bytes()
	for n := 0; n < len(whole); n += 7 {
		r.put("door.wasm", whole[:n])
		r.load()
		p := r.plugin("door")
		if p.State != StateServing || p.Digest != digest || !strings.Contains(p.Error, "the module before it does: ") {
			t.Fatalf("%d of %d bytes: %+v; want the old module serving, and an error", n, len(whole), p)
		}
	}
	if out := r.invoke("door", "closed", `{"n":0}`); out.Kind != runtime.OutcomeTo || out.Changed {
		t.Errorf("outcome %+v; want the old module's", out)
	}
	r.put("door.wasm", whole)
	r.load()
	r.serves("door")
	if out := r.invoke("door", "closed", `{"n":0}`); !out.Changed {
		t.Errorf("outcome %+v; want the new module's", out)
	}
}

func TestAFileThatIsNoModuleIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"empty":     {"", "it is empty: the file is not complete"},
		"text":      {"hello there", "it is not a WebAssembly module"},
		"component": {"\x00asm\x0d\x00\x01\x00", "it is a WebAssembly component; build a core module"},
		"version":   {"\x00asm\x02\x00\x00\x00", "version 02 00 00 00"},
		"long size": {"\x00asm\x01\x00\x00\x00\x01\xff\xff\xff\xff\x7f", "no 32-bit number"},
		"garbage":   {"\x00asm\x01\x00\x00\x00\x01\x02\x01\x51", "its type section has a type of the form 0x51, which is not of WebAssembly 2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.put("x.wasm", []byte(c.content))
			r.load()
			r.refused("x", c.want)
		})
	}
}

func TestAModuleThatBreaksTheInterfaceIsRefused(t *testing.T) {
	writes := func(manifest string) guest { return guest{manifest: manifest} }
	big := guest{
		manifest: door, memory: 100 << 20 / pageBytes,
		manifestFn: asm.Code(asm.I32(int32(abi.FieldManifest)), asm.I32(0), asm.I32(90<<20), asm.Call(fnWrite)),
	}
	for name, c := range map[string]struct {
		guest guest
		want  []string
	}{
		"no manifest export": {
			guest{manifest: door, omit: abi.ExportManifest},
			[]string{"does not export the function wfrt_manifest", "wfrt build"},
		},
		"no invoke export": {
			guest{manifest: door, omit: abi.ExportInvoke},
			[]string{"does not export the function wfrt_invoke"},
		},
		"a program": {
			guest{manifest: door, omit: abi.ExportInvoke, exportAlso: "_start"},
			[]string{"-buildmode=c-shared"},
		},
		"memory not exported": {guest{manifest: door, omit: "memory"}, []string{`does not export a memory as "memory"`}},
		"no memory":           {guest{manifest: door, noMemory: true}, []string{`it has no memory; a module has one of its own`}},
		"reserved export": {
			guest{manifest: door, exportAlso: "wfrt:fuel"},
			[]string{`"wfrt:fuel" begins with "wfrt:"`},
		},
		"unknown import": {
			guest{manifest: door, imports: append(abiImports[:3:3], "wfrt_v1.teleport")},
			[]string{"imports wfrt_v1.teleport, which this server does not have"},
		},
		"unknown module": {
			guest{manifest: door, imports: append(abiImports[:3:3], "env.read")},
			[]string{"imports env.read; a plugin imports from wfrt_v1 and wasi_snapshot_preview1"},
		},
		"too much memory": {guest{manifest: door, memory: 2000}, []string{"memory_bytes: it asked for 131,072,000 bytes of 125,829,120 bytes"}},
		"trap in init": {
			guest{manifest: door, initialize: asm.Unreachable},
			[]string{"_initialize: the plugin trapped: unreachable"},
		},
		"trap in start": {
			guest{manifest: door, startsWith: asm.Unreachable},
			[]string{"instantiate: the plugin trapped", "unreachable"},
		},
		"write in init": {
			guest{manifest: door, initialize: writeText(abi.FieldManifest, 0, "x")},
			[]string{"_initialize", "not an output of this call"},
		},
		"trap in manifest": {
			guest{manifest: door, manifestFn: asm.Unreachable},
			[]string{"wfrt_manifest: the plugin trapped: unreachable"},
		},
		"no manifest": {guest{manifest: door, manifestFn: asm.Nop}, []string{"wrote no manifest"}},
		"reads in manifest": {
			guest{manifest: door, manifestFn: asm.Code(
				asm.I32(1), asm.I32(0), asm.I32(8), asm.Call(fnRead), asm.I32(-1), asm.I32Eq, asm.If, asm.End, asm.Unreachable)},
			[]string{"unreachable"},
		},
		"huge manifest": {
			big,
			[]string{"field_write of manifest: 94371840 bytes are more than the limit of 1048576"},
		},
		"manifest not JSON":    {writes("door"), []string{"not a JSON object"}},
		"manifest of 2 values": {writes(door + door), []string{"not a JSON object"}},
		"no ABI version":       {writes(`{}`), []string{`no member "abi"`}},
		"other ABI version": {
			writes(`{"abi":2,"novel":true}`),
			[]string{"speaks version 2 of the plugin interface and this server version 1", "wfrt build"},
		},
		"misspelt member": {writes(`{"abi":1,"workflow":[]}`), []string{`unknown field "workflow"`}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.Limits.MemoryBytes = 120 << 20 })
			r.put("bad.wasm", c.guest.bytes())
			r.put("door.wasm", doorGuest().bytes())
			r.load()
			r.refused("bad", c.want...)
			r.serves("door")
			if lines := r.logs.find("ERROR", "file=bad.wasm"); len(lines) != 1 {
				t.Errorf("%d log lines about it; want 1", len(lines))
			}
		})
	}
}

// TestAnErrorIsNotAsLongAsAModuleMakesIt has a module with many names that are wrong, and long ones.
func TestAnErrorIsNotAsLongAsAModuleMakesIt(t *testing.T) {
	r := newRig(t)
	r.put("bad.wasm", guest{manifest: door, imports: append(abiImports[:3:3], slices.Repeat([]string{"env." + strings.Repeat("n", 1<<16)}, 50)...)}.bytes())
	r.load()
	r.refused("bad", "it imports env.nnn")
	if n := len(r.plugin("bad").Error); n > maxReason+8 {
		t.Errorf("the error has %d bytes; want at most %d", n, maxReason)
	}
}

func TestAWrongImportTypeIsRefused(t *testing.T) {
	raw := string(doorGuest().bytes())
	// The first import is field_read with type 0, the third log with type 2: they change places.
	swapped := strings.Replace(raw, "field_read\x00\x00", "field_read\x00\x01", 1)
	if swapped == raw {
		t.Fatal("the import is not where it was")
	}
	r := newRig(t)
	r.put("x.wasm", []byte(swapped))
	r.load()
	r.refused("x", "imports wfrt_v1.field_read as another type of function")
}

func TestLoadReadsOnlyWhatHasChanged(t *testing.T) {
	runs := &fakeRuns{}
	r := serveGuest(t, doorGuest(), func(o *Options) { o.Engine = runs })
	before := r.Catalog()
	r.load()
	r.put("door.wasm", doorGuest().bytes()) // the same content under a new time
	r.load()
	if r.Catalog() != before || runs.swaps != 1 {
		t.Errorf("%d catalogs; want the first to stay", runs.swaps)
	}
}

func TestOtherFilesAreNoPlugins(t *testing.T) {
	r := newRig(t)
	for _, file := range []string{"README.md", ".hidden.wasm", "door.wasm.tmp"} {
		r.put(file, doorGuest().bytes())
	}
	if err := os.Mkdir(filepath.Join(r.dir, "dir.wasm"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.load()
	if plugins := r.Plugins(); len(plugins) != 0 {
		t.Errorf("plugins %+v; want none", plugins)
	}
}

func TestAMissingDirectoryIsEmpty(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Dir = filepath.Join(o.Dir, "nowhere") })
	r.load()
	if n := len(r.Plugins()); n != 0 {
		t.Errorf("%d plugins; want none", n)
	}
}

func TestARemovedFileServesOn(t *testing.T) {
	r := serveGuest(t, doorGuest())
	if err := os.Remove(filepath.Join(r.dir, "door.wasm")); err != nil {
		t.Fatal(err)
	}
	r.load()
	p := r.plugin("door")
	if p.State != StateServing || p.Error != "" || !strings.Contains(p.Note, "the module serves on until wfrt plugins remove door") {
		t.Errorf("%+v; want it to serve and say so", p)
	}
	if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeTo {
		t.Errorf("outcome %+v; want it to work", out)
	}
	// Under another name it is a second module for the same status, and the message says which is the first.
	r.put("renamed.wasm", echoGuest().bytes())
	r.load()
	r.refused("renamed", `status "closed" is already handled by door.wasm`)
	r.put("door.wasm", doorGuest().bytes())
	r.load()
	r.serves("door")
}

func TestARefusedFileThatIsRemovedIsForgotten(t *testing.T) {
	r := newRig(t)
	r.put("x.wasm", nil)
	r.load()
	r.refused("x")
	if err := os.Remove(filepath.Join(r.dir, "x.wasm")); err != nil {
		t.Fatal(err)
	}
	r.load()
	if n := len(r.Plugins()); n != 0 {
		t.Errorf("%d plugins; want none", n)
	}
}

func TestTheCatalogHoldsWhatTheManifestSays(t *testing.T) {
	r := newRig(t)
	r.put("door.wasm", guest{manifest: `{"abi":1,"sdk":"hand","version":"9","workflows":[{"name":"door","handlers":[` +
		`{"id":5,"kind":"step","name":"shut","status":"closed","to":["ajar"],"parallelism":3,"retry":{"initial_ms":7,"attempts":2}},` +
		`{"id":6,"kind":"step","name":"ajar","status":"ajar","to":["open","closed"]}],"terminal":["open"]}]}`}.bytes())
	r.load()
	r.serves("door")
	w := r.Catalog().Workflow("door")
	s := w.Statuses["closed"].Step
	if w.Start != "closed" || len(w.Statuses) != 3 || !w.Statuses["open"].Terminal || w.Statuses["open"].Step != nil {
		t.Errorf("workflow %+v", w)
	}
	want := runtime.DefaultRetry()
	want.Initial, want.Attempts = 7_000_000, 2
	if s.Name != "shut" || s.Parallelism != 3 || s.Retry != want || s.Plugin != "door.wasm" || s.To[0] != "ajar" {
		t.Errorf("step %+v", s)
	}
	p := r.plugin("door")
	if p.Version != "9" || p.SDK != "hand" || s.Digest.String() != p.Digest || len(p.Workflows) != 1 || p.Instances != 1 {
		t.Errorf("plugin %+v", p)
	}
}

func TestOptionsTellAllFaults(t *testing.T) {
	_, err := New(Options{Limits: Limits{Instances: -1, MemoryBytes: 5, ManifestBytes: 2 << 20, ObjectBytes: -3}})
	if err == nil {
		t.Fatal("no error")
	}
	wantPieces(t, err.Error(), "plugins directory: is not set", "limit of instances: -1", "limit of memory: 5",
		"manifest bytes", "object bytes: -3")
}

func TestAClosedHostRefuses(t *testing.T) {
	r := serveGuest(t, doorGuest())
	in := r.invocation("door", "closed", `{}`)
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	var out runtime.Outcome
	if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); !errors.Is(err, runtime.ErrRetired) {
		t.Errorf("invoke: %v; want ErrRetired", err)
	}
	if err := r.Load(context.Background()); !errors.Is(err, errClosed) {
		t.Errorf("load: %v; want errClosed", err)
	}
}

func TestCheck(t *testing.T) {
	r := newRig(t)
	r.put("door.wasm", guest{manifest: workflowPart("door", "closed", []string{"closed>open", "stuck"}, []string{"open"}, nil)}.bytes())
	report, err := r.Check(context.Background(), filepath.Join(r.dir, "door.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if report.File != "door.wasm" || len(report.Digest) != 64 || report.MemoryBytes != 4*pageBytes || len(report.Workflows) != 1 {
		t.Errorf("report %+v", report)
	}
	wantPieces(t, strings.Join(report.Warnings, "\n"),
		`no run that begins in "closed" reaches the status "stuck"`, `nothing that handles "stuck" has a destination`)
	if len(report.Warnings) != 2 || len(r.Plugins()) != 0 {
		t.Errorf("warnings %q, plugins %v; want two and none", report.Warnings, r.Plugins())
	}
	r.put("bad.wasm", nil)
	_, err = r.Check(context.Background(), filepath.Join(r.dir, "bad.wasm"))
	if err == nil || !strings.Contains(err.Error(), "check bad.wasm: it is empty") {
		t.Errorf("error %v", err)
	}
}

// TestALoadingPluginSaysSo: while a module is being made, what is wrong is of the file before; then it is of the file as it lies.
func TestALoadingPluginSaysSo(t *testing.T) {
	r := newRig(t)
	r.put("door.wasm", []byte("no module"))
	r.load()
	if p := r.plugin("door"); p.Loading || p.Error == "" {
		t.Fatalf("%+v; want it refused", p)
	}
	begun, goOn, rewritten := make(chan struct{}), make(chan struct{}), r.rewrite
	r.rewrite = func(raw []byte, l rewrite.Limits) (*rewrite.Module, error) {
		close(begun)
		<-goOn
		return rewritten(raw, l)
	}
	whole := doorGuest().bytes()
	r.put("door.wasm", whole)
	loaded := make(chan error)
	go func() { loaded <- r.Load(context.Background()) }()
	<-begun
	if p := r.plugin("door"); !p.Loading || p.Error == "" {
		t.Errorf("%+v while the next module is made; want what is wrong with the one before", p)
	}
	close(goOn)
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	if p := r.plugin("door"); p.Loading || p.Error != "" || p.FileDigest != fmt.Sprintf("%x", sha256.Sum256(whole)) || p.Digest != p.FileDigest {
		t.Errorf("%+v; want the file's module serving", p)
	}
}

// TestCloseDoesNotWaitForACompilation closes a host while a module is being made, which nothing can stop: it says of which file, and
// what is made then serves no more.
func TestCloseDoesNotWaitForACompilation(t *testing.T) {
	r := newRig(t)
	r.put("door.wasm", doorGuest().bytes())
	begun, goOn, rewritten := make(chan struct{}), make(chan struct{}), r.rewrite
	r.rewrite = func(raw []byte, l rewrite.Limits) (*rewrite.Module, error) {
		close(begun)
		<-goOn
		return rewritten(raw, l)
	}
	loaded := make(chan error)
	go func() { loaded <- r.Load(context.Background()) }()
	<-begun
	late, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("it is late"))
	if err := r.Close(late); err == nil || err.Error() != "host: close: the server still compiles door.wasm: it is late" {
		t.Errorf("Close returned %v", err)
	}
	close(goOn)
	if err := <-loaded; !errors.Is(err, errClosed) {
		t.Errorf("Load returned %v; want that the host is closed", err)
	}
	if w := r.Catalog().Workflow("door"); w != nil {
		t.Error("the module serves")
	}
}
