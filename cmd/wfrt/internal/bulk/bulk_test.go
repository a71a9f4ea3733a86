package bulk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// fake answers by foreign ID and remembers what it was sent.
type fake struct {
	mu   sync.Mutex
	sent map[string]string // idempotency key → foreign ID
	here atomic.Int64      // calls under way
	most atomic.Int64      // of them at a time
}

var errRefused = errors.New("refused")

func (f *fake) Trigger(_ context.Context, line Line) (string, Result, error) {
	if here := f.here.Add(1); here > f.most.Load() {
		f.most.Store(here)
	}
	defer f.here.Add(-1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if line.ForeignID == "bad" {
		return "", 0, errRefused
	}
	if line.ForeignID == "busy" {
		return "run of another", AlreadyRunning, nil
	}
	if f.sent == nil {
		f.sent = map[string]string{}
	}
	if _, known := f.sent[line.IdempotencyKey]; known {
		return "run " + line.ForeignID, Repeated, nil
	}
	f.sent[line.IdempotencyKey] = line.ForeignID
	return "run " + line.ForeignID, Triggered, nil
}

func (f *fake) Await(_ context.Context, runID string) (Ended, error) {
	switch runID {
	case "run stray":
		return Ended{Place: Place{State: "Cancelled", Status: "b"}}, nil
	case "run lost":
		return Ended{}, errRefused
	}
	return Ended{Place: Place{State: "Completed", Status: "a"}, Reached: true}, nil
}

// open makes a file of lines.
func open(t *testing.T, lines ...string) *Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lines.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func TestEveryLineIsCountedOnce(t *testing.T) {
	source := open(t, `{"id":"x"}`, ``, `{"id":7}`, `{"id":"bad"}`, `{"id":"busy"}`, `not JSON`, `{"id":"stray"}`, `{"id":"lost"}`, `{"id":[]}`)
	server := &fake{}
	var failed []int
	done := 0
	opt := Options{
		Server: server, ForeignIDField: "id", Concurrency: 3, Await: true,
		Done: func() { done++ }, Failed: func(line int, _ error) { failed = append(failed, line) },
	}
	got, err := Run(t.Context(), source, opt)
	if err != nil {
		t.Fatal(err)
	}
	got.Seconds, got.PerSecond = 0, 0
	want := Summary{
		Lines: 8, Triggered: 3, AlreadyRunning: 1, Failed: 4, Elsewhere: 1,
		Awaited: []Arrived{{Place{"Cancelled", "b"}, 1}, {Place{"Completed", "a"}, 3}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || done != source.Objects() {
		t.Errorf("got %+v and %d done, want %+v and %d", got, done, want, source.Objects())
	}
	if slices.Sort(failed); !slices.Equal(failed, []int{4, 6, 8, 9}) {
		t.Errorf("lines %d failed", failed)
	}
	if most := server.most.Load(); most > 3 {
		t.Errorf("%d lines were under way at a time", most)
	}

	again, err := Run(t.Context(), source, opt)
	if err != nil || again.Triggered != 0 || again.Repeated != 3 {
		t.Errorf("the second time: %+v, %v", again, err)
	}
}

func TestKeysAreThoseOfTheContent(t *testing.T) {
	one, same, other := open(t, "{}", "{} "), open(t, "{}", "{}"), open(t, "{}", "[]")
	if one.key(1) == one.key(2) || one.key(1) != same.key(1) || one.key(1) == other.key(1) {
		t.Errorf("keys %s %s %s %s", one.key(1), one.key(2), same.key(1), other.key(1))
	}
}

func TestAnInterruptedFileIsNeitherDoneNorFailed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := Run(ctx, open(t, `{"id":"x"}`, `{"id":"y"}`), Options{Server: cancelled{}, ForeignIDField: "id", Concurrency: 1})
	if !errors.Is(err, context.Canceled) || got.Lines != 0 || got.Failed != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAHopelessLineEndsTheSending(t *testing.T) {
	lines := slices.Repeat([]string{`{"id":"bad"}`}, 100)
	got, err := Run(t.Context(), open(t, lines...), Options{
		Server: &fake{}, ForeignIDField: "id", Concurrency: 2, Hopeless: func(err error) bool { return errors.Is(err, errRefused) },
	})
	if !errors.Is(err, errRefused) || got.Failed == 0 || got.Failed > 2+2 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// cancelled is a server that is not reached before the context ends.
type cancelled struct{ Server }

func (cancelled) Trigger(ctx context.Context, _ Line) (string, Result, error) {
	<-ctx.Done()
	return "", 0, ctx.Err()
}

func TestForeignIDs(t *testing.T) {
	for _, c := range []struct{ object, path, want, fault string }{
		{`{"id":"a"}`, "id", "a", ""},
		{`{"id":10248}`, "id", "10248", ""},
		{`{"id":12345678901234567890}`, "id", "12345678901234567890", ""},
		{`{"order":{"id":"a"}}`, "order.id", "a", ""},
		{`{"id":""}`, "id", "", "empty"},
		{`{"id":null}`, "id", "", "neither a text nor a number"},
		{`{"id":true}`, "id", "", "neither a text nor a number"},
		{`{}`, "id", "", "no member"},
		{`{"order":1}`, "order.id", "", "not an object"},
		{`[1]`, "id", "", "not an object"},
		{`{"id":"a"} {}`, "id", "", "not one JSON value"},
		{`{"id":"a"`, "id", "", "not one JSON value"},
	} {
		got, err := foreignID([]byte(c.object), c.path)
		if got != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s of %s: got %q, %v", c.path, c.object, got, err)
		}
	}
}

func FuzzForeignID(f *testing.F) {
	f.Add([]byte(`{"order":{"id":7}}`), "order.id")
	f.Fuzz(func(t *testing.T, object []byte, path string) {
		if id, err := foreignID(object, path); (id == "") == (err == nil) {
			t.Errorf("%q of %q is %q, %v", path, object, id, err)
		}
	})
}
