package abi

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Capabilities is what a module asks for beyond its own memory. The operator grants; what holds is what both name.
type Capabilities struct {
	HTTP    []HTTPAsk `json:"http,omitempty"`    // requests to other servers
	Secrets []string  `json:"secrets,omitempty"` // names of secrets, to be read or to be put into requests
	Emit    []string  `json:"emit,omitempty"`    // types of events; "order.*" and "*" stand for many
	Trigger []string  `json:"trigger,omitempty"` // workflows that the module carries no part of; "*" stands for any
	Metrics bool      `json:"metrics,omitempty"` // measurements of its own
}

// HTTPAsk is a host that a module wants to send requests to, and with which methods.
type HTTPAsk struct {
	Host    string   `json:"host"`    // as CheckHost wants it
	Methods []string `json:"methods"` // at least one, in capitals; "*" stands for any
}

// MaxCapabilities bounds each list of Capabilities.
const MaxCapabilities = 256

// maxHost is the longest name that the DNS has, and a port.
const maxHost = 253 + len(":65535")

// CheckHost returns an error, which continues the sentence "the host …", unless the pattern is one or more labels of letters,
// digits, '-' and '_', or an IP address (one of version 6 in brackets); "*." before a name stands for any labels in that place
// and "*" alone for any host. A port may follow; without one the pattern is for the ports 80 and 443.
func CheckHost(pattern string) error {
	if pattern == "" {
		return errors.New("is empty")
	}
	if len(pattern) > maxHost {
		return fmt.Errorf("%.80q is longer than %d bytes", pattern, maxHost)
	}
	host, port := SplitHost(pattern)
	if strings.HasSuffix(pattern, ":") {
		return fmt.Errorf("%q ends with a colon; a port follows it, or leave it out", pattern)
	}
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%q has the port %q; it is a number from 1 to 65535", pattern, port)
		}
	}
	if host == "*" {
		return nil
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(host, "]") || !addr.Is6() || addr.Zone() != "" {
			return fmt.Errorf("%q is not an address of IP version 6 in brackets", pattern)
		}
		return nil
	}
	for _, label := range strings.Split(strings.TrimPrefix(host, "*."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return fmt.Errorf(`%q is not a host; write it as "api.example.com", "*.example.com", "127.0.0.1:8080" or "[::1]:8080", `+
				"without a scheme or a path", pattern)
		}
	}
	return nil
}

// SplitHost splits a host from its port; the port is "" when there is none. Brackets stay.
func SplitHost(s string) (host, port string) {
	at := strings.LastIndexByte(s, ':')
	if at < 0 || strings.HasSuffix(s, "]") {
		return s, ""
	}
	return s[:at], s[at+1:]
}

// CheckMethod returns an error, which continues the sentence "the method …", unless the text is an HTTP method in capitals or
// "*".
func CheckMethod(method string) error {
	if method == "*" {
		return nil
	}
	if method == "" || len(method) > MaxNameBytes || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return fmt.Errorf("%.80q is not one in capitals, as GET, or *", method)
	}
	return nil
}

// CheckPattern returns an error, which continues the sentence "the type …", unless the text is a name (CheckName), one whose
// last part is "*", as in "order.*", or "*".
func CheckPattern(pattern string) error {
	if pattern == "*" {
		return nil
	}
	return CheckName(strings.TrimSuffix(pattern, ".*"))
}

// Matches reports whether a name fits a pattern that CheckPattern accepts.
func Matches(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}
