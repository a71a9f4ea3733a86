package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/wfrt/wfrt/runtime"
)

// parsePart reads a part of workflow w, or of the one named before a colon: handled statuses as "a>b", "!c" terminal,
// "?d" external, "^a" the start. "a>b !b" is a whole workflow.
func parsePart(t interface{ Fatal(...any) }, file, text string) *part {
	if text == "" {
		return nil
	}
	workflow, statuses, ok := strings.Cut(text, ":")
	if !ok {
		workflow, statuses = "w", text
	}
	var steps, terminal, external []string
	start := ""
	for _, word := range strings.Fields(statuses) {
		switch word[0] {
		case '!':
			terminal = append(terminal, word[1:])
		case '?':
			external = append(external, word[1:])
		case '^':
			start = word[1:]
		default:
			steps = append(steps, word)
		}
	}
	m, err := parseManifest([]byte(workflowPart(workflow, start, steps, terminal, external)))
	if err != nil {
		t.Fatal(err)
	}
	return &part{file: file, manifest: m, invoker: func(int32, StepLimits) runtime.Invoker { return nil }}
}

func TestMerge(t *testing.T) {
	for name, c := range map[string]struct {
		parts []string
		want  string // "start: statuses", or a piece of what is wrong
	}{
		"one module":                    {[]string{"a>b b>c !c"}, "a: a b c"},
		"inferred start":                {[]string{"b>c a>b !c"}, "a: a b c"},
		"a step may lead to itself":     {[]string{"b>c a>b,a !c"}, "a: a b c"},
		"a circle begins where written": {[]string{"b>a a>b"}, "b: a b"},
		"two ways in, one module":       {[]string{"b>c a>c !c"}, "b: a b c"},
		"explicit start":                {[]string{"a>b b>c !c ^b"}, "b: a b c"},
		"two modules":                   {[]string{"a>b ?b", "b>c !c"}, "a: a b c"},
		"the same terminal twice":       {[]string{"a>c,b ?b !c", "b>c !c"}, "a: a b c"},
		"external to a terminal":        {[]string{"a>b ?b", "d>b !b ?a ^d"}, "d: a b d"},
		"start in another module":       {[]string{"a>b ?b", "b>c !c ^a ?a"}, "a: a b c"},
		"same start twice":              {[]string{"a>b ?b ^a", "b>c !c ?a ^a"}, "a: a b c"},
		"nobody handles":                {[]string{"a>b ?b"}, `status "b", which 0.wasm leaves to another module, is handled by none`},
		"start that nobody handles":     {[]string{"a>b !b ?x ^x"}, `handled by no`},
		"two ways in, two modules":      {[]string{"a>c !c", "b>c !c"}, "its start could be any of a, b: say w.Start"},
		"a circle over two modules":     {[]string{"a>b ?b", "b>a ?a"}, "say w.Start in one module"},
		"status twice":                  {[]string{"a>b !b", "a>b !b"}, `status "a" is already handled by 0.wasm: remove it`},
		"terminal is handled":           {[]string{"a>b !b", "b>c !c"}, `"b", which it handles, is terminal in 0.wasm: make it external there`},
		"handled is terminal":           {[]string{"b>c !c", "a>b !b"}, `"b", which it calls terminal, is handled by 0.wasm: make it external here`},
		"two starts":                    {[]string{"a>b ?b ^a", "b>c !c ^b"}, `it starts in "b", and in 0.wasm it starts in "a"`},
	} {
		t.Run(name, func(t *testing.T) {
			var parts []part
			for n, text := range c.parts {
				parts = append(parts, *parsePart(t, fmt.Sprintf("%d.wasm", n), text))
			}
			got := merge(parts, defaults{retry: runtime.DefaultRetry()})
			if len(got.conflicts)+len(got.incomplete) > 0 {
				var texts []string
				for _, conflict := range got.conflicts {
					if conflict.part != 1 {
						t.Errorf("part %d is blamed; want the later", conflict.part)
					}
					texts = append(texts, conflict.cause.Error())
				}
				for _, lack := range got.incomplete {
					texts = append(texts, lack.Error())
				}
				wantPieces(t, strings.Join(texts, "\n"), c.want, "workflow w: ")
				return
			}
			w := got.workflows[0]
			if text := w.Start + ": " + strings.Join(slices.Sorted(maps.Keys(w.Statuses)), " "); text != c.want {
				t.Errorf("%s; want %s", text, c.want)
			}
			for status, s := range w.Statuses {
				if s.Name != status || s.Terminal == (s.Step != nil) {
					t.Errorf("status %q: %+v", status, s)
				}
			}
		})
	}
}

