package rewrite_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/host/internal/rewrite"
)

// specification returns the directory with the WebAssembly specification's tests that wazero's module carries.
func specification(t testing.TB) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the specification's tests are not where they were: %v", err)
	}
	return dir
}

// command is a line of a test of the specification.
type command struct {
	Type       string
	Line       int
	Name       string
	Filename   string
	As         string
	ModuleType string `json:"module_type"`
	Text       string
	Action     struct {
		Type, Field, Module string
		Args                []value
	}
}

type value struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    any
}

// bits returns a value as wazero takes it.
func (v value) bits() []uint64 {
	one := func(text any, size int) uint64 {
		s, _ := text.(string)
		if strings.HasPrefix(s, "nan") || s == "null" || s == "" {
			return 0
		}
		if n, err := strconv.ParseInt(s, 10, size); err == nil {
			return uint64(n) & (1<<(size-1)<<1 - 1)
		}
		n, _ := strconv.ParseUint(s, 10, size)
		return n
	}
	switch v.Type {
	case "v128":
		size := map[string]int{"i8": 8, "i16": 16, "i32": 32, "f32": 32, "i64": 64, "f64": 64}[v.LaneType]
		var both [2]uint64
		for n, lane := range v.Value.([]any) {
			both[n*size/64] |= one(lane, size) << (n * size % 64)
		}
		return both[:]
	case "externref":
		if v.Value == "null" {
			return []uint64{0}
		}
		return []uint64{one(v.Value, 64) + 1}
	case "i32", "f32":
		return []uint64{one(v.Value, 32)}
	default:
		return []uint64{one(v.Value, 64)}
	}
}

// tally counts what became of the tests.
type tally struct {
	mu      sync.Mutex
	counts  map[string]int
	refusal map[string]int // why modules that are valid were refused: one of refusals
}

func (c *tally) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

// refusals of modules that are valid, by a part of the error.
var refusals = []string{"it imports the global", "it imports the memory", "it imports the table"}

func (c *tally) refused(t *testing.T, where string, err error) {
	t.Helper()
	for _, r := range refusals {
		if strings.Contains(err.Error(), r) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.refusal[r]++
			return
		}
	}
	t.Errorf("%s: refused: %v", where, err)
}

// sampled is how many files of tests there are for each that the short form runs.
const sampled = 8

// TestSpecification runs the specification's tests with and without the rewrite, and wants the same. In the short form it runs a
// sample of them.
func TestSpecification(t *testing.T) {
	root := specification(t)
	c := &tally{counts: make(map[string]int), refusal: make(map[string]int)}
	t.Run("all", func(t *testing.T) {
		for _, version := range []string{"v1", "v2"} {
			files, err := filepath.Glob(filepath.Join(root, version, "testdata", "*.json"))
			if err != nil || len(files) < 70 {
				t.Fatalf("%d files in %s, %v", len(files), version, err)
			}
			for n, file := range files {
				if testing.Short() && n%sampled != 0 {
					continue
				}
				t.Run(version+"/"+strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
					t.Parallel()
					newScript(t, c, file).run()
				})
			}
		}
	})
	for _, what := range slices.Sorted(maps.Keys(c.counts)) {
		t.Logf("%6d × %s", c.counts[what], what)
	}
	if testing.Short() {
		return
	}
	// Of modules that are valid, exactly these many are refused, for these reasons.
	want := map[string]int{"it imports the global": 73, "it imports the memory": 94, "it imports the table": 107}
	if !maps.Equal(c.refusal, want) {
		t.Errorf("refused: %v; want %v", c.refusal, want)
	}
	if c.counts["module"] < 2000 || c.counts["assert_return"] < 60_000 || c.counts["assert_trap"] < 2500 {
		t.Errorf("too little was tested: %v", c.counts)
	}
}

// script runs one file of tests in two engines.
type script struct {
	*testing.T
	tally     *tally
	dir       string
	commands  []command
	original  *engine
	rewritten *engine
	exact     *engine // charges for each instruction
	last      *pair
	named     map[string]*pair
}

// pair is a module in both engines.
type pair struct {
	original, rewritten api.Module
	exact               api.Module // nil: it was refused
	binary              []byte
	memory              bool // the original has one
	refused             bool // the module in the engine for rewritten ones is the original
}

