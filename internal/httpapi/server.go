package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/runtime"
)

// Options configures a Server. Only Engine is required.
type Options struct {
	// AwaitMax is the longest that one await may ask for. Defaults to 10 minutes.
	AwaitMax time.Duration
	// Backup makes a backup and returns its folder. It is called from many goroutines. Defaults to none.
	Backup func(ctx context.Context) (string, error)
	// Engine is what is served.
	Engine Engine
	// Hosts are names of this server that clients use on a loopback address, as behind a proxy on the same machine, in lower
	// case and without a port. Names need not be listed when there is a token. Defaults to none but localhost.
	Hosts []string
	// Logger takes failures, and at level debug every request. Defaults to discarding them.
	Logger *slog.Logger
	// MaxBody is the largest body of a request, in bytes. Defaults to 1 MiB and 64 KiB.
	MaxBody int64
	// MaxModule is the largest module that can be deployed, in bytes. Defaults to 256 MiB.
	MaxModule int64
	// Metrics serves /metrics. Defaults to none.
	Metrics http.Handler
	// NotReady returns further causes why the server is not ready. It is called from many goroutines. Defaults to none.
	NotReady func() []string
	// Page serves the web page at / and its files below /ui/. It needs no token. Defaults to none.
	Page http.Handler
	// Plugins lists and changes the plugins. Defaults to none.
	Plugins Plugins
	// StopTimeout is how long requests under way may take to end when the server stops. Defaults to 10 seconds.
	StopTimeout time.Duration
	// Token is what clients have to present as "Authorization: Bearer TOKEN". Defaults to none: everyone is served.
	Token string
	// Version says which build serves.
	Version Version
}

// EnsureDefaults replaces each zero field by its default.
func (o *Options) EnsureDefaults() {
	if o.AwaitMax == 0 {
		o.AwaitMax = 10 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1<<20 + 1<<16
	}
	if o.MaxModule == 0 {
		o.MaxModule = 256 << 20
	}
	if o.Plugins == nil {
		o.Plugins = noPlugins{}
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 10 * time.Second
	}
}

// Validate reports all faults of the options at once. Call it after EnsureDefaults.
func (o *Options) Validate() error {
	var faults []error
	fault := func(bad bool, text string) {
		if bad {
			faults = append(faults, errors.New("httpapi: options: "+text))
		}
	}
	fault(o.Engine == nil, "Engine is required")
	fault(o.AwaitMax < 0, "AwaitMax must not be negative")
	fault(o.MaxBody < 0, "MaxBody must not be negative")
	fault(o.MaxModule < 0, "MaxModule must not be negative")
	fault(o.StopTimeout < 0, "StopTimeout must not be negative")
	return errors.Join(faults...)
}

// Server answers HTTP requests. It implements http.Handler; Serve runs it on a listener.
type Server struct {
	current atomic.Pointer[Server] // the one that answers: itself until Tune puts another in its place; nil in that other
	routes  []route                // of Handle

	opt      Options // never changed
	mux      *http.ServeMux
	handler  http.Handler
	draining context.Context //nolint:containedctx // ends when the server stops; long requests end with it
	drain    context.CancelCauseFunc
}

// New returns a server.
func New(opt Options) (*Server, error) {
	s := &Server{opt: opt}
	s.draining, s.drain = context.WithCancelCause(context.Background())
	if err := s.build(); err != nil {
		return nil, err
	}
	s.current.Store(s)
	return s, nil
}

func (s *Server) register(api huma.API) {
	s.registerRuns(api)
	s.registerPast(api)
	s.registerControl(api)
	s.registerBulk(api)
	s.registerCallbacks(api)
	s.registerSchedules(api)
	s.registerConnectors(api)
	s.registerOutbox(api)
	s.registerWorkflows(api)
	s.registerEvents(api)
	s.registerPlugins(api)
	s.registerSystem(api)
	finishDocument(api.OpenAPI())
}

// Handle serves pattern, as of http.ServeMux, behind the same guards. Call it before the server serves.
func (s *Server) Handle(pattern string, handler http.Handler) {
	s.routes = append(s.routes, route{pattern, handler})
	s.mux.Handle(pattern, handler)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.current.Load().handler.ServeHTTP(w, r)
}

// unrouted answers what no pattern takes: 405 when another method would do, else 404.
func (s *Server) unrouted(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		other := *r
		other.Method = method
		if _, pattern := s.mux.Handler(&other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	const hint = "GET /openapi.json describes every request"
	if len(allowed) > 0 && !slices.Contains(allowed, r.Method) {
		p := problem(http.StatusMethodNotAllowed, "method-not-allowed", "The method is not allowed here",
			fmt.Sprintf("%.20s is not allowed for %.200q", r.Method, r.URL.Path), "use "+strings.Join(allowed, " or ")+"; "+hint)
		p.Known = allowed
		p.withHeader("Allow", strings.Join(allowed, ", ")).write(w)
		return
	}
	problem(http.StatusNotFound, "no-such-path", "There is nothing here",
		fmt.Sprintf("there is nothing at %.200q", r.URL.Path), hint).write(w)
}

// untilDraining returns a context that ends with ctx, or, with the cause ErrStopping, when the server begins to stop. The
// caller must call the function.
func (s *Server) untilDraining(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.draining, func() { cancel(context.Cause(s.draining)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// Drain ends event streams and awaits, also those to come, and makes the server not ready. Other requests are still served.
// Serve calls it; whoever serves by other means calls it before waiting for requests to end.
func (s *Server) Drain() { s.drain(runtime.ErrStopping) }

// The limits of one request in time. An await and an event stream lift them and have their own.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// Serve answers what comes to ln until ctx ends; then it drains, lets requests under way end for at most StopTimeout, and
// returns nil when all did. It closes ln. Call it once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.opt.Logger.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- hs.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("httpapi: serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.Drain()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.current.Load().opt.StopTimeout)
	defer cancel()
	err := hs.Shutdown(stopping)
	if err != nil {
		err = fmt.Errorf("httpapi: stop: requests were cut off: %w", errors.Join(err, hs.Close()))
	}
	if serr := <-done; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("httpapi: serve %s: %w", ln.Addr(), serr))
	}
	return err
}
