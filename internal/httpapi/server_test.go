package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

func TestOpenAPIDocumentIsUpToDate(t *testing.T) {
	a := ask(t, newServer(t, Options{Engine: &fake{}}), "GET", "/openapi.json", "")
	golden(t, filepath.Join("..", "..", "docs", "openapi.json"), []byte(a.body))
	for _, absent := range []string{"ErrorModel", "ErrorDetail"} {
		if strings.Contains(a.body, absent) {
			t.Errorf("the document names %s, which is never sent", absent)
		}
	}
	a = ask(t, newServer(t, Options{Engine: &fake{}}), "GET", "/openapi.yaml", "")
	if !strings.Contains(a.body, "openapi: 3.1.0") {
		t.Errorf("the YAML document begins with %.80q", a.body)
	}
}

func TestWorkflows(t *testing.T) {
	s := newServer(t, Options{Engine: &fake{catalog: runtime.NewCatalog(graphs()["orders"], graphs()["circle"])}})
	list := decode[WorkflowList](t, ask(t, s, "GET", "/v1/workflows", ""), http.StatusOK)
	if len(list.Workflows) != 2 || list.Workflows[0].Name != "circle" || list.Workflows[1].Name != "orders" {
		t.Errorf("the workflows are %+v", list.Workflows)
	}
	one := decode[Workflow](t, ask(t, s, "GET", "/v1/workflows/orders", ""), http.StatusOK)
	var names []string
	for _, status := range one.Statuses {
		names = append(names, status.Name)
		if status.Terminal != (status.To == nil) {
			t.Errorf("status %+v is terminal and has a step, or neither", status)
		}
	}
	got := strings.Join(names, " ")
	if one.Start != "received" || got != "received validated priced charged shipped backordered" {
		t.Errorf("the workflow starts at %s and has %s", one.Start, got)
	}
	graph := ask(t, s, "GET", "/v1/workflows/orders/graph?direction=LR", "")
	if graph.StatusCode != http.StatusOK || graph.body != Mermaid(graphs()["orders"], "LR") ||
		graph.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("the graph is %d %v %s", graph.StatusCode, graph.Header, graph.body)
	}
	if graph := ask(t, s, "GET", "/v1/workflows/orders/graph", ""); graph.body != Mermaid(graphs()["orders"], "TB") {
		t.Errorf("the graph without a direction is %s", graph.body)
	}
	refused(t, ask(t, s, "GET", "/v1/workflows/order", ""), http.StatusNotFound, "unknown-workflow")
	refused(t, ask(t, s, "GET", "/v1/workflows/order/graph", ""), http.StatusNotFound, "unknown-workflow")
	refused(t, ask(t, s, "GET", "/v1/workflows/orders/graph?direction=XY", ""), http.StatusBadRequest, "invalid-request")
	none := ask(t, newServer(t, Options{Engine: &fake{}}), "GET", "/v1/workflows", "")
	if strings.TrimSpace(none.body) != `{"workflows":[]}` {
		t.Errorf("an empty catalog is listed as %s", none.body)
	}
}

type plugins struct {
	noPlugins
	list []Plugin
}

func (p plugins) List() []Plugin { return p.list }

