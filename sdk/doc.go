// Package sdk is what the author of a wfrt plugin imports: workflows, steps and their outcomes.
//
// A plugin is an ordinary Go program of package main that registers workflows before main would run:
//
//	type Order struct{ ChargeID string `json:"charge_id"` }
//
//	type Status string
//
//	const (
//		Created Status = "created"
//		Paid    Status = "paid"
//	)
//
//	var orders = sdk.NewWorkflow[Order, Status]("orders")
//
//	func init() {
//		orders.Step(Created, charge, Paid).Retry(sdk.Exponential(time.Second, time.Minute), 8)
//	}
//
//	func charge(ctx context.Context, r *sdk.Run[Order, Status]) (sdk.Outcome[Status], error) {
//		r.Object.ChargeID = "ch_" + r.IdempotencyKey()
//		return r.To(Paid), nil
//	}
//
//	func main() {}
//
// `wfrt build` compiles it, as does GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared. The same program compiles
// natively, where package sdktest runs its steps, or the whole workflow with a fake clock, in a plain `go test`.
//
// # What surrounds the steps
//
// A status may wait for what comes from outside, and for time; a status without a step does nothing else. A workflow may be
// told of what becomes of its runs, and be triggered by the clock:
//
//	orders.Callback(Paid, onShipped, Shipped)
//	orders.Timeout(Paid, sdk.After(48*time.Hour), escalate, Late)
//	orders.OnCancel(refund)
//	orders.Schedule("nightly", "5 0 * * *").Zone("Europe/Berlin")
//
// A step, callback, timeout or hook may ask for a run of another workflow with Trigger, which is an effect of its
// outcome: stored with it, or forgotten with it.
//
// # What reaches outside
//
// A plugin asks in init for what it needs beyond its memory, and the operator grants it (docs/capabilities.md): AskHTTP for requests
// with HTTPClient, AskSecret for Secret and SecretHeader, AskEmit for Emit, AskTrigger for other plugins' workflows, AskMetrics for
// Count, Set and Observe.
//
// # What a step may rely on
//
// The server runs a step at least once and keeps its outcome once: an attempt that fails is repeated, and what it did to
// r.Object is forgotten. Outside effects carry r.IdempotencyKey, which is the same for every attempt; HTTPClient sends it.
//
// Calls of a module come in any order, of any run, and its memory may be thrown away between two of them: state belongs in
// the object. A step has one thread; goroutines run while it runs or waits, and must end before it returns. A panic ends
// the module's instance and is the error of that attempt.
//
// The interface below this package is docs/abi.md.
package sdk

// Version is the version of this SDK, as the manifest of a plugin names it.
const Version = "0.1.0"
