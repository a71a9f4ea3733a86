package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/host/signature"
	"github.com/wfrt/wfrt/runtime"
)

// TestRunsAreNotLeftBehindByWhatFollowsAMissingModule starts a server whose module cannot be loaded any more: another one is
// held to the runs that are there, whether it comes as a file or from an operator, until it handles them or is forced.
func TestRunsAreNotLeftBehindByWhatFollowsAMissingModule(t *testing.T) {
	door := func(objects string, steps ...string) []byte {
		m := workflowPart("door", "closed", steps, []string{"open"}, nil)
		return guest{manifest: strings.Replace(m, `"name":"door"`, `"name":"door"`+objects, 1)}.bytes()
	}
	old := door("", "closed>ajar", "ajar>open")
	signer := newSigner(t)
	for name, lose := range map[string]func(o *Options, path string) error{
		"damaged": func(_ *Options, path string) error { return os.WriteFile(path, []byte("damaged"), 0o600) },
		"gone":    func(_ *Options, path string) error { return os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			same, runs := kept(t), &fakeRuns{}
			engine := func(o *Options) { o.Engine = runs }
			r := newRig(t, same, engine)
			d := r.deploy("door", old).Digest
			runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 3)
			if err := lose(&r.options, filepath.Join(r.options.ArchiveDir, d+extension)); err != nil {
				t.Fatal(err)
			}
			again := newRig(t, same, engine)
			again.load()
			again.refused("door", "kept")
			leaves := func(what string, err error) {
				t.Helper()
				var refused *RefusedError
				if !errors.As(err, &refused) || len(refused.Left) != 1 || refused.Left[0].Runs != 3 || refused.Left[0].Status != "ajar" {
					t.Fatalf("%s: %v; want it refused for 3 runs in ajar", what, err)
				}
				wantPieces(t, err.Error(), "workflow door: the module before it cannot be loaded", `3 runs in "ajar"`, "--force")
			}
			_, err := again.Deploy(context.Background(), &Deployment{Plugin: "door", Module: doorGuest().bytes()})
			leaves("deploy", err)
			leaves("remove", again.Remove(context.Background(), "door", Order{}))
			again.put("door.wasm", doorGuest().bytes())
			again.load()
			again.refused("door", `3 runs in "ajar"`)
			again.put("door.wasm", door(`,"object_version":2`, "closed>ajar", "ajar>open"))
			runs.set(runtime.Queue{Workflow: "door"}, 3)
			again.load()
			again.refused("door", "its objects are of version 2, and runs may have objects of version 0")
			again.put("door.wasm", door(`,"object_version":2,"reads":[0]`, "closed>ajar", "ajar>open"))
			again.load()
			again.serves("door")
		})
	}
	t.Run("the module itself comes back", func(t *testing.T) {
		same, runs := kept(t), &fakeRuns{}
		r := newRig(t, same, func(o *Options) { o.Engine = runs })
		d := r.deploy("door", old).Digest
		runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 3)
		if err := os.Remove(filepath.Join(r.options.ArchiveDir, d+extension)); err != nil {
			t.Fatal(err)
		}
		again := newRig(t, same, func(o *Options) { o.Engine = runs })
		again.deploy("door", old)
		again.serves("door")
	})
	t.Run("forced", func(t *testing.T) {
		same, runs := kept(t), &fakeRuns{}
		r := newRig(t, same, func(o *Options) { o.Engine = runs })
		r.deploy("door", old)
		runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 3)
		again := newRig(t, same, func(o *Options) { o.Engine = runs }, trusting(signer.key)) // who signed it is not trusted
		forced := doorGuest().bytes()
		sign := func(d *Deployment) { d.Signature = signer.sign(forced) }
		if _, err := again.Deploy(context.Background(), &Deployment{Plugin: "door", Module: forced, Signature: signer.sign(forced)}); err == nil ||
			errors.Is(err, signature.ErrUntrusted) || !strings.Contains(err.Error(), `3 runs in "ajar"`) {
			t.Errorf("%v; want it refused for its runs", err)
		}
		again.deploy("door", forced, sign, func(d *Deployment) { d.Force = true })
		again.serves("door")
	})
}