func TestSystem(t *testing.T) {
	loaded := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newServer(t, Options{
		Engine: &fake{}, Version: Version{Version: "1.2.3", Commit: "abc"},
		Plugins: plugins{list: []Plugin{
			{Name: "orders", State: "serving", Workflows: []string{"orders"}, LoadedAt: loaded},
			{Name: "bad", State: "failed", Error: "truncated"},
		}},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("wfrt_up 1")) }),
	})
	list := decode[PluginList](t, ask(t, s, "GET", "/v1/plugins", ""), http.StatusOK)
	if p := list.Plugins; len(p) != 2 || !p[0].LoadedAt.Equal(loaded) || p[1].Error != "truncated" || p[1].Workflows == nil {
		t.Errorf("the plugins are %+v", list.Plugins)
	}
	if v := decode[Version](t, ask(t, s, "GET", "/v1/version", ""), http.StatusOK); v.Version != "1.2.3" || v.Commit != "abc" {
		t.Errorf("the version is %+v", v)
	}
	if h := decode[Health](t, ask(t, s, "GET", "/healthz", ""), http.StatusOK); h.Status != "ok" {
		t.Errorf("health is %+v", h)
	}
	if a := ask(t, s, "GET", "/metrics", ""); a.body != "wfrt_up 1" {
		t.Errorf("/metrics is %q", a.body)
	}
	bare := newServer(t, Options{Engine: &fake{}})
	if a := ask(t, bare, "GET", "/v1/plugins", ""); strings.TrimSpace(a.body) != `{"plugins":[]}` {
		t.Errorf("no plugins are listed as %s", a.body)
	}
	refused(t, ask(t, bare, "GET", "/metrics", ""), http.StatusNotFound, "no-such-path")
}

func TestReadiness(t *testing.T) {
	e := &fake{}
	var causes []string
	s := newServer(t, Options{Engine: e, NotReady: func() []string { return causes }})
	if r := decode[Readiness](t, ask(t, s, "GET", "/readyz", ""), http.StatusOK); !r.Ready || len(r.Causes) != 0 {
		t.Errorf("a working server answers %+v", r)
	}
	causes = []string{"plugins are being compiled"}
	e.failure = errors.New("the disk is gone")
	s.Drain()
	r := decode[Readiness](t, ask(t, s, "GET", "/readyz", ""), http.StatusServiceUnavailable)
	const want = "the disk is gone; the server is stopping; plugins are being compiled"
	if got := strings.Join(r.Causes, "; "); r.Ready || got != want {
		t.Errorf("a failed, stopping server that is not ready answers %+v", r)
	}
	decode[Health](t, ask(t, s, "GET", "/healthz", ""), http.StatusOK)
}

func TestEveryErrorOfTheEngineHasItsAnswer(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		kind   string
		retry  bool
	}{
		{&runtime.InvalidError{Field: "object", Cause: "is not one JSON value"}, 400, "invalid-request", false},
		{&runtime.TooManyCallbacksError{Waiting: 1000}, 429, "too-many-callbacks", true},
		{&runtime.UnknownWorkflowError{Name: "x"}, 404, "unknown-workflow", false},
		{&runtime.UnknownStatusError{Workflow: "x", Status: "y", Known: []string{"z"}}, 400, "unknown-status", false},
		{&runtime.InProgressError{}, 409, "in-progress", false},
		{&runtime.KeyReusedError{}, 422, "idempotency-key-reused", false},
		{runtime.ErrNotFound, 404, "unknown-run", false},
		{runtime.ErrStopping, 503, "stopping", true},
		{runtime.ErrStoreFailed, 503, "store-failed", true},
		{context.Canceled, 503, "interrupted", true},
		{context.DeadlineExceeded, 503, "interrupted", true},
		{errors.New("a surprise"), 500, "internal", false},
	} {
		s := newServer(t, Options{Engine: &fake{trigger: func(context.Context, runtime.Trigger) (runtime.Triggered, error) {
			return runtime.Triggered{}, fmt.Errorf("runtime: trigger: %w", c.err)
		}}})
		a := ask(t, s, "POST", "/v1/workflows/w/runs", `{"foreign_id":"1"}`)
		refused(t, a, c.status, c.kind)
		if (a.Header.Get("Retry-After") != "") != c.retry {
			t.Errorf("%v: Retry-After is %q", c.err, a.Header.Get("Retry-After"))
		}
	}
}

