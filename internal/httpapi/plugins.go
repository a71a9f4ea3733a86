package httpapi

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Plugins is what the plugin host knows and can do. All methods are called from many goroutines; what they return belongs to the
// caller. A change answers with the plugin as it then is, or with an error: ErrUnknownPlugin, *PluginRefusedError, or what
// problems.go knows.
type Plugins interface {
	List() []Plugin
	Get(name string) (PluginDetail, error)
	Deploy(ctx context.Context, d *PluginDeployment) (PluginDetail, error)
	Rollback(ctx context.Context, name, to string, o PluginOrder) (PluginDetail, error)
	Promote(ctx context.Context, name string, o PluginOrder) (PluginDetail, error)
	Remove(ctx context.Context, name string, o PluginOrder) error
}

// PluginDeployment asks for a module to serve.
type PluginDeployment struct {
	Name      string
	Module    []byte
	Signature []byte  // minisign's; nil: none
	Canary    float64 // the share of the new runs, in (0, 1); 0: no canary
	PluginOrder
}

// PluginOrder is who asks for a change, and how firmly.
type PluginOrder struct {
	By    string
	Force bool
}

// ErrUnknownPlugin says that there is no plugin of that name.
var ErrUnknownPlugin = errors.New("there is no such plugin")

// PluginRefusedError says why a module does not serve.
type PluginRefusedError struct {
	Detail string
	Left   []RunsLeft // the runs that keep it out; empty when something else does
}

func (e *PluginRefusedError) Error() string { return e.Detail }

// RunsLeft are runs that a change of plugins would leave behind.
type RunsLeft struct {
	Workflow string `json:"workflow"`
	Status   string `json:"status,omitempty" doc:"Absent: in any."`
	Runs     int    `json:"runs" doc:"How many; 1000 stands for as many or more."`
}

// Plugin is one plugin as the host sees it.
type Plugin struct {
	Name         string        `json:"name" doc:"The plugin's name: that of its file without .wasm."`
	File         string        `json:"file" doc:"The file's name in the plugins directory, whether there is one or not."`
	Digest       string        `json:"digest,omitempty" doc:"SHA-256 of the module that serves, 64 hexadecimal digits."`
	FileDigest   string        `json:"file_digest,omitempty" doc:"SHA-256 of what was last read of its file in the plugins directory, whether it serves or not; absent when it could not be read or is not trusted."`
	Loading      bool          `json:"loading,omitempty" doc:"A module is being made of its file, or of what is deployed under its name: error is not yet of that."`
	Version      string        `json:"version,omitempty" doc:"The version that the plugin declares."`
	SDK          string        `json:"sdk,omitempty" doc:"The SDK that built it."`
	Workflows    []string      `json:"workflows" nullable:"false" doc:"The workflows it has steps of."`
	State        string        `json:"state" doc:"Whether it serves."`
	Error        string        `json:"error,omitempty" doc:"Why it does not serve, or why what lies in the plugins directory does not."`
	Note         string        `json:"note,omitempty" doc:"What is worth knowing and not wrong."`
	Hint         string        `json:"hint,omitempty" doc:"What to do about it."`
	Size         int64         `json:"size" doc:"The module's size in bytes."`
	LoadedAt     time.Time     `json:"loaded_at,omitzero" doc:"When it began to serve."`
	How          string        `json:"how,omitempty" enum:"file,deploy,promote,rollback" doc:"In what way it came to serve."`
	By           string        `json:"by,omitempty" doc:"Who had it serve, as they said."`
	Instances    int           `json:"instances" doc:"Instances that live, of all its modules."`
	Invocations  uint64        `json:"invocations" doc:"Invocations since the process began, of all its modules."`
	Traps        uint64        `json:"traps" doc:"Those of them that the plugin did not survive."`
	Isolation    string        `json:"isolation,omitempty" enum:"fresh,pooled" doc:"What one invocation may find of the last: nothing, or the memory as it was left."`
	Unrestorable string        `json:"unrestorable,omitempty" doc:"With the isolation fresh: why its state cannot be restored, so that each invocation makes an instance, which takes long."`
	Canary       *PluginCanary `json:"canary,omitempty" doc:"The version that only a share of the new runs begins on."`

	Capabilities []Capability `json:"capabilities,omitempty" nullable:"false" doc:"What it asks for beyond its own memory."`
}

