package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/wfrt/wfrt/host/internal/rewrite"
	"github.com/wfrt/wfrt/internal/asm"
	"github.com/wfrt/wfrt/runtime"
	"github.com/wfrt/wfrt/sdk/abi"
)

// Where callers keep things in their memory of callerBytes.
const (
	callerBytes = 1 << 16
	cellsAt     = 1 << 12       // hostCall.cells, 8 bytes each
	wordsAt     = cellsAt + 256 // callerWords
	outAt       = cellsAt + 1<<12
	answerAt    = outAt + 1<<12
)

// callerWords are what calls name, each at a place of its own.
const callerWords = "paint   10248   {\"n\":1} dry     key     kind=a\n text/plain      GET http://there/"

const (
	paintAt = wordsAt + 8*iota
	idAt
	jsonAt
	dryAt
	keyAt
	labelsAt
	textPlainAt
	_
	requestAt
)

// hostCall is a call of a host function that is as it should be, and where it has the host read and write.
type hostCall struct {
	cells   []int64 // the arguments, and what lies in memory behind them
	answers int64   // 0 of a function that answers nothing
	stopped string  // it ends the invocation, with this; "": it does not
	spans   []span
}

// span is a piece of the guest's memory that a call names.
type span struct {
	pointer, length int  // the cells that hold its place and its length; the same: in 4 bytes each
	fixed           int  // its length, if no cell holds that
	written         bool // the host writes to it
}

func read(pointer, length int) span { return span{pointer: pointer, length: length} }
func written(pointer, fixed int) span {
	return span{pointer: pointer, length: -1, fixed: fixed, written: true}
}

// of returns where the span begins and ends by these cells.
func (s *span) of(cells []int64) (from, to uint64) {
	from = uint64(uint32(cells[s.pointer]))
	switch s.length {
	case -1:
		return from, from + uint64(s.fixed)
	case s.pointer:
		return from, from + uint64(cells[s.pointer])>>32
	default:
		return from, from + uint64(uint32(cells[s.length]))
	}
}

// inOneCell is a place and a length in 4 bytes each.
func inOneCell(place, size int64) int64 { return place | size<<32 }

func answering(errno int64, cells ...int64) hostCall { return hostCall{cells: cells, answers: errno} }

