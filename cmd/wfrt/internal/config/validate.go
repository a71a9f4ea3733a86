package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wfrt/wfrt/runtime"
)

// The range of fuel. A Go guest needs some millions to initialise.
const (
	leastFuel = 1_000_000
	mostFuel  = 1 << 62
)

// validate reports what is wrong with values of the right type. Keys that already have a fault are passed over.
func (c *Config) validate(where origin, already Faults) Faults {
	var faults Faults
	check := func(key string, ok bool, what, hint string) {
		for _, f := range already {
			if strings.HasPrefix(f.What, key+" ") {
				return
			}
		}
		if !ok {
			faults = append(faults, Fault{Where: where.of(key), What: key + " " + what, Hint: hint})
		}
	}
	between := func(key string, n, low, high int) {
		check(key, low <= n && n <= high, fmt.Sprintf("is %d", n), fmt.Sprintf("use a number from %d to %d", low, high))
	}
	size := func(key string, s, low, high Size) {
		check(key, low <= s && s <= high, "is "+s.String(), fmt.Sprintf("use a size from %s to %s", low, high))
	}
	duration := func(key string, d, low time.Duration) {
		hint := "use 0 or more"
		if low > 0 {
			hint = "use " + shortDuration(low) + " or more"
		}
		check(key, d >= low, "is "+shortDuration(d), hint)
	}

	check("data_dir", c.DataDir != "", "is empty", "name a folder, as in ./data")

	duration("engine.auto_resume", c.Engine.AutoResume, 0)
	duration("engine.forget_after", c.Engine.ForgetAfter, time.Second)
	duration("engine.lag", c.Engine.Lag, 0)
	duration("engine.lag_alert", c.Engine.LagAlert, 0)
	size("engine.max_object", c.Engine.MaxObject, 1, 256*MiB)
	between("engine.max_versions", c.Engine.MaxVersions, 1, 1_000_000_000)
	between("engine.parallelism", c.Engine.Parallelism, 0, 100_000)
	duration("engine.retention", c.Engine.Retention, 0)
	between("engine.retry.attempts", c.Engine.Retry.Attempts, 1, 1_000_000)
	check("engine.retry.factor", c.Engine.Retry.Factor >= 1 && c.Engine.Retry.Factor <= 100,
		fmt.Sprintf("is %g", c.Engine.Retry.Factor), "use a number from 1 to 100")
	duration("engine.retry.initial", c.Engine.Retry.Initial, time.Millisecond)
	duration("engine.retry.max", c.Engine.Retry.Max, time.Millisecond)
	check("engine.retry.max", c.Engine.Retry.Max >= c.Engine.Retry.Initial,
		fmt.Sprintf("is %s, below engine.retry.initial, %s", shortDuration(c.Engine.Retry.Max), shortDuration(c.Engine.Retry.Initial)),
		"the longest wait cannot be shorter than the first")
	between("engine.side_workers", c.Engine.SideWorkers, 1, 10_000)
	duration("engine.step_timeout", c.Engine.StepTimeout, time.Millisecond)
	between("engine.window", c.Engine.Window, 1, 1_000_000)
	between("engine.workers", c.Engine.Workers, 0, 100_000)

	oneOf := func(key, value string, allowed ...string) {
		for _, a := range allowed {
			if a == value {
				return
			}
		}
		check(key, false, strconv.Quote(value)+" is not known", "use one of: "+strings.Join(allowed, ", "))
	}
	c.validateKafka(check, oneOf, between, size)

	oneOf("log.format", c.Log.Format, "text", "json")
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")

	duration("outbox.backoff", c.Outbox.Backoff, 100*time.Millisecond)
	between("outbox.batch", c.Outbox.Batch, 1, 100_000)
	size("outbox.batch_bytes", c.Outbox.BatchBytes, 1*KiB, 256*MiB)
	duration("outbox.lag_alert", c.Outbox.LagAlert, 0)
	duration("outbox.linger", c.Outbox.Linger, time.Microsecond)
	duration("outbox.retention", c.Outbox.Retention, 0)

	check("plugins.canary.error_share", c.Plugins.Canary.ErrorShare > 0 && c.Plugins.Canary.ErrorShare <= 1,
		fmt.Sprintf("is %g", c.Plugins.Canary.ErrorShare), "use a share above 0, up to 1")
	between("plugins.canary.min_invocations", c.Plugins.Canary.MinInvocations, 1, 1_000_000)
	duration("plugins.canary.window", c.Plugins.Canary.Window, time.Second)
	check("plugins.dir", c.Plugins.Dir != "", "is empty", "name a folder, as in ./plugins")
	fuel := func(key string, n uint64) {
		check(key, leastFuel <= n && n <= mostFuel, fmt.Sprintf("is %d", n), fmt.Sprintf("use a number from %d to %d", leastFuel, uint64(mostFuel)))
	}
	// limits checks those that are set: in an override none has to be.
	limits := func(prefix string, l *PluginLimits, all bool) {
		set := func(is bool) bool { return is || all }
		if set(l.CallDepth != 0) {
			between(prefix+"call_depth", l.CallDepth, 100, 100_000)
		}
		if set(l.Fuel != 0) {
			fuel(prefix+"fuel", l.Fuel)
		}
		if set(l.HostBytes != 0) {
			size(prefix+"host_bytes", l.HostBytes, 64*KiB, 1*TiB)
		}
		if set(l.HostCalls != 0) {
			between(prefix+"host_calls", l.HostCalls, 100, 1_000_000_000)
		}
		size(prefix+"instance_bytes", l.InstanceBytes, 0, 4*GiB)
		if set(l.InstanceCalls != 0) {
			between(prefix+"instance_calls", l.InstanceCalls, 1, 1_000_000_000)
		}
		between(prefix+"instances", l.Instances, 0, 10_000)
		if set(l.LogBytes != 0) {
			size(prefix+"log_bytes", l.LogBytes, 1*KiB, 16*MiB)
		}
		if set(l.MemoryBytes != 0) {
			size(prefix+"memory_bytes", l.MemoryBytes, 1*MiB, 4*GiB)
		}
		if set(l.OutputBytes != 0) {
			size(prefix+"output_bytes", l.OutputBytes, 1*KiB, 512*MiB)
		}
		if set(l.Timeout != 0) {
			duration(prefix+"timeout", l.Timeout, time.Millisecond)
		}
	}
	limits("plugins.limits.", &c.Plugins.Limits.PluginLimits, true)
	total := c.Plugins.Limits.TotalMemoryBytes
	size("plugins.limits.total_memory_bytes", total, c.Plugins.Limits.MemoryBytes, 1024*GiB)
	for _, name := range slices.Sorted(maps.Keys(c.Plugins.Overrides)) {
		key, own := overridesGroup+"."+name, c.Plugins.Overrides[name]
		limits(key+".limits.", &own.Limits, false)
		check(key+".limits.memory_bytes", own.Limits.MemoryBytes <= total, "is "+own.Limits.MemoryBytes.String(),
			"plugins.limits.total_memory_bytes, "+total.String()+", is the most there is")
		if own.Isolation != "" {
			oneOf(key+".isolation", own.Isolation, "fresh", "pooled")
		}
	}

	duration("server.await_max", c.Server.AwaitMax, time.Second)
	size("server.max_body", c.Server.MaxBody, 1*KiB, 512*MiB)
	duration("server.shutdown_timeout", c.Server.ShutdownTimeout, time.Second)
	what, hint := checkListen(c.Server)
	check("server.listen", what == "", what, hint)

	size("store.cache_bytes", c.Store.CacheBytes, 1*MiB, 1*TiB)
	size("store.disk.high", c.Store.Disk.High, 0, 1024*TiB)
	check("store.disk.hard", c.Store.Disk.Hard <= c.Store.Disk.High, fmt.Sprintf("is %s, above store.disk.high, %s", c.Store.Disk.Hard, c.Store.Disk.High),
		"steps go on for longer than runs begin: use less, or 0")
	between("store.shards", c.Store.Shards, 1, runtime.Slots)

	c.validateTracing(check)
	faults = append(faults, c.validateOverrides(where)...)
	for _, name := range c.ConnectorNames() {
		one := c.Connectors[name]
		one.validate(name, check)
	}
	check(connectorsGroup, len(c.Connectors) == 0 || c.Kafka.Brokers != "", "read from Kafka, and no broker is named",
		"set kafka.brokers, as in 127.0.0.1:9092")

	for _, name := range c.workflowNames() {
		key := workflowsGroup + "." + name
		check(key, name != "" && len(name) <= runtime.MaxName, "is not the name of a workflow",
			fmt.Sprintf("a name has 1 to %d bytes", runtime.MaxName))
		if d := c.Workflows[name].EventRetention; d != nil {
			duration(key+".event_retention", *d, 0)
		}
		if d := c.Workflows[name].Retention; d != nil {
			duration(key+".retention", *d, 0)
		}
		for _, status := range slices.Sorted(maps.Keys(c.Workflows[name].Steps)) {
			own := c.Workflows[name].Steps[status].limits()
			limits(key+".steps."+status+".", &own, false)
		}
		if v := c.Workflows[name].Versions; v != nil {
			oneOf(key+".versions", *v, VersionsLatest, VersionsPinned)
		}
	}
	return faults
}

