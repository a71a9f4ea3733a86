//go:build kafka

package kafkastreamer_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wfrt/wfrt/internal/kafkatest"
	"github.com/wfrt/wfrt/kafkastreamer"
	"github.com/wfrt/wfrt/runtime"
)

// unsigned writes a token of OAUTHBEARER for a user and returns its file.
func unsigned(t *testing.T, user string) string {
	t.Helper()
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, user, time.Now().Unix(), time.Now().Add(time.Hour).Unix())
	encode := base64.RawURLEncoding.EncodeToString
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(encode([]byte(`{"alg":"none"}`))+"."+encode([]byte(claims))+".\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// wantPublished wants an event to be published or, with parts of an error, not to be.
func wantPublished(t *testing.T, s *kafkastreamer.Streamer, e runtime.Event, parts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n, err := s.Publish(ctx, []runtime.Event{e})
	wantError(t, "publish", err, parts)
	if want := min(1, len(parts)); n != 1-want {
		t.Errorf("published %d", n)
	}
}

// wantReceived wants a message to be received or, with parts of an error, none.
func wantReceived(t *testing.T, opt kafkastreamer.SourceOptions, parts ...string) {
	t.Helper()
	source, err := kafkastreamer.OpenSource(opt)(nobody{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	messages, err := source.Receive(ctx)
	wantError(t, "receive", err, parts)
	if err == nil && len(messages) == 0 {
		t.Error("received nothing")
	}
}

func wantError(t *testing.T, what string, err error, parts []string) {
	t.Helper()
	switch {
	case len(parts) == 0 && err != nil, len(parts) > 0 && err == nil:
		t.Errorf("%s: %v", what, err)
	case err != nil:
		t.Logf("%s: %v", what, err)
	}
	for _, part := range parts {
		if err != nil && !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q does not say %q", what, err, part)
		}
	}
}

// Everybody that the broker lets in publishes and reads; everybody else is told by which broker they are refused, as whom and why.
func TestApacheKafkaAsksWhoComes(t *testing.T) {
	g := kafkatest.RunGuarded(t)
	g.Allow(t, "who.", kadm.OpAll)
	if _, err := g.Admin.CreateTopic(t.Context(), 1, 1, nil, "who.in"); err != nil {
		t.Fatal(err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(g.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "who.in", Value: []byte("{}")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	ada := func(mechanism, password string) kafkastreamer.SASL {
		return kafkastreamer.SASL{Mechanism: mechanism, User: kafkatest.GuardedUser, Password: password}
	}
	bearer := func(file string) kafkastreamer.SASL {
		return kafkastreamer.SASL{Mechanism: "oauthbearer", TokenFile: file}
	}
	const right = kafkatest.GuardedPassword
	trust, stray := kafkastreamer.TLS{CAFile: g.CAFile}, kafkastreamer.TLS{CAFile: g.Stray}
	plain := kafkastreamer.TLS{}
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		address string
		sasl    kafkastreamer.SASL
		tls     kafkastreamer.TLS
		want    []string // parts of the error; none: all is well
	}{
		"plain":                  {g.SASL, ada("plain", right), plain, nil},
		"scram-sha-256":          {g.SASL, ada("scram-sha-256", right), plain, nil},
		"scram-sha-512":          {g.SASL, ada("scram-sha-512", right), plain, nil},
		"oauthbearer":            {g.SASL, bearer(unsigned(t, "ada")), plain, nil},
		"tls":                    {g.TLS, kafkastreamer.SASL{}, trust, nil},
		"plain over tls":         {g.SASLTLS, ada("plain", right), trust, nil},
		"scram-sha-512 over tls": {g.SASLTLS, ada("scram-sha-512", right), trust, nil},
		"wrong password, plain": {g.SASL, ada("plain", "wrong"), plain, []string{
			"broker " + g.SASL, "authentication of user ada (SASL PLAIN) failed", "Invalid username or password",
		}},
		"wrong password, scram": {g.SASL, ada("scram-sha-256", "wrong"), plain, []string{
			"broker " + g.SASL, "authentication of user ada (SASL SCRAM-SHA-256) failed", "SASL_AUTHENTICATION_FAILED",
		}},
		"a token that is none":      {g.SASL, bearer(garbage), plain, []string{"broker " + g.SASL, "authentication of the token of " + garbage, "failed"}},
		"nobody":                    {g.SASL, kafkastreamer.SASL{}, plain, []string{"broker " + g.SASL, "SASL"}},
		"no SASL there":             {g.Addr, ada("plain", right), plain, []string{"broker " + g.Addr, "authentication of user ada (SASL PLAIN) failed", "does not take that mechanism"}},
		"an unknown authority":      {g.TLS, kafkastreamer.SASL{}, stray, []string{"broker " + g.TLS, "an authority that is not trusted", "kafka.tls.ca_file"}},
		"another name":              {g.TLS, kafkastreamer.SASL{}, kafkastreamer.TLS{CAFile: g.CAFile, ServerName: "kafka.example"}, []string{"broker " + g.TLS, "another name", "kafka.example"}},
		"plain text to TLS":         {g.TLS, kafkastreamer.SASL{}, plain, []string{"broker " + g.TLS, "speaks TLS there", "kafka.tls.enabled"}},
		"SASL in plain text to TLS": {g.SASLTLS, ada("plain", right), plain, []string{"broker " + g.SASLTLS, "speaks TLS there", "kafka.tls.enabled"}},
		"TLS to plain text":         {g.Addr, kafkastreamer.SASL{}, trust, []string{"broker " + g.Addr, "TLS"}},
	} {
		t.Run(name, func(t *testing.T) {
			conn := kafkastreamer.Connection{Brokers: []string{c.address}, SASL: c.sasl, TLS: c.tls}
			s := open(t, kafkastreamer.Options{Connection: conn, Prefix: "who."})
			wantPublished(t, s, notice("orders", 1), c.want...)
			wantError(t, "check", s.Check(t.Context()), c.want)
			wantReceived(t, kafkastreamer.SourceOptions{Connection: conn, Group: name, Topics: []string{"who.in"}}, c.want...)
		})
	}
}

// Who may not do something with a topic is told which, and goes on once it is allowed.
func TestApacheKafkaForbids(t *testing.T) {
	g := kafkatest.RunGuarded(t)
	conn := kafkastreamer.Connection{
		Brokers: []string{g.SASL},
		SASL:    kafkastreamer.SASL{Mechanism: "plain", User: kafkatest.GuardedUser, Password: kafkatest.GuardedPassword},
	}
	for _, topic := range []string{"may.orders", "may.in"} {
		if _, err := g.Admin.CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, kafkastreamer.Options{Connection: conn, Prefix: "may."})
	in := kafkastreamer.SourceOptions{Connection: conn, Group: "wfrt", Topics: []string{"may.in"}}

	// Nothing is allowed; then to see the topics; to write them; and to make them.
	wantPublished(t, s, notice("orders", 1), g.SASL, "topic may.orders", "needs Write and Describe", "TOPIC_AUTHORIZATION_FAILED")
	wantReceived(t, in, g.SASL, "topic may.in", "needs Read and Describe", "TOPIC_AUTHORIZATION_FAILED")
	g.Allow(t, "may.", kadm.OpDescribe)
	notYet(t, s, notice("orders", 1), "CLUSTER_AUTHORIZATION_FAILED")
	wantPublished(t, s, notice("orders", 1), g.SASL, "topic may.orders: our user may write to no topic", "CLUSTER_AUTHORIZATION_FAILED")
	wantReceived(t, in, g.SASL, "topic may.in, partition 0", "needs Read and Describe", "TOPIC_AUTHORIZATION_FAILED")
	wantPublished(t, s, notice("invoices", 1), g.SASL, "topic may.invoices is not there and may not be made", "AUTHORIZATION_FAILED")
	g.Allow(t, "may.", kadm.OpWrite)
	wantPublished(t, s, notice("orders", 1))
	g.Allow(t, "may.", kadm.OpCreate)
	wantPublished(t, s, notice("invoices", 1))

	g.Forbid(t, "may.")
	g.Allow(t, "may.", kadm.OpDescribe)
	wantPublished(t, s, notice("orders", 2), "topic may.orders, partition 0, broker "+g.SASL, "needs Write and Describe", "TOPIC_AUTHORIZATION_FAILED")
	g.Allow(t, "may.", kadm.OpWrite, kadm.OpRead)
	wantPublished(t, s, notice("orders", 2))
	produced := &kgo.Record{Topic: "may.in", Value: []byte("{}")}
	producer, err := kgo.NewClient(kgo.SeedBrokers(g.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.ProduceSync(t.Context(), produced).FirstErr(); err != nil {
		t.Fatal(err)
	}
	wantReceived(t, in)
}

// notYet publishes an event in vain until that fails for a reason: the client remembers another one for a moment.
func notYet(t *testing.T, s *kafkastreamer.Streamer, e runtime.Event, reason string) {
	t.Helper()
	for err := error(nil); err == nil || !strings.Contains(err.Error(), reason); {
		if _, err = s.Publish(t.Context(), []runtime.Event{e}); err == nil {
			t.Fatal("it was published")
		}
	}
}

// A password that is changed at the broker while we are connected ends what it let in: the error says so, events wait, and all goes on
// when the password's file is mended, without a restart.
func TestApacheKafkaTakesAnotherPassword(t *testing.T) {
	g := kafkatest.RunGuarded(t)
	g.Allow(t, "other.", kadm.OpAll)
	if _, err := g.Admin.CreateTopic(t.Context(), 1, 1, nil, "other.in"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "password")
	mend := func(password string) {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mend(kafkatest.GuardedPassword)
	conn := kafkastreamer.Connection{
		Brokers: []string{g.SASL},
		SASL:    kafkastreamer.SASL{Mechanism: "scram-sha-256", User: kafkatest.GuardedUser, PasswordFile: file},
	}
	s := open(t, kafkastreamer.Options{Connection: conn, Prefix: "other."})
	wantPublished(t, s, notice("orders", 1))
	source, err := kafkastreamer.OpenSource(kafkastreamer.SourceOptions{Connection: conn, Group: "wfrt", Topics: []string{"other.in"}})(nobody{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	producer, err := kgo.NewClient(kgo.SeedBrokers(g.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	received := func() ([]runtime.Message, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return source.Receive(ctx)
	}
	arrives := func(value string) {
		t.Helper()
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "other.in", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for {
			switch messages, err := received(); {
			case errors.Is(err, context.DeadlineExceeded):
				t.Fatalf("%q did not arrive", value)
			case slices.ContainsFunc(messages, func(m runtime.Message) bool { return string(m.Value) == value }):
				return // earlier ones come again: nothing is committed
			}
		}
	}
	arrives("before")

	g.Password(t, "another")
	refused := []string{"broker " + g.SASL, "authentication of user ada (SASL SCRAM-SHA-256) failed; kafka.sasl.* says who we are", "SASL_AUTHENTICATION_FAILED"}
	for err = nil; err == nil; { // until the session that the old one has opened ends
		_, err = received()
	}
	wantError(t, "receive", err, refused)
	for err = nil; err == nil; {
		err = s.Check(t.Context())
	}
	wantError(t, "check", err, refused)
	type answer struct {
		n   int
		err error
	}
	published := make(chan answer, 1)
	go func() {
		for {
			n, err := s.Publish(t.Context(), []runtime.Event{notice("orders", 2)})
			if n == 1 || t.Context().Err() != nil {
				published <- answer{n, err}
				return
			}
		}
	}()
	for s.Fault() == nil {
		_ = s.Check(t.Context())
	}
	wantError(t, "fault", s.Fault(), refused)
	mend("another")
	if a := <-published; a.n != 1 || a.err != nil {
		t.Errorf("published %d: %v", a.n, a.err)
	}
	arrives("after")
	for s.Fault() != nil { // that of an attempt with the old password may have come last
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