func TestAStoppedAndAFailedEngine(t *testing.T) {
	stopped := newEngine(t)
	if err := stopped.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, Options{Engine: stopped})
	refused(t, ask(t, s, "POST", "/v1/workflows/quick/runs", `{"foreign_id":"1"}`), 503, "stopping")

	failed := newEngine(t)
	failed.store.Fail(errors.New("no space left on device"))
	s = newServer(t, Options{Engine: failed})
	refused(t, ask(t, s, "POST", "/v1/workflows/quick/runs", `{"foreign_id":"1"}`), 503, "store-failed")
	<-failed.Failed()
	decode[Readiness](t, ask(t, s, "GET", "/readyz", ""), http.StatusServiceUnavailable)
}

func TestUnrouted(t *testing.T) {
	s := newServer(t, Options{Engine: &fake{}})
	for _, c := range []struct {
		method, path string
		status       int
		kind, allow  string
	}{
		{"GET", "/", 404, "no-such-path", ""},
		{"GET", "/v2/runs", 404, "no-such-path", ""},
		{"GET", "/v1/runs/", 404, "no-such-path", ""},
		{"POST", "/v1/runs", 405, "method-not-allowed", "GET, HEAD"},
		{"DELETE", "/v1/workflows/x/runs", 405, "method-not-allowed", "GET, HEAD, POST"},
		{"PUT", "/openapi.json", 405, "method-not-allowed", "GET, HEAD"},
	} {
		a := ask(t, s, c.method, c.path, "")
		p := refused(t, a, c.status, c.kind)
		if got := a.Header.Get("Allow"); got != c.allow || p.Hint == "" {
			t.Errorf("%s %s: Allow is %q, want %q; the hint is %q", c.method, c.path, got, c.allow, p.Hint)
		}
	}
}

func TestToken(t *testing.T) {
	s := newServer(t, Options{Engine: &fake{}, Token: "s3cret", Metrics: http.NotFoundHandler()})
	for _, path := range []string{"/v1/workflows", "/metrics", "/openapi.json", "/nowhere"} {
		for _, header := range []string{"", "Bearer", "Bearer wrong", "Bearer s3cret2", "Basic s3cret", "s3cret"} {
			a := ask(t, s, "GET", path, "", "Authorization", header)
			refused(t, a, http.StatusUnauthorized, "unauthorized")
			if a.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %q: there is no WWW-Authenticate", path, header)
			}
		}
	}
	for _, header := range []string{"Bearer s3cret", "bearer s3cret"} {
		decode[WorkflowList](t, ask(t, s, "GET", "/v1/workflows", "", "Authorization", header), http.StatusOK)
	}
	decode[Health](t, ask(t, s, "GET", "/healthz", ""), http.StatusOK)
	decode[Readiness](t, ask(t, s, "GET", "/readyz", ""), http.StatusOK)
}

// A page of another origin can have a browser send GET and POST with a body of plain text, without asking first, and can read none
// of the answers. What it sends changes nothing.
func TestBrowsersOfOtherSites(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	const path, body = "/v1/workflows/quick/runs", `{"foreign_id":"1"}`
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"}, // another port of this host
		{"Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain"},
		{"Origin", "https://evil.example"}, // of a browser that does not send Sec-Fetch-Site
		{"Origin", "null"},                 // of a sandboxed frame
		{"Origin", "http://example.com:81"},
	} {
		for _, request := range [][2]string{
			{"POST", path},
			{"POST", "/v1/runs/bulk"},
			{"POST", "/v1/runs/" + strings.Repeat("0", 32) + "/cancel"},
			{"POST", "/v1/plugins?name=x"},
			{"DELETE", "/v1/plugins/x"},
			{"POST", "/v1/store/backup"},
			{"PUT", "/v1/runs/x/object"},
		} {
			refused(t, ask(t, s, request[0], request[1], body, headers...), http.StatusForbidden, "cross-origin")
		}
	}
	if page := decode[RunPage](t, ask(t, s, "GET", path, "", "Sec-Fetch-Site", "cross-site"), http.StatusOK); len(page.Runs) > 0 {
		t.Errorf("there are runs: %+v", page)
	}
	a := ask(t, s, "GET", path, "", "Origin", "https://evil.example")
	if a.Header.Get("Access-Control-Allow-Origin") != "" || a.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" ||
		a.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("another origin may read or embed the answer: %v", a.Header)
	}
	for i, headers := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "none"}, {"Origin", "http://example.com"}, {}} {
		body := fmt.Sprintf(`{"foreign_id":"ours %d"}`, i) // our own page, the address bar, an older browser, and a program
		decode[Run](t, ask(t, s, "POST", path, body, headers...), http.StatusCreated)
	}
}

