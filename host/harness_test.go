package host

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wfrt/wfrt/runtime"
)

// scratch is a directory for what all tests share: the Go guest, and its compiled form.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "wfrt-host-"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(scratch)
		os.Exit(code)
	}))
}

// rig is a host on a directory of its own, with what it logs.
type rig struct {
	*Host
	t    testing.TB
	dir  string
	logs *recorder
}

// newRig returns a host that is closed, without a time limit, at the end of the test.
func newRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), logs: &recorder{}}
	options := Options{
		Dir: r.dir, Logger: slog.New(r.logs), Limits: Limits{MemoryBytes: 64 << 20},
		Grants: map[string]Grants{"door": {Trigger: []string{"*"}}, "life": {Trigger: []string{"*"}}},
	}
	for _, c := range change {
		c(&options)
	}
	h, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = h
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// fakeRuns is an engine that has as many runs as a test says, and takes every catalog that leaves none of them behind.
type fakeRuns struct {
	catalogs chan *runtime.Catalog // told of each catalog; nil: nobody is
	looked   chan struct{}         // told, if it has room, of each count that found runs; nil: nobody is
	swapping func()                // called by Swap before it looks for runs; nil: nothing is
	refusing error                 // what Swap answers; nil: by active

	mu     sync.Mutex
	active map[runtime.Queue]int
	pinned map[runtime.Digest]int
	asked  int // calls of ActiveRuns
	swaps  int
}

func (f *fakeRuns) set(q runtime.Queue, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active == nil {
		f.active = make(map[runtime.Queue]int)
	}
	f.active[q] = n
}

func (f *fakeRuns) pin(d runtime.Digest, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pinned == nil {
		f.pinned = make(map[runtime.Digest]int)
	}
	f.pinned[d] = n
}

