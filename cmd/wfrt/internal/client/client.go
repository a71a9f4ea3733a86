// Package client talks to a wfrt server over HTTP. The documents are those of package httpapi.
//
//	client.go    requests and answers
//	runs.go      what tells of runs, and what changes them
//	plugins.go   what serves, and what changes it
//	schedules.go what triggers by the clock
//	errors.go    what can go wrong, typed
//	retry.go     repeating what failed for want of a server
//	events.go    the event stream
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// Client is a server as its clients see it. Its methods may be called from many goroutines.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New returns a client of the server at an address such as http://127.0.0.1:8080. The token may be empty.
func New(server, token string) (*Client, error) {
	base, err := url.Parse(server)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, &AddressError{Address: server}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()   //nolint:forcetypeassert // documented by net/http
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 256 // lines of a file are sent side by side
	return &Client{base: base, token: token, http: &http.Client{Transport: transport}}, nil
}

// Triggered is the answer to Trigger.
type Triggered struct {
	Run      httpapi.Run
	Repeated bool // the idempotency key was known: nothing was begun
}

// Until says where a run is awaited: in the status or in the state. The zero Until awaits that it has ended or is paused.
type Until struct{ Status, State string }

// Trigger begins a run. The idempotency key may be empty.
func (c *Client) Trigger(ctx context.Context, workflow string, t httpapi.TriggerRequest, idempotencyKey string) (Triggered, error) {
	var done Triggered
	status, err := c.do(ctx, request{
		method: http.MethodPost, path: []string{"v1", "workflows", workflow, "runs"}, body: t, key: idempotencyKey,
	}, &done.Run)
	done.Repeated = status == http.StatusOK // 201 says that a run has begun
	return done, err
}

// Workflows returns the workflows that the server serves.
func (c *Client) Workflows(ctx context.Context) (httpapi.WorkflowList, error) {
	return get[httpapi.WorkflowList](ctx, c, nil, "v1", "workflows")
}

// Graph returns a workflow's diagram as Mermaid text, in one of the directions TB, LR, RL and BT.
func (c *Client) Graph(ctx context.Context, workflow, direction string) (string, error) {
	text, err := get[[]byte](ctx, c, url.Values{"direction": {direction}}, "v1", "workflows", workflow, "graph")
	return string(text), err
}

// Backup has the server make a backup, and returns where.
func (c *Client) Backup(ctx context.Context) (httpapi.Backup, error) {
	return send[httpapi.Backup](ctx, c, http.MethodPost, struct{}{}, "v1", "store", "backup")
}

// get asks for a document.
func get[T any](ctx context.Context, c *Client, query url.Values, path ...string) (T, error) {
	var answer T
	_, err := c.do(ctx, request{path: path, query: query}, &answer)
	return answer, err
}

// request is one HTTP request.
type request struct {
	method string // empty: GET
	path   []string
	query  url.Values
	body   any    // encoded as JSON, of which []byte is sent as it is; nil: none
	key    string // Idempotency-Key; empty: none
	accept string // empty: application/json
	header http.Header
}

// do sends a request, decodes the answer into into, of which *[]byte takes it as it is and nil nothing, and returns the HTTP
// status. It returns
// *httpapi.Problem when the server refused, *UnreachableError when there was no whole answer, and ctx's error.
func (c *Client) do(ctx context.Context, r request, into any) (status int, err error) {
	response, err := c.send(ctx, r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // the body was read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, c.unreachable(ctx, err)
	}
	if raw, ok := into.(*[]byte); ok {
		*raw = body
		return response.StatusCode, nil
	}
	if into == nil {
		return response.StatusCode, nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return 0, fmt.Errorf("client: the answer of %s is not understood: %w", c.base, err)
	}
	return response.StatusCode, nil
}

// send returns a response whose status says success; its body is the caller's to close.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	body, contentType, err := r.encode()
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	address := c.base.JoinPath(r.segments()...)
	address.RawQuery = r.query.Encode()
	if r.method == "" {
		r.method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address.String(), body)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer response.Body.Close() //nolint:errcheck // the body was read
	return nil, readProblem(response)
}

// encode returns the body and its type; nil and "" for none.
func (r *request) encode() (io.Reader, string, error) {
	switch body := r.body.(type) {
	case nil:
		return nil, "", nil
	case []byte:
		return bytes.NewReader(body), "application/octet-stream", nil
	default:
		encoded, err := json.Marshal(body)
		return bytes.NewReader(encoded), "application/json", err
	}
}

// segments returns the path's escaped segments. One that consists of dots would lead elsewhere if its dots were not escaped too.
func (r *request) segments() []string {
	segments := make([]string, len(r.path))
	for i, part := range r.path {
		if segments[i] = url.PathEscape(part); part == "." || part == ".." {
			segments[i] = strings.ReplaceAll(part, ".", "%2E")
		}
	}
	return segments
}

// unreachable tells the end of ctx from the want of a server.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &UnreachableError{Server: c.base.String(), Cause: err}
}

// readProblem reads an RFC 9457 document, or makes one of an answer that is none.
func readProblem(response *http.Response) *httpapi.Problem {
	const most = 1 << 20
	body, _ := io.ReadAll(io.LimitReader(response.Body, most))
	p := &httpapi.Problem{}
	if err := json.Unmarshal(body, p); err != nil || p.Detail == "" {
		p.Detail = strings.TrimSpace(fmt.Sprintf("the server answered %s %.200s", response.Status, body))
	}
	p.Status = response.StatusCode
	return p
}
