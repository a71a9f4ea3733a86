package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// newAPI returns an API without huma's own pages, in which every error is a Problem.
func newAPI(mux *http.ServeMux) huma.API {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.Schema(reflect.TypeFor[Problem](), true, "")
	api := humago.New(mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "wfrt",
				Version:     "1",
				Description: "Runs workflows whose steps are WebAssembly plugins. Every error is a Problem.",
				License:     &huma.License{Name: "MIT", Identifier: "MIT"},
			},
			Components: &huma.Components{
				Schemas:         registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}},
			},
			Security: []map[string][]string{{}, {"token": {}}},
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
		Transformers: []huma.Transformer{func(_ huma.Context, _ string, v any) (any, error) {
			if e, ok := v.(*huma.ErrorModel); ok {
				return problemOfHuma(e), nil
			}
			return v, nil
		}},
	})
	api.UseMiddleware(strictQuery)
	return api
}

// operation returns an operation whose parameters and body its handler checks, and which may answer with the given errors.
func operation(method, path, id, summary, description string, errors ...int) huma.Operation {
	op := huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, Description: description,
		SkipValidateParams: true, SkipValidateBody: true,
		Responses: map[string]*huma.Response{"default": problemResponse("Any other error")},
	}
	for _, status := range errors {
		op.Responses[strconv.Itoa(status)] = problemResponse(http.StatusText(status))
	}
	return op
}

func problemResponse(description string) *huma.Response {
	return &huma.Response{
		Description: description,
		Content:     map[string]*huma.MediaType{problemType: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}},
	}
}

// finishDocument removes huma's own error model, which is never sent, and lets answers gain members in later versions.
func finishDocument(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	for name, schema := range schemas {
		if !strings.HasSuffix(name, "Request") && name != "BulkFilter" {
			schema.AdditionalProperties = nil
		}
	}
}

// serveDocument serves the OpenAPI document as JSON and as YAML.
func serveDocument(mux *http.ServeMux, doc *huma.OpenAPI) error {
	asJSON, err := document(doc)
	if err != nil {
		return err
	}
	asYAML, err := doc.YAML()
	if err != nil {
		return fmt.Errorf("httpapi: openapi document: %w", err)
	}
	mux.HandleFunc("GET /openapi.json", fixed("application/openapi+json", asJSON))
	mux.HandleFunc("GET /openapi.yaml", fixed("application/openapi+yaml", asYAML))
	return nil
}

// document returns the OpenAPI document as it is committed: indented, with a newline at its end.
func document(doc *huma.OpenAPI) ([]byte, error) {
	raw, err := doc.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("httpapi: openapi document: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("httpapi: openapi document: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func fixed(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body) // a client that is gone needs no answer
	}
}
