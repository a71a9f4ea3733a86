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
