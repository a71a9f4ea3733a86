package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

const (
	maxRequestHead  = 64 << 10 // bytes
	maxResponseHead = 64 << 10 // bytes
	idlePerHost     = 16       // connections of one module that wait for the next request
	idleConnections = 64
)

// reply is what the last call of a capability left for the guest to read.
type reply struct {
	head    []byte // abi.FieldHTTPHead
	body    []byte // abi.FieldHTTPBody
	there   bool   // there are a head and a body
	failure string // abi.FieldFailure; "" when there is none
}

// field returns the bytes of a field, or false when the reply does not have it.
func (a *reply) field(field abi.Field) ([]byte, bool) {
	switch field {
	case abi.FieldHTTPHead:
		return a.head, a.there
	case abi.FieldHTTPBody:
		return a.body, a.there
	case abi.FieldFailure:
		return []byte(a.failure), a.failure != ""
	default:
		return nil, false
	}
}

// refusal is an error that says what the operator does not grant.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{text: fmt.Sprintf(format, args...)} }

var (
	errTimeUp = errors.New("its time was up")
	errEnded  = errors.New("the host ended the call")
)

// httpSend is http_send(head_ptr, head_len, body_ptr, body_len, timeout_ms) → status, or abi.SendRefused or abi.SendFailed.
func httpSend(i *instance, guest api.Module, stack []uint64) {
	if i.call.phase != phaseInvoke {
		fail("http_send: only a handler may send a request")
	}
	if i.call.in.Handler.Kind == runtime.HandlerSelfTest {
		fail("http_send: a module's test of itself cannot send a request: nothing of it serves yet")
	}
	if size := uint32(stack[1]); size > maxRequestHead {
		fail("http_send: the head of the request has %d bytes, more than the limit of %d", size, maxRequestHead)
	}
	head := string(i.view(guest, "http_send", uint32(stack[0]), uint32(stack[1])))
	body := i.view(guest, "http_send", uint32(stack[2]), uint32(stack[3]))
	timeout := time.Duration(max(int32(uint32(stack[4])), 0)) * time.Millisecond
	i.call.reply = reply{}
	i.rest()
	i.fuel.since = time.Time{} // what it waits here is no measure of its pace
	status, err := i.send(head, body, timeout)
	if err != nil {
		i.checkpoint() // what it waited for may have ended because the call does
		status = abi.SendFailed
		var refused *refusal
		if errors.As(err, &refused) {
			status, err = abi.SendRefused, refused
		}
		i.call.reply = reply{failure: cutText(strings.ToValidUTF8(err.Error(), "\uFFFD"), maxReason)}
	}
	stack[0] = uint64(uint32(status))
}

