package serve

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wfrt/wfrt/host"
	"github.com/wfrt/wfrt/runtime"
)

var callers = sync.OnceValues(func() (map[string][]byte, error) { return built("caller") })

// TestARequestKeepsItsKeyOverRetriesAResumeAndASwap: whatever module sends it, what it asks for is asked for once.
func TestARequestKeepsItsKeyOverRetriesAResumeAndASwap(t *testing.T) {
	var works atomic.Bool
	sent := make(chan [2]string, 16) // the module, and the key
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent <- [2]string{r.Header.Get("Module"), r.Header.Get("Idempotency-Key")}
		if !works.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer there.Close()
	r, stop := newRig(t, func(o *host.Options) {
		o.Grants = map[string]host.Grants{"caller": {HTTP: map[string]host.HTTPGrant{
			"there": {Address: there.Listener.Addr().String(), Methods: []string{http.MethodPost}},
		}}}
	})
	defer stop()
	modules, err := callers()
	if err != nil {
		t.Fatal(err)
	}
	deploy := func(version string) {
		t.Helper()
		if _, err := r.host.Deploy(t.Context(), &host.Deployment{Plugin: "caller", Module: modules[version]}); err != nil {
			t.Fatal(err)
		}
	}
	deploy("a")
	paused, err := r.engine.TriggerAndAwait(t.Context(), runtime.Trigger{Workflow: "caller", ForeignID: "1", Object: []byte("{}")},
		runtime.Until{State: runtime.Paused})
	if err != nil {
		t.Fatal(err)
	}
	deploy("b")
	works.Store(true)
	id := paused.Record.RunID
	if _, err := r.engine.Resume(context.Background(), id, runtime.Note{}); err != nil {
		t.Fatal(err)
	}
	if ended, err := r.engine.Await(t.Context(), id, runtime.Until{State: runtime.Completed}); err != nil || ended.Record.Status != "done" {
		t.Fatalf("the run is %+v, %v; want it done", ended.Record, err)
	}
	close(sent)
	var by, keys []string
	for s := range sent {
		by, keys = append(by, s[0]), append(keys, s[1])
	}
	if want := []string{"a", "a", "b"}; !slices.Equal(by, want) {
		t.Errorf("the requests were sent by %q; want %q", by, want)
	}
	if keys[0] == "" || len(slices.Compact(keys)) != 1 {
		t.Errorf("the keys are %q; want one", keys)
	}
}
