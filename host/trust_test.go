package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/runtime"
)

// signer signs as `minisign -Sm FILE` does.
type signer struct {
	key    signature.Key
	secret minisign.PrivateKey
}

func newSigner(t *testing.T) signer {
	t.Helper()
	public, secret, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signature.ParseKey(public.String())
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, secret}
}

func (s signer) sign(raw []byte) []byte { return minisign.Sign(s.secret, raw) }

func trusting(keys ...signature.Key) func(*Options) {
	return func(o *Options) { o.TrustedKeys = keys }
}

func TestAModuleServesOnlyWithASignatureOfATrustedKey(t *testing.T) {
	mine, other := newSigner(t), newSigner(t)
	r := newRig(t, trusting(mine.key))
	raw := generation(1)
	r.put("door.wasm", raw)
	r.load()
	r.refused("door", "it is not signed", "trusted: "+mine.key.ID(), "minisign -Sm door.wasm", "door.wasm.minisig")
	r.put("door.wasm.minisig", other.sign(raw))
	r.load()
	r.refused("door", "key "+other.key.ID()+" signed it", "trusted: "+mine.key.ID())
	r.put("door.wasm.minisig", mine.sign(generation(2)))
	r.load()
	r.refused("door", "does not fit", mine.key.ID())
	r.put("door.wasm.minisig", []byte("hello"))
	r.load()
	r.refused("door", "none that minisign writes")
	r.put("door.wasm.minisig", make([]byte, signature.MaxBytes+1))
	r.load()
	r.refused("door", "none that minisign writes", "16385 bytes")
	r.put("door.wasm.minisig", mine.sign(raw))
	r.load()
	r.serves("door")
	if n := len(r.logs.find("a plugin's file cannot be served", "is not signed")); n != 1 {
		t.Errorf("%d lines about the missing signature; want 1", n)
	}
}

func TestTheOldServesUntilModuleAndSignatureFitWhicheverComesFirst(t *testing.T) {
	mine := newSigner(t)
	r := newRig(t, trusting(mine.key))
	put := func(n int, what string) {
		t.Helper()
		if what == "module" {
			r.put("door.wasm", generation(n))
		} else {
			r.put("door.wasm.minisig", mine.sign(generation(n)))
		}
		r.load()
	}
	put(0, "module")
	put(0, "signature")
	r.serves("door")
	for n, order := range [][]string{{"module", "signature"}, {"signature", "module"}} {
		old := r.plugin("door").Version
		put(n+1, order[0])
		p := r.plugin("door")
		if p.State != StateServing || p.Version != old || !strings.Contains(p.Error, "does not fit") {
			t.Errorf("with the new %s only: %+v; want %s to serve, and the error to say why", order[0], p, old)
		}
		put(n+1, order[1])
		r.serves("door")
		if v := r.plugin("door").Version; v == old {
			t.Errorf("after both %v have come, %s serves; want the new one", order, v)
		}
	}
}

func TestWatchNoticesASignatureThatComesLater(t *testing.T) {
	mine := newSigner(t)
	catalogs := make(chan *runtime.Catalog, 1)
	r := newRig(t, trusting(mine.key), func(o *Options) { o.Engine = &fakeRuns{catalogs: catalogs} })
	r.put("door.wasm", generation(1))
	r.load()
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan error)
	go func() { watched <- r.Watch(ctx) }()
	r.put("door.wasm.minisig", mine.sign(generation(1)))
	if c := <-catalogs; c.Workflow("door") == nil {
		t.Errorf("workflows %v; want door", c.Names())
	}
	cancel()
	if err := <-watched; err != nil {
		t.Error(err)
	}
}

func TestOtherTrustedKeysHoldFromTheNextLoadOn(t *testing.T) {
	mine, other := newSigner(t), newSigner(t)
	r := newRig(t)
	raw := generation(1)
	r.put("door.wasm", raw)
	r.put("unsigned.wasm", echoGuest().bytes()) // it claims the same statuses: refused, whoever signs
	r.load()
	r.serves("door")

	trust := func(keys ...signature.Key) {
		t.Helper()
		if err := r.Tune(Options{TrustedKeys: keys}); err != nil {
			t.Fatal(err)
		}
		r.load()
	}
	trust(mine.key)
	if p := r.plugin("door"); p.State != StateServing || !strings.Contains(p.Error, "it is not signed") {
		t.Errorf("%+v; want it to serve on, and the error to say that its file is not signed", p)
	}
	r.put("door.wasm.minisig", other.sign(raw))
	r.load()
	trust(mine.key, other.key)
	r.serves("door")
	r.refused("unsigned", "it is not signed")
	trust()
	if p := r.plugin("unsigned"); strings.Contains(p.Error, "signed") {
		t.Errorf("%+v; want no word of signatures when everybody is trusted", p)
	}
}

