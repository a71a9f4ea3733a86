package httpapi

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/runtime"
)

// changing keeps what was asked of it, and answers with err or a plugin.
type changing struct {
	plugins
	asked  []string
	deploy PluginDeployment
	order  PluginOrder
	err    error
}

func (c *changing) done(what string, o PluginOrder) (PluginDetail, error) {
	c.asked, c.order = append(c.asked, what), o
	return PluginDetail{Plugin: Plugin{Name: "orders", State: "serving"}}, c.err
}

func (c *changing) Get(name string) (PluginDetail, error) { return c.done("get "+name, PluginOrder{}) }

func (c *changing) Deploy(_ context.Context, d *PluginDeployment) (PluginDetail, error) {
	c.deploy = *d
	return c.done("deploy "+d.Name, d.PluginOrder)
}

func (c *changing) Rollback(_ context.Context, name, to string, o PluginOrder) (PluginDetail, error) {
	return c.done("rollback "+name+" "+to, o)
}

func (c *changing) Promote(_ context.Context, name string, o PluginOrder) (PluginDetail, error) {
	return c.done("promote "+name, o)
}

func (c *changing) Remove(_ context.Context, name string, o PluginOrder) error {
	_, err := c.done("remove "+name, o)
	return err
}

func TestPluginsAreChanged(t *testing.T) {
	module := strings.Repeat("m", 3<<20) // more than another body may have
	for _, c := range []struct {
		method, target, body, asked string
		order                       PluginOrder
	}{
		{"GET", "/v1/plugins/orders", "", "get orders", PluginOrder{}},
		{"POST", "/v1/plugins?name=orders&canary=12.5&force=true&by=ada", module, "deploy orders", PluginOrder{By: "ada", Force: true}},
		{"POST", "/v1/plugins/orders/rollback", "", "rollback orders ", PluginOrder{}},
		{"POST", "/v1/plugins/orders/rollback", `{"to":"abcdef","by":"ada","force":true}`, "rollback orders abcdef", PluginOrder{By: "ada", Force: true}},
		{"POST", "/v1/plugins/orders/promote", `{"by":"ada"}`, "promote orders", PluginOrder{By: "ada"}},
		{"DELETE", "/v1/plugins/orders?by=ada", "", "remove orders", PluginOrder{By: "ada"}},
	} {
		host := &changing{}
		s := newServer(t, Options{Engine: &fake{}, Plugins: host, MaxBody: 1 << 10, MaxModule: 4 << 20})
		a := ask(t, s, c.method, c.target, c.body, signatureHeader, base64.StdEncoding.EncodeToString([]byte("signed")))
		if a.StatusCode/100 != 2 || len(host.asked) != 1 || host.asked[0] != c.asked || host.order != c.order {
			t.Errorf("%s %s: %s %s; asked %q by %+v, want %q by %+v", c.method, c.target, a.Status, a.body, host.asked, host.order, c.asked, c.order)
		}
		if c.method != "DELETE" {
			if p := decode[PluginDetail](t, a, http.StatusOK); p.Name != "orders" || p.Workflows == nil || p.Versions == nil {
				t.Errorf("%s %s answers %s", c.method, c.target, a.body)
			}
		}
		if d := host.deploy; c.body == module && (string(d.Module) != module || d.Canary != 0.125 || string(d.Signature) != "signed") {
			t.Errorf("deployed %d bytes, canary %g, signature %q", len(d.Module), d.Canary, d.Signature)
		}
	}
}

func TestOrdersThatCannotBeUnderstood(t *testing.T) {
	host := &changing{}
	s := newServer(t, Options{Engine: &fake{}, Plugins: host, MaxModule: 100})
	for target, want := range map[string]struct {
		body string
		code int
		says string
	}{
		"/v1/plugins":                                             {"m", 400, "name is missing"},
		"/v1/plugins?name=a&canary=100":                           {"m", 400, "no percentage of the new runs"},
		"/v1/plugins?name=a&canary=ten":                           {"m", 400, "no percentage of the new runs"},
		"/v1/plugins?name=a&force=perhaps":                        {"m", 400, "force is"},
		"/v1/plugins?name=a&share=1":                              {"m", 400, "share"},
		"/v1/plugins?name=a":                                      {strings.Repeat("m", 101), 413, "too large"},
		"/v1/plugins/orders/rollback":                             {`{"too":"a"}`, 400, "is not a member of a rollback"},
		"/v1/plugins/orders/promote":                              {`{"force":"yes"}`, 400, "force is a JSON string"},
		"/v1/plugins?name=a&by=" + strings.Repeat("b", maxNote+1): {"m", 400, "by has 4097 bytes"},
	} {
		a := ask(t, s, "POST", target, want.body)
		if p := decode[Problem](t, a, want.code); !strings.Contains(p.Detail+p.Title, want.says) {
			t.Errorf("%s: %s; want %q", target, a.body, want.says)
		}
	}
	if a := ask(t, s, "POST", "/v1/plugins?name=a", "m", signatureHeader, "§"); a.StatusCode != 400 {
		t.Errorf("a signature that is not base64: %s", a.Status)
	}
	if len(host.asked) != 0 {
		t.Errorf("the host was asked %q", host.asked)
	}
}

func TestWhyAPluginIsRefused(t *testing.T) {
	left := []RunsLeft{{Workflow: "orders", Status: "invoiced", Runs: 12}}
	for _, c := range []struct {
		err  error
		code int
		kind string
	}{
		{ErrUnknownPlugin, 404, "unknown-plugin"},
		{&PluginRefusedError{Detail: "it is empty"}, 422, "plugin-refused"},
		{&PluginRefusedError{Detail: "12 runs", Left: left}, 409, "runs-left-behind"},
		{&runtime.InvalidError{Field: "to", Cause: "is no digest"}, 400, "invalid-request"},
		{errors.New("the disk is full"), 500, "internal"},
	} {
		s := newServer(t, Options{Engine: &fake{}, Plugins: &changing{err: c.err, plugins: plugins{list: []Plugin{{Name: "orders"}}}}})
		for _, request := range [][3]string{
			{"POST", "/v1/plugins?name=orders", "m"}, {"POST", "/v1/plugins/ordres/rollback", "{}"}, {"DELETE", "/v1/plugins/ordres", ""},
		} {
			p := decode[Problem](t, ask(t, s, request[0], request[1], request[2]), c.code)
			if p.Type != "urn:wfrt:problem:"+c.kind || p.Hint == "" {
				t.Errorf("%v of %v: %+v", c.err, request, p)
			}
			if c.code == 409 && (len(p.Left) != 1 || p.Left[0] != left[0]) {
				t.Errorf("the runs are %+v", p.Left)
			}
			if c.code == 404 && (len(p.Known) != 1 || p.Known[0] != "orders") {
				t.Errorf("the known plugins are %v", p.Known)
			}
		}
	}
	bare := newServer(t, Options{Engine: &fake{}})
	if a := ask(t, bare, "POST", "/v1/plugins?name=a", "m"); a.StatusCode != 422 {
		t.Errorf("a server without plugins: %s", a.Status)
	}
}
