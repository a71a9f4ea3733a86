package sdktest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// Secret gives the step a secret, for sdk.Secret and sdk.SecretHeader, if the plugin asks for it with sdk.AskSecret.
func Secret(name, value string) Option {
	return func(h *host) {
		if h.secrets == nil {
			h.secrets = map[string]string{}
		}
		h.secrets[name] = value
	}
}

// asks returns what the plugin of this test asks for, and the workflows that it carries.
func asks() (abi.Capabilities, []string) {
	m, err := guest.Default.Manifest("", "")
	if err != nil {
		return abi.Capabilities{}, nil
	}
	var own []string
	for i := range m.Workflows {
		own = append(own, m.Workflows[i].Name)
	}
	if m.Capabilities == nil {
		return abi.Capabilities{}, own
	}
	return *m.Capabilities, own
}

// SecretRead implements guest.Host.
func (h *host) SecretRead(name string, buf []byte) int32 {
	value, why := h.secret(name)
	if why != "" {
		h.left(map[abi.Field][]byte{abi.FieldFailure: []byte(why)})
		return abi.Absent
	}
	if len(value) <= len(buf) {
		copy(buf, value)
	}
	return int32(len(value))
}

// secret returns a secret, or why the step has none of that name.
func (h *host) secret(name string) (value, why string) {
	if of, _ := asks(); !slices.Contains(of.Secrets, name) {
		return "", fmt.Sprintf("the plugin does not ask for the secret %s: call sdk.AskSecret(%q) in init", name, name)
	}
	value, ok := h.secrets[name]
	if !ok {
		return "", fmt.Sprintf("the test has no secret %s: give it with sdktest.Secret", name)
	}
	return value, ""
}

// inject replaces the secrets in a header of a request.
func (h *host) inject(text string) (string, error) {
	before, rest, found := strings.Cut(text, abi.SecretOpen)
	if !found {
		return text, nil
	}
	name, after, _ := strings.Cut(rest, abi.SecretClose)
	value, why := h.secret(name)
	if why != "" {
		return "", fmt.Errorf("%s", why)
	}
	after, err := h.inject(after)
	return before + value + after, err
}

// refuse says that the server would end the invocation.
func (h *host) refuse(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = fmt.Sprintf(format, args...)
}

// Emit implements guest.Host.
func (h *host) Emit(kind, contentType string, data []byte) {
	of, _ := asks()
	if !slices.ContainsFunc(of.Emit, func(pattern string) bool { return abi.Matches(pattern, kind) }) {
		h.refuse("the plugin does not ask to emit events of the type %s: call sdk.AskEmit(%q) in init", kind, kind)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.emits = append(h.emits, Emit{Type: kind, ContentType: contentType, Data: append([]byte(nil), data...)})
}

// mayTrigger reports whether the plugin asks to trigger a workflow, or carries it.
func (h *host) mayTrigger(workflow string) bool {
	of, own := asks()
	if slices.Contains(own, workflow) || slices.ContainsFunc(of.Trigger, func(pattern string) bool { return abi.Matches(pattern, workflow) }) {
		return true
	}
	h.refuse("the plugin does not ask to trigger the workflow %s, which it carries no part of: call sdk.AskTrigger(%q) in init",
		workflow, workflow)
	return false
}

// Measure implements guest.Host.
func (h *host) Measure(kind int32, name, labels string, value float64) int32 {
	if of, _ := asks(); !of.Metrics {
		h.left(map[abi.Field][]byte{abi.FieldFailure: []byte("the plugin does not ask to measure: call sdk.AskMetrics() in init")})
		return abi.Absent
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken = append(h.taken, Measurement{
		Kind: map[int32]string{abi.MeasureCount: "count", abi.MeasureSet: "set", abi.MeasureObserve: "observe"}[kind],
		Name: name, Labels: labels, Value: value,
	})
	return 0
}
