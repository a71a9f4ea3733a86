package bench

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wfrt/wfrt/pebblestore"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// BenchmarkThroughputBare is the limit that BenchmarkThroughput is held to: a Pebble batch with the keys and bytes that wfrt
// writes for a trigger, and for each step a bare wazero call of the same guest and the batch that wfrt writes for it, on all cores,
// durable when the clock stops. One operation is one run: a trigger and five steps.
func BenchmarkThroughputBare(b *testing.B) {
	rows := rowsOfOneRun(b)
	db, err := pebble.Open(b.TempDir(), &pebble.Options{MemTableSize: 32 << 20, MemTableStopWritesThreshold: 4, Logger: quiet{}})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	guests := make([]*bareGuest, goruntime.GOMAXPROCS(0))
	for i := range guests {
		guests[i] = newBareGuest(b)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var workers, syncer sync.WaitGroup
	stop := make(chan struct{})
	syncer.Go(func() {
		for {
			if err := db.LogData(nil, pebble.Sync); err != nil {
				b.Error(err)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for _, g := range guests {
		workers.Go(func() {
			batch := db.NewBatch()
			for {
				i := uint64(next.Add(1) - 1)
				if i >= batchesOfRun*uint64(b.N) {
					return
				}
				if i%batchesOfRun > 0 {
					if err := g.call(); err != nil {
						b.Error(err)
						return
					}
				}
				rows.put(batch, i)
				if err := db.Apply(batch, pebble.NoSync); err != nil {
					b.Error(err)
					return
				}
				batch.Reset()
			}
		})
	}
	workers.Wait()
	close(stop)
	syncer.Wait()
	if err := db.LogData(nil, pebble.Sync); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(5*float64(b.N)/b.Elapsed().Seconds(), "steps/s")
}

// batchesOfRun is the trigger and five steps.
const batchesOfRun = 6

// rows are the sizes of what a run writes: with the trigger and each step a record in the place of the last one, an event, a line
// of history, and an index row that replaces the last one; with the trigger its foreign ID.
type rows struct{ foreign, record, event, history, index row }

type row struct{ key, value []byte }

// rowsOfOneRun runs one workflow and reads the sizes from the store's files.
func rowsOfOneRun(b *testing.B) *rows {
	dir := b.TempDir()
	store, err := pebblestore.Open(pebblestore.Options{Dir: dir, Shards: 1})
	if err != nil {
		b.Fatal(err)
	}
	e, err := runtime.New(runtime.Options{Store: store})
	if err != nil {
		b.Fatal(err)
	}
	e.SetCatalog(native())
	if err := e.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, err := e.TriggerAndAwait(b.Context(), runtime.Trigger{
		Workflow: "lean5", ForeignID: "123456", Object: []byte(`{"order_id":"10248","customer_id":"VINET"}`),
	}, runtime.Until{}); err != nil {
		b.Fatal(err)
	}
	if err := e.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	db, err := pebble.Open(dir, &pebble.Options{ReadOnly: true, Logger: quiet{}})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	it, err := db.NewIter(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer it.Close()
	r := &rows{}
	for it.First(); it.Valid(); it.Next() {
		found := row{append([]byte(nil), it.Key()...), append([]byte(nil), it.Value()...)}
		switch kind := string(it.Key()[2:4]); kind { // docs/formats.md
		case "fi":
			r.foreign = found
		case "rc":
			r.record = found
		case "ev":
			r.event = found
		case "hi":
			r.history = found
		case "ix":
			r.index = found
		}
	}
	for _, found := range []row{r.foreign, r.record, r.event, r.history, r.index} {
		if len(found.key) < 8 {
			b.Fatalf("a kind of row is missing: %+v", r)
		}
	}
	return r
}

// put writes the rows of the nth batch of all. Its keys lie as those of wfrt do: six batches in a row make a run, whose ID is
// random, in one of 16 shards.
func (r *rows) put(batch *pebble.Batch, n uint64) {
	run, version := n/batchesOfRun, byte(n%batchesOfRun)
	id := run * 0x9e3779b97f4a7c15
	set := func(to row, at int, number uint64) []byte {
		op := batch.SetDeferred(len(to.key), len(to.value))
		copy(op.Key, to.key)
		copy(op.Value, to.value)
		binary.BigEndian.PutUint16(op.Key, uint16(run%16))
		binary.BigEndian.PutUint64(op.Key[at:], number)
		return op.Key
	}
	const idTail = 12 // the random half of a run ID, after shard, kind and the other half
	set(r.record, idTail, id)
	set(r.event, len(r.event.key)-8, n)
	set(r.history, idTail, id)[len(r.history.key)-5] = version
	index := len(r.index.key) - 8
	state := index - 9
	set(r.index, index, id)[state] = version
	if version == 0 {
		set(r.foreign, len(r.foreign.key)-8, id)
		return
	}
	gone := batch.SingleDeleteDeferred(len(r.index.key))
	copy(gone.Key, r.index.key)
	binary.BigEndian.PutUint16(gone.Key, uint16(run%16))
	binary.BigEndian.PutUint64(gone.Key[index:], id)
	gone.Key[state] = version - 1
}

// bareGuest is one instance of the lean guest under wazero alone.
type bareGuest struct {
	invoke api.Function
	object []byte
}

func newBareGuest(b *testing.B) *bareGuest {
	dir, err := lean()
	if err != nil {
		b.Fatal(err)
	}
	code, err := os.ReadFile(filepath.Join(dir, "lean.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	b.Cleanup(func() { _ = r.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	g := &bareGuest{object: []byte(`{"order_id":"10248","customer_id":"VINET"}`)}
	i32 := api.ValueTypeI32
	if _, err := r.NewHostModuleBuilder(abi.ImportModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(g.fieldRead), []api.ValueType{i32, i32, i32}, []api.ValueType{i32}).
		Export(abi.FuncFieldRead).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}),
		[]api.ValueType{i32, i32, i32}, nil).Export(abi.FuncFieldWrite).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}),
		[]api.ValueType{i32, i32, i32}, nil).Export(abi.FuncLog).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}),
		[]api.ValueType{i32, i32, i32, i32, i32, i32}, nil).Export(abi.FuncTrigger).
		Instantiate(ctx); err != nil {
		b.Fatal(err)
	}
	m, err := r.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig().WithStartFunctions(abi.ExportInitialize))
	if err != nil {
		b.Fatal(err)
	}
	g.invoke = m.ExportedFunction(abi.ExportInvoke)
	return g
}

func (g *bareGuest) fieldRead(_ context.Context, m api.Module, stack []uint64) {
	if abi.Field(stack[0]) == abi.FieldObject && int(stack[2]) >= len(g.object) {
		m.Memory().Write(uint32(stack[1]), g.object)
	}
	stack[0] = uint64(len(g.object))
}

// call runs the first handler of the module.
func (g *bareGuest) call() error {
	var stack [1]uint64
	return g.invoke.CallWithStack(context.Background(), stack[:])
}

// quiet is a Pebble logger that says nothing.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic("pebble: " + f)
}