// TestMergeOverModules merges two modules, of which the second is given, with the handlers and schedules of one that carries
// everything, life.
func TestMergeOverModules(t *testing.T) {
	for name, c := range map[string]struct {
		handlers, more string // of the second module; its further members
		want           string // what is wrong, or "" for nothing
	}{
		"another hook":     {`{"id":1,"kind":"hook","name":"mourn","on":"cancel"}`, "", ""},
		"the same hook":    {`{"id":1,"kind":"hook","name":"tell","on":"cancel"}`, "", `the hook "tell" is already in 0.wasm: give one`},
		"a second erase":   {`{"id":1,"kind":"erase","name":"x"}`, "", "0.wasm already has an erase function"},
		"another schedule": {`{"id":1,"kind":"hook","name":"h","on":"pause"}`, `,"schedules":[{"name":"x","cron":"@daily"}]`, ""},
		"the same schedule": {
			`{"id":1,"kind":"hook","name":"h","on":"pause"}`, `,"schedules":[{"name":"plain","cron":"@daily"}]`,
			`the schedule "plain" is already in 0.wasm`,
		},
		"a callback of its own status": {
			`{"id":1,"kind":"callback","name":"x","status":"limbo","to":["done"]}`, `,"external":["done","born"],"start":"born"`, "",
		},
		"a callback of the same status": {
			`{"id":1,"kind":"callback","name":"x","status":"born"}`, "", `status "born" is already handled by 0.wasm`,
		},
		"a timeout of the same status": {
			`{"id":1,"kind":"timeout","name":"x","status":"waiting","after_ms":1}`, "", `status "waiting" is already handled by 0.wasm`,
		},
		"a callback of a terminal status": {
			`{"id":1,"kind":"callback","name":"x","status":"done"}`, "", `status "done", which it handles, is terminal in 0.wasm`,
		},
		"a schedule into nowhere": {
			`{"id":1,"kind":"hook","name":"h","on":"pause"}`,
			`,"external":["limbo"],"schedules":[{"name":"x","cron":"@daily","start_at":"limbo"}]`, `status "limbo", which 1.wasm leaves`,
		},
		"a schedule into an end": {
			`{"id":1,"kind":"hook","name":"h","on":"pause"}`,
			`,"external":["done"],"schedules":[{"name":"x","cron":"@daily","start_at":"done"}]`,
			`the schedule "x" of 1.wasm starts at "done", which is handled by no module`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			second := `{"abi":1,"workflows":[{"name":"life","handlers":[` + c.handlers + `]` + c.more + `}]}`
			var parts []part
			for n, raw := range []string{life, second} {
				m, err := parseManifest([]byte(raw))
				if err != nil {
					t.Fatal(err)
				}
				parts = append(parts, part{
					file: fmt.Sprintf("%d.wasm", n), manifest: m, invoker: func(int32, StepLimits) runtime.Invoker { return nil },
				})
			}
			got := merge(parts, defaults{retry: runtime.DefaultRetry()})
			var wrong []string
			for _, conflict := range got.conflicts {
				wrong = append(wrong, conflict.cause.Error())
			}
			if lack := got.incomplete["life"]; lack != nil {
				wrong = append(wrong, lack.Error())
			}
			if c.want == "" && (len(wrong) > 0 || len(got.workflows) != 1 || got.workflows[0].Start != "born") {
				t.Errorf("%q, %+v; want the two to fit", wrong, got.workflows)
			}
			if c.want != "" && len(wrong) != 1 {
				t.Errorf("%q; want one thing wrong", wrong)
			}
			wantPieces(t, strings.Join(wrong, "\n"), c.want)
		})
	}
}

