package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/runtime"
)

// formed is a door whose objects have a version, and which reads others.
func formed(objects int, reads ...int) []byte {
	own := fmt.Sprintf(`"name":"door","object_version":%d,"reads":[%s]`, objects, strings.Trim(strings.ReplaceAll(fmt.Sprint(reads), " ", ","), "[]"))
	m := workflowPart("door", "closed", []string{"closed>ajar", "ajar>open"}, []string{"open"}, nil)
	return guest{manifest: strings.Replace(m, `"name":"door"`, own, 1)}.bytes()
}

// goesBy returns the definition that a run of the door goes by, which is pinned to d.
func (r *rig) goesBy(d runtime.Digest) runtime.Digest {
	r.t.Helper()
	w := r.Catalog().For(&runtime.Record{Workflow: "door", Status: "ajar", State: runtime.Running, Pinned: d})
	if !takes(w, "ajar") {
		r.t.Fatal("the run has no definition")
	}
	return w.Digest
}

// try deploys a canary and returns the digest that its runs are pinned to.
func (r *rig) try(module []byte) runtime.Digest {
	r.t.Helper()
	r.deploy("door", module, func(d *Deployment) { d.Canary = 0.5 })
	return r.Catalog().Workflow("door").Canary.Workflow.Digest
}

// rollBack rolls back what is on trial or serves.
func (r *rig) rollBack() {
	r.t.Helper()
	if _, err := r.Rollback(context.Background(), "door", "", Order{}); err != nil {
		r.t.Fatal(err)
	}
}

// TestRunsOfACanaryStayWhereTheirObjectsAreRead when it is taken back.
func TestRunsOfACanaryStayWhereTheirObjectsAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		serves, canary []byte
		pinned         bool
		stay           bool
	}{
		"the same objects":       {formed(1), formed(1, 7), false, false},
		"what serves reads them": {formed(1, 2), formed(2, 1), false, false},
		"it does not":            {formed(1), formed(2, 1), false, true},
		"nor do they read its":   {formed(1), formed(2), false, true},
		"nothing is said":        {generation(1), formed(2, 0), false, true},
		"a workflow that pins":   {formed(1, 2), formed(2, 1), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &fakeRuns{}
			r := newRig(t, func(o *Options) {
				o.Engine = runs
				o.Adjust = func(w *runtime.Workflow) { w.Pinned = c.pinned }
			})
			r.deploy("door", c.serves)
			baseline := r.Catalog().Workflow("door").Digest
			canary := r.try(c.canary)
			runs.pin(canary, 3)
			r.rollBack()
			want := baseline
			if c.stay {
				want = canary
			}
			if got := r.goesBy(canary); got != want {
				t.Errorf("the canary's runs go by %s; want %s of %s and %s", got, want, baseline, canary)
			}
			if r.Catalog().Workflow("door").Digest != baseline || r.Catalog().Workflow("door").Canary != nil {
				t.Error("new runs begin elsewhere than on what served")
			}
		})
	}
}

// TestRunsThatStayOnACanary stay over a restart, keep the plugin from being removed, and leave it for the next version that reads their
// objects. Without them it is let go.
func TestRunsThatStayOnACanary(t *testing.T) {
	runs, same := &fakeRuns{}, kept(t)
	engine := func(o *Options) { o.Engine = runs }
	r := newRig(t, same, engine)
	r.deploy("door", formed(1))
	canary := r.try(formed(2, 1))
	runs.pin(canary, 3)
	for range 2 * r.options.Canary.MinInvocations { // it is taken back by itself
		r.plugins["door.wasm"].trial.count(true)
	}
	r.judge()
	if lines := r.logs.find("WARN", "runs of the canary stay on it", "door"); r.plugin("door").Canary != nil || len(lines) != 1 {
		t.Fatalf("%+v, %q; want the canary taken back, and said that its runs stay", r.plugin("door"), lines)
	}
	again := newRig(t, same, engine)
	again.load()
	again.letGo()
	again.letGo()
	if got := again.goesBy(canary); got != canary {
		t.Errorf("after a restart they go by %s", got)
	}
	var refused *RefusedError
	if err := again.Remove(context.Background(), "door", Order{}); !errors.As(err, &refused) || len(refused.Left) != 1 || refused.Left[0].Runs != 3 {
		t.Errorf("%v; want the removal refused for three runs", err)
	}
	again.deploy("door", formed(3, 1))
	if got := again.goesBy(canary); got != canary {
		t.Errorf("they go by %s, which does not read their objects", got)
	}
	again.deploy("door", formed(4, 1, 2, 3))
	if newest := again.Catalog().Workflow("door").Digest; again.goesBy(canary) != newest {
		t.Error("they stay, though what serves reads their objects now")
	}
	// What stays until its runs have ended is let go then.
	last := again.try(formed(5, 4))
	runs.pin(last, 1)
	again.rollBack()
	again.letGo()
	again.letGo()
	if again.goesBy(last) != last {
		t.Error("it is let go while a run needs it")
	}
	runs.pin(last, 0)
	again.letGo()
	again.letGo()
	if n := len(again.Catalog().Workflow("door").Older); n != 0 {
		t.Errorf("%d definitions are kept for no run", n)
	}
}

