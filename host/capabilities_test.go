package host

import (
	"context"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// fnOne is the function index of the one import after abiImports.
const fnOne = 3

// one is a guest that imports one function more, has texts, and asks for capabilities.
func one(function, asks string, texts []string, body ...[]byte) guest {
	return guest{imports: append(abiImports[:3:3], "wfrt_v1."+function), manifest: asking(asks), texts: texts, invoke: asm.Code(body...)}
}

// textsOf is the code that puts the places and lengths of texts on the stack.
func textsOf(texts []string, numbers ...int) []byte {
	var b []byte
	for _, n := range numbers {
		b = append(b, asm.Code(asm.I32(textAt+64*int32(n)), asm.I32(int32(len(texts[n]))))...)
	}
	return b
}

// grants has the plugin door granted something.
func grantsOf(g Grants) func(*Options) {
	return func(o *Options) { o.Grants = map[string]Grants{"door": g} }
}

func TestEmitsAreCopied(t *testing.T) {
	texts := []string{"door.opened", "application/json", `{"n":7}`, "open", "text/plain"}
	clearTexts := asm.Code(asm.I32(textAt), asm.I32('x'), asm.I32(192), asm.MemoryFill)
	g := one("emit", `{"emit":["door.*"]}`, texts, textsOf(texts, 0, 4, 3), asm.Call(fnOne), textsOf(texts, 0, 1, 2), asm.Call(fnOne), clearTexts, toOpen())
	r := serveGuest(t, g, grantsOf(Grants{Emit: []string{"door.opened"}}))
	out := r.invoke("door", "closed", `{}`)
	if out.Kind != runtime.OutcomeTo || len(out.Emits) != 2 {
		t.Fatalf("outcome %+v; want two events", out)
	}
	if e := out.Emits[1]; e.Type != "door.opened" || e.ContentType != "application/json" || string(e.Data) != `{"n":7}` {
		t.Errorf("event %+v", e)
	}
	if e := out.Emits[0]; e.ContentType != "text/plain" || string(e.Data) != "open" {
		t.Errorf("event %+v", e)
	}
}

func TestEmitsAreForgottenAfterAnError(t *testing.T) {
	texts := []string{"opened", "", "", "open"}
	for _, ending := range [][]byte{asm.I32(int32(abi.CodeError)), asm.I32(int32(abi.CodePermanent)), asm.I32(0), asm.Unreachable} {
		g := one("emit", `{"emit":["*"]}`, texts, textsOf(texts, 0, 1, 2), asm.Call(fnOne), ending)
		r := serveGuest(t, g, grantsOf(Grants{Emit: []string{"*"}}))
		if out := r.invoke("door", "closed", `{}`); len(out.Emits) != 0 || out.Kind != runtime.OutcomeError && out.Kind != runtime.OutcomePermanent {
			t.Errorf("outcome %+v; want no event", out)
		}
	}
}

func TestBadEmits(t *testing.T) {
	texts := []string{"opened", "text/plain", "x", "open", "a b", "application/json"}
	emit := func(arguments ...int32) []byte {
		var b []byte
		for _, a := range arguments {
			b = append(b, asm.I32(a)...)
		}
		return append(b, asm.Code(asm.Call(fnOne), toOpen())...)
	}
	const kind, media, data = textAt, textAt + 64, textAt + 128
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"type outside":   {emit(1<<18-3, 4, media, 10, data, 1), "emit: 4 bytes at 0x3fffd are outside of its memory"},
		"type negative":  {emit(kind, -1, media, 10, data, 1), "the type has 4294967295 bytes, more than the limit of 64"},
		"type empty":     {emit(kind, 0, media, 10, data, 1), "the type is empty"},
		"type no name":   {asm.Code(textsOf(texts, 4, 1, 2), asm.Call(fnOne), toOpen()), `the type "a b" holds ' '`},
		"media outside":  {emit(kind, 6, -4, 8, data, 1), "8 bytes at 0xfffffffc are outside"},
		"media long":     {emit(kind, 6, media, 2000, data, 1), "the content type has 2000 bytes, more than the limit of 1024"},
		"media none":     {emit(kind, 6, media, 0, data, 1), "the data has no content type"},
		"media no slash": {emit(kind, 6, media, 4, data, 1), `the content type "text" is none`},
		"data outside":   {emit(kind, 6, media, 10, 1<<18, 1), "1 bytes at 0x40000 are outside"},
		"data not JSON":  {asm.Code(textsOf(texts, 0, 5, 2), asm.Call(fnOne), toOpen()), "the data is not one JSON value"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, one("emit", `{"emit":["*"]}`, texts, c.body), grantsOf(Grants{Emit: []string{"*"}}))
			wantTrap(t, r, "door", "closed", `{}`, "the plugin was stopped: emit: ", c.want)
		})
	}
}

