package host

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wfrt/wfrt/sdk/abi"
)

// Grants is what the operator lets one plugin do. What holds is what its module asks for as well (abi.Capabilities); the zero
// Grants is nothing.
type Grants struct {
	// HTTP has the hosts that the plugin may send requests to, by a pattern that abi.CheckHost accepts. Where several fit a
	// host the most specific holds: a name before a wildcard, a longer one before a shorter, one with a port before one without.
	HTTP map[string]HTTPGrant
	// Secrets has the secrets that the plugin may use, by name.
	Secrets map[string]SecretGrant
	// Emit has the types of events that the plugin may emit; "order.*" stands for every type that begins so, "*" for any.
	Emit []string
	// Metrics lets the plugin take measurements.
	Metrics bool
	// Trigger has the workflows that the plugin may trigger besides those it carries a part of; "*" stands for any.
	Trigger []string
}

// HTTPGrant is what a plugin may send to one host.
type HTTPGrant struct {
	// Address, host:port, is where connections go, instead of to what the host's name resolves to. Being named, it may be
	// private. Defaults to none.
	Address string
	// AllowPrivate allows every address that the name resolves to, loopback and private ones too. Defaults to false: only
	// addresses of the public Internet.
	AllowPrivate bool
	// Methods that may be used; "*" stands for any. Defaults to none.
	Methods []string
	// Networks are allowed besides the public addresses. Defaults to none.
	Networks []netip.Prefix
	// RequestBytes is the longest body of a request. Defaults to 1 MiB.
	RequestBytes int64
	// ResponseBytes is the longest body of an answer. Defaults to 1 MiB.
	ResponseBytes int64
	// Timeout is the longest time from a request to the end of its answer; the invocation's own time, when shorter, wins.
	// Defaults to 30 seconds.
	Timeout time.Duration
}

func (g *Grants) validate(plugin string) error {
	var faults []error
	fault := func(err error, what string) {
		if err != nil {
			faults = append(faults, fmt.Errorf("host: grants of the plugin %s: the %s %w", plugin, what, err))
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(g.HTTP)) {
		rule := g.HTTP[pattern]
		fault(abi.CheckHost(pattern), "host")
		for _, method := range rule.Methods {
			fault(abi.CheckMethod(method), "method")
		}
		if rule.RequestBytes < 0 || rule.ResponseBytes < 0 || rule.Timeout < 0 {
			fault(errors.New("has a negative limit"), fmt.Sprintf("host %q", pattern))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.Secrets)) {
		fault(abi.CheckName(name), "secret's name")
		for _, pattern := range g.Secrets[name].Hosts {
			fault(abi.CheckHost(pattern), "secret "+name+": the host")
		}
	}
	for _, kind := range g.Emit {
		fault(abi.CheckPattern(kind), "event's type")
	}
	for _, workflow := range g.Trigger {
		fault(abi.CheckPattern(workflow), "workflow")
	}
	return errors.Join(faults...)
}

// capabilities is what one module may do: what it asks for and what the operator grants, with the connections that it has.
// Everything but the connections is immutable.
type capabilities struct {
	plugin  string
	asks    abi.Capabilities
	own     []string   // the workflows that the module carries a part of
	rules   []httpRule // the most specific first
	grants  Grants
	secrets map[string]Secret
	client  *http.Transport // nil when no host is granted
}

// httpRule is one host that is granted.
type httpRule struct {
	pattern string
	HTTPGrant
}

// newCapabilities makes the capabilities of a module. The caller closes them.
func newCapabilities(plugin string, m *abi.Manifest, grants Grants, secrets map[string]Secret) *capabilities {
	c := &capabilities{plugin: plugin, grants: grants, secrets: secrets, own: workflowNames(m)}
	if m.Capabilities != nil {
		c.asks = *m.Capabilities
	}
	for pattern, grant := range grants.HTTP {
		orDefault(&grant.RequestBytes, 1<<20)
		orDefault(&grant.ResponseBytes, 1<<20)
		orDefault(&grant.Timeout, 30*time.Second)
		c.rules = append(c.rules, httpRule{pattern: pattern, HTTPGrant: grant})
	}
	slices.SortFunc(c.rules, func(a, b httpRule) int { return compareSpecific(a.pattern, b.pattern) })
	if len(c.rules) > 0 {
		c.client = newTransport(c)
	}
	return c
}

// close ends the connections that are idle, and the others once they are.
func (c *capabilities) close() {
	if c.client != nil {
		c.client.CloseIdleConnections()
	}
}

// compareSpecific orders patterns of hosts, the most specific first.
func compareSpecific(a, b string) int {
	rank := func(pattern string) (wild, short, anyPort int) {
		name, port := abi.SplitHost(pattern)
		if strings.HasPrefix(name, "*") {
			wild = 1
		}
		if port == "" {
			anyPort = 1
		}
		return wild, -len(name), anyPort
	}
	wildA, shortA, portA := rank(a)
	wildB, shortB, portB := rank(b)
	if order := slices.Compare([]int{wildA, shortA, portA}, []int{wildB, shortB, portB}); order != 0 {
		return order
	}
	return strings.Compare(a, b)
}

// rule returns what is granted of a host and its port, or nil.
func (c *capabilities) rule(host, port string) *httpRule {
	for i := range c.rules {
		if abi.HostMatches(c.rules[i].pattern, host, port) {
			return &c.rules[i]
		}
	}
	return nil
}

// key is the key of the configuration that grants something to the plugin.
func (c *capabilities) key(what string) string {
	return "plugins.overrides." + c.plugin + ".grants." + what
}

// Capability is one thing that a plugin asks for.
type Capability struct {
	What    string // "POST requests to payments", in words
	Granted bool
	Key     string // of the configuration, which grants it
}

// list returns what the module asks for.
func (c *capabilities) list() []Capability {
	var list []Capability
	add := func(key string, granted bool, format string, args ...any) {
		list = append(list, Capability{What: fmt.Sprintf(format, args...), Granted: granted, Key: c.key(key)})
	}
	for _, ask := range c.asks.HTTP {
		granted := slices.ContainsFunc(c.rules, func(r httpRule) bool { return overlap(ask.Host, r.pattern) })
		add("http", granted, "%s requests to %s", strings.Join(ask.Methods, ", "), ask.Host)
	}
	for _, name := range c.asks.Secrets {
		_, granted := c.grants.Secrets[name]
		add("secrets", granted, "the secret %s", name)
	}
	for _, kind := range c.asks.Emit {
		add("emit", matchesAny(c.grants.Emit, strings.TrimSuffix(kind, "*")), "events of the type %s", kind)
	}
	for _, workflow := range c.asks.Trigger {
		granted := slices.Contains(c.own, workflow) || matchesAny(c.grants.Trigger, strings.TrimSuffix(workflow, "*"))
		add("trigger", granted, "triggers of the workflow %s", workflow)
	}
	if c.asks.Metrics {
		add("metrics", c.grants.Metrics, "measurements")
	}
	return list
}

// warn says what the module asks for and will be refused.
func (c *capabilities) warn(logger *slog.Logger) {
	for _, ask := range c.list() {
		if !ask.Granted {
			logger.Warn("a plugin asks for what it is not granted; it will be refused", "asks_for", ask.What, "grant", ask.Key)
		}
	}
}

// overlap reports whether some host may fit both patterns.
func overlap(a, b string) bool {
	nameA, portA := abi.SplitHost(a)
	nameB, portB := abi.SplitHost(b)
	port := portA
	if port == "" {
		port = portB
	}
	if port == "" {
		port = "443"
	}
	bare := func(name string) string { return strings.Trim(strings.Replace(name, "*", "x", 1), "[]") }
	return abi.HostMatches(a, bare(nameB), port) && abi.HostMatches(b, bare(nameB), port) ||
		abi.HostMatches(a, bare(nameA), port) && abi.HostMatches(b, bare(nameA), port)
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return abi.Matches(pattern, name) })
}

