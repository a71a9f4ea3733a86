package sdk

import (
	"context"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// TraceParent returns the W3C traceparent of the invocation that ctx is of: set as the header traceparent of a request, it makes
// what the other side does a part of the run's trace. It is "" when the run belongs to no trace, and for a context of nothing that
// runs.
func TraceParent(ctx context.Context) string {
	host, ok := ctx.Value(hostKey{}).(guest.Host)
	if !ok {
		return ""
	}
	c := guest.Call{Host: host}
	return c.Text(abi.FieldTraceParent)
}