// TestTooMuchThatIsAskedForIsALimit: of events, runs and callbacks. It is in the reason with its figures, and counted.
func TestTooMuchThatIsAskedForIsALimit(t *testing.T) {
	const a, b, d, p = textAt, textAt + 64, textAt + 128, textAt + 192
	call := func(function int, arguments ...int32) (code []byte) {
		for _, n := range arguments {
			code = append(code, asm.I32(n)...)
		}
		return append(code, asm.Call(function)...)
	}
	often := func(n int, code []byte) []byte {
		return asm.Code(asm.I32(int32(n)), asm.Set(1), asm.Loop, code, asm.Get(1), asm.I32(1), asm.I32Sub, asm.Tee(1), asm.BrIf(0), asm.End)
	}
	emits := func(code []byte) guest {
		return one("emit", `{"emit":["*"]}`, []string{"opened", "text/plain", "x", "open"}, asm.Code(code, toOpen()))
	}
	const object = 1 << 20
	for name, c := range map[string]struct {
		guest guest
		limit Limit
		want  string
	}{
		"an event":           {emits(call(fnOne, a, 6, b, 10, 0, 1<<18+1)), LimitOutput, "output_bytes: emit: the data: 262,145 bytes are more than the limit of 262,144 bytes, which is fixed"},
		"a negative one":     {emits(call(fnOne, a, 6, b, 10, d, -1)), LimitOutput, "emit: the data: 4,294,967,295 bytes"},
		"events":             {emits(often(65, call(fnOne, a, 6, b, 10, d, 1))), LimitHostCalls, "host_calls: emit: used 65 of 64, which is fixed"},
		"events together":    {emits(asm.Code(asm.I32(17), asm.MemoryGrow, asm.Drop, often(5, call(fnOne, a, 6, b, 10, 0, 1<<18)))), LimitOutput, "emit: the data of all events: 1,310,720 bytes are more than the limit of 1,048,576 bytes"},
		"a run":              {triggers("work", "f", "1", asm.Code(call(fnTrigger, a, 4, b, 1, d, object+1), toOpen())), LimitOutput, "output_bytes: trigger: the object: 1,048,577 bytes are more than the limit of 1,048,576 bytes; let it do less at once, or raise plugins.limits.output_bytes"},
		"runs":               {triggers("work", "f", "1", asm.Code(often(65, call(fnTrigger, a, 4, b, 1, d, 1)), toOpen())), LimitHostCalls, "host_calls: runs and callbacks that it asks for: used 65 of 64, which is fixed"},
		"a callback":         {callsBack("f", "1", callbackOf(a, 6, b, 1, d, 4, p, object+1), toOpenToo()), LimitOutput, "output_bytes: callback: the payload: 1,048,577 bytes"},
		"a negative payload": {callsBack("f", "1", callbackOf(a, 6, b, 1, d, 4, p, -1), toOpenToo()), LimitOutput, "callback: the payload: 4,294,967,295 bytes"},
		"callbacks":          {callsBack("f", "1", often(65, callbackOf(a, 6, b, 1, d, 4, p, 1)), toOpenToo()), LimitHostCalls, "runs and callbacks that it asks for: used 65 of 64"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, c.guest, grantsOf(Grants{Emit: []string{"*"}, Trigger: []string{"*"}}))
			wantTrap(t, r, "door", "closed", `{}`, "the plugin was stopped: ", c.want)
			if p := r.plugin("door"); p.Exceeded[c.limit.String()] != 1 {
				t.Errorf("exceeded %v; want %s counted", p.Exceeded, c.limit)
			}
		})
	}
}