// Capability is one thing that a plugin asks for.
type Capability struct {
	What    string `json:"what" doc:"In words."`
	Granted bool   `json:"granted" doc:"Whether the operator grants it; what is not granted is refused when it is used."`
	Key     string `json:"key" doc:"The key of the configuration that grants it."`
}

// PluginCanary is a version on trial.
type PluginCanary struct {
	Digest      string    `json:"digest" doc:"SHA-256 of its module."`
	Percent     float64   `json:"percent" doc:"Of the new runs."`
	Since       time.Time `json:"since"`
	By          string    `json:"by,omitempty" doc:"Who put it on trial, as they said."`
	Invocations int       `json:"invocations" doc:"Of its module, within plugins.canary.window."`
	Errors      int       `json:"errors" doc:"Those of them that failed."`
}

// PluginDetail is a plugin with its versions.
type PluginDetail struct {
	Plugin
	Ended    *PluginTrial    `json:"ended,omitempty" doc:"The last trial that ended without a promotion."`
	Versions []PluginVersion `json:"versions" nullable:"false" doc:"The versions that can serve again, the newest first."`
}

// PluginTrial is a trial that ended without a promotion.
type PluginTrial struct {
	Digest string    `json:"digest" doc:"SHA-256 of its module."`
	At     time.Time `json:"at" doc:"When it ended."`
	Cause  string    `json:"cause" doc:"Why."`
}

// PluginVersion is a module that a plugin has had.
type PluginVersion struct {
	Digest     string    `json:"digest" doc:"SHA-256 of the module."`
	Version    string    `json:"version,omitempty" doc:"The version that the plugin declares."`
	SDK        string    `json:"sdk,omitempty" doc:"The SDK that built it."`
	Size       int64     `json:"size" doc:"The module's size in bytes."`
	State      string    `json:"state" enum:"serving,canary,needed,kept" doc:"needed: runs go by it although it does not serve."`
	DeployedAt time.Time `json:"deployed_at" doc:"When it came."`
	How        string    `json:"how" enum:"file,deploy,canary" doc:"In what way it came."`
	By         string    `json:"by,omitempty" doc:"Who deployed it, as they said."`
}

// signatureHeader carries a minisign signature of a module, in base64.
const signatureHeader = "Wfrt-Signature"

func (s *Server) registerPlugins(api huma.API) {
	huma.Register(api, operation(http.MethodGet, "/v1/plugins", "list-plugins", "List plugins", ""), s.listPlugins)
	get := operation(http.MethodGet, "/v1/plugins/{name}", "get-plugin", "Get a plugin with its versions", "", 404)
	huma.Register(api, get, s.getPlugin)

	deploy := operation(http.MethodPost, "/v1/plugins", "deploy-plugin", "Deploy a module",
		"The body is the module. It is checked, compiled and tested, and serves when this answers: at once for every run, or, with "+
			"canary, for a share of the new ones. The bytes are kept, so that it can serve again. A module that cannot serve is refused, "+
			"and what served before goes on.", 400, 409, 413, 422, 503)
	deploy.RequestBody = &huma.RequestBody{}
	deploy.MaxBodyBytes = s.opt.MaxModule + 1 // huma refuses a body of exactly this size
	deploy.Middlewares = huma.Middlewares{s.patient}
	huma.Register(api, deploy, s.deployPlugin)

	rollback := operation(http.MethodPost, "/v1/plugins/{name}/rollback", "roll-back-plugin", "Roll a plugin back",
		"Ends the trial of its canary, or has the version before serve again, or the one that the body names.", 400, 404, 409, 413, 422, 503)
	s.takesBody(&rollback)
	rollback.Middlewares = huma.Middlewares{s.patient}
	huma.Register(api, rollback, s.rollBackPlugin)
	bodyOf[RollbackRequest](api, api.OpenAPI().Paths[rollback.Path].Post, true)

	promote := operation(http.MethodPost, "/v1/plugins/{name}/promote", "promote-plugin", "Promote a plugin's canary",
		"The version on trial serves every run from now on.", 400, 404, 409, 413, 422, 503)
	s.takesBody(&promote)
	promote.Middlewares = huma.Middlewares{s.patient}
	huma.Register(api, promote, s.promotePlugin)
	bodyOf[OrderRequest](api, api.OpenAPI().Paths[promote.Path].Post, true)

	remove := operation(http.MethodDelete, "/v1/plugins/{name}", "remove-plugin", "Remove a plugin",
		"It serves no longer, and its versions are forgotten. Refused while runs need it. A file of it in the plugins directory is not "+
			"loaded again until it changes.", 400, 404, 409, 503)
	huma.Register(api, remove, s.removePlugin)
}

