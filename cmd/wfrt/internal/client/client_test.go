package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// serverOf returns a client of a server that answers with handle.
func serverOf(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	c, err := New(server.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTriggerSendsKeyAndTokenAndTellsARepetition(t *testing.T) {
	status := http.StatusCreated
	c := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.EscapedPath() != "/v1/workflows/a%2Fb/runs" || r.Header.Get("Idempotency-Key") != "k" ||
			r.Header.Get("Authorization") != "Bearer secret" || string(body) != `{"foreign_id":"1","object":{"n":1}}` {
			t.Errorf("sent %s %s %v %s", r.Method, r.URL.EscapedPath(), r.Header, body)
		}
		w.WriteHeader(status)
		io.WriteString(w, `{"run_id":"r"}`) //nolint:errcheck // a test's answer
	})
	trigger := httpapi.TriggerRequest{ForeignID: "1", Object: json.RawMessage(`{"n":1}`)}
	for _, repeated := range []bool{false, true} {
		if repeated {
			status = http.StatusOK
		}
		got, err := c.Trigger(t.Context(), "a/b", trigger, "k")
		if err != nil || got.Run.RunID != "r" || got.Repeated != repeated {
			t.Errorf("status %d: got %+v, %v", status, got, err)
		}
	}
}

func TestARefusalIsAProblem(t *testing.T) {
	for _, c := range []struct {
		body, detail, runID string
	}{
		{`{"detail":"in progress","hint":"wait","run_id":"r"}`, "in progress", "r"},
		{`<html>proxy</html>`, "the server answered 409 Conflict <html>proxy</html>", ""},
		{``, "the server answered 409 Conflict", ""},
	} {
		server := serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, c.body) //nolint:errcheck // a test's answer
		})
		_, err := server.Run(t.Context(), "x")
		var p *httpapi.Problem
		if !errors.As(err, &p) || p.Status != http.StatusConflict || p.Detail != c.detail || p.RunID != c.runID {
			t.Errorf("%q: got %#v", c.body, err)
		}
	}
}

func TestAwaitAsksAgainUntilSomethingIsDecided(t *testing.T) {
	asked := 0
	c := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "status=shipped" {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		asked++
		json.NewEncoder(w).Encode(httpapi.Awaited{TimedOut: asked < 3, Reached: asked == 3}) //nolint:errcheck // a test's answer
	})
	got, err := c.Await(t.Context(), "r", Until{Status: "shipped"})
	if err != nil || !got.Reached || asked != 3 {
		t.Errorf("got %+v, %v after %d requests", got, err, asked)
	}
}

func TestBadAddresses(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "://"} {
		var bad *AddressError
		if _, err := New(address, ""); !errors.As(err, &bad) {
			t.Errorf("%q: got %v", address, err)
		}
	}
}

func TestPersistGoesOnWhileTheServerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := &UnreachableError{Cause: errors.New("refused")}
		attempts := 0
		err := Persist(t.Context(), time.Minute, func(context.Context) error {
			if attempts++; attempts < 10 {
				return away
			}
			return nil
		})
		if err != nil || attempts != 10 {
			t.Errorf("%v after %d attempts", err, attempts)
		}
	})
}

func TestPersistGivesUp(t *testing.T) {
	busy := &httpapi.Problem{Status: http.StatusServiceUnavailable}
	wrong := &httpapi.Problem{Status: http.StatusBadRequest}
	synctest.Test(t, func(t *testing.T) {
		began, attempts := time.Now(), 0
		err := Persist(t.Context(), time.Minute, func(context.Context) error { attempts++; return busy })
		if passed := time.Since(began); !errors.Is(err, busy) || passed < time.Minute || passed > time.Minute+longestWait || attempts > 200 {
			t.Errorf("%v after %v and %d attempts", err, passed, attempts)
		}

		attempts = 0
		if err := Persist(t.Context(), time.Minute, func(context.Context) error { attempts++; return wrong }); !errors.Is(err, wrong) || attempts != 1 {
			t.Errorf("%v after %d attempts", err, attempts)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Persist(ctx, time.Minute, func(context.Context) error { return busy }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestEventsAreReadWithTheirCursors(t *testing.T) {
	c := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "after=c0&follow=false&workflow=a&workflow=b" || r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("asked for %s as %s", r.URL.RawQuery, r.Header.Get("Accept"))
		}
		io.WriteString(w, ": events\n\n"+ //nolint:errcheck // a test's answer
			"id: c1\nevent: run.initiated\ndata: {\"id\":\"r/1\"}\n\n"+
			": alive\nid: c2\n\n"+
			"id: c3\nevent: run.completed\ndata: {\"id\":\"r/2\"}\n\n"+
			"id: c4\ndata: {\"id\":\"cut")
	})
	q := EventQuery{After: "c0", Workflows: []string{"a", "b"}}
	var got []string
	err := c.Events(t.Context(), &q, func(e *Event) error {
		got = append(got, e.Cursor+" "+e.ID)
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"c1 r/1", "c3 r/2"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAStreamThatFailsSaysWhy(t *testing.T) {
	c := serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "event: error\ndata: {\"detail\":\"the store failed\",\"status\":503}\n\n") //nolint:errcheck // a test's answer
	})
	var p *httpapi.Problem
	if err := c.Events(t.Context(), &EventQuery{}, nil); !errors.As(err, &p) || p.Detail != "the store failed" {
		t.Errorf("got %v", err)
	}
}

func TestAFollowedStreamThatEndsIsTheWantOfAServer(t *testing.T) {
	c := serverOf(t, func(http.ResponseWriter, *http.Request) {})
	var unreachable *UnreachableError
	if err := c.Events(t.Context(), &EventQuery{Follow: true}, nil); !errors.As(err, &unreachable) {
		t.Errorf("got %v", err)
	}
}
