// Package hostile is a gallery of plugins that try to harm the server that runs them. Tests and benchmarks serve them beside a plugin
// that does as it should.
package hostile

import "math/rand/v2"

// Guest is one plugin of the gallery.
type Guest struct {
	// Name is the plugin's name, and that of its workflow, whose one step is of the status "bad".
	Name string
	// Does says what it tries.
	Does string
	// Binary is the module.
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
	wasi := func(name, parameters string) [][3]string {
		return [][3]string{{"wasi_snapshot_preview1", name, parameters}}
	}
	skip := number(3)

	add("loop", "computes without end", "fuel: used ", module{invoke: code(loop, again, end, skip)})
	twice := module{invoke: code(number(60), call(fnOwn+2))}
	twice.helper = code( // f(n) is n == 0 ? 0 : f(n−1) + f(n−1)
		get(0), []byte{0x04, 0x7f}, get(0), number(1), minus, call(twice.helperIndex()), get(0), number(1), minus, call(twice.helperIndex()), plus,
		[]byte{0x05}, number(0), end)
	add("exponential", "calls itself 2^60 times without a loop", "fuel: used ", twice)
	deep := module{invoke: code(number(0), call(fnOwn+2))}
	deep.helper = code(get(0), call(deep.helperIndex()), number(1), plus)
	add("deep", "calls itself without end", "call_depth: more than ", deep)
	add("memory", "takes memory until there is none", "memory_bytes: it asked for ", module{
		invoke: code(loop, number(1), grow, number(-1), []byte{0x47}, againIf, end, unreachable),
	})
	add("output", "writes an object of 8 MiB", "output_bytes: new_object: 8,388,608 bytes are more than the limit of ", module{
		invoke: code(number(126), grow, drop, number(64), number(0), number(8<<20), call(fnWrite), skip),
	})
	add("logs", "logs without end", "host_calls: used ", module{
		invoke: code(loop, number(0), number(dataAt), number(100), call(fnLog), again, end, skip), data: string(make([]byte, 100)),
	})
	add("copies", "has its whole memory read by the host without end", "host_bytes: used ", module{
		invoke: code(loop, number(0), number(0), number(pages<<16), call(fnLog), again, end, skip),
	})
	add("flood", "calls the host without end", "host_calls: used ", module{
		invoke: code(loop, number(1), number(0), number(0), call(fnRead), drop, again, end, skip),
	})
	add("outside-memory", "reads beyond its memory", "out of bounds memory access", module{invoke: code(number(-8), load)})
	add("outside-table", "calls what its table does not have", "invalid table access", module{
		invoke: code(number(7), number(1000), []byte{0x11, 3, 0}), // the type of wfrt_invoke
	})
	add("pointer-write", "gives the host a place beyond its memory to read from", "field_write: 16 bytes at 0xfffffff8 are outside", module{
		invoke: code(number(64), number(-8), number(16), call(fnWrite), skip),
	})
	add("pointer-read", "gives the host a place beyond its memory to write to", "field_read of object: ", module{
		invoke: code(number(1), number(-1), number(1000), call(fnRead)),
	})
	add("sleep", "sleeps for a hundred years", "timeout: it reached the deadline of the invocation", module{
		imports: wasi("poll_oneoff", "iiii"),
		invoke:  code(number(dataAt), number(0), number(1), number(512), call(fnOwn)),
		data:    string(make([]byte, 24)) + "\x00\x00\x00\x00\x00\x00\x00\x28" + string(make([]byte, 16)),
	})
	add("exit", "exits with code 0", "it exited with code 0", module{
		imports: wasi("proc_exit", "i"), invoke: code(number(0), call(fnOwn), skip),
	})
	add("panic", "panics as a Go program does", "panic: the cat is out (the plugin trapped: unreachable", module{
		imports: wasi("fd_write", "iiii"),
		invoke:  code(number(2), number(dataAt), number(1), number(512), call(fnOwn), drop, unreachable),
		data:    "\x08\x20\x00\x00\x16\x00\x00\x00panic: the cat is out\n",
	})
	add("trap", "traps", "the plugin trapped: unreachable", module{invoke: unreachable})
	add("functions", "has 100,000 functions", "the plugin trapped: unreachable", module{invoke: unreachable, functions: 100_000})
	endlessStart := module{invoke: skip, start: code(loop, again, end)}
	refused("start", "has a start function that does not end", "fuel: used ", endlessStart.bytes(manifestOf("start")))
	long := module{invoke: skip, manifest: code(number(1600), grow, drop, number(68), number(0), number(100<<20), call(fnWrite))}
	refused("manifest", "has a manifest of 100 MiB", "manifest: 104857600 bytes are more than the limit of 1048576", long.bytes(""))
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same every time
	noise := make([]byte, 1<<16)
	for n := range noise {
		noise[n] = byte(random.Uint32())
	}
	refused("noise", "is 64 KiB of random bytes", "it is not a WebAssembly module", noise)
	refused("noisy-code", "is random bytes that begin as a module", "section", append([]byte("\x00asm\x01\x00\x00\x00"), noise...))
	return all
}