// TestRefusalsNameTheGrant has a guest call what is not asked for, and what is asked for and not granted: the run is paused at
// once, for a reason that says what to set.
func TestRefusalsNameTheGrant(t *testing.T) {
	texts := []string{"opened", "", "", "open"}
	for name, c := range map[string]struct {
		function, asks string
		grants         Grants
		body           []byte
		want           string
	}{
		"emit, not asked":   {"emit", `{"emit":["closed"]}`, Grants{Emit: []string{"*"}}, textsOf(texts, 0, 1, 2), `ask with sdk.AskEmit("opened")`},
		"emit, not granted": {"emit", `{"emit":["*"]}`, Grants{Emit: []string{"closed"}}, textsOf(texts, 0, 1, 2), "add it to plugins.overrides.door.grants.emit"},
		"trigger, not asked": {
			"trigger", `{}`,
			Grants{Trigger: []string{"*"}},
			textsOf(texts, 0, 3, 1),
			`which it carries no part of: ask with sdk.AskTrigger("opened")`,
		},
		"trigger, not granted": {"trigger", `{"trigger":["opened"]}`, Grants{}, textsOf(texts, 0, 3, 1), "add it to plugins.overrides.door.grants.trigger"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, one(c.function, c.asks, texts, c.body, asm.Call(fnOne), toOpen()), grantsOf(c.grants))
			out := r.invoke("door", "closed", `{}`)
			if out.Kind != runtime.OutcomePermanent || !strings.Contains(out.Reason, c.want) {
				t.Errorf("outcome %+v; want a permanent error with %q", out, c.want)
			}
		})
	}
	own := []string{"door", "", "", "open"}
	r := serveGuest(t, one("trigger", `{}`, own, textsOf(own, 0, 3, 1), asm.Call(fnOne), toOpen()), grantsOf(Grants{}))
	if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeTo || len(out.Intents) != 1 {
		t.Errorf("a workflow of its own: outcome %+v; want no grant needed", out)
	}
}

// readsSecret is a guest that writes a secret, or why it cannot have it, as the reason of a pause.
func readsSecret(name string) guest {
	texts := []string{name}
	return one("secret_read", `{"secrets":["key","other"]}`, texts,
		textsOf(texts, 0), asm.I32(replyAt), asm.I32(4096), asm.Call(fnOne), asm.Set(1),
		asm.Get(1), asm.I32(0), asm.I32LtS, asm.If, // if it is absent
		asm.I32(int32(abi.FieldFailure)), asm.I32(replyAt), asm.I32(4096), asm.Call(fnRead), asm.Set(1), asm.End,
		asm.I32(int32(abi.FieldReason)), asm.I32(replyAt), asm.Get(1), asm.Call(fnWrite), asm.I32(int32(abi.CodePause)))
}

func TestSecretsAreRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	put := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("s3cret\n")
	r := serveGuest(t, readsSecret("key"), grantsOf(Grants{Secrets: map[string]SecretGrant{"key": {}}}), func(o *Options) {
		o.Secrets = map[string]Secret{"key": {File: file}}
	})
	if out := r.invoke("door", "closed", `{}`); out.Reason != "s3cret" {
		t.Errorf("the secret is %q", out.Reason)
	}
	put("another")
	if out := r.invoke("door", "closed", `{}`); out.Reason != "another" {
		t.Errorf("after a change the secret is %q", out.Reason)
	}
	for content, want := range map[string]string{"": "it is empty", strings.Repeat("x", maxSecret+1): "longer than 65536 bytes"} {
		put(content)
		if out := r.invoke("door", "closed", `{}`); !strings.Contains(out.Reason, want) || !strings.Contains(out.Reason, "plugins.secrets.key") {
			t.Errorf("a file of %d bytes: %q", len(content), out.Reason)
		}
	}
}

