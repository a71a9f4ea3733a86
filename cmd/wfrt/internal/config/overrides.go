package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wfrt/wfrt/sdk/abi"
)

// overridesGroup is the group of the file whose keys are names of plugins.
const overridesGroup = "plugins.overrides"

// Override is what holds for one plugin.
type Override struct {
	Grants    Grants       `mapstructure:"grants"`
	Isolation string       `mapstructure:"isolation"` // pooled or fresh; "": as the plugin wishes
	Limits    PluginLimits `mapstructure:"limits"`    // what is zero is as for all
}

// Grants is what one plugin may do beyond its own memory, if its module asks for it. The zero Grants is nothing.
type Grants struct {
	Emit    []string               `mapstructure:"emit"`    // types of events; "order.*": those that begin so
	HTTP    map[string]HTTPGrant   `mapstructure:"http"`    // by host: abi.CheckHost
	Metrics bool                   `mapstructure:"metrics"` // measurements
	Secrets map[string]SecretGrant `mapstructure:"secrets"` // by name
	Trigger []string               `mapstructure:"trigger"` // workflows that it carries no part of; "*": any
}

// HTTPGrant is what a plugin may send to a host.
type HTTPGrant struct {
	Address       string        `mapstructure:"address"`        // host:port to connect to; "": where the host's name leads
	AllowPrivate  []string      `mapstructure:"allow_private"`  // networks that are not public; "true": all
	Methods       []string      `mapstructure:"methods"`        // that may be used; "*": any
	RequestBytes  Size          `mapstructure:"request_bytes"`  // of the body of a request
	ResponseBytes Size          `mapstructure:"response_bytes"` // of the body of an answer
	Timeout       time.Duration `mapstructure:"timeout"`        // from a request to the end of its answer
}

// SecretGrant is what a plugin may do with a secret.
type SecretGrant struct {
	Hosts  []string `mapstructure:"hosts"`  // in whose requests the server puts it
	Inject bool     `mapstructure:"inject"` // the plugin may not read it
}

// Secret is where a secret is kept. Exactly one field is set.
type Secret struct {
	Env  string `mapstructure:"env"`  // the name of an environment variable
	File string `mapstructure:"file"` // a path; read whenever the secret is used
}

// secretsGroup is the group of the file whose keys are names of secrets.
const secretsGroup = "plugins.secrets"

// SecretKeys returns every key of a single secret.
func SecretKeys() []string { return membersOf(new(Secret)) }

// defaultHTTPGrant is what holds of a granted host unless the file says otherwise.
func defaultHTTPGrant() HTTPGrant {
	return HTTPGrant{RequestBytes: 1 * MiB, ResponseBytes: 1 * MiB, Timeout: 30 * time.Second}
}

// Private returns the networks that a grant allows besides the public addresses, and whether it allows all.
func (g *HTTPGrant) Private() (networks []netip.Prefix, all bool, err error) {
	if len(g.AllowPrivate) == 1 {
		if yes, err := strconv.ParseBool(g.AllowPrivate[0]); err == nil {
			return nil, yes, nil
		}
	}
	for _, text := range g.AllowPrivate {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, false, fmt.Errorf("%.80q is neither true, false nor a network", text)
		}
		networks = append(networks, network.Masked())
	}
	return networks, false, nil
}

// override is what the file says of a plugin: the names below its groups whose keys are not known beforehand.
type override struct {
	plugin  string
	hosts   []string
	secrets []string
}

// OverrideKeys returns every key of a single plugin, as "grants.trigger"; HOST stands for a name.
func OverrideKeys() []string {
	var keys []string
	for _, s := range appendSettings(nil, "", reflect.ValueOf(new(Override)).Elem()) {
		keys = append(keys, s.key)
	}
	for _, s := range appendSettings(nil, "grants.http.HOST.", reflect.ValueOf(new(HTTPGrant)).Elem()) {
		keys = append(keys, s.key)
	}
	for _, s := range appendSettings(nil, "grants.secrets.SECRET.", reflect.ValueOf(new(SecretGrant)).Elem()) {
		keys = append(keys, s.key)
	}
	slices.Sort(keys)
	return keys
}

// membersOf returns the keys of a struct and of the structs in it, without those that lie below names.
func membersOf(of any) []string {
	var keys []string
	for _, s := range appendSettings(nil, "", reflect.ValueOf(of).Elem()) {
		keys = append(keys, s.key)
	}
	return keys
}

