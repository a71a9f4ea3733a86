package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLimitsOfSinglePluginsAndStatuses(t *testing.T) {
	got, err := load(t, `
plugins:
  limits: {fuel: 3000000, host_calls: 500}
  overrides:
    orders:
      isolation: fresh
      limits: {fuel: 5000000000, memory_bytes: 128MiB, timeout: 5s}
    hello: {}
workflows:
  orders:
    retention: 1h
    steps:
      invoiced: {fuel: 10000000, timeout: 2m}
      packed: {host_bytes: 8MiB, host_calls: 300, log_bytes: 4KiB, memory_bytes: 32MiB, output_bytes: 64KiB}
      shipped:
`)
	if err != nil {
		t.Fatal(err)
	}
	if l := got.Plugins.Limits; l.Fuel != 3_000_000 || l.HostCalls != 500 || l.CallDepth != 10_000 {
		t.Errorf("limits %+v; want those of the file and else the defaults", l)
	}
	own := Override{Isolation: "fresh", Limits: PluginLimits{Fuel: 5_000_000_000, MemoryBytes: 128 * MiB, Timeout: 5 * time.Second}}
	if want := map[string]Override{"orders": own, "hello": {}}; !reflect.DeepEqual(got.Plugins.Overrides, want) {
		t.Errorf("got  %+v\nwant %+v", got.Plugins.Overrides, want)
	}
	packed := Step{HostBytes: 8 * MiB, HostCalls: 300, LogBytes: 4 * KiB, MemoryBytes: 32 * MiB, OutputBytes: 64 * KiB}
	if want := map[string]Step{"invoiced": {Fuel: 10_000_000, Timeout: 2 * time.Minute}, "packed": packed, "shipped": {}}; !reflect.DeepEqual(got.Workflows["orders"].Steps, want) {
		t.Errorf("steps %+v; want %+v", got.Workflows["orders"].Steps, want)
	}
}

func TestFaultsOfLimits(t *testing.T) {
	_, err := load(t, `
plugins:
  limits: {call_depth: 1, fuel: 10}
  overrides:
    orders:
      isolation: clean
      limits: {feul: 1, host_bytes: 1, memory_bytes: 8GiB, total_memory_bytes: 1GiB}
workflows:
  orders:
    steps:
      invoiced: {fule: 1, fuel: many}
      packed: {host_bytes: 1, host_calls: 1, log_bytes: 1, memory_bytes: 8GiB, output_bytes: 1GiB, instances: 3}
      shipped: {fuel: 3, timeout: -1s}
`)
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, want := range []string{
		"plugins.limits.call_depth is 1", "plugins.limits.fuel is 10", `plugins.overrides.orders.isolation "clean" is not known`,
		"there is no key plugins.overrides.orders.limits.feul", "plugins.overrides.orders.limits.host_bytes is 1",
		"plugins.overrides.orders.limits.memory_bytes is 8GiB", "there is no key plugins.overrides.orders.limits.total_memory_bytes",
		"there is no key workflows.orders.steps.invoiced.fule", `workflows.orders.steps.invoiced.fuel "many" is not a whole number from 0 on`,
		"workflows.orders.steps.packed.host_bytes is 1", "workflows.orders.steps.packed.host_calls is 1", "workflows.orders.steps.packed.log_bytes is 1",
		"workflows.orders.steps.packed.memory_bytes is 8GiB", "workflows.orders.steps.packed.output_bytes is 1GiB",
		"there is no key workflows.orders.steps.packed.instances", "workflows.orders.steps.shipped.fuel is 3", "workflows.orders.steps.shipped.timeout is -1s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no fault says %q, but\n%s", want, err)
		}
	}
}