// The page is served without the token that its requests need.
func TestThePageNeedsNoToken(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("page " + r.URL.Path)) })
	s := newServer(t, Options{Engine: &fake{}, Token: "s3cret", Page: page})
	check := func() {
		t.Helper()
		for _, path := range []string{"/", "/ui/app.js", "/ui/views/run.js"} {
			if a := ask(t, s, "GET", path, ""); a.StatusCode != http.StatusOK || a.body != "page "+path {
				t.Errorf("%s is %d %s", path, a.StatusCode, a.body)
			}
		}
		for _, path := range []string{"/v1/workflows", "/ui", "/uix", "//v1/workflows", "/v1/../ui/app.js"} {
			refused(t, ask(t, s, "GET", path, ""), http.StatusUnauthorized, "unauthorized")
		}
		for _, path := range []string{"/ui/../v1/workflows", "/ui/%2e%2e/v1/workflows", "/ui/..%2fv1/workflows", "/ui%2f..%2fv1%2fworkflows"} {
			if a := ask(t, s, "GET", path, ""); strings.Contains(a.body, `"workflows"`) {
				t.Errorf("%s is %d %s", path, a.StatusCode, a.body)
			}
		}
		refused(t, ask(t, s, "POST", "/", ""), http.StatusMethodNotAllowed, "method-not-allowed")
		refused(t, ask(t, s, "DELETE", "/ui/app.js", ""), http.StatusMethodNotAllowed, "method-not-allowed")
	}
	check()
	if err := s.Tune(Options{Token: "s3cret"}); err != nil {
		t.Fatal(err)
	}
	check()
	refused(t, ask(t, newServer(t, Options{Engine: &fake{}}), "GET", "/", ""), http.StatusNotFound, "no-such-path")
}

func TestForeignHostsOnLoopback(t *testing.T) {
	open := newServer(t, Options{Engine: &fake{}, Hosts: []string{"wfrt.example"}})
	guarded := newServer(t, Options{Engine: &fake{}, Token: "t"})
	for _, c := range []struct {
		server  *Server
		local   string
		host    string
		refused bool
	}{
		{open, "127.0.0.1:8080", "localhost:8080", false},
		{open, "127.0.0.1:8080", "127.0.0.1:8080", false},
		{open, "[::1]:8080", "[::1]:8080", false},
		{open, "[::1]:8080", "[::1]", false},
		{open, "127.0.0.1:8080", "app.localhost", false},
		{open, "127.0.0.1:8080", "WFRT.example:8080", false},
		{open, "127.0.0.1:8080", "evil.example:8080", true},
		{open, "[::1]:8080", "evil.example", true},
		{open, "127.0.0.1:8080", "localhost.evil.example", true},
		{open, "10.0.0.7:8080", "wfrt", false},
		{guarded, "127.0.0.1:8080", "anything.example", false},
	} {
		addr, err := net.ResolveTCPAddr("tcp", c.local)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, addr)
		r := httptest.NewRequestWithContext(ctx, "GET", "/v1/workflows", nil)
		r.Host = c.host
		r.Header.Set("Authorization", "Bearer t")
		w := httptest.NewRecorder()
		c.server.ServeHTTP(w, r)
		a := answer{w.Result(), w.Body.String()}
		if c.refused {
			refused(t, a, http.StatusMisdirectedRequest, "foreign-host")
		} else {
			decode[WorkflowList](t, a, http.StatusOK)
		}
	}
}