func TestWhatIsNoFileIsNoSignature(t *testing.T) {
	mine := newSigner(t)
	r := newRig(t, trusting(mine.key))
	r.put("door.wasm", generation(1))
	sig := filepath.Join(r.dir, "door.wasm"+signature.Extension)
	for _, make := range map[string]func(string) error{
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		if err := make(sig); err != nil {
			t.Fatal(err)
		}
		r.load()
		r.refused("door", "its signature: it is not a regular file")
		if err := os.Remove(sig); err != nil {
			t.Fatal(err)
		}
		r.load()
		r.refused("door", "it is not signed")
	}
	if err := syscall.Mkfifo(filepath.Join(r.dir, "pipe.wasm"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.load() // does not wait for a writer
	r.refused("pipe", "it is not a regular file")
}

func TestCheckVerifiesToo(t *testing.T) {
	mine := newSigner(t)
	r := newRig(t, trusting(mine.key))
	path := filepath.Join(r.dir, "door.wasm")
	r.put("door.wasm", generation(1))
	if _, err := r.Check(t.Context(), path); err == nil || !strings.Contains(err.Error(), "it is not signed") {
		t.Errorf("%v; want it to miss the signature", err)
	}
	r.put("door.wasm.minisig", mine.sign(generation(1)))
	if _, err := r.Check(t.Context(), path); err != nil {
		t.Error(err)
	}
}

func TestTuneMakesANewCatalogWithTheNewDefaults(t *testing.T) {
	catalogs := make(chan *runtime.Catalog, 4)
	r := newRig(t, func(o *Options) { o.Engine = &fakeRuns{catalogs: catalogs} })
	r.put("door.wasm", generation(1))
	r.load()
	step := func(c *runtime.Catalog) *runtime.Handler { return c.Status("door", "closed").Step }
	first := step(<-catalogs)
	for _, negative := range []Options{{DefaultLag: -1}, {DefaultLagAlert: -1}} {
		if err := r.Tune(negative); err == nil {
			t.Error("a negative time is taken over")
		}
	}
	r.load()
	if len(catalogs) != 0 {
		t.Error("a Tune that failed made a new catalog")
	}
	if err := r.Tune(Options{DefaultLag: time.Second, DefaultLagAlert: time.Minute, DefaultRetry: runtime.Retry{Attempts: 3}}); err != nil {
		t.Fatal(err)
	}
	r.load()
	second := step(<-catalogs)
	if second.Lag != time.Second || second.LagAlert != time.Minute || second.Retry.Attempts != 3 || first.Retry.Attempts == 3 {
		t.Errorf("the step has %v, %v and %+v, want what it was tuned to; before: %+v", second.Lag, second.LagAlert, second.Retry, first.Retry)
	}
	if first.Digest != second.Digest || r.plugin("door").Error != "" {
		t.Errorf("%+v; want the same module to serve", r.plugin("door"))
	}
	r.load()
	if len(catalogs) != 0 {
		t.Error("nothing has changed, and there is a new catalog")
	}
}

// TestARevokedKeyBringsNothingBack: neither a rollback nor a promotion, a deployment or a restart, though the module is loaded or
// kept. Signed anew, it comes back.
func TestARevokedKeyBringsNothingBack(t *testing.T) {
	old, now := newSigner(t), newSigner(t)
	for name, archive := range map[string]string{"on disk": t.TempDir(), "in memory": ""} {
		t.Run(name, func(t *testing.T) {
			same := kept(t)
			place := func(o *Options) { o.ArchiveDir = archive }
			r := newRig(t, same, place, trusting(old.key, now.key))
			signed := func(by signer, n int, canary float64) func(*Deployment) {
				return func(d *Deployment) { d.Signature, d.Canary = by.sign(generation(n)), canary }
			}
			r.deploy("door", generation(1), signed(old, 1, 0))
			first := r.plugin("door").Digest
			r.deploy("door", generation(2), signed(now, 2, 0))
			r.deploy("door", generation(3), signed(old, 3, 0.5))
			if err := r.Tune(Options{TrustedKeys: []signature.Key{now.key}}); err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			refused := func(what string, _ Plugin, err error) {
				t.Helper()
				var refusal *RefusedError
				if !errors.As(err, &refusal) || !errors.Is(err, signature.ErrUntrusted) && !errors.Is(err, signature.ErrUnsigned) {
					t.Errorf("%s: %v; want it refused, as the key is not trusted", what, err)
				}
				if p := r.plugin("door"); p.Version != "0002" || p.Canary == nil {
					t.Errorf("%s: %+v; want nothing changed", what, p)
				}
			}
			p, err := r.Promote(ctx, "door", Order{})
			refused("promote", p, err)
			p, err = r.Rollback(ctx, "door", first, Order{})
			refused("rollback", p, err)
			p, err = r.Deploy(ctx, &Deployment{Plugin: "door", Module: generation(3), Signature: old.sign(generation(3))})
			refused("deploy what is on trial", p, err)
			p, err = r.Deploy(ctx, &Deployment{Plugin: "door", Module: generation(2)})
			refused("deploy what serves, unsigned", p, err)

			r.deploy("door", generation(3), signed(now, 3, 0.5)) // the canary, signed anew
			if _, err := r.Promote(ctx, "door", Order{}); err != nil {
				t.Errorf("the canary, signed anew: %v", err)
			}
			if _, err := r.Rollback(ctx, "door", "", Order{}); err != nil {
				t.Errorf("back to what was signed by a trusted key: %v", err)
			}
			if archive == "" {
				return
			}
			if err := r.Close(ctx); err != nil {
				t.Fatal(err)
			}
			r = newRig(t, same, place, trusting(old.key))
			r.load()
			if len(r.Catalog().Names()) != 0 {
				t.Errorf("after a restart without its key, %v serve", r.Catalog().Names())
			}
			wantPieces(t, r.plugin("door").Error, "key "+now.key.ID()+" signed it", "minisign -Sm "+archive)
		})
	}
}

// TestAServingModuleCanBeSignedAnew by a file beside it, and then outlives the key that signed it first.
func TestAServingModuleCanBeSignedAnew(t *testing.T) {
	old, now := newSigner(t), newSigner(t)
	same := kept(t)
	r := newRig(t, same, trusting(old.key, now.key))
	r.put("door.wasm", generation(1))
	r.put("door.wasm.minisig", old.sign(generation(1)))
	r.load()
	r.put("door.wasm.minisig", now.sign(generation(1)))
	r.load()
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	r = newRig(t, same, trusting(now.key))
	r.load()
	r.serves("door")
	if err := r.Remove(context.Background(), "door", Order{}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(r.options.ArchiveDir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v are kept of a plugin that was removed", left, err)
	}
}

// TestWhatWaitsIsVerifiedAnewWhenKeysChange: a file that runs keep out is not let in by the next deployment, once who signed it is
// no longer trusted.
func TestWhatWaitsIsVerifiedAnewWhenKeysChange(t *testing.T) {
	old, now := newSigner(t), newSigner(t)
	runs := &fakeRuns{}
	r := newRig(t, trusting(old.key, now.key), func(o *Options) { o.Engine = runs })
	before := guest{manifest: workflowPart("door", "", []string{"closed>ajar", "ajar>open"}, []string{"open"}, nil)}.bytes()
	r.deploy("door", before, func(d *Deployment) { d.Signature = now.sign(before) })
	serves := r.plugin("door").Digest
	runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 1)
	r.put("door.wasm", generation(1))
	r.put("door.wasm.minisig", old.sign(generation(1)))
	r.load()
	if err := r.Tune(Options{TrustedKeys: []signature.Key{now.key}}); err != nil {
		t.Fatal(err)
	}
	runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 0)
	other := guest{manifest: workflowPart("gate", "", []string{"closed>open"}, []string{"open"}, nil)}.bytes()
	r.deploy("gate", other, func(d *Deployment) { d.Signature = now.sign(other) })
	if got := r.plugin("door").Digest; got != serves {
		t.Errorf("door serves %s, which nobody trusted signed", got)
	}
	r.load()
	if p := r.plugin("door"); p.Digest != serves || !strings.Contains(p.Error, "key "+old.key.ID()+" signed it") {
		t.Errorf("%+v; want the old to serve, and the error to name the key", p)
	}
}