func (f *fakeRuns) Swap(c *runtime.Catalog, leaving []runtime.Queue, keep func() error) error {
	if f.swapping != nil {
		f.swapping()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	left := &runtime.LeftError{}
	for _, q := range leaving {
		if n := f.active[q]; n > 0 {
			left.Left = append(left.Left, runtime.Left{Workflow: q.Workflow, Status: q.Status, Runs: n})
		}
	}
	switch {
	case f.refusing != nil:
		return f.refusing
	case len(left.Left) > 0:
		return left
	}
	if err := keep(); err != nil {
		return err
	}
	f.swaps++
	if f.catalogs != nil {
		f.catalogs <- c
	}
	return nil
}

func (f *fakeRuns) ActiveRuns(q runtime.Queue, limit int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.active[q] > 0 && f.looked != nil {
		select {
		case f.looked <- struct{}{}:
		default:
		}
	}
	return min(f.active[q], limit), nil
}

func (f *fakeRuns) PinnedRuns(_ string, d runtime.Digest, limit int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return min(f.pinned[d], limit), nil
}

func (f *fakeRuns) ActiveQueues() (queues []runtime.Queue, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for q, n := range f.active {
		if n > 0 && q.Status != "" {
			queues = append(queues, q)
		}
	}
	slices.SortFunc(queues, runtime.Queue.Compare)
	return queues, nil
}

// put places a file as mv does.
func (r *rig) put(file string, content []byte) {
	r.t.Helper()
	temporary := filepath.Join(r.dir, ".put")
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(temporary, filepath.Join(r.dir, file)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) load() {
	r.t.Helper()
	if err := r.Load(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// plugin returns the view of the plugin of that name.
func (r *rig) plugin(name string) Plugin {
	r.t.Helper()
	for _, p := range r.Plugins() {
		if p.Name == name {
			return p
		}
	}
	r.t.Fatalf("there is no plugin %q", name)
	return Plugin{}
}

// serves fails the test unless the plugin serves without a complaint.
func (r *rig) serves(name string) {
	r.t.Helper()
	if p := r.plugin(name); p.State != StateServing || p.Error != "" {
		r.t.Fatalf("plugin %s: state %s, error %q; want it to serve", name, p.State, p.Error)
	}
}

// refused fails the test unless nothing of the plugin serves, for a reason that has all the given pieces.
func (r *rig) refused(name string, pieces ...string) {
	r.t.Helper()
	p := r.plugin(name)
	if p.State != StateRefused {
		r.t.Fatalf("plugin %s: state %s, error %q; want it refused", name, p.State, p.Error)
	}
	wantPieces(r.t, p.Error, pieces...)
}

func wantPieces(t testing.TB, text string, pieces ...string) {
	t.Helper()
	for _, piece := range pieces {
		if !strings.Contains(text, piece) {
			t.Errorf("want %q in %q", piece, text)
		}
	}
}

// invocation returns a call of a step with an object.
func (r *rig) invocation(workflow, status, object string) *runtime.Invocation {
	r.t.Helper()
	step := r.Catalog().Status(workflow, status)
	if step == nil || step.Step == nil {
		r.t.Fatalf("no step for %s of %s; plugins: %+v, waiting: %v", status, workflow, r.Plugins(), r.Waiting())
	}
	return r.invocationOf(step.Step, status, object)
}

// invocationOf returns a call of a handler for a run in a status.
func (r *rig) invocationOf(h *runtime.Handler, status, object string) *runtime.Invocation {
	now := r.options.Clock.Now()
	return &runtime.Invocation{Handler: h, Now: now, Attempt: 2, Record: &runtime.Record{
		RunID: runtime.NewRunID(now, 7, 9), Workflow: h.Workflow, ForeignID: "f-1", State: runtime.Running, Status: status,
		Version: 4, Entry: 2, Task: 3, Attempt: 1, CreatedAt: now.Add(-time.Hour), Object: []byte(object),
	}}
}

// invoke calls a step and returns its outcome.
func (r *rig) invoke(workflow, status, object string) runtime.Outcome {
	r.t.Helper()
	in := r.invocation(workflow, status, object)
	var out runtime.Outcome
	if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

// serveGuest returns a rig that serves the guest as door.wasm.
func serveGuest(t testing.TB, g guest, change ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, change...)
	r.put("door.wasm", g.bytes())
	r.load()
	r.serves("door")
	return r
}

// goGuest builds testdata/guest once for all tests.
var goGuest = sync.OnceValues(func() ([]byte, error) {
	path := filepath.Join(scratch, "guest.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", path, "./testdata/guest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build testdata/guest: %w\n%s", err, output)
	}
	return os.ReadFile(path)
})

func serveGoGuest(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	raw, err := goGuest()
	if err != nil {
		t.Fatal(err)
	}
	cached := func(o *Options) { o.CacheDir = filepath.Join(scratch, "cache") }
	r := newRig(t, append([]func(*Options){cached}, change...)...)
	r.put("guest.wasm", raw)
	r.load()
	r.serves("guest")
	return r
}

// recorder is a slog.Handler that keeps lines as "LEVEL message key=value …".
type recorder struct {
	mu    sync.Mutex
	lines []string
	attrs string
	root  *recorder
}

func (c *recorder) Enabled(context.Context, slog.Level) bool { return true }

func (c *recorder) Handle(_ context.Context, record slog.Record) error {
	line := record.Level.String() + " " + record.Message + c.attrs
	record.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	root := c
	if c.root != nil {
		root = c.root
	}
	root.mu.Lock()
	defer root.mu.Unlock()
	root.lines = append(root.lines, line)
	return nil
}

func (c *recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	root := c
	if c.root != nil {
		root = c.root
	}
	child := &recorder{attrs: c.attrs, root: root}
	for _, a := range attrs {
		child.attrs += " " + a.String()
	}
	return child
}

func (c *recorder) WithGroup(string) slog.Handler { return c }

// find returns the lines that hold all pieces.
func (c *recorder) find(pieces ...string) (found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
next:
	for _, line := range c.lines {
		for _, piece := range pieces {
			if !strings.Contains(line, piece) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}
