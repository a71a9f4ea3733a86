package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/sdk"
	"github.com/wfrt/wfrt/sdk/sdktest"
)

// caller is a workflow whose step does what the test wants with a client.
var (
	caller = sdk.NewWorkflow[sdk.Raw, string]("caller")
	doing  func(ctx context.Context, client *http.Client) error
)

func init() {
	sdk.AskTrigger("*")
	sdk.AskHTTP("there", "*")
	sdk.AskHTTP("*.example.com", "GET")
	caller.Step("calling", func(ctx context.Context, r *sdk.Run[sdk.Raw, string]) (sdk.Outcome[string], error) {
		return r.To("called"), doing(ctx, sdk.HTTPClient(ctx))
	}, "called")
}

// calls runs the step with what it does, against a handler.
func calls(t *testing.T, handler http.HandlerFunc, do func(ctx context.Context, client *http.Client) error, opts ...sdktest.Option) sdktest.Result[sdk.Raw, string] {
	t.Helper()
	doing = do
	if handler != nil {
		opts = append(opts, sdktest.HTTP(handler))
	}
	return sdktest.Run(t, caller, "calling", sdk.Raw(`{}`), opts...)
}

func send(ctx context.Context, client *http.Client, method, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(req)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func TestHTTPClient(t *testing.T) {
	got := calls(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Add("X-Two", "1")
		w.Header().Add("X-Two", "2")
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprint(w, r.Method, " ", r.URL, " ", r.Header.Get("Content-Type"), " ", string(body))
	}, func(_ context.Context, client *http.Client) error {
		response, err := client.Post("http://there/a?b=c", "text/plain", strings.NewReader("hello"))
		if err != nil {
			return err
		}
		defer response.Body.Close() //nolint:errcheck // it is in memory
		body, err := io.ReadAll(response.Body)
		if want := "POST http://there/a?b=c text/plain hello"; string(body) != want || response.StatusCode != 201 || response.Status != "201 Created" ||
			!slices.Equal(response.Header["X-Two"], []string{"1", "2"}) || response.ContentLength != int64(len(want)) {
			t.Errorf("answer %+v with %q", response, body)
		}
		return err
	})
	if got.Kind != sdktest.To {
		t.Error(got)
	}
}

// TestIdempotencyKeys sends the same requests in two attempts.
func TestIdempotencyKeys(t *testing.T) {
	var attempts [2][]string
	for i := range attempts {
		got := calls(t, func(_ http.ResponseWriter, r *http.Request) {
			attempts[i] = append(attempts[i], r.Header.Get("Idempotency-Key"))
		}, func(ctx context.Context, client *http.Client) error {
			named := sdk.WithCall(ctx, "charge")
			return errors.Join(
				send(ctx, client, "GET", "http://there/", ""), send(ctx, client, "HEAD", "http://there/", ""),
				send(ctx, client, "POST", "http://there/", "a"), send(ctx, client, "POST", "http://there/", "b"),
				send(ctx, sdk.HTTPClient(ctx), "POST", "http://there/", "a"), send(ctx, client, "PUT", "http://there/", "a"),
				send(named, client, "POST", "http://there/", "a"), send(named, client, "DELETE", "http://there/b", ""),
			)
		}, sdktest.IdempotencyKey("run/1/step/calling"), sdktest.Attempt(uint32(i+1)))
		if got.Kind != sdktest.To {
			t.Fatal(got)
		}
	}
	keys := attempts[0]
	if !slices.Equal(keys, attempts[1]) || len(keys) != 8 {
		t.Fatalf("two attempts of one task send\n%q\n%q", keys, attempts[1])
	}
	const task = "run/1/step/calling/"
	a, _ := strings.CutSuffix(keys[2], "/1")
	if keys[0] != "" || keys[1] != "" || keys[6] != task+"charge" || keys[7] != keys[6] || keys[4] != a+"/2" {
		t.Errorf("keys %q", keys)
	}
	for i, key := range keys[2:6] {
		if rest, ok := strings.CutPrefix(key, task); !ok || len(rest) != 32+2 || slices.Contains(keys[3+i:], key) {
			t.Errorf("key %d is %q of %q", i, key, keys)
		}
	}
}