// noPlugins stands for a host when there is none.
type noPlugins struct{}

func (noPlugins) List() []Plugin { return nil }

func (noPlugins) Get(string) (PluginDetail, error) { return PluginDetail{}, ErrUnknownPlugin }

func (noPlugins) Deploy(context.Context, *PluginDeployment) (PluginDetail, error) {
	return PluginDetail{}, &PluginRefusedError{Detail: "this server takes no plugins"}
}

func (noPlugins) Rollback(context.Context, string, string, PluginOrder) (PluginDetail, error) {
	return PluginDetail{}, ErrUnknownPlugin
}

func (noPlugins) Promote(context.Context, string, PluginOrder) (PluginDetail, error) {
	return PluginDetail{}, ErrUnknownPlugin
}

func (noPlugins) Remove(context.Context, string, PluginOrder) error { return ErrUnknownPlugin }

type pluginsOutput struct{ Body PluginList }

func (s *Server) listPlugins(context.Context, *struct{}) (*pluginsOutput, error) {
	out := &pluginsOutput{Body: PluginList{Plugins: []Plugin{}}}
	for _, p := range s.opt.Plugins.List() {
		if p.Workflows == nil {
			p.Workflows = []string{}
		}
		out.Body.Plugins = append(out.Body.Plugins, p)
	}
	return out, nil
}

type pluginInput struct {
	Name string `path:"name"`
}

type pluginOutput struct{ Body PluginDetail }

func (s *Server) getPlugin(_ context.Context, in *pluginInput) (*pluginOutput, error) {
	p, err := s.opt.Plugins.Get(in.Name)
	return s.plugin(in.Name, &p, err)
}

// plugin answers with a plugin, or with what was wrong.
func (s *Server) plugin(name string, p *PluginDetail, err error) (*pluginOutput, error) {
	if err != nil {
		return nil, s.pluginProblem(name, err)
	}
	if p.Workflows == nil {
		p.Workflows = []string{}
	}
	if p.Versions == nil {
		p.Versions = []PluginVersion{}
	}
	return &pluginOutput{Body: *p}, nil
}

func (s *Server) pluginProblem(name string, err error) *Problem {
	var refused *PluginRefusedError
	switch {
	case errors.Is(err, ErrUnknownPlugin):
		var known []string
		for _, p := range s.opt.Plugins.List() {
			known = append(known, p.Name)
		}
		p := problem(http.StatusNotFound, "unknown-plugin", "There is no such plugin", fmt.Sprintf("there is no plugin %.80q", name),
			knownHint("plugins", name, known))
		p.Known = known
		return p
	case errors.As(err, &refused) && len(refused.Left) > 0:
		p := problem(http.StatusConflict, "runs-left-behind", "Runs would be left behind", refused.Detail,
			"let those runs end or move them, or force it: runs that it leaves behind go on with the version before")
		p.Left = refused.Left
		return p
	case errors.As(err, &refused):
		return problem(http.StatusUnprocessableEntity, "plugin-refused", "The module cannot serve", refused.Detail,
			"do what it says and deploy the module again; `wfrt check` examines a module without a server")
	default:
		return problemOf(err)
	}
}

type deployInput struct {
	Name      string `query:"name" doc:"The plugin's name, as that of its file without .wasm. Required."`
	Canary    string `query:"canary" doc:"The percentage of the new runs that begin on it, above 0 and below 100; empty: all of them."`
	Force     string `query:"force" enum:"true,false" doc:"Have it serve although it leaves runs behind: they go on with the version before."`
	By        string `query:"by" doc:"Who deploys it. It is kept with the version."`
	Signature string `header:"Wfrt-Signature" doc:"The module's minisign signature, the content of FILE.wasm.minisig in base64."`
	RawBody   []byte `contentType:"application/wasm"`
}

