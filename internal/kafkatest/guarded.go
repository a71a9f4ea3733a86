package kafkatest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Guarded is a node that asks who comes. At Addr, in plain text, anybody may do anything; at its other listeners users of SASL may do
// what they have been allowed, and who comes by TLS alone may do anything.
type Guarded struct {
	*Broker
	SASL    string // address of SASL in plain text
	TLS     string // address of TLS
	SASLTLS string // address of SASL over TLS
	CAFile  string // PEM file of the authority that has signed the node's certificate
	Stray   string // PEM file of another authority
	Admin   *kadm.Client
}

// The users of a Guarded node and their password. Ada may authenticate by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. The node takes unsigned
// tokens of OAUTHBEARER (RFC 7519, alg none), whose subject is the user.
const (
	GuardedUser     = "ada"
	GuardedPassword = "right"
)

// sessionMillis is how long a session of SASL lasts: then who has opened it says once more who they are (KIP-368).
const sessionMillis = 4000

// RunGuarded returns a guarded node that has started and is killed when the test has ended.
func RunGuarded(t testing.TB) *Guarded {
	t.Helper()
	dir := t.TempDir()
	g := &Guarded{CAFile: filepath.Join(dir, "ca.pem"), Stray: filepath.Join(dir, "stray.pem")}
	if err := makeCertificates(dir, g.CAFile, g.Stray); err != nil {
		t.Fatal(err)
	}
	const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	var properties strings.Builder
	fmt.Fprintf(&properties, `authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location=%s
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
connections.max.reauth.ms=%d
`, filepath.Join(dir, "node.pem"), sessionMillis)
	for _, listener := range []string{"sasl", "sasltls"} {
		for mechanism, module := range map[string]string{
			"plain":         fmt.Sprintf("org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=%q;", GuardedUser, GuardedPassword),
			"scram-sha-256": scram,
			"scram-sha-512": scram,
			"oauthbearer":   `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="node";`,
		} {
			fmt.Fprintf(&properties, "listener.name.%s.%s.sasl.jaas.config=%s\n", listener, mechanism, module)
		}
	}
	g.Broker = run(t, Options{
		Dir: filepath.Join(dir, "broker"), Properties: properties.String(),
		Listeners: map[string]string{"SASL": "SASL_PLAINTEXT", "SASLTLS": "SASL_SSL", "TLS": "SSL"},
	})
	g.SASL, g.SASLTLS, g.TLS = g.Listeners["SASL"], g.Listeners["SASLTLS"], g.Listeners["TLS"]
	client, err := kgo.NewClient(kgo.SeedBrokers(g.Addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	g.Admin = kadm.NewClient(client)
	g.Password(t, GuardedPassword)
	return g
}

// Password gives the user another password for SCRAM. Sessions that were opened with the one before end after sessionMillis at most.
func (g *Guarded) Password(t testing.TB, password string) {
	t.Helper()
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // one request may name a user only once
		user := kadm.UpsertSCRAM{User: GuardedUser, Mechanism: mechanism, Iterations: 4096, Password: password}
		altered, err := g.Admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{user})
		if err == nil {
			err = altered.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Allow lets the user do things with all topics whose name begins so, and with all groups.
func (g *Guarded) Allow(t testing.TB, prefix string, operations ...kadm.ACLOperation) {
	t.Helper()
	for _, acl := range []*kadm.ACLBuilder{
		of(prefix).Operations(operations...),
		kadm.NewACLs().Groups("*").Operations(kadm.OpRead, kadm.OpDescribe),
	} {
		made, err := g.Admin.CreateACLs(t.Context(), acl.Allow("User:"+GuardedUser).AllowHosts("*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range made {
			if one.Err != nil {
				t.Fatal(one.Err)
			}
		}
	}
	g.until(t, prefix, func(known kadm.DescribedACLs) bool {
		for _, op := range operations {
			if !slices.ContainsFunc(known, func(acl kadm.DescribedACL) bool { return acl.Operation == op }) {
				return false
			}
		}
		return true
	})
}

// Forbid takes back all that the user is allowed with topics whose name begins so.
func (g *Guarded) Forbid(t testing.TB, prefix string) {
	t.Helper()
	if _, err := g.Admin.DeleteACLs(t.Context(), of(prefix).Operations().Allow("User:"+GuardedUser).AllowHosts("*")); err != nil {
		t.Fatal(err)
	}
	g.until(t, prefix, func(known kadm.DescribedACLs) bool { return len(known) == 0 })
}

func of(prefix string) *kadm.ACLBuilder {
	return kadm.NewACLs().Topics(prefix).ResourcePatternType(kadm.ACLPatternPrefixed)
}

// until waits until the node goes by what has been changed: the controller says that it is done before that.
func (g *Guarded) until(t testing.TB, prefix string, done func(kadm.DescribedACLs) bool) {
	t.Helper()
	for {
		found, err := g.Admin.DescribeACLs(t.Context(), of(prefix).Operations().Allow("User:"+GuardedUser).AllowHosts("*"))
		if err != nil {
			t.Fatal(err)
		}
		var known kadm.DescribedACLs
		for _, one := range found {
			known = append(known, one.Described...)
		}
		if done(known) {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// makeCertificates writes a node's key and certificate, its authority's certificate, and that of another authority.
func makeCertificates(dir, ca, stray string) error {
	authority, key, err := makeAuthority("wfrt tests", ca)
	if err != nil {
		return err
	}
	if _, _, err := makeAuthority("strangers", stray); err != nil {
		return err
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	node := certificate("node")
	node.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	node.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	signed, err := x509.CreateCertificate(rand.Reader, node, authority, &own.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, "node.pem"), &pem.Block{Type: "PRIVATE KEY", Bytes: secret}, &pem.Block{Type: "CERTIFICATE", Bytes: signed})
}

func makeAuthority(name, file string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	c := certificate(name)
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	signed, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	return c, key, writePEM(file, &pem.Block{Type: "CERTIFICATE", Bytes: signed})
}

func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func writePEM(file string, blocks ...*pem.Block) error {
	var all bytes.Buffer
	for _, b := range blocks {
		if err := pem.Encode(&all, b); err != nil {
			return err
		}
	}
	return os.WriteFile(file, all.Bytes(), 0o600)
}
