package guest

import (
	"fmt"
	"slices"

	"github.com/wfrt/wfrt/sdk/abi"
)

// AskHTTP asks for requests to a host.
func (p *Plugin) AskHTTP(host string, methods []string) {
	if err := abi.CheckHost(host); err != nil {
		p.fault("AskHTTP: the host %w", err)
	}
	if len(methods) == 0 {
		p.fault("AskHTTP: %q: name the methods", host)
	}
	for _, method := range methods {
		if err := abi.CheckMethod(method); err != nil {
			p.fault("AskHTTP: %q: the method %w", host, err)
		}
	}
	p.asks.HTTP = append(p.asks.HTTP, abi.HTTPAsk{Host: host, Methods: slices.Clone(methods)})
}

// AskSecrets asks for secrets.
func (p *Plugin) AskSecrets(names []string) {
	for _, name := range names {
		if err := abi.CheckName(name); err != nil {
			p.fault("AskSecret: the name %w", err)
		}
	}
	p.asks.Secrets = append(p.asks.Secrets, names...)
}

// AskEmit asks for events of the author's own.
func (p *Plugin) AskEmit(types []string) {
	for _, kind := range types {
		if err := abi.CheckPattern(kind); err != nil {
			p.fault("AskEmit: the type %w", err)
		}
	}
	p.asks.Emit = append(p.asks.Emit, types...)
}

// AskMetrics asks for measurements.
func (p *Plugin) AskMetrics() { p.asks.Metrics = true }

// AskTrigger asks for triggers of other plugins' workflows.
func (p *Plugin) AskTrigger(workflows []string) {
	for _, workflow := range workflows {
		if err := abi.CheckPattern(workflow); err != nil {
			p.fault("AskTrigger: the name %w", err)
		}
	}
	p.asks.Trigger = append(p.asks.Trigger, workflows...)
}

func (p *Plugin) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf("sdk: "+format, args...))
}
