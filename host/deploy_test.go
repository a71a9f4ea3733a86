package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wfrt/wfrt/host/internal/rewrite"
	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// kept gives hosts of one test the same ledger and archive, as hosts of one data directory have.
func kept(t testing.TB) func(*Options) {
	documents, archive := memoryDocuments{}, t.TempDir()
	return func(o *Options) { o.Documents, o.ArchiveDir = documents, archive }
}

// deploy deploys a module and fails the test unless it serves.
func (r *rig) deploy(plugin string, module []byte, change ...func(*Deployment)) Plugin {
	r.t.Helper()
	d := &Deployment{Plugin: plugin, Module: module}
	for _, c := range change {
		c(d)
	}
	p, err := r.Deploy(context.Background(), d)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// answers fails the test unless the step of the door answers with an object.
func (r *rig) answers(object string) {
	r.t.Helper()
	if out := r.invoke("door", "closed", `0`); string(out.Object) != object {
		r.t.Errorf("the step answers %s; want %s", out.Object, object)
	}
}

func TestDeployAndRollBack(t *testing.T) {
	r := newRig(t, kept(t))
	by := func(d *Deployment) { d.By = "ada" }
	for n := 1; n <= 3; n++ {
		p := r.deploy("door", generation(n), by)
		if p.State != StateServing || p.Version != fmt.Sprintf("%04d", n) || p.How != HowDeploy || p.By != "ada" || len(p.Versions) != n {
			t.Errorf("%+v; want version %d deployed by ada", p, n)
		}
		r.answers(fmt.Sprintf(`"%04d"`, n))
	}
	r.deploy("door", generation(3)) // what serves already is no error
	p, err := r.Rollback(context.Background(), "door", "", Order{By: "bob"})
	if err != nil || p.Version != "0002" || p.How != HowRollback || p.By != "bob" || len(p.Versions) != 3 {
		t.Errorf("%+v, %v; want the version before", p, err)
	}
	first := p.Versions[2].Digest
	if v := p.Versions[0]; !v.Serves || v.Version != "0002" || v.By != "ada" || v.How != HowDeploy || p.Versions[1].Serves {
		t.Errorf("%+v; want the one that serves first, and who deployed it", p.Versions)
	}
	if p, err = r.Rollback(context.Background(), "door", strings.ToUpper(first[:8]), Order{}); err != nil || p.Digest != first {
		t.Errorf("%+v, %v; want the first version", p, err)
	}
	r.answers(`"0001"`)
	var invalid *runtime.InvalidError
	for to, want := range map[string]string{"abc": "fewer than 6", strings.Repeat("0", 64): "no version that is kept"} {
		if _, err := r.Rollback(context.Background(), "door", to, Order{}); !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("back to %s: %v; want %q", to, err, want)
		}
	}
	for _, err := range []error{
		func() error { _, err := r.Rollback(context.Background(), "gate", "", Order{}); return err }(),
		func() error { _, err := r.Promote(context.Background(), "gate", Order{}); return err }(),
		r.Remove(context.Background(), "gate", Order{}),
	} {
		if !errors.Is(err, ErrUnknownPlugin) {
			t.Errorf("of a plugin that is not there: %v", err)
		}
	}
}

