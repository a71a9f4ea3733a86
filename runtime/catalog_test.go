package runtime_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

// definition reads "1: a b !c": the digest's first byte, the statuses, of which those with ! end a run.
func definition(text string) *runtime.Workflow {
	digest, statuses, _ := strings.Cut(text, ":")
	w := &runtime.Workflow{Name: "w", Start: "a", Statuses: map[string]*runtime.Status{}}
	_, _ = fmt.Sscan(digest, &w.Digest[0])
	for _, word := range strings.Fields(statuses) {
		name := strings.TrimPrefix(word, "!")
		w.Statuses[name] = &runtime.Status{Name: name, Terminal: name != word}
	}
	return w
}

// TestForWhichDefinition resolves runs, written "state status pinned", by a catalog of the newest definition, a canary and older
// ones.
func TestForWhichDefinition(t *testing.T) {
	const newest, canary, old, older = "9: a b !z", "8: a k !z", "7: a c b !z", "6: a c d z"
	for name, c := range map[string]struct {
		pinned, canary bool
		run            string
		want           int
	}{
		"the newest":                                {false, false, "1 a 0", 9},
		"pinned in a workflow that pins":            {true, false, "2 a 7", 7},
		"pinned to the newest":                      {true, false, "2 a 9", 9},
		"pinned in one that does not":               {false, false, "2 a 7", 9},
		"pinned to what is gone":                    {true, false, "2 a 5", 9},
		"pinned, but moved to where it is not":      {true, false, "2 b 6", 9},
		"on the canary":                             {false, true, "2 a 8", 8},
		"after the trial":                           {false, false, "2 a 8", 9},
		"on the canary of a workflow that pins":     {true, true, "2 k 8", 8},
		"a status that the newest lacks":            {false, false, "2 c 0", 7},
		"one that only the oldest has":              {false, false, "3 d 0", 6},
		"one that nothing has":                      {false, false, "2 x 0", 9},
		"one that ends a run in the newest":         {false, false, "2 z 0", 6},
		"a run that has ended there":                {false, false, "5 z 0", 9},
		"one that only the canary has, not on it":   {false, true, "2 k 0", 9},
		"an ended run that was pinned":              {true, false, "5 z 7", 7},
		"an ended run in a status that is gone":     {false, false, "4 c 0", 7},
		"pinned, in a status that ends a run there": {true, false, "2 z 7", 6},
	} {
		t.Run(name, func(t *testing.T) {
			w := definition(newest)
			w.Pinned, w.Older = c.pinned, []*runtime.Workflow{definition(old), definition(older)}
			for _, earlier := range w.Older {
				earlier.Keeps = c.pinned
			}
			if c.canary {
				w.Canary = &runtime.Canary{Workflow: definition(canary), Share: 0.5}
			}
			r := runtime.Record{Workflow: "w"}
			var state int
			if _, err := fmt.Sscan(c.run, &state, &r.Status, &r.Pinned[0]); err != nil {
				t.Fatal(err)
			}
			r.State = runtime.RunState(state)
			if got := runtime.NewCatalog(w).For(&r); int(got.Digest[0]) != c.want {
				t.Errorf("it goes by %d, want %d", got.Digest[0], c.want)
			}
		})
	}
	keeps := definition(newest)
	keeps.Older = []*runtime.Workflow{definition(old), definition(older)}
	keeps.Older[0].Keeps = true
	for pinned, want := range map[byte]byte{7: 7, 6: 9, 0: 9} { // it keeps its own, and no others
		r := runtime.Record{Workflow: "w", Status: "a", State: runtime.Running, Pinned: runtime.Digest{pinned}}
		if got := runtime.NewCatalog(keeps).For(&r); got.Digest[0] != want {
			t.Errorf("pinned to %d beside one that keeps its runs, it goes by %d, want %d", pinned, got.Digest[0], want)
		}
	}
	if runtime.NewCatalog().For(&runtime.Record{Workflow: "w"}) != nil {
		t.Error("a run of no workflow has a definition")
	}
}

// TestCanaryShare begins runs with randomness that goes through [0, 1) evenly.
func TestCanaryShare(t *testing.T) {
	var n uint64
	opt := onMemory()
	opt.Random = func() uint64 { n += 1 << 63 / 50; return n }
	baseline := chainOf(1, "s")
	baseline.Canary = &runtime.Canary{Workflow: chainOf(2, "s"), Share: 0.25}
	e := start(t, opt, baseline)
	on := map[runtime.Digest]int{}
	for i := range 200 {
		rec := settle(t, e, trigger(t, e, "w", fmt.Sprint(i)))
		if rec.Pinned != (runtime.Digest{}) && rec.Pinned != rec.Digest {
			t.Errorf("a run pinned to %s was run by %s", rec.Pinned, rec.Digest)
		}
		on[rec.Digest]++
	}
	if k := on[runtime.Digest{2}]; k < 20 || k > 80 || on[runtime.Digest{1}] != 200-k {
		t.Errorf("%d of 200 runs began on the canary, want about 50 (%v)", k, on)
	}
}

// chainOf returns a definition of native steps in a row with a digest.
func chainOf(digest byte, statuses ...string) *runtime.Workflow {
	var parts []runtimetest.Part
	for i, s := range statuses {
		to := "done"
		if i+1 < len(statuses) {
			to = statuses[i+1]
		}
		parts = append(parts, runtimetest.Step{Status: s, To: []string{to}, Func: runtimetest.To(to), Digest: runtime.Digest{digest}})
	}
	w := runtimetest.Workflow("w", parts...)
	w.Digest = runtime.Digest{digest}
	return w
}