func TestSecretsAreRefused(t *testing.T) {
	all := map[string]Secret{"key": {Value: "s3cret"}, "third": {Value: "s3cret"}}
	for name, c := range map[string]struct {
		secret string
		grants map[string]SecretGrant
		want   string
	}{
		"not asked for": {"third", map[string]SecretGrant{"third": {}}, `ask with sdk.AskSecret("third")`},
		"not granted":   {"key", nil, "add it to plugins.overrides.door.grants.secrets"},
		"not there":     {"other", map[string]SecretGrant{"other": {}}, "say where it is in plugins.secrets.other"},
		"to inject":     {"key", map[string]SecretGrant{"key": {Inject: true}}, `write sdk.SecretHeader("key") there, or take inject out of plugins.overrides.door.grants.secrets.key`},
		"no name":       {"a b", nil, "the secret's name"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveGuest(t, readsSecret(c.secret), grantsOf(Grants{Secrets: c.grants}), func(o *Options) { o.Secrets = all })
			if out := r.invoke("door", "closed", `{}`); !strings.Contains(out.Reason, c.want) || strings.Contains(out.Reason, "s3cret") {
				t.Errorf("got %q; want %q", out.Reason, c.want)
			}
		})
	}
}

func TestBadSecretReads(t *testing.T) {
	g := readsSecret("key")
	for name, c := range map[string]struct {
		arguments []int32
		want      string
	}{
		"name outside":  {[]int32{1<<18 - 1, 3, 0, 0}, "secret_read: 3 bytes at 0x3ffff are outside"},
		"name negative": {[]int32{0, -1, 0, 0}, "the name has 4294967295 bytes, more than the limit of 64"},
		"buf outside":   {[]int32{textAt, 3, 1<<18 - 3, 100}, "6 bytes at 0x3fffd are outside"},
		"buf wraps":     {[]int32{textAt, 3, -2, -1}, "6 bytes at 0xfffffffe are outside"},
	} {
		t.Run(name, func(t *testing.T) {
			g.invoke = nil
			for _, a := range c.arguments {
				g.invoke = append(g.invoke, asm.I32(a)...)
			}
			g.invoke = append(g.invoke, asm.Code(asm.Call(fnOne), asm.Drop, asm.I32(3))...)
			r := serveGuest(t, g, grantsOf(Grants{Secrets: map[string]SecretGrant{"key": {}}}), func(o *Options) {
				o.Secrets = map[string]Secret{"key": {Value: "s3cret"}}
			})
			wantTrap(t, r, "door", "closed", `{}`, "the plugin was stopped: secret_read: ", c.want)
		})
	}
}

