package client

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// Deployment is a module to be deployed.
type Deployment struct {
	Name      string
	Module    []byte
	Signature []byte  // minisign's; nil: none
	Canary    float64 // percent of the new runs; 0: no canary
	By        string
	Force     bool
}

// Plugins returns the server's plugins.
func (c *Client) Plugins(ctx context.Context) (httpapi.PluginList, error) {
	return get[httpapi.PluginList](ctx, c, nil, "v1", "plugins")
}

// Plugin returns one plugin with its versions.
func (c *Client) Plugin(ctx context.Context, name string) (httpapi.PluginDetail, error) {
	return get[httpapi.PluginDetail](ctx, c, nil, "v1", "plugins", name)
}

// Deploy has a module serve. It returns the plugin as it then is.
func (c *Client) Deploy(ctx context.Context, d *Deployment) (httpapi.PluginDetail, error) {
	query := url.Values{"name": {d.Name}}
	if d.Canary > 0 {
		query.Set("canary", strconv.FormatFloat(d.Canary, 'g', -1, 64))
	}
	if d.By != "" {
		query.Set("by", d.By)
	}
	if d.Force {
		query.Set("force", "true")
	}
	r := request{method: http.MethodPost, path: []string{"v1", "plugins"}, query: query, body: d.Module}
	if len(d.Signature) > 0 {
		r.header = http.Header{"Wfrt-Signature": {base64.StdEncoding.EncodeToString(d.Signature)}}
	}
	return change(ctx, c, r)
}

// Rollback has an earlier version of a plugin serve. It returns the plugin as it then is.
func (c *Client) Rollback(ctx context.Context, name string, r httpapi.RollbackRequest) (httpapi.PluginDetail, error) {
	return change(ctx, c, request{method: http.MethodPost, path: []string{"v1", "plugins", name, "rollback"}, body: r})
}

// Promote has the canary of a plugin serve. It returns the plugin as it then is.
func (c *Client) Promote(ctx context.Context, name string, r httpapi.OrderRequest) (httpapi.PluginDetail, error) {
	return change(ctx, c, request{method: http.MethodPost, path: []string{"v1", "plugins", name, "promote"}, body: r})
}

// RemovePlugin has a plugin serve no longer.
func (c *Client) RemovePlugin(ctx context.Context, name, by string) error {
	query := url.Values{}
	if by != "" {
		query.Set("by", by)
	}
	_, err := c.do(ctx, request{method: http.MethodDelete, path: []string{"v1", "plugins", name}, query: query}, nil)
	return err
}

func change(ctx context.Context, c *Client, r request) (httpapi.PluginDetail, error) {
	var answer httpapi.PluginDetail
	_, err := c.do(ctx, r, &answer)
	return answer, err
}
