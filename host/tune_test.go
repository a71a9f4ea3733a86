package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// TestOtherLimitsHoldFromTheNextInvocationOn for all plugins and for one, and those that a module is made for do not change.
func TestOtherLimitsHoldFromTheNextInvocationOn(t *testing.T) {
	first := func(o *Options) {
		o.Limits.Fuel = 50_000_000
		o.Overrides = map[string]Override{"small": {Limits: Limits{Fuel: 3_000_000, Instances: 2}}}
	}
	r := newRig(t, first)
	for _, name := range []string{"small", "large"} {
		r.put(name+".wasm", doing(name, endless()).bytes())
	}
	r.load()
	tell := func(large, small string) {
		t.Helper()
		wantPieces(t, r.invoke("large", "closed", `{}`).Reason, " of "+large+";")
		wantPieces(t, r.invoke("small", "closed", `{}`).Reason, " of "+small+";")
	}
	tell("50,000,000", "3,000,000")
	if err := r.Tune(Options{Limits: Limits{Fuel: 1 << 63}}); err == nil || !strings.Contains(err.Error(), "limit of fuel") {
		t.Errorf("a limit that cannot be: %v", err)
	}
	tell("50,000,000", "3,000,000")
	next := Options{Limits: Limits{Fuel: 40_000_000, MemoryBytes: 8 << 20}, Overrides: map[string]Override{
		"small": {Isolation: IsolationFresh, Limits: Limits{Fuel: 2_000_000, Instances: 7}},
	}}
	if err := r.Tune(next); err != nil {
		t.Fatal(err)
	}
	tell("40,000,000", "2,000,000")
	m := r.invocation("small", "closed", `{}`).Handler.Invoker.(*invoker).module
	if l := m.limits.Load(); l.Instances != 2 || l.MemoryBytes != 64<<20 || m.isolation != IsolationPooled {
		t.Errorf("%+v, %s; want what the module was made for", l, m.isolation)
	}
	r.load()
	tell("40,000,000", "2,000,000")
	if err := r.Tune(Options{}); err != nil {
		t.Fatal(err)
	}
	tell("2,000,000,000", "2,000,000,000")
}

// TestOtherGrantsHoldFromTheNextInvocationOn: they are given and taken away.
func TestOtherGrantsHoldFromTheNextInvocationOn(t *testing.T) {
	g := guest{imports: append(abiImports[:3:3], abi.ImportModule+".measure"), texts: []string{"opened"}}
	g.manifest = strings.Replace(door, `{"abi":1,`, `{"abi":1,"capabilities":{"metrics":true},`, 1)
	g.invoke = asm.Code(asm.I32(abi.MeasureCount), asm.I32(textAt), asm.I32(6), asm.I32(0), asm.I32(0), asm.I64(0), asm.Call(3),
		asm.IfI32, asm.I32(int32(abi.CodeSkip)), asm.Else, asm.I32(int32(abi.CodePause)), asm.End) // skip when it is not taken
	r := serveGuest(t, g)
	granted := Options{Grants: map[string]Grants{"door": {Metrics: true}}}
	for _, c := range []struct {
		options Options
		want    runtime.OutcomeKind
	}{{Options{}, runtime.OutcomeSkip}, {granted, runtime.OutcomePause}, {Options{}, runtime.OutcomeSkip}} {
		if err := r.Tune(c.options); err != nil {
			t.Fatal(err)
		}
		if out := r.invoke("door", "closed", `{}`); out.Kind != c.want {
			t.Errorf("granted %v: %+v", c.options.Grants, out)
		}
		if got := r.plugin("door").Capabilities[0].Granted; got != (c.want == runtime.OutcomePause) {
			t.Errorf("it is shown as granted: %v", got)
		}
	}
}

// TestOtherRulesHoldForACanaryOnTrial.
func TestOtherRulesHoldForACanaryOnTrial(t *testing.T) {
	r := newRig(t, kept(t), func(o *Options) { o.Canary = CanaryRules{MinInvocations: 100} })
	r.deploy("door", generation(1))
	r.deploy("door", generation(2), func(d *Deployment) { d.Canary = 0.5 })
	trial := r.plugins["door.wasm"].trial
	trial.count(true)
	if trial.over() {
		t.Fatal("the canary has failed after one invocation of 100")
	}
	if err := r.Tune(Options{Canary: CanaryRules{MinInvocations: 2, Window: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	trial.count(true)
	if !trial.over() {
		t.Error("the canary has not failed after two invocations of two")
	}
}

// TestAModuleInUseIsVerifiedWhenTheKeysChange, though no file of it lies in the directory: it goes on, and the plugin says so until
// it is signed anew.
func TestAModuleInUseIsVerifiedWhenTheKeysChange(t *testing.T) {
	old, now := newSigner(t), newSigner(t)
	r := newRig(t, kept(t), trusting(old.key))
	r.deploy("door", generation(1), func(d *Deployment) { d.Signature = old.sign(generation(1)) })
	r.serves("door")
	for range 2 { // it is said once
		if err := r.Tune(Options{TrustedKeys: []signature.Key{now.key}}); err != nil {
			t.Fatal(err)
		}
		r.load()
	}
	p := r.plugin("door")
	if p.State != StateServing || !p.Untrusted {
		t.Errorf("%+v; want it to serve, and not to be trusted", p)
	}
	wantPieces(t, p.Error, "version "+p.Digest[:12]+", which is in use, would not be loaded now", "key "+old.key.ID()+" signed it")
	if lines := r.logs.find("ERROR", "is not trusted any more goes on", p.Digest[:12]); len(lines) != 1 {
		t.Errorf("%d lines about it; want 1", len(lines))
	}
	r.answers(`"0001"`)
	r.deploy("door", generation(1), func(d *Deployment) { d.Signature = now.sign(generation(1)) })
	if r.serves("door"); r.plugin("door").Untrusted {
		t.Error("signed anew, it is not trusted")
	}
	if err := r.Tune(Options{TrustedKeys: []signature.Key{old.key}}); err != nil {
		t.Fatal(err)
	}
	if r.load(); !r.plugin("door").Untrusted {
		t.Error("of the other key it is trusted")
	}
	kept := filepath.Join(r.options.ArchiveDir, p.Digest+extension+signature.Extension)
	if err := os.WriteFile(kept, old.sign(generation(1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.load(); r.plugin("door").Untrusted {
		t.Error("signed anew where it is kept, it is not trusted")
	}
	if err := r.Tune(Options{}); err != nil {
		t.Fatal(err)
	}
	r.serves("door")
	if _, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: generation(2)}); err != nil {
		t.Error(err)
	}
}

// TestTheAdjustmentChangesWithEverythingElse: a Load that comes right after a Tune makes definitions of its options alone.
func TestTheAdjustmentChangesWithEverythingElse(t *testing.T) {
	keeps := func(d time.Duration) func(*runtime.Workflow) { return func(w *runtime.Workflow) { w.Retention = d } }
	r := newRig(t, func(o *Options) { o.Adjust = keeps(time.Hour) })
	r.put("door.wasm", doorGuest().bytes())
	r.load()
	for _, want := range []time.Duration{time.Minute, time.Second} {
		if err := r.Tune(Options{Adjust: keeps(want)}); err != nil {
			t.Fatal(err)
		}
		if r.load(); r.Catalog().Workflow("door").Retention != want {
			t.Errorf("its runs are kept for %v; want %v", r.Catalog().Workflow("door").Retention, want)
		}
	}
}