// TestTwoModulesOfOneWorkflow has the hooks and a schedule of one module join the statuses of another, in the order of files.
func TestTwoModulesOfOneWorkflow(t *testing.T) {
	r := newRig(t)
	r.put("b.wasm", guest{manifest: life}.bytes())
	r.put("a.wasm", guest{manifest: `{"abi":1,"workflows":[{"name":"life","handlers":[` +
		`{"id":1,"kind":"hook","name":"mourn","on":"cancel"}],"schedules":[{"name":"hourly","cron":"@hourly"}]}]}`}.bytes())
	r.load()
	r.serves("a")
	r.serves("b")
	w := r.Catalog().Workflow("life")
	if len(w.Hooks) != 2 || w.Hooks[0].Name != "mourn" || w.Hooks[1].Name != "tell" || w.Hooks[0].Plugin != "a.wasm" ||
		len(w.Schedules) != 3 || w.Schedules[0].Name != "hourly" {
		t.Errorf("hooks %+v, schedules %+v", w.Hooks, w.Schedules)
	}
	// Hooks alone make no workflow: it waits for its statuses.
	alone := newRig(t)
	alone.put("a.wasm", guest{manifest: `{"abi":1,"workflows":[{"name":"life","handlers":[` +
		`{"id":1,"kind":"hook","name":"mourn","on":"cancel"}]}]}`}.bytes())
	alone.load()
	wantPieces(t, alone.Waiting()["life"], "no module handles a status of it")
}

func TestAdmit(t *testing.T) {
	type file struct{ name, serving, newer string }
	for name, c := range map[string]struct {
		files  []file
		served string
		want   string // the files admitted, then those refused
	}{
		"all fit":                             {[]file{{"a", "", "a>b ?b"}, {"b", "", "b>c !c"}}, "", "a b /"},
		"the first in the alphabet wins":      {[]file{{"b", "", "a>b !b"}, {"a", "", "a>c !c"}}, "", "a / b"},
		"what serves goes on":                 {[]file{{"z", "a>b !b", ""}, {"a", "", "a>c !c"}}, "w", "/ a"},
		"a replacement":                       {[]file{{"a", "a>b !b", "a>c !c"}}, "w", "a /"},
		"a replacement beside an intruder":    {[]file{{"z", "a>b !b", "a>c !c"}, {"a", "", "a>d !d"}}, "w", "z / a"},
		"a status moves to another module":    {[]file{{"a", "a>b b>c !c", "a>b ?b"}, {"b", "x:a>b !b", "b>c !c"}}, "w x", "a b /"},
		"and the other way round":             {[]file{{"b", "a>b b>c !c", "a>b ?b"}, {"a", "x:a>b !b", "b>c !c"}}, "w x", "a b /"},
		"half of a move":                      {[]file{{"a", "a>b b>c !c", "a>b ?b"}}, "w", "/ a"},
		"an unfinished newcomer is let in":    {[]file{{"a", "", "a>b ?b"}}, "", "a /"},
		"but not into what is served":         {[]file{{"a", "a>b !b", ""}, {"n", "", "x>y ?y ^a ?a"}}, "w", "/ n"},
		"the missing part arrives":            {[]file{{"a", "a>b ?b", ""}, {"b", "", "b>c !c"}}, "", "b /"},
		"two that need each other":            {[]file{{"a", "a>b !b ^a", ""}, {"m", "", "m>n ?n"}, {"n", "", "n>m ?m"}}, "w", "m n /"},
		"the innocent is not refused as well": {[]file{{"a", "a>b !b", "a>c !c"}, {"n", "", "x>y ?y"}}, "w", "a / n"},
		"the refused blocks nobody":           {[]file{{"a", "a>z !z", ""}, {"b", "", "a>b b>z !z"}, {"c", "", "b>z !z ?a ^a"}}, "w", "c / b"},
	} {
		t.Run(name, func(t *testing.T) {
			var applicants []applicant
			for _, f := range c.files {
				applicants = append(applicants, applicant{
					file: f.name, serving: parsePart(t, f.name, f.serving), newer: parsePart(t, f.name, f.newer),
				})
			}
			var served []*runtime.Workflow
			for _, w := range strings.Fields(c.served) {
				served = append(served, &runtime.Workflow{Name: w})
			}
			got := admit(applicants, runtime.NewCatalog(served...), nil, defaults{retry: runtime.DefaultRetry()})
			var admitted []string
			for _, f := range slices.Sorted(maps.Keys(got.admitted)) {
				if got.admitted[f] {
					admitted = append(admitted, f)
				}
			}
			text := strings.TrimSpace(strings.Join(admitted, " ") + " / " + strings.Join(slices.Sorted(maps.Keys(got.refused)), " "))
			if text != c.want {
				t.Errorf("admitted / refused: %s; want %s; %v", text, c.want, got.refused)
			}
		})
	}
}