// TestRunsOfACanaryThatIsMissingWait rather than go by what does not read their objects, and go on when it is back.
func TestRunsOfACanaryThatIsMissingWait(t *testing.T) {
	runs, same := &fakeRuns{}, kept(t)
	engine := func(o *Options) { o.Engine = runs }
	r := newRig(t, same, engine)
	r.deploy("door", formed(1))
	canary := r.try(formed(2, 1))
	runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 1)
	runs.pin(canary, 1)
	path := filepath.Join(r.options.ArchiveDir, canary.String()+extension)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		when  string
		loads bool
	}{{"while it is missing", false}, {"when it is back", true}} {
		if c.loads {
			if err := os.WriteFile(path, formed(2, 1), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		again := newRig(t, same, engine)
		again.load()
		w := again.Catalog().For(&runtime.Record{Workflow: "door", Status: "ajar", State: runtime.Running, Pinned: canary})
		if w.Digest != canary || runsIn(w, "ajar") != c.loads {
			t.Errorf("%s they go by %+v", c.when, w)
		}
	}
}

// TestObjectsOfEveryVersionThatRunsMayHaveAreRead by what comes to serve, in whichever way, until there are no runs or no such objects.
func TestObjectsOfEveryVersionThatRunsMayHaveAreRead(t *testing.T) {
	all := runtime.Queue{Workflow: "door"}
	runs, same := &fakeRuns{}, kept(t)
	engine := func(o *Options) { o.Engine = runs }
	r := newRig(t, same, engine)
	refused := func(err error, versions string) {
		t.Helper()
		var refused *RefusedError
		if !errors.As(err, &refused) || len(refused.Left) != 1 || refused.Left[0] != (runtime.Left{Workflow: "door", Runs: 5}) {
			t.Fatalf("%v; want it refused for five runs", err)
		}
		wantPieces(t, err.Error(), "runs may have objects of version "+versions+", which it does not say that it reads")
	}
	deploy := func(module []byte, force bool) error {
		_, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: module, Order: Order{Force: force}})
		return err
	}
	r.deploy("door", formed(1))
	runs.set(all, 5)
	r.deploy("door", formed(2, 1))
	refused(deploy(formed(3, 2), false), "1")
	_, err := r.Rollback(context.Background(), "door", "", Order{})
	refused(err, "2")
	// Also after a restart, and for the promotion of a canary, which may be tried.
	r = newRig(t, same, engine)
	r.load()
	r.try(formed(3, 2))
	_, err = r.Promote(context.Background(), "door", Order{})
	refused(err, "1")
	r.rollBack()
	// What is forced does not make the objects of before others.
	if err := deploy(formed(3), true); err != nil {
		t.Fatal(err)
	}
	refused(deploy(formed(4), false), "1, 2, 3")
	r.deploy("door", formed(4, 3, 2, 1))
	// Without runs there are no objects: seen by Tend, or by the swap itself.
	runs.set(all, 0)
	r.letGo()
	runs.set(all, 5)
	r.deploy("door", formed(5, 4))
	refused(deploy(formed(6, 5), false), "4")
	runs.set(all, 0)
	r.deploy("door", formed(6, 5))
	runs.set(all, 5)
	r.deploy("door", formed(7, 6))
}

// TestObjectsOfACanaryAreReadAfterIt by what follows, when its runs have gone over to what serves, and not while they stay on it.
func TestObjectsOfACanaryAreReadAfterIt(t *testing.T) {
	for name, c := range map[string]struct {
		serves, next, last []byte
		refused            string // "next", "last" or ""
	}{
		"what serves reads them": {formed(1, 2), formed(3, 1), nil, "next"},
		"what serves does not":   {formed(1), formed(3, 1), formed(4, 1, 3), ""},
		"until the next does":    {formed(1), formed(3, 1, 2), formed(4, 1, 3), "last"},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &fakeRuns{}
			r := newRig(t, func(o *Options) { o.Engine = runs })
			r.deploy("door", c.serves)
			canary := r.try(formed(2, 1))
			runs.set(runtime.Queue{Workflow: "door"}, 5)
			runs.pin(canary, 3)
			r.rollBack()
			_, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: c.next})
			if err != nil && c.refused != "next" {
				t.Fatal(err)
			}
			if c.last != nil {
				_, err = r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: c.last})
			}
			if (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), "objects of version 2,") {
				t.Errorf("%v; want %q refused for the canary's objects", err, c.refused)
			}
		})
	}
}

