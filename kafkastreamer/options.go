package kafkastreamer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kprom"
)

// Connection says how Kafka is reached. Every client of ours is made from one.
type Connection struct {
	// Brokers are the addresses to begin with, host:port. At least one is required.
	Brokers []string
	// ClientID is how clients name themselves to the brokers. Defaults to wfrt.
	ClientID string
	// Logger takes what the clients have to say. Defaults to nowhere.
	Logger *slog.Logger
	// Registry takes the clients' metrics, as wfrt_kafka_…, labelled with the purpose of each. Defaults to none.
	Registry prometheus.Registerer
	// SASL says who we are. Defaults to nobody.
	SASL SASL
	// TLS encrypts. Defaults to plain text.
	TLS TLS
}

// TLS says how connections are encrypted.
type TLS struct {
	Enabled    bool   // also when nothing else is set
	CAFile     string // PEM file of the authorities that brokers are checked against; "": those of the system
	CertFile   string // PEM file of our own certificate; "": none. It is read again for each connection
	KeyFile    string // PEM file of its key
	ServerName string // the name that a broker's certificate must have; "": the host it is reached by
}

func (t *TLS) on() bool { return t.Enabled || t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" }

// SASL says who we are. Files are read again for each connection, so that what is in them may change.
type SASL struct {
	Mechanism    string // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, in any case; "": no SASL
	User         string
	Password     string // of the user
	PasswordFile string // holds the password, instead of Password
	TokenFile    string // of OAUTHBEARER: holds the token
}

// Mechanisms are the values that SASL.Mechanism may have.
func Mechanisms() []string { return []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"} }

// Check reports all faults of the connection at once, without reaching for a broker.
func (c *Connection) Check() error {
	_, _, err := c.clientOptions("check")
	return err
}

// clientOptions returns the options of a client for some purpose, "relay" say, by which its metrics and its log lines are told
// apart, and what will know whether it reaches the brokers. It reports all faults at once.
func (c *Connection) clientOptions(purpose string) ([]kgo.Opt, *reach, error) {
	var faults []error
	if len(c.Brokers) == 0 {
		faults = append(faults, errors.New("no broker is named"))
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			faults = append(faults, fmt.Errorf("broker %q is not host:port", b))
		}
	}
	reach := &reach{seeds: strings.Join(c.Brokers, ", "), who: c.SASL.who()}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(cmp.Or(c.ClientID, "wfrt")),
		kgo.WithLogger(newLogger(c.Logger, purpose)),
		kgo.MetadataMinAge(250 * time.Millisecond), // a leader that moved, or a broker that is back, is found soon
	}
	if c.TLS.on() {
		config, err := c.TLS.config()
		faults = append(faults, err)
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	if c.SASL.Mechanism != "" {
		mechanism, err := c.SASL.mechanism()
		faults = append(faults, err)
		opts = append(opts, kgo.SASL(mechanism))
	}
	hooks := []kgo.Hook{reach}
	if m := c.metrics(purpose); m != nil {
		hooks = append(hooks, m)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, nil, fmt.Errorf("kafkastreamer: %w", err)
	}
	return append(opts, kgo.WithHooks(hooks...)), reach, nil
}

// metrics returns those of a client for some purpose; nil for none.
func (c *Connection) metrics(purpose string) *metrics {
	if c.Registry == nil {
		return nil
	}
	registry := prometheus.WrapRegistererWith(prometheus.Labels{"purpose": purpose}, c.Registry)
	return &metrics{Metrics: kprom.NewMetrics("wfrt_kafka", kprom.Registerer(registry))}
}

// config reads the files, so that a wrong one is found at the start.
func (t *TLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca_file: %s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile == "" && t.KeyFile == "" {
		return config, nil
	}
	load := func() (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.cert_file and key_file: %w", err)
		}
		return &cert, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return config, nil
}

// who names us as the brokers are told, for people; "" for nobody.
func (s *SASL) who() string {
	switch name := strings.ToUpper(s.Mechanism); name {
	case "":
		return ""
	case "OAUTHBEARER":
		return "the token of " + s.TokenFile + " (SASL " + name + ")"
	default:
		return "user " + s.User + " (SASL " + name + ")"
	}
}

func (s *SASL) mechanism() (sasl.Mechanism, error) {
	own := *s
	switch name := strings.ToUpper(s.Mechanism); name {
	case "PLAIN":
		_, err := own.secret()
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			secret, err := own.secret()
			return plain.Auth{User: own.User, Pass: secret}, err
		}), errors.Join(err, own.needUser(name))
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		_, err := own.secret()
		auth := func(context.Context) (scram.Auth, error) {
			secret, err := own.secret()
			return scram.Auth{User: own.User, Pass: secret}, err
		}
		if name == "SCRAM-SHA-256" {
			return scram.Sha256(auth), errors.Join(err, own.needUser(name))
		}
		return scram.Sha512(auth), errors.Join(err, own.needUser(name))
	case "OAUTHBEARER":
		if own.TokenFile == "" {
			return nil, errors.New("SASL OAUTHBEARER needs a file with the token")
		}
		_, err := own.token()
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := own.token()
			return oauth.Auth{Token: token}, err
		}), err
	default:
		return nil, fmt.Errorf("SASL mechanism %q is not known; use one of: %s", s.Mechanism, strings.Join(Mechanisms(), ", "))
	}
}

func (s *SASL) needUser(mechanism string) error {
	if s.User == "" {
		return fmt.Errorf("SASL %s needs a user", mechanism)
	}
	return nil
}

// secret is the password.
func (s *SASL) secret() (string, error) {
	if s.PasswordFile == "" {
		return s.Password, nil
	}
	return readSecret("kafka.sasl.password_file", s.PasswordFile)
}

// token is that of OAUTHBEARER.
func (s *SASL) token() (string, error) { return readSecret("kafka.sasl.token_file", s.TokenFile) }

// readSecret reads the file that a key of the configuration names.
func readSecret(key, file string) (string, error) {
	content, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	content = bytes.TrimSpace(content)
	if len(content) == 0 {
		return "", fmt.Errorf("%s: %s is empty", key, file)
	}
	return string(content), nil
}
