package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/sdk/abi"
)

// maxSecret is the longest secret, in bytes.
const maxSecret = 64 << 10

// Secret is where the operator keeps a secret.
type Secret struct {
	// File is read whenever the secret is used, so that a new content counts at once. A line break at its end is not part of
	// the secret.
	File string
	// Value is the secret when there is no File.
	Value string
}

// SecretGrant is what a plugin may do with a secret.
type SecretGrant struct {
	// Hosts are where the host puts the secret into headers, by patterns that abi.CheckHost accepts. Defaults to none.
	Hosts []string
	// Inject keeps the secret from the plugin: the host only puts it into headers. Defaults to false: the plugin may read it.
	Inject bool
}

// read returns the secret.
func (s *Secret) read() (string, error) {
	if s.File == "" {
		return s.Value, nil
	}
	file, err := os.Open(s.File)
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(content) > maxSecret {
		return "", fmt.Errorf("it is longer than %d bytes", maxSecret)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"), nil
}

// secretRead is secret_read(name_ptr, name_len, buf, buf_limit) → length, or abi.Absent.
func secretRead(i *instance, guest api.Module, stack []uint64) {
	if i.call.phase != phaseInvoke {
		fail("secret_read: only a handler may read a secret")
	}
	if size := uint32(stack[1]); size > abi.MaxNameBytes {
		fail("secret_read: the name has %d bytes, more than the limit of %d", size, abi.MaxNameBytes)
	}
	name := string(i.view(guest, "secret_read", uint32(stack[0]), uint32(stack[1])))
	buf, limit := uint32(stack[2]), uint32(stack[3])
	caps := i.module.caps.Load()
	value, grant, err := caps.secret(name)
	if err == nil && grant.Inject {
		err = refuse("the operator lets only the server use the secret %s, in headers of requests: write sdk.SecretHeader(%q) there, "+
			"or take inject out of %s", name, name, caps.key("secrets."+name))
	}
	if err != nil {
		i.call.reply = reply{failure: cutText(err.Error(), maxReason)}
		absent := abi.Absent
		stack[0] = uint64(uint32(absent))
		return
	}
	if len(value) > 0 && uint64(len(value)) <= uint64(limit) {
		if !guest.Memory().WriteString(buf, value) {
			fail("secret_read: %d bytes at %#x are outside of its memory", len(value), buf)
		}
		i.chargeBytes(len(value))
	}
	stack[0] = uint64(uint32(len(value)))
}

// secret returns a secret and what is granted of it, or why the plugin may not use it.
func (c *capabilities) secret(name string) (string, *SecretGrant, error) {
	if err := abi.CheckName(name); err != nil {
		return "", nil, refuse("the secret's name %v", err)
	}
	grant, granted := c.grants.Secrets[name]
	from, known := c.secrets[name]
	switch {
	case !slices.Contains(c.asks.Secrets, name):
		return "", nil, refuse("the plugin does not ask for the secret %s: ask with sdk.AskSecret(%q)", name, name)
	case !granted:
		return "", nil, refuse("the operator does not let the plugin use the secret %s: add it to %s", name, c.key("secrets"))
	case !known:
		return "", nil, refuse("there is no secret %s: say where it is in plugins.secrets.%s", name, name)
	}
	value, err := from.read()
	if err == nil && value == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", nil, refuse("the secret %s cannot be had: %v (plugins.secrets.%s)", name, err, name)
	}
	return value, &grant, nil
}

// inject replaces the names of secrets in the headers of a request by the secrets. Its errors tell no secret.
func (c *capabilities) inject(list []abi.Header, to *destination) error {
	for n := range list {
		value, err := c.injectInto(list[n].Value, to)
		if err != nil {
			return err
		}
		list[n].Value = value
	}
	return nil
}

func (c *capabilities) injectInto(text string, to *destination) (string, error) {
	var done strings.Builder
	for {
		before, rest, found := strings.Cut(text, abi.SecretOpen)
		done.WriteString(before)
		if !found {
			return done.String(), nil
		}
		name, after, found := strings.Cut(rest, abi.SecretClose)
		if !found {
			return "", refuse("a header holds %s without the %s behind it", abi.SecretOpen, abi.SecretClose)
		}
		value, grant, err := c.secret(name)
		if err != nil {
			return "", err
		}
		switch {
		case !slices.ContainsFunc(grant.Hosts, func(pattern string) bool { return abi.HostMatches(pattern, to.host, to.port) }):
			return "", refuse("the operator does not let the secret %s go to %s:%s: add the host to %s", name, to.host, to.port,
				c.key("secrets."+name+".hosts"))
		case to.Scheme != "https" && to.rule.Address == "" && !to.rule.AllowPrivate:
			return "", refuse("the secret %s goes to %s over https only", name, to.host)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return "", refuse("the secret %s holds a control character, which no header can (plugins.secrets.%s)", name, name)
		}
		done.WriteString(value)
		text = after
	}
}