// TestObjectsThatCannotBeRead keep a module out while runs of the old one are in flight.
func TestObjectsThatCannotBeRead(t *testing.T) {
	door := func(more string) []byte {
		return guest{manifest: `{"abi":1,"workflows":[{"name":"door","handlers":[` +
			`{"id":1,"kind":"step","name":"closed","status":"closed","to":["open"]}],"terminal":["open"]` + more + `}]}`}.bytes()
	}
	for name, c := range map[string]struct {
		before, next string
		runs         int
		force        bool
		pinned       bool
		want         string
	}{
		"nothing is said":      {"", "", 3, false, false, ""},
		"the same":             {`,"object_version":2`, `,"object_version":2`, 3, false, false, ""},
		"it reads them":        {`,"object_version":2`, `,"object_version":3,"reads":[1,2]`, 3, false, false, ""},
		"it does not":          {`,"object_version":2`, `,"object_version":3,"reads":[1]`, 3, false, false, "its objects are of version 3, and runs may have objects of version 2"},
		"from none to the 1st": {"", `,"object_version":1`, 3, false, false, "runs may have objects of version 0"},
		"there are no runs":    {"", `,"object_version":1`, 0, false, false, ""},
		"forced":               {"", `,"object_version":1`, 3, true, false, ""},
		"pinned":               {"", `,"object_version":1`, 3, false, true, ""},
		"pinned from now on":   {"", `,"object_version":1,"versions":"pinned"`, 3, false, false, "runs may have objects of version 0"},
		"pinned by itself":     {`,"versions":"pinned"`, `,"object_version":1,"versions":"pinned"`, 3, false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &fakeRuns{}
			r := newRig(t, func(o *Options) {
				o.Engine = runs
				o.Adjust = func(w *runtime.Workflow) { w.Pinned = w.Pinned || c.pinned }
			})
			r.deploy("door", door(c.before))
			runs.set(runtime.Queue{Workflow: "door"}, c.runs)
			next := door(c.next + `,"schedules":[{"name":"x","cron":"@daily"}]`)
			_, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: next, Order: Order{Force: c.force}})
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var refused *RefusedError
			if !errors.As(err, &refused) || len(refused.Left) != 1 || refused.Left[0] != (runtime.Left{Workflow: "door", Runs: 3}) {
				t.Fatalf("%v; want it refused for three runs", err)
			}
			wantPieces(t, err.Error(), c.want, "w.Objects")
		})
	}
}

// pinnable is a rig of which a workflow can be pinned, and not, by a reload.
func pinnable(t *testing.T, runs *fakeRuns) (r *rig, pin func(bool)) {
	t.Helper()
	pinned := false
	r = newRig(t, func(o *Options) {
		o.Engine = runs
		o.Adjust = func(w *runtime.Workflow) { w.Pinned = pinned }
	})
	return r, func(now bool) {
		t.Helper()
		pinned = now
		if err := r.Tune(r.options); err != nil {
			t.Fatal(err)
		}
		r.load()
	}
}

// TestRunsFromBeforeAWorkflowWasPinned go by what serves, which has to read their objects until they have ended.
func TestRunsFromBeforeAWorkflowWasPinned(t *testing.T) {
	all := runtime.Queue{Workflow: "door"}
	runs := &fakeRuns{}
	r, pin := pinnable(t, runs)
	r.deploy("door", formed(1))
	runs.set(all, 5)
	pin(true)
	_, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: formed(2)})
	var refused *RefusedError
	if !errors.As(err, &refused) || len(refused.Left) != 1 || refused.Left[0].Runs != 5 {
		t.Fatalf("%v; want it refused for the runs that are not pinned", err)
	}
	runs.set(all, 0)
	r.letGo()
	runs.set(all, 5) // they are pinned
	r.deploy("door", formed(2))
	r.deploy("door", formed(3))
}

