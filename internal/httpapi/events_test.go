package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// message is one server-sent event as a client sees it.
type message struct {
	id, event string
	data      Event
}

// follower reads a stream as the HTML standard says: a blank line dispatches what has data, and an id stays.
type follower struct {
	lines    *bufio.Reader
	id       string
	comments []string
}

// next returns the next event, or io.EOF at the end of the stream.
func (f *follower) next() (message, error) {
	var m message
	var data string
	for {
		line, err := f.lines.ReadString('\n')
		if err != nil {
			return m, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case line == "\n" && data == "":
		case line == "\n":
			m.id = f.id
			return m, json.Unmarshal([]byte(data), &m.data)
		case name == "":
			f.comments = append(f.comments, value)
		case name == "id":
			f.id = value
		case name == "event":
			m.event = value
		case name == "data":
			data += value
		}
	}
}

func replay(t *testing.T, h http.Handler, query string, headers ...string) []message {
	t.Helper()
	a := ask(t, h, "GET", "/v1/events"+query, "", headers...)
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the stream is %d %v %s", a.StatusCode, a.Header, a.body)
	}
	f := follower{lines: bufio.NewReader(strings.NewReader(a.body))}
	var all []message
	for {
		m, err := f.next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

func TestEventsReplay(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	run := settle(t, s, begin(t, s, "quick", "1"))
	settle(t, s, begin(t, s, "refused", "1"))

	all := replay(t, s, "?follow=false&workflow=quick")
	var seen []string
	for _, m := range all {
		seen = append(seen, m.event+" "+m.data.Previous+">"+m.data.Status)
		if m.data.RunID != run.RunID || m.data.Workflow != "quick" || m.data.ForeignID != "1" || m.id == "" ||
			!strings.HasPrefix(m.data.ID, run.RunID+"/") || m.data.Time.IsZero() {
			t.Errorf("the event is %+v", m)
		}
	}
	want := "run.initiated >s1, run.running s1>s2, run.running s2>s3, run.completed s3>done"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("the events are %s, want %s", got, want)
	}

	middle := all[1].id
	for name, rest := range map[string][]message{
		"after":         replay(t, s, "?follow=false&workflow=quick&after="+middle),
		"Last-Event-ID": replay(t, s, "?follow=false&workflow=quick&after="+all[3].id, "Last-Event-ID", middle),
	} {
		if len(rest) != 2 || rest[0].data.ID != all[2].data.ID || rest[1].data.ID != all[3].data.ID {
			t.Errorf("%s the second event come %+v", name, rest)
		}
	}
	if got := replay(t, s, "?follow=false"); len(got) != 6 {
		t.Errorf("without a filter come %d events, want 6", len(got))
	}
	if got := replay(t, s, "?follow=false&after=latest"); len(got) != 0 {
		t.Errorf("after the latest come %+v", got)
	}
}

func TestEventsRefusals(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	s.Drain() // a stream that should have been refused ends at once
	for _, target := range []string{
		"/v1/events?after=zzz!", "/v1/events?after=AQ", "/v1/events?follow=yes", "/v1/events?folow=true", "/v1/events?after=",
	} {
		refused(t, ask(t, s, "GET", target, ""), http.StatusBadRequest, "invalid-request")
	}
	refused(t, ask(t, s, "GET", "/v1/events", "", "Last-Event-ID", "zzz!"), http.StatusBadRequest, "invalid-request")
	refused(t, ask(t, s, "GET", "/v1/events?workflow=quik", ""), http.StatusBadRequest, "invalid-request")
	failed := newServer(t, Options{Engine: &fake{failure: runtime.ErrStoreFailed}})
	refused(t, ask(t, failed, "GET", "/v1/events", ""), http.StatusServiceUnavailable, "store-failed")
}

func TestEventsFollow(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	url, stop, ended := serve(t, s)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/events?workflow=quick", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req) // returns when the head of the stream is here: events come one at a time from now on
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	f := follower{lines: bufio.NewReader(resp.Body)}
	for _, foreignID := range []string{"1", "2"} {
		run := begin(t, s, "quick", foreignID)
		settle(t, s, begin(t, s, "refused", foreignID)) // is filtered out
		for _, want := range []string{"s1", "s2", "s3", "done"} {
			m, err := f.next()
			if err != nil || m.data.RunID != run.RunID || m.data.Status != want {
				t.Fatalf("want status %s of run %s next, got %+v, %v", want, run.RunID, m, err)
			}
		}
	}
	stop()
	if m, err := f.next(); !errors.Is(err, io.EOF) || f.comments[len(f.comments)-1] != "the server is stopping" {
		t.Errorf("the stream ends with %+v, %v, %q", m, err, f.comments)
	}
	if err := ended(); err != nil {
		t.Error(err)
	}
}

