package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// status sends a request and returns the status of the answer.
func status(h http.Handler, method, path, token, body string) int {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func TestTuneReplacesWhatIsTunable(t *testing.T) {
	engine := &fake{trigger: func(context.Context, runtime.Trigger) (runtime.Triggered, error) {
		return runtime.Triggered{}, runtime.ErrStopping
	}}
	s := newServer(t, Options{Engine: engine, Token: "old", MaxBody: 64, Metrics: http.NotFoundHandler()})
	s.Handle("GET /page", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	body := `{"foreign_id":"1","object":"` + strings.Repeat("x", 100) + `"}`
	check := func(when, path, token, body string, want int) {
		t.Helper()
		method := http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
		if got := status(s, method, path, token, body); got != want {
			t.Errorf("%s, %s with the token %q answers %d, want %d", when, path, token, got, want)
		}
	}
	const runs = "/v1/workflows/w/runs"
	check("before", "/v1/version", "old", "", http.StatusOK)
	check("before", "/v1/version", "new", "", http.StatusUnauthorized)
	check("before", runs, "old", body, http.StatusRequestEntityTooLarge)

	if err := s.Tune(Options{Token: "new", MaxBody: -1}); err == nil {
		t.Error("a negative limit is taken over")
	}
	check("after a fault", "/v1/version", "old", "", http.StatusOK)

	if err := s.Tune(Options{Token: "new", MaxBody: 1000, Version: Version{Version: "not tunable"}}); err != nil {
		t.Fatal(err)
	}
	check("after", "/v1/version", "old", "", http.StatusUnauthorized)
	check("after", "/v1/version", "new", "", http.StatusOK)
	check("after", runs, "new", body, http.StatusServiceUnavailable)
	check("after", "/page", "new", "", http.StatusTeapot)
	check("after", "/page", "old", "", http.StatusUnauthorized)

	s.Drain() // the one that answers drains, not the first
	check("draining", "/readyz", "", "", http.StatusServiceUnavailable)

	if err := s.Tune(Options{}); err != nil {
		t.Fatal(err)
	}
	check("without a token", "/v1/version", "", "", http.StatusOK)
	check("still draining", "/readyz", "", "", http.StatusServiceUnavailable)
}

func TestTuneBesideRequests(t *testing.T) {
	s := newServer(t, Options{Engine: &fake{}, Token: "a"})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range 50 {
				// Whichever token holds, exactly one of the two is refused at any moment; either answer is one of the two.
				for _, token := range []string{"a", "b"} {
					if got := status(s, http.MethodGet, "/v1/version", token, ""); got != http.StatusOK && got != http.StatusUnauthorized {
						t.Errorf("status %d", got)
					}
				}
			}
		})
	}
	for i := range 20 {
		if err := s.Tune(Options{Token: string(rune('a' + i%2)), AwaitMax: time.Minute}); err != nil {
			t.Error(err)
		}
	}
	asking.Wait()
	if got := status(s, http.MethodGet, "/v1/version", "b", ""); got != http.StatusOK {
		t.Errorf("the last token answers %d", got)
	}
}
