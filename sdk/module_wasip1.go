package sdk

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"unsafe"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

//go:wasmimport wfrt_v1 field_read
//go:noescape
func hostFieldRead(field int32, buf unsafe.Pointer, limit uint32) int32

//go:wasmimport wfrt_v1 field_write
//go:noescape
func hostFieldWrite(field int32, value unsafe.Pointer, length uint32)

//go:wasmimport wfrt_v1 log
//go:noescape
func hostLog(level int32, body unsafe.Pointer, length uint32)

//go:wasmimport wfrt_v1 trigger
//go:noescape
func hostTrigger(workflow unsafe.Pointer, workflowLen uint32, foreignID unsafe.Pointer, foreignIDLen uint32,
	object unsafe.Pointer, objectLen uint32)

//go:wasmimport wfrt_v1 callback
//go:noescape
func hostCallback(workflow unsafe.Pointer, workflowLen uint32, foreignID unsafe.Pointer, foreignIDLen uint32,
	status unsafe.Pointer, statusLen uint32, payload unsafe.Pointer, payloadLen uint32)

//go:wasmimport wfrt_v1 http_send
//go:noescape
func hostHTTPSend(head unsafe.Pointer, headLen uint32, body unsafe.Pointer, bodyLen uint32, timeout int32) int32

//go:wasmimport wfrt_v1 secret_read
//go:noescape
func hostSecretRead(name unsafe.Pointer, nameLen uint32, buf unsafe.Pointer, limit uint32) int32

//go:wasmimport wfrt_v1 emit
//go:noescape
func hostEmit(kind unsafe.Pointer, kindLen uint32, contentType unsafe.Pointer, contentTypeLen uint32, data unsafe.Pointer, dataLen uint32)

//go:wasmimport wfrt_v1 measure
//go:noescape
func hostMeasure(kind int32, name unsafe.Pointer, nameLen uint32, labels unsafe.Pointer, labelsLen uint32, value uint64) int32

// call is the module's way to the host. An instance runs one invocation at a time, so one is enough.
var call = guest.NewCall(server{})

//go:wasmexport wfrt_invoke
func wfrtInvoke(id int32) int32 { return int32(guest.Default.Invoke(call, id)) }

//go:wasmexport wfrt_warm
func wfrtWarm() {
	guest.Default.Warm(call)
	runtime.GC()             // or each invocation would meet what the initialisation has left
	guest.Default.Warm(call) // the collection has emptied the allocator's caches
}

// wfrtManifest says what the plugin is. Mistakes of its registration go to stderr and end the instance, which the host
// reports as the reason why it refuses the module; a panic would put a stack trace below them.
//
//go:wasmexport wfrt_manifest
func wfrtManifest() {
	m, err := guest.Default.Manifest("go/"+Version, pluginVersion())
	if err == nil {
		var doc []byte
		if doc, err = guest.Encode(m); err == nil {
			call.Write(abi.FieldManifest, doc)
			return
		}
	}
	_, _ = fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// pluginVersion returns the version that the Go toolchain gave the plugin's module, from its tag or commit; "" when it gave
// none.
func pluginVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "(devel)" {
		return ""
	}
	return info.Main.Version
}

// server is the Host that this module runs in.
type server struct{}

func moduleHost() guest.Host { return server{} }

func (server) FieldRead(field abi.Field, buf []byte) int32 {
	return hostFieldRead(int32(field), unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

func (server) FieldWrite(field abi.Field, value []byte) {
	hostFieldWrite(int32(field), unsafe.Pointer(unsafe.SliceData(value)), uint32(len(value)))
}

func (server) Log(level int32, body []byte) {
	hostLog(level, unsafe.Pointer(unsafe.SliceData(body)), uint32(len(body)))
}

func (server) Trigger(workflow, foreignID string, object []byte) {
	hostTrigger(unsafe.Pointer(unsafe.StringData(workflow)), uint32(len(workflow)),
		unsafe.Pointer(unsafe.StringData(foreignID)), uint32(len(foreignID)),
		unsafe.Pointer(unsafe.SliceData(object)), uint32(len(object)))
}

func (server) Callback(workflow, foreignID, status string, payload []byte) {
	hostCallback(unsafe.Pointer(unsafe.StringData(workflow)), uint32(len(workflow)),
		unsafe.Pointer(unsafe.StringData(foreignID)), uint32(len(foreignID)),
		unsafe.Pointer(unsafe.StringData(status)), uint32(len(status)),
		unsafe.Pointer(unsafe.SliceData(payload)), uint32(len(payload)))
}

func (server) HTTPSend(head, body []byte, timeout int32) int32 {
	return hostHTTPSend(unsafe.Pointer(unsafe.SliceData(head)), uint32(len(head)),
		unsafe.Pointer(unsafe.SliceData(body)), uint32(len(body)), timeout)
}

func (server) SecretRead(name string, buf []byte) int32 {
	return hostSecretRead(unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

func (server) Emit(kind, contentType string, data []byte) {
	hostEmit(unsafe.Pointer(unsafe.StringData(kind)), uint32(len(kind)),
		unsafe.Pointer(unsafe.StringData(contentType)), uint32(len(contentType)),
		unsafe.Pointer(unsafe.SliceData(data)), uint32(len(data)))
}

func (server) Measure(kind int32, name, labels string, value float64) int32 {
	return hostMeasure(kind, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)),
		unsafe.Pointer(unsafe.StringData(labels)), uint32(len(labels)), math.Float64bits(value))
}
