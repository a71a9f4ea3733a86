package httpapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/runtime"
)

const benchObject = `{"order_id":10248,"customer":"VINET","lines":[{"product":11,"price":1400,"quantity":12}]}`

// BenchmarkTrigger is what the server adds to a trigger, without a network.
func BenchmarkTrigger(b *testing.B) {
	rec := runtime.Record{Workflow: "w", ForeignID: "1", State: runtime.Initiated, Object: []byte(benchObject)}
	s := newServer(b, Options{Engine: &fake{trigger: func(context.Context, runtime.Trigger) (runtime.Triggered, error) {
		return runtime.Triggered{Record: rec}, nil
	}}})
	body := `{"foreign_id":"10248","object":` + benchObject + `}`
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/workflows/w/runs", strings.NewReader(body))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusCreated {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkTriggerAndAwait is one run of three steps in memory, by the engine alone and over TCP: the difference is the
// server's and the client's.
func BenchmarkTriggerAndAwait(b *testing.B) {
	b.Run("engine", func(b *testing.B) {
		e := newEngine(b)
		n := 0
		for b.Loop() {
			n++
			done, err := e.Trigger(b.Context(), runtime.Trigger{
				Workflow: "quick", ForeignID: strconv.Itoa(n), Object: []byte(benchObject),
			})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := e.Await(b.Context(), done.Record.RunID, runtime.Until{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("http", func(b *testing.B) {
		e := newEngine(b)
		ln, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		s := newServer(b, Options{Engine: e})
		go func() { done <- s.Serve(ctx, ln) }()
		client := &http.Client{Transport: &http.Transport{}}
		send := func(method, path, body string, status int) string {
			req, err := http.NewRequestWithContext(b.Context(), method, "http://"+ln.Addr().String()+path, strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != status {
				b.Fatal(resp.Status, err)
			}
			return resp.Header.Get("Location")
		}
		n := 0
		for b.Loop() {
			n++
			body := `{"foreign_id":"` + strconv.Itoa(n) + `","object":` + benchObject + `}`
			at := send(http.MethodPost, "/v1/workflows/quick/runs", body, http.StatusCreated)
			send(http.MethodGet, at+"/await", "", http.StatusOK)
		}
		client.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	})
}
