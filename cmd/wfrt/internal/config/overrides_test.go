package config

import (
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestGrants(t *testing.T) {
	got, err := load(t, `
plugins:
  overrides:
    orders:
      grants:
        http:
          "payments:9000": {methods: [POST], address: "127.0.0.1:1", allow_private: true, timeout: 2s, request_bytes: 1KiB}
          "*.example.com": {methods: [GET, HEAD], allow_private: [10.1.2.3/8, "fd00::/8"]}
        trigger: [refund, "audit.*"]
        emit: ["order.*"]
        metrics: true
        secrets:
          key: {inject: true, hosts: [payments]}
          plain: {}
    other:
  secrets:
    key: {file: /run/key}
    plain: {env: KEY}
`)
	if err != nil {
		t.Fatal(err)
	}
	payments, example := defaultHTTPGrant(), defaultHTTPGrant()
	payments.Methods, payments.Address, payments.AllowPrivate = []string{"POST"}, "127.0.0.1:1", []string{"true"}
	payments.Timeout, payments.RequestBytes = 2*time.Second, 1*KiB
	example.Methods, example.AllowPrivate = []string{"GET", "HEAD"}, []string{"10.1.2.3/8", "fd00::/8"}
	want := map[string]Override{"other": {}, "orders": {Grants: Grants{
		HTTP: map[string]HTTPGrant{"payments:9000": payments, "*.example.com": example}, Trigger: []string{"refund", "audit.*"}, Emit: []string{"order.*"},
		Metrics: true, Secrets: map[string]SecretGrant{"key": {Inject: true, Hosts: []string{"payments"}}, "plain": {}},
	}}}
	if want := (map[string]Secret{"key": {File: "/run/key"}, "plain": {Env: "KEY"}}); !reflect.DeepEqual(got.Plugins.Secrets, want) {
		t.Errorf("secrets %+v", got.Plugins.Secrets)
	}
	if !reflect.DeepEqual(got.Plugins.Overrides, want) {
		t.Errorf("got  %+v\nwant %+v", got.Plugins.Overrides, want)
	}
	networks, all, err := example.Private()
	if err != nil || all || !reflect.DeepEqual(networks, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}) {
		t.Errorf("private networks %v, %v, %v", networks, all, err)
	}
	if networks, all, err := payments.Private(); err != nil || !all || networks != nil {
		t.Errorf("private networks %v, %v, %v", networks, all, err)
	}
}

func TestFaultsOfGrants(t *testing.T) {
	_, err := load(t, `plugins:
  overrides:
    orders:
      grant: {}
      grants:
        htp: {}
        trigger: refund
        http:
          a: {methods: [get], timeout: 0s}
          "http://b": {methods: [GET]}
          c: {method: [GET]}
          d: {methods: [GET], allow_private: [10.0.0.0], address: nowhere}
          e: {methods: [GET], allow_private: perhaps, response_bytes: 1GiB}
          f: [GET]
          g: {methods: [[GET]]}
        metrics: perhaps
        emit: [a*]
        secrets: {nowhere: {}, both: {inject: true}}
    "a b": {}
    x: [1]
  secrets:
    both: {env: A, file: b}
    none: {}
    more: {path: b}
`)
	type place struct{ where, what, hint string }
	want := []place{
		{":4", "there is no key plugins.overrides.orders.grant", "did you mean grants?"},
		{":6", "there is no key plugins.overrides.orders.grants.htp", "did you mean grants.http?"},
		{":11", "there is no key plugins.overrides.orders.grants.http.c.method", "did you mean methods?"},
		{":14", "plugins.overrides.orders.grants.http.f is a group of keys", "key: value"},
		{":15", "plugins.overrides.orders.grants.http.g.methods is a list of single values", "[a, b]"},
		{":16", "plugins.overrides.orders.grants.metrics \"perhaps\" is neither true nor false", ""},
		{":17", "plugins.overrides.orders.grants.emit names a type", ""},
		{":18", "plugins.overrides.orders.grants.secrets.nowhere grants a secret that is nowhere", "plugins.secrets.nowhere"},
		{":18", "plugins.overrides.orders.grants.secrets.both.hosts is empty", "name the hosts"},
		{":22", "plugins.secrets.both has to say where", "one of env"},
		{":23", "plugins.secrets.none has to say where", "one of env"},
		{":24", "there is no key plugins.secrets.more.path", ""},
		{":20", "plugins.overrides.x is a group of keys", "key: value"},
		{":7", `plugins.overrides.orders.grants.trigger "refund" is not a list`, "[a, b]"},
		{":19", "plugins.overrides.a b is not the name of a plugin", "without .wasm"},
		{":9", "plugins.overrides.orders.grants.http.a.methods lists a method", ""},
		{":9", "plugins.overrides.orders.grants.http.a.timeout is 0s", "1ms"},
		{":11", "plugins.overrides.orders.grants.http.c.methods is empty", "name the methods"},
		{":12", `plugins.overrides.orders.grants.http.d.allow_private "10.0.0.0" is neither`, "10.0.0.0/8"},
		{":12", `plugins.overrides.orders.grants.http.d.address "nowhere" is not an address`, "host:port"},
		{":13", `plugins.overrides.orders.grants.http.e.allow_private "perhaps" is neither`, "10.0.0.0/8"},
		{":13", "plugins.overrides.orders.grants.http.e.response_bytes is 1GiB", "64MiB"},
		{":10", "plugins.overrides.orders.grants.http.http://b names no host", "quotes"},
	}
	got := faultsOf(t, err)
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || strings.HasSuffix(g.Where, w.where) && strings.Contains(g.What, w.what) && strings.Contains(g.Hint, w.hint)
		}
		if !found {
			t.Errorf("no fault %q / %q / %q", w.where, w.what, w.hint)
		}
	}
	if t.Failed() {
		for _, g := range got {
			t.Logf("%q / %q / %q", g.Where, g.What, g.Hint)
		}
	}
}

func TestDocumentationListsEveryKeyOfAPlugin(t *testing.T) {
	content, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range OverrideKeys() {
		if strings.HasPrefix(key, "limits.") {
			key = "limits.*" // those of plugins.limits
		}
		if row := "| `plugins.overrides.PLUGIN." + key + "` |"; !strings.Contains(string(content), row) {
			t.Errorf("%s does not hold %s", documentation, row)
		}
	}
	for _, key := range SecretKeys() {
		if row := "| `plugins.secrets.SECRET." + key + "` |"; !strings.Contains(string(content), row) {
			t.Errorf("%s does not hold %s", documentation, row)
		}
	}
}
