package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// asking is the manifest door with what it asks for.
func asking(capabilities string) string { return askingOf(door, capabilities) }

func askingOf(manifest, capabilities string) string {
	return strings.TrimSuffix(manifest, "}") + `,"capabilities":` + capabilities + "}"
}

// fnSend is the function index of http_send where it is the import after abiImports.
const fnSend = 3

// Where the sender keeps what it reads.
const (
	bodyAt  = 1 << 16
	replyAt = 3 << 16
)

// sender is a guest whose object is the head of a request in JSON: it sends it, with a body, and writes as the reason of a pause
// what comes back: the field failure, else head and body.
func sender(asks string, body int, timeout int32) guest {
	readBehind := func(field abi.Field) []byte { // local 1 is how far the reply reaches
		return asm.Code(asm.I32(int32(field)), asm.Get(1), asm.I32(replyAt), asm.I32Add, asm.I32(32<<10), asm.Call(fnRead), asm.Get(1), asm.I32Add, asm.Set(1))
	}
	return guest{
		imports: append(abiImports[:3:3], "wfrt_v1.http_send"), manifest: asking(asks),
		invoke: asm.Code(
			// The head is the object without its quotes; "|" stands for a line break: the guest replaces none, the host is given lines by
			// the payload below.
			asm.I32(int32(abi.FieldObject)), asm.I32(0x800), asm.I32(0x400), asm.Call(fnRead), asm.Set(1),
			asm.I32(0x801), asm.Get(1), asm.I32(2), asm.I32Sub, asm.I32(bodyAt), asm.I32(int32(body)), asm.I32(timeout), asm.Call(fnSend), asm.Drop,
			asm.I32(0), asm.Set(1),
			readBehind(abi.FieldFailure),
			asm.Get(1), asm.I32(0), asm.I32LeS, asm.If, // if nothing failed (i32.le_s): absent is −1
			asm.I32(0), asm.Set(1), readBehind(abi.FieldHTTPHead), readBehind(abi.FieldHTTPBody),
			asm.End,
			asm.I32(int32(abi.FieldReason)), asm.I32(replyAt), asm.Get(1), asm.Call(fnWrite), asm.I32(int32(abi.CodePause)),
		),
	}
}

// serveSender returns a rig whose plugin door sends requests under a grant for the host "there".
func serveSender(t testing.TB, grant HTTPGrant, change ...func(*Options)) *rig {
	t.Helper()
	return serveGuest(t, sender(`{"http":[{"host":"*","methods":["GET","POST"]},{"host":"*:81","methods":["GET"]}]}`, 0, 0),
		append([]func(*Options){func(o *Options) {
			o.Grants = map[string]Grants{"door": {HTTP: map[string]HTTPGrant{"there": grant}}}
		}}, change...)...)
}

// sends has the guest send a request with that head, and returns what it got.
func (r *rig) sends(head string) string {
	r.t.Helper()
	out := r.invoke("door", "closed", `"`+head+`"`)
	if out.Kind != runtime.OutcomePause {
		r.t.Fatalf("%q: outcome %+v", head, out)
	}
	return out.Reason
}

// listening returns a server and the grant that leads there.
func listening(t testing.TB, handler http.HandlerFunc) HTTPGrant {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return HTTPGrant{Address: s.Listener.Addr().String(), Methods: []string{"GET", "POST"}}
}

