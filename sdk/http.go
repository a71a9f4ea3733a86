package sdk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// AskHTTP asks the operator to let this plugin send requests to a host, with some methods ("*": any). The host is a name or an
// IP address, perhaps with a port; "*.example.com" stands for every name below example.com, and "*" for any host that the
// operator names. Call it from init. Without it, and without the operator's grant, every request is refused.
func AskHTTP(host string, methods ...string) { guest.Default.AskHTTP(host, methods) }

// HTTPClient returns a client for requests to other servers. ctx is the function's, and the client ends with it.
//
// What may be reached, and for how long, the operator grants (docs/capabilities.md); a request that is not granted fails with a
// *RefusedError. Everything before this step is durable before the request leaves. A redirect is a request of its own, followed
// by the client's usual rules and checked like any other. The answer's body is in memory as a whole, bounded by the operator.
// While a request is under way the other goroutines of the step stand still.
//
// A request whose method is not GET, HEAD, OPTIONS or TRACE carries an Idempotency-Key, unless it has one, that is the same for
// every attempt of the task: made from the name given to WithCall, else from the method, the URL and the body, and counted
// where the same is sent more than once.
func HTTPClient(ctx context.Context) *http.Client {
	step, _ := ctx.Value(stepKey{}).(*stepContext)
	return &http.Client{Transport: transport{step}}
}

// WithCall gives the requests made with the returned context a name of the author's for their Idempotency-Key: 1–64 bytes of
// a–z, A–Z, 0–9, '-', '_' and '.'. All requests of one name are one effect to who receives them; a name makes the key independent
// of what exactly is sent.
func WithCall(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callKey{}, name)
}

type callKey struct{}

// RefusedError says that the operator does not grant what was asked for. Another attempt would meet it again, so it is
// permanent: returned from a step it pauses the run with its text, which says what to grant.
type RefusedError struct {
	Reason string
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Reason }

// transport sends requests through the host of a step.
type transport struct{ step *stepContext }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		read, err := io.ReadAll(req.Body)
		if err = errors.Join(err, req.Body.Close()); err != nil {
			return nil, fmt.Errorf("sdk: read the body of the request: %w", err)
		}
		body = read
	}
	if t.step == nil {
		return nil, errors.New("sdk: HTTPClient: the context is not one of a running step, callback, timeout or hook")
	}
	timeout, err := timeLeft(req.Context())
	if err != nil {
		return nil, err
	}
	// Held until the answer is read: the host keeps one.
	t.step.sending.Lock()
	defer t.step.sending.Unlock()
	host := t.step.host
	if host == nil {
		return nil, errors.New("sdk: HTTPClient was used after its step had returned")
	}
	head, err := t.head(host, req, body)
	if err != nil {
		return nil, err
	}
	switch code := host.HTTPSend(head, body, timeout); {
	case code == abi.SendRefused:
		return nil, &RefusedError{Reason: string(readField(host, abi.FieldFailure))}
	case code < 0:
		return nil, errors.New(string(readField(host, abi.FieldFailure)))
	default:
		return answer(host, req, int(code)), nil
	}
}

// timeLeft returns how long the request may take, in milliseconds; 0 when its context does not say.
func timeLeft(ctx context.Context) (int32, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	until, ok := ctx.Deadline()
	if !ok {
		return 0, nil
	}
	left := time.Until(until)
	if left <= 0 {
		return 0, context.DeadlineExceeded
	}
	return int32(min(max(left.Milliseconds(), 1), math.MaxInt32)), nil
}

// head writes the request as docs/abi.md, section 2, wants it: a line for method and URL, and a line for each header.
func (t transport) head(host guest.Host, req *http.Request, body []byte) ([]byte, error) {
	if req.Host != "" && req.Host != req.URL.Host {
		return nil, fmt.Errorf("sdk: the request to %s names the host %q; a plugin cannot set Host", req.URL.Host, req.Host)
	}
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	target := *req.URL
	target.Fragment = ""
	url := target.String()
	if strings.ContainsAny(method+url, " \r\n") {
		return nil, fmt.Errorf("sdk: the method %q or the URL %q holds a space or a line break", method, url)
	}
	head := append(append(append([]byte(method), ' '), url...), '\n')
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		for _, value := range req.Header[name] {
			if strings.ContainsAny(name+value, "\r\n") {
				return nil, fmt.Errorf("sdk: the header %q holds a line break", name)
			}
			head = append(append(append(append(head, name...), ": "...), value...), '\n')
		}
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return head, nil
	}
	if _, own := req.Header["Idempotency-Key"]; own {
		return head, nil
	}
	key, err := t.idempotencyKey(req.Context(), host, method, url, body)
	return append(append(append(head, "Idempotency-Key: "...), key...), '\n'), err
}

// idempotencyKey returns what a request carries so that a repetition is known as one. REQUIRES: t.step.sending
func (t transport) idempotencyKey(ctx context.Context, host guest.Host, method, url string, body []byte) (string, error) {
	task := string(readField(host, abi.FieldIdempotencyKey))
	if name, ok := ctx.Value(callKey{}).(string); ok {
		if err := abi.CheckName(name); err != nil {
			return "", fmt.Errorf("sdk: WithCall: the name %w", err)
		}
		return task + "/" + name, nil
	}
	whole := sha256.New()
	whole.Write([]byte(method + "\n" + url + "\n"))
	whole.Write(body)
	digest := hex.EncodeToString(whole.Sum(nil)[:16])
	if t.step.sent == nil {
		t.step.sent = map[string]int{}
	}
	t.step.sent[digest]++
	return task + "/" + digest + "/" + strconv.Itoa(t.step.sent[digest]), nil
}

// answer makes a response of the fields that the host holds.
func answer(host guest.Host, req *http.Request, code int) *http.Response {
	head, body := string(readField(host, abi.FieldHTTPHead)), readField(host, abi.FieldHTTPBody)
	status, rest, _ := strings.Cut(head, "\n")
	header := http.Header{}
	for line := range strings.Lines(rest) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); ok {
			header[name] = append(header[name], value)
		}
	}
	length := int64(len(body))
	if req.Method == http.MethodHead {
		if n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil {
			length = n
		}
	}
	return &http.Response{
		Status: status, StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: req,
		ContentLength: length, Body: io.NopCloser(bytes.NewReader(body)),
	}
}

// readField returns a field in a slice of its own; nil when it is absent.
func readField(host guest.Host, field abi.Field) []byte {
	n := host.FieldRead(field, nil)
	if n < 0 {
		return nil
	}
	b := make([]byte, n)
	host.FieldRead(field, b)
	return b
}