func TestAPanicIsAnsweredAndLogged(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, Options{
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Engine: &fake{run: func(context.Context, runtime.RunID) (runtime.Record, error) { panic("boom") }},
	})
	refused(t, ask(t, s, "GET", "/v1/runs/"+unknownID, ""), http.StatusInternalServerError, "internal")
	if got := log.String(); !strings.Contains(got, "panic=boom") || !strings.Contains(got, "server_test.go") {
		t.Errorf("the log is %q", got)
	}
}

func TestAccessLog(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := newServer(t, Options{Engine: &fake{}, Logger: logger})
	ask(t, s, "GET", "/healthz", "")
	ask(t, s, "GET", "/nowhere", "")
	for _, want := range []string{"method=GET path=/healthz status=200", "method=GET path=/nowhere status=404"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	_, err := New(Options{AwaitMax: -1, MaxBody: -1, StopTimeout: -1})
	for _, want := range []string{"Engine", "AwaitMax", "MaxBody", "StopTimeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s: %v", want, err)
		}
	}
}

// serve runs s on a loopback port and returns its address, what stops it, and what waits for its end.
func serve(t *testing.T, s *Server) (url string, stop func(), ended func() error) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(cancel)
	return "http://" + ln.Addr().String(), cancel, func() error { return <-done }
}

func TestServeEndsAwaitsAndStreamsAndLetsTriggersEnd(t *testing.T) {
	began := make(chan string, 3)
	triggerMayEnd := make(chan struct{})
	e := &fake{
		await: func(ctx context.Context, _ runtime.RunID, _ runtime.Until) (runtime.Awaited, error) {
			began <- "await"
			<-ctx.Done()
			return runtime.Awaited{}, ctx.Err()
		},
		events: func(ctx context.Context, _ *runtime.EventCursor, _ bool, _ func(*runtime.Event) error) error {
			began <- "events"
			<-ctx.Done()
			return ctx.Err()
		},
		trigger: func(ctx context.Context, _ runtime.Trigger) (runtime.Triggered, error) {
			began <- "trigger"
			<-triggerMayEnd
			return runtime.Triggered{Record: runtime.Record{State: runtime.Initiated, Object: []byte("1")}}, ctx.Err()
		},
	}
	url, stop, ended := serve(t, newServer(t, Options{Engine: e}))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	type result struct {
		answer
		err error
	}
	send := func(method, path, body string) chan result {
		out := make(chan result, 1)
		go func() {
			a, err := fetch(t.Context(), client, method, url+path, body)
			out <- result{a, err}
		}()
		return out
	}
	await := send("GET", "/v1/runs/"+unknownID+"/await", "")
	events := send("GET", "/v1/events", "")
	trigger := send("POST", "/v1/workflows/w/runs", `{"foreign_id":"1"}`)
	for range 3 {
		<-began
	}
	stop()
	if r := <-await; r.err != nil {
		t.Error(r.err)
	} else {
		refused(t, r.answer, http.StatusServiceUnavailable, "stopping")
	}
	if r := <-events; r.err != nil || !strings.HasSuffix(r.body, ": the server is stopping\n\n") {
		t.Errorf("the stream ended as %q, %v", r.body, r.err)
	}
	close(triggerMayEnd)
	if r := <-trigger; r.err != nil || r.StatusCode != http.StatusCreated {
		t.Errorf("the trigger under way ended as %v, %v", r.Response, r.err)
	}
	if err := ended(); err != nil {
		t.Errorf("Serve returns %v", err)
	}
	if _, err := fetch(t.Context(), client, "GET", url+"/healthz", ""); err == nil {
		t.Error("a stopped server answers")
	}
}

func TestServeSaysWhyItCannot(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	err = newServer(t, Options{Engine: &fake{}}).Serve(t.Context(), ln)
	if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("Serve on a closed listener returns %v", err)
	}
}

func fetch(ctx context.Context, client *http.Client, method, url, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return answer{resp, b.String()}, err
}