// TestARollbackSurvivesARestart though the bad file lies in the directory still, and a new file wins over it.
func TestARollbackSurvivesARestart(t *testing.T) {
	same := kept(t)
	r := newRig(t, same)
	r.put("door.wasm", generation(1))
	r.load()
	r.put("door.wasm", generation(2))
	r.load()
	if _, err := r.Rollback(context.Background(), "door", "", Order{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r.load()
		r.answers(`"0001"`)
		p := r.plugin("door")
		wantPieces(t, p.Note, "an operator had another serve since")
		if p.Digest != p.Versions[0].Digest || p.FileDigest != p.Versions[1].Digest {
			t.Errorf("%+v; want the first version serving, and the second in the file", p)
		}
		if err := r.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		dir := r.dir
		r = newRig(t, same, func(o *Options) { o.Dir = dir })
		r.dir = dir
	}
	r.load()
	r.answers(`"0001"`)
	r.put("door.wasm", generation(3))
	r.load()
	r.answers(`"0003"`)
	// And without any file, from the archive alone.
	if err := errors.Join(r.Close(context.Background()), os.Remove(filepath.Join(r.dir, "door.wasm"))); err != nil {
		t.Fatal(err)
	}
	r = newRig(t, same)
	r.load()
	r.answers(`"0003"`)
	if p := r.plugin("door"); len(p.Versions) != 3 || !strings.Contains(p.Note, "the file was removed") {
		t.Errorf("%+v; want three versions, and the file gone", p)
	}
}

// TestADeploymentThatIsCutOffIsNoRefusal: the log does not blame the module, and it serves when it is deployed again.
func TestADeploymentThatIsCutOffIsNoRefusal(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, kept(t), func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	r.load()
	ctx, cancel := context.WithCancel(context.Background())
	rewritten := r.rewrite
	r.rewrite = func(raw []byte, l rewrite.Limits) (*rewrite.Module, error) {
		cancel()
		return rewritten(raw, l)
	}
	var refused *RefusedError
	if _, err := r.Deploy(ctx, &Deployment{Plugin: "door", Module: generation(1)}); !errors.Is(err, context.Canceled) || errors.As(err, &refused) {
		t.Errorf("%v; want that it was cut off, and no refusal", err)
	}
	if _, known := r.Plugin("door"); known || strings.Contains(log.String(), "refused") {
		t.Errorf("the plugin is known: %t; the log has %s", known, log.String())
	}
	r.rewrite = rewritten
	r.deploy("door", generation(1))
	r.answers(`"0001"`)
}

// TestARemovedPluginStaysAway until its file changes.
func TestARemovedPluginStaysAway(t *testing.T) {
	same := kept(t)
	r := newRig(t, same)
	r.put("door.wasm", generation(1))
	r.load()
	if err := r.Remove(context.Background(), "door", Order{}); err != nil {
		t.Fatal(err)
	}
	if len(r.Plugins()) != 0 || len(r.Catalog().Names()) != 0 {
		t.Errorf("plugins %+v, workflows %v; want none", r.Plugins(), r.Catalog().Names())
	}
	again := newRig(t, same, func(o *Options) { o.Dir = r.dir })
	again.dir = r.dir
	again.load()
	if len(again.Plugins()) != 0 {
		t.Errorf("after a restart: %+v; want none", again.Plugins())
	}
	again.put("door.wasm", generation(2))
	again.load()
	again.serves("door")
	again.answers(`"0002"`)
	if entries, err := os.ReadDir(again.options.ArchiveDir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v in the archive; want the module that serves alone", entries, err)
	}
}

func TestRemovingWaitsForRuns(t *testing.T) {
	runs := &fakeRuns{}
	r := serveGuest(t, doorGuest(), func(o *Options) { o.Engine = runs })
	runs.set(runtime.Queue{Workflow: "door", Status: "closed"}, 4)
	var refused *RefusedError
	if err := r.Remove(context.Background(), "door", Order{}); !errors.As(err, &refused) || len(refused.Left) != 1 || refused.Left[0].Runs != 4 {
		t.Errorf("%v; want it refused for four runs", err)
	}
	r.serves("door")
	runs.set(runtime.Queue{Workflow: "door", Status: "closed"}, 0)
	if err := r.Remove(context.Background(), "door", Order{}); err != nil || len(r.Catalog().Names()) != 0 {
		t.Errorf("%v, workflows %v; want it removed", err, r.Catalog().Names())
	}
}

// TestWhatCannotBeDeployed says why and leaves what serves.
func TestWhatCannotBeDeployed(t *testing.T) {
	runs := &fakeRuns{}
	r := newRig(t, kept(t), func(o *Options) { o.Engine = runs })
	r.deploy("door", guest{manifest: workflowPart("door", "", []string{"closed>ajar", "ajar>open"}, []string{"open"}, nil)}.bytes())
	runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 12)
	before := r.plugin("door")
	whole := generation(1)
	for name, c := range map[string]struct {
		d       Deployment
		want    string
		invalid bool
	}{
		"truncated":      {Deployment{Plugin: "door", Module: whole[:len(whole)/2]}, "the file is not complete", false},
		"empty":          {Deployment{Plugin: "door"}, "it is empty", false},
		"another ABI":    {Deployment{Plugin: "door", Module: guest{manifest: `{"abi":2}`}.bytes()}, "speaks version 2", false},
		"orphaning":      {Deployment{Plugin: "door", Module: whole}, `12 runs in "ajar"`, false},
		"claims another": {Deployment{Plugin: "gate", Module: whole}, `already handled by door.wasm`, false},
		"no name":        {Deployment{Module: whole}, "name is no name", true},
		"a path":         {Deployment{Plugin: "../door", Module: whole}, "name is no name", true},
		"hidden":         {Deployment{Plugin: ".door", Module: whole}, "name is no name", true},
		"all a canary":   {Deployment{Plugin: "door", Module: whole, Canary: 1}, "canary is no share", true},
		"nothing beside": {Deployment{Plugin: "gate", Module: whole, Canary: 0.5}, "needs a version that serves beside it", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Deploy(context.Background(), &c.d)
			if err == nil {
				t.Fatal("it is deployed")
			}
			wantPieces(t, err.Error(), c.want)
			var refused *RefusedError
			var invalid *runtime.InvalidError
			if errors.As(err, &refused) == c.invalid || errors.As(err, &invalid) != c.invalid {
				t.Errorf("the error is %T; want it invalid: %v", err, c.invalid)
			}
			if name == "orphaning" && (len(refused.Left) != 1 || refused.Left[0] != runtime.Left{Workflow: "door", Status: "ajar", Runs: 12}) {
				t.Errorf("the runs are %+v", refused.Left)
			}
			if now := r.plugin("door"); now.Digest != before.Digest || now.State != StateServing || len(r.Plugins()) != 1 {
				t.Errorf("plugins %+v; want the old one alone", r.Plugins())
			}
		})
	}
}