func (s *Server) deployPlugin(ctx context.Context, in *deployInput) (*pluginOutput, error) {
	d := &PluginDeployment{Name: in.Name, Module: in.RawBody}
	if in.Name == "" {
		return nil, invalid("name", "is missing", "name the plugin in the parameter name: ?name=orders")
	}
	var err error
	if d.PluginOrder, err = orderOf(in.By, in.Force); err != nil {
		return nil, err
	}
	if in.Canary != "" {
		percent, err := strconv.ParseFloat(in.Canary, 64)
		if err != nil || !(percent > 0 && percent < 100) {
			return nil, invalid("canary", fmt.Sprintf("is %.80q, no percentage of the new runs", in.Canary), "give a number above 0 and below 100")
		}
		d.Canary = percent / 100
	}
	if d.Signature, err = base64.StdEncoding.DecodeString(in.Signature); err != nil {
		return nil, invalid(signatureHeader, "is not base64", "send the content of the .minisig file in base64, on one line")
	}
	p, err := s.opt.Plugins.Deploy(ctx, d)
	return s.plugin(in.Name, &p, err)
}

// orderOf reads what a query says of who asks.
func orderOf(by, force string) (PluginOrder, error) {
	o := PluginOrder{By: by}
	if len(by) > maxNote {
		return o, invalid("by", fmt.Sprintf("has %d bytes", len(by)), fmt.Sprintf("say it in %d", maxNote))
	}
	if force != "" {
		var err error
		if o.Force, err = strconv.ParseBool(force); err != nil {
			return o, invalid("force", fmt.Sprintf("is %.80q", force), "say true or false")
		}
	}
	return o, nil
}

// OrderRequest is the body of a change of a plugin: who asks, and how firmly.
type OrderRequest struct {
	By    string `json:"by,omitempty" doc:"Who."`
	Force bool   `json:"force,omitempty" doc:"Do it although it leaves runs behind: they go on with the version before."`
}

// RollbackRequest is the body of a rollback.
type RollbackRequest struct {
	To    string `json:"to,omitempty" doc:"The beginning of the digest of the version to serve again, 6 digits or more."`
	By    string `json:"by,omitempty" doc:"Who."`
	Force bool   `json:"force,omitempty" doc:"Do it although it leaves runs behind: they go on with the version before."`
}

type changeInput struct {
	Name    string `path:"name"`
	RawBody []byte `contentType:"application/json"`
}

func (s *Server) rollBackPlugin(ctx context.Context, in *changeInput) (*pluginOutput, error) {
	var body RollbackRequest
	if len(in.RawBody) > 0 {
		var err error
		if body, err = decodeBody[RollbackRequest](in.RawBody, "a rollback", `send {"to": "…", "by": "…"}, or no body`); err != nil {
			return nil, err
		}
	}
	p, err := s.opt.Plugins.Rollback(ctx, in.Name, body.To, PluginOrder{By: body.By, Force: body.Force})
	return s.plugin(in.Name, &p, err)
}

func (s *Server) promotePlugin(ctx context.Context, in *changeInput) (*pluginOutput, error) {
	var body OrderRequest
	if len(in.RawBody) > 0 {
		var err error
		if body, err = decodeBody[OrderRequest](in.RawBody, "a promotion", `send {"by": "…"}, or no body`); err != nil {
			return nil, err
		}
	}
	p, err := s.opt.Plugins.Promote(ctx, in.Name, PluginOrder(body))
	return s.plugin(in.Name, &p, err)
}

type removeInput struct {
	Name string `path:"name"`
	By   string `query:"by" doc:"Who removes it. It is in the server's log."`
}

func (s *Server) removePlugin(ctx context.Context, in *removeInput) (*struct{}, error) {
	o, err := orderOf(in.By, "")
	if err != nil {
		return nil, err
	}
	if err := s.opt.Plugins.Remove(ctx, in.Name, o); err != nil {
		p := s.pluginProblem(in.Name, err)
		if p.Left != nil {
			p.Hint = "let those runs end, cancel them, or move them; nothing forces a plugin away from its runs"
		}
		return nil, p
	}
	return nil, nil
}
