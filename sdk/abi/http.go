package abi

import (
	"errors"
	"fmt"
	"strings"
)

// Request is the head of a request as http_send takes it: a line with the method, a space and the URL, and a line "Name: value"
// for each header. Lines end with "\n"; the last may go without.
type Request struct {
	Method string
	URL    string
	Header []Header
}

// Header is one header of a request or an answer.
type Header struct{ Name, Value string }

// maxHeaders bounds the headers of a request.
const maxHeaders = 128

// ParseRequest reads the head of a request. Its error continues the sentence "the request …". It checks the form of lines, the
// method and header names; the URL is the caller's to check.
func ParseRequest(head string) (Request, error) {
	line, rest, _ := strings.Cut(head, "\n")
	method, url, ok := strings.Cut(line, " ")
	if !ok || url == "" || strings.ContainsFunc(url, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return Request{}, fmt.Errorf("begins with %.80q; want a method, a space and a URL", line)
	}
	if err := CheckMethod(method); err != nil || method == "*" {
		return Request{}, fmt.Errorf("has the method %.80q; want one in capitals", method)
	}
	r := Request{Method: method, URL: url}
	for line := range strings.Lines(rest) {
		line = strings.TrimSuffix(line, "\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return Request{}, fmt.Errorf("has the line %.80q; want a header's name, a colon and its value", line)
		}
		value = strings.Trim(value, " \t")
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return Request{}, fmt.Errorf("has a control character in the header %.80s", name)
		}
		if len(r.Header) == maxHeaders {
			return Request{}, fmt.Errorf("has more than %d headers", maxHeaders)
		}
		r.Header = append(r.Header, Header{Name: name, Value: value})
	}
	return r, nil
}

// isToken reports whether the text is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// HostMatches reports whether a host and its port, a number, fit a pattern that CheckHost accepts.
func HostMatches(pattern, host, port string) bool {
	want, wantPort := SplitHost(pattern)
	if wantPort == "" && port != "80" && port != "443" || wantPort != "" && wantPort != port {
		return false
	}
	host, want = strings.ToLower(host), strings.ToLower(want)
	switch {
	case want == "*":
		return true
	case strings.HasPrefix(want, "*."):
		return strings.HasSuffix(host, want[1:]) && len(host) > len(want[1:])
	default:
		return host == strings.Trim(want, "[]")
	}
}

// MethodMatches reports whether a method is one of those asked for or granted.
func MethodMatches(methods []string, method string) bool {
	for _, m := range methods {
		if m == method || m == "*" {
			return true
		}
	}
	return false
}

// CheckURLHost returns an error, which continues the sentence "the URL …", unless the host of a URL, without its port and
// brackets, is a name in ASCII or an IP address without a zone.
func CheckURLHost(host string) error {
	if host == "" {
		return errors.New("names no host")
	}
	pattern := host
	if strings.Contains(host, ":") {
		pattern = "[" + host + "]"
	}
	if strings.Contains(host, "*") || CheckHost(pattern) != nil {
		return fmt.Errorf("names the host %.80q, which is neither a name in ASCII nor an IP address", host)
	}
	return nil
}

// maxContentType is the longest content type, in bytes.
const maxContentType = 128

// CheckContentType returns an error, which continues the sentence "the content type …", unless the text is empty or printable
// ASCII with a slash, as "application/json".
func CheckContentType(s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxContentType || !strings.Contains(s, "/") ||
		strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("%.160q is none of at most %d bytes, as application/json", s, maxContentType)
	}
	return nil
}
