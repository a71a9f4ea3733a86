package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

func (s *Server) registerSystem(api huma.API) {
	huma.Register(api, operation(http.MethodGet, "/v1/version", "get-version", "Get the server's version", ""), s.version)
	backup := operation(http.MethodPost, "/v1/store/backup", "back-up", "Back the store up",
		"Copies the store and the modules to a new folder, named after the time, in the folder backups of the data directory, while "+
			"runs go on. What was durable before the request is in it.", 503)
	backup.DefaultStatus = http.StatusCreated
	huma.Register(api, backup, s.backup)
	const open = "Needs no token."
	huma.Register(api, operation(http.MethodGet, "/healthz", "get-health", "Is the process alive?", open), s.health)
	huma.Register(api, operation(http.MethodGet, "/readyz", "get-readiness", "Does it take new runs?", open), s.readiness)
	ready := api.OpenAPI().Paths["/readyz"].Get.Responses
	ready["503"] = &huma.Response{Description: "Not ready, and why.", Content: ready["200"].Content}
}

// Backup is where a backup was made.
type Backup struct {
	Path string `json:"path" doc:"The folder, on the server's machine."`
}

type backupOutput struct{ Body Backup }

func (s *Server) backup(ctx context.Context, _ *struct{}) (*backupOutput, error) {
	if s.opt.Backup == nil {
		return nil, problem(http.StatusServiceUnavailable, "no-backup", "There is no backup", "this server makes no backups", "copy its data directory while it is stopped")
	}
	path, err := s.opt.Backup(ctx)
	if err != nil {
		return nil, problemOf(err)
	}
	return &backupOutput{Body: Backup{Path: path}}, nil
}

type versionOutput struct{ Body Version }

func (s *Server) version(context.Context, *struct{}) (*versionOutput, error) {
	return &versionOutput{Body: s.opt.Version}, nil
}

type healthOutput struct{ Body Health }

func (s *Server) health(context.Context, *struct{}) (*healthOutput, error) {
	return &healthOutput{Body: Health{Status: "ok"}}, nil
}

type readinessOutput struct {
	Status int
	Body   Readiness
}

func (s *Server) readiness(context.Context, *struct{}) (*readinessOutput, error) {
	causes := []string{}
	if err := s.opt.Engine.Err(); err != nil {
		causes = append(causes, err.Error())
	}
	if s.draining.Err() != nil {
		causes = append(causes, "the server is stopping")
	}
	if s.opt.NotReady != nil {
		causes = append(causes, s.opt.NotReady()...)
	}
	out := &readinessOutput{Status: http.StatusOK, Body: Readiness{Ready: len(causes) == 0, Causes: causes}}
	if !out.Body.Ready {
		out.Status = http.StatusServiceUnavailable
	}
	return out, nil
}
