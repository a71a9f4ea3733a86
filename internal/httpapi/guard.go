package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// watched keeps a panic from ending the connection without an answer, and writes the access log at level debug. What it answers
// is for programs and for the pages of this server.
func (s *Server) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &recorder{ResponseWriter: w}
		// No page of another origin shall embed what is answered, or have it taken for a script.
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer func() { s.answered(rec, r, began, recover()) }()
		next.ServeHTTP(rec, r)
	})
}

// answered ends a request. panicked is what the handler panicked with, or nil.
func (s *Server) answered(rec *recorder, r *http.Request, began time.Time, panicked any) {
	if panicked != nil {
		if panicked == http.ErrAbortHandler { //nolint:errorlint // the value that net/http compares with ==
			panic(panicked)
		}
		s.opt.Logger.ErrorContext(r.Context(), "a request failed", "method", r.Method, "path", r.URL.Path,
			"panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
		if rec.status != 0 {
			panic(http.ErrAbortHandler) // half an answer must not look whole
		}
		problemOf(fmt.Errorf("httpapi: the handler panicked: %v", panicked)).write(rec)
	}
	s.opt.Logger.DebugContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path, "status", rec.status,
		"took", time.Since(began), "remote", r.RemoteAddr)
}

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// ownHost refuses requests that reached a loopback address under a foreign name. A page in a browser on this machine could
// otherwise point its own name at 127.0.0.1 (DNS rebinding) and then read and trigger as if it were of the same origin. With
// a token there is nothing to gain that way.
func (s *Server) ownHost(next http.Handler) http.Handler {
	if s.opt.Token != "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && isLoopback(local) && !s.namesUs(r.Host) {
			problem(http.StatusMisdirectedRequest, "foreign-host", "The Host is not ours",
				fmt.Sprintf("the request came to a loopback address for the host %.80q", r.Host),
				"use localhost or 127.0.0.1; behind a proxy, set a token or name the host in server.hosts").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLoopback(addr net.Addr) bool {
	at, err := netip.ParseAddrPort(addr.String())
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// namesUs reports whether the Host is an address, which cannot be rebound, localhost, or a name of the config.
func (s *Server) namesUs(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(s.opt.Hosts, host)
}

// sameOrigin refuses what a browser sends on behalf of another site, unless it changes nothing.
func sameOrigin(next http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(http.StatusForbidden, "cross-origin", "The request is of another site",
			"a browser sent the request on behalf of a page of another origin",
			"send it from a page of this server, or from a program that is no browser").write(w)
	}))
	return guard.Handler(next)
}

// needsToken reports whether a path is for those with a token: all are but health, readiness and the web page, which asks for it.
func (s *Server) needsToken(path string) bool {
	switch {
	case path == "/healthz" || path == "/readyz":
		return false
	case s.opt.Page != nil && (path == "/" || strings.HasPrefix(path, "/ui/")):
		return false
	default:
		return true
	}
}

// authorized wants the token where it is needed.
func (s *Server) authorized(next http.Handler) http.Handler {
	if s.opt.Token == "" {
		return next
	}
	want := sha256.Sum256([]byte(s.opt.Token)) // so that the time of the comparison does not tell the length either
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.needsToken(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !strings.EqualFold(scheme, "Bearer") {
			detail := "the request carries no token"
			if scheme != "" {
				detail = "the token is not the server's"
			}
			problem(http.StatusUnauthorized, "unauthorized", "A token is needed", detail,
				"send Authorization: Bearer with the server's token (server.token); the command line takes it from WFRT_TOKEN").
				withHeader("WWW-Authenticate", `Bearer realm="wfrt"`).write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// unhurried lifts the server's limits of time from an operation that may take long and limits itself.
func unhurried(ctx huma.Context, next func(huma.Context)) {
	_, w := humago.Unwrap(ctx)
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{})  // where there is no connection there is no limit
	_ = rc.SetWriteDeadline(time.Time{}) // likewise
	next(ctx)
}

// patient gives an operation that reads a body and then waits the time of a request beyond the longest wait that is allowed.
func (s *Server) patient(ctx huma.Context, next func(huma.Context)) {
	_, w := humago.Unwrap(ctx)
	rc := http.NewResponseController(w)
	end := time.Now().Add(s.opt.AwaitMax + requestTimeout)
	_ = rc.SetReadDeadline(end)  // where there is no connection there is no limit
	_ = rc.SetWriteDeadline(end) // likewise
	next(ctx)
}