// TestAdmitLeavesNoRunBehind admits replacements while there are runs in some statuses of what serves.
func TestAdmitLeavesNoRunBehind(t *testing.T) {
	type file struct{ name, serving, newer string }
	waits := `{"abi":1,"workflows":[{"name":"w","start":"a","handlers":[{"id":1,"kind":"step","name":"a","status":"a","to":["b"]},` +
		`{"id":2,"kind":"callback","name":"b","status":"b","to":["c"]}],"terminal":["c"]}]}`
	for name, c := range map[string]struct {
		files []file
		inUse string   // statuses with runs in them
		want  string   // the files admitted, then those refused
		tells []string // pieces of why
	}{
		"nothing is in use":       {[]file{{"a", "a>b b>c !c", "a>c !c"}}, "", "a /", nil},
		"the status is handled":   {[]file{{"a", "a>b b>c !c", "a>d b>d !d"}}, "a b", "a /", nil},
		"another is in use":       {[]file{{"a", "a>b b>c !c", "a>c !c"}}, "a", "a /", nil},
		"the status is gone":      {[]file{{"a", "a>b b>c !c", "a>c !c"}}, "b", "/ a", []string{`workflow w: there are runs`, `7 runs in "b"`}},
		"two are gone":            {[]file{{"a", "^a a>b b>c !c", "^x x>c !c"}}, "a b", "/ a", []string{`7 runs in "a", 7 runs in "b": keep`}},
		"it is terminal now":      {[]file{{"a", "a>b b>c !c", "a>b !b"}}, "b", "/ a", []string{`7 runs in "b"`, "wfrt runs move"}},
		"runs that have ended":    {[]file{{"a", "a>b b>c !c", "a>b b>d !d"}}, "c", "a /", nil},
		"the step is gone":        {[]file{{"a", "a>b b>c !c", waits}}, "b", "/ a", []string{`7 runs in "b"`}},
		"there was no step":       {[]file{{"a", waits, waits}}, "b", "a /", nil},
		"the workflow is gone":    {[]file{{"a", "a>b !b", "x:a>b !b"}}, "a", "/ a", []string{`workflow w: `, `7 runs in "a"`}},
		"it moves to another":     {[]file{{"a", "a>b b>c !c", "a>b ?b"}, {"b", "", "b>c !c"}}, "b", "a b /", nil},
		"the workflow moves":      {[]file{{"a", "a>b !b", "x:a>b !b"}, {"b", "", "a>b !b"}}, "a", "a b /", nil},
		"the other cannot come":   {[]file{{"a", "a>b b>c !c", "a>b !b"}, {"b", "", "b>c !c"}}, "b", "/ a b", nil},
		"only one is to blame":    {[]file{{"a", "a>b ?b", "a>b ?b"}, {"b", "b>c c>d !d", "b>d !d"}}, "c", "a / b", nil},
		"others come in all same": {[]file{{"a", "a>b b>c !c", "a>c !c"}, {"n", "", "x:a>b !b"}}, "b", "n / a", nil},
	} {
		t.Run(name, func(t *testing.T) {
			parse := func(file, text string) *part {
				if !strings.HasPrefix(text, "{") {
					return parsePart(t, file, text)
				}
				m, err := parseManifest([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				return &part{file: file, manifest: m, invoker: func(int32, StepLimits) runtime.Invoker { return nil }}
			}
			var applicants, serving []applicant
			for _, f := range c.files {
				applicants = append(applicants, applicant{
					file: f.name, serving: parse(f.name, f.serving), newer: parse(f.name, f.newer),
				})
				serving = append(serving, applicant{file: f.name, newer: parse(f.name, f.serving)})
			}
			d := defaults{retry: runtime.DefaultRetry()}
			served := runtime.NewCatalog(admit(serving, runtime.NewCatalog(), nil, d).merged.workflows...)
			got := admit(applicants, served, func(q runtime.Queue) int {
				if q.Workflow == "w" && slices.Contains(strings.Fields(c.inUse), q.Status) {
					return 7
				}
				return 0
			}, d)
			var admitted []string
			for _, f := range slices.Sorted(maps.Keys(got.admitted)) {
				if got.admitted[f] {
					admitted = append(admitted, f)
				}
			}
			text := strings.TrimSpace(strings.Join(admitted, " ") + " / " + strings.Join(slices.Sorted(maps.Keys(got.refused)), " "))
			if text != c.want {
				t.Errorf("admitted / refused: %s; want %s; %v", text, c.want, got.refused)
			}
			if len(c.tells) > 0 && (got.refused["a"] == nil || !got.held) {
				t.Fatalf("refused: %v, held: %v; want a refused until the runs are gone", got.refused, got.held)
			}
			for _, piece := range c.tells {
				wantPieces(t, got.refused["a"].Error(), piece)
			}
		})
	}
}

// TestAdmitKeepsItsPromises checks the rules of admit on arbitrary directories.
func TestAdmitKeepsItsPromises(t *testing.T) {
	statuses := []string{"a", "b", "c", "d"}
	rapid.Check(t, func(t *rapid.T) {
		anyPart := func(label string) string {
			if rapid.Bool().Draw(t, label+" exists") {
				return ""
			}
			own := rapid.SampledFrom(statuses).Draw(t, label+" status")
			to := rapid.SampledFrom(statuses).Draw(t, label+" destination")
			text := own + ">" + to
			if to != own {
				text += rapid.SampledFrom([]string{" !", " ?"}).Draw(t, label+" how") + to
			}
			return text
		}
		var applicants []applicant
		for _, f := range []string{"1", "2", "3"} {
			applicants = append(applicants, applicant{file: f, newer: parsePart(t, f, anyPart(f))})
		}
		// What the first admission lets in serves at the second, with runs in some statuses.
		d := defaults{retry: runtime.DefaultRetry()}
		first := admit(applicants, runtime.NewCatalog(), nil, d)
		served := runtime.NewCatalog(first.merged.workflows...)
		for n := range applicants {
			x := &applicants[n]
			if first.admitted[x.file] {
				x.serving = x.newer
			}
			x.newer = parsePart(t, x.file, anyPart(x.file+"'"))
		}
		used := rapid.SliceOfDistinct(rapid.SampledFrom(statuses), rapid.ID).Draw(t, "used")
		asked := make(map[string]bool)
		inUse := func(q runtime.Queue) int {
			if asked[q.Status] {
				t.Fatalf("the status %s is asked about twice", q.Status)
			}
			asked[q.Status] = true
			if slices.Contains(used, q.Status) {
				return 1
			}
			return 0
		}
		second := admit(applicants, served, inUse, d)
		if len(first.merged.conflicts)+len(second.merged.conflicts) > 0 {
			t.Fatal("what serves contradicts itself")
		}
		now := runtime.NewCatalog(second.merged.workflows...)
		for _, w := range served.Names() {
			if second.merged.incomplete[w] != nil {
				t.Fatalf("the served workflow %s became incomplete", w)
			}
			for _, status := range used {
				before, after := served.Status(w, status), now.Status(w, status)
				if before != nil && before.Step != nil && (after == nil || after.Step == nil) {
					t.Fatalf("runs are left behind in %s", status)
				}
			}
		}
		for _, x := range applicants {
			if x.newer != nil && second.admitted[x.file] == (second.refused[x.file] != nil) {
				t.Fatalf("file %s is admitted: %v, refused: %v", x.file, second.admitted[x.file], second.refused[x.file])
			}
		}
		slices.Reverse(applicants)
		clear(asked)
		again := admit(applicants, served, inUse, d)
		if !maps.Equal(again.admitted, second.admitted) {
			t.Fatal("the result depends on the order of the list")
		}
	})
}

// TestAReplacementWaitsForRuns refuses a module that would leave runs behind, and takes it, untouched, once they are gone.
func TestAReplacementWaitsForRuns(t *testing.T) {
	runs := &fakeRuns{active: map[runtime.Queue]int{{Workflow: "door", Status: "ajar"}: 3}}
	r := newRig(t, func(o *Options) { o.Engine = runs })
	r.put("door.wasm", guest{manifest: workflowPart("door", "", []string{"closed>ajar", "ajar>open"}, []string{"open"}, nil)}.bytes())
	r.load()
	r.serves("door")
	old := r.plugin("door").Digest
	r.put("door.wasm", doorGuest().bytes())
	for range 3 {
		r.load()
		p := r.plugin("door")
		if p.State != StateServing || p.Digest != old {
			t.Fatalf("%+v; want the old module to serve", p)
		}
		wantPieces(t, p.Error, "the module before it does: ", `workflow door: there are runs in what it no longer handles: 3 runs in "ajar"`,
			"keep the handlers, let those runs end, or move them (wfrt runs move)")
	}
	if lines := r.logs.find("ERROR", "a plugin was refused"); len(lines) != 1 {
		t.Errorf("%d lines about it; want 1", len(lines))
	}
	if runs.asked != 3 {
		t.Errorf("the engine is asked %d times; want once a load", runs.asked)
	}
	runs.set(runtime.Queue{Workflow: "door", Status: "ajar"}, 0)
	r.load()
	r.serves("door")
	if p := r.plugin("door"); p.Digest == old {
		t.Error("the old module serves on; want the new one")
	}
	r.load()
	if runs.asked != 4 {
		t.Errorf("the engine is asked %d times; want no more once the module serves", runs.asked)
	}
}

// TestWatchTriesAgainWhenRunsAreGone changes no file.
func TestWatchTriesAgainWhenRunsAreGone(t *testing.T) {
	closed := runtime.Queue{Workflow: "door", Status: "closed"}
	runs := &fakeRuns{catalogs: make(chan *runtime.Catalog, 2), looked: make(chan struct{}, 1)}
	runs.set(closed, 1)
	r := newRig(t, func(o *Options) { o.Rescan, o.Engine = 10*time.Millisecond, runs })
	r.put("door.wasm", doorGuest().bytes())
	r.load()
	first := <-runs.catalogs
	r.put("door.wasm", guest{manifest: workflowPart("gate", "", []string{"a>b"}, []string{"b"}, nil)}.bytes())
	r.load()
	<-runs.looked
	if r.Catalog() != first {
		t.Error("a module serves that drops a workflow with runs")
	}
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan error)
	go func() { watched <- r.Watch(ctx) }()
	<-runs.looked // the watch looked once more
	runs.set(closed, 0)
	if c := <-runs.catalogs; c.Workflow("gate") == nil || c.Workflow("door") != nil {
		t.Errorf("workflows %v; want those of the new module", c.Names())
	}
	cancel()
	if err := <-watched; err != nil {
		t.Error(err)
	}
}

func TestTwoModulesThatClaimAStatus(t *testing.T) {
	r := newRig(t)
	r.put("b.wasm", doorGuest().bytes())
	r.put("a.wasm", echoGuest().bytes())
	r.put("other.wasm", guest{manifest: workflowPart("other", "", []string{"x>y"}, []string{"y"}, nil)}.bytes())
	r.load()
	r.serves("a")
	r.serves("other")
	r.refused("b", `status "closed" is already handled by a.wasm: remove it from one of the two`)
	// When a gives the status up, b comes in without being touched.
	r.put("a.wasm", guest{manifest: workflowPart("else", "", []string{"x>y"}, []string{"y"}, nil)}.bytes())
	r.load()
	r.serves("a")
	r.serves("b")
}

func TestAWorkflowWaitsForItsMissingPart(t *testing.T) {
	r := newRig(t)
	r.put("a.wasm", guest{manifest: workflowPart("w", "", []string{"a>b"}, nil, []string{"b"})}.bytes())
	r.load()
	if p := r.plugin("a"); p.State != StateWaiting || !strings.Contains(p.Error, `which a.wasm leaves to another module`) {
		t.Errorf("%+v; want it to wait", p)
	}
	if r.Catalog().Workflow("w") != nil || r.Waiting()["w"] == "" {
		t.Errorf("waiting %v; want w not served and in the list", r.Waiting())
	}
	r.put("b.wasm", guest{manifest: workflowPart("w", "", []string{"b>c"}, []string{"c"}, nil)}.bytes())
	r.load()
	r.serves("a")
	r.serves("b")
	if out := r.invoke("w", "b", `{}`); out.Kind != runtime.OutcomeSkip || len(r.Waiting()) != 0 {
		t.Errorf("outcome %+v, waiting %v; want both parts to serve", out, r.Waiting())
	}
	// Its replacement would stop the workflow: it is refused and the old goes on.
	r.put("b.wasm", guest{manifest: workflowPart("w", "a", []string{"c>d"}, []string{"d"}, []string{"a"})}.bytes())
	r.load()
	if p := r.plugin("b"); p.State != StateServing || !strings.Contains(p.Error, "it would stop a workflow that is served") {
		t.Errorf("%+v; want the old to serve", p)
	}
}
