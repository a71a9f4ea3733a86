// Package guest is the guest's side of the plugin interface (docs/abi.md), free of the author's types: the plugin that is
// being registered, its manifest, and one invocation's way to the host. The sdk package puts types on it; sdktest drives it
// with a fake host.
package guest

import "github.com/wfrt/wfrt/sdk/abi"

// Host is what a guest can call. On wasip1 it is the server; in a native test it is a fake. Implementations keep none of the
// slices that they are given.
type Host interface {
	// FieldRead copies a field to buf and returns its length, or abi.Absent. A field longer than buf is not copied.
	FieldRead(field abi.Field, buf []byte) int32
	// FieldWrite hands over an output.
	FieldWrite(field abi.Field, value []byte)
	// Log sends one log line.
	Log(level int32, body []byte)
	// Trigger asks for a run of a workflow with an object, one JSON value, if the outcome of this invocation is kept.
	Trigger(workflow, foreignID string, object []byte)
	// Callback asks for a callback to a run of a workflow that is in a status, if the outcome of this invocation is kept.
	Callback(workflow, foreignID, status string, payload []byte)
	// SecretRead copies a secret to buf and returns its length, or abi.Absent, with abi.FieldFailure. One longer than buf is not
	// copied.
	SecretRead(name string, buf []byte) int32
	// Emit writes an event if the outcome of this invocation is kept.
	Emit(kind, contentType string, data []byte)
	// Measure takes a measurement of a kind, abi.MeasureCount and so on; labels are lines "name=value". It returns 0, or abi.Absent,
	// with abi.FieldFailure.
	Measure(kind int32, name, labels string, value float64) int32
	// HTTPSend sends a request and returns the status code of the answer, whose parts are then fields, or abi.SendRefused or
	// abi.SendFailed, with abi.FieldFailure. It takes at most a number of milliseconds, if that is not 0.
	HTTPSend(head, body []byte, timeout int32) int32
}