// TestAForcedDeploymentKeepsTheOldDefinition for the runs that it leaves behind, over a restart, and lets it go with the last.
func TestAForcedDeploymentKeepsTheOldDefinition(t *testing.T) {
	runs, same := &fakeRuns{}, kept(t)
	r := newRig(t, same, func(o *Options) { o.Engine = runs })
	r.deploy("door", guest{manifest: workflowPart("door", "", []string{"closed>ajar", "ajar>open"}, []string{"open"}, nil)}.bytes())
	runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 2)
	r.deploy("door", generation(1), func(d *Deployment) { d.Force = true })
	left := &runtime.Record{Workflow: "door", Status: "ajar", State: runtime.Running}
	goesBy := func(r *rig) string { return r.Catalog().For(left).Digest.String() }
	old := goesBy(r)
	if old == r.plugin("door").Digest || !r.plugin("door").Versions[1].Needed {
		t.Fatalf("a run left behind goes by %s; want the version before", old)
	}
	r.letGo()
	r.letGo()
	again := newRig(t, same, func(o *Options) { o.Engine = runs })
	again.load()
	if got := goesBy(again); got != old {
		t.Errorf("after a restart it goes by %s; want %s", got, old)
	}
	runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 0)
	again.letGo()
	if got := goesBy(again); got != old {
		t.Error("it is let go at the first look")
	}
	again.letGo()
	if got := goesBy(again); got == old {
		t.Error("it is kept although no run needs it")
	}
	again.draining.Wait()
	if n := len(again.modules); n != 1 {
		t.Errorf("%d modules are loaded; want one", n)
	}
}

// TestRunsThatComeBeforeTheSwap are counted by another admission, and nothing has changed.
func TestRunsThatComeBeforeTheSwap(t *testing.T) {
	runs := &fakeRuns{}
	r := newRig(t, kept(t), func(o *Options) { o.Engine = runs })
	r.deploy("door", generation(1))
	before := string(r.ledger.encode())
	runs.refusing = &runtime.LeftError{Left: []runtime.Left{{Workflow: "door", Status: "closed", Runs: 3}}}
	_, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: generation(2)})
	var refused *RefusedError
	if !errors.As(err, &refused) || len(refused.Left) != 1 || refused.Left[0].Runs != 3 {
		t.Errorf("%v; want three runs counted", err)
	}
	stored, err := r.options.Documents.Document(ledgerName)
	if err != nil || string(stored) != before || string(r.ledger.encode()) != before {
		t.Errorf("the ledger is %s, %v; want what it was: %s", stored, err, before)
	}
	r.answers(`"0001"`)
	r.put("door.wasm", generation(3)) // a file waits, and is tried again
	r.load()
	r.answers(`"0001"`)
	runs.refusing = nil
	r.load()
	r.answers(`"0003"`)
	runs.refusing = errors.New("the store is full")
	if _, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: generation(2)}); err == nil || errors.As(err, &refused) {
		t.Errorf("%v; want the engine's error as it is", err)
	}
	r.answers(`"0003"`)
	runs.refusing = nil
	r.deploy("door", generation(2))
	r.answers(`"0002"`)
}