// hostCalls has a call of every function that a guest can import.
func hostCalls() map[string]hostCall {
	target := []int64{paintAt, 5, idAt, 5}
	return map[string]hostCall{
		"wfrt_v1.field_read":  {cells: []int64{int64(abi.FieldWorkflow), outAt, 64}, answers: 4, spans: []span{written(1, 4)}},
		"wfrt_v1.field_write": {cells: []int64{int64(abi.FieldReason), dryAt, 3}, spans: []span{read(1, 2)}},
		"wfrt_v1.log":         {cells: []int64{0, dryAt, 3}, spans: []span{read(1, 2)}},
		"wfrt_v1.trigger": {
			cells: append(target[:4:4], jsonAt, 7), spans: []span{read(0, 1), read(2, 3), read(4, 5)},
		},
		"wfrt_v1.callback": {
			cells: append(target[:4:4], dryAt, 3, jsonAt, 7),
			spans: []span{read(0, 1), read(2, 3), read(4, 5), read(6, 7)},
		},
		"wfrt_v1.http_send": {
			cells: []int64{requestAt, 17, jsonAt, 7, 60_000}, answers: 200, spans: []span{read(0, 1), read(2, 3)},
		},
		"wfrt_v1.secret_read": {
			cells: []int64{keyAt, 3, outAt, 64}, answers: 6, spans: []span{read(0, 1), written(2, 6)},
		},
		"wfrt_v1.emit": {
			cells: []int64{paintAt, 5, textPlainAt, 10, jsonAt, 7}, spans: []span{read(0, 1), read(2, 3), read(4, 5)},
		},
		"wfrt_v1.measure": {
			cells: []int64{1, paintAt, 5, labelsAt, 7, 1}, spans: []span{read(1, 2), read(3, 4)},
		},

		"wasi.args_get":            answering(wasiOK, outAt, outAt+8),
		"wasi.args_sizes_get":      {cells: []int64{outAt, outAt + 8}, spans: []span{written(0, 4), written(1, 4)}},
		"wasi.clock_res_get":       {cells: []int64{0, outAt}, spans: []span{written(1, 8)}},
		"wasi.clock_time_get":      {cells: []int64{0, 0, outAt}, spans: []span{written(2, 8)}},
		"wasi.environ_get":         answering(wasiOK, outAt, outAt+8),
		"wasi.environ_sizes_get":   {cells: []int64{outAt, outAt + 8}, spans: []span{written(0, 4), written(1, 4)}},
		"wasi.fd_close":            answering(wasiOK, 1),
		"wasi.fd_fdstat_get":       {cells: []int64{1, outAt}, spans: []span{written(1, 24)}},
		"wasi.fd_fdstat_set_flags": answering(wasiOK, 1, 0),
		"wasi.fd_seek":             answering(wasiSPIPE, 1, 0, 0, outAt),
		"wasi.fd_write": {
			cells: []int64{1, cellsAt + 4*8, 2, outAt, inOneCell(paintAt, 5), inOneCell(dryAt, 3)},
			spans: []span{{pointer: 1, length: -1, fixed: 16}, read(4, 4), read(5, 5), written(3, 4)},
		},
		"wasi.poll_oneoff": { // one subscription: a mark, the kind, the clock, how long, how exactly, flags
			cells: []int64{cellsAt + 4*8, outAt, 1, outAt + 32, 7, 0, 0, 1000, 0, 0},
			spans: []span{{pointer: 0, length: -1, fixed: 48}, written(1, 32), written(3, 4)},
		},
		"wasi.proc_exit":   {cells: []int64{3}, stopped: "it exited with code 3"},
		"wasi.random_get":  {cells: []int64{outAt, 64}, spans: []span{{pointer: 0, length: 1, written: true}}},
		"wasi.sched_yield": answering(wasiOK),

		"wasi.fd_advise":               answering(wasiBADF, 3, 0, 1, 0),
		"wasi.fd_allocate":             answering(wasiBADF, 3, 0, 1),
		"wasi.fd_datasync":             answering(wasiBADF, 3),
		"wasi.fd_fdstat_set_rights":    answering(wasiBADF, 3, 0, 0),
		"wasi.fd_filestat_get":         answering(wasiBADF, 3, outAt),
		"wasi.fd_filestat_set_size":    answering(wasiBADF, 3, 1),
		"wasi.fd_filestat_set_times":   answering(wasiBADF, 3, 0, 0, 0),
		"wasi.fd_pread":                answering(wasiBADF, 3, cellsAt, 1, 0, outAt),
		"wasi.fd_prestat_dir_name":     answering(wasiBADF, 3, outAt, 8),
		"wasi.fd_prestat_get":          answering(wasiBADF, 3, outAt),
		"wasi.fd_pwrite":               answering(wasiBADF, 3, cellsAt, 1, 0, outAt),
		"wasi.fd_read":                 answering(wasiBADF, 0, cellsAt, 1, outAt),
		"wasi.fd_readdir":              answering(wasiBADF, 3, outAt, 64, 0, outAt+64),
		"wasi.fd_renumber":             answering(wasiBADF, 1, 3),
		"wasi.fd_sync":                 answering(wasiBADF, 1),
		"wasi.fd_tell":                 answering(wasiBADF, 1, outAt),
		"wasi.path_create_directory":   answering(wasiNOSYS, 3, dryAt, 3),
		"wasi.path_filestat_get":       answering(wasiNOSYS, 3, 0, dryAt, 3, outAt),
		"wasi.path_filestat_set_times": answering(wasiNOSYS, 3, 0, dryAt, 3, 0, 0, 0),
		"wasi.path_link":               answering(wasiNOSYS, 3, 0, dryAt, 3, 3, dryAt, 3),
		"wasi.path_open":               answering(wasiNOSYS, 3, 0, dryAt, 3, 0, 0, 0, 0, outAt),
		"wasi.path_readlink":           answering(wasiNOSYS, 3, dryAt, 3, outAt, 64, outAt+64),
		"wasi.path_remove_directory":   answering(wasiNOSYS, 3, dryAt, 3),
		"wasi.path_rename":             answering(wasiNOSYS, 3, dryAt, 3, 3, dryAt, 3),
		"wasi.path_symlink":            answering(wasiNOSYS, dryAt, 3, 3, dryAt, 3),
		"wasi.path_unlink_file":        answering(wasiNOSYS, 3, dryAt, 3),
		"wasi.proc_raise":              answering(wasiNOSYS, 9),
		"wasi.sock_accept":             answering(wasiNOSYS, 3, 0, outAt),
		"wasi.sock_recv":               answering(wasiNOSYS, 3, cellsAt, 1, 0, outAt, outAt+8),
		"wasi.sock_send":               answering(wasiNOSYS, 3, cellsAt, 1, 0, outAt),
		"wasi.sock_shutdown":           answering(wasiNOSYS, 3, 0),
	}
}

