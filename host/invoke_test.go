package host

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

func TestInvokeEchoes(t *testing.T) {
	r := serveGuest(t, echoGuest())
	out := r.invoke("door", "closed", `{"n":0}`)
	if out.Kind != runtime.OutcomeTo || out.Status != "open" || !out.Changed || string(out.Object) != `{"n":1}` {
		t.Fatalf("outcome %+v, object %s; want To open with n counted up", out, out.Object)
	}
}

func TestInvokeDoesNotAllocate(t *testing.T) {
	r := serveGuest(t, echoGuest())
	in := r.invocation("door", "closed", `{"n":0}`)
	var out runtime.Outcome
	ctx := context.Background()
	perCall := testing.AllocsPerRun(100, func() {
		out.Reset()
		if err := in.Handler.Invoker.Invoke(ctx, in, &out); err != nil || out.Kind != runtime.OutcomeTo {
			t.Fatal(err, out)
		}
	})
	if perCall != 0 {
		t.Errorf("an invocation allocates %v times; want none", perCall)
	}
}

// BenchmarkInvoke measures one invocation through the host beside the bare wazero call of the same function of the same
// module, with host functions that do nothing but copy. Rounds of both alternate, so that the difference is of the same
// machine.
func BenchmarkInvoke(b *testing.B) {
	const object = `{"n":0,"lines":[{"sku":"A-1","quantity":2,"cents":1250},{"sku":"B-7","quantity":1,"cents":99}]}`
	r := serveGuest(b, echoGuest())
	in := r.invocation("door", "closed", object)
	bare := bareGuest(b, echoGuest().bytes(), []byte(object))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out runtime.Outcome
	const round = 1000
	var inHost, inBare time.Duration
	rounds := 0
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		for range round {
			out.Reset()
			if err := in.Handler.Invoker.Invoke(ctx, in, &out); err != nil || out.Kind != runtime.OutcomeTo {
				b.Fatal(err, out.Reason)
			}
		}
		middle := time.Now()
		for range round {
			bare()
		}
		inHost, inBare = inHost+middle.Sub(began), inBare+time.Since(middle)
		rounds++
	}
	perHost, perBare := float64(inHost)/float64(rounds*round), float64(inBare)/float64(rounds*round)
	b.ReportMetric(0, "ns/op") // of a round; the figures of one invocation follow
	b.ReportMetric(perHost, "ns/invocation")
	b.ReportMetric(perBare, "ns/bare")
	b.ReportMetric(perHost-perBare, "ns/overhead")
	b.ReportMetric(perHost/perBare, "×bare")
}

// bareGuest returns a function that calls wfrt_invoke in a plain wazero runtime.
func bareGuest(b *testing.B, raw, object []byte) func() {
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	b.Cleanup(func() { _ = r.Close(ctx) })
	written := make([]byte, 0, 1024)
	builder := r.NewHostModuleBuilder(abi.ImportModule)
	functions := map[string]api.GoModuleFunc{
		abi.FuncFieldRead: func(_ context.Context, m api.Module, stack []uint64) {
			m.Memory().Write(uint32(stack[1]), object)
			stack[0] = uint64(len(object))
		},
		abi.FuncFieldWrite: func(_ context.Context, m api.Module, stack []uint64) {
			v, _ := m.Memory().Read(uint32(stack[1]), uint32(stack[2]))
			written = append(written[:0], v...)
		},
		abi.FuncLog:     func(context.Context, api.Module, []uint64) {},
		abi.FuncTrigger: func(context.Context, api.Module, []uint64) {},
	}
	for _, f := range fieldFunctions() {
		builder.NewFunctionBuilder().WithGoModuleFunction(functions[f.name], f.parameterTypes(), f.resultTypes()).Export(f.name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		b.Fatal(err)
	}
	m, err := r.InstantiateWithConfig(ctx, raw, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		b.Fatal(err)
	}
	invoke := m.ExportedFunction(abi.ExportInvoke)
	stack := []uint64{0}
	return func() {
		stack[0] = 1
		if err := invoke.CallWithStack(ctx, stack); err != nil || stack[0] != 1 {
			b.Fatal(err, stack)
		}
	}
}

// BenchmarkInvokeGo is a Go guest with encoding/json.
func BenchmarkInvokeGo(b *testing.B) {
	r := serveGoGuest(b)
	in := r.invocation("mood", "asked", `{"do":"nothing","order":"10248"}`)
	ctx := context.Background()
	var out runtime.Outcome
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := in.Handler.Invoker.Invoke(ctx, in, &out); err != nil || out.Kind != runtime.OutcomeTo {
			b.Fatal(err, out.Reason)
		}
	}
}

// BenchmarkLoad measures a load of a Go guest of about 3 MB up to its first instance: without a compilation cache, and with
// one.
func BenchmarkLoad(b *testing.B) {
	raw, err := goGuest()
	if err != nil {
		b.Fatal(err)
	}
	cache := b.TempDir()
	for _, c := range []struct{ name, cache string }{{"cold", ""}, {"cached", cache}} {
		b.Run(c.name, func(b *testing.B) {
			r := newRig(b, func(o *Options) { o.CacheDir = c.cache })
			load := func() {
				m, err := r.build(context.Background(), &source{file: "guest.wasm", raw: raw, digest: sha256.Sum256(raw)})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				m.retire()
				m.freeWhenDrained()
				b.StartTimer()
			}
			if c.cache != "" {
				load() // fills it
			}
			b.ReportAllocs()
			for b.Loop() {
				load()
			}
		})
	}
	b.Run("instance", func(b *testing.B) {
		r := newRig(b, func(o *Options) { o.CacheDir = cache })
		m, err := r.build(context.Background(), &source{file: "guest.wasm", raw: raw, digest: sha256.Sum256(raw)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { m.retire(); m.freeWhenDrained() })
		b.ReportAllocs()
		for b.Loop() {
			i, err := m.newInstance(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			i.close()
		}
	})
}