// overrideGroups reads the group of single plugins.
func (f *file) overrideGroups(node *yaml.Node) {
	for _, plugin := range f.mapping(overridesGroup+".", node) {
		o := override{plugin: plugin.key.Value}
		prefix := overridesGroup + "." + o.plugin + "."
		keys := membersOf(new(Override))
		f.members(prefix, "", plugin.value, keys, append(groupsOf(keys), "grants.http", "grants.secrets"), func(group string, node *yaml.Node) {
			names, members := &o.hosts, membersOf(new(HTTPGrant))
			if group == "grants.secrets" {
				names, members = &o.secrets, membersOf(new(SecretGrant))
			}
			for _, name := range f.mapping(prefix+group+".", node) {
				*names = append(*names, name.key.Value)
				f.members(prefix+group+"."+name.key.Value+".", "", name.value, members, nil, nil)
			}
		})
		f.overrides = append(f.overrides, o)
	}
}

// secretGroups reads the group of secrets.
func (f *file) secretGroups(node *yaml.Node) {
	for _, name := range f.mapping(secretsGroup+".", node) {
		f.secrets = append(f.secrets, name.key.Value)
		f.members(secretsGroup+"."+name.key.Value+".", "", name.value, SecretKeys(), nil, nil)
	}
}

// members reads a mapping at prefix+path. keys and groups are relative to prefix; named is given the groups that hold names.
func (f *file) members(prefix, path string, node *yaml.Node, keys, groups []string, named func(group string, node *yaml.Node)) {
	for _, entry := range f.mapping(prefix+path, node) {
		switch key := path + entry.key.Value; {
		case slices.Contains(keys, key):
			f.valueOrList(prefix+key, entry.value)
		case slices.Contains(groups, key) && slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, key+".") }):
			f.members(prefix, key+".", entry.value, keys, groups, named)
		case slices.Contains(groups, key):
			named(key, entry.value)
		default:
			f.fault(entry.key.Line, "there is no key "+prefix+key, didYouMean(key, append(groups, keys...)))
		}
	}
}

// valueOrList reads a scalar, or a list of scalars as a []string of what is written.
func (f *file) valueOrList(key string, node *yaml.Node) {
	if node.Kind != yaml.SequenceNode {
		f.value(key, node)
		return
	}
	list := make([]string, 0, len(node.Content))
	for _, item := range node.Content {
		if item.Kind != yaml.ScalarNode {
			f.fault(item.Line, key+" is a list of single values", "write it as [a, b]")
			return
		}
		list = append(list, item.Value)
	}
	f.values[key] = list
}

// loadOverrides takes over what the file says of single plugins.
func (c *Config) loadOverrides(f *file, where origin) Faults {
	var faults Faults
	load := func(prefix string, into any) {
		for _, s := range appendSettings(nil, prefix, reflect.ValueOf(into).Elem()) {
			raw, ok := f.values[s.key]
			if !ok {
				continue
			}
			if _, isList := s.field.Addr().Interface().(*[]string); isList {
				if _, ok := raw.([]string); !ok && strings.HasSuffix(s.key, ".allow_private") {
					raw = []string{fmt.Sprint(raw)}
				}
			}
			faults = append(faults, s.load(raw, where)...)
		}
	}
	for _, name := range f.secrets {
		var s Secret
		load(secretsGroup+"."+name+".", &s)
		if c.Plugins.Secrets == nil {
			c.Plugins.Secrets = map[string]Secret{}
		}
		c.Plugins.Secrets[name] = s
	}
	for _, name := range f.overrides {
		var o Override
		prefix := overridesGroup + "." + name.plugin + "."
		load(prefix, &o)
		for _, host := range name.hosts {
			grant := defaultHTTPGrant()
			load(prefix+"grants.http."+host+".", &grant)
			if o.Grants.HTTP == nil {
				o.Grants.HTTP = map[string]HTTPGrant{}
			}
			o.Grants.HTTP[host] = grant
		}
		for _, secret := range name.secrets {
			var grant SecretGrant
			load(prefix+"grants.secrets."+secret+".", &grant)
			if o.Grants.Secrets == nil {
				o.Grants.Secrets = map[string]SecretGrant{}
			}
			o.Grants.Secrets[secret] = grant
		}
		if c.Plugins.Overrides == nil {
			c.Plugins.Overrides = map[string]Override{}
		}
		c.Plugins.Overrides[name.plugin] = o
	}
	return faults
}

