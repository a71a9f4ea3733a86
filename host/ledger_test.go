package host

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wfrt/wfrt/runtime"
)

// TestTheFormatOfTheLedger is that of docs/formats.md.
func TestTheFormatOfTheLedger(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := newLedger()
	e := l.entry("orders")
	e.activate(&version{
		Digest: runtime.Digest{1}, Size: 7, Version: "v1", SDK: "go", DeployedAt: at, How: HowDeploy, By: "ada",
		Workflows: map[string]int{"orders": 3}, Reads: map[string][]int{"orders": {2}},
	},
		activation{Digest: runtime.Digest{1}, At: at, How: HowRollback, By: "bob"})
	e.Canary = &trialEntry{Digest: runtime.Digest{2}, Share: 0.1, At: at, By: "cy"}
	e.Ended = &trialEnd{Digest: runtime.Digest{3}, At: at, Cause: "it failed"}
	e.Seen = runtime.Digest{4}
	e.mayHave("orders", 2)
	e.mayHave("orders", 1)
	l.keep("orders", definition{Digest: runtime.Digest{5}, Parts: []partOf{{"orders", runtime.Digest{5}}}, Keeps: true})
	d := func(n string) string {
		return `"0` + n + `00000000000000000000000000000000000000000000000000000000000000"`
	}
	want := `{"format":1,"plugins":{"orders":{"active":{"digest":` + d("1") + `,"at":"2026-01-02T03:04:05Z","how":"rollback","by":"bob"},` +
		`"canary":{"digest":` + d("2") + `,"share":0.1,"at":"2026-01-02T03:04:05Z","by":"cy"},` +
		`"ended":{"digest":` + d("3") + `,"at":"2026-01-02T03:04:05Z","cause":"it failed"},"seen":` + d("4") + `,"objects":{"orders":[1,2]},` +
		`"versions":[{"digest":` + d("1") + `,"size":7,"version":"v1","sdk":"go","deployed_at":"2026-01-02T03:04:05Z","how":"deploy","by":"ada","workflows":{"orders":3},"reads":{"orders":[2]}}]}},` +
		`"older":{"orders":[{"digest":` + d("5") + `,"parts":[{"plugin":"orders","digest":` + d("5") + `}],"keeps":true}]}}`
	if got := string(l.encode()); got != want {
		t.Errorf("the ledger is\n%s\nwant\n%s", got, want)
	}
	again, err := decodeLedger([]byte(want))
	if err != nil || string(again.encode()) != want {
		t.Errorf("it is read as %s, %v", again.encode(), err)
	}
}

// TestALedgerForgetsOnlyWhatNothingNeeds after arbitrary changes.
func TestALedgerForgetsOnlyWhatNothingNeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger()
		var newest []runtime.Digest // in the order of their last activation, the newest last
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			d := runtime.Digest{byte(rapid.IntRange(1, 30).Draw(t, "digest"))}
			before := string(l.encode())
			next := l.clone()
			e := next.entry("p")
			switch rapid.SampledFrom([]string{"serve", "try", "end", "keep", "drop"}).Draw(t, "change") {
			case "serve":
				e.activate(&version{Digest: d}, activation{Digest: d, How: HowDeploy})
			case "try":
				e.add(&version{Digest: d})
				e.Canary = &trialEntry{Digest: d, Share: 0.5}
			case "end":
				e.Canary = nil
				continue
			case "keep":
				if e.index(d) < 0 {
					continue
				}
				next.keep("w", definition{Digest: d, Parts: []partOf{{"p", d}}})
				next.prune()
				if string(l.encode()) != before {
					t.Fatal("a change of the clone changed the ledger")
				}
				l = next
				continue
			case "drop":
				next.drop("w", d)
				next.prune()
				l = next
				continue
			}
			newest = append(slices.DeleteFunc(newest, func(x runtime.Digest) bool { return x == d }), d)
			next.prune()
			if string(l.encode()) != before {
				t.Fatal("a change of the clone changed the ledger")
			}
			l = next
			kept := l.digests()
			e = l.Plugins["p"]
			for key := range l.loaded() {
				if !kept[key.Digest] {
					t.Fatalf("the module %s is needed and forgotten", digestOf(key.Digest))
				}
			}
			for _, d := range newest[max(0, len(newest)-keepVersions):] {
				if !kept[d] {
					t.Fatalf("%s is one of the newest and forgotten", digestOf(d))
				}
			}
			if n := len(e.Versions); n > keepVersions+len(l.Older["w"])+2 {
				t.Fatalf("%d versions are kept", n)
			}
			if len(e.Versions) != len(kept) {
				t.Fatal("a digest is there twice")
			}
		}
	})
}

// TestTheArchiveHoldsWholeFilesOnly under names of theirs, and touches no others.
func TestTheArchiveHoldsWholeFilesOnly(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "made/if/missing")} {
		a := &archive{dir: dir}
		raw := generation(1)
		src := runtime.Digest(sha256.Sum256(raw))
		for range 2 {
			if err := a.put(src, raw); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := a.get(src); err != nil || string(got) != string(raw) {
			t.Errorf("%d bytes, %v; want what was put", len(got), err)
		}
		if dir != "" {
			for _, other := range []string{"notes.txt", ".new-left-by-a-crash", "short.wasm"} {
				if err := os.WriteFile(filepath.Join(dir, other), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			// What was damaged is written anew.
			if err := os.WriteFile(a.path(src), raw[:9], 0o600); err != nil {
				t.Fatal(err)
			}
			if err := a.put(src, raw); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.sweep(map[runtime.Digest]bool{src: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.get(src); err != nil {
			t.Errorf("what is kept is gone: %v", err)
		}
		if err := a.sweep(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := a.get(src); err == nil {
			t.Error("what is not kept is there")
		}
		if dir == "" {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Errorf("%v, %v are left; want the two files of others", entries, err)
		}
	}
}