// TestRunsOfAMissingModuleGoToNoEarlierOne that is kept for a status which that lacked: it may not read their objects. Those in that
// status wait with them, as nobody knows whose they are, and what follows has to take all.
func TestRunsOfAMissingModuleGoToNoEarlierOne(t *testing.T) {
	runs, same := &fakeRuns{}, kept(t)
	engine := func(o *Options) { o.Engine = runs }
	r := newRig(t, same, engine)
	r.deploy("door", formed(1))
	runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 1)
	d := r.deploy("door", generation(0), func(d *Deployment) { d.Force = true }).Digest
	runs.set(runtime.Queue{Workflow: "door", Status: "closed"}, 1)
	path := filepath.Join(r.options.ArchiveDir, d+extension)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	again := newRig(t, same, engine)
	again.load()
	again.letGo()
	again.letGo()
	for _, status := range []string{"closed", "ajar"} {
		w := again.Catalog().For(&runtime.Record{Workflow: "door", Status: status, State: runtime.Running})
		if w.Digest.String() != d || runsIn(w, status) {
			t.Errorf("a run in %s goes by %s; want it to wait for %s", status, w.Digest, d)
		}
	}
	for name, module := range map[string][]byte{"closed": generation(1), "ajar": doorNamed("window").bytes()} {
		if _, err := again.Deploy(context.Background(), &Deployment{Plugin: "door", Module: module}); err == nil || !strings.Contains(err.Error(), "cannot be loaded") {
			t.Errorf("%v; want what takes only %s refused", err, name)
		}
	}
	if err := os.WriteFile(path, generation(0), 0o600); err != nil {
		t.Fatal(err)
	}
	back := newRig(t, same, engine)
	back.load()
	for status, want := range map[string]bool{"closed": true, "ajar": true} {
		if w := back.Catalog().For(&runtime.Record{Workflow: "door", Status: status, State: runtime.Running}); runsIn(w, status) != want {
			t.Errorf("when it is back, a run in %s goes by %+v", status, w)
		}
	}
}

