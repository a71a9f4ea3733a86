package httpapi

import (
	"net/http"
)

// Tunable returns the part of the options that may change while a server serves, which Server.Tune takes over; all else is zero.
func (o *Options) Tunable() Options {
	return Options{AwaitMax: o.AwaitMax, Hosts: o.Hosts, MaxBody: o.MaxBody, StopTimeout: o.StopTimeout, Token: o.Token}
}

// Tune puts the tunable part of opt in the place of what the server was made with, as a whole: requests that begin after its
// return meet it, those under way end with what they began with. A zero field means its default, as in New. When a field is at
// fault, Tune returns an error and changes nothing. Calls of Tune and Handle are made one at a time.
func (s *Server) Tune(opt Options) error {
	tuned := s.opt
	tuned.AwaitMax, tuned.Hosts, tuned.MaxBody, tuned.StopTimeout, tuned.Token = opt.AwaitMax, opt.Hosts, opt.MaxBody, opt.StopTimeout, opt.Token
	next := &Server{opt: tuned, draining: s.draining, drain: s.drain}
	if err := next.build(); err != nil {
		return err
	}
	for _, r := range s.routes {
		next.mux.Handle(r.pattern, r.handler)
	}
	s.current.Store(next)
	return nil
}

// route is what Handle was told.
type route struct {
	pattern string
	handler http.Handler
}

// build makes the handler of the options.
func (s *Server) build() error {
	s.opt.EnsureDefaults()
	if err := s.opt.Validate(); err != nil {
		return err
	}
	s.mux = http.NewServeMux()
	api := newAPI(s.mux)
	s.register(api)
	if err := serveDocument(s.mux, api.OpenAPI()); err != nil {
		return err
	}
	if s.opt.Metrics != nil {
		s.mux.Handle("GET /metrics", s.opt.Metrics)
	}
	if s.opt.Page != nil {
		s.mux.Handle("GET /{$}", s.opt.Page)
		s.mux.Handle("GET /ui/", s.opt.Page)
	}
	s.mux.HandleFunc("/", s.unrouted)
	s.handler = s.watched(s.ownHost(sameOrigin(s.authorized(s.mux))))
	return nil
}
