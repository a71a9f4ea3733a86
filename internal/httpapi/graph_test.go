package httpapi

import (
	"flag"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/runtime/runtimetest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file, or with -update writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s is out of date; run go test -update and look at the difference. Now it would be:\n%s", file, got)
	}
}

func graphs() map[string]*runtime.Workflow {
	to := func(status string, to ...string) runtimetest.Step { return runtimetest.Step{Status: status, To: to} }
	waits := runtimetest.Callback{Status: "größe\nzwei #1", Name: `a: b; "c"`, To: []string{"state"}, Func: runtimetest.To("state")}
	island := runtimetest.Workflow("island", to("start", "end"), to("z-import", "checked"), to("checked", "end"))
	return map[string]*runtime.Workflow{
		"orders": runtimetest.Workflow("orders", to("received", "validated"), to("validated", "priced"), to("priced", "charged"),
			to("charged", "shipped", "backordered")),
		"circle": runtimetest.Workflow("circle", to("a", "b", "a"), to("b", "a")),
		"names": runtimetest.Workflow("names", to("end", "state", "note left of x", `say "hi"; --> [*]`),
			to("note left of x", "[*]", "größe\nzwei #1"),
			to("state", "x1", "choice_s_end"), to(`say "hi"; --> [*]`, "%%{init}%%"), waits),
		"island": island,
		"shop":   shop(),
	}
}

func TestMermaid(t *testing.T) {
	for name, w := range graphs() {
		golden(t, filepath.Join("testdata", name+".mmd"), []byte(Mermaid(w, "TB")))
	}
}

func TestMermaidInFourDirections(t *testing.T) {
	s := newServer(t, Options{Engine: newEngine(t)})
	names := decode[WorkflowList](t, ask(t, s, "GET", "/v1/workflows", ""), http.StatusOK).Workflows
	for _, direction := range []string{"TB", "BT", "LR", "RL"} {
		for i := range names {
			answer := ask(t, s, "GET", "/v1/workflows/"+url.PathEscape(names[i].Name)+"/graph?direction="+direction, "")
			if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.body, "stateDiagram-v2\n    direction "+direction+"\n") {
				t.Errorf("%s of %s is answered with %d %.60q", direction, names[i].Name, answer.StatusCode, answer.body)
			}
		}
	}
}

// TestMermaidKeepsToTheLanguage checks each line against what a state diagram may hold, whatever the statuses are called.
func TestMermaidKeepsToTheLanguage(t *testing.T) {
	entities := regexp.MustCompile(`#[0-9]+;`)
	for name, w := range graphs() {
		lines := strings.Split(strings.TrimSuffix(Mermaid(w, "LR"), "\n"), "\n")
		if lines[0] != "stateDiagram-v2" || lines[1] != "    direction LR" {
			t.Errorf("%s begins with %q", name, lines[:2])
		}
		for _, line := range lines[2:] {
			words := strings.Fields(line)
			switch {
			case words[0] == "state" && words[len(words)-1] == "<<choice>>":
				if len(words) != 3 || !isAlias(words[1]) {
					t.Errorf("%s: bad choice %q", name, line)
				}
			case words[0] == "state":
				if strings.Count(line, `"`) != 2 || words[len(words)-2] != "as" || !isAlias(words[len(words)-1]) {
					t.Errorf("%s: bad state %q", name, line)
				}
			default:
				arrow, label, labelled := strings.Cut(strings.TrimSpace(line), ": ")
				if words = strings.Fields(arrow); labelled && strings.ContainsAny(entities.ReplaceAllString(label, ""), "\"#;:{}%") {
					t.Errorf("%s: bad label %q", name, line)
				}
				if len(words) != 3 || words[1] != "-->" || !isEnd(words[0]) || !isEnd(words[2]) {
					t.Errorf("%s: bad transition %q", name, line)
				}
			}
		}
	}
}

func isEnd(word string) bool { return word == "[*]" || isAlias(word) }

func isAlias(word string) bool {
	return regexp.MustCompile(`^(choice_)?(s_\w+|x[0-9]+)$`).MatchString(word)
}
