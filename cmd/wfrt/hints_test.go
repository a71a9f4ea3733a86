package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/wfrt/wfrt/internal/httpapi"
)

// ofPrograms is what hints say to programs: routes and headers.
var ofPrograms = regexp.MustCompile(`\b(GET|POST|PUT|DELETE)\b|/v1/|/openapi|Idempotency-Key|Authorization|the request\b|percent-encoded`)

// A person at the command line is told of commands and flags, whatever the server says to programs.
func TestHintsNameCommands(t *testing.T) {
	files, err := filepath.Glob("../../internal/httpapi/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	checked := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			p := httpapi.Problem{RunID: "01890a5d-ac96-774b-bcce-b302099a8057"}
			switch fun, _ := call.Fun.(*ast.Ident); {
			case fun == nil:
				return true
			case fun.Name == "problem" && len(call.Args) == 5:
				p.Type, p.Hint = "urn:wfrt:problem:"+textOf(call.Args[1]), textOf(call.Args[4])
			case fun.Name == "invalid" && len(call.Args) > 2:
				p.Type, p.Hint, p.Field = "urn:wfrt:problem:invalid-request", textOf(call.Args[2]), textOf(call.Args[0])
			default:
				return true
			}
			if ofPrograms.MatchString(p.Hint) {
				checked++
			}
			if hint := explainProblem(&p, &p).hint; ofPrograms.MatchString(hint) {
				t.Errorf("%s says %q", p.Type, hint)
			}
			return true
		})
	}
	if checked < 10 {
		t.Errorf("only %d hints for programs were found: they are written otherwise", checked)
	}
}

// textOf returns the text literals of an expression, one behind the other.
func textOf(e ast.Expr) string {
	var text string
	ast.Inspect(e, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				text += s
			}
		}
		return true
	})
	return text
}

func TestErrorsNameNoPackages(t *testing.T) {
	for text, want := range map[string]string{
		"serve: pebblestore: open d: pebble: no such database":  "open d: no such database",
		"runtime: start: open shard 3: pebblestore: no space":   "start: open shard 3: no space",
		"callback 7/1 was refused: host: the name is not known": "callback 7/1 was refused: host: the name is not known",
	} {
		if got := plain(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