func newScript(t *testing.T, c *tally, file string) *script {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var content struct{ Commands []command }
	if err := json.Unmarshal(text, &content); err != nil {
		t.Fatal(err)
	}
	s := &script{
		T: t, tally: c, dir: filepath.Dir(file), commands: content.Commands, named: make(map[string]*pair),
		original: newEngine(t), rewritten: newEngine(t), exact: newEngine(t),
	}
	s.rewritten.slice = 100
	imports := s.read(filepath.Join("..", "..", "testdata", "spectest.wasm"))
	for _, e := range []*engine{s.original, s.rewritten, s.exact} {
		if _, err := e.InstantiateWithConfig(t.Context(), imports, wazero.NewModuleConfig()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *script) read(name string) []byte {
	s.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.Fatal(err)
	}
	return raw
}

func (s *script) run() {
	for n := range s.commands {
		c := &s.commands[n]
		switch c.Type {
		case "module":
			as := ""
			if n+1 < len(s.commands) && s.commands[n+1].Type == "register" {
				as = s.commands[n+1].As
			}
			s.module(c, as)
		case "register":
		case "assert_return", "assert_trap", "assert_exhaustion", "action":
			s.act(c)
		case "assert_invalid", "assert_malformed":
			if c.ModuleType != "text" {
				s.invalid(c)
			}
		case "assert_unlinkable", "assert_uninstantiable":
			s.unlinkable(c)
		default:
			s.Errorf("line %d: a command of the type %q", c.Line, c.Type)
		}
	}
	for _, p := range s.named {
		s.same(p)
	}
	if s.last != nil {
		s.same(s.last)
	}
}

// rewrite rewrites a module that is given a memory when it has none.
func (s *script) rewrite(raw []byte) ([]byte, error) {
	m, err := rewrite.Rewrite(withMemory(raw), wide)
	if err != nil {
		return nil, err
	}
	return m.Binary, nil
}

func (s *script) instantiate(e *engine, binary []byte, as string) (api.Module, error) {
	return e.InstantiateWithConfig(s.Context(), binary, wazero.NewModuleConfig().WithName(as).WithStartFunctions())
}

func (s *script) module(c *command, as string) {
	raw := s.read(c.Filename)
	p := &pair{memory: len(withMemory(raw)) == len(raw)}
	var err error
	if p.original, err = s.instantiate(s.original, raw, as); err != nil {
		s.Errorf("line %d: %s: %v", c.Line, c.Filename, err)
		return
	}
	s.last = p
	if c.Name != "" {
		s.named[c.Name] = p
	}
	if p.binary, err = s.rewrite(raw); err != nil {
		s.tally.refused(s.T, fmt.Sprintf("line %d: %s", c.Line, c.Filename), err)
		p.refused, p.binary = true, raw // and takes part as it is, since others import from it
	}
	if p.rewritten, err = s.instantiate(s.rewritten, p.binary, as); err != nil {
		s.Errorf("line %d: %s: rewritten: %v", c.Line, c.Filename, err)
		return
	}
	exact := raw
	if !p.refused {
		s.tally.add("module")
		m, err := rewrite.RewriteExactly(withMemory(raw), wide)
		if err != nil {
			s.Fatal(err)
		}
		exact = m.Binary
	}
	if p.exact, err = s.instantiate(s.exact, exact, as); err != nil {
		s.Errorf("line %d: %s: charged exactly: %v", c.Line, c.Filename, err)
	}
}

func (s *script) act(c *command) {
	p := s.last
	if c.Action.Module != "" {
		p = s.named[c.Action.Module]
	}
	if p == nil || p.rewritten == nil {
		s.Fatalf("line %d: no module", c.Line)
	}
	if p.refused {
		s.tally.add(c.Type + " of a refused module")
	} else {
		s.tally.add(c.Type)
	}
	if c.Action.Type == "get" {
		a, b := p.original.ExportedGlobal(c.Action.Field), p.rewritten.ExportedGlobal(c.Action.Field)
		if a.Get() != b.Get() {
			s.Errorf("line %d: global %s: %v and %v", c.Line, c.Action.Field, a, b)
		}
		return
	}
	var arguments []uint64
	for _, a := range c.Action.Args {
		arguments = append(arguments, a.bits()...)
	}
	rewritten := p.rewritten
	if c.Type == "assert_exhaustion" { // an instance that was ended is no longer one
		var err error
		if rewritten, err = s.instantiate(s.rewritten, p.binary, ""); err != nil {
			s.Fatal(err)
		}
		defer func() { _ = rewritten.Close(s.Context()) }()
	}
	if c.Type != "assert_exhaustion" {
		defer s.charged(c, p, arguments)()
	}
	want, wantErr := p.original.ExportedFunction(c.Action.Field).Call(s.Context(), slices.Clone(arguments)...)
	got, err := rewritten.ExportedFunction(c.Action.Field).Call(s.Context(), slices.Clone(arguments)...)
	if strings.Contains(s.dir, "v2") && (wantErr != nil) != (c.Type == "assert_trap" || c.Type == "assert_exhaustion") {
		s.Errorf("line %d: %s of the original: %v", c.Line, c.Action.Field, wantErr)
	}
	if c.Type == "assert_exhaustion" {
		if !errors.Is(err, errDepth) && !strings.Contains(fmt.Sprint(err), "stack overflow") {
			s.Errorf("line %d: %s: %v", c.Line, c.Action.Field, err)
		}
		return
	}
	if firstLine(err) != firstLine(wantErr) {
		s.Errorf("line %d: %s: the error %q became %q", c.Line, c.Action.Field, firstLine(wantErr), firstLine(err))
		return
	}
	types := rewritten.ExportedFunction(c.Action.Field).Definition().ResultTypes()
	if !slices.Equal(pointless(want, types), pointless(got, types)) {
		s.Errorf("line %d: %s: the result %x became %x", c.Line, c.Action.Field, want, got)
	}
}

// charged begins to count the fuel of a call, and ends by comparing it with the instructions that are run.
func (s *script) charged(c *command, p *pair, arguments []uint64) func() {
	if p.refused {
		_, _ = p.exact.ExportedFunction(c.Action.Field).Call(s.Context(), slices.Clone(arguments)...)
		return func() {}
	}
	s.rewritten.reset(p.rewritten)
	s.exact.reset(p.exact)
	_, err := p.exact.ExportedFunction(c.Action.Field).Call(s.Context(), slices.Clone(arguments)...)
	return func() {
		run, charged := s.exact.used(p.exact), s.rewritten.used(p.rewritten)
		if run > charged || err == nil && charged > run*(1+rewrite.Slack)+rewrite.Slack {
			s.Errorf("line %d: %s: %d instructions were run and %d charged", c.Line, c.Action.Field, run, charged)
		}
		s.tally.mu.Lock()
		defer s.tally.mu.Unlock()
		s.tally.counts["instructions run"] += int(run)
		s.tally.counts["instructions charged"] += int(charged)
	}
}

// pointless replaces references to functions, which differ by instance, by whether they are null.
func pointless(results []uint64, types []api.ValueType) []uint64 {
	const funcref, v128 = 0x70, 0x7b
	at := 0
	for _, t := range types {
		if t == funcref && at < len(results) && results[at] != 0 {
			results[at] = 1
		}
		if at++; t == v128 {
			at++
		}
	}
	return results
}

func firstLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// invalid wants a module that is refused to be refused when rewritten.
func (s *script) invalid(c *command) {
	raw := s.read(c.Filename)
	if compiled, err := s.original.CompileModule(s.Context(), raw); err == nil {
		_ = compiled.Close(s.Context())
		s.tally.add(c.Type + ", which WebAssembly 2.0 allows")
		return
	}
	if !strings.Contains(c.Text, "memory") && !strings.Contains(c.Text, "alignment") {
		raw = withMemory(raw)
	}
	m, err := rewrite.Rewrite(raw, wide)
	if err != nil {
		s.tally.add(c.Type + ", by the rewrite")
		return
	}
	if compiled, err := s.rewritten.CompileModule(s.Context(), m.Binary); err == nil {
		_ = compiled.Close(s.Context())
		s.Errorf("line %d: %s (%s) became valid", c.Line, c.Filename, c.Text)
	}
	s.tally.add(c.Type + ", by the engine")
}

// unlinkable wants a module that traps or misses something to do so when rewritten.
func (s *script) unlinkable(c *command) {
	if c.ModuleType == "text" {
		return
	}
	raw := s.read(c.Filename)
	_, wantErr := s.instantiate(s.original, raw, "")
	binary, err := s.rewrite(raw)
	if err != nil {
		s.tally.refused(s.T, fmt.Sprintf("line %d: %s", c.Line, c.Filename), err)
		binary = raw // and takes part as it is, since it may write before it traps
	} else {
		s.tally.add(c.Type)
	}
	_, _ = s.instantiate(s.exact, raw, "")
	if _, err := s.instantiate(s.rewritten, binary, ""); (err == nil) != (wantErr == nil) {
		s.Errorf("line %d: %s: %v became %v", c.Line, c.Filename, wantErr, err)
	}
}

// same wants a module to have the same memory and the same exported globals in both engines.
func (s *script) same(p *pair) {
	if a, b := p.original.Memory(), p.rewritten.Memory(); p.memory && a.Size() > 0 {
		x, _ := a.Read(0, a.Size())
		if y, _ := b.Read(0, b.Size()); !bytes.Equal(x, y) {
			s.Errorf("memories of %d and %d bytes differ", len(x), len(y))
		}
		s.tally.add("memory compared")
	}
}

// withMemory gives a module without a memory one of no pages, or returns it as it is when it has one, or imports one, or is
// too malformed to tell.
func withMemory(raw []byte) []byte {
	const custom, memory = 0, 5
	if len(raw) < 8 {
		return raw
	}
	at := 8
	for at < len(raw) {
		size, n := binary.Uvarint(raw[at+1:])
		if n <= 0 || size > uint64(len(raw)-at-1-n) {
			return raw
		}
		if raw[at] == memory && size == 1 && raw[at+1+n] == 0 {
			return slices.Concat(raw[:at], []byte{memory, 3, 1, 0, 0}, raw[at+2+n:])
		}
		if raw[at] == memory {
			return raw
		}
		if id := raw[at]; id != custom && id > memory {
			break
		}
		if raw[at] == 2 && bytes.Contains(raw[at:at+1+n+int(size)], []byte("memory\x02")) {
			return raw
		}
		at += 1 + n + int(size)
	}
	return slices.Concat(raw[:at], []byte{memory, 3, 1, 0, 0}, raw[at:])
}