// awkward returns what a cell is to hold instead of what it should, when it has neighbours.
func (c *hostCall) awkward(at int) (numbers []int64) {
	const top = 1 << 32
	low := []int64{0, 1, callerBytes - 1, callerBytes, 1<<31 - 1, 1 << 31, top - 1}
	for _, next := range []int{at - 1, at + 1} { // as a pointer and a length they end behind the memory, and around at 0 and 1
		if next >= 0 && next < len(c.cells) {
			other := int64(uint32(c.cells[next]))
			low = append(low, callerBytes-other+1, (top-other)%top, (top-other+1)%top)
		}
	}
	was := c.cells[at]
	for _, n := range low {
		numbers = append(numbers, n, was&^(top-1)|n, was&(top-1)|n<<32, n|n<<32) // as 4 bytes, and as either half of 8
	}
	// What ends around 0 within one cell.
	numbers = append(numbers, inOneCell(was&(top-1), top-was&(top-1)), inOneCell(top-1, 1), inOneCell(top-8, 16))
	slices.Sort(numbers)
	return slices.DeleteFunc(slices.Compact(numbers), func(n int64) bool { return n == was })
}

// caller is a guest that calls the one function that it imports besides abiImports, with arguments that it finds in its object, and
// tells the answer as the delay of a repeat.
func caller(from string, f api.FunctionDefinition) guest {
	body := asm.Code(asm.I32(int32(abi.FieldObject)), asm.I32(cellsAt), asm.I32(outAt-cellsAt), asm.Call(fnRead), asm.Drop, asm.I32(answerAt))
	for n, kind := range f.ParamTypes() {
		load := asm.I32Load
		if kind == api.ValueTypeI64 {
			load = asm.I64Load
		}
		body = asm.Code(body, asm.I32(cellsAt+8*int32(n)), load)
	}
	body = asm.Code(body, asm.Call(fnOne))
	if len(f.ResultTypes()) == 0 {
		body = asm.Code(body, asm.I32(0))
	}
	return guest{
		memory:   callerBytes / pageBytes,
		imports:  append(abiImports[:3:3], from+"."+f.Name()),
		manifest: asking(`{"http":[{"host":"there","methods":["GET"]}],"secrets":["key"],"emit":["*"],"trigger":["paint"],"metrics":true}`),
		invoke:   asm.Code(body, asm.I32Store, asm.I32(int32(abi.FieldDelay)), asm.I32(answerAt), asm.I32(8), asm.Call(fnWrite), asm.I32(int32(abi.CodeRepeat))),
	}
}

// calls is a caller at work.
type calls struct {
	*rig
	m    *module
	i    *instance // nil after it was stopped
	call hostCall
}

// with calls with these cells, and returns what the function answered or what ended the invocation. The memory is looked at before and
// after.
func (c *calls) with(cells []int64) (answer int64, stopped string) {
	c.t.Helper()
	if c.i == nil {
		var err error
		if c.i, err = c.m.newInstance(context.Background()); err != nil {
			c.t.Fatal(err)
		}
	}
	var object []byte
	for _, cell := range cells {
		object = binary.LittleEndian.AppendUint64(object, uint64(cell))
	}
	object = append(object, make([]byte, wordsAt-cellsAt-len(object))...)
	object = append(object, callerWords...)

	in := c.invocation("door", "closed", string(object))
	var out runtime.Outcome
	memory := func() []byte {
		b, _ := c.i.guest.Memory().Read(0, callerBytes)
		return b
	}
	before := bytes.Clone(memory())
	err := c.i.run(context.Background(), &invoker{module: c.i.module, id: 1}, in, &out)
	after := memory()
	may := [][2]uint64{{cellsAt, cellsAt + uint64(len(object))}, {answerAt, answerAt + 8}}
	for _, named := range c.call.spans {
		if from, to := named.of(cells); named.written {
			may = append(may, [2]uint64{from, to})
		}
	}
	for _, piece := range may {
		from, to := min(piece[0], callerBytes), min(piece[1], callerBytes)
		copy(before[from:to], after[from:to])
	}
	if !bytes.Equal(before, after) {
		c.t.Errorf("%x: it wrote where it was not to", cells)
	}
	if err == nil {
		if out.Kind != runtime.OutcomeRepeat {
			c.t.Errorf("%x: outcome %+v", cells, out)
		}
		return int64(out.Delay), ""
	}
	var g *guestError
	if !errors.As(err, &g) || !strings.HasPrefix(g.text, "the plugin was stopped: ") {
		c.t.Errorf("%x: it ended with %v; want an error of the host's own", cells, err)
	}
	c.i.close()
	c.i = nil
	return 0, err.Error()
}