func TestEventsOfAnEngineThatFails(t *testing.T) {
	s := newServer(t, Options{Engine: &fake{
		events: func(_ context.Context, _ *runtime.EventCursor, _ bool, yield func(*runtime.Event) error) error {
			return errors.Join(yield(&runtime.Event{Version: 1, State: runtime.Initiated}), runtime.ErrStoreFailed)
		},
	}})
	a := ask(t, s, "GET", "/v1/events", "")
	head, tail, found := strings.Cut(a.body, "event: error\ndata: ")
	if !found || !strings.Contains(head, "event: run.initiated\n") || !strings.Contains(tail, "urn:wfrt:problem:store-failed") {
		t.Errorf("the stream is %s", a.body)
	}
}

func TestHeadOfEventsDoesNotWait(t *testing.T) {
	a := ask(t, newServer(t, Options{Engine: newEngine(t)}), "HEAD", "/v1/events", "")
	if a.StatusCode != http.StatusOK || a.body != "" {
		t.Errorf("HEAD answers %d %q", a.StatusCode, a.body)
	}
}

func TestEveryStateHasAnEventType(t *testing.T) {
	seen := map[string]bool{}
	for _, state := range runtime.RunStates() {
		name := eventType(&runtime.Event{State: state})
		if seen[name] || name == "run.changed" {
			t.Errorf("%s has the event type %s", state, name)
		}
		seen[name] = true
	}
}

// wire is the client's end of a stream in memory: what was flushed, and a client that can stop taking.
type wire struct {
	mu       sync.Mutex
	pending  strings.Builder
	flushed  strings.Builder
	flushes  int
	stuck    bool
	deadline time.Time
}

func (w *wire) Header() http.Header { return http.Header{} }
func (w *wire) WriteHeader(int)     {}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pending.Write(b)
}

func (w *wire) SetWriteDeadline(at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = at
	return nil
}

// FlushError waits until its deadline when the client is stuck, as a connection would whose buffer is full.
func (w *wire) FlushError() error {
	w.mu.Lock()
	stuck, deadline := w.stuck, w.deadline
	w.mu.Unlock()
	if stuck {
		<-time.After(time.Until(deadline))
		return os.ErrDeadlineExceeded
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushed.WriteString(w.pending.String())
	w.pending.Reset()
	w.flushes++
	return nil
}

func (w *wire) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flushed.String()
}

var _ http.ResponseWriter = (*wire)(nil)

type sendFunc = func(*runtime.Event, *runtime.EventCursor) error

// stream runs streamEvents in a bubble over w, and returns the function that sends and what waits for the end.
func stream(ctx context.Context, w *wire) (send sendFunc, ended chan struct{}) {
	sends, ended := make(chan sendFunc), make(chan struct{})
	go func() {
		defer close(ended)
		streamEvents(ctx, w, func(ctx context.Context, send sendFunc) error {
			sends <- send
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	return <-sends, ended
}

func TestEventsLeaveAtOnceAndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &wire{}
		send, ended := stream(ctx, w)
		for i := range 1000 {
			if err := send(&runtime.Event{Version: uint64(i + 1), State: runtime.Running}, &runtime.EventCursor{}); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if got := strings.Count(w.text(), "event: run.running\n"); got != 1000 {
			t.Errorf("%d of 1000 events have left, without any time having passed", got)
		}
		if w.flushes >= 1000 {
			t.Errorf("1000 events at once took %d flushes", w.flushes)
		}
		cancel()
		<-ended
	})
}

func TestAQuietStreamShowsThatItLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &wire{}
		_, ended := stream(ctx, w)
		synctest.Wait()
		if got := w.text(); got != ": events\n\n" {
			t.Errorf("a stream begins with %q", got)
		}
		<-time.After(heartbeat + time.Nanosecond)
		synctest.Wait()
		if got := w.text(); got != ": events\n\n: alive\n\n" {
			t.Errorf("after the time of a heartbeat the stream is %q", got)
		}
		cancel()
		<-ended
	})
}

func TestAClientThatTakesNothingIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		send, ended := stream(t.Context(), w)
		w.mu.Lock()
		w.stuck = true
		w.mu.Unlock()
		began := time.Now()
		if err := send(&runtime.Event{Version: 1, State: runtime.Running}, &runtime.EventCursor{}); err != nil {
			t.Error(err)
		}
		<-ended
		if took := time.Since(began); took != slowest {
			t.Errorf("the stream ended after %s, want %s", took, slowest)
		}
	})
}

func TestPassedEventsMoveTheCursorOfAHeartbeat(t *testing.T) {
	e := newEngine(t)
	s := newServer(t, Options{Engine: e})
	settle(t, s, begin(t, s, "quick", "1"))
	cursor := e.LatestEvents()
	st := &eventStream{dirty: make(chan struct{}, 1)}
	w := httptest.NewRecorder()
	st.w, st.rc = w, http.NewResponseController(w)
	if err := st.send(nil, &cursor); err != nil {
		t.Fatal(err)
	}
	if err := st.beat(); err != nil {
		t.Fatal(err)
	}
	if got, want := w.Body.String(), ": alive\nid: "+cursor.String()+"\n\n"; got != want {
		t.Errorf("the heartbeat is %q, want %q", got, want)
	}
}