// TestSecretsAreInjected has a guest send a secret that it never sees, to hosts that are granted for it and to others.
func TestSecretsAreInjected(t *testing.T) {
	var seen []string
	grant := listening(t, func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header.Get("Authorization")) })
	public := HTTPGrant{Methods: []string{"GET"}}
	asks := `{"http":[{"host":"*","methods":["GET"]}],"secrets":["key","lines","ungranted"]}`
	r := serveGuest(t, sender(asks, 0, 0), grantsOf(Grants{
		HTTP: map[string]HTTPGrant{"there": grant, "elsewhere": grant, "public.example": public},
		Secrets: map[string]SecretGrant{
			"key": {Inject: true, Hosts: []string{"there", "public.example"}}, "lines": {Hosts: []string{"there"}},
		},
	}), func(o *Options) {
		o.Secrets = map[string]Secret{"key": {Value: "s3cret"}, "lines": {Value: "s3cret\nX: y"}, "ungranted": {Value: "s3cret"}}
	})
	got := r.sends("GET http://there/\nAuthorization: Bearer {{secret:key}}, {{secret:key}}!")
	if !strings.HasPrefix(got, "200 OK") || !slices.Equal(seen, []string{"Bearer s3cret, s3cret!"}) {
		t.Fatalf("got %q; the server saw %q", got, seen)
	}
	for head, want := range map[string]string{
		"GET http://elsewhere/\nA: {{secret:key}}":      "does not let the secret key go to elsewhere:80: add the host to plugins.overrides.door.grants.secrets.key.hosts",
		"GET http://public.example/\nA: {{secret:key}}": "goes to public.example over https only",
		"GET http://there/\nA: {{secret:lines}}":        "holds a control character",
		"GET http://there/\nA: {{secret:ungranted}}":    "add it to plugins.overrides.door.grants.secrets",
		"GET http://there/\nA: {{secret:unasked}}":      "ask with sdk.AskSecret",
		"GET http://there/\nA: {{secret:key":            "without the }} behind it",
	} {
		if got := r.sends(head); !strings.Contains(got, want) || strings.Contains(got, "s3cret") {
			t.Errorf("%q: got %q; want %q", head, got, want)
		}
	}
	if len(seen) != 1 {
		t.Errorf("%d requests were sent", len(seen))
	}
	if lines := r.logs.find("s3cret"); len(lines) > 0 {
		t.Errorf("the log has %q", lines)
	}
}

// measured keeps measurements.
type measured struct {
	NoMeter
	all []Measurement
}

func (m *measured) Plugin(string) PluginMeter { return m }
func (m *measured) Measured(one Measurement) error {
	m.all = append(m.all, one)
	return nil
}

func TestMeasurements(t *testing.T) {
	texts := []string{"charged_cents", "card=visa\ncity=Bern\n"}
	bits := int64(math.Float64bits(12.5))
	g := one("measure", `{"metrics":true}`, texts, asm.I32(abi.MeasureObserve), textsOf(texts, 0, 1), asm.I64(bits), asm.Call(fnOne), asm.Drop, asm.I32(3))
	m := &measured{}
	r := serveGuest(t, g, grantsOf(Grants{Metrics: true}), func(o *Options) { o.Meter = m })
	r.invoke("door", "closed", `{}`)
	if len(m.all) != 1 || m.all[0].Name != "charged_cents" || m.all[0].Value != 12.5 || m.all[0].Kind != abi.MeasureObserve ||
		!slices.Equal(m.all[0].Labels, []string{"card", "visa", "city", "Bern"}) {
		t.Errorf("measurements %+v", m.all)
	}

	m = &measured{}
	r = serveGuest(t, g, grantsOf(Grants{}), func(o *Options) { o.Meter = m })
	for range 2 {
		if out := r.invoke("door", "closed", `{}`); out.Kind != runtime.OutcomeSkip {
			t.Errorf("a measurement that is not granted: outcome %+v; want the step to go on", out)
		}
	}
	if lines := r.logs.find("measurements are not taken", "set plugins.overrides.door.grants.metrics"); len(lines) != 1 || len(m.all) != 0 {
		t.Errorf("%d measurements, log %q", len(m.all), lines)
	}
}

