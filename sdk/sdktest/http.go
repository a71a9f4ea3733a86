package sdktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/wfrt/wfrt/sdk/abi"
)

// HTTP lets a handler answer the requests that the step sends through sdk.HTTPClient: it stands for every host that the plugin
// asks for with sdk.AskHTTP. Requests that it does not ask for are refused, as the server would, and so are all without this
// option.
//
//	sdktest.Run(t, orders, Priced, order, sdktest.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//		fmt.Fprint(w, `{"id":"ch_1"}`)
//	})))
//
// A handler that panics with http.ErrAbortHandler stands for a request without an answer.
func HTTP(handler http.Handler) Option { return func(h *host) { h.http = handler } }

// HTTPSend implements guest.Host.
func (h *host) HTTPSend(head, body []byte, _ int32) int32 {
	failed := func(code int32, format string, args ...any) int32 {
		h.left(map[abi.Field][]byte{abi.FieldFailure: fmt.Appendf(nil, format, args...)})
		return code
	}
	r, err := abi.ParseRequest(string(head))
	if err != nil {
		return failed(abi.SendFailed, "the request %v", err)
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return failed(abi.SendFailed, "the request to %s: %v", r.URL, err)
	}
	if !asksFor(u, r.Method) {
		return failed(abi.SendRefused, "the plugin does not ask for %s requests to %s: call sdk.AskHTTP(%q, %q) in init",
			r.Method, u.Host, u.Host, r.Method)
	}
	if h.http == nil {
		return failed(abi.SendRefused, "the test answers no requests: give sdktest.HTTP a handler that does")
	}
	req := httptest.NewRequestWithContext(context.Background(), r.Method, r.URL, bytes.NewReader(body))
	for _, header := range r.Header {
		value, err := h.inject(header.Value)
		if err != nil {
			return failed(abi.SendRefused, "%v", err)
		}
		req.Header.Add(header.Name, value)
	}
	answer, ok := serve(h.http, req)
	if !ok {
		return failed(abi.SendFailed, "%s %s: there was no answer", r.Method, r.URL)
	}
	defer func() { _ = answer.Body.Close() }()
	content, _ := io.ReadAll(answer.Body)
	h.left(map[abi.Field][]byte{abi.FieldHTTPHead: answerHead(answer), abi.FieldHTTPBody: content})
	return int32(answer.StatusCode)
}

// serve has the handler answer, and returns false when it aborts.
func serve(handler http.Handler, req *http.Request) (_ *http.Response, ok bool) {
	recorder := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil && !isAbort(p) {
			panic(p)
		}
	}()
	handler.ServeHTTP(recorder, req)
	return recorder.Result(), true
}

func isAbort(p any) bool {
	err, ok := p.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// answerHead writes the status and the headers of an answer, a line each.
func answerHead(r *http.Response) []byte {
	var head strings.Builder
	fmt.Fprintf(&head, "%s\n", r.Status)
	_ = r.Header.Write(&lines{&head}) // a Builder does not fail
	return []byte(head.String())
}

// lines drops carriage returns.
type lines struct{ to *strings.Builder }

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.to.WriteString(strings.ReplaceAll(string(b), "\r", ""))
	return len(b), nil
}

// asksFor reports whether the plugin asks for such requests.
func asksFor(u *url.URL, method string) bool {
	of, _ := asks()
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	for _, ask := range of.HTTP {
		if abi.HostMatches(ask.Host, u.Hostname(), port) && abi.MethodMatches(ask.Methods, method) {
			return true
		}
	}
	return false
}
