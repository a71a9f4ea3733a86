package sdk

import (
	"context"
	"errors"

	"github.com/wfrt/wfrt/sdk/abi"
	"github.com/wfrt/wfrt/sdk/internal/guest"
)

// AskSecret asks the operator for secrets by their names. Call it from init.
func AskSecret(names ...string) { guest.Default.AskSecrets(names) }

// Secret returns a secret that the operator lets this plugin read. It is as the operator has it now; keep it no longer than the
// invocation, and out of the run's object, events and logs. A secret that is not granted, or is granted only for the server to put
// into requests (SecretHeader), fails with a *RefusedError.
func Secret(ctx context.Context, name string) (string, error) {
	step, ok := ctx.Value(stepKey{}).(*stepContext)
	if !ok || step.host == nil {
		return "", errors.New("sdk: Secret: the context is not one of a running step, callback, timeout or hook")
	}
	step.sending.Lock()
	defer step.sending.Unlock()
	for buf := make([]byte, 256); ; {
		n := step.host.SecretRead(name, buf)
		if n < 0 {
			return "", &RefusedError{Reason: string(readField(step.host, abi.FieldFailure))}
		}
		if int(n) <= len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, n)
	}
}

// SecretHeader returns a text that the server replaces by the secret where it stands in a header of a request, so that the plugin
// never sees it:
//
//	req.Header.Set("Authorization", "Bearer "+sdk.SecretHeader("payments-key"))
//
// It is replaced in requests to the hosts that the operator granted the secret for, over https; any other request with it is
// refused.
func SecretHeader(name string) string { return abi.SecretOpen + name + abi.SecretClose }
