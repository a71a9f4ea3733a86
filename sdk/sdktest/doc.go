// Package sdktest runs a plugin natively, in a plain `go test`: one step at a time against a fake host, or a whole workflow
// with a fake clock.
//
//	func TestCharge(t *testing.T) {
//		got := sdktest.Run(t, orders, Created, Order{TotalCents: 4200}, sdktest.Attempt(2))
//		if got.Kind != sdktest.To || got.To != Paid {
//			t.Fatalf("charge: %v", got)
//		}
//	}
//
//	func TestUnpaidOrderExpires(t *testing.T) {
//		flow := sdktest.New(t, orders)
//		order := flow.Trigger("10248", Order{TotalCents: 4200})
//		order.RequireStatus(Created)
//		flow.Advance(48 * time.Hour)
//		order.RequireStatus(Late)
//		order.RequireState(sdk.StateCompleted)
//	}
//
// Functions are called the way the server calls them, through the interface of docs/abi.md: the object is encoded and
// decoded, and an answer that the server would refuse (a destination that the function was not registered with, an object
// that is not JSON) fails the test. What a sandbox adds (limits of memory, time and log volume) is not there.
package sdktest