// mayTrigger returns why a run of a workflow may not be asked for, or "".
func (c *capabilities) mayTrigger(workflow string) string {
	switch {
	case slices.Contains(c.own, workflow):
		return ""
	case !matchesAny(c.asks.Trigger, workflow):
		return fmt.Sprintf("the plugin does not ask to trigger the workflow %s, which it carries no part of: ask with "+
			"sdk.AskTrigger(%q)", workflow, workflow)
	case !matchesAny(c.grants.Trigger, workflow):
		return fmt.Sprintf("the operator does not let the plugin trigger the workflow %s: add it to %s", workflow, c.key("trigger"))
	default:
		return ""
	}
}

// capabilities checks what a manifest asks for.
func (c *manifestCheck) capabilities(asks *abi.Capabilities) {
	if asks == nil {
		return
	}
	for _, list := range []struct {
		member string
		n      int
	}{{"http", len(asks.HTTP)}, {"secrets", len(asks.Secrets)}, {"emit", len(asks.Emit)}, {"trigger", len(asks.Trigger)}} {
		if list.n > abi.MaxCapabilities {
			c.fault("capabilities: %s lists %d; the limit is %d", list.member, list.n, abi.MaxCapabilities)
			return
		}
	}
	fault := func(err error, what string) {
		if err != nil {
			c.fault("capabilities: the %s %w", what, err)
		}
	}
	for _, ask := range asks.HTTP {
		fault(abi.CheckHost(ask.Host), "host")
		if len(ask.Methods) == 0 || len(ask.Methods) > abi.MaxCapabilities {
			c.fault("capabilities: the host %.80q has %d methods; name 1–%d", ask.Host, len(ask.Methods), abi.MaxCapabilities)
			continue
		}
		for _, method := range ask.Methods {
			fault(abi.CheckMethod(method), "method")
		}
	}
	for _, name := range asks.Secrets {
		fault(abi.CheckName(name), "secret's name")
	}
	for _, pattern := range asks.Emit {
		fault(abi.CheckPattern(pattern), "event's type")
	}
	for _, pattern := range asks.Trigger {
		fault(abi.CheckPattern(pattern), "workflow to trigger")
	}
}