func TestSendsWhatIsGranted(t *testing.T) {
	grant := listening(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Of", r.Method+" "+r.Host+r.URL.String())
		w.Header()["Date"] = nil
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout, "+r.UserAgent())
	})
	r := serveSender(t, grant)
	want := "418 I'm a teapot\nContent-Length: 21\nContent-Type: text/plain; charset=utf-8\nX-Of: GET there/pot?a=b\n" +
		"short and stout, wfrt"
	if got := r.sends("GET http://there/pot?a=b#c"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRefusesWhatIsNotGranted(t *testing.T) {
	asked := atomic.Int64{}
	grant := listening(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	grant.Methods = []string{"GET"}
	r := serveSender(t, grant)
	for head, want := range map[string]string{
		"PUT http://there/":                `does not ask for PUT requests to there: ask with sdk.AskHTTP("there", "PUT")`,
		"GET http://there:82/":             `does not ask for GET requests to there:82`,
		"POST http://there/":               "does not let the plugin send POST requests to there: add the method to plugins.overrides.door.grants.http.there.methods",
		"GET http://here/":                 `does not let the plugin send requests to here: add the host to plugins.overrides.door.grants.http, as in "here": {methods: [GET]}`,
		"GET http://there.example/":        "does not let the plugin send requests to there.example",
		"GET http://there:81/":             "does not let the plugin send requests to there:81",
		"GET ftp://there/":                 "a URL begins with http:// or https://",
		"GET there/":                       "a URL begins with http:// or https://",
		"GET http://u:secret@there/":       "not in the URL",
		"GET http:///x":                    "names no host",
		"GET http://[fe80::1%25eth0]/":     "neither a name in ASCII nor an IP address",
		"GET http://there%00/":             "invalid URL escape",
		"GET  http://there/":               "want a method, a space and a URL",
		"get http://there/":                "want one in capitals",
		"GET":                              "want a method, a space and a URL",
		"":                                 "want a method, a space and a URL",
		"GET http://there/\nHost: here":    "the header Host is the server's to set",
		"GET http://there/\ncOnNection: x": "the header Connection is the server's to set",
		"GET http://there/\nA b: c":        "want a header's name, a colon and its value",
		"GET http://there/\nA: \x01":       "control character",
	} {
		if got := r.sends(head); !strings.Contains(got, want) || strings.Contains(got, "secret") {
			t.Errorf("%q: got %q; want %q", head, got, want)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestRefusesEverythingWithoutGrants(t *testing.T) {
	r := serveSender(t, HTTPGrant{}, func(o *Options) { o.Grants = nil })
	if got := r.sends("GET http://there/"); !strings.Contains(got, "add the host to plugins.overrides.door.grants.http") {
		t.Errorf("got %q", got)
	}
}

func TestTheMostSpecificHostHolds(t *testing.T) {
	m := &abi.Manifest{}
	grants := Grants{HTTP: map[string]HTTPGrant{
		"*": {}, "*:443": {}, "*.example.com": {}, "*.api.example.com": {}, "v1.api.example.com": {}, "v1.api.example.com:8443": {},
	}}
	c := newCapabilities("door", m, grants, nil)
	defer c.close()
	for host, want := range map[string]string{
		"v1.api.example.com:443": "v1.api.example.com", "v1.api.example.com:8443": "v1.api.example.com:8443",
		"V2.API.Example.com:80": "*.api.example.com", "api.example.com:80": "*.example.com", "example.com:443": "*:443",
		"example.com:80": "*", "badexample.com:80": "*", "v2.api.example.com:8443": "",
	} {
		name, port, _ := net.SplitHostPort(host)
		got := ""
		if rule := c.rule(name, port); rule != nil {
			got = rule.pattern
		}
		if got != want {
			t.Errorf("%s: the rule of %q holds; want that of %q", host, got, want)
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "172.32.0.1": true, "100.128.0.1": true, "2606:4700::1111": true, "64:ff9b::808:808": true,
		"::ffff:8.8.8.8": true, "2002:808:808::1": true,
		"127.0.0.1": false, "127.255.255.254": false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.100.100.200": false, "0.0.0.0": false, "0.1.2.3": false,
		"192.0.0.192": false, "198.18.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "168.63.129.16": false,
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"2001:db8::1": false, "2001::1": false, "::ffff:127.0.0.1": false, "::ffff:a9fe:a9fe": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::1": false, "2002:7f00:1::1": false, "fec0::1": false,
	} {
		if got := isPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is public: %v; want %v", text, got, want)
		}
	}
}

// TestPrivateAddresses sends to names and addresses of this machine, with nothing but the check of the address in the way.
func TestPrivateAddresses(t *testing.T) {
	asked := atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	asks := fmt.Sprintf(`{"http":[{"host":"*:%s","methods":["GET"]}]}`, port)
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	for name, c := range map[string]struct {
		host  string
		grant HTTPGrant
		ok    bool
	}{
		"by address":             {"127.0.0.1", HTTPGrant{}, false},
		"by name":                {"localhost", HTTPGrant{}, false},
		"mapped":                 {"[::ffff:127.0.0.1]", HTTPGrant{}, false},
		"another network":        {"127.0.0.1", HTTPGrant{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, false},
		"unspecified":            {"0.0.0.0", HTTPGrant{AllowPrivate: true}, false},
		"by address, allowed":    {"127.0.0.1", HTTPGrant{AllowPrivate: true}, true},
		"by name, allowed":       {"localhost", HTTPGrant{AllowPrivate: true}, true},
		"by network":             {"127.0.0.1", HTTPGrant{Networks: []netip.Prefix{loopback}}, true},
		"mapped, by its network": {"[::ffff:127.0.0.1]", HTTPGrant{Networks: []netip.Prefix{loopback}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c.grant.Methods = []string{"GET"}
			r := serveGuest(t, sender(asks, 0, 0), func(o *Options) {
				o.Grants = map[string]Grants{"door": {HTTP: map[string]HTTPGrant{"*:" + port: c.grant}}}
			})
			before := asked.Load()
			got := r.sends("GET http://" + c.host + ":" + port + "/")
			if c.ok {
				if !strings.HasPrefix(got, "200 OK") || asked.Load() != before+1 {
					t.Errorf("got %q", got)
				}
				return
			}
			if !strings.Contains(got, "not a public address") ||
				!strings.Contains(got, "add it to plugins.overrides.door.grants.http.*:"+port+".allow_private") || asked.Load() != before {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestProxiesOfTheEnvironmentAreNotAsked(t *testing.T) {
	proxied := atomic.Int64{}
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied.Add(1) }))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	r := serveSender(t, listening(t, func(http.ResponseWriter, *http.Request) {}))
	if got := r.sends("GET http://there/"); !strings.HasPrefix(got, "200 OK") || proxied.Load() != 0 {
		t.Errorf("got %q, %d requests through the proxy", got, proxied.Load())
	}
}

func TestRedirectsAreTheGuests(t *testing.T) {
	asked := atomic.Int64{}
	r := serveSender(t, listening(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
	}))
	got := r.sends("GET http://there/")
	if !strings.HasPrefix(got, "307 Temporary Redirect\n") || !strings.Contains(got, "\nLocation: http://169.254.169.254/\n") || asked.Load() != 1 {
		t.Errorf("got %q after %d requests", got, asked.Load())
	}
}

func TestAnswersAreLimited(t *testing.T) {
	written := make(chan struct{})
	grant := listening(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		if r.URL.Path == "/long" {
			w.Header().Set("Content-Length", strconv.Itoa(n))
		}
		if r.URL.Path == "/head" {
			w.Header().Set("X", strings.Repeat("x", n))
			return
		}
		for ; n > 0; n -= 10 {
			if _, err := io.WriteString(w, "0123456789"[:min(n, 10)]); err != nil {
				close(written) // the host has hung up
				return
			}
			if r.URL.Path == "/slow" {
				w.(http.Flusher).Flush()
			}
		}
	})
	grant.ResponseBytes = 1000
	r := serveSender(t, grant)
	for path, ok := range map[string]bool{
		"/slow?n=1000": true, "/slow?n=1001": false, "/long?n=1000": true, "/long?n=1001": false, "/long?n=0": true, "/x?n=999": true,
		"/head?n=10000": true,
	} {
		got := r.sends("GET http://there" + path)
		if ok != strings.HasPrefix(got, "200 OK") {
			t.Errorf("%s: got %.200q", path, got)
		}
		if !ok && !strings.Contains(got, "the answer 200 OK has more bytes than the limit of 1000 (plugins.overrides.door.grants.http.there.response_bytes)") {
			t.Errorf("%s: got %.200q", path, got)
		}
	}
	if got := r.sends("GET http://there/slow?n=1000000000"); !strings.Contains(got, "has more bytes") {
		t.Errorf("got %.200q", got)
	}
	<-written
	if got := r.sends("GET http://there/head?n=100000"); !strings.Contains(got, "exceeded") {
		t.Errorf("a head of 100,000 bytes: got %.200q", got)
	}
}

func TestRequestsAreLimited(t *testing.T) {
	grant := listening(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	})
	grant.RequestBytes = 1000
	for size, ok := range map[int]bool{1000: true, 1001: false} {
		g := sender(`{"http":[{"host":"there","methods":["POST"]}]}`, size, 0)
		r := serveGuest(t, g, func(o *Options) {
			o.Grants = map[string]Grants{"door": {HTTP: map[string]HTTPGrant{"there": grant}}}
		})
		got := r.sends("POST http://there/")
		if ok && !strings.HasSuffix(got, "\n1000") || !ok && !strings.Contains(got, "1001 bytes, more than the limit of 1000") {
			t.Errorf("%d bytes: got %q", size, got)
		}
	}
}

// hanging returns the grant of a server that does not answer until the test ends.
func hanging(t *testing.T) (grant HTTPGrant, asked chan struct{}) {
	asked = make(chan struct{}, 8)
	release := make(chan struct{})
	grant = listening(t, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	})
	t.Cleanup(func() { close(release) }) // before the server closes
	return grant, asked
}

func TestRequestsTakeTheirTime(t *testing.T) {
	asks := `{"http":[{"host":"there","methods":["GET"]}]}`
	for name, c := range map[string]struct {
		timeout    time.Duration // of the grant
		milli      int32         // of the guest
		invocation time.Duration
		want       string
	}{
		"of the grant":      {time.Millisecond, 0, 0, "its time was up"},
		"of the guest":      {0, 1, 0, "its time was up"},
		"of the invocation": {0, 0, time.Millisecond, "it reached the deadline of the invocation"},
	} {
		t.Run(name, func(t *testing.T) {
			grant, _ := hanging(t)
			grant.Timeout = c.timeout
			r := serveGuest(t, sender(asks, 0, c.milli), func(o *Options) {
				o.Grants = map[string]Grants{"door": {HTTP: map[string]HTTPGrant{"there": grant}}}
			})
			in := r.invocation("door", "closed", `"GET http://there/"`)
			if c.invocation > 0 {
				in.Deadline = in.Now.Add(c.invocation)
			}
			var out runtime.Outcome
			if err := in.Handler.Invoker.Invoke(context.Background(), in, &out); err != nil || !strings.Contains(out.Reason, c.want) {
				t.Errorf("outcome %+v, %v", out, err)
			}
		})
	}
}

func TestCancellationEndsARequest(t *testing.T) {
	grant, asked := hanging(t)
	r := serveSender(t, grant)
	in := r.invocation("door", "closed", `"GET http://there/"`)
	ctx, cancel := context.WithCancelCause(context.Background())
	drain := errors.New("drain")
	result := make(chan error)
	go func() {
		var out runtime.Outcome
		result <- in.Handler.Invoker.Invoke(ctx, in, &out)
	}()
	<-asked
	cancel(drain)
	if err := <-result; !errors.Is(err, drain) {
		t.Errorf("error %v; want the cause of the cancellation", err)
	}
	if p := r.plugin("door"); p.Traps != 0 {
		t.Errorf("%d traps; want none: the host ended it", p.Traps)
	}
}

// gate is a Settler that lets no one through until it is opened.
type gate struct {
	waiting chan struct{} // told of each who waits
	open    chan struct{}
	err     error
}

func (g *gate) Settle(ctx context.Context) error {
	g.waiting <- struct{}{}
	select {
	case <-g.open:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestNoRequestLeavesBeforeWhatItFollowsIsDurable(t *testing.T) {
	asked := make(chan struct{}, 1)
	r := serveSender(t, listening(t, func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	for name, g := range map[string]*gate{
		"durable": {}, "failed": {err: runtime.ErrStoreFailed},
	} {
		g.waiting, g.open = make(chan struct{}), make(chan struct{})
		in := r.invocation("door", "closed", `"GET http://there/"`)
		in.Seen = g
		result := make(chan error)
		var out runtime.Outcome
		go func() { result <- in.Handler.Invoker.Invoke(context.Background(), in, &out) }()
		<-g.waiting
		select {
		case <-asked:
			t.Fatal("a request left before what it follows was durable")
		default:
		}
		close(g.open)
		err := <-result
		if g.err != nil {
			if err == nil || len(asked) != 0 {
				t.Errorf("%s: error %v, outcome %+v, %d requests; want an aborted call and no request", name, err, out, len(asked))
			}
			continue
		}
		if <-asked; err != nil || !strings.HasPrefix(out.Reason, "200 OK") {
			t.Errorf("%s: error %v, outcome %+v", name, err, out)
		}
	}
}

func TestBadSends(t *testing.T) {
	send := func(arguments ...int32) []byte {
		var b []byte
		for _, a := range arguments {
			b = append(b, asm.I32(a)...)
		}
		return append(b, asm.Code(asm.Call(fnSend), asm.Drop, asm.I32(3))...)
	}
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"head outside":  {send(1<<18-3, 4, 0, 0, 0), "http_send: 4 bytes at 0x3fffd are outside of its memory"},
		"head wraps":    {send(-4, 8, 0, 0, 0), "http_send: 8 bytes at 0xfffffffc are outside"},
		"head long":     {send(0, 1<<16+1, 0, 0, 0), "the head of the request has 65537 bytes, more than the limit of 65536"},
		"head negative": {send(0, -1, 0, 0, 0), "the head of the request has 4294967295 bytes"},
		"body outside":  {send(0, 4, 1<<18, 1, 0), "http_send: 1 bytes at 0x40000 are outside"},
		"body negative": {send(0, 4, 0, -1, 0), "http_send: 4294967295 bytes at 0x0 are outside"},
	} {
		t.Run(name, func(t *testing.T) {
			g := sender(`{}`, 0, 0)
			g.invoke = c.body
			wantTrap(t, serveGuest(t, g), "door", "closed", `{}`, "the plugin was stopped: http_send: ", c.want)
		})
	}
}