// TestACrashAtASwapLeavesNoRunWithoutAHandler lets runs come between the admission of a module and its swap, and the process end where
// the engine begins to look for them: the next start serves what handles them.
func TestACrashAtASwapLeavesNoRunWithoutAHandler(t *testing.T) {
	runs, documents, archive := &fakeRuns{}, memoryDocuments{}, t.TempDir()
	r := newRig(t, func(o *Options) { o.Engine, o.Documents, o.ArchiveDir = runs, documents, archive })
	both := guest{manifest: workflowPart("door", "closed", []string{"closed>ajar", "ajar>open"}, []string{"open"}, nil)}.bytes()
	r.deploy("door", both)
	late := runtime.Queue{Workflow: "door", Status: "ajar"}
	var crashed []memoryDocuments
	runs.swapping = func() {
		runs.set(late, 3)
		crashed = append(crashed, maps.Clone(documents))
	}
	handled := func(documents memoryDocuments) bool {
		disk := t.TempDir()
		if err := os.CopyFS(disk, os.DirFS(archive)); err != nil {
			t.Fatal(err)
		}
		again := newRig(t, func(o *Options) { o.Engine, o.Documents, o.ArchiveDir = &fakeRuns{}, documents, disk })
		again.load()
		w := again.Catalog().For(&runtime.Record{Workflow: "door", Status: "ajar", State: runtime.Running})
		return takes(w, "ajar")
	}
	if _, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: doorGuest().bytes()}); err == nil {
		t.Fatal("runs are left behind")
	}
	if len(crashed) != 1 || !handled(crashed[0]) {
		t.Errorf("after a crash at one of %d swaps the runs have no handler", len(crashed))
	}
	// Without runs it is written down once the engine has found none.
	runs.set(late, 0)
	runs.swapping = func() { crashed = append(crashed, maps.Clone(documents)) }
	r.deploy("door", doorGuest().bytes())
	if len(crashed) != 2 || !handled(crashed[1]) || handled(documents) {
		t.Error("want the old one written down until the swap, and the new one after")
	}
}

// fullDocuments takes no more documents while full.
type fullDocuments struct {
	memoryDocuments
	full bool
}

func (d *fullDocuments) SetDocument(name string, value []byte) error {
	if d.full {
		return errors.New("the disk is full")
	}
	return d.memoryDocuments.SetDocument(name, value)
}

// TestWhatCannotBeWrittenDownDoesNotServe, and serves when it can.
func TestWhatCannotBeWrittenDownDoesNotServe(t *testing.T) {
	documents := &fullDocuments{memoryDocuments: memoryDocuments{}}
	r := newRig(t, kept(t), func(o *Options) { o.Documents = documents })
	r.deploy("door", generation(1))
	documents.full = true
	_, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: generation(2)})
	if err == nil {
		t.Fatal("it serves though the next start would not know")
	}
	wantPieces(t, err.Error(), "keep which modules serve", "the disk is full")
	r.answers(`"0001"`)
	documents.full = false
	r.deploy("door", generation(2))
	r.answers(`"0002"`)
}

func TestOldVersionsAreForgotten(t *testing.T) {
	cache := t.TempDir()
	r := newRig(t, kept(t), func(o *Options) { o.CacheDir = cache })
	for n := 1; n <= 2*keepVersions; n++ {
		r.deploy("door", generation(n))
	}
	r.draining.Wait()
	r.folders.sweep()
	if n := len(r.plugin("door").Versions); n != keepVersions {
		t.Errorf("%d versions are kept; want %d", n, keepVersions)
	}
	for _, dir := range []string{r.options.ArchiveDir, cache} {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != keepVersions {
			t.Errorf("%d entries, %v in %s; want %d", len(entries), err, dir, keepVersions)
		}
	}
	if p, err := r.Rollback(context.Background(), "door", r.plugin("door").Versions[keepVersions-1].Digest, Order{}); err != nil || p.Version != "0011" {
		t.Errorf("%+v, %v; want the oldest that is kept", p, err)
	}
}