// validateOverrides reports what is wrong with what is said of single plugins.
func (c *Config) validateOverrides(where origin) Faults {
	var faults Faults
	fault := func(key string, err error, hint string) {
		if err != nil {
			faults = append(faults, Fault{Where: where.nearest(key), What: key + " " + err.Error(), Hint: hint})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Plugins.Secrets)) {
		key, s := secretsGroup+"."+name, c.Plugins.Secrets[name]
		if err := abi.CheckName(name); err != nil {
			fault(key, fmt.Errorf("is not the name of a secret: the name %w", err), "")
		}
		if (s.Env == "") == (s.File == "") {
			fault(key, errors.New("has to say where the secret is"), "set one of env, the name of a variable, and file, a path")
		}
	}
	for _, plugin := range slices.Sorted(maps.Keys(c.Plugins.Overrides)) {
		key := overridesGroup + "." + plugin
		if err := abi.CheckName(plugin); err != nil {
			fault(key, fmt.Errorf("is not the name of a plugin: the name %w", err), "a plugin's name is its file's, without .wasm")
		}
		grants := c.Plugins.Overrides[plugin].Grants
		for _, host := range slices.Sorted(maps.Keys(grants.HTTP)) {
			grant := grants.HTTP[host]
			grant.check(key+".grants.http."+host, host, fault)
		}
		for _, name := range slices.Sorted(maps.Keys(grants.Secrets)) {
			key, grant := key+".grants.secrets."+name, grants.Secrets[name]
			if _, ok := c.Plugins.Secrets[name]; !ok {
				fault(key, errors.New("grants a secret that is nowhere"), "say where it is in "+secretsGroup+"."+name)
			}
			if grant.Inject && len(grant.Hosts) == 0 {
				fault(key+".hosts", errors.New("is empty, so the secret can be put into no request"), "name the hosts, as in hosts: [api.example.com]")
			}
			for _, host := range grant.Hosts {
				if err := abi.CheckHost(host); err != nil {
					fault(key+".hosts", fmt.Errorf("names no host: the host %w", err), "")
				}
			}
		}
		for _, kind := range grants.Emit {
			if err := abi.CheckPattern(kind); err != nil {
				fault(key+".grants.emit", fmt.Errorf("names a type of events that is none: the name %w", err), "")
			}
		}
		for _, workflow := range grants.Trigger {
			if err := abi.CheckPattern(workflow); err != nil {
				fault(key+".grants.trigger", fmt.Errorf("names a workflow that is none: the name %w", err), "")
			}
		}
	}
	return faults
}

// check reports what is wrong with what is granted of a host.
func (g *HTTPGrant) check(key, host string, fault func(key string, err error, hint string)) {
	if err := abi.CheckHost(host); err != nil {
		fault(key, fmt.Errorf("names no host: the host %w", err), "put a host with a port in quotes")
	}
	if len(g.Methods) == 0 {
		fault(key+".methods", errors.New("is empty, so nothing is granted"), "name the methods, as in methods: [GET, POST]")
	}
	for _, method := range g.Methods {
		if err := abi.CheckMethod(method); err != nil {
			fault(key+".methods", fmt.Errorf("lists a method that is none: the method %w", err), "")
		}
	}
	if _, _, err := g.Private(); err != nil {
		fault(key+".allow_private", err, "write true, or networks as in [10.0.0.0/8]")
	}
	if g.Address != "" {
		if _, _, err := net.SplitHostPort(g.Address); err != nil {
			fault(key+".address", fmt.Errorf("%.80q is not an address", g.Address), "write host:port, as in 127.0.0.1:9000")
		}
	}
	for _, size := range []struct {
		name string
		size Size
	}{{"request_bytes", g.RequestBytes}, {"response_bytes", g.ResponseBytes}} {
		if size.size < 1 || size.size > 64*MiB {
			fault(key+"."+size.name, errors.New("is "+size.size.String()), "use a size from 1 to 64MiB")
		}
	}
	if g.Timeout < time.Millisecond {
		fault(key+".timeout", errors.New("is "+shortDuration(g.Timeout)), "use 1ms or more")
	}
}