func TestAnAuthorsOwnIdempotencyKeyIsKept(t *testing.T) {
	var key string
	calls(t, func(_ http.ResponseWriter, r *http.Request) { key = r.Header.Get("Idempotency-Key") },
		func(ctx context.Context, client *http.Client) error {
			req, err := http.NewRequestWithContext(ctx, "POST", "http://there/", nil)
			req.Header.Set("Idempotency-Key", "mine")
			response, err2 := client.Do(req)
			return errors.Join(err, err2, response.Body.Close())
		})
	if key != "mine" {
		t.Errorf("the key is %q", key)
	}
}

func TestFailuresOfRequests(t *testing.T) {
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		do      func(ctx context.Context, client *http.Client) error
		kind    sdktest.Kind
		want    string
	}{
		"not asked for": {abort, func(ctx context.Context, client *http.Client) error {
			return send(ctx, client, "GET", "http://elsewhere/", "")
		}, sdktest.Permanent, `call sdk.AskHTTP("elsewhere", "GET")`},
		"another method": {abort, func(ctx context.Context, client *http.Client) error {
			return send(ctx, client, "POST", "https://api.example.com/", "")
		}, sdktest.Permanent, "does not ask for POST requests to api.example.com"},
		"no handler": {nil, func(ctx context.Context, client *http.Client) error {
			return send(ctx, client, "GET", "http://there/", "")
		}, sdktest.Permanent, "sdktest.HTTP"},
		"no answer": {abort, func(ctx context.Context, client *http.Client) error {
			return send(ctx, client, "GET", "http://there/", "")
		}, sdktest.Error, "there was no answer"},
		"time is up": {abort, func(ctx context.Context, client *http.Client) error {
			ctx, cancel := context.WithTimeout(ctx, -1)
			defer cancel()
			return send(ctx, client, "GET", "http://there/", "")
		}, sdktest.Error, "deadline exceeded"},
		"no context": {abort, func(context.Context, *http.Client) error {
			none := context.Background()
			return send(none, sdk.HTTPClient(none), "GET", "http://there/", "") //nolint:contextcheck // a context of no step is meant
		}, sdktest.Error, "the context is not one of a running step"},
		"bad name": {abort, func(ctx context.Context, client *http.Client) error {
			return send(sdk.WithCall(ctx, "a b"), client, "POST", "http://there/", "")
		}, sdktest.Error, "WithCall: the name"},
		"another host": {abort, func(ctx context.Context, client *http.Client) error {
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://there/", nil)
			req.Host = "elsewhere"
			_, err := client.Do(req) //nolint:bodyclose // there is none
			return err
		}, sdktest.Error, "a plugin cannot set Host"},
		"line break": {abort, func(ctx context.Context, client *http.Client) error {
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://there/", nil)
			req.Header["A"] = []string{"b\nHost: elsewhere"}
			_, err := client.Do(req) //nolint:bodyclose // there is none
			return err
		}, sdktest.Error, "holds a line break"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := calls(t, c.handler, c.do); got.Kind != c.kind || !strings.Contains(got.Reason, c.want) {
				t.Errorf("%v; want %s with %q", got, c.kind, c.want)
			}
		})
	}
}

func TestAClientEndsWithItsStep(t *testing.T) {
	var kept *http.Client
	calls(t, nil, func(_ context.Context, client *http.Client) error {
		kept = client
		return nil
	})
	if err := send(t.Context(), kept, "GET", "http://there/", ""); err == nil || !strings.Contains(err.Error(), "after its step had returned") {
		t.Errorf("error %v", err)
	}
}

func TestRedirectsAreFollowedByTheClient(t *testing.T) {
	var seen []string
	got := calls(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Host+" "+r.Header.Get("Authorization"))
		if r.Host == "there" {
			http.Redirect(w, r, "https://api.example.com/", http.StatusFound)
		}
	}, func(ctx context.Context, client *http.Client) error {
		client.Timeout = time.Minute
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://there/", nil)
		req.Header.Set("Authorization", "Bearer x")
		response, err := client.Do(req)
		if err != nil {
			return err
		}
		return response.Body.Close()
	})
	if got.Kind != sdktest.To || !slices.Equal(seen, []string{"there Bearer x", "api.example.com "}) {
		t.Errorf("%v after requests to %q", got, seen)
	}
}
