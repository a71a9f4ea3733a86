// Package hostile is a gallery of plugins that try to harm the server that runs them. Tests and benchmarks serve them beside a plugin
// that does as it should. What is written here, instruction by instruction, is what is run: there is no other source.
package hostile

import (
	"bytes"
	"math/rand/v2"
	"strings"

	"github.com/wfrt/wfrt/internal/asm"
)

// Numbers of docs/abi.md.
const (
	fieldObject    = 1
	fieldNewObject = 64
	fieldManifest  = 68
	levelInfo      = 0
	codeSkip       = 3
)

// Guest is one plugin of the gallery.
type Guest struct {
	// Name is the plugin's name, and that of its workflow, whose one step is of the status "bad".
	Name string
	// Does says what it tries.
	Does string
	// Binary is the module, assembled from the source in this file.
	Binary []byte
	// Refused says that it is never served. Otherwise its run ends Paused.
	Refused bool
	// Reason is a part of the reason of the pause, or of the refusal.
	Reason string
}

// Gallery returns the guests, in an order that is always the same. The reasons hold for a server whose limits of one invocation are
// a second or more of time, and less than 1,000,000,000 of fuel.
func Gallery() []Guest {
	var all []Guest
	add := func(name, does, reason string, m module) {
		all = append(all, Guest{Name: name, Does: does, Reason: reason, Binary: m.bytes(manifestOf(name))})
	}
	refused := func(name, does, reason string, binary []byte) {
		all = append(all, Guest{Name: name, Does: does, Reason: reason, Binary: binary, Refused: true})
	}
	wasi := func(name, parameters, results string) []asm.Import {
		return []asm.Import{{From: "wasi_snapshot_preview1", Name: name, Parameters: parameters, Results: results}}
	}
	code := asm.Code
	skip := asm.I32(codeSkip)

	add("loop", "computes without end", "fuel: used ", module{
		invoke: code(asm.Loop, asm.Br(0), asm.End, skip),
	})
	add("exponential", "calls itself 2^60 times without a loop", "fuel: used ", module{
		invoke: code(asm.I32(60), asm.Call(fnMore)),
		more: []asm.Function{{Parameters: "i", Results: "i", Code: code( // f(n) is n == 0 ? 0 : f(n−1) + f(n−1)
			asm.Get(0), asm.IfI32,
			asm.Get(0), asm.I32(1), asm.I32Sub, asm.Call(fnMore),
			asm.Get(0), asm.I32(1), asm.I32Sub, asm.Call(fnMore),
			asm.I32Add,
			asm.Else, asm.I32(0), asm.End,
		)}},
	})
	add("deep", "calls itself without end", "call_depth: more than ", module{
		invoke: code(asm.I32(0), asm.Call(fnMore)),
		more:   []asm.Function{{Parameters: "i", Results: "i", Code: code(asm.Get(0), asm.Call(fnMore), asm.I32(1), asm.I32Add)}},
	})
	add("memory", "takes memory until there is none", "memory_bytes: it asked for ", module{
		invoke: code(asm.Loop, asm.I32(1), asm.MemoryGrow, asm.I32(-1), asm.I32Ne, asm.BrIf(0), asm.End, asm.Unreachable),
	})
	add("output", "writes an object of 8 MiB", "output_bytes: new_object: 8,388,608 bytes are more than the limit of ", module{
		invoke: code(
			asm.I32(8<<20>>16-pages), asm.MemoryGrow, asm.Drop,
			asm.I32(fieldNewObject), asm.I32(0), asm.I32(8<<20), asm.Call(fieldWrite), skip,
		),
	})
	add("logs", "logs without end", "host_calls: used ", module{
		invoke: code(asm.Loop, asm.I32(levelInfo), asm.I32(dataAt), asm.I32(100), asm.Call(log), asm.Br(0), asm.End, skip),
		data:   string(make([]byte, 100)),
	})
	add("copies", "has its whole memory read by the host without end", "host_bytes: used ", module{
		invoke: code(asm.Loop, asm.I32(levelInfo), asm.I32(0), asm.I32(pages<<16), asm.Call(log), asm.Br(0), asm.End, skip),
	})
	add("flood", "calls the host without end", "host_calls: used ", module{
		invoke: code(asm.Loop, asm.I32(fieldObject), asm.I32(0), asm.I32(0), asm.Call(fieldRead), asm.Drop, asm.Br(0), asm.End, skip),
	})
	add("outside-memory", "reads beyond its memory", "out of bounds memory access", module{
		invoke: code(asm.I32(-8), asm.I32Load),
	})
	add("outside-table", "calls what its table does not have", "invalid table access", module{
		invoke: code(asm.I32(1), asm.I32(1000), asm.CallIndirect(typeInvoke)),
	})
	add("pointer-write", "gives the host a place beyond its memory to read from", "field_write: 16 bytes at 0xfffffff8 are outside", module{
		invoke: code(asm.I32(fieldNewObject), asm.I32(-8), asm.I32(16), asm.Call(fieldWrite), skip),
	})
	add("pointer-read", "gives the host a place beyond its memory to write to", "field_read of object: ", module{
		invoke: code(asm.I32(fieldObject), asm.I32(-1), asm.I32(1000), asm.Call(fieldRead)),
	})
	add("sleep", "sleeps for a hundred years", "timeout: it reached the deadline of the invocation", module{
		imports: wasi("poll_oneoff", "iiii", "i"),
		invoke:  code(asm.I32(dataAt), asm.I32(0), asm.I32(1), asm.I32(512), asm.Call(fnImport)),
		data:    string(make([]byte, 24)) + "\x00\x00\x00\x00\x00\x00\x00\x28" + string(make([]byte, 16)), // one subscription: 0x28 << 56 ns
	})
	add("exit", "exits with code 0", "it exited with code 0", module{
		imports: wasi("proc_exit", "i", ""),
		invoke:  code(asm.I32(0), asm.Call(fnImport), skip),
	})
	add("panic", "panics as a Go program does", "panic: the cat is out (the plugin trapped: unreachable", module{
		imports: wasi("fd_write", "iiii", "i"),
		invoke:  code(asm.I32(2), asm.I32(dataAt), asm.I32(1), asm.I32(512), asm.Call(fnImport), asm.Drop, asm.Unreachable),
		data:    "\x08\x20\x00\x00\x16\x00\x00\x00panic: the cat is out\n", // one vector: 22 bytes at dataAt + 8
	})
	add("trap", "traps", "the plugin trapped: unreachable", module{invoke: asm.Unreachable})
	add("functions", "has 100,000 functions", "the plugin trapped: unreachable", module{
		invoke: asm.Unreachable,
		more:   make([]asm.Function, 100_000),
	})
	endlessStart := module{invoke: skip, more: []asm.Function{{Code: code(asm.Loop, asm.Br(0), asm.End), Start: true}}}
	refused("start", "has a start function that does not end", "fuel: used ", endlessStart.bytes(manifestOf("start")))
	long := module{invoke: skip, manifest: code(
		asm.I32(100<<20>>16), asm.MemoryGrow, asm.Drop,
		asm.I32(fieldManifest), asm.I32(0), asm.I32(100<<20), asm.Call(fieldWrite),
	)}
	refused("manifest", "has a manifest of 100 MiB", "manifest: 104857600 bytes are more than the limit of 1048576", long.bytes(""))
	const locals, loops = 400, 100
	nested := asm.Function{Parameters: strings.Repeat("i", locals), Code: bytes.Repeat(asm.Loop, loops)}
	for l := range locals {
		nested.Code = code(nested.Code, asm.Get(l), asm.Drop)
	}
	nested.Code = code(nested.Code, bytes.Repeat(code(asm.I32(0), asm.BrIf(0), asm.End), loops))
	slow := module{invoke: skip, more: []asm.Function{nested}}
	refused("compiler", "takes the compiler a quarter of a minute for two kilobytes", "would take too long to compile", slow.bytes(manifestOf("compiler")))
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same every time
	noise := make([]byte, 1<<16)
	for n := range noise {
		noise[n] = byte(random.Uint32())
	}
	refused("noise", "is 64 KiB of random bytes", "it is not a WebAssembly module", noise)
	refused("noisy-code", "is random bytes that begin as a module", "section", append([]byte(asm.Header), noise...))
	return all
}