// validateTracing has check told what is wrong with where spans go.
func (c *Config) validateTracing(check func(key string, ok bool, what, hint string)) {
	t := &c.Tracing
	endpoint, err := url.Parse(t.Endpoint)
	check("tracing.endpoint", t.Endpoint == "" || err == nil && endpoint.Host != "" && (endpoint.Scheme == "http" || endpoint.Scheme == "https"),
		fmt.Sprintf("%.80q is not the URL of a receiver", t.Endpoint), "write it as http://127.0.0.1:4318, or leave it empty to send none")
	_, err = t.HeaderMap()
	check("tracing.headers", err == nil, "is not a list of headers", `write it as "name=value, name=value"`)
	check("tracing.sample_ratio", t.SampleRatio >= 0 && t.SampleRatio <= 1, fmt.Sprintf("is %g", t.SampleRatio), "use a number from 0 to 1")
	check("tracing.service_name", t.ServiceName != "", "is empty", "name the service, as in wfrt")
}

var errHeaders = errors.New("is not a list of name=value")

// HeaderMap returns the headers by name.
func (t *Tracing) HeaderMap() (map[string]string, error) {
	headers := map[string]string{}
	for pair := range strings.SplitSeq(t.Headers, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n:") {
			return nil, errHeaders
		}
		headers[name] = strings.TrimSpace(value)
	}
	return headers, nil
}

// checkListen returns what is wrong with the address to listen on, or "". An address that others can reach wants a token.
func checkListen(s Server) (what, hint string) {
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return fmt.Sprintf("%.80q is not an address", s.Listen), "write host:port, as in 127.0.0.1:8080"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("%.80q has the port %q", s.Listen, port), "use a number from 0 (any free port) to 65535"
	}
	if !loopback(host) && s.Token == "" && !s.Insecure {
		return fmt.Sprintf("%q can be reached from other machines, and anyone there could use the server", s.Listen),
			"set server.token, or listen on 127.0.0.1, or accept it with server.insecure: true"
	}
	return "", ""
}

// loopback reports whether only this machine can reach the host. A name other than localhost may resolve to anything.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