// TestADamagedArchive refuses the version and goes on with what serves.
func TestADamagedArchive(t *testing.T) {
	same := kept(t)
	r := newRig(t, same)
	first := r.deploy("door", generation(1)).Digest
	r.deploy("door", generation(2))
	if err := os.WriteFile(filepath.Join(r.options.ArchiveDir, first+extension), generation(3), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rollback(context.Background(), "door", "", Order{}); err == nil || !strings.Contains(err.Error(), "is damaged: deploy it again") {
		t.Errorf("%v; want the damage named", err)
	}
	r.answers(`"0002"`)
	// At a start the plugin says what is wrong, and its file mends it.
	second := r.plugin("door").Digest
	if err := os.Remove(filepath.Join(r.options.ArchiveDir, second+extension)); err != nil {
		t.Fatal(err)
	}
	again := newRig(t, same)
	again.load()
	again.refused("door", "cannot be read from where it was kept")
	again.put("door.wasm", generation(2))
	again.load()
	again.serves("door")
	again.answers(`"0002"`)
}

func TestALedgerOfANewerVersionIsRefused(t *testing.T) {
	for text, want := range map[string]string{`{"format":2}`: "knows 1: run the wfrt that wrote it", `{"form`: "is damaged"} {
		r := newRig(t, func(o *Options) { o.Documents = memoryDocuments{ledgerName: []byte(text)} })
		if err := r.Load(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

// TestCanary tries a module, promotes it, tries another and takes it back.
func TestCanary(t *testing.T) {
	runs, same := &fakeRuns{}, kept(t)
	r := newRig(t, same, func(o *Options) { o.Engine = runs })
	r.deploy("door", generation(1))
	tenth := func(d *Deployment) { d.Canary = 0.1 }
	p := r.deploy("door", generation(2), tenth)
	if p.Version != "0001" || p.Canary == nil || p.Canary.Share != 0.1 || len(p.Versions) != 2 {
		t.Fatalf("%+v; want the second on trial beside the first", p)
	}
	k := r.Catalog().Workflow("door").Canary
	if k == nil || k.Share != 0.1 || k.Workflow.Digest.String() != p.Canary.Digest {
		t.Fatalf("the catalog's canary is %+v", k)
	}
	// Nothing else may change the workflow meanwhile, neither from the directory nor by an operator.
	r.put("door.wasm", generation(3))
	r.load()
	wantPieces(t, r.plugin("door").Error, "workflow door has a canary on trial: promote it or roll it back first")
	if _, err := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: generation(4)}); err == nil {
		t.Error("a third is deployed beside a canary")
	}
	// The trial survives a restart; another share is another share.
	again := newRig(t, same, func(o *Options) { o.Engine = runs })
	again.load()
	if k := again.Catalog().Workflow("door").Canary; k == nil || k.Share != 0.1 {
		t.Fatalf("after a restart the canary is %+v", k)
	}
	if p := again.deploy("door", generation(2), func(d *Deployment) { d.Canary = 0.5 }); p.Canary.Share != 0.5 {
		t.Errorf("%+v; want half of the new runs", p.Canary)
	}
	if p, err := again.Promote(context.Background(), "door", Order{By: "ada"}); err != nil || p.Version != "0002" || p.Canary != nil || p.How != HowPromote {
		t.Errorf("%+v, %v; want the second to serve", p, err)
	}
	again.answers(`"0002"`)
	again.deploy("door", generation(5), tenth)
	if p, err := again.Rollback(context.Background(), "door", "", Order{}); err != nil || p.Version != "0002" || p.Canary != nil || p.Ended == nil {
		t.Errorf("%+v, %v; want the trial over", p, err)
	}
	if again.Catalog().Workflow("door").Canary != nil {
		t.Error("the catalog has the canary still")
	}
	var invalid *runtime.InvalidError
	if _, err := again.Promote(context.Background(), "door", Order{}); !errors.As(err, &invalid) {
		t.Errorf("a promotion without a canary: %v", err)
	}
}

// TestAFailingCanaryIsTakenBack by itself, by the outcomes of its own invocations.
func TestAFailingCanaryIsTakenBack(t *testing.T) {
	runs := &fakeRuns{catalogs: make(chan *runtime.Catalog, 8)}
	r := newRig(t, func(o *Options) { o.Engine, o.Canary.MinInvocations, o.Canary.ErrorShare = runs, 10, 0.2 })
	r.deploy("door", generation(1))
	trap := doorGuest()
	trap.invoke = asm.Unreachable
	r.deploy("door", trap.bytes(), func(d *Deployment) { d.Canary = 0.1 })
	ctx, cancel := context.WithCancel(context.Background())
	tended := make(chan struct{})
	go func() { defer close(tended); r.Tend(ctx) }()
	canary := r.Catalog().Workflow("door").Canary.Workflow.Statuses["closed"].Step
	<-runs.catalogs
	<-runs.catalogs
	for range 10 {
		var out runtime.Outcome
		if err := canary.Invoker.Invoke(context.Background(), r.invocationOf(canary, "closed", `0`), &out); err != nil {
			t.Fatal(err)
		}
	}
	if c := <-runs.catalogs; c.Workflow("door").Canary != nil {
		t.Error("the canary is on trial still")
	}
	cancel()
	<-tended
	p := r.plugin("door")
	if p.Version != "0001" || p.Canary != nil || p.Ended == nil {
		t.Fatalf("%+v; want the trial over", p)
	}
	wantPieces(t, p.Ended.Cause, "10 of the last 10 invocations failed", "plugins.canary.error_share is 0.2")
	if lines := r.logs.find("WARN", "a canary was rolled back", "10 of the last 10"); len(lines) != 1 {
		t.Errorf("%d lines about it; want 1", len(lines))
	}
}

// TestTheWindowOfATrial counts errors only as far back as the window reaches.
func TestTheWindowOfATrial(t *testing.T) {
	for name, c := range map[string]struct {
		script string // "ok", "no", or the time that passes
		fails  bool
	}{
		"all is well":               {"ok ok ok ok ok ok", false},
		"too few to say":            {"no no no", false},
		"enough":                    {"no no ok ok", true},
		"below the share":           {"ok ok ok ok no", false},
		"old errors do not count":   {"no 61s ok ok ok ok ok", false},
		"errors within the window":  {"no 30s no 20s ok ok", true},
		"the first one moves out":   {"no 50s no 20s ok ok ok ok", false},
		"after a long rest":         {"no no no 999h ok ok ok", false},
		"what was well moves out":   {"ok ok ok ok 61s no no no no", true},
		"it is told only once more": {"no no no no no no no no", true},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &stillClock{now: time.Unix(1_769_000_000, 0)}
			told := 0
			trial := &trial{rules: CanaryRules{ErrorShare: 0.5, MinInvocations: 4, Window: time.Minute}, clock: clock, failed: func() { told++ }}
			for _, word := range strings.Fields(c.script) {
				if d, err := time.ParseDuration(word); err == nil {
					clock.now = clock.now.Add(d)
				} else {
					trial.count(word == "no")
				}
			}
			if trial.over() != c.fails || told > 1 || (told == 1) != c.fails {
				t.Errorf("failed: %v, told %d times; want %v, and told once", trial.over(), told, c.fails)
			}
		})
	}
}