// TestRunsPinnedToAMissingModuleWait though another version serves.
func TestRunsPinnedToAMissingModuleWait(t *testing.T) {
	pinned := func(r *rig, d runtime.Digest) *runtime.Workflow {
		return r.Catalog().For(&runtime.Record{Workflow: "door", Status: "closed", State: runtime.Running, Pinned: d})
	}
	for name, c := range map[string]struct{ lose int }{"an earlier one": {0}, "the one that served": {1}} {
		t.Run(name, func(t *testing.T) {
			runs, same := &fakeRuns{}, kept(t)
			pins := pinning(runs)
			r := newRig(t, same, pins)
			runs.set(runtime.Queue{Workflow: "door", Status: "closed"}, 1)
			var digests []runtime.Digest
			for n := range 2 {
				r.deploy("door", generation(n))
				digests = append(digests, r.Catalog().Workflow("door").Digest)
				runs.pin(digests[n], 1)
			}
			missing := digests[c.lose]
			if err := os.Remove(filepath.Join(r.options.ArchiveDir, missing.String()+extension)); err != nil {
				t.Fatal(err)
			}
			again := newRig(t, same, pins)
			again.load()
			if w := pinned(again, missing); w == nil || w.Digest != missing {
				t.Fatalf("before another serves the run goes by %+v; want it to wait for %s", w, missing)
			}
			if c.lose == 1 {
				again.deploy("door", generation(2))
			}
			w := pinned(again, missing)
			if w.Digest != missing {
				t.Fatalf("the run goes by %s; want it to wait for %s", w.Digest, missing)
			}
			var out runtime.Outcome
			if err := w.Statuses["closed"].Step.Invoker.Invoke(context.Background(), nil, &out); err != nil || out.Kind != runtime.OutcomeError {
				t.Errorf("%v, %+v; want a failed attempt", err, out)
			}
			wantPieces(t, out.Reason, "goes by the version "+digestOf(missing), "cannot be loaded", "bring its module back")
			again.letGo()
			again.letGo()
			if pinned(again, missing).Digest != missing {
				t.Error("the definition is let go while a run is pinned to it")
			}
		})
	}
	t.Run("the two newest", func(t *testing.T) {
		runs, same := &fakeRuns{}, kept(t)
		r := newRig(t, same, pinning(runs))
		runs.set(runtime.Queue{Workflow: "door", Status: "closed"}, 1)
		var digests []runtime.Digest
		for n := range 3 {
			r.deploy("door", generation(n))
			digests = append(digests, r.Catalog().Workflow("door").Digest)
			runs.pin(digests[n], 1)
		}
		for _, d := range digests[1:] {
			if err := os.Remove(filepath.Join(r.options.ArchiveDir, d.String()+extension)); err != nil {
				t.Fatal(err)
			}
		}
		again := newRig(t, same, pinning(runs))
		again.load()
		for _, d := range digests {
			if w := pinned(again, d); w == nil || w.Digest != d {
				t.Errorf("a run pinned to %s goes by %+v", d, w)
			}
		}
	})
	t.Run("a canary", func(t *testing.T) {
		runs, same := &fakeRuns{}, kept(t)
		r := newRig(t, same, pinning(runs))
		runs.set(runtime.Queue{Workflow: "door", Status: "closed"}, 1)
		r.deploy("door", generation(0))
		if _, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: generation(1), Canary: 0.5}); err != nil {
			t.Fatal(err)
		}
		tried := r.Catalog().Workflow("door").Canary.Workflow.Digest
		runs.pin(tried, 1)
		if err := os.Remove(filepath.Join(r.options.ArchiveDir, tried.String()+extension)); err != nil {
			t.Fatal(err)
		}
		again := newRig(t, same, pinning(runs))
		again.load()
		if w := pinned(again, tried); w == nil || w.Digest != tried {
			t.Errorf("the run goes by %+v; want it to wait for %s", w, tried)
		}
	})
	t.Run("a part that the others do without", func(t *testing.T) {
		runs, same := &fakeRuns{}, kept(t)
		r := newRig(t, same, pinning(runs))
		runs.set(runtime.Queue{Workflow: "door", Status: "closed"}, 1)
		r.deploy("steps", doorGuest().bytes())
		d := r.deploy("hooks", guest{manifest: `{"abi":1,"workflows":[{"name":"door","handlers":[{"id":1,"kind":"hook","name":"tell","on":"cancel"}]}]}`}.bytes()).Digest
		whole := r.Catalog().Workflow("door").Digest
		runs.pin(whole, 1)
		if err := os.Remove(filepath.Join(r.options.ArchiveDir, d+extension)); err != nil {
			t.Fatal(err)
		}
		again := newRig(t, same, pinning(runs))
		again.load()
		if w := pinned(again, whole); w.Digest != whole {
			t.Errorf("the run goes by %s; want it to wait for %s", w.Digest, whole)
		}
		again.deploy("steps", generation(3))
		again.letGo()
		again.letGo()
		if w := pinned(again, whole); w.Digest != whole {
			t.Errorf("after another version the run goes by %s; want it to wait for %s", w.Digest, whole)
		}
	})
}

// pinning has every workflow pin its runs.
func pinning(runs *fakeRuns) func(*Options) {
	return func(o *Options) {
		o.Engine = runs
		o.Adjust = func(w *runtime.Workflow) { w.Pinned = true }
	}
}

// TestACanaryNeedsAVersionBesideIt deploys one beside a version that could not be loaded: it is refused, forced too, and nothing of it
// is kept. The same module without a trial serves.
func TestACanaryNeedsAVersionBesideIt(t *testing.T) {
	same, runs := kept(t), &fakeRuns{}
	engine := func(o *Options) { o.Engine = runs }
	r := newRig(t, same, engine)
	d := r.deploy("door", generation(0)).Digest
	if err := os.Remove(filepath.Join(r.options.ArchiveDir, d+extension)); err != nil {
		t.Fatal(err)
	}
	again := newRig(t, same, engine)
	again.load()
	again.refused("door", "kept")
	before := len(again.plugin("door").Versions)
	for _, force := range []bool{false, true} {
		_, err := again.Deploy(context.Background(), &Deployment{Plugin: "door", Module: generation(1), Canary: 0.1, Order: Order{Force: force}})
		var invalid *runtime.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "canary" || !strings.Contains(err.Error(), "deploy without it") {
			t.Errorf("forced %v: %v; want the canary refused for want of a version beside it", force, err)
		}
	}
	if p := again.plugin("door"); p.State != StateRefused || p.Canary != nil || len(p.Versions) != before {
		t.Errorf("%+v; want nothing changed", p)
	}
	if w := again.Catalog().Workflow("door"); w != nil {
		t.Errorf("the catalog has %+v; want no door", w)
	}
	again.deploy("door", generation(1))
	again.serves("door")
}