// send sends a request, when all that the guest has seen is durable, and keeps the answer. body is the guest's memory.
func (i *instance) send(head string, body []byte, timeout time.Duration) (int32, error) {
	parsed, err := abi.ParseRequest(head)
	if err != nil {
		return 0, fmt.Errorf("the request %w", err)
	}
	caps := i.module.caps.Load()
	to, err := caps.check(&parsed)
	if err != nil {
		return 0, err
	}
	rule := to.rule
	about := parsed.Method + " " + to.Redacted()
	if int64(len(body)) > rule.RequestBytes {
		return 0, fmt.Errorf("%s: the body of the request has %d bytes, more than the limit of %d (%s)", about, len(body),
			rule.RequestBytes, caps.hostKey(rule, "request_bytes"))
	}
	if err := caps.inject(parsed.Header, to); err != nil {
		return 0, err
	}
	limit := rule.Timeout
	if timeout > 0 {
		limit = min(limit, timeout)
	}
	ctx, stop := i.limited(limit)
	defer stop()
	i.rest()
	if err := i.call.in.Settle(ctx); err != nil {
		if errors.Is(err, runtime.ErrStoreFailed) {
			panic(&fault{text: err.Error(), aborted: true})
		}
		return 0, fmt.Errorf("%s: what comes before it was not durable in time: %w", about, orCause(ctx, err))
	}
	// The transport may read the body after it has answered: it gets a copy.
	req, err := http.NewRequestWithContext(ctx, parsed.Method, to.String(), bytes.NewReader(bytes.Clone(body)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", about, err)
	}
	if len(body) == 0 {
		req.Body, req.GetBody = nil, nil
	}
	if req.Header, err = requestHeader(parsed.Header); err != nil {
		return 0, fmt.Errorf("%s: %w", about, err)
	}
	response, err := caps.client.RoundTrip(req)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", about, orCause(ctx, err))
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	if response.StatusCode < 200 || response.StatusCode > 999 {
		return 0, fmt.Errorf("%s: it was answered with the status %d", about, response.StatusCode)
	}
	content, err := readAll(response, rule.ResponseBytes)
	switch {
	case errors.Is(err, errTooLong):
		return 0, fmt.Errorf("%s: the answer %s has more bytes than the limit of %d (%s)", about, response.Status,
			rule.ResponseBytes, caps.hostKey(rule, "response_bytes"))
	case err != nil:
		return 0, fmt.Errorf("%s: read the answer %s: %w", about, response.Status, orCause(ctx, err))
	}
	i.call.reply = reply{head: responseHead(response), body: content, there: true}
	return int32(response.StatusCode), nil
}

// limited returns a context that ends with the call, and when a time is up. The caller stops it.
func (i *instance) limited(limit time.Duration) (ctx context.Context, stop func()) {
	clock := i.module.host.options.Clock
	ctx, cancel := context.WithCancelCause(context.Background())
	timer := clock.AfterFunc(max(0, min(limit, i.call.deadline.Sub(clock.Now()))), func() { cancel(errTimeUp) })
	done := i.call.done
	go func() {
		select {
		case <-done:
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// orCause returns why ctx has ended instead of an error that says only that it has.
func orCause(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// destination is where a request goes.
type destination struct {
	*url.URL
	host, port string    // of the URL; the port is a number
	rule       *httpRule // that lets it go there
}

// check returns where a request goes, or why it may not go there.
func (c *capabilities) check(r *abi.Request) (*destination, error) {
	to, err := url.Parse(r.URL)
	if err != nil {
		return nil, fmt.Errorf("the request to %.200q: %w", r.URL, errors.Unwrap(err))
	}
	switch {
	case to.Scheme != "http" && to.Scheme != "https":
		return nil, fmt.Errorf("the request to %.200q: a URL begins with http:// or https://", r.URL)
	case to.User != nil:
		return nil, fmt.Errorf("the request to %s: a user and a password are sent in the header Authorization, not in the URL",
			to.Redacted())
	}
	host, port := to.Hostname(), to.Port()
	if err := abi.CheckURLHost(host); err != nil {
		return nil, fmt.Errorf("the request to %.200q: the URL %w", r.URL, err)
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[to.Scheme]
	}
	to.Fragment, to.RawFragment = "", ""
	if !slices.ContainsFunc(c.asks.HTTP, func(ask abi.HTTPAsk) bool {
		return abi.HostMatches(ask.Host, host, port) && abi.MethodMatches(ask.Methods, r.Method)
	}) {
		return nil, refuse("the plugin does not ask for %s requests to %s: ask with sdk.AskHTTP(%q, %q)",
			r.Method, to.Host, to.Host, r.Method)
	}
	rule := c.rule(host, port)
	switch {
	case rule == nil:
		return nil, refuse("the operator does not let the plugin send requests to %s: add the host to %s, as in %q: {methods: [%s]}",
			to.Host, c.key("http"), to.Host, r.Method)
	case !abi.MethodMatches(rule.Methods, r.Method):
		return nil, refuse("the operator does not let the plugin send %s requests to %s: add the method to %s", r.Method, to.Host,
			c.hostKey(rule, "methods"))
	}
	return &destination{URL: to, host: host, port: port, rule: rule}, nil
}

// hostKey is the key of the configuration that holds a setting of a granted host.
func (c *capabilities) hostKey(r *httpRule, setting string) string {
	return c.key("http") + "." + r.pattern + "." + setting
}

// requestHeader makes the header of a request. What belongs to the connection, and what says where the request goes and where it
// ends, is the host's to say.
func requestHeader(list []abi.Header) (http.Header, error) {
	header := http.Header{"User-Agent": {"wfrt"}}
	own := false
	for _, h := range list {
		name := http.CanonicalHeaderKey(h.Name)
		switch name {
		case "Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
			"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
			return nil, fmt.Errorf("the header %s is the server's to set; leave it out", name)
		case "User-Agent":
			if !own {
				delete(header, name)
			}
			own = true
		}
		header[name] = append(header[name], h.Value)
	}
	return header, nil
}

// responseHead writes the status and the headers of an answer as docs/abi.md, section 2, says: a line each.
func responseHead(r *http.Response) []byte {
	plain := strings.NewReplacer("\r", " ", "\n", " ")
	head := append([]byte(plain.Replace(r.Status)), '\n')
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			head = append(append(append(append(head, name...), ": "...), plain.Replace(value)...), '\n')
		}
	}
	return head
}

var errTooLong = errors.New("it is too long")

// readAll reads the body of an answer, and holds at no time more than limit bytes of it.
func readAll(r *http.Response, limit int64) ([]byte, error) {
	if r.ContentLength > limit && r.Request.Method != http.MethodHead {
		return nil, errTooLong
	}
	size := int64(4 << 10)
	if r.ContentLength >= 0 {
		size = r.ContentLength + 1 // so that the end is seen without growing
	}
	b := make([]byte, 0, min(size, limit))
	for {
		if len(b) == cap(b) {
			if int64(len(b)) == limit {
				return b, atEnd(r.Body)
			}
			b = append(make([]byte, 0, min(2*int64(cap(b))+1, limit)), b...)
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// atEnd returns errTooLong unless the reader is at its end.
func atEnd(r io.Reader) error {
	var more [1]byte
	for {
		n, err := r.Read(more[:])
		switch {
		case n > 0:
			return errTooLong
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// newTransport returns the connections of one module. It asks no environment for a proxy, follows no redirect, and keeps to the
// addresses that are granted.
func newTransport(c *capabilities) *http.Transport {
	return &http.Transport{
		DialContext:            c.dial,
		DisableCompression:     true, // the guest gets what was sent, and the limit counts what is kept
		ForceAttemptHTTP2:      true,
		IdleConnTimeout:        time.Minute,
		MaxIdleConns:           idleConnections,
		MaxIdleConnsPerHost:    idlePerHost,
		MaxResponseHeaderBytes: maxResponseHead,
		Proxy:                  nil,
		TLSHandshakeTimeout:    10 * time.Second,
	}
}

// dial connects to a host that is granted. The address is checked once it is resolved and before anything is sent to it, for each
// that is tried: what a name resolved to when it was looked at says nothing about what it resolves to now.
func (c *capabilities) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	rule := c.rule(host, port)
	if rule == nil {
		return nil, refuse("the operator does not let the plugin send requests to %s", address)
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	if rule.Address != "" {
		return dialer.DialContext(ctx, network, rule.Address)
	}
	dialer.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return refuse("the address %s of %s is none of the Internet protocol", resolved, host)
		}
		if !rule.allows(to.Addr()) {
			return refuse("%s is at %s, which is not a public address: if that is meant, add it to %s", host, to.Addr(),
				c.hostKey(rule, "allow_private"))
		}
		return nil
	}
	return dialer.DialContext(ctx, network, address)
}
