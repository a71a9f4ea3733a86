package httpapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wfrt/wfrt/runtime"
)

func (s *Server) registerWorkflows(api huma.API) {
	huma.Register(api, operation(http.MethodGet, "/v1/workflows", "list-workflows", "List workflows", ""), s.listWorkflows)
	get := operation(http.MethodGet, "/v1/workflows/{workflow}", "get-workflow", "Get a workflow", "", 404)
	huma.Register(api, get, s.getWorkflow)
	graph := operation(http.MethodGet, "/v1/workflows/{workflow}/graph", "get-graph", "Draw a workflow",
		"A Mermaid stateDiagram-v2.", 400, 404)
	graph.Responses["200"] = &huma.Response{
		Description: "The diagram",
		Content:     map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
	huma.Register(api, graph, s.graph)
}

type workflowsOutput struct{ Body WorkflowList }

func (s *Server) listWorkflows(context.Context, *struct{}) (*workflowsOutput, error) {
	catalog := s.opt.Engine.Catalog()
	out := &workflowsOutput{Body: WorkflowList{Workflows: []Workflow{}}}
	for _, name := range catalog.Names() {
		out.Body.Workflows = append(out.Body.Workflows, viewWorkflow(catalog.Workflow(name)))
	}
	return out, nil
}

type workflowInput struct {
	Workflow string `path:"workflow"`
}

type workflowOutput struct{ Body Workflow }

func (s *Server) getWorkflow(_ context.Context, in *workflowInput) (*workflowOutput, error) {
	w, err := s.workflow(in.Workflow)
	if err != nil {
		return nil, err
	}
	return &workflowOutput{Body: viewWorkflow(w)}, nil
}

func (s *Server) workflow(name string) (*runtime.Workflow, error) {
	catalog := s.opt.Engine.Catalog()
	if w := catalog.Workflow(name); w != nil {
		return w, nil
	}
	return nil, unknownWorkflow(name, catalog.Names())
}

type graphInput struct {
	Workflow  string `path:"workflow"`
	Direction string `query:"direction" enum:"TB,LR,RL,BT" default:"TB" doc:"Top to bottom, left to right, or a reverse."`
}

type textOutput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Body        []byte
}

func (s *Server) graph(_ context.Context, in *graphInput) (*textOutput, error) {
	w, err := s.workflow(in.Workflow)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(directions(), in.Direction) {
		return nil, unknown("direction", "directions", in.Direction, directions())
	}
	return &textOutput{ContentType: "text/plain; charset=utf-8", Body: []byte(Mermaid(w, in.Direction))}, nil
}
