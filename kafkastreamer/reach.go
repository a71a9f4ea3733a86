package kafkastreamer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reach remembers where the brokers of a client are, and why the one that was tried last was not reached: the client retries by
// itself and for long, and people want to know why meanwhile.
type reach struct {
	seeds string // the configured brokers, for people
	who   string // we, as the brokers are told: "user ada (SASL PLAIN)"; "": nobody

	mu        sync.Mutex
	addresses map[int32]string // of brokers, by their IDs
	broker    string           // the address that was tried last
	err       error            // why it was not reached; nil: it was
	failed    time.Time        // when that was
}

// faultFades is how long after the last connection that failed an answer on one that stands means that all is well: for what is waited
// for the client tries more often than that.
const faultFades = 5 * time.Second

var (
	_ kgo.HookBrokerConnect = (*reach)(nil)
	_ kgo.HookBrokerRead    = (*reach)(nil)
)

// OnBrokerConnect implements kgo.HookBrokerConnect. The error may be of TLS or SASL too.
func (r *reach) OnBrokerConnect(b kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return // it is we who end
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.broker, r.failed = err, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), time.Now()
	if r.addresses == nil {
		r.addresses = map[int32]string{}
	}
	r.addresses[b.NodeID] = r.broker
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (r *reach) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && r.err != nil && time.Since(r.failed) > faultFades {
		r.err = nil
	}
}

// address returns that of a broker we have connected to, or tried to; else "".
func (r *reach) address(node int32) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addresses[node]
}

// fault returns why the broker that was tried last was not reached; nil when it was, or when answers have come long enough since.
func (r *reach) fault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("broker %s: %w", r.broker, r.plainly(r.err))
}

// plainly says what an error of a connection means, before what the library says.
func (r *reach) plainly(err error) error {
	var notTLS tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var eof *kgo.ErrFirstReadEOF
	var dial *net.OpError
	switch text := err.Error(); {
	case errors.As(err, &authority):
		return fmt.Errorf("its certificate is of an authority that is not trusted; kafka.tls.ca_file names those that are: %w", err)
	case errors.As(err, &host):
		return fmt.Errorf("its certificate is for another name; kafka.tls.server_name says which to expect: %w", err)
	case errors.As(err, &notTLS):
		return fmt.Errorf("it does not speak TLS there; set kafka.tls.* only for a listener that does: %w", err)
	case strings.Contains(text, "tls alert"):
		return fmt.Errorf("it speaks TLS there, and we do not; set kafka.tls.enabled: %w", err)
	case errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return fmt.Errorf("authentication of %s failed: it does not take that mechanism there: %w", r.who, err)
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("authentication of %s failed; kafka.sasl.* says who we are: %w", r.who, err)
	case strings.Contains(text, "in oauth response"): // the broker has said why; the library does not tell
		return fmt.Errorf("authentication of %s failed: the broker refuses it: %w", r.who, err)
	case r.who != "" && errors.Is(err, io.EOF) && !errors.As(err, &eof):
		return fmt.Errorf("authentication of %s failed: it closed the connection: %w", r.who, err)
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("nobody answers there; kafka.brokers names those to begin with, their advertised.listeners all others: %w", err)
	default:
		return err
	}
}

// mayNot adds to an error of permissions what our user lacks, "Write and Describe", and to one of time whose clock to look at. Any other
// error it leaves as it is.
func mayNot(err error, lacks string) error {
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("our user needs %s on it: %w", lacks, err)
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return fmt.Errorf("our user needs Read on the group: %w", err)
	case errors.Is(err, kerr.InvalidTimestamp): // a record's is that of its publication
		return fmt.Errorf("the broker's clock and ours (%s) differ by more than message.timestamp.before.max.ms and after.max.ms of the topic allow: %w",
			time.Now().UTC().Format(time.RFC3339), err)
	default:
		return err
	}
}

// What our user needs on topics.
const (
	toWrite = "Write and Describe"
	toRead  = "Read and Describe"
)

// explain adds to an error why the broker that was tried last was not reached: what was waited for in vain does not say. An error that
// says only that is left out.
func (r *reach) explain(err error) error {
	fault := r.fault()
	var eof *kgo.ErrFirstReadEOF
	if fault == nil && (errors.As(err, &eof) || errors.Is(err, kerr.SaslAuthenticationFailed)) { // on a connection that stood
		r.mu.Lock()
		defer r.mu.Unlock()
		return fmt.Errorf("broker %s: %w", r.broker, r.plainly(err))
	}
	if fault == nil || strings.Contains(err.Error(), fault.Error()) {
		return err
	}
	r.mu.Lock()
	cause := r.err
	r.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) || cause != nil && strings.Contains(err.Error(), cause.Error()) {
		return fault
	}
	return fmt.Errorf("%w (the last connection: %w)", err, fault)
}