func TestBadMeasurements(t *testing.T) {
	for name, c := range map[string]struct {
		kind         int32
		name, labels string
		value        float64
		want         string
	}{
		"kind":         {4, "a", "", 1, "there is no kind 4"},
		"name":         {1, "A", "", 1, "is not made of lower-case letters"},
		"no name":      {1, "", "", 1, "is not made of lower-case letters"},
		"falls":        {1, "a", "", -1, "-1 is not a number that it can be"},
		"not a number": {2, "a", "", math.NaN(), "NaN is not a number"},
		"label":        {2, "a", "b", 1, "is not name=value"},
		"reserved":     {2, "a", "plugin=x", 1, "is not name=value with a name of its own"},
		"label order":  {2, "a", "b=1\na=2", 1, "the label a comes after b"},
		"label twice":  {2, "a", "b=1\nb=2", 1, "the label b comes after b"},
		"label long":   {2, "a", "b=" + strings.Repeat("x", 65), 1, "is not UTF-8 of at most 64 bytes"},
		"label binary": {2, "a", "b=\xff", 1, "is not UTF-8"},
		"many labels":  {2, "a", "a=1\nb=1\nc=1\nd=1\ne=1", 1, "more than 4 labels"},
	} {
		m := Measurement{Kind: c.kind, Name: c.name, Value: c.value}
		if err := m.check(c.labels); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

// TestManifestsAskInTheRightForm refuses what cannot be granted.
func TestManifestsAskInTheRightForm(t *testing.T) {
	for asks, want := range map[string]string{
		`{"http":[{"host":"http://a","methods":["GET"]}]}`:  "capabilities: the host",
		`{"http":[{"host":"a","methods":[]}]}`:              "has 0 methods",
		`{"http":[{"host":"a","methods":["get"]}]}`:         "the method",
		`{"secrets":["a b"]}`:                               "the secret's name",
		`{"emit":["a*"]}`:                                   "the event's type",
		`{"trigger":[""]}`:                                  "the workflow to trigger",
		`{"files":true}`:                                    `unknown field "files"`,
		`{"emit":["` + strings.Repeat(`a","`, 256) + `a"]}`: "emit lists 257; the limit is 256",
	} {
		r := newRig(t)
		r.put("door.wasm", guest{manifest: asking(asks)}.bytes())
		r.load()
		r.refused("door", want)
	}
}

// FuzzSend checks that whatever head a guest passes is refused, or asks for a request of what is granted.
func FuzzSend(f *testing.F) {
	for _, seed := range []string{
		"GET http://there/", "POST https://there:443/a?b\nA: b\n", "GET http://there/\nA: {{secret:key}}", "GET http://[::1]/", "",
		"GET http://there.\nHost: x", "GET HTTP://THERE/", "GET http://u@there/", "GET http://there:0x50/", "GET //there", "GET http://there\\@x/",
	} {
		f.Add(seed)
	}
	m := &abi.Manifest{Capabilities: &abi.Capabilities{HTTP: []abi.HTTPAsk{{Host: "*", Methods: []string{"*"}}}, Secrets: []string{"key"}}}
	c := newCapabilities("door", m, Grants{
		HTTP: map[string]HTTPGrant{"there": {Methods: []string{"GET", "POST"}}}, Secrets: map[string]SecretGrant{"key": {Hosts: []string{"there"}}},
	}, map[string]Secret{"key": {Value: "s3cret"}})
	f.Fuzz(func(t *testing.T, head string) {
		r, err := abi.ParseRequest(head)
		if err != nil {
			return
		}
		to, err := c.check(&r)
		if err != nil {
			return
		}
		if !strings.EqualFold(to.host, "there") || to.port != "80" && to.port != "443" || r.Method != "GET" && r.Method != "POST" {
			t.Errorf("%q goes to %s", head, to)
		}
		if err := c.inject(r.Header, to); err != nil {
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q: %v", head, err)
			}
			return
		}
		req, err := http.NewRequestWithContext(context.Background(), r.Method, to.String(), nil)
		if err != nil {
			return
		}
		if !strings.EqualFold(req.URL.Hostname(), "there") {
			t.Errorf("%q goes to %s", head, req.URL)
		}
		if header, err := requestHeader(r.Header); err == nil && (header["Host"] != nil || header["Connection"] != nil) {
			t.Errorf("%q has the headers %v", head, header)
		}
	})
}