// TestRunsThatWereUnpinned go by what serves once it reads their objects, for good: not before, and not back when they are pinned again.
func TestRunsThatWereUnpinned(t *testing.T) {
	runs := &fakeRuns{}
	r, pin := pinnable(t, runs)
	pin(true)
	var begun []runtime.Digest
	for _, module := range [][]byte{formed(1), formed(2, 1), formed(3, 2)} {
		r.deploy("door", module)
		begun = append(begun, r.Catalog().Workflow("door").Digest)
		runs.pin(begun[len(begun)-1], 1)
	}
	goBy := func(when string, want ...runtime.Digest) {
		t.Helper()
		for n, d := range begun[:2] {
			if got := r.goesBy(d); got != want[n] {
				t.Errorf("%s, those pinned to the version %d go by %s", when, n+1, got)
			}
		}
	}
	goBy("while they are pinned", begun[0], begun[1])
	pin(false)
	goBy("unpinned", begun[0], begun[2]) // the third reads the objects of the second only
	pin(true)
	goBy("pinned again", begun[0], begun[2])
	// Those that have gone over may have objects of all that they went by.
	runs.set(runtime.Queue{Workflow: "door"}, 2)
	if _, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: formed(4, 3)}); err == nil || !strings.Contains(err.Error(), "objects of version 2,") {
		t.Errorf("%v; want it refused for the objects of those that are not pinned any more", err)
	}
	r.deploy("door", formed(5, 3, 2, 1))
	goBy("when another serves", begun[0], r.Catalog().Workflow("door").Digest)
	pin(false)
	goBy("unpinned when all are read", r.Catalog().Workflow("door").Digest, r.Catalog().Workflow("door").Digest)
}

// TestAMissingCanaryIsOver at the start that cannot load it: its runs go by what serves, and what follows has to read their objects.
func TestAMissingCanaryIsOver(t *testing.T) {
	runs, same := &fakeRuns{}, kept(t)
	engine := func(o *Options) { o.Engine = runs }
	r := newRig(t, same, engine)
	baseline := r.deploy("door", formed(1, 2)).Digest
	canary := r.try(formed(2))
	runs.pin(canary, 3)
	runs.set(runtime.Queue{Workflow: "door"}, 5)
	if err := os.Remove(filepath.Join(r.options.ArchiveDir, canary.String()+extension)); err != nil {
		t.Fatal(err)
	}
	again := newRig(t, same, engine)
	again.load()
	if p := again.plugin("door"); p.Canary != nil || p.Ended == nil || !strings.Contains(p.Ended.Cause, "could not be loaded") {
		t.Errorf("%+v; want the trial over", p)
	}
	if got := again.goesBy(canary); got.String() != baseline {
		t.Errorf("its runs go by %s; want what serves", got)
	}
	if _, err := again.Deploy(context.Background(), &Deployment{Plugin: "door", Module: formed(3, 1)}); err == nil || !strings.Contains(err.Error(), "objects of version 2,") {
		t.Errorf("%v; want it refused for the canary's objects", err)
	}
}

// TestNoRunComesBackToACanary whose objects it does not read, when it went over to what serves after an earlier trial.
func TestNoRunComesBackToACanary(t *testing.T) {
	runs := &fakeRuns{}
	r := newRig(t, func(o *Options) { o.Engine = runs })
	r.deploy("door", formed(1, 2, 3))
	for _, c := range []struct {
		module []byte
		reads  bool
	}{{formed(2), false}, {formed(3, 1, 2), true}} {
		canary := r.try(c.module)
		runs.set(runtime.Queue{Workflow: "door"}, 5)
		runs.pin(canary, 3)
		r.rollBack()
		_, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: c.module, Canary: 0.5})
		var refused *RefusedError
		if c.reads != (err == nil) || err != nil && (!errors.As(err, &refused) || len(refused.Left) != 1 || refused.Left[0].Runs != 3) {
			t.Errorf("%v; want it tried again: %v", err, c.reads)
		}
		if c.reads {
			continue
		}
		runs.pin(canary, 0)
		r.try(c.module)
		r.rollBack()
	}
}

// TestACanaryThatStaysTakesNoOtherRuns that are in a status of an earlier version, and that it has too.
func TestACanaryThatStaysTakesNoOtherRuns(t *testing.T) {
	runs := &fakeRuns{}
	r := newRig(t, func(o *Options) { o.Engine = runs })
	earlier, err := runtime.ParseDigest(r.deploy("door", formed(1)).Digest)
	if err != nil {
		t.Fatal(err)
	}
	runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 3)
	r.deploy("door", generation(1), func(d *Deployment) { d.Force = true }) // it has no ajar
	canary := r.try(formed(2, 1))
	runs.pin(canary, 1)
	for _, when := range []string{"during the trial", "after it"} {
		if got := r.goesBy(runtime.Digest{}); got != earlier {
			t.Errorf("%s, a run in ajar goes by %s; want %s, not the canary %s", when, got, earlier, canary)
		}
		if r.Catalog().Workflow("door").Canary != nil {
			r.rollBack()
		}
	}
	if got := r.goesBy(canary); got != canary {
		t.Errorf("the canary's run goes by %s", got)
	}
}