// TestPinnedDefinitionsLiveAsLongAsTheirRuns replaces the module of a workflow that pins its runs, again and again.
func TestPinnedDefinitionsLiveAsLongAsTheirRuns(t *testing.T) {
	runs, same := &fakeRuns{}, kept(t)
	pins := func(o *Options) {
		o.Engine = runs
		o.Adjust = func(w *runtime.Workflow) { w.Pinned = true }
	}
	r := newRig(t, same, pins)
	var digests []runtime.Digest
	for n := range 4 {
		r.deploy("door", generation(n))
		d := r.Catalog().Workflow("door").Digest
		digests = append(digests, d)
		if n != 2 {
			runs.pin(d, 1)
		}
	}
	goesBy := func(r *rig, d runtime.Digest) runtime.Digest {
		return r.Catalog().For(&runtime.Record{Workflow: "door", Status: "closed", State: runtime.Running, Pinned: d}).Digest
	}
	for n, d := range digests {
		if got := goesBy(r, d); got != d {
			t.Errorf("a run pinned to the version %d goes by %s", n, got)
		}
	}
	r.letGo()
	r.letGo()
	if goesBy(r, digests[2]) == digests[2] || goesBy(r, digests[0]) != digests[0] {
		t.Error("want the version without runs let go, and the others kept")
	}
	var refused *RefusedError
	if err := r.Remove(context.Background(), "door", Order{}); !errors.As(err, &refused) || len(refused.Left) != 2 {
		t.Errorf("%v; want it refused for two versions with runs", err)
	}
	again := newRig(t, same, pins)
	again.load()
	if goesBy(again, digests[1]) != digests[1] {
		t.Error("a restart forgets what runs are pinned to")
	}
	if p, err := again.Rollback(context.Background(), "door", digests[0].String(), Order{}); err != nil || p.Version != "0000" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, d := range digests {
		runs.pin(d, 0)
	}
	again.letGo()
	again.letGo()
	again.draining.Wait()
	if n := len(again.modules); n != 1 || len(again.Catalog().Workflow("door").Older) != 0 {
		t.Errorf("%d modules are loaded; want the one that serves", n)
	}
}