// works calls as it should be called.
func (c *calls) works() {
	c.t.Helper()
	answer, stopped := c.with(c.call.cells)
	if answer != c.call.answers || (stopped == "") != (c.call.stopped == "") || !strings.Contains(stopped, c.call.stopped) {
		c.t.Fatalf("as it should be called it answers %d, %q; want %d, %q", answer, stopped, c.call.answers, c.call.stopped)
	}
}

// TestEveryHostFunctionSurvivesBadArguments calls everything that can be imported, as it should be called but for one argument, which
// is each of the most awkward numbers in turn. The call answers, or ends the invocation with an error of the host's own, always if it
// names what is outside of the guest's memory; the memory is as it was but for what the call may write; and the call as it should be
// works before and after.
//
// The memory lies in 4 GiB of addresses that nothing may touch (on Linux): a host function that took whatever place a guest can name
// without looking would end the process.
func TestEveryHostFunctionSurvivesBadArguments(t *testing.T) {
	grant := listening(t, func(http.ResponseWriter, *http.Request) {})
	all := hostCalls()
	for name, f := range importTable(t) {
		call, ok := all[name]
		delete(all, name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, function, _ := strings.Cut(name, ".")
			if !ok || len(call.cells) < len(f.ParamTypes()) {
				t.Fatal("hostCalls has no call of it")
			}
			r := serveGuest(t, caller(strings.Replace(from, "wasi", wasiModule, 1), f), func(o *Options) {
				o.Limits.MemoryBytes = maxMemory
				o.Grants = map[string]Grants{"door": {
					HTTP: map[string]HTTPGrant{"there": grant}, Secrets: map[string]SecretGrant{"key": {}},
					Emit: []string{"*"}, Trigger: []string{"*"}, Metrics: true,
				}}
				o.Secrets = map[string]Secret{"key": {Value: "s3cret"}}
				if function == "poll_oneoff" {
					o.Clock = newLeapClock()
				}
			})
			c := &calls{rig: r, m: r.serving("door.wasm"), call: call}
			defer func() {
				if c.i != nil {
					c.i.close()
				}
			}()
			c.works()
			for at := range call.cells {
				for _, number := range call.awkward(at) {
					cells := slices.Clone(call.cells)
					cells[at] = number
					answer, stopped := c.with(cells)
					for _, named := range call.spans {
						_, end := named.of(cells)
						if end <= callerBytes || at != named.pointer && at != named.length || stopped != "" {
							continue
						}
						if from == abi.ImportModule || answer == call.answers {
							t.Errorf("%x: it answered %d; what it names ends at %#x, and the memory at %#x", cells, answer, end, callerBytes)
						}
					}
					c.works()
				}
			}
			if out := r.invoke("door", "closed", "null"); out.Kind != runtime.OutcomeRepeat && out.Kind != runtime.OutcomeError {
				t.Errorf("afterwards: outcome %+v", out)
			}
		})
	}
	for name := range all {
		t.Errorf("hostCalls has %s, which cannot be imported", name)
	}
}

// importTable returns what a guest can import, from where guests find it: the host modules of a module that serves.
func importTable(t *testing.T) map[string]api.FunctionDefinition {
	t.Helper()
	serving := serveGuest(t, doorGuest()).serving("door.wasm")
	table := make(map[string]api.FunctionDefinition)
	for from := range hostFunctions() {
		if from == rewrite.HostModule {
			continue // the rewriter refuses a module that imports from it
		}
		for name, f := range serving.wazero.Module(from).ExportedFunctionDefinitions() {
			table[strings.Replace(from, wasiModule, "wasi", 1)+"."+name] = f
		}
	}
	return table
}

// TestImportsAreSpecified holds section 2 of docs/abi.md to what can be imported: names, and types of parameters and results.
func TestImportsAreSpecified(t *testing.T) {
	doc, err := os.ReadFile("../docs/abi.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "\n## 2. ")
	section, _, _ = strings.Cut(section, "\n## 3. ")
	specified := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| `\\((.*)\\) → (.*)` \\|$").FindAllStringSubmatch(section, -1) {
		specified[row[1]] = strings.Join(regexp.MustCompile("i32|i64").FindAllString(row[2]+" → "+row[3], -1), " ")
	}
	for name, f := range importTable(t) {
		own, found := strings.CutPrefix(name, abi.ImportModule+".")
		if !found {
			continue
		}
		var types []string
		for _, kind := range slices.Concat(f.ParamTypes(), f.ResultTypes()) {
			types = append(types, api.ValueTypeName(kind))
		}
		if got := strings.Join(types, " "); specified[own] != got {
			t.Errorf("%s has the types %q; docs/abi.md says %q", own, got, specified[own])
		}
		delete(specified, own)
	}
	if len(specified) > 0 {
		t.Errorf("docs/abi.md has %v, which cannot be imported", specified)
	}
}