// tested is the manifest of a door whose test of itself is the handler 7.
const tested = `{"abi":1,"self_test":7,"workflows":[{"name":"door","handlers":[` +
	`{"id":1,"kind":"step","name":"closed","status":"closed","to":["open"]}],"terminal":["open"]}]}`

// TestAModuleTestsItself before it serves, wherever it comes from, and not again at a restart.
func TestAModuleTestsItself(t *testing.T) {
	says := func(text string) guest {
		return guest{manifest: tested, texts: []string{text}, invoke: asm.Code(writeText(abi.FieldReason, 0, text), asm.I32(int32(abi.CodePermanent)))}
	}
	for name, c := range map[string]struct {
		guest guest
		want  string // "" when it passes
	}{
		"passes":  {guest{manifest: tested, invoke: asm.I32(int32(abi.CodeDone))}, ""},
		"fails":   {says("no prices"), "its own test fails: no prices"},
		"traps":   {guest{manifest: tested, invoke: asm.Unreachable}, "its own test fails: the plugin trapped: unreachable"},
		"moves":   {guest{manifest: tested, invoke: asm.I32(int32(abi.CodeTo))}, "the self-test answered the code 1, which docs/abi.md does not have"},
		"no run":  {guest{manifest: tested, invoke: asm.Code(asm.I32(int32(abi.FieldReason)), asm.I32(bufferAt), asm.I32(int32(abi.FieldRunID)), asm.I32(bufferAt), asm.I32(100), asm.Call(fnRead), asm.Call(fnWrite), asm.I32(int32(abi.CodeDone)))}, "4294967295 bytes are more than the limit"},
		"endless": {guest{manifest: tested, invoke: asm.Code(asm.Loop, asm.Br(0), asm.End, asm.I32(int32(abi.CodeDone)))}, "its own test fails: "},
	} {
		t.Run(name, func(t *testing.T) {
			same := kept(t)
			r := newRig(t, same, func(o *Options) { o.Limits.Fuel = 1_000_000 })
			r.deploy("door", generation(1))
			r.put("door.wasm", c.guest.bytes())
			r.load()
			_, deployed := r.Deploy(context.Background(), &Deployment{Plugin: "door", Module: c.guest.bytes()})
			_, checked := r.Check(context.Background(), filepath.Join(r.dir, "door.wasm"))
			if c.want == "" {
				if deployed != nil || checked != nil || r.plugin("door").Version != "" {
					t.Fatalf("%v, %v; want it to serve", deployed, checked)
				}
				return
			}
			wantPieces(t, r.plugin("door").Error, c.want)
			for _, err := range []error{deployed, checked} {
				if err == nil {
					t.Fatal("it is accepted")
				}
				wantPieces(t, err.Error(), c.want)
			}
			r.answers(`"0001"`)
			r.draining.Wait()
			if p := r.plugin("door"); p.Instances != 1 {
				t.Errorf("%d instances; want none of what was refused", p.Instances)
			}
			r.deploy("door", c.guest.bytes(), func(d *Deployment) { d.Force = true })
			if lines := r.logs.find("WARN", "a plugin that fails its own test was forced", "door.wasm", c.want); len(lines) != 1 {
				t.Errorf("%d lines about a forced deployment; want 1", len(lines))
			}
		})
	}
}
